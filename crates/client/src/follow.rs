//! A log as a stream that goes on by itself.

use std::{fmt, mem, pin::Pin, time::Duration};

use musher_protocol::{Cursor, Envelope, ErrorCode, Payload, WorkerId};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{
    Client, Error, Events, Heard,
    order::{Disorder, Order},
    retry::{backoff, random, with_jitter},
};

/// What [`ErrorBody::reason`](musher_protocol::ErrorBody) says of a cursor whose event is another one now.
const HISTORY_CHANGED: &str = "history_changed";

/// Where a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With a snapshot of what the worker is now, and every event behind it.
    Now,
    /// With the first event.
    Beginning,
    /// With the event behind this place.
    After(Cursor),
}

/// How a stream comes back when its connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// The wait after the first failure in a row; each further one is twice as long.
    pub first_wait: Duration,
    /// The longest wait. A server that asks for a longer one gets it.
    pub longest_wait: Duration,
    /// A connection on which nothing comes for so long is lost. Servers send a sign of life every 15 s.
    pub silence: Duration,
    /// When nothing was heard for so long, over all attempts, the stream is given up.
    pub patience: Duration,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            first_wait: Duration::from_millis(250),
            longest_wait: Duration::from_secs(10),
            // Two signs of life may be lost, and the third be late.
            silence: Duration::from_secs(45),
            // Longer than a server takes to start again on another machine.
            patience: Duration::from_secs(300),
        }
    }
}

/// Why a stream cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The server sent another event than the next: one is missing, or comes twice.
    #[error("event {came} came in the place of event {expected}")]
    Gap {
        /// The number of the event that comes next.
        expected: u64,
        /// The number of the event that came.
        came: u64,
    },
    /// What came is not of this log, or no event where one has to be.
    #[error("what came is no event of this log")]
    Foreign,
    /// The events behind the cursor are kept no longer.
    #[error("the events behind the cursor are kept no longer")]
    CursorExpired {
        /// Following from it gives all that is left.
        oldest_cursor: Option<Cursor>,
    },
    /// The log has another history than when the cursor was given, as after a backup was restored: what was seen before
    /// may not have happened.
    #[error("the log has another history than when the cursor was given")]
    HistoryChanged {
        /// Following from it gives all that is there now.
        oldest_cursor: Option<Cursor>,
    },
    /// There is no such worker, or it was deleted.
    #[error("there is no such worker any more")]
    WorkerGone,
    /// The server refuses, and would again; or what it sends makes no sense.
    #[error("follow the log")]
    Refused(#[source] Error),
    /// Nothing was heard of the server for as long as [`Reconnect::patience`] says.
    #[error("the server was not heard for {} s", .patience.as_secs())]
    Lost {
        /// For how long.
        patience: Duration,
        /// How the last attempt failed; an answer that merely ended is no failure.
        #[source]
        source: Option<Error>,
    },
    /// It could not go on before, and said why.
    #[error("the stream could not go on before")]
    Over,
}

/// A log as a stream that goes on by itself when a connection is lost, from behind the last event that was read.
///
/// Each event comes once, in order and without a gap. Nothing is read ahead of the reader but what the connection holds,
/// so a slow reader slows its own stream and nothing else.
#[derive(Debug)]
pub struct Following {
    client: Client,
    worker: WorkerId,
    order: Order,
    link: Link,
    /// Failures in a row.
    n_failures: u32,
    /// When something was heard last, or the stream was first read.
    heard_at: Option<Instant>,
}

type Opening = Pin<Box<dyn Future<Output = Result<Option<Events>, Error>> + Send>>;

/// All that has been reached is kept here, so that a read that is dropped early loses nothing.
enum Link {
    Waiting(Instant),
    Opening(Opening),
    Open {
        events: Box<Events>,
        silent_at: Instant,
    },
    /// The log has had its last event.
    Ended,
    Failed,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting(_) => "Waiting",
            Self::Opening(_) => "Opening",
            Self::Open { .. } => "Open",
            Self::Ended => "Ended",
            Self::Failed => "Failed",
        })
    }
}

impl Following {
    pub(crate) fn new(client: Client, worker: WorkerId, start: Start) -> Self {
        let place = match start {
            Start::Now => None,
            Start::Beginning => Some(Cursor::new(&worker, 0, 0)),
            Start::After(cursor) => Some(cursor),
        };
        let order = Order::new(worker.clone(), place);
        let link = Link::Waiting(Instant::now());
        Self { client, worker, order, link, n_failures: 0, heard_at: None }
    }

    /// The place behind the last event that was read: what to [`Start::After`] in another life. `None` before the
    /// snapshot of a stream that begins with one.
    #[must_use]
    pub fn cursor(&self) -> Option<Cursor> {
        self.order.place()
    }

    /// The next event, or the snapshot that the stream begins with, as soon as there is one; `None` behind the log's last
    /// event. When dropped early, nothing is lost.
    ///
    /// # Errors
    ///
    /// When the stream cannot go on. It is over then, and [`Following::cursor`] tells where.
    pub async fn next(&mut self) -> Result<Option<Envelope>, FollowError> {
        let next = self.advance().await;
        if next.is_err() {
            self.link = Link::Failed;
        }
        next
    }

    async fn advance(&mut self) -> Result<Option<Envelope>, FollowError> {
        self.heard_at.get_or_insert_with(Instant::now);
        loop {
            match &mut self.link {
                Link::Ended => return Ok(None),
                Link::Failed => return Err(FollowError::Over),
                Link::Waiting(until) => {
                    sleep_until(*until).await;
                    self.link = Link::Opening(self.open());
                }
                Link::Opening(opening) => match opening.await {
                    Ok(Some(events)) => {
                        let events = Box::new(events);
                        self.link = Link::Open { events, silent_at: self.silent_at() };
                    }
                    Ok(None) => self.link = Link::Ended,
                    Err(error) => self.lost(Some(error))?,
                },
                Link::Open { events, silent_at } => {
                    // What has come counts, however late it is read.
                    let heard = match timeout_at(*silent_at, events.next()).await {
                        Ok(Ok(Some(heard))) => heard,
                        Ok(Ok(None)) => {
                            self.lost(None)?;
                            continue;
                        }
                        Ok(Err(error)) => {
                            self.lost(Some(error))?;
                            continue;
                        }
                        Err(_silent) => {
                            self.lost(Some(Error::TimeUp(self.client.shared.reconnect.silence)))?;
                            continue;
                        }
                    };
                    if let Some(envelope) = self.hear(heard)? {
                        return Ok(Some(envelope));
                    }
                }
            }
        }
    }

    fn hear(&mut self, heard: Heard) -> Result<Option<Envelope>, FollowError> {
        self.n_failures = 0;
        self.heard_at = Some(Instant::now());
        let deadline = self.silent_at();
        if let Link::Open { silent_at, .. } = &mut self.link {
            *silent_at = deadline;
        }
        let Heard::Event(envelope) = heard else { return Ok(None) };
        self.order.take(&envelope).map_err(|disorder| match disorder {
            Disorder::Other { expected, came } => FollowError::Gap { expected, came },
            Disorder::Foreign => FollowError::Foreign,
        })?;
        if matches!(envelope.payload, Payload::WorkerStopped(_) | Payload::WorkerCancelled(_)) {
            self.link = Link::Ended;
        }
        Ok(Some(*envelope))
    }

    fn open(&self) -> Opening {
        let (client, worker) = (self.client.clone(), self.worker.clone());
        let after = self.order.place().map(|cursor| cursor.to_string());
        Box::pin(async move { client.open_events(&worker, after.as_deref()).await })
    }

    fn silent_at(&self) -> Instant {
        Instant::now() + self.client.shared.reconnect.silence
    }

    /// There is no connection any more: waits for another one, or gives up.
    fn lost(&mut self, error: Option<Error>) -> Result<(), FollowError> {
        // The connection goes at once, whatever becomes of the stream.
        drop(mem::replace(&mut self.link, Link::Failed));
        let asked = match error.as_ref() {
            None => Duration::ZERO,
            Some(failed) => match wait_asked_for(failed) {
                Some(wait) => wait,
                None => return Err(error.map_or(FollowError::Over, |error| self.verdict(error))),
            },
        };
        let reconnect = self.client.shared.reconnect;
        let wait = backoff(reconnect.first_wait, reconnect.longest_wait, self.n_failures).max(asked);
        let until = Instant::now() + with_jitter(wait, random());
        if self.heard_at.is_some_and(|heard| until.duration_since(heard) > reconnect.patience) {
            return Err(FollowError::Lost { patience: reconnect.patience, source: error });
        }
        self.n_failures = self.n_failures.saturating_add(1);
        self.link = Link::Waiting(until);
        Ok(())
    }

    /// What a failure that does not pass means.
    fn verdict(&self, error: Error) -> FollowError {
        let Some(refusal) = error.refusal() else { return FollowError::Refused(error) };
        let (code, oldest_cursor) = (refusal.body.code, refusal.body.oldest_cursor);
        // A cursor of this worker that is of the future: the log has lost what was seen.
        let was_lost = code == ErrorCode::WrongRuntimeCursor
            && self.order.place().is_some_and(|cursor| cursor.is_of(&self.worker));
        let is_expired = code == ErrorCode::CursorExpired;
        if was_lost || (is_expired && refusal.body.reason.as_deref() == Some(HISTORY_CHANGED)) {
            FollowError::HistoryChanged { oldest_cursor }
        } else if is_expired {
            FollowError::CursorExpired { oldest_cursor }
        } else if code == ErrorCode::WorkerNotFound {
            FollowError::WorkerGone
        } else {
            FollowError::Refused(error)
        }
    }
}

/// How long a failure asks to be left alone; `None` where it is none that passes. Reading again does nothing twice, so all
/// that may pass is waited out.
fn wait_asked_for(error: &Error) -> Option<Duration> {
    let (status, retry_after) = match error {
        Error::Broken(_) | Error::TimeUp(_) => return Some(Duration::ZERO),
        Error::Refused(refusal) if refusal.body.code == ErrorCode::StoreCorrupt => return None,
        Error::Refused(refusal) => (refusal.status, refusal.retry_after),
        Error::Foreign { status, retry_after } => (*status, *retry_after),
        Error::Unreadable(_) | Error::TooLarge(_) | Error::Handshake(_) => return None,
    };
    matches!(status, 429 | 500..).then(|| retry_after.unwrap_or_default())
}
