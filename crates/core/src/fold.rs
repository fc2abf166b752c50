//! The fold of a worker's log: everything about a worker follows from its events.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use musher_backend::BackendError;
use musher_protocol::{
    Approval, ApprovalId, Block, Connection, EventId, Execution, InFlight, InFlightKind, InputId, InputKind,
    LastResult, Operation, Outcome, Payload, Role, RunState, SessionEnded, SessionId, Survivor, ToolCallId,
    TranscriptEntry, TurnFinished, TurnId, TurnOutcome, Usage, WorkerEnded, WorkerRef, WorkerStatus,
};
use serde_json::Value;

use crate::store::WorkerFacts;

/// How much of the last text an outcome repeats.
const OUTCOME_TEXT: usize = 4096;

/// What a worker's log says so far.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fold {
    pub(crate) worker_ref: WorkerRef,
    pub(crate) status: WorkerStatus,
    pub(crate) execution: Execution,
    /// The session that lives.
    pub(crate) session: Option<Session>,
    /// The session that a next one would continue.
    pub(crate) last_session: Option<SessionId>,
    /// The last session ended badly, and nothing has begun since.
    pub(crate) errored: bool,
    pub(crate) turn: Option<Turn>,
    /// How the worker is ended, or was.
    pub(crate) end: Option<End>,
    pub(crate) queue: VecDeque<QueuedInput>,
    pub(crate) approvals: BTreeMap<ApprovalId, Approval>,
    pub(crate) usage: Usage,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) last_result: Option<LastResult>,
    pub(crate) transcript_len: u64,
    /// The last whole text of the assistant, cut to what an outcome repeats.
    last_text: String,
}

/// The request that ends a worker, and what it left: the outcome that repeats answer with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) request: EventId,
    pub(crate) survivors: Vec<Survivor>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    /// It continues an earlier session.
    resumed: bool,
    /// The vendor took something up in it, so that it can be continued.
    taken: bool,
    pub(crate) usage: Usage,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Turn {
    pub(crate) id: TurnId,
    /// The inputs it answers, and whether the backend has them.
    pub(crate) inputs: Vec<TurnInput>,
    pub(crate) blocks: Vec<OpenBlock>,
    pub(crate) calls: Vec<OpenCall>,
    pub(crate) last_tool: Option<String>,
    pub(crate) usage: Usage,
    /// Something that the model said or did is in the log.
    pub(crate) has_run: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TurnInput {
    pub(crate) input: QueuedInput,
    pub(crate) taken: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueuedInput {
    pub(crate) input_id: InputId,
    pub(crate) kind: InputKind,
    pub(crate) content: String,
}

/// A text or thought that is not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenBlock {
    block: Block,
    thinking: bool,
    text: String,
}

/// A tool call without a result.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OpenCall {
    pub(crate) id: ToolCallId,
    name: String,
    arguments: String,
    /// Its transcript entry once the call is whole: from then on the tool may have run.
    entry: Option<TranscriptEntry>,
}

impl OpenCall {
    pub(crate) fn may_have_run(&self) -> bool {
        self.entry.is_some()
    }
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
            errored: false,
            turn: None,
            end: None,
            queue: VecDeque::new(),
            approvals: BTreeMap::new(),
            usage: Usage::zero(),
            outcome: None,
            last_result: None,
            transcript_len: 0,
            last_text: String::new(),
        }
    }

    pub(crate) fn facts(&self) -> WorkerFacts {
        WorkerFacts {
            status: self.status,
            execution: self.execution.clone(),
            session_id: self
                .session
                .as_ref()
                .map(|session| &session.id)
                .or(self.last_session.as_ref())
                .cloned(),
            transcript_len: self.transcript_len,
            queued_inputs: self.queue.len() as u64,
            approvals: self.approvals.values().cloned().collect(),
            usage: self.usage.clone(),
            outcome: self.outcome.clone(),
            end: self.end.clone(),
        }
    }

    /// Applies an event, and answers with the transcript entries that it makes or changes.
    pub(crate) fn apply(&mut self, event: Decided<'_>) -> Vec<TranscriptEntry> {
        match event.payload {
            Payload::InputAccepted { input_id, kind, content, .. } => {
                self.queue.push_back(QueuedInput {
                    input_id: input_id.clone(),
                    kind: *kind,
                    content: content.clone(),
                });
            }
            Payload::InputDelivered { input_id, turn_id } => self.delivered(input_id, turn_id),
            Payload::InputTaken { input_id } => self.taken(input_id),
            Payload::InputDropped { input_id, .. } => {
                self.queue.retain(|queued| queued.input_id != *input_id)
            }
            Payload::UserMessage { content, .. } => {
                return vec![self.entry(event, Role::User, content.clone())];
            }
            Payload::SystemItem { content, .. } => {
                return vec![self.entry(event, Role::System, content.clone())];
            }
            Payload::SessionStarted(started) => {
                self.session = Some(Session {
                    id: started.session_id.clone(),
                    resumed: started.resumed,
                    taken: false,
                    usage: Usage::zero(),
                });
                self.last_session = Some(started.session_id.clone());
                self.errored = false;
            }
            Payload::SessionEnded(ended) => self.session_ended(ended),
            Payload::TurnStarted { turn_id, .. } => {
                self.open_turn(turn_id);
                self.errored = false;
            }
            Payload::TurnFinished(finished) => return self.turn_finished(event, finished),
            Payload::TextDelta { block, text, .. } => self.block(*block, false).push_str(text),
            Payload::ThinkingDelta { block, text, .. } => self.block(*block, true).push_str(text),
            Payload::TextDone { block, text, .. } => {
                self.close_block(*block);
                self.last_text = prefix(text, OUTCOME_TEXT).to_owned();
                return vec![self.entry(event, Role::Assistant, text.clone())];
            }
            Payload::ThinkingDone { block, text, .. } => {
                self.close_block(*block);
                return vec![self.entry(event, Role::Thinking, text.clone())];
            }
            Payload::ToolCallStarted { tool_call_id, name, .. } => {
                self.call(tool_call_id, name);
            }
            Payload::ToolCallDelta { tool_call_id, arguments } => {
                self.call(tool_call_id, "").arguments.push_str(arguments)
            }
            Payload::ToolCallDone { tool_call_id, name, input } => {
                return vec![self.called(event, tool_call_id, name, input)];
            }
            Payload::ToolResult { tool_call_id, content, is_error, .. } => {
                return self.tool_result(tool_call_id, content, *is_error);
            }
            Payload::ApprovalRequested(approval) => {
                self.approvals.insert(approval.approval_id.clone(), (**approval).clone());
            }
            Payload::ApprovalResolved { approval_id, .. } => {
                self.approvals.remove(approval_id);
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
            }
            Payload::StopRequested(_) | Payload::CancelRequested(_) => {
                self.end = Some(End { request: event.event_id.clone(), survivors: Vec::new() });
            }
            Payload::WorkerStopped(ended) => self.ended(WorkerStatus::Stopped, event.at, ended),
            Payload::WorkerCancelled(ended) => self.ended(WorkerStatus::Cancelled, event.at, ended),
            Payload::Snapshot(_)
            | Payload::WorkerCreated(_)
            | Payload::InterruptRequested(_)
            | Payload::SessionEnvironment(_)
            | Payload::RateLimited { .. }
            | Payload::LimitReached { .. }
            | Payload::LimitsRaised { .. }
            | Payload::Diagnostic { .. }
            | Payload::Error { .. }
            | Payload::Unknown => {}
        }
        Vec::new()
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
            self.turn = Some(Turn {
                id: turn_id.clone(),
                inputs: Vec::new(),
                blocks: Vec::new(),
                calls: Vec::new(),
                last_tool: None,
                usage: Usage::zero(),
                has_run: false,
            });
            self.last_text.clear();
        }
        self.turn.as_mut().expect("it was just opened")
    }

    fn delivered(&mut self, input_id: &InputId, turn_id: &TurnId) {
        let Some(place) = self.queue.iter().position(|queued| queued.input_id == *input_id) else { return };
        let input = self.queue.remove(place).expect("the place was just found");
        self.open_turn(turn_id).inputs.push(TurnInput { input, taken: false });
    }

    fn taken(&mut self, input_id: &InputId) {
        if let Some(session) = &mut self.session {
            session.taken = true;
        }
        let inputs = self.turn.iter_mut().flat_map(|turn| &mut turn.inputs);
        for input in inputs.filter(|input| input.input.input_id == *input_id) {
            input.taken = true;
        }
    }

    fn block(&mut self, block: Block, thinking: bool) -> &mut String {
        let turn = self.turn.as_mut().expect("texts belong to an open turn");
        turn.has_run = true;
        let place = turn.blocks.iter().position(|open| open.block == block).unwrap_or_else(|| {
            turn.blocks.push(OpenBlock { block, thinking, text: String::new() });
            turn.blocks.len() - 1
        });
        &mut turn.blocks[place].text
    }

    fn close_block(&mut self, block: Block) {
        if let Some(turn) = &mut self.turn {
            turn.has_run = true;
            turn.blocks.retain(|open| open.block != block);
        }
    }

    fn call(&mut self, id: &ToolCallId, name: &str) -> &mut OpenCall {
        let turn = self.turn.as_mut().expect("tool calls belong to an open turn");
        turn.has_run = true;
        let place = turn.calls.iter().position(|call| call.id == *id).unwrap_or_else(|| {
            turn.calls.push(OpenCall {
                id: id.clone(),
                name: name.to_owned(),
                arguments: String::new(),
                entry: None,
            });
            turn.calls.len() - 1
        });
        &mut turn.calls[place]
    }

    fn called(&mut self, event: Decided<'_>, id: &ToolCallId, name: &str, input: &Value) -> TranscriptEntry {
        let mut entry = self.entry(event, Role::Tool, String::new());
        entry.tool_call_id = Some(id.clone());
        entry.name = Some(name.to_owned());
        entry.input = Some(input.clone());
        let call = self.call(id, name);
        name.clone_into(&mut call.name);
        call.entry = Some(entry.clone());
        if let Some(turn) = &mut self.turn {
            turn.last_tool = Some(name.to_owned());
        }
        entry
    }

    fn tool_result(&mut self, id: &ToolCallId, content: &str, is_error: bool) -> Vec<TranscriptEntry> {
        let calls = self.turn.as_mut().map(|turn| &mut turn.calls);
        let closed = calls
            .and_then(|calls| calls.iter().position(|call| call.id == *id).map(|place| calls.remove(place)));
        let entry = closed.and_then(|call| call.entry);
        entry
            .map(|entry| TranscriptEntry {
                result: Some(content.to_owned()),
                is_error: Some(is_error),
                ..entry
            })
            .into_iter()
            .collect()
    }

    fn add_usage(&mut self, payload: &Payload) {
        let Some(increment) = payload.increment() else { return };
        self.usage.add(&increment);
        if let Some(turn) = &mut self.turn {
            turn.usage.add(&increment);
        }
        if let Some(session) = &mut self.session {
            session.usage.add(&increment);
        }
        if let Some(outcome) = &mut self.outcome {
            outcome.usage = self.usage.clone();
        }
    }

    fn turn_finished(&mut self, event: Decided<'_>, finished: &TurnFinished) -> Vec<TranscriptEntry> {
        let cut_off = self.turn.as_mut().map(|turn| std::mem::take(&mut turn.blocks)).unwrap_or_default();
        let mut entries = Vec::new();
        for open in cut_off.into_iter().filter(|open| !open.text.is_empty()) {
            if !open.thinking {
                self.last_text = prefix(&open.text, OUTCOME_TEXT).to_owned();
            }
            let role = if open.thinking { Role::Thinking } else { Role::Assistant };
            entries.push(TranscriptEntry { partial: true, ..self.entry(event, role, open.text) });
        }
        self.turn = None;
        self.last_result = Some(LastResult { operation: Operation::Turn, outcome: finished.outcome });
        self.outcome = Some(Outcome {
            turn_id: finished.turn_id.clone(),
            outcome: finished.outcome,
            stop_reason: finished.stop_reason,
            limit: finished.limit,
            error: finished.error.clone(),
            text: self.last_text.clone(),
            finished_at: event.at,
            session_id: self.last_session.clone(),
            exit_ok: None,
            aborted: None,
            rate_limited: None,
            rate_limit_reset_at: None,
            usage: self.usage.clone(),
        });
        if finished.error.as_ref().is_some_and(|error| error.code == BackendError::RESUME_REFUSED) {
            self.last_session = None;
        }
        entries
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

    fn entry(&mut self, event: Decided<'_>, role: Role, content: String) -> TranscriptEntry {
        self.transcript_len += 1;
        TranscriptEntry {
            sequence: self.transcript_len,
            worker_ref: self.worker_ref.clone(),
            role,
            content,
            event_id: event.event_id.clone(),
            at: event.at,
            turn_id: self.turn.as_ref().map(|turn| turn.id.clone()),
            partial: false,
            tool_call_id: None,
            name: None,
            input: None,
            result: None,
            is_error: None,
        }
    }
}

impl Turn {
    /// The assistant's text that is not complete.
    pub(crate) fn text_so_far(&self) -> Option<String> {
        let text: String =
            self.blocks.iter().filter(|open| !open.thinking).map(|open| open.text.as_str()).collect();
        (!text.is_empty()).then_some(text)
    }

    pub(crate) fn in_flight(&self) -> impl Iterator<Item = InFlight> {
        let texts = self.blocks.iter().map(|open| InFlight {
            turn_id: self.id.clone(),
            block: Some(open.block),
            tool_call_id: None,
            kind: if open.thinking { InFlightKind::Thinking } else { InFlightKind::Text },
            text: open.text.clone(),
            omitted_bytes: 0,
        });
        let unsaid = self.calls.iter().filter(|call| !call.may_have_run());
        texts.chain(unsaid.map(|call| InFlight {
            turn_id: self.id.clone(),
            block: None,
            tool_call_id: Some(call.id.clone()),
            kind: InFlightKind::ToolCall,
            text: call.arguments.clone(),
            omitted_bytes: 0,
        }))
    }
}

/// The longest prefix of at most so many bytes that ends between two characters.
pub(crate) fn prefix(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}
