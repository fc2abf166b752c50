mod limits;
mod lost;
mod parking;
mod property;
mod restart;
mod steering;
mod usage;

use std::collections::BTreeMap;

use musher_backend::{
    ApprovalRequest, BackendError, Capabilities, Event, SessionOutcome, ToolOutput, TurnEnd, Verdict,
};
use musher_protocol::{ApprovalKind, Intent, OnIdle, Remember, Usage, WorkerRef};

use super::*;
use crate::profile::{ApprovalMode, OnRestart, Profile};

/// A machine under test, its clock, and everything it recorded.
struct Bench {
    state: State,
    now: Timestamp,
    log: Vec<Draft>,
    answers: BTreeMap<u64, usize>,
    n_asked: u64,
    finished: bool,
    /// What happened in the order of the effects, for tables.
    shown: Vec<String>,
}

impl Bench {
    fn new(mode: ApprovalMode, on_idle: OnIdle, capabilities: Capabilities) -> Self {
        let mut profile = Profile::of("test");
        profile.approval.mode = mode;
        profile.limits.queued_inputs = 3;
        let spec = WorkerSpec {
            intent: Intent::Assistant { purpose: None },
            profile_name: "test".to_owned(),
            config_bundle: None,
            capabilities: profile.capabilities.clone(),
            profile,
            display_name: None,
            labels: BTreeMap::new(),
            workspaces: Vec::new(),
            workplaces: Vec::new(),
            mounts: Vec::new(),
            working_dir: "/".into(),
            on_idle,
            resume: None,
        };
        let now = Timestamp::UNIX_EPOCH;
        let state = State::new(Arc::new(spec), capabilities, Fold::new(worker_ref(), now), false, now);
        let mut bench = Self {
            state,
            now,
            log: Vec::new(),
            answers: BTreeMap::new(),
            n_asked: 0,
            finished: false,
            shown: Vec::new(),
        };
        bench.step(Input::Created { by: Actor::rule("test"), first: Vec::new() });
        bench.shown.clear();
        bench
    }

    fn that_waits_after_a_restart(self) -> Self {
        self.with(|spec| spec.profile.on_restart = OnRestart::Wait)
    }

    fn with(mut self, change: impl FnOnce(&mut WorkerSpec)) -> Self {
        change(Arc::make_mut(&mut self.state.spec));
        self
    }

    fn step(&mut self, input: Input) {
        if self.finished {
            return;
        }
        for effect in step(&mut self.state, input, self.now) {
            self.shown.push(show(&effect));
            match effect {
                Effect::Record(draft) => self.log.push(*draft),
                Effect::Answer(token, _) => *self.answers.entry(token.0).or_default() += 1,
                Effect::Finish => self.finished = true,
                Effect::Start(_) | Effect::Tell(_) | Effect::Drop => {}
            }
        }
    }

    fn token(&mut self) -> Token {
        // What comes after the machine has finished is never given to it.
        if !self.finished {
            self.n_asked += 1;
        }
        Token(self.n_asked)
    }

    fn command(&mut self, command: Command) {
        let token = self.token();
        self.step(Input::Command(command, token));
    }

    fn pass(&mut self, seconds: u64) {
        self.now = later(self.now, Duration::from_secs(seconds));
        while !self.finished && self.state.next_deadline().is_some_and(|at| at <= self.now) {
            self.step(Input::DeadlineReached);
        }
    }

    /// The process ended, however it did, and another one reads the log.
    fn restart(&mut self) {
        let checkpoint = serde_json::to_string(&self.state.fold).unwrap();
        let fold: Fold = serde_json::from_str(&checkpoint).unwrap();
        assert_eq!(fold, self.state.fold, "a checkpoint reads back");
        if fold.status.is_terminal() {
            return;
        }
        // Whoever waited for an answer was cut off.
        for token in 1..=self.n_asked {
            self.answers.entry(token).or_insert(1);
        }
        self.finished = false;
        self.state = State::new(
            self.state.spec.clone(),
            self.state.capabilities,
            fold,
            self.state.store_full,
            self.now,
        );
        self.step(Input::Recovered { survivors: Vec::new() });
    }

    /// One word of a table's script.
    fn play(&mut self, word: &str) {
        let (verb, rest) = word.split_once(' ').unwrap_or((word, ""));
        let text = rest.to_owned();
        let id = || rest.parse().unwrap();
        match verb {
            "send" => {
                self.command(Command::Send { input: new_input(rest, Delivery::Queue), prior: Prior::New })
            }
            "steer" => {
                self.command(Command::Send { input: new_input(rest, Delivery::Steer), prior: Prior::New })
            }
            "reject" => self
                .command(Command::Send { input: new_input(rest, Delivery::RejectIfBusy), prior: Prior::New }),
            "again" => self.command(Command::Send {
                input: new_input(rest, Delivery::Queue),
                prior: Prior::SameContent,
            }),
            "other" => self.command(Command::Send {
                input: new_input(rest, Delivery::Queue),
                prior: Prior::OtherContent,
            }),
            "interrupt" => self.command(Command::Interrupt(request())),
            "stop" => self.command(Command::Stop(request(), None)),
            "cancel" => self.command(Command::Cancel(request())),
            "raise" => {
                let limits = serde_json::from_str(rest).unwrap();
                self.command(Command::RaiseLimits { limits, by: Actor::rule("test") });
            }
            "allow" | "deny" => {
                let approval_id =
                    self.state.fold.approvals.keys().next().cloned().unwrap_or_else(ApprovalId::mint);
                let verdict = match (verb, rest) {
                    ("allow", _) => Verdict::allow(),
                    (_, "interrupt") => Verdict::Deny { message: text, interrupt: true },
                    (_, message) => Verdict::deny(message),
                };
                let remember = match (verb, rest) {
                    ("allow", "input") => Some(Remember::Input),
                    ("allow", "tool") => Some(Remember::Tool),
                    _ => None,
                };
                let by = Actor::rule("test");
                self.command(Command::Decide { approval_id, verdict, note: None, remember, by });
            }
            "connected" | "resumed" => {
                let token = self.token();
                self.step(Input::SessionStarted {
                    session_id: "s1".parse().unwrap(),
                    resumed: verb == "resumed",
                    node: "n".into(),
                    token,
                });
            }
            "taken" => self.step(Input::Event(Event::InputTaken { input_id: id() })),
            "wakes" => self.step(Input::Event(Event::TurnStarted)),
            "woken" => self.step(Input::Event(Event::WokenEnded(TurnEnd::completed()))),
            "withdraw" => {
                let approval_id =
                    self.state.fold.approvals.keys().next().cloned().unwrap_or_else(ApprovalId::mint);
                self.step(Input::ApprovalWithdrawn(approval_id));
            }
            "text" => self.step(Input::Event(Event::TextDelta { block: 0, text })),
            "said" => self.step(Input::Event(Event::TextDone { block: 0, text })),
            "calls" => {
                self.step(Input::Event(Event::ToolCallStarted {
                    tool_call_id: id_of(rest),
                    name: "shell".to_owned(),
                }));
                let input = serde_json::json!({});
                self.step(Input::Event(Event::ToolCallDone {
                    tool_call_id: id_of(rest),
                    name: "shell".to_owned(),
                    input,
                }));
            }
            "result" => self.step(Input::Event(Event::ToolResult {
                tool_call_id: id_of(rest),
                output: ToolOutput::ok(""),
            })),
            "asks" => {
                let token = self.token();
                let kind = if rest == "question" { ApprovalKind::Question } else { ApprovalKind::Tool };
                let request = ApprovalRequest {
                    tool_call_id: None,
                    kind,
                    tool: "shell".to_owned(),
                    input: serde_json::json!({ "command": rest }),
                    questions: Vec::new(),
                    suggestions: Vec::new(),
                };
                self.step(Input::ApprovalRequested { request, hidden: Hidden::default(), token });
            }
            "uses" => {
                let usage = Usage {
                    input_tokens: rest.parse().ok(),
                    output_tokens: Some(0),
                    total_cost_usd: rest.parse().ok().map(|tokens: f64| tokens / 100.0),
                    ..Usage::zero()
                };
                self.step(Input::Event(Event::Usage(usage)));
            }
            // The tokens of an answer; what they cost is said at the turn's end.
            "tokens" => {
                let usage = Usage {
                    input_tokens: rest.parse().ok(),
                    total_cost_usd: None,
                    cost_follows: true,
                    ..Usage::zero()
                };
                self.step(Input::Event(Event::Usage(usage)));
            }
            "leaves" => {
                self.step(Input::Event(Event::Background { tasks: rest.parse().unwrap_or_default() }));
            }
            "limited" => {
                let reset_at = rest.parse().ok().map(|seconds| later(self.now, Duration::from_secs(seconds)));
                self.step(Input::Event(Event::RateLimited { scope: "requests".to_owned(), reset_at }));
            }
            "overloaded" => {
                let reset_at = Some(later(self.now, Duration::from_secs(rest.parse().unwrap())));
                let scope = Event::OVERLOADED.to_owned();
                self.step(Input::Event(Event::RateLimited { scope, reset_at }));
            }
            "completed" => self.step(Input::Event(Event::TurnEnded(TurnEnd::completed()))),
            "interrupted" => self.step(Input::Event(Event::TurnEnded(TurnEnd::Interrupted))),
            "failed" => self.step(Input::Event(Event::TurnEnded(TurnEnd::failed("x", "y")))),
            "ended" => {
                self.step(Input::SessionEnded { outcome: Ok(SessionOutcome::ended()), survivors: Vec::new() })
            }
            "crashed" => self
                .step(Input::SessionEnded { outcome: Ok(SessionOutcome::crashed()), survivors: Vec::new() }),
            "aborted" => {
                self.step(Input::SessionEnded {
                    outcome: Ok(SessionOutcome::aborted()),
                    survivors: Vec::new(),
                });
            }
            "unknown" => {
                let error =
                    TurnError { code: BackendError::RESUME_REFUSED.to_owned(), message: String::new() };
                self.step(Input::SessionEnded { outcome: Err(error), survivors: Vec::new() });
            }
            "survived" => {
                let survivors = vec![Survivor { pid: 7, command: "x".to_owned() }];
                self.step(Input::SessionEnded { outcome: Ok(SessionOutcome::crashed()), survivors });
            }
            "pass" => self.pass(rest.parse().unwrap()),
            // Nobody is there to notice.
            "dead" => self.now = later(self.now, Duration::from_secs(rest.parse().unwrap())),
            "drain" => self.step(Input::Drain),
            "full" => self.step(Input::StoreFull(true)),
            "space" => self.step(Input::StoreFull(false)),
            "restart" => self.restart(),
            word => panic!("no such word: {word}"),
        }
    }
}

fn worker_ref() -> WorkerRef {
    WorkerRef { runtime_id: "rt_1".parse().unwrap(), worker_id: "wrk_1".parse().unwrap() }
}

fn request() -> Request {
    Request { reason: None, by: Actor::rule("test") }
}

fn id_of(text: &str) -> musher_protocol::ToolCallId {
    text.parse().unwrap()
}

fn new_input(id: &str, delivery: Delivery) -> NewInput {
    let by = Actor::rule("test");
    NewInput {
        input_id: id.parse().unwrap(),
        kind: InputKind::User,
        content: id.to_owned(),
        delivery,
        by,
        digest: [0; 32],
    }
}

fn show(effect: &Effect) -> String {
    match effect {
        Effect::Record(draft) => match &draft.payload {
            Payload::TurnFinished(finished) => {
                let code = finished.error.as_ref().map(|error| error.code.as_str());
                let why = code.filter(|code| ["restarted", "store_full"].contains(code));
                let outcome = format!("{:?}", finished.outcome).to_lowercase();
                format!("turn_finished({})", why.unwrap_or(&outcome))
            }
            Payload::Status { execution, .. } => format!("[{:?}]", execution.run_state).to_lowercase(),
            Payload::ApprovalResolved { decision, by, .. } if by.token == "remembered" => {
                format!("approval_resolved({decision:?} remembered)").to_lowercase()
            }
            Payload::ApprovalResolved { decision, .. } => {
                format!("approval_resolved({decision:?})").to_lowercase()
            }
            Payload::InputDelivered { input_id, .. } => format!("input_delivered({input_id})"),
            payload => payload.type_name().to_owned(),
        },
        Effect::Start(Beginning { resume: Some(_), .. }) => ">resume".to_owned(),
        Effect::Start(Beginning { is_lost: false, .. }) => ">start".to_owned(),
        Effect::Start(Beginning { entries, untold, .. }) => {
            format!(">start_anew({})", entries - untold.len() as u64)
        }
        Effect::Tell(command) => match command {
            backend::Command::Input(input) => format!(">input({})", input.input_id),
            backend::Command::Steer(input) => format!(">steer({})", input.input_id),
            backend::Command::Interrupt => ">interrupt".to_owned(),
            backend::Command::Decision(given) => {
                if matches!(given.verdict, Verdict::Allow { .. }) { ">allow" } else { ">deny" }.to_owned()
            }
            backend::Command::End { grace } => format!(">end({})", grace.as_secs()),
        },
        Effect::Drop => ">drop".to_owned(),
        Effect::Answer(_, Ok(Answer::Input { duplicate: true, .. })) => "ok:duplicate".to_owned(),
        Effect::Answer(_, Ok(_)) => "ok".to_owned(),
        Effect::Answer(_, Err(refusal)) => {
            format!("no:{refusal:?}").split(['(', ' ']).next().unwrap().to_owned()
        }
        Effect::Finish => "finish".to_owned(),
    }
}

#[track_caller]
fn check_with(mut bench: Bench, before: &str, script: &str, expected: &str) {
    for word in before.split("; ").filter(|word| !word.is_empty()) {
        bench.play(word);
    }
    bench.shown.clear();
    for word in script.split("; ") {
        bench.play(word);
    }
    assert_eq!(bench.shown.join(" "), expected.split_whitespace().collect::<Vec<_>>().join(" "));
}

/// A worker that asks a person; `before` is played first, and only what `script` causes is compared.
#[track_caller]
fn check(before: &str, script: &str, expected: &str) {
    check_with(asking(), before, script, expected);
}

fn asking() -> Bench {
    Bench::new(ApprovalMode::Ask, OnIdle::Wait, Capabilities { resume: true, ..Capabilities::default() })
}

const BUSY: &str = "send a; connected; taken a";

#[test]
fn a_remembered_decision_answers_without_asking() {
    for (decision, second, expected) in [
        ("allow input", "x", "remembered"),
        ("allow input", "y", "asked"),
        ("allow tool", "y", "remembered"),
        ("allow tool", "question", "asked"),
        ("allow", "x", "asked"),
        ("deny no", "x", "asked"),
    ] {
        let expected = match expected {
            "remembered" => "approval_requested ok approval_resolved(allow remembered) >allow",
            _ => "approval_requested ok [waiting]",
        };
        check(&format!("{BUSY}; asks x; {decision}"), &format!("asks {second}"), expected);
    }
}

#[test]
fn a_denial_may_end_the_turn() {
    check(
        &format!("{BUSY}; asks x"),
        "deny interrupt; interrupted",
        "approval_resolved(deny) >deny >interrupt ok [busy] turn_finished(interrupted) [idle]",
    );
}

#[test]
fn a_first_input_is_delivered_in_its_own_commit_and_starts_a_session() {
    check(
        "",
        "send a",
        "input_accepted input_delivered(a) user_message turn_started >start >input(a) ok [busy]",
    );
}

#[test]
fn a_plain_turn() {
    check(
        "send a",
        "connected; taken a; text hi; said hi; completed",
        "session_started ok [busy] input_taken text_delta text_done turn_finished(completed) [idle]",
    );
}

#[test]
fn a_second_input_waits_for_the_first_ones_turn() {
    check(
        BUSY,
        "send b; completed",
        "input_accepted ok turn_finished(completed) input_delivered(b) user_message turn_started >input(b) [busy]",
    );
}

#[test]
fn inputs_are_refused_without_a_trace() {
    check(BUSY, "reject b", "no:Busy");
    check(&format!("{BUSY}; send b; send c; send d"), "send e", "no:QueueFull");
    check("stop", "send a", "");
    check(BUSY, "other a", "no:OtherContent");
    check(BUSY, "again a", "ok:duplicate");
    check(&format!("{BUSY}; stop"), "send b", "no:NotRunning");
}

#[test]
fn an_interrupt_is_in_the_log_before_it_is_sent_and_answered_when_the_turn_is_over() {
    check(
        BUSY,
        "calls t; interrupt; interrupt; interrupted",
        "tool_call_started tool_call_done interrupt_requested >interrupt tool_result turn_finished(interrupted) ok ok [idle]",
    );
    check("", "interrupt", "ok");
    check("send a; connected; completed", "interrupt", "ok");
}

#[test]
fn a_backend_that_ignores_an_interrupt_loses_its_session() {
    check(
        BUSY,
        "interrupt; pass 10; pass 5; crashed",
        "interrupt_requested >interrupt >end(0) >drop usage turn_finished(interrupted) ok session_ended [errored]",
    );
}

#[test]
fn the_grace_is_the_profiles() {
    let hasty = || asking().with(|spec| spec.profile.grace = Duration::from_secs(3));
    check_with(
        hasty(),
        BUSY,
        "interrupt; pass 3; pass 5; crashed",
        "interrupt_requested >interrupt >end(0) >drop usage turn_finished(interrupted) ok session_ended [errored]",
    );
    check_with(hasty(), BUSY, "stop", "stop_requested >end(3)");
}

#[test]
fn interrupts_of_a_turn_that_a_limit_ends_are_answered_with_the_first() {
    check(
        BUSY,
        "pass 300; interrupt; interrupt; interrupted",
        "limit_reached >interrupt interrupt_requested turn_finished(limitreached) ok ok [idle]",
    );
}

#[test]
fn nothing_is_allowed_once_an_end_is_wanted() {
    let allows = || Bench::new(ApprovalMode::Allow, OnIdle::Wait, Capabilities::default());
    let denied = "approval_requested ok approval_resolved(deny) >deny";
    check_with(allows(), &format!("{BUSY}; stop"), "asks tool", denied);
    check_with(allows(), &format!("{BUSY}; interrupt"), "asks tool", denied);
    check_with(allows(), &format!("{BUSY}; drain"), "asks tool", denied);
    check(&format!("{BUSY}; asks tool; interrupt"), "allow", "no:ApprovalNotPending");
}

#[test]
fn a_process_that_ends_takes_no_inputs() {
    check(&format!("{BUSY}; drain"), "send b", "no:Draining");
    check(&format!("{BUSY}; drain"), "again a", "ok:duplicate");
}

#[test]
fn inputs_that_wait_have_a_bound_in_bytes() {
    let mut bench = Bench::new(ApprovalMode::Ask, OnIdle::Wait, Capabilities::default());
    bench.play("send a");
    for id in ["b", "c"] {
        let content = "x".repeat(5 << 20);
        bench.shown.clear();
        bench.command(Command::Send {
            input: NewInput { content, ..new_input(id, Delivery::Queue) },
            prior: Prior::New,
        });
    }
    assert_eq!(bench.shown, ["no:QueueTooLarge"]);
}

#[test]
fn a_reset_that_has_passed_is_not_believed_for_ever() {
    let mut bench = Bench::new(ApprovalMode::Ask, OnIdle::Wait, Capabilities::default());
    bench.play("send a");
    bench.play("connected");
    let begun = bench.now;
    let mut n_sent = 0;
    while bench.state.fold.turn.is_some() {
        bench.play("limited 0");
        let until = bench.state.next_deadline();
        bench.now = until.unwrap_or(bench.now);
        bench.pass(0);
        n_sent += 1;
    }
    let waited = bench.now.duration_since(begun).as_secs();
    assert!((21_000..25_000).contains(&waited), "as long as the profile parks: {waited}");
    assert!(n_sent < 400, "{n_sent} requests in six hours");
}

#[test]
fn silence_ends_the_turn_with_its_limit() {
    check(
        BUSY,
        "pass 299; text x; pass 299; pass 1; interrupted",
        "text_delta limit_reached >interrupt turn_finished(limitreached) [idle]",
    );
}

#[test]
fn an_open_approval_holds_the_limit_off_and_expires_by_itself() {
    check(
        BUSY,
        "asks tool; pass 599; pass 1",
        "approval_requested ok [waiting] approval_resolved(expired) >deny [busy]",
    );
}

#[test]
fn a_person_decides_once() {
    check(
        &format!("{BUSY}; asks tool"),
        "allow; allow",
        "approval_resolved(allow) >allow ok [busy] no:ApprovalNotPending",
    );
}

#[test]
fn the_profile_decides_at_once_but_answers_no_questions() {
    let mode = |mode| Bench::new(mode, OnIdle::Wait, Capabilities::default());
    check_with(
        mode(ApprovalMode::Allow),
        BUSY,
        "asks tool",
        "approval_requested ok approval_resolved(allow) >allow",
    );
    check_with(
        mode(ApprovalMode::Allow),
        BUSY,
        "asks question",
        "approval_requested ok approval_resolved(deny) >deny",
    );
    check_with(
        mode(ApprovalMode::Deny),
        BUSY,
        "asks tool",
        "approval_requested ok approval_resolved(deny) >deny",
    );
}

#[test]
fn the_end_of_a_turn_withdraws_what_it_asked() {
    check(
        &format!("{BUSY}; asks tool"),
        "interrupted",
        "approval_resolved(withdrawn) turn_finished(interrupted) [idle]",
    );
}

#[test]
fn a_stop_ends_turn_session_queue_and_worker_in_that_order() {
    check(
        &format!("{BUSY}; send b"),
        "stop; interrupted; ended",
        "stop_requested >end(10) turn_finished(interrupted) [idle] session_ended input_dropped worker_stopped ok finish",
    );
    check("", "stop", "stop_requested worker_stopped ok finish");
}

#[test]
fn a_cancel_is_stronger_than_a_stop_and_answers_both() {
    check(
        BUSY,
        "stop; cancel; crashed",
        "stop_requested >end(10) cancel_requested >end(0) usage turn_finished(interrupted) session_ended worker_cancelled ok ok finish",
    );
}

#[test]
fn survivors_are_an_error_and_in_the_log() {
    check(
        BUSY,
        "cancel; survived",
        "cancel_requested >end(0) usage turn_finished(interrupted) session_ended worker_cancelled no:Survivors finish",
    );
}

#[test]
fn a_session_that_breaks_off_fails_its_turn_and_the_next_input_resumes_it() {
    check(
        BUSY,
        "text half; crashed; send b",
        "text_delta usage turn_finished(failed) session_ended [errored]
         input_accepted input_delivered(b) user_message turn_started >resume >input(b) ok [busy]",
    );
}

#[test]
fn a_session_that_was_never_taken_up_is_not_resumed() {
    check(
        "send a; connected; aborted",
        "send b",
        "input_accepted input_delivered(b) user_message turn_started >start >input(b) ok [busy]",
    );
}

#[test]
fn work_that_wakes_by_itself_is_a_turn() {
    check(
        &format!("{BUSY}; completed"),
        "wakes; text hi; completed; text stray; text stray",
        "turn_started [busy] text_delta turn_finished(completed) [idle] diagnostic",
    );
}

#[test]
fn a_worker_may_stop_by_itself_when_idle() {
    let stops = Bench::new(ApprovalMode::Ask, OnIdle::Stop, Capabilities::default());
    check_with(
        stops,
        BUSY,
        "send b; completed; completed; ended",
        "input_accepted ok turn_finished(completed) input_delivered(b) user_message turn_started >input(b) [busy] turn_finished(completed) stop_requested >end(10) [idle] session_ended worker_stopped finish",
    );
}

#[test]
fn a_drain_ends_the_session_and_leaves_the_worker() {
    check(
        &format!("{BUSY}; send b"),
        "drain; interrupted; ended",
        ">end(5) turn_finished(restarted) [idle] session_ended finish [unconnected]",
    );
    check("", "drain", "finish");
}
