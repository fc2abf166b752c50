//! What scripts do, event by event. Time is paused: a delay costs nothing and is exact.

use std::{error::Error as _, sync::Arc, time::Duration};

use jiff::Timestamp;
use musher_backend::{Backend, Capabilities, Event, Launch, Link, Report, SessionOutcome, TurnEnd, Verdict};
use musher_protocol::{SessionEnvironment, Usage, WorkerId};
use musher_scripted::Scripted;
use musher_testkit::backend_suite::{Footprint, Prompts, Session, Subject, Turn};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::Instant;

/// A session with these options, its greeting still to come.
async fn session(options: Value) -> Session {
    let launch = move || {
        let mut launch = Launch::new(WorkerId::mint(), "/".into());
        launch.options = options.as_object().cloned().expect("options are an object");
        launch
    };
    let none = String::new;
    Session::start(&Subject {
        backend: Arc::new(Scripted),
        launch: Box::new(launch),
        footprint: Footprint::InProcess,
        prompts: Prompts {
            say: none(),
            call_tool: none(),
            ask: none(),
            ask_twice: None,
            run_long: none(),
            hang: none(),
        },
    })
    .await
}

/// A session that answers every input with these steps.
async fn playing(steps: Value) -> Session {
    session(json!({"script": {"turns": [], "otherwise": {"steps": steps}}})).await
}

/// The events as one line, without the greeting of a session's first turn.
fn line(events: &[Event]) -> String {
    let greets = |event: &&Event| matches!(event, Event::Environment(_) | Event::Diagnostic { .. });
    events.iter().filter(|event| !greets(event)).map(word).collect::<Vec<_>>().join(" ")
}

fn word(event: &Event) -> String {
    match event {
        Event::InputTaken { .. } => "taken".to_owned(),
        Event::TextDelta { block, text } => format!("text{block}+{text:?}"),
        Event::TextDone { block, text } => format!("text{block}={text:?}"),
        Event::ThinkingDelta { block, text } => format!("thinking{block}+{text:?}"),
        Event::ThinkingDone { block, text } => format!("thinking{block}={text:?}"),
        Event::ToolCallStarted { name, .. } => format!("started({name})"),
        Event::ToolCallDelta { arguments, .. } => format!("arguments({arguments})"),
        Event::ToolCallDone { name, input, .. } => format!("whole({name} {input})"),
        Event::ToolResult { output, .. } => {
            let word = if output.is_error { "error" } else { "result" };
            format!("{word}({})", output.content)
        }
        Event::Usage(usage) => format!("usage({:?}/{:?})", usage.input_tokens, usage.output_tokens),
        Event::RateLimited { scope, .. } => format!("limited({scope})"),
        Event::TurnEnded(TurnEnd::Completed { .. }) => "completed".to_owned(),
        Event::TurnEnded(TurnEnd::Interrupted) => "interrupted".to_owned(),
        Event::TurnEnded(TurnEnd::Failed(error)) => format!("failed({}: {})", error.code, error.message),
        event @ (Event::TurnEnded(TurnEnd::Refused { .. })
        | Event::TurnStarted
        | Event::Retrying { .. }
        | Event::Environment(_)
        | Event::Diagnostic { .. }
        | Event::WokenEnded(_)
        | Event::Background { .. }
        | Event::Alive) => panic!("a script cannot say {event:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn steps_become_events() {
    let cases = [
        (json!([]), "taken completed"),
        (json!([{"text": "on it"}]), r#"taken text0+"on " text0+"it" text0="on it" completed"#),
        (json!([{"text": ""}]), r#"taken text0="" completed"#),
        (
            json!([{"thinking": "hm, so"}, {"text": "a"}, {"text": "b"}]),
            r#"taken thinking0+"hm, so" thinking0="hm, so" text1+"a" text1="a" text2+"b" text2="b" completed"#,
        ),
        (
            json!([{"tool_call": {"name": "shell", "input": {"command": "make"}, "result": "ok", "takes_ms": 50}}]),
            r#"taken started(shell) arguments({"command":"make"}) whole(shell {"command":"make"}) result(ok) completed"#,
        ),
        (
            json!([{"tool_call": {"name": "ls", "input": null, "result": "no", "is_error": true}}]),
            "taken started(ls) arguments(null) whole(ls null) error(no) completed",
        ),
        (
            json!([{"approval": {"tool": "shell", "input": {}}}, {"text": "a"}]),
            r#"taken text0+"a" text0="a" completed"#,
        ),
        (json!([{"usage": {"input_tokens": 10}}, {"sleep_ms": 100}]), "taken usage(Some(10)/None) completed"),
        (
            json!([{"text": "a"}, {"fail": {"code": "provider_error", "message": "no"}}, {"text": "b"}]),
            r#"taken text0+"a" text0="a" failed(provider_error: no)"#,
        ),
    ];
    for (steps, expected) in cases {
        let turn = playing(steps.clone()).await.turn("go").await;
        assert_eq!(line(&turn.events), expected, "{steps}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_turn_that_matches_answers() {
    let script = json!({"turns": [
        {"match": "^deploy", "steps": [{"text": "first"}]},
        {"match": "deploy|test", "steps": [{"text": "second"}]},
    ]});
    let cases = [
        ("deploy", r#"taken text0+"first" text0="first" completed"#),
        ("please deploy", r#"taken text0+"second" text0="second" completed"#),
        ("else", "taken failed(script_no_match: no turn of the script matches the input)"),
    ];
    let mut session = session(json!({"script": script})).await;
    for (input, expected) in cases {
        assert_eq!(line(&session.turn(input).await.events), expected, "{input}");
    }
}

#[tokio::test]
async fn a_session_says_that_it_is_scripted() {
    let mut launch = Launch::new(WorkerId::mint(), "/".into());
    let steps = json!([{"tool_call": {"name": "shell", "input": {}, "result": ""}}]);
    launch.options.insert("script".to_owned(), json!({"otherwise": {"steps": steps}}));
    let (link, mut runtime) = Link::pair();
    let driver = async {
        let Some(Report::SessionStarted { session_id, resumed, recorded }) = runtime.reports.recv().await
        else {
            panic!("the session's id comes first")
        };
        recorded.send(()).expect("the session waits for it");
        let uuid = session_id.as_str().strip_prefix("scripted-").map(str::len);
        assert_eq!((uuid, resumed), (Some(36), false));
        let mut greeting = Vec::new();
        for _ in 0..2 {
            let Some(Report::Event(event)) = runtime.reports.recv().await else { panic!("a greeting") };
            greeting.push(event);
        }
        drop(runtime);
        greeting
    };
    let (outcome, greeting) = tokio::join!(Scripted.run(launch, link), driver);
    outcome.expect("an outcome");
    let environment = SessionEnvironment {
        cli_version: None,
        model: Some("scripted".to_owned()),
        permission_mode: None,
        tools: vec!["shell".to_owned()],
        mcp_servers: vec![],
        settings_sources: vec![],
        env_keys: vec![],
        sandbox: "none".to_owned(),
    };
    let diagnostic = Event::Diagnostic {
        code: "backend.scripted".to_owned(),
        message: "this worker is scripted: no model runs".to_owned(),
    };
    assert_eq!(greeting, [Event::Environment(environment), diagnostic]);
    assert_eq!(Scripted.capabilities(), Capabilities { roots: true, ..Capabilities::default() });
}

#[tokio::test]
async fn a_bad_script_starts_no_session() {
    let mut launch = Launch::new(WorkerId::mint(), "/".into());
    launch.options.insert("script".to_owned(), json!({"turn": []}));
    let (link, mut runtime) = Link::pair();
    let error = Scripted.run(launch, link).await.expect_err("a bad script");
    let source = error.source().map(ToString::to_string);
    assert_eq!(
        (error.code, source),
        ("script_invalid", Some("read the script at `/script/turn`".to_owned()))
    );
    assert!(runtime.reports.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn delays_are_between_words_and_a_steps_own_replaces_the_launchs() {
    let script = json!({"turns": [{"match": "own", "steps": [{"text": "a b c", "word_delay_ms": 5000}]}], "otherwise": "echo"});
    let mut session = session(json!({"script": script, "word_delay_ms": 2000})).await;
    for (input, secs) in [("own", 10), ("d e f g", 6), ("word", 0)] {
        let before = Instant::now();
        session.turn(input).await;
        assert_eq!(before.elapsed().as_secs(), secs, "{input}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_ends_every_wait_at_once() {
    let hour = 3_600_000;
    let cases = [
        (json!([{"text": "one two", "word_delay_ms": hour}]), r#"taken text0+"one " interrupted"#),
        (json!([{"sleep_ms": hour}]), "taken interrupted"),
        (json!([{"hang": true}]), "taken interrupted"),
        (
            json!([{"tool_call": {"name": "ls", "input": {}, "result": "", "takes_ms": hour}}]),
            "taken started(ls) arguments({}) whole(ls {}) interrupted",
        ),
        (json!([{"rate_limit": {"reset_after_secs": 2}}]), "taken limited(requests) interrupted"),
    ];
    for (steps, expected) in cases {
        let mut session = playing(steps.clone()).await;
        let input_id = session.input("go").await;
        session.watch(Duration::from_secs(1), |event| matches!(event, Event::TurnEnded(_))).await;
        let before = Instant::now();
        session.interrupt().await;
        let turn = session.turn_end(input_id).await;
        assert_eq!((line(&turn.events).as_str(), before.elapsed()), (expected, Duration::ZERO), "{steps}");
    }
}

#[tokio::test]
async fn an_interrupt_comes_between_two_words_without_a_delay() {
    let mut session = session(json!({})).await;
    // More words than the link holds, so that the backend still waits for the runtime to take them.
    let input_id = session.input(&"word ".repeat(10_000)).await;
    session.content().await;
    session.interrupt().await;
    let turn = session.turn_end(input_id).await;
    assert_eq!(turn.end, TurnEnd::Interrupted);
    assert!(turn.events.len() < 1000, "{} events came after the interrupt", turn.events.len());
}

#[tokio::test(start_paused = true)]
async fn an_end_interrupts_the_turn_and_then_ends_the_session() {
    let mut session = playing(json!([{"text": "a"}, {"hang": true}])).await;
    session.input("go").await;
    session.content().await;
    let (outcome, events) = session.end(Duration::from_secs(10)).await;
    let expected = r#"taken text0+"a" text0="a" interrupted"#;
    assert_eq!((outcome, line(&events).as_str()), (SessionOutcome::ended(), expected));
}

#[tokio::test(start_paused = true)]
async fn a_crash_leaves_the_turn_open() {
    let mut session = playing(json!([{"text": "a"}, {"crash": true}])).await;
    session.input("go").await;
    let (outcome, events) = session.ended().await;
    let killed = SessionOutcome { signal: Some(9), ..SessionOutcome::crashed() };
    assert_eq!((outcome, line(&events).as_str()), (killed, r#"taken text0+"a" text0="a""#));
}

#[tokio::test(start_paused = true)]
async fn a_rate_limited_turn_goes_on_behind_the_limit() {
    let limit = json!({"reset_after_secs": 7200, "scope": "five_hour"});
    let mut session = playing(json!([{"text": "a"}, {"rate_limit": limit}, {"text": "b"}])).await;
    let before = Timestamp::now();
    let input_id = session.input("go").await;
    let is_limit = |event: &Event| matches!(event, Event::RateLimited { .. });
    session.until("the limit", is_limit).await;
    session.again(&input_id, "go").await;
    let Turn { events, .. } = session.turn_end(input_id).await;
    let expected = r#"taken text0+"a" text0="a" limited(five_hour) taken text1+"b" text1="b" completed"#;
    assert_eq!(line(&events), expected);
    let limited = events.iter().find(|event| is_limit(event));
    let Some(Event::RateLimited { reset_at: Some(reset_at), .. }) = limited else {
        panic!("a time: {limited:?}")
    };
    assert!(
        *reset_at >= before + Duration::from_secs(7200)
            && *reset_at <= Timestamp::now() + Duration::from_secs(7200)
    );
}

#[tokio::test(start_paused = true)]
async fn another_input_at_a_rate_limit_is_another_turn() {
    let limited = json!({"match": "limit", "steps": [{"rate_limit": {}}, {"text": "behind the limit"}]});
    let mut session = session(json!({"script": {"turns": [limited], "otherwise": "echo"}})).await;
    session.input("limit").await;
    session.until("the limit", |event| matches!(event, Event::RateLimited { .. })).await;
    let Turn { events, .. } = session.turn("hello").await;
    assert_eq!(line(&events), r#"taken limited(requests) taken text0+"hello" text0="hello" completed"#);
}

#[tokio::test(start_paused = true)]
async fn a_denied_approval_goes_on_with_the_next_step() {
    let questions = json!([{"question": "which?", "options": [{"label": "a", "description": "the first"}]}]);
    let approval = json!({"tool": "AskUser", "input": {"n": 1}, "questions": questions});
    let mut session = playing(json!([{"approval": approval}, {"text": "b"}])).await;
    let input_id = session.input("go").await;
    let (approval_id, request) = session.approval().await;
    assert_eq!(
        serde_json::to_value((request.kind, &request.tool, &request.input, &request.questions[0].options))
            .ok(),
        Some(json!(["question", "AskUser", {"n": 1}, [{"label": "a", "description": "the first"}]]))
    );
    session.decide(approval_id, Verdict::deny("no")).await;
    assert_eq!(line(&session.turn_end(input_id).await.events), r#"taken text0+"b" text0="b" completed"#);
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_turn_takes_its_open_questions_back() {
    let ask = |n: u8| json!({"tool": "shell", "input": {"n": n}});
    let mut session = playing(json!([{"approval": [ask(1), ask(2)]}])).await;
    let input_id = session.input("go").await;
    let (first, _) = session.approval().await;
    let (second, _) = session.approval().await;
    session.decide(first, Verdict::allow()).await;
    session.interrupt().await;
    assert_eq!(line(&session.turn_end(input_id).await.events), "taken interrupted");
    assert_eq!(session.withdrawn(), [second]);
}

#[tokio::test(start_paused = true)]
async fn usage_left_out_is_unknown() {
    let usage = json!({"input_tokens": 10, "total_cost_usd": 0.5, "cost_source": "estimated"});
    let turn = playing(json!([{"usage": usage}])).await.turn("go").await;
    let expected: Usage = serde_json::from_value(usage).expect("a usage");
    assert!(turn.events.contains(&Event::Usage(expected)), "{turn:#?}");
}

proptest! {
    /// Any characters, not only printable ones.
    #[test]
    fn an_echo_is_its_input_word_by_word(chars in proptest::collection::vec(any::<char>(), 0..200), gaps: bool) {
        let gap = if gaps { "\r\n \u{1b}[2J" } else { "" };
        let text: String = chars.chunks(7).flat_map(|word| word.iter().copied().chain(gap.chars())).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let turn = runtime.block_on(async { session(json!({})).await.completed_turn(&text).await });
        let mut deltas = String::new();
        let mut done = Vec::new();
        for event in turn.events {
            if let Event::TextDelta { text, .. } = event {
                deltas += &text;
            } else if let Event::TextDone { text, .. } = event {
                done.push(text);
            }
        }
        prop_assert_eq!((deltas, done), (text.clone(), vec![text]));
    }
}
