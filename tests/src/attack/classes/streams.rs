//! Cursors, sockets, and what a token opened.

use std::time::Duration;

use tokio::time::timeout;

use crate::{
    Ended, Stream,
    attack::{
        request::Request,
        tally::Tally,
        target::{Target, token, token_command},
    },
};

/// What a revoked token opened ends within this time.
const ENDS: Duration = Duration::from_secs(5);

/// A place in another worker's log is none in this one's.
pub(super) async fn cursors(target: &Target, tally: &mut Tally) {
    let page = target.admin.get(&format!("/v1/workers/{}/events?limit=1", target.theirs)).await.good();
    let foreign = page["next"].as_str().unwrap().to_owned();
    let mut flipped = foreign.clone();
    let last = flipped.pop();
    flipped.push(if last == Some('0') { '1' } else { '0' });
    let long = format!("wo_{}", "ab".repeat(5000));
    for cursor in
        [foreign.as_str(), &flipped, &long, "wo_", "wo_00", "0", "-1", "..", "%00", "wo_zz", "1%20OR%201=1"]
    {
        let here = format!("/v1/workers/{}/events", target.mine);
        let shown: String = cursor.chars().take(20).collect();
        let page = target.ask_as_admin(Request::get(format!("{here}?after={cursor}"))).await;
        tally.case(format!("page after {shown}"), page.is_refused());
        let stream =
            Request::get(here.clone()).with("Accept", "text/event-stream").with("Last-Event-ID", cursor);
        tally.case(format!("stream behind {shown}"), target.ask_as_admin(stream).await.is_refused());
        let mut socket =
            match target.admin.try_observe(&target.mine, &format!("?cursor={cursor}"), None).await {
                Ok(socket) => socket,
                Err(_refused) => {
                    tally.case(format!("socket at {shown}"), true);
                    continue;
                }
            };
        let first = socket.next_text().await.map(|text| text.to_string()).unwrap_or_default();
        tally.case(
            format!("socket at {shown}"),
            first.contains("runtime.cursor_") && !first.contains("snapshot"),
        );
    }
}

/// A socket that observes takes no commands, and little of anything.
pub(super) async fn sockets(target: &Target, tally: &mut Tally) {
    for say in [r#"{"kind":"input","content":"x"}"#, "{}", "\u{0}"] {
        let mut socket = target.admin.observe(&target.mine).await;
        let _snapshot = socket.next_text().await;
        socket.send(say).await;
        tally.case(format!("{say:?}"), ends_with(&mut socket, 1008).await);
    }
    for (name, say) in [
        ("nonsense", "x".to_owned()),
        ("array", "[]".to_owned()),
        ("two subjects", r#"{"kind":"subscribe","worker_id":"wrk_1","topic":"catalog"}"#.to_owned()),
        ("unknown field", r#"{"kind":"subscribe","worker_id":"wrk_1","as":"admin"}"#.to_owned()),
        ("command", r#"{"kind":"cancel","worker_id":"wrk_1"}"#.to_owned()),
        ("depth", "[".repeat(50_000)),
    ] {
        let mut socket = target.admin.observe_many().await;
        socket.send(&say).await;
        let heard = socket.next_text().await.map(|text| text.to_string()).unwrap_or_default();
        tally.case(format!("many: {name}"), heard.contains("runtime.invalid_message"));
    }
    let mut socket = target.admin.observe_many().await;
    socket.send(&"x".repeat(1 << 20)).await;
    tally.case("a message of 1 MiB", ends_with(&mut socket, 1008).await);
}

/// Streams and waits of a token that is none any more.
pub(super) async fn revoked(target: &Target, tally: &mut Tally) {
    let text = token(&target.server, &["gone", "--scope", "observe"]).await;
    let client = target.server.client_with(Some(&text));
    let mut sse = client.sse(&target.mine, None).await.unwrap();
    let mut one = client.observe(&target.mine).await;
    let mut many = client.observe_many().await;
    assert_eq!(token_command(&target.server, &["revoke", "gone"]).await.code, Some(0));
    let closed = timeout(ENDS, async { while sse.next().await.is_ok_and(|event| event.is_some()) {} });
    tally.case("stream", closed.await.is_ok());
    tally.case("socket", timeout(ENDS, ends_with(&mut one, 4401)).await.unwrap_or(false));
    tally.case("socket for many", timeout(ENDS, ends_with(&mut many, 4401)).await.unwrap_or(false));
    tally.case("request", client.get("/v1/runtime").await.status == 401);
}

/// Whether a socket is closed with this code, whatever it says before.
async fn ends_with(socket: &mut Stream, code: u16) -> bool {
    let ended = async {
        loop {
            if let Err(ended) = socket.next_text().await {
                return ended;
            }
        }
    };
    matches!(timeout(ENDS, ended).await, Ok(Ended::Closed(closed)) if closed == code)
}
