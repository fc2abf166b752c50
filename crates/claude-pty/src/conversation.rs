//! A conversation with Claude Code: what it writes, read as what happens, and what is to be written back.
//!
//! Pure: no clock, no pipe, no waiting. A line or a command goes in, [`Output`]s come out in order.

mod asking;
mod ending;
mod lookout;
mod meter;
mod remarks;
mod speech;
mod tasks;
mod turn;

use jiff::Timestamp;
use musher_backend::{ApprovalRequest, Event, Input, TurnEnd, Verdict};
use musher_protocol::{McpServer, SessionEnvironment};
use serde_json::Value;
use uuid::Uuid;

use self::{
    asking::{Asker, Asking},
    ending::Ending,
    lookout::Lookout,
    meter::Meter,
    remarks::Remarks,
    speech::Speech,
    tasks::Tasks,
    turn::{Asked, Interrupt, Run, Turn},
};
use crate::{
    say::{self, Said},
    servers::Servers,
    wire::{self, ApiRetry, Denial, Init, Line, RateLimit, Response, StreamEvent, Streamed, TurnResult},
};

/// The first request of a session.
const INITIALIZE: &str = "initialize";

/// A login may fetch a fresh token and gives up by itself after two attempts; an API key is tried for minutes
/// and stays wrong.
const LOCKED_OUT: u64 = 3;

/// What is to be done, in order.
#[derive(Debug, PartialEq)]
pub(crate) enum Output {
    /// Report this.
    Event(Event),
    /// Ask for leave, and answer under this id.
    Ask { request_id: String, request: ApprovalRequest },
    /// The question under this id needs no answer any more.
    Withdraw { request_id: String },
    /// Write this.
    Say(Said),
    /// The session cannot go on.
    Refused(Refusal),
}

/// Why the program refuses the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It does not have the session that was to be continued.
    Resume(String),
    /// It does not take the instructions.
    Initialize(String),
}

/// A usage limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// When it resets, where the vendor says so.
    pub(crate) reset_at: Option<Timestamp>,
}

/// What a conversation begins with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Opening {
    /// Whether a session is continued.
    pub(crate) is_resumed: bool,
    /// What to add to the vendor's instructions.
    pub(crate) instructions: Option<String>,
    /// What the first message begins with.
    pub(crate) preface: Option<String>,
    /// Where the program takes settings from.
    pub(crate) settings_sources: Vec<String>,
    /// Whether tasks may go on behind a turn's end.
    pub(crate) has_background: bool,
    /// The MCP servers of its worker.
    pub(crate) servers: Servers,
    /// The names of the program's variables.
    pub(crate) env_keys: Vec<String>,
}

/// The state of a conversation.
#[derive(Debug)]
pub(crate) struct Conversation {
    opening: Opening,
    is_ready: bool,
    turn: Option<Turn>,
    /// The usage limit that the last attempt ended at, when nothing came after it.
    limit: Option<Limit>,
    n_interrupts: u64,
    environment: Option<SessionEnvironment>,
    speech: Speech,
    meter: Meter,
    asking: Asking,
    tasks: Tasks,
    lookout: Lookout,
    remarks: Remarks,
}

impl Conversation {
    pub(crate) fn new(opening: Opening) -> Self {
        Self {
            lookout: Lookout::of(&opening.servers),
            opening,
            is_ready: false,
            turn: None,
            limit: None,
            n_interrupts: 0,
            environment: None,
            speech: Speech::default(),
            meter: Meter::default(),
            asking: Asking::default(),
            tasks: Tasks::default(),
            remarks: Remarks::default(),
        }
    }

    /// The first line of it.
    pub(crate) fn greeting(&self) -> Said {
        say::initialize(INITIALIZE, self.opening.instructions.as_deref())
    }

    /// The program has the session already, so that it is one to be continued.
    pub(crate) fn continues_a_session(&mut self) {
        self.opening.is_resumed = true;
    }

    /// Whether the program has shown that it works.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Whether messages wait for MCP servers.
    pub(crate) fn awaits_servers(&self) -> bool {
        self.lookout.is_waiting()
    }

    /// Asks how the servers are that are waited for.
    pub(crate) fn look_for_servers(&mut self) -> Option<Output> {
        self.lookout.look().map(Output::Say)
    }

    /// Waits for servers no longer.
    pub(crate) fn give_up_servers(&mut self) -> Vec<Output> {
        self.lookout.give_up();
        self.send_unsent()
    }

    pub(crate) fn has_open_turn(&self) -> bool {
        self.turn.is_some()
    }

    /// The usage limit that the last attempt ended at.
    pub(crate) fn limit(&self) -> Option<Limit> {
        self.limit
    }

    /// Begins a turn; `uuid` is a fresh one for its message.
    pub(crate) fn input(&mut self, input: &Input, uuid: Uuid) -> Vec<Output> {
        self.limit = None;
        // The program would begin a turn without a user's words.
        if input.content.trim().is_empty() {
            return vec![event(Event::TurnEnded(TurnEnd::failed("empty_input", "the input is blank")))];
        }
        let unsent = Some(say::message(uuid, self.opening.preface.take(), input));
        let asked = Asked { input_id: input.input_id.clone(), uuid, unsent, is_taken: false };
        match &mut self.turn {
            // Something woke by itself at the same moment: the message follows when that is done, for one that
            // comes in between would become a part of it.
            Some(turn) => turn.join(asked),
            None => self.turn = Some(Turn::of(asked)),
        }
        self.send_unsent()
    }

    /// Asks for the open turn's end.
    pub(crate) fn interrupt(&mut self) -> Vec<Output> {
        let Some(turn) = &mut self.turn else { return Vec::new() };
        if turn.asked.as_ref().is_some_and(|asked| asked.unsent.is_some()) {
            turn.asked = None;
            if turn.run == Run::Awaited {
                self.turn = None;
                return vec![event(Event::TurnEnded(TurnEnd::Interrupted))];
            }
        }
        match turn.run {
            Run::Awaited => {
                turn.interrupt = Interrupt::Held;
                Vec::new()
            }
            Run::Foreign | Run::Underway => self.send_interrupt(),
        }
    }

    /// Answers a question; nothing when it has lapsed.
    pub(crate) fn decide(&mut self, request_id: &str, verdict: Verdict) -> Option<Output> {
        self.asking.answer(request_id, verdict).map(Output::Say)
    }

    /// What a decision would let run, and with which input; none when it lets nothing run.
    pub(crate) fn would_run<'a>(
        &'a self,
        request_id: &str,
        verdict: &'a Verdict,
    ) -> Option<(&'a str, &'a Value)> {
        let request = self.asking.request(request_id)?;
        match verdict {
            Verdict::Allow { updated_input, answers: _ } => {
                Some((&request.tool, updated_input.as_ref().unwrap_or(&request.input)))
            }
            Verdict::Deny { .. } => None,
        }
    }

    /// Refuses what a question is about, whoever would allow it: the answer, and what there is to tell; none when the
    /// question has lapsed.
    pub(crate) fn refuse(&mut self, request_id: &str, why: &str) -> Option<(Said, Event)> {
        let remark = remarks::kept_from(&self.asking.request(request_id)?.tool, why);
        let said = self.asking.answer(request_id, Verdict::deny(why))?;
        Some((said, remark))
    }

    /// A line that the program wrote.
    pub(crate) fn line(&mut self, line: &[u8]) -> Vec<Output> {
        let Ok((read, strange)) = Line::parse(line) else {
            return self.remarks.not_json(line).map(event).into_iter().collect();
        };
        let mut outputs: Vec<_> =
            strange.iter().filter_map(|field| self.remarks.unknown_field(field)).map(event).collect();
        outputs.extend(self.read(read, line));
        outputs
    }

    fn read(&mut self, read: Line, line: &[u8]) -> Vec<Output> {
        match read {
            Line::Init(init) => self.begin(init),
            Line::Stream(streamed) => self.stream(streamed),
            Line::Assistant(said) => self.assistant(said),
            Line::User(said) => self.user(said),
            Line::Result(result) => self.result(&result),
            Line::CanUseTool { request_id, ask } => {
                let is_task = ask.tool_use_id.as_deref().is_some_and(|call| self.tasks.is_call(call));
                let asker = if is_task { Asker::Task } else { Asker::Turn };
                let turn = self.turn.as_mut().filter(|_| asker == Asker::Turn);
                let taken = turn.and_then(Turn::take).map(event);
                let request = self.asking.ask(&request_id, ask, asker);
                taken.into_iter().chain([Output::Ask { request_id, request }]).collect()
            }
            Line::RequestCanceled { request_id } => {
                let was_open = self.asking.lapse(&request_id);
                was_open.then_some(Output::Withdraw { request_id }).into_iter().collect()
            }
            Line::OtherRequest { request_id, subtype } => {
                let remark =
                    self.remarks.unknown_event(&format!("control_request/{subtype}"), line).map(event);
                [Output::Say(say::unsupported(&request_id))].into_iter().chain(remark).collect()
            }
            Line::Response(response) => self.response(response),
            Line::ApiRetry(retry) => self.api_retry(retry),
            Line::RateLimit(limit) => self.rate_limit(limit),
            Line::TaskStarted(task) => {
                self.tasks.started(task);
                self.background()
            }
            Line::TaskEnded { task_id } => {
                self.tasks.ended(&task_id);
                self.background()
            }
            Line::BackgroundTasks(tasks) => {
                self.tasks.are(tasks.into_iter().map(|task| task.task_id).collect());
                self.background()
            }
            Line::PermissionDenied(denial) => self.denied(denial).map(event).into_iter().collect(),
            Line::Compacted(how) => {
                let message = format!("Claude Code shortened the conversation: {how}");
                let code = "claude.compacted".to_owned();
                vec![event(Event::Diagnostic { code, message: crate::bounded(&message, 512) })]
            }
            Line::Notice(text) => vec![event(self.remarks.notice(&text))],
            Line::Unknown(name) => self.remarks.unknown_event(&name, line).map(event).into_iter().collect(),
            Line::Quiet => Vec::new(),
        }
    }

    /// How many tasks go on behind the turn, when that is news and may be.
    fn background(&mut self) -> Vec<Output> {
        let news = self.tasks.news().filter(|_| self.opening.has_background);
        news.map(|tasks| event(Event::Background { tasks })).into_iter().collect()
    }

    /// A tool that may not run. Where we were asked the log has our answer already.
    fn denied(&mut self, denial: Denial) -> Option<Event> {
        self.asking.is_news(&denial.tool_use_id).then(|| remarks::denied(denial))
    }

    /// Nothing more comes: what was not said yet.
    pub(crate) fn over(&mut self) -> Vec<Output> {
        let usage = self.meter.unsettled().map(Event::Usage);
        usage.into_iter().chain(self.remarks.sum()).map(event).collect()
    }

    fn begin(&mut self, init: Init) -> Vec<Output> {
        let mut outputs = Vec::new();
        match &mut self.turn {
            Some(turn) if turn.run == Run::Underway => turn.begin_behind(self.speech.take_spoken()),
            Some(turn) => turn.begin(&init),
            None => {
                self.turn = Some(Turn::background());
                outputs.push(event(Event::TurnStarted));
            }
        }
        let version = init.claude_code_version.as_deref();
        let untested = version.and_then(|version| self.remarks.version(version));
        outputs.extend(untested.map(event));
        outputs.extend(self.lookout.begins_with(&init).into_iter().map(event));
        let environment = self.environment_of(init);
        if self.environment.as_ref() != Some(&environment) {
            self.environment = Some(environment.clone());
            outputs.push(event(Event::Environment(environment)));
        }
        if self.turn.as_ref().is_some_and(|turn| turn.interrupt == Interrupt::Held) {
            outputs.extend(self.send_interrupt());
        }
        outputs
    }

    fn environment_of(&self, init: Init) -> SessionEnvironment {
        let server = |wire::McpServer { name, status }| McpServer { name, state: status };
        SessionEnvironment {
            cli_version: init.claude_code_version,
            model: init.model,
            permission_mode: init.permission_mode,
            tools: init.tools,
            mcp_servers: init.mcp_servers.into_iter().map(server).collect(),
            settings_sources: self.opening.settings_sources.clone(),
            env_keys: self.opening.env_keys.clone(),
            sandbox: "none".to_owned(),
        }
    }

    fn stream(&mut self, streamed: Streamed) -> Vec<Output> {
        if streamed.parent_tool_use_id.is_some() {
            return Vec::new();
        }
        let (mut events, mut usage) = (Vec::new(), None);
        match &streamed.event {
            StreamEvent::MessageStart { message } => {
                events.extend(self.turn.as_mut().and_then(Turn::take));
                self.meter.begin(&message.id, message.usage);
            }
            StreamEvent::MessageDelta { usage } => self.meter.more(*usage),
            StreamEvent::MessageStop if streamed.abandoned_blocks.is_some() => self.meter.break_off(),
            StreamEvent::MessageStop => usage = self.meter.end().map(Event::Usage),
            StreamEvent::ContentBlockStart { .. }
            | StreamEvent::ContentBlockDelta { .. }
            | StreamEvent::Other => {}
        }
        let is_cut = self.is_cut();
        events.extend(self.speech.stream(streamed.event, streamed.abandoned_blocks.is_some() && !is_cut));
        events.into_iter().chain(usage).map(event).collect()
    }

    fn assistant(&mut self, said: wire::Said) -> Vec<Output> {
        if let Some(call) = &said.parent_tool_use_id {
            self.tasks.subagent_called(call, &said.message);
            let usage = self.meter.whole(&said.message.id, said.message.usage).map(Event::Usage);
            return self.speech.subagent(said.message).into_iter().chain(usage).map(event).collect();
        }
        if said.message.is_synthetic() || said.error.is_some() {
            if let Some(turn) = &mut self.turn {
                turn.shown().error = said.error;
            }
            return Vec::new();
        }
        let usage = self.meter.whole(&said.message.id, said.message.usage).map(Event::Usage);
        self.tasks.called(&said.message);
        let taken = self.turn.as_mut().and_then(Turn::take);
        let is_cut = said.aborted || self.is_cut();
        let complete = self.speech.complete(said.message, is_cut);
        taken.into_iter().chain(complete).chain(usage).map(event).collect()
    }

    /// The program's own words to the model are of no concern to anyone else.
    fn user(&mut self, said: wire::Said) -> Vec<Output> {
        let mut events = Vec::new();
        for block in said.message.content {
            if let wire::Block::ToolResult { id, content, is_error } = block {
                self.tasks.answered(&id);
                let result = self.speech.tool_result(&id, content, is_error);
                events.extend(result.or_else(|| self.remarks.stray_result(&id)));
            }
        }
        events.into_iter().map(event).collect()
    }

    fn api_retry(&mut self, retry: ApiRetry) -> Vec<Output> {
        let reason = match (&retry.error, retry.error_status) {
            (Some(error), Some(status)) => format!("{error} ({status})"),
            (Some(error), None) => error.clone(),
            (None, Some(status)) => format!("status {status}"),
            (None, None) => "unknown".to_owned(),
        };
        let count = |n: Option<u64>| u32::try_from(n.unwrap_or_default()).unwrap_or(u32::MAX);
        let mut gives_up = false;
        if let Some(turn) = &mut self.turn {
            let signs = turn.shown();
            signs.is_overloaded =
                retry.error.as_deref() == Some("overloaded") || retry.error_status == Some(529);
            let is_locked_out = retry.error_status == Some(401) && retry.attempt >= Some(LOCKED_OUT);
            gives_up = is_locked_out && !signs.is_locked_out;
            signs.is_locked_out |= is_locked_out;
        }
        let mut outputs = vec![event(Event::Retrying {
            attempt: count(retry.attempt),
            max_attempts: count(retry.max_retries),
            delay_ms: retry.retry_delay_ms.unwrap_or_default(),
            reason,
            discarded_blocks: self.speech.take_superseded(),
        })];
        if gives_up {
            outputs.extend(self.send_interrupt());
        }
        outputs
    }

    fn rate_limit(&mut self, limit: RateLimit) -> Vec<Output> {
        let is_refusal = limit.status == "rejected";
        let mut outputs = Vec::new();
        if limit.status == "allowed_warning" {
            let scope = limit.rate_limit_type.as_deref().unwrap_or("unknown");
            outputs.extend(self.remarks.limit_is_close(scope, limit.utilization).map(event));
        }
        if let Some(turn) = &mut self.turn {
            turn.shown().limit = is_refusal.then_some(limit);
        }
        outputs
    }

    fn response(&mut self, response: Response) -> Vec<Output> {
        let is_success = response.subtype == "success";
        if response.request_id == INITIALIZE {
            if is_success {
                self.is_ready = true;
                let (told, asks) = self.lookout.begin();
                let outputs = told.into_iter().map(event).chain(asks.map(Output::Say));
                return outputs.chain(self.send_unsent()).collect();
            }
            let why = response.error.unwrap_or_default();
            return vec![Output::Refused(Refusal::Initialize(why))];
        }
        if let Some(told) = self.lookout.answer(&response) {
            return told.into_iter().map(event).chain(self.send_unsent()).collect();
        }
        let Some(turn) = &mut self.turn else { return Vec::new() };
        if turn.interrupt == Interrupt::Sent(response.request_id) {
            let uuid = turn.asked.as_ref().map(|asked| asked.uuid.to_string());
            let queued = response.response["still_queued"].as_array();
            let is_queued = queued.is_some_and(|queued| {
                queued.iter().any(|queued| queued.as_str().map(str::to_owned) == uuid && uuid.is_some())
            });
            turn.interrupt = match (is_success, is_queued) {
                (true, true) => Interrupt::Held,
                (true, false) => Interrupt::Obeyed,
                (false, _) => Interrupt::Unasked,
            };
        }
        Vec::new()
    }

    fn result(&mut self, result: &TurnResult) -> Vec<Output> {
        if !self.is_ready && self.opening.is_resumed && result.is_error && result.num_turns == Some(0) {
            return vec![Output::Refused(Refusal::Resume(result.errors.join("; ")))];
        }
        let mut outputs = Vec::new();
        let mut turn = self.turn.take().unwrap_or_else(|| {
            outputs.push(event(Event::TurnStarted));
            Turn::background()
        });
        outputs.extend(self.meter.settle(result).into_iter().map(Event::Usage).map(event));
        let denied: Vec<_> =
            result.permission_denials.iter().filter_map(|denial| self.denied(denial.clone())).collect();
        outputs.extend(denied.into_iter().map(event));
        self.tasks.end_turn();
        for (request_id, denial) in self.asking.lapse_of_turn() {
            outputs.extend([Output::Withdraw { request_id }, Output::Say(denial)]);
        }
        if turn.asked.is_some() && (turn.is_foreign() || result.origin.is_some()) {
            // The runtime has one turn for both, so only the input's end is its end.
            if turn.has_behind() {
                // The other has begun already.
                turn.end_behind();
                self.turn = Some(turn);
                return outputs;
            }
            turn.run = Run::Awaited;
            turn.signs = ending::Signs::default();
            if turn.interrupt != Interrupt::Unasked {
                turn.interrupt = Interrupt::Held;
            }
            self.turn = Some(turn);
            outputs.extend(self.send_unsent());
            return outputs;
        }
        if !result.is_error {
            let discarded = self.speech.settle_all();
            outputs.extend(discarded.map(event));
        }
        let has_spoken = self.speech.end_turn();
        let taken = turn.take();
        let mut signs = std::mem::take(&mut turn.signs);
        // What was said last, the work behind it said.
        signs.has_spoken |= has_spoken && !turn.has_behind();
        let ending = ending::read(result, signs);
        if let Ending::Limited { reset_at, .. } = &ending {
            self.limit = Some(Limit { reset_at: *reset_at });
        } else {
            outputs.extend(taken.map(event));
        }
        // The runtime closes all questions with a turn; so what goes on behind it asks again there.
        let questions: Vec<_> = self.asking.of_tasks().collect();
        let ids = questions.iter().map(|(request_id, _)| request_id.clone());
        outputs.extend(ids.map(|request_id| Output::Withdraw { request_id }));
        outputs.push(event(if turn.has_input { ending.of_input() } else { ending.of_woken() }));
        self.turn = turn.behind(has_spoken);
        outputs.extend(self.turn.is_some().then_some(event(Event::TurnStarted)));
        outputs
            .extend(questions.into_iter().map(|(request_id, request)| Output::Ask { request_id, request }));
        outputs
    }

    /// Whether what the model says now is what an interrupt left of it.
    fn is_cut(&self) -> bool {
        self.turn.as_ref().is_some_and(|turn| turn.interrupt == Interrupt::Obeyed)
    }

    fn send_unsent(&mut self) -> Vec<Output> {
        let Some(turn) = &mut self.turn else { return Vec::new() };
        if !self.is_ready || !self.lookout.is_over() || turn.run != Run::Awaited {
            return Vec::new();
        }
        let unsent = turn.asked.as_mut().and_then(|asked| asked.unsent.take());
        unsent.map(Output::Say).into_iter().collect()
    }

    fn send_interrupt(&mut self) -> Vec<Output> {
        let Some(turn) = &mut self.turn else { return Vec::new() };
        self.n_interrupts += 1;
        let request_id = format!("interrupt-{}", self.n_interrupts);
        let said = say::interrupt(&request_id);
        turn.interrupt = Interrupt::Sent(request_id);
        vec![Output::Say(said)]
    }
}

fn event(event: Event) -> Output {
    Output::Event(event)
}

#[cfg(test)]
mod captures;
#[cfg(test)]
mod tests;
