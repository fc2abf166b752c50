//! Tokens with labels, and the workers of others.

use musher_protocol::route::{ROUTES, Scope};

use crate::attack::{answer::Answer, request::Request, tally::Tally, target::Target};

/// What an admin with labels could change for everybody.
pub(super) async fn of_the_runtime(target: &Target, tally: &mut Tally) {
    let is_of_all = |path: &str| !path.contains("{worker_id}");
    for route in ROUTES.iter().filter(|route| route.scope == Some(Scope::Admin) && is_of_all(route.path)) {
        let answer = target.ask(Request::of(route, "wrk_1").bearer(&target.ours)).await;
        tally.case(format!("{:?} {}", route.method, route.path), answer.status == 403);
    }
    // Deleting other people's unsaved work is the admin's, too.
    let discard = format!("/v1/workers/{}?discard=true", target.theirs);
    for token in [&target.ours, &target.drive] {
        let answer = target.ask(Request::new("DELETE", discard.clone()).bearer(token)).await;
        tally.case("DELETE with discard", matches!(answer.status, 403 | 404));
    }
}

/// Every route of a worker, asked of another team's: the answer is that to a worker that never was.
pub(super) async fn foreign(target: &Target, tally: &mut Tally) {
    for route in ROUTES.iter().filter(|route| route.path.contains("{worker_id}")) {
        let ask = async |worker: &str| -> Answer {
            let request = Request::of(route, worker).bearer(&target.ours);
            target.ask(if route.path.ends_with("/ws") { request.upgrading() } else { request }).await
        };
        let (found, unknown) = (ask(&target.theirs).await, ask("wrk_1").await);
        let message =
            |answer: &Answer| answer.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        let is_same = message(&found).replace(&target.theirs, "wrk_1") == message(&unknown);
        tally.case(format!("{:?} {}", route.method, route.path), found.status == 404 && is_same);
    }
    let stream =
        Request::get(format!("/v1/workers/{}/events", target.theirs)).with("Accept", "text/event-stream");
    tally.case("stream", target.ask(stream.bearer(&target.ours)).await.status == 404);
}

/// Lists and feeds over all workers.
pub(super) async fn listed(target: &Target, tally: &mut Tally) {
    for path in [
        "/v1/workers",
        "/v1/workers?label=team=b",
        "/v1/workers?label=team=a&label=team=b",
        "/v1/workers?order=desc&limit=1000",
        "/v1/attention",
        "/v1/attention?label=team=b",
        "/v1/attention?kind=approval",
        "/v1/diagnostics",
        "/metrics",
        "/v1/runtime",
    ] {
        let answer = target.ask(Request::get(path).bearer(&target.ours)).await;
        // A list that is asked for another team's is refused.
        let is_answered = matches!(answer.status, 200 | 403);
        tally.case(path, is_answered && !answer.body.contains(&target.theirs));
    }
    let client = target.server.client_with(Some(&target.ours));
    let mut socket = client.observe_many().await;
    let theirs = format!(r#"{{"kind":"subscribe","worker_id":"{}"}}"#, target.theirs);
    for (name, say) in [
        ("subscription", theirs.as_str()),
        ("catalog", r#"{"kind":"subscribe","topic":"catalog"}"#),
        ("attention", r#"{"kind":"subscribe","topic":"attention"}"#),
    ] {
        socket.send(say).await;
        let heard = socket.next_text().await.map(|text| text.to_string()).unwrap_or_default();
        let names_only = heard.contains("worker_not_found") || !heard.contains(&target.theirs);
        tally.case(format!("socket: {name}"), names_only && !heard.contains("snapshot"));
    }
}

/// Labels that the token does not have.
pub(super) async fn claimed(target: &Target, tally: &mut Tally) {
    for labels in [r#"{"team":"b"}"#, r#"{"team":""}"#, r#"{"team":"A"}"#, r#"{"team":"a ","x":"y"}"#] {
        let body = format!(
            r#"{{"intent":{{"kind":"assistant"}},"profile":{{"kind":"named","value":"brief"}},"labels":{labels}}}"#
        );
        let answer = target.ask(Request::post("/v1/workers", body).bearer(&target.ours)).await;
        tally.case(format!("create with {labels}"), answer.status == 403);
    }
    for labels in ["{}", r#"{"x":"y"}"#] {
        let body = format!(
            r#"{{"intent":{{"kind":"assistant"}},"profile":{{"kind":"named","value":"brief"}},"labels":{labels}}}"#
        );
        let answer = target.ask(Request::post("/v1/workers", body).bearer(&target.ours)).await;
        tally.case(format!("create without, {labels}"), answer.json()["worker"]["labels"]["team"] == "a");
    }
}
