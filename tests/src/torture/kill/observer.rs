//! Observers that go on over every end of the server, from where they were.

use std::{collections::BTreeMap, sync::Arc};

use tokio::{sync::watch, time::timeout};

use super::sighting::Sighting;
use crate::{
    Broken, Client, Ended, PATIENCE,
    torture::{
        event::{Event, Message},
        seed::Seed,
    },
};

/// The head of each log once nothing runs; before that nobody knows where to end.
pub(super) type Heads = Option<Arc<BTreeMap<String, u64>>>;

/// How an observer looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By a socket.
    Socket,
    /// By page after page.
    Pages,
}

/// One observer of one worker.
#[derive(Debug)]
pub(super) struct Observer {
    name: String,
    pub(super) worker: String,
    way: Way,
    seed: Seed,
    /// The last event that it saw, or where it began.
    at: Option<Place>,
    after: u64,
    events: Vec<Event>,
    remark: Option<String>,
}

#[derive(Clone, Debug)]
struct Place {
    seq: u64,
    /// `None` for the beginning of a log.
    cursor: Option<String>,
}

/// Why a connection is over.
enum Over {
    /// All is seen.
    Done,
    /// The server went away, or something is wrong.
    Because(String),
}

impl Observer {
    pub(super) fn new(number: usize, worker: &str, way: Way, seed: Seed) -> Self {
        let name = format!("observer {number} ({way:?})");
        let at = match way {
            Way::Socket => None,
            Way::Pages => Some(Place { seq: 0, cursor: None }),
        };
        let (after, worker) = (0, worker.to_owned());
        Self { name, worker, way, seed, at, after, events: Vec::new(), remark: None }
    }

    /// Looks until the connection breaks, the log has its last event, or all up to the heads is seen.
    pub(super) async fn follow(mut self, client: Client, mut heads: watch::Receiver<Heads>) -> Self {
        if self.is_over() {
            return self;
        }
        let over = match self.way {
            Way::Socket => self.socket(&client, &mut heads).await,
            Way::Pages => self.pages(&client, &mut heads).await,
        };
        self.remark = match over {
            Over::Done => None,
            Over::Because(reason) => Some(reason),
        };
        self
    }

    /// What it saw since the last time; from here on it begins anew.
    pub(super) fn take(&mut self) -> Sighting {
        let after = std::mem::replace(&mut self.after, self.at.as_ref().map_or(0, |at| at.seq));
        Sighting {
            observer: self.name.clone(),
            after,
            events: std::mem::take(&mut self.events),
            remark: self.remark.take(),
        }
    }

    /// Whether it has begun to see anything; one that has not cannot have missed anything.
    pub(super) fn has_begun(&self) -> bool {
        self.at.is_some()
    }

    async fn socket(&mut self, client: &Client, heads: &mut watch::Receiver<Heads>) -> Over {
        let cursor = self.at.as_ref().and_then(|at| at.cursor.as_ref());
        let query = cursor.map(|cursor| format!("?cursor={cursor}")).unwrap_or_default();
        let mut stream = match client.try_observe(&self.worker, &query, None).await {
            Ok(stream) => stream,
            Err(Broken(reason)) => return Over::Because(reason),
        };
        while !self.has_reached(heads) {
            let text = tokio::select! {
                text = timeout(PATIENCE, stream.next_text()) => text,
                changed = heads.changed() => match changed {
                    Ok(()) => continue,
                    Err(_gone) => return Over::Because("nobody waits for it".to_owned()),
                },
            };
            let message = match text {
                Ok(Ok(text)) => Message::read(&text).map_err(|error| error.to_string()),
                Ok(Err(Ended::Closed(1000))) if self.is_over() => return Over::Done,
                Ok(Err(ended)) => Err(format!("{ended:?}")),
                Err(_elapsed) => Err(format!("nothing came for {PATIENCE:?}")),
            };
            match message {
                Ok(Message::Snapshot { seq, cursor }) => {
                    if let Err(reason) = self.begin(seq, cursor) {
                        return Over::Because(reason);
                    }
                }
                Ok(Message::Event(event)) => self.see(event),
                Ok(Message::Other(text)) => return Over::Because(text),
                Err(reason) => return Over::Because(reason),
            }
        }
        Over::Done
    }

    async fn pages(&mut self, client: &Client, heads: &mut watch::Receiver<Heads>) -> Over {
        while !self.has_reached(heads) && !self.is_over() {
            let cursor = self.at.as_ref().and_then(|at| at.cursor.as_ref());
            let after = cursor.map(|cursor| format!("&after={cursor}")).unwrap_or_default();
            let limit = 1 + self.seed.below(200);
            let path = format!("/v1/workers/{}/events?wait=5&limit={limit}{after}", self.worker);
            let page = tokio::select! {
                page = client.try_page(&path) => page,
                changed = heads.changed() => match changed {
                    Ok(()) => continue,
                    Err(_gone) => return Over::Because("nobody waits for it".to_owned()),
                },
            };
            match page {
                Ok(page) => page.events.into_iter().for_each(|event| self.see(event)),
                Err(Broken(reason)) => return Over::Because(reason),
            }
        }
        Over::Done
    }

    /// A socket says where it begins, which is where it left off.
    fn begin(&mut self, seq: u64, cursor: String) -> Result<(), String> {
        match &self.at {
            Some(at) if at.seq != seq => Err(format!("it is to go on behind {}, not behind {seq}", at.seq)),
            Some(_) => Ok(()),
            None => {
                self.at = Some(Place { seq, cursor: Some(cursor) });
                self.after = seq;
                Ok(())
            }
        }
    }

    fn see(&mut self, event: Event) {
        self.at = Some(Place { seq: event.seq, cursor: Some(event.cursor.clone()) });
        self.events.push(event);
    }

    fn is_over(&self) -> bool {
        self.events.last().is_some_and(Event::is_last)
    }

    fn has_reached(&self, heads: &watch::Receiver<Heads>) -> bool {
        let heads = heads.borrow();
        let Some(heads) = heads.as_ref() else { return false };
        let Some(at) = &self.at else { return false };
        // A worker that is not there any more has nothing to be seen.
        heads.get(&self.worker).is_none_or(|head| at.seq >= *head)
    }
}
