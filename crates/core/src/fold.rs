//! The fold of a worker's log: everything about a worker follows from its events.

mod entry;
mod remembered;
mod restart;
mod turn;
mod usage;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use jiff::Timestamp;
use musher_protocol::{
    Actor, Approval, ApprovalId, Block, Connection, EndRequested, EventId, Execution, InputId, LastResult,
    Operation, Outcome, Payload, Role, RunState, SessionEnded, SessionId, Survivor, TranscriptEntry,
    TurnFinished, TurnId, TurnOutcome, Usage, WorkerEnded, WorkerLimits, WorkerRef, WorkerStatus,
};
use serde::{Deserialize, Serialize};

use crate::store::WorkerFacts;

pub(crate) use self::{
    remembered::{Remembered, can_remember},
    restart::{CUT_OFF, ON_RESTART, RESTARTED, Restart, STUCK},
    turn::{QueuedInput, Turn, TurnInput},
};

/// The code of the diagnostic that the vendor does not have the worker's session any more.
pub(crate) const SESSION_LOST: &str = "session.resume_refused";

/// How much of the last text an outcome repeats.
const OUTCOME_TEXT: usize = 4096;

/// What a worker's log says so far. Checkpoints hold it as JSON: a field that is added needs a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fold {
    pub(crate) worker_ref: WorkerRef,
    pub(crate) status: WorkerStatus,
    pub(crate) execution: Execution,
    /// The session that lives.
    pub(crate) session: Option<Session>,
    /// The session that a next one would continue.
    pub(crate) last_session: Option<SessionId>,
    /// The node that it runs on, or ran on.
    #[serde(default)]
    last_node: Option<String>,
    /// The last session ended badly, and nothing has begun since.
    pub(crate) errored: bool,
    pub(crate) turn: Option<Turn>,
    /// How the worker is ended, or was.
    pub(crate) end: Option<End>,
    pub(crate) queue: VecDeque<QueuedInput>,
    /// The last turn was cut off by the end of its runtime.
    pub(crate) restart: Option<Restart>,
    pub(crate) approvals: BTreeMap<ApprovalId, Approval>,
    /// What is allowed without asking, the oldest first.
    #[serde(default)]
    pub(crate) remembered: VecDeque<Remembered>,
    /// The limits that were raised, as they are since.
    #[serde(default)]
    pub(crate) raised: WorkerLimits,
    pub(crate) usage: Usage,
    /// Tokens in and out over the increments that say them, also when their sum is unknown. None in a fold of before they
    /// were counted.
    #[serde(default)]
    known_tokens: Option<u64>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) last_result: Option<LastResult>,
    pub(crate) transcript_len: u64,
    #[serde(default)]
    pub(crate) created_at: Timestamp,
    /// Turns that began.
    #[serde(default)]
    pub(crate) turns: u64,
    /// For how long turns ran, those that wait for a person or for a vendor left out.
    #[serde(default)]
    pub(crate) ran: Duration,
    /// Since when a turn runs that does.
    #[serde(default)]
    pub(crate) running_since: Option<Timestamp>,
    /// When the last event was decided, those left out that say how what was open ended.
    #[serde(default)]
    last_at: Timestamp,
    /// A session has begun, or the one that the worker was created for cannot be continued: that one is not looked for
    /// any more.
    #[serde(default)]
    pub(crate) has_begun: bool,
    /// A vendor has taken something up.
    #[serde(default)]
    pub(crate) was_taken: bool,
    /// The vendor no longer has the session that held what was said; no other one was told yet.
    #[serde(default)]
    pub(crate) lost_session: bool,
    /// The last text of the assistant, cut to what an outcome repeats.
    last_text: String,
    /// Whether that is not all of it.
    #[serde(default)]
    last_text_truncated: bool,
}

/// The request that ends a worker, and what it left: the outcome that repeats answer with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) kind: EndKind,
    pub(crate) request: EventId,
    pub(crate) reason: Option<String>,
    pub(crate) survivors: Vec<Survivor>,
}

/// How a worker is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EndKind {
    Stop,
    Cancel,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    /// It continues an earlier session.
    resumed: bool,
    /// The vendor took something up in it, so that it can be continued.
    taken: bool,
    pub(crate) usage: Usage,
}

/// An event that is about to be applied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decided<'a> {
    pub(crate) event_id: &'a EventId,
    pub(crate) at: Timestamp,
    pub(crate) payload: &'a Payload,
}

impl Fold {
    pub(crate) fn new(worker_ref: WorkerRef, at: Timestamp) -> Self {
        Self {
            worker_ref,
            status: WorkerStatus::Running,
            execution: Execution {
                connection: Connection::Unconnected,
                run_state: RunState::Unconnected,
                since_at: at,
                turn_id: None,
                until: None,
                last_result: None,
            },
            session: None,
            last_session: None,
            last_node: None,
            errored: false,
            turn: None,
            end: None,
            queue: VecDeque::new(),
            restart: None,
            approvals: BTreeMap::new(),
            remembered: VecDeque::new(),
            raised: WorkerLimits::default(),
            usage: Usage::zero(),
            known_tokens: Some(0),
            outcome: None,
            last_result: None,
            transcript_len: 0,
            created_at: at,
            turns: 0,
            ran: Duration::ZERO,
            running_since: None,
            last_at: at,
            has_begun: false,
            was_taken: false,
            lost_session: false,
            last_text: String::new(),
            last_text_truncated: false,
        }
    }

    pub(crate) fn facts(&self) -> WorkerFacts {
        let session_id = self.session.as_ref().map(|session| &session.id).or(self.last_session.as_ref());
        WorkerFacts {
            status: self.status,
            execution: self.execution.clone(),
            session_id: session_id.cloned(),
            node: self.last_node.clone().filter(|_| session_id.is_some()),
            transcript_len: self.transcript_len,
            queued_inputs: self.queue.len() as u64,
            approvals: self.approvals.values().cloned().collect(),
            raised: self.raised,
            usage: self.usage.clone(),
            outcome: self.outcome.clone(),
            end: self.end.clone(),
            unsettled: self.is_unsettled(),
        }
    }

    /// Whether nothing is open and nothing waits.
    pub(crate) fn is_quiet(&self) -> bool {
        self.turn.is_none() && self.queue.is_empty()
    }

    /// Whether something is under way that the next runtime has to end or to go on with.
    fn is_unsettled(&self) -> bool {
        let goes_on = self.restart.as_ref().is_some_and(|restart| restart.goes_on);
        !self.status.is_terminal()
            && (self.session.is_some()
                || self.turn.is_some()
                || self.end.is_some()
                || goes_on
                || !self.queue.is_empty())
    }

    /// The inputs that may still have to be handed over.
    pub(crate) fn pending(&mut self) -> impl Iterator<Item = &mut QueuedInput> {
        let delivered = self.turn.iter_mut().flat_map(|turn| &mut turn.inputs).map(|input| &mut input.input);
        self.queue.iter_mut().chain(delivered)
    }

    /// The places in the transcript of what the worker's next session is told now or later: no part of what was said
    /// before.
    pub(crate) fn untold(&self) -> BTreeSet<u64> {
        let queued = self.queue.iter().filter_map(|queued| queued.said);
        queued.chain(self.turn.iter().flat_map(Turn::untold)).collect()
    }

    /// Applies an event, and answers with the transcript entries that it makes or changes.
    pub(crate) fn apply(&mut self, event: Decided<'_>) -> Vec<TranscriptEntry> {
        let entries = self.apply_payload(event);
        if !says_the_end_of(event.payload) {
            self.last_at = event.at;
        }
        entries
    }

    fn apply_payload(&mut self, event: Decided<'_>) -> Vec<TranscriptEntry> {
        match event.payload {
            Payload::InputAccepted { input_id, kind, content, blob, by, .. } => {
                self.queue.push_back(QueuedInput {
                    input_id: input_id.clone(),
                    kind: *kind,
                    content: content.clone(),
                    blob: *blob,
                    said: None,
                });
                if let Some(restart) = &mut self.restart {
                    restart.asked |= *by != Actor::rule(ON_RESTART);
                }
            }
            Payload::InputDelivered { input_id, turn_id } => self.delivered(input_id, turn_id),
            Payload::InputTaken { input_id } => self.taken(input_id),
            Payload::InputDropped { input_id, .. } => {
                self.queue.retain(|queued| queued.input_id != *input_id)
            }
            Payload::UserMessage { content, blob, input_id } => {
                let entry = self.entry(event, Role::User, content.clone(), *blob);
                self.said(Some(input_id));
                return vec![entry];
            }
            Payload::SystemItem { content, blob, input_id } => {
                let entry = self.entry(event, Role::System, content.clone(), *blob);
                self.said(input_id.as_ref());
                return vec![entry];
            }
            Payload::SessionStarted(started) => {
                self.session = Some(Session {
                    id: started.session_id.clone(),
                    resumed: started.resumed,
                    taken: false,
                    usage: Usage::zero(),
                });
                self.last_session = Some(started.session_id.clone());
                self.last_node = Some(started.node.clone());
                self.has_begun = true;
                self.errored = false;
            }
            Payload::SessionEnded(ended) => self.session_ended(ended),
            Payload::TurnStarted { turn_id, .. } => {
                self.open_turn(turn_id).started_at = Some(event.at);
                self.turns += 1;
                self.errored = false;
                if let Some(restart) = &mut self.restart {
                    restart.goes_on = false;
                }
            }
            Payload::TurnFinished(finished) => return self.turn_finished(event, finished),
            Payload::TextDelta { block, text, .. } => self.running().block(*block, false).push_str(text),
            Payload::ThinkingDelta { block, text, .. } => self.running().block(*block, true).push_str(text),
            Payload::TextDone { block, text, blob, .. } => {
                self.close_block(*block);
                self.spoke(text, blob.is_none());
                return vec![self.entry(event, Role::Assistant, text.clone(), *blob)];
            }
            Payload::ThinkingDone { block, text, blob, .. } => {
                self.close_block(*block);
                return vec![self.entry(event, Role::Thinking, text.clone(), *blob)];
            }
            Payload::ToolCallStarted { tool_call_id, name, .. } => {
                self.running().call(tool_call_id, name);
            }
            Payload::ToolCallDelta { tool_call_id, arguments } => {
                self.running().call(tool_call_id, "").arguments.push_str(arguments)
            }
            Payload::ToolCallDone { tool_call_id, name, input, blob } => {
                let mut entry = self.entry(event, Role::Tool, String::new(), None);
                entry.input = Some(input.clone());
                entry.input_blob = *blob;
                return vec![self.called(tool_call_id, name, entry)];
            }
            Payload::ToolResult { tool_call_id, content, is_error, .. } => {
                return self
                    .returned(tool_call_id)
                    .map(|entry| TranscriptEntry {
                        // The event's blob may be of more than the model was told, and the entry is not.
                        result: Some(content.clone()),
                        is_error: Some(*is_error),
                        ..entry
                    })
                    .into_iter()
                    .collect();
            }
            Payload::ApprovalRequested(approval) => {
                self.approvals.insert(approval.approval_id.clone(), (**approval).clone());
            }
            Payload::ApprovalResolved { approval_id, remember, .. } => {
                let asked = self.approvals.remove(approval_id);
                if let (Some(asked), Some(what)) = (asked, remember) {
                    self.remember(&asked, *what);
                }
            }
            Payload::Usage { .. } => self.add_usage(event.payload),
            Payload::Retrying(retrying) => {
                if let Some(turn) = &mut self.turn {
                    turn.blocks.retain(|open| !retrying.discarded_blocks.contains(&open.block));
                }
            }
            Payload::Status { status, execution } => {
                self.status = *status;
                self.execution = execution.clone();
                if execution.run_state == RunState::Busy {
                    self.running_since.get_or_insert(event.at);
                } else {
                    self.stop_time(event.at);
                }
            }
            Payload::StopRequested(requested) => self.end_requested(EndKind::Stop, event, requested),
            Payload::CancelRequested(requested) => self.end_requested(EndKind::Cancel, event, requested),
            Payload::InterruptRequested(_) => {
                if let Some(turn) = &mut self.turn {
                    turn.interrupt.get_or_insert_with(|| event.event_id.clone());
                }
            }
            Payload::LimitReached { which } => {
                if let Some(turn) = &mut self.turn {
                    turn.limit = Some(*which);
                }
            }
            Payload::WorkerStopped(ended) => self.ended(WorkerStatus::Stopped, event.at, ended),
            Payload::WorkerCancelled(ended) => self.ended(WorkerStatus::Cancelled, event.at, ended),
            // Nothing had run, so the vendor did not take it up: it will be sent again.
            Payload::RateLimited { .. } => {
                if let Some(turn) = &mut self.turn {
                    // The backend has said before what was used until then.
                    turn.uses = false;
                    if !turn.has_run {
                        turn.inputs.iter_mut().for_each(|input| input.taken = false);
                    }
                }
            }
            Payload::Diagnostic { code, .. } if code == SESSION_LOST => {
                self.last_session = None;
                self.has_begun = true;
                self.lost_session = true;
            }
            Payload::Diagnostic { code, .. } => {
                if let Some(restart) = self.restart.as_mut().filter(|_| code == STUCK) {
                    restart.told = true;
                }
            }
            Payload::LimitsRaised { limits, by: _ } => self.raised = self.raised.with(limits),
            Payload::Snapshot(_)
            | Payload::WorkerCreated(_)
            | Payload::SessionEnvironment(_)
            | Payload::Error { .. }
            | Payload::Unknown => {}
        }
        Vec::new()
    }

    fn end_requested(&mut self, kind: EndKind, event: Decided<'_>, requested: &EndRequested) {
        let reason = requested.reason.clone();
        self.end = Some(End { kind, request: event.event_id.clone(), reason, survivors: Vec::new() });
    }

    fn ended(&mut self, status: WorkerStatus, at: Timestamp, ended: &WorkerEnded) {
        self.status = status;
        if let Some(end) = &mut self.end {
            end.survivors.clone_from(&ended.survivors);
        }
        self.execution = Execution {
            connection: Connection::Unconnected,
            run_state: RunState::Stopped,
            since_at: at,
            turn_id: None,
            until: None,
            last_result: self.last_result,
        };
    }

    fn open_turn(&mut self, turn_id: &TurnId) -> &mut Turn {
        if self.turn.as_ref().is_none_or(|turn| turn.id != *turn_id) {
            self.turn = Some(Turn::new(turn_id.clone()));
            self.spoke("", true);
        }
        self.turn.as_mut().expect("it was just opened")
    }

    fn delivered(&mut self, input_id: &InputId, turn_id: &TurnId) {
        let Some(place) = self.queue.iter().position(|queued| queued.input_id == *input_id) else { return };
        let input = self.queue.remove(place).expect("the place was just found");
        let joined = self.turn.as_ref().is_some_and(|turn| turn.id == *turn_id);
        self.open_turn(turn_id).inputs.push(TurnInput { input, taken: false, joined });
    }

    fn taken(&mut self, input_id: &InputId) {
        self.lost_session = false;
        self.was_taken = true;
        if let Some(session) = &mut self.session {
            session.taken = true;
        }
        let inputs = self.turn.iter_mut().flat_map(|turn| &mut turn.inputs);
        for input in inputs.filter(|input| input.input.input_id == *input_id) {
            input.taken = true;
        }
        if let Some(turn) = &mut self.turn {
            turn.uses = true;
        }
    }

    /// Remembers where in the transcript the newest entry's input is.
    fn said(&mut self, input_id: Option<&InputId>) {
        let said = Some(self.transcript_len);
        let inputs = self.turn.iter_mut().flat_map(|turn| &mut turn.inputs);
        for input in inputs.filter(|input| Some(&input.input.input_id) == input_id) {
            input.input.said = said;
        }
    }

    /// The turn that texts and tool calls belong to.
    fn running(&mut self) -> &mut Turn {
        self.turn.as_mut().expect("texts and tool calls are recorded in an open turn only")
    }

    fn close_block(&mut self, block: Block) {
        if let Some(turn) = &mut self.turn {
            turn.has_run = true;
            turn.blocks.retain(|open| open.block != block);
        }
    }

    /// The assistant said this; `is_whole` when it is no preview.
    fn spoke(&mut self, text: &str, is_whole: bool) {
        let kept = prefix(text, OUTCOME_TEXT);
        self.last_text_truncated = !is_whole || kept.len() < text.len();
        self.last_text = kept.to_owned();
    }

    fn turn_finished(&mut self, event: Decided<'_>, finished: &TurnFinished) -> Vec<TranscriptEntry> {
        let cut_off = self.turn.as_mut().map(|turn| std::mem::take(&mut turn.blocks)).unwrap_or_default();
        let mut entries = Vec::new();
        for open in cut_off.into_iter().filter(|open| !open.text.is_empty()) {
            if !open.thinking {
                self.spoke(&open.text, true);
            }
            let role = if open.thinking { Role::Thinking } else { Role::Assistant };
            entries.push(TranscriptEntry { partial: true, ..self.entry(event, role, open.text, None) });
        }
        let turn = self.turn.take();
        // A turn that is being ended is over within seconds; what lies before its end may be a time without a runtime.
        let was_ending = self.end.is_some()
            || turn.as_ref().is_some_and(|turn| turn.interrupt.is_some() || turn.limit.is_some());
        let inputs = turn.map(|turn| turn.inputs).unwrap_or_default();
        let is_cut_off = self.restarted(finished, &inputs);
        if is_cut_off || was_ending {
            self.stop_time(self.last_at);
        }
        // Pending again, in the old order: what came too late for its turn, and all that was not taken up of one that was
        // cut off. Otherwise what a turn began with ends with it.
        let is_pending = |input: &TurnInput| !input.taken && (is_cut_off || input.joined);
        for pending in inputs.into_iter().rev().filter(is_pending) {
            self.queue.push_front(pending.input);
        }
        self.last_result = Some(LastResult { operation: Operation::Turn, outcome: finished.outcome });
        self.outcome = Some(Outcome {
            turn_id: finished.turn_id.clone(),
            outcome: finished.outcome,
            stop_reason: finished.stop_reason,
            limit: finished.limit,
            error: finished.error.clone(),
            text: self.last_text.clone(),
            text_truncated: self.last_text_truncated,
            finished_at: event.at,
            session_id: self.last_session.clone(),
            exit_ok: None,
            aborted: None,
            rate_limited: None,
            rate_limit_reset_at: None,
            usage: self.usage.clone(),
        });
        entries
    }

    /// A turn that ran runs no more; a clock that was set back makes no time.
    fn stop_time(&mut self, at: Timestamp) {
        if let Some(since) = self.running_since.take() {
            self.ran += Duration::try_from(at.duration_since(since)).unwrap_or_default();
        }
    }

    fn session_ended(&mut self, ended: &SessionEnded) {
        // The vendor knows nothing of a new session in which it took nothing up.
        if self.session.take().is_some_and(|session| !session.taken && !session.resumed) {
            self.last_session = None;
        }
        self.errored = !ended.exit_ok;
        if !ended.exit_ok {
            self.last_result =
                Some(LastResult { operation: Operation::Session, outcome: TurnOutcome::Failed });
        }
        let of_this_session = |outcome: &&mut Outcome| outcome.session_id == ended.session_id;
        if let Some(outcome) = self.outcome.as_mut().filter(of_this_session) {
            outcome.exit_ok = Some(ended.exit_ok);
            outcome.aborted = Some(ended.aborted);
            outcome.rate_limited = Some(ended.rate_limited);
            outcome.rate_limit_reset_at = ended.rate_limit_reset_at;
        }
    }
}

/// Whether an event says how something that was open ended, and not that anything went on: such events may come in a
/// later life than what they are about.
fn says_the_end_of(payload: &Payload) -> bool {
    if let Payload::ToolResult { content, is_error, .. } = payload {
        return *is_error && content == CUT_OFF;
    }
    matches!(payload, Payload::Usage { .. } | Payload::ApprovalResolved { .. })
}

/// The longest prefix of at most so many bytes that ends between two characters.
pub(crate) fn prefix(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}
