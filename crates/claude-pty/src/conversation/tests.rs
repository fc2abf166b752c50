//! What no capture shows: races, and things that are said in an order that is hard to provoke.

use musher_protocol::InputId;
use serde_json::{Value, json};

use super::*;

const OURS: Uuid = Uuid::from_u128(1);

struct Talk(Conversation);

impl Talk {
    /// A conversation whose program is ready.
    fn new() -> Self {
        let mut talk = Self::unready();
        talk.line(json!({ "type": "control_response",
            "response": { "subtype": "success", "request_id": INITIALIZE } }));
        talk
    }

    fn unready() -> Self {
        Self(Conversation::new(Opening::default()))
    }

    fn line(&mut self, line: Value) -> Vec<Output> {
        self.0.line(line.to_string().as_bytes())
    }

    fn input(&mut self, content: &str) -> Vec<Output> {
        self.0.input(&Input { input_id: input_id(), ..Input::user(content) }, OURS)
    }

    /// The program begins a turn, for messages that it names or does not.
    fn init(&mut self, uuids: Option<&[Uuid]>) -> Vec<Output> {
        let uuids = uuids.map(|uuids| uuids.iter().map(Uuid::to_string).collect::<Vec<_>>());
        let outputs = self.line(json!({ "type": "system", "subtype": "init", "user_message_uuids": uuids,
            "capabilities": ["msg_lifecycle_v1"] }));
        let is_environment = |output: &Output| matches!(output, Output::Event(Event::Environment(_)));
        outputs.into_iter().filter(|output| !is_environment(output)).collect()
    }

    fn text(&mut self, text: &str) -> Vec<Output> {
        let content = json!([{ "type": "text", "text": text }]);
        self.line(json!({ "type": "assistant", "message": { "id": "m", "model": "m", "content": content } }))
    }

    fn stream(&mut self, event: Value) -> Vec<Output> {
        self.line(json!({ "type": "stream_event", "event": event }))
    }

    fn result(&mut self) -> Vec<Output> {
        self.line(json!({ "type": "result", "is_error": false, "stop_reason": "end_turn" }))
    }

    fn aborted(&mut self) -> Vec<Output> {
        self.line(json!({ "type": "result", "is_error": true, "terminal_reason": "aborted_streaming" }))
    }

    fn answered(&mut self, request_id: &str, still_queued: &[Uuid]) -> Vec<Output> {
        let queued: Vec<_> = still_queued.iter().map(Uuid::to_string).collect();
        self.line(json!({ "type": "control_response", "response": { "subtype": "success",
            "request_id": request_id, "response": { "still_queued": queued } } }))
    }
}

fn input_id() -> InputId {
    "inp_1".parse().unwrap()
}

fn taken() -> Output {
    event(Event::InputTaken { input_id: input_id() })
}

fn done(block: u32, text: &str) -> Output {
    event(Event::TextDone { block, text: text.to_owned() })
}

fn ended(end: TurnEnd) -> Output {
    event(Event::TurnEnded(end))
}

fn completed() -> Output {
    ended(end_turn())
}

fn end_turn() -> TurnEnd {
    let vendor_stop_reason = Some("end_turn".to_owned());
    TurnEnd::Completed { stop_reason: musher_protocol::StopReason::EndTurn, vendor_stop_reason }
}

fn woken(end: TurnEnd) -> Output {
    event(Event::WokenEnded(end))
}

fn message() -> Output {
    Output::Say(say::message(OURS, None, &Input::user("hello")))
}

fn interrupt(n: u32) -> Output {
    Output::Say(say::interrupt(&format!("interrupt-{n}")))
}

#[test]
fn an_input_waits_until_the_program_is_ready() {
    let mut talk = Talk::unready();
    assert_eq!(talk.input("hello"), []);
    assert_eq!(talk.answered(INITIALIZE, &[]), [message()]);
}

/// A conversation with a program that has these servers, and has just been asked how they are for the first time.
fn with_servers(names: &[&str]) -> Talk {
    let server = |name: &&str| {
        let (url, headers) = (format!("http://{name}?key=k"), Default::default());
        ((*name).to_owned(), crate::McpServer::Url { url, headers })
    };
    let all = names.iter().map(server).collect();
    let mut launch = musher_backend::Launch::new("wrk_1".parse().unwrap(), "/".into());
    launch.capabilities =
        names.iter().chain(&["gone"]).map(|name| format!("mcp:{name}").parse().unwrap()).collect();
    let opening = Opening { servers: Servers::of(&all, &launch), ..Opening::default() };
    let mut talk = Talk(Conversation::new(opening));
    let gone = no_server("gone", "no such server is configured");
    assert_eq!(talk.answered(INITIALIZE, &[]), [gone, Output::Say(say::mcp_status("servers-1"))]);
    talk
}

fn no_server(name: &str, why: &str) -> Output {
    event(remarks::no_server(name, why))
}

impl Talk {
    fn are(&mut self, request_id: &str, servers: Value) -> Vec<Output> {
        self.line(json!({ "type": "control_response", "response": { "subtype": "success",
            "request_id": request_id, "response": { "mcpServers": servers } } }))
    }

    fn begins_with(&mut self, servers: Value, tools: Value) -> Vec<Output> {
        let outputs =
            self.line(json!({ "type": "system", "subtype": "init", "mcp_servers": servers, "tools": tools }));
        outputs.into_iter().filter(|output| !matches!(output, Output::Event(Event::Environment(_)))).collect()
    }
}

#[test]
fn an_input_waits_for_servers_that_are_on_their_way() {
    let mut talk = with_servers(&["a", "b"]);
    assert_eq!(talk.input("hello"), []);
    assert_eq!(talk.0.look_for_servers(), None, "the answer is still to come");
    let (a, b) = (json!({ "name": "a", "status": "pending" }), json!({ "name": "b", "status": "connected" }));
    assert_eq!(talk.are("servers-1", json!([a, b])), []);
    assert!(talk.0.awaits_servers());
    assert_eq!(talk.0.look_for_servers(), Some(Output::Say(say::mcp_status("servers-2"))));
    assert_eq!(talk.are("servers-1", json!([])), [], "that one is over");
    let a = json!({ "name": "a", "status": "connected" });
    assert_eq!(talk.are("servers-2", json!([a, b])), [message()]);
    assert!(!talk.0.awaits_servers());
    assert_eq!(talk.begins_with(json!([a, b]), json!(["mcp__a__x", "mcp__b__x"])), []);
}

#[test]
fn servers_that_cannot_be_had_are_told_once_with_their_reason_and_without_their_address() {
    let mut talk = with_servers(&["a", "b", "c", "d"]);
    talk.input("hello");
    let failed = json!({ "name": "a", "status": "failed", "error": "refused: http://a?key=k" });
    let locked = json!({ "name": "b", "status": "needs-auth" });
    let bare = json!({ "name": "c", "status": "connected" });
    let foreign = json!({ "name": "e", "status": "failed" });
    let servers = json!([failed, locked, bare, foreign]);
    let expected = [
        no_server("a", "refused: [its address]"),
        no_server("b", "Claude Code says `needs-auth`"),
        message(),
    ];
    assert_eq!(talk.are("servers-1", servers.clone()), expected);
    let expected = [
        no_server("c", "it is connected, and Claude Code took no tool of it"),
        no_server("d", "Claude Code does not know it"),
    ];
    assert_eq!(talk.begins_with(servers.clone(), json!(["Read"])), expected);
    assert_eq!(talk.begins_with(servers, json!(["Read"])), []);
}

#[test]
fn the_wait_for_servers_has_an_end() {
    let mut talk = with_servers(&["a"]);
    talk.input("hello");
    assert_eq!(talk.0.give_up_servers(), [message()]);
    assert_eq!((talk.0.awaits_servers(), talk.0.look_for_servers()), (false, None));
    let pending = json!([{ "name": "a", "status": "pending" }]);
    let late = no_server("a", "it has not answered yet; they come with the turn after it has");
    assert_eq!(talk.begins_with(pending, json!([])), [late]);
}

#[test]
fn a_program_that_cannot_say_how_servers_are_is_not_waited_for() {
    let mut talk = with_servers(&["a"]);
    talk.input("hello");
    let error = json!({ "type": "control_response", "response": { "subtype": "error", "request_id": "servers-1",
        "error": "unsupported" } });
    assert_eq!(talk.line(error), [message()]);
}

#[test]
fn an_interrupt_ends_a_turn_that_waits_for_servers() {
    let mut talk = with_servers(&["a"]);
    talk.input("hello");
    assert_eq!(talk.0.interrupt(), [ended(TurnEnd::Interrupted)]);
    assert_eq!(talk.are("servers-1", json!([])), []);
}

#[test]
fn an_interrupt_ends_a_turn_that_the_program_has_not_heard_of() {
    let mut talk = Talk::unready();
    talk.input("hello");
    assert_eq!(talk.0.interrupt(), [ended(TurnEnd::Interrupted)]);
    assert_eq!(talk.answered(INITIALIZE, &[]), []);
}

#[test]
fn an_interrupt_does_not_overtake_its_message() {
    let mut talk = Talk::new();
    assert_eq!(talk.input("hello"), [message()]);
    assert_eq!(talk.0.interrupt(), []);
    assert_eq!(talk.init(Some(&[OURS])), [interrupt(1)]);
    assert_eq!(talk.answered("interrupt-1", &[]), []);
    assert_eq!(talk.aborted(), [taken(), ended(TurnEnd::Interrupted)]);
    assert_eq!(talk.0.interrupt(), [], "no turn is open");
}

#[test]
fn an_interrupt_that_missed_its_message_is_sent_again() {
    let mut talk = Talk::new();
    talk.input("hello");
    // Something else woke first.
    assert_eq!(talk.init(None), []);
    assert_eq!(talk.0.interrupt(), [interrupt(1)]);
    assert_eq!(talk.answered("interrupt-1", &[OURS]), []);
    assert_eq!(talk.aborted(), [], "that was the end of the other");
    assert_eq!(talk.init(Some(&[OURS])), [interrupt(2)]);
    assert_eq!(talk.aborted(), [taken(), ended(TurnEnd::Interrupted)]);
}

#[test]
fn work_that_woke_first_does_not_end_the_turn_of_an_input() {
    let mut talk = Talk::new();
    talk.input("hello");
    assert_eq!(talk.init(None), []);
    assert_eq!(talk.text("by the way"), [done(0, "by the way")], "it is no proof either");
    assert_eq!(talk.result(), []);
    talk.init(Some(&[OURS]));
    assert_eq!(talk.text("hi"), [taken(), done(1, "hi")]);
    assert_eq!(talk.result(), [completed()]);
}

#[test]
fn an_input_waits_for_work_that_woke_by_itself() {
    let mut talk = Talk::new();
    assert_eq!(talk.init(None), [event(Event::TurnStarted)]);
    assert_eq!(talk.input("hello"), []);
    assert_eq!(talk.text("by the way"), [done(0, "by the way")]);
    assert_eq!(talk.result(), [message()]);
    talk.init(Some(&[OURS]));
    assert_eq!(talk.text("hi"), [taken(), done(1, "hi")]);
    assert_eq!(talk.result(), [completed()]);
}

#[test]
fn work_that_woke_by_itself_ends_no_turn_of_an_input() {
    let limited = json!({ "type": "result", "is_error": true, "api_error_status": 429 });
    let said = json!({ "type": "result", "is_error": false, "stop_reason": "end_turn" });
    let aborted = json!({ "type": "result", "is_error": true, "terminal_reason": "aborted_streaming" });
    for (result, end, is_limit) in [
        (said, end_turn(), false),
        (aborted, TurnEnd::Interrupted, false),
        (limited, TurnEnd::failed("rate_limited", "the limit `requests` refuses"), true),
    ] {
        let mut talk = Talk::new();
        assert_eq!(talk.init(None), [event(Event::TurnStarted)]);
        talk.text("by the way");
        assert_eq!(talk.line(result), [woken(end)]);
        assert_eq!(talk.0.limit().is_some(), is_limit);
        assert!(!talk.0.has_open_turn());
    }
}

#[test]
fn an_input_that_is_taken_back_while_other_work_runs_has_an_end_of_its_own() {
    let mut talk = Talk::new();
    talk.init(None);
    assert_eq!(talk.input("hello"), []);
    assert_eq!(talk.0.interrupt(), [interrupt(1)]);
    assert_eq!(talk.aborted(), [ended(TurnEnd::Interrupted)]);
}

#[test]
fn work_that_wakes_before_a_turn_has_its_result_is_a_turn_of_its_own() {
    let started = || event(Event::TurnStarted);
    let empty = || TurnEnd::failed("empty_answer", "the model ended its turn without a word");
    for (first, second, n_behind, expected) in [
        ("hi", "by the way", 1, vec![completed(), started(), woken(end_turn())]),
        ("hi", "", 1, vec![completed(), started(), woken(empty())]),
        ("", "by the way", 1, vec![ended(empty()), started(), woken(end_turn())]),
        (
            "hi",
            "by the way",
            2,
            vec![completed(), started(), woken(end_turn()), started(), woken(end_turn())],
        ),
    ] {
        let mut talk = Talk::new();
        talk.input("hello");
        talk.init(Some(&[OURS]));
        let say = |talk: &mut Talk, text: &str| {
            if !text.is_empty() {
                talk.text(text);
            }
        };
        say(&mut talk, first);
        for _ in 0..n_behind {
            assert_eq!(talk.init(None), []);
            say(&mut talk, second);
        }
        let outputs: Vec<_> = (0..=n_behind).flat_map(|_| talk.result()).collect();
        assert_eq!(outputs, expected, "{first:?}, then {second:?}");
        assert!(!talk.0.has_open_turn());
    }
}

/// What the vendor said to a request: a usage limit, wrong credentials for the third time, too much to do.
fn limited(status: &str) -> Value {
    json!({ "type": "rate_limit_event", "rate_limit_info": { "status": status, "rateLimitType": "five_hour" } })
}

fn locked_out() -> Value {
    json!({ "type": "system", "subtype": "api_retry", "attempt": 3, "error_status": 401 })
}

fn overloaded() -> Value {
    json!({ "type": "system", "subtype": "api_retry", "attempt": 1, "error": "overloaded" })
}

fn failed(reason: &str) -> Value {
    json!({ "type": "result", "is_error": true, "terminal_reason": reason })
}

#[test]
fn what_the_work_behind_a_turn_shows_is_booked_on_it() {
    let refused = TurnEnd::failed("authentication_failed", "the vendor refuses the credentials (401)");
    let limit = TurnEnd::failed("rate_limited", "the limit `five_hour` refuses");
    for (shown, result, end) in [
        (limited("rejected"), failed("api_error"), limit),
        (locked_out(), failed("aborted_streaming"), refused),
        (overloaded(), failed("api_error"), TurnEnd::failed("overloaded", "the turn ended with ``")),
    ] {
        let mut talk = Talk::new();
        talk.input("hello");
        talk.init(Some(&[OURS]));
        talk.text("hi");
        talk.init(None);
        talk.line(shown.clone());
        assert_eq!(talk.result(), [completed(), event(Event::TurnStarted)], "{shown}");
        assert_eq!(talk.line(result), [woken(end)], "{shown}");
    }
}

#[test]
fn what_a_turn_has_shown_stays_its_own_when_other_work_begins_behind_it() {
    let mut talk = Talk::new();
    talk.input("hello");
    talk.init(Some(&[OURS]));
    talk.line(limited("rejected"));
    talk.init(None);
    talk.line(limited("allowed"));
    talk.text("by the way");
    let refusal = event(Event::RateLimited { scope: "five_hour".to_owned(), reset_at: None });
    assert_eq!(talk.line(failed("api_error")), [refusal, event(Event::TurnStarted)]);
    assert_eq!(talk.result(), [woken(end_turn())]);
}

#[test]
fn what_work_has_shown_that_ended_before_the_turn_ends_with_it() {
    let mut talk = Talk::new();
    talk.input("hello");
    talk.init(Some(&[OURS]));
    talk.text("hi");
    talk.init(None);
    talk.line(limited("rejected"));
    let ended_first =
        json!({ "type": "result", "is_error": true, "terminal_reason": "api_error", "origin": {} });
    assert_eq!(talk.line(ended_first), []);
    // What begins behind it now has nothing to do with that limit.
    talk.init(None);
    assert_eq!(talk.result(), [completed(), event(Event::TurnStarted)]);
    let failure = TurnEnd::failed("provider_error", "the turn ended with ``");
    assert_eq!(talk.line(failed("api_error")), [woken(failure)]);
}

#[test]
fn a_limit_in_work_behind_a_turn_ends_that_work_as_the_program_writes_it() {
    // A real run, in which a subagent wakes the model before the turn's result comes, and then meets a limit.
    let capture = include_str!("../../tests/captures/subagent.jsonl");
    let lines: Vec<Value> = capture.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let is = |line: &Value, kind: &str| line["type"] == kind || line["subtype"] == kind;
    let behind = lines.iter().rposition(|line| is(line, "init")).unwrap();
    let last = lines.iter().rposition(|line| is(line, "result")).unwrap();
    let mut talk = Talk::new();
    talk.input("hello");
    let mut outputs = Vec::new();
    for (at, mut line) in lines.into_iter().enumerate() {
        if is(&line, "init") {
            line["capabilities"] = json!([]);
        }
        if at == last {
            line["is_error"] = json!(true);
        }
        outputs.extend(talk.line(line));
        if at == behind {
            outputs.extend(talk.line(limited("rejected")));
        }
    }
    let is_end =
        |output: &Output| matches!(output, Output::Event(Event::TurnEnded(_) | Event::WokenEnded(_)));
    outputs.retain(is_end);
    let limit = TurnEnd::failed("rate_limited", "the limit `five_hour` refuses");
    assert_eq!(outputs, [completed(), woken(limit)]);
}

#[test]
fn work_behind_a_turn_may_end_first_and_an_input_joins_it() {
    let behind = || json!({ "type": "result", "is_error": false, "stop_reason": "end_turn", "origin": {} });
    let mut talk = Talk::new();
    talk.input("hello");
    talk.init(Some(&[OURS]));
    talk.text("hi");
    talk.init(None);
    assert_eq!(talk.line(behind()), []);
    assert_eq!(talk.result(), [completed()]);

    talk.init(None);
    talk.init(None);
    assert_eq!(talk.input("hello"), []);
    assert_eq!(talk.line(behind()), []);
    assert_eq!(talk.line(behind()), [message()]);
    talk.init(Some(&[OURS]));
    talk.text("hi");
    assert_eq!(talk.result(), [completed()]);
}

#[test]
fn an_old_version_names_no_messages() {
    let mut talk = Talk::new();
    talk.input("hello");
    talk.line(json!({ "type": "system", "subtype": "init" }));
    assert_eq!(talk.text("hi"), [taken(), done(0, "hi")]);
    assert_eq!(talk.result(), [completed()]);
}

#[test]
fn an_answer_that_broke_off_is_taken_back_when_the_next_one_comes() {
    let begin = |id: &str| json!({ "type": "message_start", "message": { "id": id } });
    let block = || json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text" } });
    let delta = |text: &str| json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } });
    let superseded = |attempt, max_attempts, reason: &str| {
        event(Event::Retrying {
            attempt,
            max_attempts,
            delay_ms: 0,
            reason: reason.to_owned(),
            discarded_blocks: vec![0],
        })
    };
    let broken_off = || {
        let mut talk = Talk::new();
        talk.input("hello");
        talk.init(Some(&[OURS]));
        talk.stream(begin("m1"));
        talk.stream(block());
        talk.stream(delta("one "));
        talk
    };

    // Silently, with or without a word about the end of the first.
    let mut talk = broken_off();
    assert_eq!(talk.text("two"), [superseded(1, 1, "the answer broke off"), done(1, "two")]);
    let mut talk = broken_off();
    talk.line(json!({ "type": "stream_event", "event": { "type": "message_stop" }, "abandoned_blocks": {} }));
    assert_eq!(talk.text("two"), [superseded(1, 1, "the answer broke off"), done(1, "two")]);
    // With a word.
    let mut talk = broken_off();
    let retry = json!({ "type": "system", "subtype": "api_retry", "attempt": 2, "max_retries": 3.0,
        "retry_delay_ms": 0.7, "error_status": null, "error": "unknown" });
    assert_eq!(talk.line(retry), [superseded(2, 3, "unknown")]);
    assert_eq!(talk.text("two"), [done(1, "two")]);
    // Streamed again under the number that the vendor gave to the first, too.
    let mut talk = broken_off();
    assert_eq!(talk.stream(begin("m1")), [superseded(1, 1, "the answer broke off")]);
    talk.stream(block());
    assert_eq!(talk.stream(delta("two")), [event(Event::TextDelta { block: 1, text: "two".to_owned() })]);
}

#[test]
fn wrong_credentials_end_the_turn_long_before_the_program_gives_up() {
    let mut talk = Talk::new();
    talk.input("hello");
    talk.init(Some(&[OURS]));
    for (attempt, n_outputs) in [(1, 1), (2, 1), (3, 2), (4, 1)] {
        let retry =
            json!({ "type": "system", "subtype": "api_retry", "attempt": attempt, "error_status": 401 });
        assert_eq!(talk.line(retry).len(), n_outputs, "attempt {attempt}");
    }
    let message = "the vendor refuses the credentials (401)";
    assert_eq!(talk.aborted(), [taken(), ended(TurnEnd::failed("authentication_failed", message))]);
}

#[test]
fn a_blank_input_is_refused() {
    let mut talk = Talk::new();
    assert_eq!(talk.input(" \n"), [ended(TurnEnd::failed("empty_input", "the input is blank"))]);
    assert_eq!(talk.input("hello"), [message()]);
}

#[test]
fn a_question_that_lapsed_is_not_answered() {
    let mut talk = Talk::new();
    talk.input("hello");
    talk.init(Some(&[OURS]));
    let ask = |id: &str| {
        json!({ "type": "control_request", "request_id": id,
            "request": { "subtype": "can_use_tool", "tool_name": "Write", "input": { "a": 1 } } })
    };
    assert_eq!(talk.line(ask("r1")).len(), 2);
    assert_eq!(talk.line(ask("r2")).len(), 1);
    let lapsed = talk.line(json!({ "type": "control_cancel_request", "request_id": "r1" }));
    assert_eq!(lapsed, [Output::Withdraw { request_id: "r1".to_owned() }]);
    let allow = || Verdict::allow();
    assert_eq!(talk.0.decide("r1", allow()), None);
    let answer = say::decision("r2", json!({ "a": 1 }), allow());
    assert_eq!(talk.0.decide("r2", allow()), Some(Output::Say(answer)));
    assert_eq!(talk.0.decide("r2", allow()), None);
}

#[test]
fn a_question_ends_with_its_turn_and_one_of_a_task_is_asked_again_behind_it() {
    let ask = |id: &str, call: &str| {
        json!({ "type": "control_request", "request_id": id,
            "request": { "subtype": "can_use_tool", "tool_name": "Bash", "tool_use_id": call, "input": { "a": 1 } } })
    };
    let call = |id: &str, by: Value| {
        let content = json!([{ "type": "tool_use", "id": id, "name": "Bash", "input": {} }]);
        json!({ "type": "assistant", "parent_tool_use_id": by, "message": { "id": id, "model": "m", "content": content } })
    };
    let request = |outputs: &[Output]| {
        let asked = outputs
            .iter()
            .find_map(|output| if let Output::Ask { request, .. } = output { Some(request) } else { None });
        asked.expect("it asks").clone()
    };
    let again = |id: &str, request: &ApprovalRequest| Output::Ask {
        request_id: id.to_owned(),
        request: request.clone(),
    };
    let withdrawn = |id: &str| Output::Withdraw { request_id: id.to_owned() };
    let denial =
        |id: &str| Output::Say(say::decision(id, json!({ "a": 1 }), Verdict::deny("the turn is over")));

    let mut talk = Talk::new();
    talk.input("hello");
    talk.init(Some(&[OURS]));
    talk.line(call("task", json!(null)));
    talk.line(json!({ "type": "system", "subtype": "task_started", "task_id": "t", "tool_use_id": "task", "is_backgrounded": true }));
    talk.line(call("of_task", json!("task")));
    let request = request(&talk.line(ask("r1", "of_task")));
    talk.line(call("of_turn", json!(null)));
    talk.line(ask("r2", "of_turn"));
    let outputs = talk.result();
    assert_eq!(outputs, [withdrawn("r2"), denial("r2"), withdrawn("r1"), completed(), again("r1", &request)]);
    assert_eq!(talk.0.decide("r2", Verdict::allow()), None, "it has its answer");

    // Work that wakes meanwhile ends no question of the task's either.
    talk.init(None);
    talk.text("by the way");
    assert_eq!(talk.result(), [withdrawn("r1"), woken(end_turn()), again("r1", &request)]);
    // An input's turn that goes on keeps it as it is.
    talk.input("hello");
    talk.init(None);
    assert_eq!(talk.result(), []);
    let answer = say::decision("r1", json!({ "a": 1 }), Verdict::allow());
    assert_eq!(talk.0.decide("r1", Verdict::allow()), Some(Output::Say(answer)));
}

#[test]
fn a_question_of_a_task_proves_nothing_about_an_input() {
    let mut talk = Talk::new();
    talk.init(None);
    let started = json!({ "type": "system", "subtype": "task_started", "task_id": "t", "tool_use_id": "task", "is_backgrounded": true });
    talk.line(started);
    talk.result();
    talk.input("hello");
    let content = json!([{ "type": "tool_use", "id": "of_task", "name": "Bash", "input": {} }]);
    talk.line(json!({ "type": "assistant", "parent_tool_use_id": "task", "message": { "id": "m", "model": "m", "content": content } }));
    let outputs = talk.line(json!({ "type": "control_request", "request_id": "r1",
        "request": { "subtype": "can_use_tool", "tool_name": "Bash", "tool_use_id": "of_task", "input": {} } }));
    assert!(matches!(outputs[..], [Output::Ask { .. }]), "{outputs:?}");
    talk.init(Some(&[OURS]));
    assert_eq!(talk.text("hi"), [taken(), done(0, "hi")]);
}

#[test]
fn what_is_not_understood_is_named_once_and_answered_where_it_asks() {
    let mut talk = Talk::new();
    for line in [
        json!({ "type": "brand_new", "x": 1 }),
        json!({ "type": "system", "subtype": "brand_new" }),
        json!({ "type": "stream_event", "event": 7 }),
        json!([1]),
    ] {
        assert_eq!(talk.line(line.clone()).len(), 1, "{line}");
        assert_eq!(talk.line(line), []);
    }
    let asked =
        json!({ "type": "control_request", "request_id": "r1", "request": { "subtype": "hook_callback" } });
    let outputs = talk.line(asked.clone());
    assert_eq!(outputs[0], Output::Say(say::unsupported("r1")));
    let message =
        format!("Claude Code sent `control_request/hook_callback`, which is not understood: {asked}");
    let code = "claude.unknown_event".to_owned();
    assert_eq!(outputs[1], event(Event::Diagnostic { code, message }));
    let n = (0..1000).map(|n| talk.line(json!({ "type": format!("made_up_{n}") })).len()).sum::<usize>();
    assert!(n < 100, "{n} remarks");
}

#[test]
fn a_server_without_a_state_is_still_a_server() {
    let mut talk = Talk::new();
    let servers =
        json!([{ "name": "a", "status": null }, { "name": "b", "status": "connected" }, { "name": "c" }]);
    let outputs = talk.line(json!({ "type": "system", "subtype": "init", "mcp_servers": servers }));
    let environment = outputs.iter().find_map(|output| {
        if let Output::Event(Event::Environment(environment)) = output { Some(environment) } else { None }
    });
    let server = |name: &str, state: &str| McpServer { name: name.to_owned(), state: state.to_owned() };
    let expected = vec![server("a", ""), server("b", "connected"), server("c", "")];
    assert_eq!(environment.unwrap().mcp_servers, expected);
}

#[test]
fn a_result_is_an_end_whatever_has_become_of_its_fields() {
    let mut talk = Talk::new();
    talk.input("hello");
    talk.init(Some(&[OURS]));
    talk.text("hi");
    let outputs = talk
        .line(json!({ "type": "result", "is_error": "no", "terminal_reason": 7, "modelUsage": [],
        "total_cost_usd": "much", "errors": "none", "result": { "text": "hi" }, "num_turns": -1 }));
    let end =
        TurnEnd::Completed { stop_reason: musher_protocol::StopReason::Other, vendor_stop_reason: None };
    assert_eq!(outputs.last(), Some(&ended(end)));
    let is_told = |name: &str| {
        let start = format!("Claude Code sent `result.{name}`");
        outputs.iter().any(|output| {
            matches!(output, Output::Event(Event::Diagnostic { code, message })
            if code == "claude.unknown_field" && message.starts_with(&start))
        })
    };
    let names =
        ["errors", "is_error", "modelUsage", "num_turns", "result", "terminal_reason", "total_cost_usd"];
    assert_eq!(names.map(is_told), [true; 7], "{outputs:#?}");
    assert_eq!(outputs.len(), names.len() + 1, "and nothing else: {outputs:#?}");
}
