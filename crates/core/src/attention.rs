//! What waits for a person, over all workers: kept current by every commit, so that nobody has to look for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use musher_backend::BackendError;
use musher_protocol::{
    Approval, ApprovalKind, AttentionId, AttentionItem, AttentionKind, AttentionReply, Execution, LimitKind,
    Outcome, RunState, WorkerId,
};
use tokio::sync::watch;

use crate::{
    fold::{End, Fold, prefix},
    profile::WorkerSpec,
    store::{Blob, StoreError, WorkerFacts},
    view::{PREVIEW_BYTES, size, without_large_input},
};

/// As many as a page of workers has: more is nothing that a person works through.
const MAX_ITEMS: usize = 1000;
/// What the items of one answer may have in memory, as JSON; approvals repeat what they ask.
const MAX_BYTES: usize = 4 << 20;
/// What an item repeats of others' words.
const MAX_WORDS: usize = 200;

/// Everything that waits for a person.
#[derive(Debug)]
pub(crate) struct Board {
    /// Protects the map for single changes and for copies of pointers.
    inner: Mutex<Inner>,
    changes: watch::Sender<u64>,
    /// How the reading of what an earlier life left ended.
    recalled: watch::Sender<Option<Result<(), Arc<StoreError>>>>,
}

#[derive(Debug)]
struct Inner {
    /// A worker has at most an item for each approval that is open, or one.
    items: BTreeMap<WorkerId, Vec<Arc<AttentionItem>>>,
    /// While rows of an earlier life are read: the workers of which newer things are known, as many as act meanwhile.
    known: Option<BTreeSet<WorkerId>>,
}

/// Which items somebody wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttentionFilter {
    /// Only those of this kind.
    pub kind: Option<AttentionKind>,
    /// Only those of workers with all of these labels and values.
    pub labels: Vec<(String, String)>,
}

/// A worker's place on the board.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) board: Arc<Board>,
    pub(crate) display_name: Option<String>,
    pub(crate) labels: BTreeMap<String, String>,
}

/// What of a worker's log can need a person.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needs<'a> {
    is_terminal: bool,
    execution: &'a Execution,
    outcome: Option<&'a Outcome>,
    end: Option<&'a End>,
    /// It was cut off too often to go on by itself.
    is_held: bool,
}

impl Board {
    pub(crate) fn new() -> Arc<Self> {
        let inner = Inner { items: BTreeMap::new(), known: Some(BTreeSet::new()) };
        Arc::new(Self {
            inner: Mutex::new(inner),
            changes: watch::Sender::new(0),
            recalled: watch::Sender::new(None),
        })
    }

    /// How many approvals and questions are open.
    pub(crate) fn n_approvals(&self) -> usize {
        self.lock().items.values().flatten().filter(|item| item.approval.is_some()).count()
    }

    /// Wakes whenever anything on it changes.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn remove(&self, worker: &WorkerId) {
        self.set(worker, Vec::new());
    }

    /// Says that all rows of an earlier life were read, or why not.
    pub(crate) fn recalled(&self, result: Result<(), Arc<StoreError>>) {
        self.lock().known = None;
        self.recalled.send_replace(Some(result));
    }

    /// Waits until that was said.
    pub(crate) async fn is_whole(&self) -> Result<(), Arc<StoreError>> {
        let mut recalled = self.recalled.subscribe();
        let said = recalled.wait_for(Option::is_some).await.expect("the board has the sender");
        said.clone().expect("it was waited for")
    }

    /// The oldest of what is wanted.
    pub(crate) fn list(&self, wanted: &AttentionFilter) -> AttentionReply {
        let mut all: Vec<_> =
            self.lock().items.values().flatten().filter(|item| wanted.takes(item)).map(Arc::clone).collect();
        all.sort_by(|one, two| (one.since_at, &one.attention_id).cmp(&(two.since_at, &two.attention_id)));
        let (mut attention, mut bytes) = (Vec::new(), 0);
        for item in &all {
            bytes += size(&**item);
            if attention.len() == MAX_ITEMS || bytes > MAX_BYTES {
                break;
            }
            attention.push(AttentionItem::clone(item));
        }
        let omitted = (all.len() - attention.len()) as u64;
        let seen = serde_json::to_vec(&(&attention, omitted)).expect("items are JSON");
        AttentionReply { attention, omitted, next: Blob::digest_of(&seen) }
    }

    fn set(&self, worker: &WorkerId, items: Vec<Arc<AttentionItem>>) {
        let mut inner = self.lock();
        if let Some(known) = &mut inner.known {
            known.insert(worker.clone());
        }
        let all = &mut inner.items;
        let old =
            if items.is_empty() { all.remove(worker) } else { all.insert(worker.clone(), items.clone()) };
        drop(inner);
        if old.unwrap_or_default() != items {
            self.changed();
        }
    }

    /// What a row of an earlier life says, unless the worker has said something since.
    fn recall(&self, worker: &WorkerId, item: AttentionItem) {
        let mut inner = self.lock();
        if inner.known.as_ref().is_some_and(|known| !known.contains(worker)) {
            inner.items.insert(worker.clone(), vec![Arc::new(item)]);
            drop(inner);
            self.changed();
        }
    }

    fn of(&self, worker: &WorkerId) -> Vec<Arc<AttentionItem>> {
        self.lock().items.get(worker).cloned().unwrap_or_default()
    }

    fn changed(&self) {
        self.changes.send_modify(|n| *n = n.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is whole before anything could panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AttentionFilter {
    fn takes(&self, item: &AttentionItem) -> bool {
        self.kind.is_none_or(|kind| kind == item.kind)
            && self.labels.iter().all(|(key, value)| item.labels.get(key) == Some(value))
    }
}

impl<'a> Needs<'a> {
    pub(crate) fn of_fold(fold: &'a Fold) -> Self {
        Self {
            is_terminal: fold.status.is_terminal(),
            execution: &fold.execution,
            outcome: fold.outcome.as_ref(),
            end: fold.end.as_ref(),
            is_held: fold.restart.as_ref().is_some_and(|restart| restart.told && !restart.asked),
        }
    }

    /// What a worker that nothing is under way of needs.
    pub(crate) fn of_settled(facts: &'a WorkerFacts) -> Self {
        Self {
            is_terminal: facts.status.is_terminal(),
            execution: &facts.execution,
            outcome: facts.outcome.as_ref(),
            end: facts.end.as_ref(),
            // Then it would have something to go on with.
            is_held: false,
        }
    }
}

impl Post {
    pub(crate) fn of(board: &Arc<Board>, spec: &WorkerSpec) -> Self {
        let board = Arc::clone(board);
        Self { board, display_name: spec.display_name.clone(), labels: spec.labels.clone() }
    }

    /// Shows what a worker needs now, in the place of what it needed before. Calls must come in the order of the
    /// worker's log.
    pub(crate) fn show<'a>(
        &self,
        worker: &WorkerId,
        needs: Needs<'_>,
        approvals: impl Iterator<Item = &'a Approval>,
    ) {
        // What an approval shows never changes, and making it anew is not for free.
        let mut approvals = approvals.peekable();
        let known = if approvals.peek().is_some() { self.board.of(worker) } else { Vec::new() };
        let asked = approvals.map(|open| {
            let (kind, message) = question(open);
            let id = AttentionId::of(kind, open.approval_id.as_str());
            known.iter().find(|item| item.attention_id == id).cloned().unwrap_or_else(|| {
                let deadline_at = Some(open.deadline_at);
                let item = self.item(worker, kind, open.approval_id.as_str(), message, open.requested_at);
                Arc::new(AttentionItem { deadline_at, approval: Some(brief(open.clone())), ..item })
            })
        });
        let asked: Vec<_> = asked.collect();
        let items = if asked.is_empty() {
            self.other(worker, needs).map(Arc::new).into_iter().collect()
        } else {
            asked
        };
        self.board.set(worker, items);
    }

    /// Shows what a worker needs that nothing has been under way of since an earlier life.
    pub(crate) fn recall(&self, worker: &WorkerId, needs: Needs<'_>) {
        if let Some(item) = self.other(worker, needs) {
            self.board.recall(worker, item);
        }
    }

    /// What waits besides approvals.
    fn other(&self, worker: &WorkerId, needs: Needs<'_>) -> Option<AttentionItem> {
        let Needs { is_terminal, execution, outcome, end, is_held } = needs;
        if is_terminal {
            let left = end.map(|end| end.survivors.len()).filter(|n| *n > 0)?;
            let message = format!("{left} of its processes could not be ended");
            return Some(self.item(
                worker,
                AttentionKind::Stuck,
                worker.as_str(),
                message,
                execution.since_at,
            ));
        }
        if let (RunState::Parked, Some(turn)) = (execution.run_state, &execution.turn_id) {
            let message = "waits until the vendor takes requests again".to_owned();
            let item = self.item(worker, AttentionKind::Parked, turn.as_str(), message, execution.since_at);
            return Some(AttentionItem { until: execution.until, ..item });
        }
        // Whoever begins another turn has seen how the last one ended.
        let outcome = outcome.filter(|_| execution.turn_id.is_none())?;
        let (kind, message) = if is_held {
            let message = "its turns were cut off by restarts too often; it waits for its next input";
            (AttentionKind::Stuck, message.to_owned())
        } else if let Some(error) =
            outcome.error.as_ref().filter(|error| error.code == BackendError::AUTHENTICATION_FAILED)
        {
            (AttentionKind::Login, format!("cannot log in: {}", prefix(&error.message, MAX_WORDS)))
        } else if outcome.limit == Some(LimitKind::InactivitySecs) {
            (AttentionKind::Stuck, "its turn was ended because nothing was heard of it".to_owned())
        } else {
            return None;
        };
        Some(self.item(worker, kind, outcome.turn_id.as_str(), message, outcome.finished_at))
    }

    fn item(
        &self,
        worker: &WorkerId,
        kind: AttentionKind,
        subject: &str,
        message: String,
        since_at: jiff::Timestamp,
    ) -> AttentionItem {
        AttentionItem {
            attention_id: AttentionId::of(kind, subject),
            kind,
            worker_id: worker.clone(),
            display_name: self.display_name.clone(),
            labels: self.labels.clone(),
            message,
            since_at,
            deadline_at: None,
            until: None,
            approval: None,
        }
    }
}

fn question(open: &Approval) -> (AttentionKind, String) {
    match open.kind {
        ApprovalKind::Question => {
            let first = open.questions.first().map_or("a question", |question| question.question.as_str());
            (AttentionKind::Question, format!("asks: {}", prefix(first, MAX_WORDS)))
        }
        ApprovalKind::Plan => {
            (AttentionKind::Approval, "asks whether its plan may be carried out".to_owned())
        }
        ApprovalKind::Tool | ApprovalKind::Unknown => {
            (AttentionKind::Approval, format!("asks to use `{}`", prefix(&open.tool, MAX_WORDS)))
        }
    }
}

/// An approval without what is large in it.
fn brief(open: Approval) -> Approval {
    let mut open = without_large_input(open);
    if size(&open.questions) > PREVIEW_BYTES {
        open.questions.clear();
    }
    if size(&open.suggestions) > PREVIEW_BYTES {
        open.suggestions.clear();
    }
    open
}

#[cfg(test)]
mod tests;
