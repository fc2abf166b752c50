//! What servers do to a turn, and what becomes of it.
//! `docs/backends.md` has the cases that clients of these APIs are known to get wrong, and where each is tested.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use musher_backend::{Event, TurnEnd};
use musher_openai_api::Dialect;
use musher_protocol::Usage;
use musher_scripted::model_api::{
    Answer, ModelApi, Received, Reply,
    chat::{self, refusal},
    responses::{self, call, completed, delta, done, failed, incomplete, message as words, reasoning},
};
use musher_testkit::backend_suite::Session;
use serde_json::json;

use crate::stage::{
    Scene, api, line, message,
    play::{RESPONSES, check, in_order, play},
    script::{begun, calls, text},
    tools,
};

#[tokio::test]
async fn an_answer_without_its_terminal_event_is_a_failed_attempt_and_none_of_its_calls_runs() {
    let cut = Answer::stream().events(&[done(0, call("a", "look", "{}"))]);
    let (turn, _) = play(Scene::responses(), in_order(vec![begun(RESPONSES, "he"), cut])).await;
    check(&turn, "taken 0+he again(2/6 without [0]) again(3/6 without []) 1+fine 1=fine EndTurn");
}

#[tokio::test]
async fn streams_are_repeated_from_the_committed_history_and_counted_apart_from_connects() {
    let busy = || Answer::json(503, &json!({"error": {"message": "busy"}}));
    let answers = (0..4).map(|_| busy()).chain((0..5).map(|_| begun(RESPONSES, "x").cut())).collect();
    let (turn, api) = play(Scene::responses(), in_order(answers)).await;
    let again = "again(2/5 without []) again(3/5 without []) again(4/5 without []) again(5/5 without [])";
    let streams = "0+x again(2/6 without [0]) 1+x again(3/6 without [1]) 2+x again(4/6 without [2]) \
                   3+x again(5/6 without [3]) 4+x again(6/6 without [4])";
    check(&turn, &format!("{again} taken {streams} 5+fine 5=fine EndTurn"));
    let bodies: Vec<_> = api.requests().into_iter().map(|request| request.body).collect();
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:#?}");
}

#[tokio::test]
async fn an_error_inside_of_an_answer_ends_it_whatever_its_shape() {
    let flat = json!({"type": "error", "code": "context_length_exceeded", "message": "m", "param": null});
    let nested =
        json!({"type": "error", "error": {"type": "invalid_request_error", "code": null, "message": "m"}});
    let bare = json!({"error": {"message": "m", "code": 401}});
    for (error, expected) in
        [(flat, "context_overflow"), (nested, "invalid_request"), (bare, "authentication_failed")]
    {
        let (turn, _) = play(Scene::responses(), move |_, _| begun(RESPONSES, "x").event(&error)).await;
        let ended = line(&turn.events);
        assert!(ended.ends_with(&format!("Failed({expected})")), "{ended}");
    }
}

#[tokio::test]
async fn an_error_inside_of_a_chat_answer_ends_it_whatever_its_shape() {
    let stream = || begun(Dialect::Chat, "x");
    let spent = json!({"error": {"code": "insufficient_quota", "message": "m"}, "choices": []});
    let mut choice = chat::finish("error");
    choice["choices"][0]["error"] = json!({"code": 400, "message": "m"});
    let object = json!({"object": "error", "message": "m", "code": 401});
    let named = "event: error\ndata: {\"message\":\"m\",\"code\":\"context_length_exceeded\"}\n\n";
    for (answer, expected) in [
        (stream().event(&spent).bytes(chat::DONE), "quota_exhausted"),
        (stream().event(&choice), "invalid_request"),
        (stream().event(&object), "authentication_failed"),
        (stream().bytes(named), "context_overflow"),
        (
            Answer::json(200, &json!({"error": {"code": "model_not_found", "message": "m"}})),
            "model_not_found",
        ),
    ] {
        let (turn, _) = play(Scene::chat(), move |_, _| answer.clone()).await;
        let ended = line(&turn.events);
        assert!(ended.ends_with(&format!("Failed({expected})")), "{ended}");
    }
}

#[tokio::test]
async fn a_failed_response_shows_its_code() {
    let failed = Answer::stream().event(&failed("vector_store_timeout", "too slow"));
    let (turn, api) = play(Scene::responses(), move |_, _| failed.clone()).await;
    assert_eq!(message(&turn.end), "too slow (vector_store_timeout)");
    assert_eq!(api.requests().len(), 6);
}

#[tokio::test]
async fn a_cut_by_length_is_an_end_of_its_own() {
    let end = [done(0, words("so far")), incomplete("max_output_tokens")];
    let answer = Answer::stream().event(&delta(0, "so far")).events(&end);
    let (turn, _) = play(Scene::responses(), in_order(vec![answer])).await;
    check(&turn, "taken 0+so far 0=so far Length:max_output_tokens");
}

#[tokio::test]
async fn a_truncated_call_does_not_run_and_is_not_mended() {
    let arguments = r#"{"path":"/"#;
    let in_responses = [done(0, call("a", "act", arguments)), incomplete("max_output_tokens")];
    let in_chat = [chat::call(0, "a", "act", arguments), chat::finish("length")];
    for (scene, events, reason) in
        [(Scene::responses(), in_responses, "max_output_tokens"), (Scene::chat(), in_chat, "length")]
    {
        let (turn, _) = play(scene, in_order(vec![Answer::stream().events(&events)])).await;
        let refused = "error(not run: the answer was cut at its length limit)";
        check(&turn, &format!(r#"taken start(act) act("{{\"path\":\"/") {refused} Length:{reason}"#));
    }
}

#[tokio::test]
async fn malformed_arguments_are_told_with_the_schema_and_end_the_turn_the_third_time() {
    let (turn, api) = play(Scene::responses(), |_, number| {
        calls(RESPONSES, &[("", "look", &format!("not json {number}"))])
    })
    .await;
    assert_eq!(
        turn.end,
        TurnEnd::failed(
            "malformed_tool_calls",
            "the model gave 3 answers in a row with a call whose arguments are no JSON object",
        )
    );
    let requests = api.requests();
    let told = requests[1].body["input"].as_array().unwrap().last().unwrap()["output"].as_str().unwrap();
    assert!(
        told.contains(r#"Their schema: {"properties":{"path":{"type":"string"}},"type":"object"}"#),
        "{told}"
    );
    assert_eq!(requests.len(), 3);
}

#[tokio::test]
async fn one_good_call_between_malformed_ones_is_a_new_start() {
    let arguments = ["[", "[ ", "{}", "[  ", "[   "];
    let (turn, _) = play(Scene::responses(), move |_, number| match arguments.get(number) {
        Some(arguments) => calls(RESPONSES, &[("", "look", arguments)]),
        None => text(RESPONSES, "fine"),
    })
    .await;
    assert_eq!(turn.end, TurnEnd::completed());
}

#[tokio::test]
async fn malformed_calls_of_one_answer_are_told_before_they_end_a_turn() {
    let together = calls(RESPONSES, &[("", "look", "["), ("", "look", "{"), ("", "look", "]")]);
    let (turn, _) = play(Scene::responses(), in_order(vec![together])).await;
    assert_eq!(turn.end, TurnEnd::completed());
    // A good one beside them does not make them better.
    let (turn, api) = play(Scene::responses(), |_, number| {
        let good = format!(r#"{{"path":"{number}"}}"#);
        calls(RESPONSES, &[("", "look", "["), ("", "look", &good)])
    })
    .await;
    let ended = line(&turn.events);
    assert!(ended.ends_with(r#"ok(ran with {"path":"2"}) Failed(malformed_tool_calls)"#), "{ended}");
    assert_eq!(api.requests().len(), 3);
}

#[tokio::test]
async fn an_unknown_tool_is_answered_with_those_there_are() {
    let (turn, _) = play(Scene::responses(), in_order(vec![calls(RESPONSES, &[("a", "rm", "{}")])])).await;
    let told = "error(there is no tool `rm`; there are: act, hang, look, stuck)";
    check(&turn, &format!("taken start(rm) rm({{}}) {told} 0+fine 0=fine EndTurn"));
}

#[tokio::test]
async fn empty_and_thought_only_answers_are_repeated_and_then_have_a_name() {
    let reply = Reply { thought: Some("hm".to_owned()), ..Reply::text("") };
    let (turn, _) = play(Scene::responses(), move |_, _| responses::answer(&reply)).await;
    let expected = "taken 0~hm again(2/3 without [0]) 1~hm again(3/3 without [1]) 2~hm Failed(empty_answer)";
    check(&turn, expected);
}

#[tokio::test]
async fn empty_answers_between_others_are_not_in_a_row() {
    let empty = || text(RESPONSES, "");
    let answers = vec![empty(), empty(), calls(RESPONSES, &[("a", "look", "{}")]), empty(), empty()];
    let (turn, _) = play(Scene::responses(), in_order(answers)).await;
    let twice = "again(2/3 without []) again(3/3 without [])";
    check(
        &turn,
        &format!("taken {twice} start(look) look({{}}) ok(ran with {{}}) {twice} 0+fine 0=fine EndTurn"),
    );
}

#[tokio::test]
async fn a_chat_answer_without_a_reason_for_its_end_is_repeated_a_bounded_number_of_times() {
    let (turn, api) = play(Scene::chat(), |_, _| begun(Dialect::Chat, "x").bytes(chat::DONE)).await;
    assert_eq!(message(&turn.end), "the stream ended without a `finish_reason`");
    assert_eq!(api.requests().len(), 6);
}

#[tokio::test]
async fn a_signature_on_a_chat_call_goes_back_with_it() {
    let signed = json!({
        "index": 0,
        "id": "a",
        "type": "function",
        "function": {"name": "look", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": "sig"}},
    });
    let call = chat::delta(&json!({"tool_calls": [signed]}));
    let answer = Answer::stream().events(&[call, chat::finish("stop")]);
    let (turn, api) =
        play(
            Scene::chat(),
            move |_, number| {
                if number == 0 { answer.clone() } else { text(Dialect::Chat, "fine") }
            },
        )
        .await;
    assert_eq!(turn.end, TurnEnd::completed());
    let call = &api.requests()[1].body["messages"][1]["tool_calls"][0];
    assert_eq!(call["extra_content"]["google"]["thought_signature"], "sig");
}

#[tokio::test]
async fn reasoning_goes_back_in_front_of_the_call_that_it_led_to() {
    let (_, api) = play(Scene::responses(), in_order(vec![calls(RESPONSES, &[("a", "look", "{}")])])).await;
    let second = &api.requests()[1].body;
    assert_eq!(
        second["input"],
        json!([
            {"type": "message", "role": "user", "content": "go"},
            reasoning(""),
            call("a", "look", "{}"),
            {"type": "function_call_output", "call_id": "a", "output": "ran with {}"},
        ])
    );
    assert_eq!(
        (&second["store"], &second["include"]),
        (&json!(false), &json!(["reasoning.encrypted_content"]))
    );
}

#[tokio::test]
async fn opaque_items_that_the_vendor_refuses_are_dropped_once() {
    let refuses = || refusal(400, "invalid_encrypted_content", "not ours");
    let first = calls(RESPONSES, &[("a", "look", "{}")]);
    let (turn, api) = play(Scene::responses(), in_order(vec![first.clone(), refuses()])).await;
    assert!(
        line(&turn.events)
            .ends_with("says(history.opaque_dropped) again(2/2 without []) 0+fine 0=fine EndTurn")
    );
    let has_reasoning = |at: usize| {
        api.requests()[at].body["input"].as_array().unwrap().iter().any(|item| item["type"] == "reasoning")
    };
    assert_eq!([has_reasoning(1), has_reasoning(2)], [true, false]);

    let (turn, api) = play(Scene::responses(), in_order(vec![first, refuses(), refuses()])).await;
    assert!(line(&turn.events).ends_with("Failed(history_rejected)"));
    assert_eq!(api.requests().len(), 3);
}

#[tokio::test]
async fn a_servers_delay_is_the_least_that_is_waited() {
    let limited = Answer::json(
        429,
        &json!({"error": {"type": "tokens", "code": "rate_limit_exceeded", "message": "m"}}),
    )
    .header("retry-after-ms", "30");
    let in_words = json!({"error": {"message": "Please try again in 20ms.", "code": "rate_limit_exceeded"}});
    let busy = Answer::json(503, &json!({"error": {"message": "busy"}})).header("retry-after-ms", "40");
    let answers = vec![limited, Answer::stream().event(&in_words), busy];
    let before = Instant::now();
    let (turn, _) = play(Scene::responses(), in_order(answers)).await;
    assert!(before.elapsed() >= Duration::from_millis(30 + 20 + 40), "{:?}", before.elapsed());
    let delays = turn.events.iter().filter_map(|event| {
        if let Event::Retrying { delay_ms, .. } = event { Some(*delay_ms) } else { None }
    });
    let delays: Vec<_> = delays.collect();
    assert!(matches!(delays[..], [30..=38, 20..=25, 40..=50]), "{delays:?}");
    assert_eq!(turn.end, TurnEnd::completed());
}

#[tokio::test]
async fn a_delay_that_one_session_was_told_holds_for_the_others() {
    let limited = Answer::json(429, &json!({"error": {"code": "rate_limit_exceeded", "message": "m"}}));
    let limited = limited.header("retry-after", "250");
    let api = Arc::new(api(RESPONSES, in_order(vec![limited])).await);
    let subject = Scene::responses().silent_subject(&api);
    let mut first = Session::start(&subject).await;
    let first_input = first.input("go").await;
    first.until("the delay", |event| matches!(event, Event::Retrying { .. })).await;
    let mut second = Session::start(&subject).await;
    let second_input = second.input("go").await;
    let asks = |event: &Event| !matches!(event, Event::Environment(_));
    second.watch(Duration::from_millis(300), asks).await;
    assert_eq!(api.requests().len(), 1);
    for (session, input_id) in [(&mut first, first_input), (&mut second, second_input)] {
        session.interrupt().await;
        assert_eq!(session.turn_end(input_id).await.end, TurnEnd::Interrupted);
    }
}

#[tokio::test]
async fn spent_money_is_not_asked_for_twice() {
    for code in ["insufficient_quota", "organization_spend_limit_exceeded"] {
        let spent = refusal(429, code, "pay");
        let (turn, api) = play(Scene::responses(), move |_, _| spent.clone()).await;
        check(&turn, "Failed(quota_exhausted)");
        assert_eq!(api.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_far_reset_parks_the_turn_with_its_time_and_the_same_input_goes_on() {
    let limited = Answer::json(
        429,
        &json!({"error": {"type": "usage_limit_reached", "message": "later",
        "resets_in_seconds": 7200}}),
    );
    let api = Arc::new(api(RESPONSES, in_order(vec![limited])).await);
    let mut session = Scene::responses().start(&api).await;
    let before = Timestamp::now();
    let input_id = session.input("go").await;
    session.until("the limit", |event| matches!(event, Event::RateLimited { .. })).await;
    session.again(&input_id, "go").await;
    let turn = session.turn_end(input_id).await;
    check(&turn, "limited(usage_limit_reached) taken 0+fine 0=fine EndTurn");
    let reset_at = turn
        .events
        .iter()
        .find_map(|event| if let Event::RateLimited { reset_at, .. } = event { *reset_at } else { None });
    let reset_at = reset_at.expect("the vendor says when");
    let two_hours = Duration::from_secs(7200);
    assert!(before + two_hours <= reset_at && reset_at <= Timestamp::now() + two_hours, "{reset_at}");
    assert_eq!(api.requests()[0].body, api.requests()[1].body);
}

#[tokio::test]
async fn a_server_that_is_busy_for_longer_than_a_turn_waits_parks_it_until_then() {
    let busy = Answer::json(503, &json!({"error": {"message": "busy"}})).header("retry-after", "600");
    let api = Arc::new(api(RESPONSES, in_order(vec![busy])).await);
    let mut session = Scene::responses().start(&api).await;
    let before = Timestamp::now();
    let input_id = session.input("go").await;
    session.until("the refusal", |event| matches!(event, Event::RateLimited { .. })).await;
    session.again(&input_id, "go").await;
    let turn = session.turn_end(input_id).await;
    check(&turn, "limited(overloaded) taken 0+fine 0=fine EndTurn");
    let told = turn
        .events
        .iter()
        .find_map(|event| if let Event::RateLimited { reset_at, .. } = event { *reset_at } else { None });
    assert!(told.expect("it said when") >= before + Duration::from_secs(600));
}

#[tokio::test]
async fn another_input_at_a_limit_is_another_turn() {
    let limited = Answer::json(429, &json!({"error": {"message": "later", "resets_in_seconds": 7200}}));
    let api = Arc::new(api(RESPONSES, in_order(vec![limited])).await);
    let mut session = Scene::responses().start(&api).await;
    session.input("go").await;
    session.until("the limit", |event| matches!(event, Event::RateLimited { .. })).await;
    let turn = session.turn("something else").await;
    check(&turn, "limited(requests) taken 0+fine 0=fine EndTurn");
}

#[tokio::test]
async fn a_request_that_the_vendor_refuses_is_not_repeated() {
    for (status, code) in [(400, "unsupported_value"), (413, "request_too_large"), (422, "unprocessable")] {
        let refused = refusal(status, code, "no");
        let (turn, api) = play(Scene::responses(), move |_, _| refused.clone()).await;
        check(&turn, "Failed(invalid_request)");
        assert_eq!(api.requests().len(), 1);
    }
}

#[tokio::test]
async fn circles_of_calls_end_the_turn() {
    let same: &[&str] = &["{}"];
    let pair: &[&str] = &[r#"{"path":"a"}"#, r#"{"path":"b"}"#];
    for (arguments, n_requests) in [(same, 5), (pair, 6)] {
        let (turn, api) = play(Scene::responses(), move |_, number| {
            calls(RESPONSES, &[("", "look", arguments[number % arguments.len()])])
        })
        .await;
        let ended = line(&turn.events);
        let expected = "error(not run: the same calls were made again and again) Failed(tool_loop)";
        assert!(ended.ends_with(expected), "{ended}");
        assert_eq!(api.requests().len(), n_requests);
    }
}

#[tokio::test]
async fn a_connection_that_falls_silent_is_given_up() {
    let mut scene = Scene::responses();
    // Long for a fake that answers at once, also on a busy machine.
    scene.pace.silence = Duration::from_secs(1);
    let answers = vec![Answer::never(), begun(RESPONSES, "x").hang()];
    let (turn, api) = play(scene, in_order(answers)).await;
    let ended = line(&turn.events);
    assert!(ended.starts_with("again(2/5 without []) taken 0+x again(2/6 without [0])"), "{ended}");
    api.abandoned(2).await;
}

#[tokio::test]
async fn comments_prove_a_connection_and_no_progress() {
    let mut scene = Scene::responses();
    // Whatever is not whole at once has made none.
    scene.pace.progress = Duration::ZERO;
    let script = |_: &Received, number: usize| match number {
        0 => Answer::stream().bytes(": still here\n\n").hang(),
        _ => text(RESPONSES, "fine").in_pieces(1 << 20),
    };
    let api = Arc::new(api(RESPONSES, script).await);
    let mut session = scene.start(&api).await;
    let turn = session.turn("go").await;
    check(&turn, "taken again(2/6 without []) 0+fine 0=fine EndTurn");
}

#[tokio::test]
async fn a_refusal_or_a_filter_is_an_end_that_is_not_repeated() {
    let refusing = json!({"type": "message", "id": "m", "role": "assistant", "status": "completed",
        "content": [{"type": "refusal", "refusal": "I cannot"}]});
    for (scene, answer, expected) in [
        (
            Scene::responses(),
            Answer::stream().events(&[done(0, refusing), completed(&Usage::default())]),
            "taken 0+I cannot 0=I cannot Refused(I cannot)",
        ),
        (
            Scene::responses(),
            Answer::stream().event(&incomplete("content_filter")),
            "taken Refused(the provider's filter ended the answer)",
        ),
        (
            Scene::chat(),
            Answer::stream().event(&chat::finish("content_filter")),
            "taken Refused(the provider's filter ended the answer)",
        ),
        (
            Scene::responses(),
            refusal(400, "content_policy_violation", "no"),
            "Refused(no (content_policy_violation, status 400))",
        ),
    ] {
        let (turn, api) = play(scene, move |_, _| answer.clone()).await;
        check(&turn, expected);
        assert_eq!(api.requests().len(), 1);
    }
}

#[tokio::test]
async fn one_bad_tool_is_left_out_and_the_run_goes_on() {
    let mut scene = Scene::responses();
    scene.launch = Box::new(|launch| {
        launch.tools = vec![
            tools::tool("tickets.list", json!({"type": "object"})),
            tools::tool("look", json!({"type": "object"})),
            tools::tool("list", json!({"type": "array"})),
        ];
    });
    let (turn, api) = play(scene, in_order(vec![])).await;
    check(&turn, "says(tool.dropped) says(tool.dropped) taken 0+fine 0=fine EndTurn");
    let tools = &api.requests()[0].body["tools"];
    assert_eq!((tools.as_array().map(Vec::len), &tools[0]["name"]), (Some(1), &json!("look")));
}

#[tokio::test]
async fn what_nothing_helps_fails_at_once_with_the_request_and_without_the_key() {
    for (status, code, expected) in [
        (401, "invalid_api_key", "authentication_failed"),
        (403, "forbidden", "authentication_failed"),
        (404, "model_not_found", "model_not_found"),
    ] {
        let said = format!("wrong: {}", crate::stage::KEY);
        let refused = refusal(status, code, &said).header("x-request-id", "req_7");
        let (turn, api) = play(Scene::responses(), move |_, _| refused.clone()).await;
        check(&turn, &format!("Failed({expected})"));
        assert_eq!(message(&turn.end), format!("wrong: [key] ({code}, status {status}, request req_7)"));
        assert_eq!(api.requests().len(), 1);
    }
}

#[tokio::test]
async fn an_error_inside_of_an_answer_does_not_show_the_key_either() {
    let said = format!("no such key: {}", crate::stage::KEY);
    let error = json!({"type": "error", "error": {"code": "invalid_api_key", "message": said}});
    let (turn, _) = play(Scene::responses(), move |_, _| Answer::stream().event(&error)).await;
    assert_eq!(message(&turn.end), "no such key: [key] (invalid_api_key)");
}

#[tokio::test]
async fn pages_and_unknown_events_do_no_harm() {
    let page = Answer::page(502, "<html>Bad gateway</html>");
    let odd = Answer::stream()
        .events(&[json!({"type": "response.new_thing", "delta": 7}), json!({"type": "keepalive"})])
        .events(&[delta(0, "hi"), done(0, words("hi")), completed(&Usage::default())]);
    let login = Answer::page(200, "<html>Sign in</html>");
    let empty = Answer::page(500, "");
    let garbled = begun(RESPONSES, "x").bytes("data: <html>\n\n");
    let (turn, _) = play(Scene::responses(), in_order(vec![page, login, empty, garbled, odd])).await;
    let again = "again(2/5 without []) again(3/5 without []) again(4/5 without [])";
    check(&turn, &format!("{again} taken 0+x again(2/6 without [0]) 1+hi 1=hi EndTurn"));
}

#[tokio::test]
async fn a_field_that_a_server_does_not_know_is_left_out_from_then_on() {
    let unknown = json!({"error": {"message": "Unknown parameter", "param": "stream_options"}});
    let api = api(Dialect::Chat, move |_, number| {
        if number == 0 { Answer::json(400, &unknown) } else { text(Dialect::Chat, "fine") }
    });
    let api = Arc::new(api.await);
    let mut session = Scene::chat().start(&api).await;
    for _ in 0..2 {
        session.completed_turn("go").await;
    }
    let sent: Vec<_> =
        api.requests().iter().map(|request| request.body["stream_options"].is_object()).collect();
    assert_eq!(sent, [true, false, false]);
}

#[tokio::test]
async fn a_server_that_knows_none_of_the_fields_that_can_be_spared_is_asked_without_them_in_one_turn() {
    for (dialect, spared) in [
        (
            RESPONSES,
            &[
                ("/include", "include"),
                ("/stream_options", "stream_options"),
                ("/prompt_cache_key", "prompt_cache_key"),
                ("/tools/0/strict", "tools[0].strict"),
                ("/tool_choice", "tool_choice"),
                ("/reasoning/summary", "reasoning.summary"),
            ][..],
        ),
        (
            Dialect::Chat,
            &[("/stream_options", "stream_options"), ("/max_completion_tokens", "max_completion_tokens")],
        ),
    ] {
        let mut scene = Scene::of(dialect);
        scene.launch = Box::new(|launch| {
            let options = json!({"reasoning_effort": "low", "max_output_tokens": 100});
            launch.options = options.as_object().cloned().unwrap_or_default();
        });
        // None that follows the vendor's schema, which wants `strict`.
        let api = ModelApi::start(
            |_| Vec::new(),
            move |received, _| {
                let unknown = spared.iter().find(|(place, _)| received.body.pointer(place).is_some());
                let refused = |param| json!({"error": {"message": "Unknown parameter", "param": param}});
                unknown.map_or_else(|| text(dialect, "fine"), |(_, param)| Answer::json(400, &refused(param)))
            },
        );
        let api = Arc::new(api.await.expect("loopback has a free port"));
        let turn = scene.start(&api).await.turn("go").await;
        assert_eq!(turn.end, TurnEnd::completed(), "{dialect:?}");
        assert_eq!(api.requests().len(), spared.len() + 1, "{dialect:?}");
    }
}
