//! The observation socket: a log, frame by frame, and one reason for its end.

use std::{pin::pin, time::Duration};

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use futures_util::SinkExt as _;
use musher_core::{Frame, Observation};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use crate::{farewell::Farewell, options::Bounds, router::Adapter};

/// How a socket begins.
pub(crate) enum Opening {
    /// With the log.
    Stream(Box<Observation>),
    /// With its end, for the cursor leads nowhere.
    Refused(Farewell),
}

/// The peer is gone, or takes nothing any more: there is nobody to say anything to.
struct Gone;

/// Serves a socket to its end.
pub(crate) async fn run(mut socket: WebSocket, opening: Opening, adapter: &Adapter) {
    let bounds = &adapter.bounds;
    let whole = async {
        let farewell = match opening {
            Opening::Stream(observation) => follow(&mut socket, *observation, adapter).await,
            Opening::Refused(farewell) => Ok(farewell),
        };
        if let Ok(farewell) = farewell {
            // Whoever does not take its part in the closing has still been told; the connection ends either way.
            let _in_time = timeout(bounds.close_timeout, close(&mut socket, farewell)).await;
        }
    };
    tokio::select! {
        () = whole => {}
        () = adapter.ending.over() => {}
    }
}

/// Sends the log for as long as there is one.
async fn follow(
    socket: &mut WebSocket,
    mut observation: Observation,
    adapter: &Adapter,
) -> Result<Farewell, Gone> {
    let Bounds { ping_interval, peer_timeout, write_timeout, .. } = adapter.bounds;
    let mut leaving = pin!(adapter.leaving());
    let mut pings = interval_at(Instant::now() + ping_interval, ping_interval);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            // In this order: the server's end is not put off by a chatty peer, what a peer has said is heard
            // before its silence is judged, and neither waits for a log that never pauses.
            biased;
            () = &mut leaving => return Ok(Farewell::leaving(&adapter.runtime)),
            received = socket.recv() => match received {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => heard = Instant::now(),
                Some(Ok(Message::Close(_))) => return Ok(Farewell::answered()),
                // Errors are messages that are too long or no WebSocket at all. Where the connection itself has
                // failed, saying so fails too.
                Some(Ok(Message::Text(_) | Message::Binary(_)) | Err(_)) => {
                    return Ok(Farewell::observation_only());
                }
                None => return Err(Gone),
            },
            _ = pings.tick() => {
                if heard.elapsed() >= peer_timeout {
                    return Err(Gone);
                }
                send(socket, [Message::Ping(Bytes::new())], write_timeout).await?;
            }
            frames = observation.next() => match frames {
                Ok(Some(frames)) => send(socket, frames.iter().map(message), write_timeout).await?,
                Ok(None) => return Ok(Farewell::over(&observation)),
                Err(error) => return Ok(Farewell::broken(error)),
            },
        }
    }
}

fn message(frame: &Frame) -> Message {
    Message::Text(Utf8Bytes::try_from(frame.text()).expect("a frame is JSON text"))
}

/// Sends messages with one flush for all of them, which is what makes a busy log cheap. The time limit is for
/// each time that the peer has to take something.
async fn send(
    socket: &mut WebSocket,
    messages: impl IntoIterator<Item = Message>,
    limit: Duration,
) -> Result<(), Gone> {
    let taken = |result| if let Ok(Ok(())) = result { Ok(()) } else { Err(Gone) };
    for message in messages {
        taken(timeout(limit, socket.feed(message)).await)?;
    }
    taken(timeout(limit, socket.flush()).await)
}

/// Says why the socket ends, and waits until the peer has closed its side too.
async fn close(socket: &mut WebSocket, farewell: Farewell) {
    for message in farewell.into_messages() {
        if socket.feed(message).await.is_err() {
            return;
        }
    }
    if socket.flush().await.is_ok() {
        while let Some(Ok(_late)) = socket.recv().await {}
    }
}
