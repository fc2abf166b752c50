//! What streams say, and how they end.

use std::time::Duration;

use musher_client::{Client, Error, Events, Heard, Said, Socket, SocketEnd};
use musher_protocol::{
    Cursor, DiagnosticCode, Envelope, ErrorCode, Frame, ObserveQuery, Payload, StreamRequest, Topic, WorkerId,
};
use tokio::time::Instant;

use super::{
    pace::in_time,
    report::{Finding, Problem},
};
use crate::failure::Chain;

/// A stream says its first word at once; what is not here by then is held back.
const FIRST_LIMIT: Duration = Duration::from_secs(5);
/// Servers send a comment after 15 s without an event.
const HEARTBEAT_LIMIT: Duration = Duration::from_secs(20);
/// Servers ping every 20 s.
const PING_LIMIT: Duration = Duration::from_secs(25);
/// For so long a pause is waited for in what a worker says.
const TALK_LIMIT: Duration = Duration::from_secs(45);
/// The code that sockets close with behind a log's last event.
const OVER: u16 = 1000;

/// A stream behind its snapshot.
pub(super) async fn first_event(client: &Client, worker: &WorkerId) -> Result<Events, Finding> {
    let begun = in_time(client, FIRST_LIMIT, async {
        let mut events = open(client, worker, None).await?;
        match next_event(&mut events).await? {
            Some(Envelope { payload: Payload::Snapshot(_), .. }) => Ok(events),
            Some(other) => Err(no_snapshot(other.payload.type_name())),
            None => Err(no_snapshot("the end")),
        }
    });
    let late = || {
        let says = format!("nothing of a stream came within {} s", FIRST_LIMIT.as_secs());
        Finding::Bad(Some(Problem::ProxyBuffers), says)
    };
    begun.await.unwrap_or_else(|| Err(late()))
}

/// A socket behind its snapshot.
pub(super) async fn first_frame(client: &Client, worker: &WorkerId) -> Result<Socket, Finding> {
    let begun = in_time(client, FIRST_LIMIT, async {
        let mut socket = observe(client, worker, None).await?;
        match socket.next().await {
            Ok(Frame::Event { envelope }) if matches!(envelope.payload, Payload::Snapshot(_)) => Ok(socket),
            Ok(_) => Err(no_snapshot("another frame")),
            Err(end) => Err(Finding::Bad(None, Chain(&end).to_string())),
        }
    });
    let late = || {
        let says = format!("nothing of a socket came within {} s", FIRST_LIMIT.as_secs());
        Finding::Bad(Some(Problem::ProxyBuffers), says)
    };
    begun.await.unwrap_or_else(|| Err(late()))
}

/// The next event; `None` at the end of the answer.
pub(super) async fn next_event(events: &mut Events) -> Result<Option<Envelope>, Finding> {
    loop {
        match events.next().await {
            Ok(Some(Heard::Event(envelope))) => return Ok(Some(*envelope)),
            Ok(Some(Heard::Comment(_))) => {}
            Ok(None) => return Ok(None),
            Err(error) => return Err(Finding::of(&error)),
        }
    }
}

/// So many events behind a place, or fewer when the log or the answer ends.
pub(super) async fn sse_behind(
    client: &Client,
    worker: &WorkerId,
    after: Cursor,
    n: usize,
) -> Result<Vec<Envelope>, Finding> {
    let mut seen = Vec::new();
    let mut events = open(client, worker, Some(after)).await?;
    while seen.len() < n {
        match next_event(&mut events).await? {
            Some(event) => seen.push(event),
            None => break,
        }
    }
    Ok(seen)
}

/// The same, over a socket, whose first frame, a snapshot, is left out.
pub(super) async fn socket_behind(
    client: &Client,
    worker: &WorkerId,
    after: Cursor,
    n: usize,
) -> Result<Vec<Envelope>, Finding> {
    let mut socket = observe(client, worker, Some(&after.to_string())).await?;
    let mut seen = Vec::new();
    let mut is_first = true;
    while seen.len() < n {
        match socket.next().await {
            Ok(Frame::Event { envelope }) if is_first && matches!(envelope.payload, Payload::Snapshot(_)) => {
            }
            Ok(Frame::Event { envelope }) => seen.push(*envelope),
            Ok(_) => {}
            Err(SocketEnd::Closed(_)) => break,
            Err(end) => return Err(Finding::Bad(None, Chain(&end).to_string())),
        }
        is_first = false;
    }
    Ok(seen)
}

/// Whether a socket that the client does something wrong with ends as it should: with a malformed cursor, or, without
/// one, by talking.
pub(super) async fn close_code(
    client: &Client,
    worker: &WorkerId,
    cursor: Option<&str>,
    why: DiagnosticCode,
    code: u16,
) -> Finding {
    let ended = in_time(client, FIRST_LIMIT, async {
        let mut socket = observe(client, worker, cursor).await?;
        if cursor.is_none() {
            // Any text is too much here, also one that makes sense elsewhere.
            let words = StreamRequest::Unsubscribe { worker_id: None, topic: Some(Topic::Catalog) };
            if let Err(end) = socket.send(&words).await {
                return Err(Finding::Bad(None, Chain(&end).to_string()));
            }
        }
        let mut told = None;
        loop {
            match socket.next().await {
                Ok(Frame::Diagnostic { diagnostic }) => told = Some(diagnostic.code),
                Ok(_) => {}
                Err(end) => return Ok((told, end)),
            }
        }
    });
    match ended.await {
        Some(Ok((told, SocketEnd::Closed(closed)))) if told == Some(why) && closed == code => {
            Finding::Good(format!("closed with {code}"))
        }
        Some(Ok((_, SocketEnd::Closed(OVER)))) => over(),
        Some(Ok((_, end))) => hidden(format!("{end}, in the place of {code}")),
        Some(Err(bad)) => bad,
        None => not_closed(),
    }
}

/// Whether a socket ends in order behind the last event of a log that is over.
pub(super) async fn ends_with_its_log(client: &Client, mut socket: Socket) -> Finding {
    let ended = in_time(client, FIRST_LIMIT, async {
        let mut has_all = false;
        loop {
            match socket.next().await {
                Ok(Frame::Event { envelope }) => has_all = is_last(&envelope.payload),
                Ok(_) => {}
                Err(end) => return (has_all, end),
            }
        }
    });
    match ended.await {
        Some((true, SocketEnd::Closed(OVER))) => {
            Finding::Good(format!("closed with {OVER} behind the log's last event"))
        }
        Some((false, SocketEnd::Closed(OVER))) => {
            Finding::Bad(Some(Problem::LogDiffers), format!("closed with {OVER} before the log's last event"))
        }
        Some((_, end)) => hidden(format!("{end}, in the place of {OVER}")),
        None => not_closed(),
    }
}

/// Whether a stream on which nothing happens lives.
pub(super) async fn heartbeat(client: &Client, worker: &WorkerId) -> Finding {
    let mut events = match first_event(client, worker).await {
        Ok(events) => events,
        Err(bad) => return bad,
    };
    let listens = Instant::now();
    loop {
        let began = Instant::now();
        let silent = || format!("{:.0} s of silence", began.elapsed().as_secs_f64());
        match in_time(client, HEARTBEAT_LIMIT, events.next()).await {
            Some(Ok(Some(Heard::Comment(text)))) if text.is_empty() => {
                return Finding::Good(format!("came after {}", silent()));
            }
            Some(Ok(Some(Heard::Comment(text)))) => {
                return Finding::Bad(None, format!("the stream was ended: {text}"));
            }
            Some(Ok(Some(Heard::Event(envelope)))) if is_last(&envelope.payload) => return over(),
            Some(Ok(Some(Heard::Event(_)))) if listens.elapsed() > TALK_LIMIT => {
                let says = format!("the worker talked for {} s without a pause", TALK_LIMIT.as_secs());
                return Finding::Bad(Some(Problem::NeverQuiet), says);
            }
            Some(Ok(Some(Heard::Event(_)))) => {}
            Some(Ok(None) | Err(_)) => return closed_idle(&silent()),
            None => {
                let says = format!("no sign of life within {} s", HEARTBEAT_LIMIT.as_secs());
                return Finding::Bad(Some(Problem::ProxyBuffers), says);
            }
        }
    }
}

/// Whether a socket on which nothing happens lives.
pub(super) async fn ping(client: &Client, worker: &WorkerId) -> Finding {
    let mut socket = match observe(client, worker, None).await {
        Ok(socket) => socket,
        Err(bad) => return bad,
    };
    let began = Instant::now();
    let after = || format!("{:.0} s", began.elapsed().as_secs_f64());
    let listened = in_time(client, PING_LIMIT, async {
        loop {
            match socket.said().await {
                Ok(Said::Ping) => return Finding::Good(format!("came after {}", after())),
                Ok(Said::Frame(_)) => {}
                Err(SocketEnd::Closed(OVER)) => return over(),
                Err(_) => return closed_idle(&after()),
            }
        }
    });
    let late = || Finding::Bad(None, format!("no ping within {} s", PING_LIMIT.as_secs()));
    listened.await.unwrap_or_else(late)
}

async fn open(client: &Client, worker: &WorkerId, after: Option<Cursor>) -> Result<Events, Finding> {
    let after = after.map(|cursor| cursor.to_string());
    match client.open_events(worker, after.as_deref()).await {
        Ok(Some(events)) => Ok(events),
        Ok(None) => Err(Finding::Bad(Some(Problem::LogDiffers), "the log was said to be over".to_owned())),
        Err(error) => Err(Finding::of(&error)),
    }
}

/// A server that hears no wish for a socket says that the request makes no sense; what answers in another way than with a
/// socket does not know them.
async fn observe(client: &Client, worker: &WorkerId, cursor: Option<&str>) -> Result<Socket, Finding> {
    let query = ObserveQuery { cursor: cursor.map(str::to_owned) };
    client.observe(worker, &query).await.map_err(|error| {
        let is_stripped = error.code() == Some(ErrorCode::InvalidRequest)
            || matches!(error, Error::Foreign { .. } | Error::Handshake(_));
        if is_stripped {
            let says = format!("the answer is no socket: {}", Chain(&error));
            return Finding::Bad(Some(Problem::ProxyStripsUpgrade), says);
        }
        Finding::of(&error)
    })
}

pub(super) fn over() -> Finding {
    Finding::Bad(Some(Problem::WorkerEnded), "the worker has ended, and its streams with it".to_owned())
}

fn hidden(says: String) -> Finding {
    Finding::Bad(Some(Problem::ProxyHidesCloseCodes), says)
}

fn not_closed() -> Finding {
    hidden(format!("not closed within {} s", FIRST_LIMIT.as_secs()))
}

fn closed_idle(after: &str) -> Finding {
    Finding::Bad(Some(Problem::ProxyClosesIdle), format!("the connection was cut after {after}"))
}

fn no_snapshot(came: &str) -> Finding {
    Finding::Bad(Some(Problem::LogDiffers), format!("{came} came in the place of a snapshot"))
}

fn is_last(payload: &Payload) -> bool {
    matches!(payload, Payload::WorkerStopped(_) | Payload::WorkerCancelled(_))
}
