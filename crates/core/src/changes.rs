//! Which workers have changed, for those who want to know it of all of them.
//!
//! It holds names only, each once, at the place of its newest change: what a worker has become is read from the store by
//! who tells it, so that a reader who is behind tells the newest and nothing twice. Of one that is no more the labels are
//! held, too: the store does not have them any longer, and not everybody may hear of every worker.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use musher_protocol::WorkerId;
use tokio::sync::watch;

/// As many workers change while a reader is cut for taking nothing, and more; some 10 MiB for all readers together.
const MAX_CHANGES: usize = 64 << 10;
/// What the labels of deleted workers may take; more than the rest.
const MAX_LABEL_BYTES: usize = 16 << 20;

/// The labels of a worker.
pub(crate) type Labels = BTreeMap<String, String>;

/// Workers that have changed since the slowest of the readers looked.
#[derive(Debug)]
pub(crate) struct Changes {
    /// Protects the maps for single changes and look-ups.
    inner: Mutex<Inner>,
    /// The number of the newest change.
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The number of the newest change.
    number: u64,
    workers: BTreeMap<u64, Change>,
    numbers: HashMap<WorkerId, u64>,
    /// How many readers are at which place. Without any nothing is noted.
    readers: BTreeMap<u64, usize>,
    /// Changes up to this one were forgotten, though not every reader may have seen them.
    forgotten: u64,
    /// What all labels that are held take.
    label_bytes: usize,
}

/// The newest change of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) worker: WorkerId,
    /// Its labels, when it was deleted; none otherwise.
    pub(crate) labels: Labels,
}

/// A reader's place among the changes.
#[derive(Debug)]
pub(crate) struct Reader {
    changes: Arc<Changes>,
    newest: watch::Receiver<u64>,
    at: u64,
}

/// Changes were forgotten that a reader had not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forgotten;

impl Changes {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { inner: Mutex::default(), newest: watch::Sender::new(0) })
    }

    /// Notes that what lists show of a worker is another, after that is durable. Where nobody reads this is one lock that
    /// nobody holds, beside a commit.
    pub(crate) fn note(&self, worker: &WorkerId) {
        self.note_with(worker, Labels::new());
    }

    /// The same of a worker that is no more, and had these labels.
    pub(crate) fn note_deleted(&self, worker: &WorkerId, labels: Labels) {
        self.note_with(worker, labels);
    }

    fn note_with(&self, worker: &WorkerId, labels: Labels) {
        let number = {
            let mut inner = self.lock();
            if inner.readers.is_empty() {
                return;
            }
            inner.note(Change { worker: worker.clone(), labels });
            inner.number
        };
        // Two who note at the same time may come here in either order.
        self.newest.send_modify(|newest| *newest = number.max(*newest));
    }

    /// A reader of what changes from now on: whatever is not noted for it can be seen in the store.
    pub(crate) fn read(self: &Arc<Self>) -> Reader {
        let mut inner = self.lock();
        let at = inner.number;
        *inner.readers.entry(at).or_default() += 1;
        Reader { changes: Arc::clone(self), newest: self.newest.subscribe(), at }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is whole before anything could panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn note(&mut self, change: Change) {
        self.number += 1;
        if let Some(old) = self.numbers.insert(change.worker.clone(), self.number)
            && let Some(old) = self.workers.remove(&old)
        {
            self.label_bytes -= size(&old.labels);
        }
        self.label_bytes += size(&change.labels);
        self.workers.insert(self.number, change);
        while self.workers.len() > MAX_CHANGES || self.label_bytes > MAX_LABEL_BYTES {
            self.forgotten = self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) -> u64 {
        let (number, Change { worker, labels }) = self.workers.pop_first().expect("there are changes");
        self.numbers.remove(&worker);
        self.label_bytes -= size(&labels);
        number
    }

    /// Takes a reader from its place, and forgets what only that one had still to see.
    fn leave(&mut self, place: u64) {
        let here = self.readers.get_mut(&place).expect("a reader is somewhere");
        *here -= 1;
        if *here == 0 {
            self.readers.remove(&place);
        }
    }

    fn forget_seen(&mut self) {
        let slowest = self.readers.first_key_value().map_or(self.number, |(place, _)| *place);
        while self.workers.first_key_value().is_some_and(|(number, _)| *number <= slowest) {
            self.forget_oldest();
        }
    }
}

impl Reader {
    /// Waits until something has changed behind the place. Cancel safe.
    pub(crate) async fn ready(&mut self) {
        let at = self.at;
        // The sender lives as long as `changes`.
        drop(self.newest.wait_for(|newest| *newest > at).await);
    }

    /// The first change behind the place, which stays where it is.
    pub(crate) fn peek(&self) -> Result<Option<(u64, Change)>, Forgotten> {
        let inner = self.changes.lock();
        if self.at < inner.forgotten {
            return Err(Forgotten);
        }
        let next = inner.workers.range(self.at + 1..).next();
        Ok(next.map(|(number, change)| (*number, change.clone())))
    }

    /// Goes behind a change.
    pub(crate) fn pass(&mut self, number: u64) {
        let mut inner = self.changes.lock();
        *inner.readers.entry(number).or_default() += 1;
        inner.leave(self.at);
        inner.forget_seen();
        drop(inner);
        self.at = number;
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut inner = self.changes.lock();
        inner.leave(self.at);
        inner.forget_seen();
    }
}

fn size(labels: &Labels) -> usize {
    labels.iter().map(|(key, value)| key.len() + value.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(n: usize) -> WorkerId {
        format!("wrk_{n}").parse().unwrap()
    }

    /// Reads all that there is.
    fn rest(reader: &mut Reader) -> Vec<WorkerId> {
        let mut seen = Vec::new();
        while let Some((number, change)) = reader.peek().unwrap() {
            reader.pass(number);
            seen.push(change.worker);
        }
        seen
    }

    fn n_noted(changes: &Changes) -> (usize, usize) {
        let inner = changes.lock();
        (inner.workers.len(), inner.numbers.len())
    }

    #[test]
    fn who_is_behind_sees_each_worker_once_at_its_newest_change() {
        let changes = Changes::new();
        changes.note(&worker(0));
        let (mut quick, mut slow) = (changes.read(), changes.read());
        for n in [1, 2, 1, 3, 1] {
            changes.note(&worker(n));
            assert_eq!(rest(&mut quick), [worker(n)]);
        }
        assert_eq!(rest(&mut slow), [worker(2), worker(3), worker(1)]);
        assert_eq!((rest(&mut slow), rest(&mut quick)), (vec![], vec![]));
    }

    #[test]
    fn nothing_is_kept_that_nobody_has_to_see() {
        let changes = Changes::new();
        changes.note(&worker(0));
        assert_eq!(n_noted(&changes), (0, 0));
        let (mut quick, slow) = (changes.read(), changes.read());
        (1..=3).for_each(|n| changes.note(&worker(n)));
        rest(&mut quick);
        assert_eq!(n_noted(&changes), (3, 3));
        drop(slow);
        assert_eq!(n_noted(&changes), (0, 0));
        changes.note(&worker(4));
        drop(quick);
        assert_eq!(n_noted(&changes), (0, 0));
    }

    #[test]
    fn who_is_too_far_behind_is_told_so_and_nobody_else() {
        let changes = Changes::new();
        let mut slow = changes.read();
        changes.note(&worker(0));
        let mut quick = changes.read();
        (1..=MAX_CHANGES).for_each(|n| changes.note(&worker(n)));
        assert_eq!(n_noted(&changes), (MAX_CHANGES, MAX_CHANGES));
        assert_eq!(slow.peek(), Err(Forgotten));
        assert_eq!(rest(&mut quick).len(), MAX_CHANGES);
        drop(slow);
        slow = changes.read();
        changes.note(&worker(0));
        assert_eq!((rest(&mut slow), rest(&mut quick)), (vec![worker(0)], vec![worker(0)]));
    }

    #[test]
    fn the_labels_of_what_is_deleted_are_held_as_long_as_it_is_news_and_bounded() {
        let changes = Changes::new();
        let mut reader = changes.read();
        let labels = Labels::from([("team".to_owned(), "a".to_owned())]);
        changes.note_deleted(&worker(0), labels.clone());
        assert_eq!(reader.peek().unwrap().unwrap().1, Change { worker: worker(0), labels: labels.clone() });
        changes.note(&worker(0));
        assert_eq!(changes.lock().label_bytes, 0);
        changes.note_deleted(&worker(0), labels);
        rest(&mut reader);
        assert_eq!(changes.lock().label_bytes, 0);
        let large = Labels::from([("k".to_owned(), "v".repeat(MAX_LABEL_BYTES / 2))]);
        (1..=3).for_each(|n| changes.note_deleted(&worker(n), large.clone()));
        assert_eq!(reader.peek(), Err(Forgotten));
        assert!(changes.lock().label_bytes <= MAX_LABEL_BYTES);
    }

    #[tokio::test]
    async fn a_change_wakes() {
        let changes = Changes::new();
        let mut reader = changes.read();
        let noted = async { changes.note(&worker(1)) };
        tokio::join!(reader.ready(), noted);
        assert_eq!(rest(&mut reader), [worker(1)]);
    }
}
