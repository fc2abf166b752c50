//! What one socket has subscribed to. Subscriptions only wait by themselves; what they have is read one at a time, when it
//! is their turn, so that any number of them holds what one read gave.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::extract::ws::Message;
use futures_util::{
    StreamExt as _,
    future::{AbortHandle, Abortable, Aborted, BoxFuture},
    stream::FuturesUnordered,
};
use musher_core::{AttentionFilter, CatalogChange, CatalogFeed, Error, FeedError, Observation, ReadError};
use musher_protocol::{
    AttentionReply, Cursor, CursorError, Diagnostic, DiagnosticCode, Digest, Frame, Topic, WorkerId,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{many::told, peer::message};
use crate::{farewell::Farewell, view::View};

/// Workers that one socket has read from the store at the same time, to be observed: what is read of one that has ended
/// is held until its turn.
const OPENED_AT_ONCE: usize = 4;
/// What a turn of the catalog sends: as much as a turn of a log.
const CATALOG_BYTES: usize = 64 << 10;
/// What a change counts in a turn that the client does not see: it was read as the others were.
const UNSEEN_BYTES: usize = 256;
/// Until the list of what waits is looked at again though nothing has changed.
const LONG: Duration = Duration::from_secs(3600);

/// What can be subscribed to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Worker(WorkerId),
    Topic(Topic),
}

/// The subscriptions of one socket. All are waited for together, and who is ready first has its turn first: one that is
/// always ready goes behind the others each time.
pub(super) struct Subscriptions {
    view: View,
    /// How many workers may be subscribed to.
    most: usize,
    waiting: FuturesUnordered<Abortable<BoxFuture<'static, Turn>>>,
    handles: HashMap<Subject, AbortHandle>,
    opened: Arc<Semaphore>,
}

/// A subscription that has something to say.
pub(super) enum Turn {
    /// A log, and while it was not asked for anything its place among those that are opened.
    Log {
        worker: WorkerId,
        observation: Box<Observation>,
        opened: Option<OwnedSemaphorePermit>,
    },
    /// A log that cannot be observed.
    Refused {
        worker: WorkerId,
        error: ReadError,
    },
    Catalog(CatalogFeed),
    Attention {
        list: Result<AttentionReply, Error>,
        seen: Option<Digest>,
    },
    /// Nothing: it was ended.
    Ended,
}

impl Subject {
    /// Says that nothing more is sent of it.
    pub(super) fn unsubscribed(self) -> Frame {
        match self {
            Self::Worker(worker) => Frame::Unsubscribed { worker_id: Some(worker), topic: None },
            Self::Topic(topic) => Frame::Unsubscribed { worker_id: None, topic: Some(topic) },
        }
    }

    fn diagnosed(self, diagnostic: Diagnostic) -> Frame {
        let diagnostic = match self {
            Self::Worker(worker) => Diagnostic { worker_id: Some(worker), ..diagnostic },
            Self::Topic(topic) => Diagnostic { topic: Some(topic), ..diagnostic },
        };
        Frame::Diagnostic { diagnostic }
    }
}

impl Subscriptions {
    pub(super) fn new(view: View, most: usize) -> Self {
        Self {
            view,
            most,
            waiting: FuturesUnordered::new(),
            handles: HashMap::new(),
            opened: Arc::new(Semaphore::new(OPENED_AT_ONCE)),
        }
    }

    /// Begins a subscription, in the place of the one of the same subject. What is to be said at once, if anything.
    pub(super) fn subscribe(&mut self, subject: Subject, cursor: Option<String>) -> Option<Frame> {
        self.unsubscribe(&subject);
        match subject {
            Subject::Worker(worker) => self.subscribe_worker(worker, cursor),
            Subject::Topic(Topic::Catalog) => {
                let feed = self.view.watch_catalog();
                self.wait_catalog(feed);
                Some(Frame::Subscribed { topic: Topic::Catalog })
            }
            Subject::Topic(topic @ Topic::Attention) => {
                self.wait_attention(None);
                Some(Frame::Subscribed { topic })
            }
            Subject::Topic(Topic::Unknown) => unreachable!("an unknown topic is no subject"),
        }
    }

    fn subscribe_worker(&mut self, worker: WorkerId, cursor: Option<String>) -> Option<Frame> {
        let n_workers = self.handles.keys().filter(|subject| matches!(subject, Subject::Worker(_))).count();
        if n_workers >= self.most {
            let message = format!("a socket has at most {} workers; take another one", self.most);
            let diagnostic = diagnostic(DiagnosticCode::TooManySubscriptions, message);
            return Some(Subject::Worker(worker).diagnosed(diagnostic));
        }
        let cursor = match cursor.map(|text| text.parse::<Cursor>()).transpose() {
            Ok(cursor) => cursor,
            Err(error @ CursorError) => {
                return Some(
                    Subject::Worker(worker).diagnosed(last_words(Farewell::cursor_malformed(&error))),
                );
            }
        };
        let (view, opened) = (self.view.clone(), Arc::clone(&self.opened));
        self.wait(Subject::Worker(worker.clone()), async move {
            let opened = opened.acquire_owned().await.expect("the places are never closed");
            match view.observe(&worker, cursor).await {
                Ok(observation) => {
                    Turn::Log { worker, observation: Box::new(observation), opened: Some(opened) }
                }
                Err(error) => Turn::Refused { worker, error },
            }
        });
        None
    }

    /// Ends a subscription, if there is one.
    pub(super) fn unsubscribe(&mut self, subject: &Subject) {
        if let Some(handle) = self.handles.remove(subject) {
            handle.abort();
        }
    }

    /// Waits until it is somebody's turn. Cancel safe. Each turn has to be [taken](Self::take).
    pub(super) async fn next(&mut self) -> Turn {
        match self.waiting.next().await {
            Some(Ok(turn)) => turn,
            Some(Err(Aborted)) => Turn::Ended,
            // Until the client subscribes to something.
            None => std::future::pending().await,
        }
    }

    /// What somebody has to say whose turn it is; it waits for its next turn then, or is over.
    pub(super) async fn take(&mut self, turn: Turn) -> Vec<Message> {
        match turn {
            Turn::Log { worker, observation, opened } => {
                let messages = self.take_log(worker, *observation).await;
                drop(opened);
                messages
            }
            Turn::Refused { worker, error } => {
                let said = match error {
                    ReadError::Runtime(error @ Error::WorkerNotFound(_)) => {
                        diagnostic(DiagnosticCode::WorkerNotFound, error.to_string())
                    }
                    error @ (ReadError::Runtime(_) | ReadError::Cursor(_) | _) => {
                        last_words(Farewell::broken(error))
                    }
                };
                self.over(Subject::Worker(worker), |subject| subject.diagnosed(said))
            }
            Turn::Catalog(feed) => self.take_catalog(feed).await,
            Turn::Attention { list, seen } => self.take_attention(list, seen),
            Turn::Ended => Vec::new(),
        }
    }

    async fn take_log(&mut self, worker: WorkerId, mut observation: Observation) -> Vec<Message> {
        match observation.next().await {
            Ok(Some(frames)) => {
                self.wait(Subject::Worker(worker.clone()), async move {
                    observation.ready().await;
                    Turn::Log { worker, observation: Box::new(observation), opened: None }
                });
                frames.iter().map(message).collect()
            }
            Ok(None) if observation.is_complete() => {
                self.over(Subject::Worker(worker), Subject::unsubscribed)
            }
            Ok(None) => {
                let said = last_words(Farewell::over(&observation, self.view.runtime()));
                self.over(Subject::Worker(worker), |subject| subject.diagnosed(said))
            }
            Err(error) => {
                let said = last_words(Farewell::broken(error));
                self.over(Subject::Worker(worker), |subject| subject.diagnosed(said))
            }
        }
    }

    async fn take_catalog(&mut self, mut feed: CatalogFeed) -> Vec<Message> {
        let (mut messages, mut bytes) = (Vec::new(), 0);
        let said = loop {
            if bytes >= CATALOG_BYTES {
                break None;
            }
            let frame = match feed.next().await {
                Ok(Some(change)) if !self.view.sees_change(&change) => {
                    bytes += UNSEEN_BYTES;
                    continue;
                }
                Ok(Some(CatalogChange::Worker(worker))) => {
                    Frame::Catalog { worker: Some(worker), deleted: None }
                }
                Ok(Some(CatalogChange::Deleted { worker_id, labels: _ })) => {
                    Frame::Catalog { worker: None, deleted: Some(worker_id) }
                }
                Ok(None) => break None,
                Err(error @ FeedError::TooFarBehind) => {
                    let message = format!("{error}; subscribe again, then list all of them");
                    break Some(diagnostic(DiagnosticCode::TooFarBehind, message));
                }
                Err(error @ (FeedError::Runtime(_) | _)) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "watch the catalog");
                    break Some(diagnostic(DiagnosticCode::Unavailable, "the catalog cannot be read"));
                }
            };
            let message = told(&frame);
            bytes += message.to_text().map_or(0, str::len);
            messages.push(message);
        };
        match said {
            None => self.wait_catalog(feed),
            Some(said) => {
                messages.extend(self.over(Subject::Topic(Topic::Catalog), |subject| subject.diagnosed(said)));
            }
        }
        messages
    }

    fn take_attention(&mut self, list: Result<AttentionReply, Error>, seen: Option<Digest>) -> Vec<Message> {
        match list {
            Ok(AttentionReply { attention, omitted, next }) => {
                self.wait_attention(Some(next));
                // A wait that came to nothing is no news.
                let is_news = seen != Some(next);
                is_news.then(|| told(&Frame::Attention { attention, omitted })).into_iter().collect()
            }
            Err(error) => {
                let said = last_words(Farewell::broken(error.into()));
                self.over(Subject::Topic(Topic::Attention), |subject| subject.diagnosed(said))
            }
        }
    }

    fn wait_catalog(&mut self, mut feed: CatalogFeed) {
        self.wait(Subject::Topic(Topic::Catalog), async move {
            feed.ready().await;
            Turn::Catalog(feed)
        });
    }

    fn wait_attention(&mut self, seen: Option<Digest>) {
        let view = self.view.clone();
        self.wait(Subject::Topic(Topic::Attention), async move {
            let everything = AttentionFilter::default();
            let list = match seen {
                None => view.attention(everything).await,
                Some(seen) => view.wait_attention(everything, seen, LONG).await,
            };
            Turn::Attention { list, seen }
        });
    }

    fn wait(&mut self, subject: Subject, turn: impl Future<Output = Turn> + Send + 'static) {
        let (handle, registration) = AbortHandle::new_pair();
        self.waiting.push(Abortable::new(Box::pin(turn), registration));
        self.handles.insert(subject, handle);
    }

    /// Forgets a subscription, and says so.
    fn over(&mut self, subject: Subject, said: impl FnOnce(Subject) -> Frame) -> Vec<Message> {
        self.handles.remove(&subject);
        vec![told(&said(subject))]
    }
}

fn diagnostic(code: DiagnosticCode, message: impl Into<String>) -> Diagnostic {
    let message = message.into();
    Diagnostic { code, message, oldest_cursor: None, reason: None, worker_id: None, topic: None }
}

fn last_words(farewell: Farewell) -> Diagnostic {
    farewell.into_diagnostic().expect("whatever breaks a stream is said")
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use musher_core::{MemoryStore, Runtime};

    use super::*;
    use crate::token::Caller;

    #[tokio::test]
    async fn what_is_ended_is_forgotten_as_fast_as_it_begins_again() {
        let runtime = Runtime::builder(MemoryStore::new()).start().await.unwrap();
        let view = View::of(&runtime, &Caller::Anonymous);
        let mut subscriptions = Subscriptions::new(view, 10);
        let worker = Subject::Worker("wrk_1".parse().unwrap());
        for _ in 0..1000 {
            for subject in [worker.clone(), Subject::Topic(Topic::Catalog), Subject::Topic(Topic::Attention)]
            {
                subscriptions.subscribe(subject, None);
                // As often as a client is heard.
                if let Some(turn) = subscriptions.next().now_or_never() {
                    subscriptions.take(turn).await;
                }
            }
        }
        let (n_waiting, n_open) = (subscriptions.waiting.len(), subscriptions.handles.len());
        assert!(n_waiting <= 2 * OPENED_AT_ONCE && n_open <= 3, "{n_waiting} wait, {n_open} are open");
    }
}
