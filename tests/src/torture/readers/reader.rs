//! Readers of one worker's stream, each with its temper.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::record::{Record, Sight};
use crate::{
    Broken, Client, Ended, PATIENCE, Stream,
    torture::{event::Message, seed::Seed},
};

/// Small, so that a reader that stops is felt by the server soon.
const RECEIVE_BUFFER: u32 = 4 << 10;
/// How many events a hasty reader takes from one connection at most.
const HASTY_EVENTS: u64 = 2000;
/// Where, behind the first events, a sleepy reader stops.
const SLEEPY_BEGINS: u64 = 100;
/// How often a sleepy reader stops again once it was woken, so that it comes to the end in a bounded time.
const NAPS: u64 = 20;
/// How many events it reads at most between two such stops, and how many milliseconds each takes at most.
const NAP_EVENTS: u64 = 2000;
const NAP_MS: u64 = 50;
/// A reader that is refused so often in a row will not be let in.
const MAX_REFUSALS: u32 = 3;

/// How a reader reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Temper {
    /// Always.
    Steady,
    /// It goes away and comes back.
    Hasty,
    /// It stops and goes on.
    Sleepy,
}

/// What all readers of a group are told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Control {
    /// Whether sleepy readers stay where they stopped.
    pub(super) stalls: bool,
    /// Where to end, once that is known.
    pub(super) head: Option<u64>,
}

/// The number of an event, and the cursor behind it.
pub(super) type Place = (u64, String);

/// One reader.
#[derive(Debug)]
pub(super) struct Reader {
    worker: Arc<str>,
    seed: Seed,
    /// Where it goes on.
    at: Place,
    record: Record,
}

/// Why one connection is over.
enum Over {
    /// It has seen all.
    Done,
    /// It goes on with another.
    Again,
    /// It cannot go on.
    Because(String),
}

impl Reader {
    /// A reader from a place on.
    pub(super) fn new(name: String, temper: Temper, worker: &Arc<str>, at: Place, seed: Seed) -> Self {
        let (after, _) = at;
        let record = Record {
            name,
            temper,
            after,
            until: 0,
            seen: Vec::new(),
            n_connections: 0,
            stalled_at: None,
            remark: None,
        };
        Self { worker: Arc::clone(worker), seed, at, record }
    }

    /// Reads until all up to the head is seen.
    pub(super) async fn run(mut self, client: Client, mut control: watch::Receiver<Control>) -> Record {
        let mut refusals = 0;
        while !self.is_done(&control) {
            let query = format!("?cursor={}", self.at.1);
            let buffer = (self.record.temper == Temper::Sleepy).then_some(RECEIVE_BUFFER);
            match client.try_observe(&self.worker, &query, buffer).await {
                Ok(stream) => {
                    refusals = 0;
                    self.record.n_connections += 1;
                    match self.read(stream, &mut control).await {
                        Over::Done => break,
                        Over::Again => {}
                        Over::Because(reason) => {
                            self.record.remark = Some(reason);
                            break;
                        }
                    }
                }
                Err(Broken(_)) if refusals < MAX_REFUSALS => refusals += 1,
                Err(Broken(reason)) => {
                    self.record.remark = Some(reason);
                    break;
                }
            }
        }
        self.record.until = control.borrow().head.unwrap_or_default();
        self.record
    }

    async fn read(&mut self, mut stream: Stream, control: &mut watch::Receiver<Control>) -> Over {
        let mut left = match self.record.temper {
            Temper::Steady => u64::MAX,
            Temper::Hasty => 1 + self.seed.below(HASTY_EVENTS),
            Temper::Sleepy => self.seed.below(SLEEPY_BEGINS),
        };
        let mut naps = 0;
        while !self.is_done(control) {
            if left == 0 {
                match self.record.temper {
                    Temper::Steady => {}
                    Temper::Hasty => return Over::Again,
                    Temper::Sleepy => {
                        if control.borrow().stalls {
                            self.record.stalled_at = Some(self.at.0);
                        }
                        if control.wait_for(|control| !control.stalls).await.is_err() {
                            return Over::Because("nobody waits for it".to_owned());
                        }
                        // That it does nothing for a while is what it is here for.
                        sleep(Duration::from_millis(self.seed.below(NAP_MS + 1))).await;
                        naps += 1;
                        left = if naps < NAPS { 1 + self.seed.below(NAP_EVENTS) } else { u64::MAX };
                    }
                }
            }
            let next = tokio::select! {
                next = timeout(PATIENCE, stream.next_text()) => next,
                changed = control.changed() => match changed {
                    Ok(()) => continue,
                    Err(_gone) => return Over::Because("nobody waits for it".to_owned()),
                },
            };
            let text = match next {
                Ok(Ok(text)) => text,
                // Who does not read for long is cut off in the end, and comes back.
                Ok(Err(Ended::Broken(_))) if self.record.temper == Temper::Sleepy => return Over::Again,
                Ok(Err(ended)) => return Over::Because(format!("{ended:?}")),
                // Before there is an end to come to, nothing may have to come.
                Err(_elapsed) if control.borrow().head.is_none() => continue,
                Err(_elapsed) => return Over::Because(format!("nothing came for {PATIENCE:?}")),
            };
            match Message::read(&text) {
                Ok(Message::Snapshot { seq, .. }) if seq == self.at.0 => {}
                Ok(Message::Snapshot { seq, .. }) => {
                    return Over::Because(format!("it is to go on behind {}, not behind {seq}", self.at.0));
                }
                Ok(Message::Event(event)) => {
                    left = left.saturating_sub(1);
                    self.record.seen.push(Sight::now(&event));
                    self.at = (event.seq, event.cursor);
                }
                Ok(Message::Other(text)) => return Over::Because(text),
                Err(error) => return Over::Because(error.to_string()),
            }
        }
        Over::Done
    }

    fn is_done(&self, control: &watch::Receiver<Control>) -> bool {
        control.borrow().head.is_some_and(|head| self.at.0 >= head)
    }
}
