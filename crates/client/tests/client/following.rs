//! Streams go on by themselves, or say why they cannot.

use std::time::Duration;

use musher_client::{FollowError, Following, Reconnect, Start};
use musher_protocol::{Cursor, Envelope, ErrorCode};
use serde_json::json;
use tokio::time::timeout;

use crate::fake::{Fake, Reply, answer, block, cursor, envelope, error, stream, text};

fn snapshot(seq: u64) -> Envelope {
    let execution =
        json!({"connection": "connected", "run_state": "idle", "since_at": "2026-11-20T10:00:00Z"});
    let payload = json!({"type": "snapshot", "head": cursor(seq), "status": "running", "execution": execution,
        "entries": [], "total_entries": 0, "in_flight": [], "approvals": []});
    envelope(seq, payload)
}

fn stopped(seq: u64) -> Envelope {
    envelope(seq, json!({"type": "worker_stopped", "survivors": []}))
}

fn says(envelopes: &[Envelope]) -> String {
    envelopes.iter().map(block).collect()
}

/// Reads as somebody does who has other things to do all the time.
async fn next(following: &mut Following) -> Result<Option<Envelope>, FollowError> {
    loop {
        if let Ok(next) = timeout(Duration::from_millis(2), following.next()).await {
            return next;
        }
    }
}

async fn rest(following: &mut Following) -> (Vec<Envelope>, Result<(), FollowError>) {
    let mut seen = Vec::new();
    loop {
        match next(following).await {
            Ok(Some(envelope)) => seen.push(envelope),
            Ok(None) => return (seen, Ok(())),
            Err(error) => return (seen, Err(error)),
        }
    }
}

/// What a stream from behind the fourth event says, and how it ends; and from where each connection began.
async fn followed(replies: Vec<Reply>) -> (Vec<Envelope>, FollowError, Vec<Option<String>>) {
    let fake = Fake::start(replies).await;
    let mut following = fake.client().follow(&"wrk_1".parse().unwrap(), Start::After(cursor(4)));
    let (seen, end) = rest(&mut following).await;
    (seen, end.unwrap_err(), begun(&fake))
}

fn begun(fake: &Fake) -> Vec<Option<String>> {
    fake.asked().iter().map(|asked| asked.header("last-event-id").map(str::to_owned)).collect()
}

fn from(cursor: Cursor) -> Option<String> {
    Some(cursor.to_string())
}

#[tokio::test]
async fn a_stream_goes_on_behind_the_last_whole_event() {
    let half = block(&text(6))[..40].to_owned();
    let fake = Fake::start([
        Reply::Text(stream("")),
        Reply::Text(stream(&(says(&[snapshot(4), text(5)]) + &half))),
        error(503, "draining", "retry-after: 0\r\n", json!({})),
        answer(502, "", "<h1>Bad Gateway</h1>"),
        Reply::Text(stream(":\n\n: {\"code\":\"runtime.upstream_closed\",\"message\":\"\"}\n\n")),
        Reply::Text(stream(&says(&[text(6), stopped(7)]))),
    ])
    .await;
    let mut following = fake.client().follow(&"wrk_1".parse().unwrap(), Start::Now);
    let (seen, end) = rest(&mut following).await;
    assert_eq!(seen, [snapshot(4), text(5), text(6), stopped(7)]);
    assert!(end.is_ok() && next(&mut following).await.unwrap().is_none(), "{end:?}");
    assert_eq!(following.cursor(), Some(cursor(7)));
    let behind = from(cursor(5));
    assert_eq!(begun(&fake), [None, None, behind.clone(), behind.clone(), behind.clone(), behind]);
}

#[tokio::test]
async fn a_log_that_is_over_has_no_more_events() {
    let fake = Fake::start([Reply::Text("HTTP/1.1 204 No Content\r\n\r\n".to_owned())]).await;
    let mut following = fake.client().follow(&"wrk_1".parse().unwrap(), Start::Beginning);
    assert_eq!(following.next().await.unwrap(), None);
    assert_eq!(begun(&fake), [from(Cursor::new(&"wrk_1".parse().unwrap(), 0, 0))]);
}

#[tokio::test]
async fn a_gap_a_repetition_and_a_foreign_event_end_the_stream() {
    let (seen, end, _) = followed(vec![Reply::Text(stream(&says(&[text(5), text(7)])))]).await;
    assert_eq!(seen, [text(5)]);
    assert!(matches!(end, FollowError::Gap { expected: 6, came: 7 }), "{end:?}");
    let (seen, end, _) =
        followed(vec![Reply::Text(stream(&says(&[text(5)]))), Reply::Text(stream(&says(&[text(5)])))]).await;
    assert_eq!(seen, [text(5)]);
    assert!(matches!(end, FollowError::Gap { expected: 6, came: 5 }), "{end:?}");
    let (_, end, _) = followed(vec![Reply::Text(stream(&says(&[snapshot(4)])))]).await;
    assert!(matches!(end, FollowError::Foreign), "{end:?}");
}

#[tokio::test]
async fn a_place_that_is_gone_is_told_with_the_oldest_that_is_left() {
    let expired = |fields| error(410, "cursor_expired", "", fields);
    let (_, end, _) = followed(vec![expired(json!({"oldest_cursor": cursor(9)}))]).await;
    assert!(
        matches!(end, FollowError::CursorExpired { oldest_cursor } if oldest_cursor == Some(cursor(9))),
        "{end:?}"
    );
    let (_, end, _) =
        followed(vec![expired(json!({"oldest_cursor": cursor(0), "reason": "history_changed"}))]).await;
    assert!(
        matches!(end, FollowError::HistoryChanged { oldest_cursor } if oldest_cursor == Some(cursor(0))),
        "{end:?}"
    );
    let (_, end, _) = followed(vec![error(400, "wrong_runtime_cursor", "", json!({}))]).await;
    assert!(
        matches!(end, FollowError::HistoryChanged { oldest_cursor: None }),
        "what was seen is lost: {end:?}"
    );
    let (_, end, _) = followed(vec![error(404, "worker_not_found", "", json!({}))]).await;
    assert!(matches!(end, FollowError::WorkerGone), "{end:?}");
    let (_, end, begun) = followed(vec![error(401, "unauthorized", "", json!({}))]).await;
    let FollowError::Refused(refused) = end else { panic!("{end:?}") };
    assert_eq!((refused.code(), begun), (Some(ErrorCode::Unauthorized), vec![from(cursor(4))]));
}

#[tokio::test]
async fn a_stream_that_failed_says_so_again() {
    let fake = Fake::start([error(404, "worker_not_found", "", json!({}))]).await;
    let mut following = fake.client().follow(&"wrk_1".parse().unwrap(), Start::Now);
    assert!(matches!(following.next().await, Err(FollowError::WorkerGone)));
    assert!(matches!(following.next().await, Err(FollowError::Over)), "not as if the log were over");
}

#[tokio::test]
async fn a_silent_server_is_left_and_one_that_stays_away_given_up() {
    let fake =
        Fake::start([Reply::Silence(stream(&says(&[text(5)]))), Reply::Text(stream(&says(&[text(6)])))])
            .await;
    let reconnect = Reconnect {
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(10),
        // Longer than a busy machine holds anything up.
        silence: Duration::from_secs(1),
        patience: Duration::from_secs(3),
    };
    let client = fake.client_with(reconnect);
    let mut following = client.follow(&"wrk_1".parse().unwrap(), Start::After(cursor(4)));
    let (seen, end) = rest(&mut following).await;
    assert_eq!((seen, begun(&fake)), (vec![text(5), text(6)], vec![from(cursor(4)), from(cursor(5))]));
    assert!(matches!(end, Err(FollowError::Lost { source: Some(_), .. })), "{end:?}");
}
