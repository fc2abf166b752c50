//! Calls are repeated where that is right, and only there.

use std::time::Duration;

use musher_client::{Error, Refusal};
use musher_protocol::{
    ConfigBundleRef, CreateWorker, DeleteWorkerQuery, Delivery, Digest, ErrorCode, InputId, InputKind,
    InputRequest, Intent, StopRequest, WorkerQuery, WorkerStatus,
};
use serde_json::json;
use uuid::Uuid;

use crate::fake::{Fake, Reply, answer, cursor, cut, error};

fn input(input_id: Option<&str>) -> InputRequest {
    InputRequest {
        kind: InputKind::User,
        content: "hello".to_owned(),
        input_id: input_id.map(|id| id.parse().unwrap()),
        delivery: Delivery::Queue,
    }
}

fn ack(input_id: &str) -> Reply {
    let ack = json!({"worker_ref": {"runtime_id": "rt_1", "worker_id": "wrk_1"}, "status": "running",
        "transcript_sequence": 1, "event_id": "evt_1", "input_id": input_id, "duplicate": true, "cursor": cursor(3)});
    answer(200, "", &json!({"ack": ack}).to_string())
}

fn busy() -> Reply {
    error(429, "overloaded", "retry-after: 0\r\n", json!({"retryable": true}))
}

#[tokio::test]
async fn an_input_keeps_its_key_over_all_repetitions() {
    let draining = error(503, "draining", "retry-after: 0\r\n", json!({"retryable": true}));
    let fake = Fake::start([cut(), draining, busy(), ack("inp_1")]).await;
    let ack = fake.client().send_input(&"wrk_1".parse().unwrap(), &input(None)).await.unwrap();
    assert_eq!((ack.input_id, ack.duplicate), ("inp_1".parse::<InputId>().unwrap(), true));
    let asked = fake.asked();
    let key = asked[0].header("idempotency-key").unwrap().to_owned();
    assert_eq!(key.parse::<Uuid>().unwrap().get_version_num(), 7);
    assert_eq!(asked, vec![asked[0].clone(); 4], "the same request each time");
    assert_eq!(asked[0].body, r#"{"kind":"user","content":"hello","delivery":"queue"}"#);

    let fake = Fake::start([ack_of_own()]).await;
    fake.client().send_input(&"wrk_1".parse().unwrap(), &input(Some("mine"))).await.unwrap();
    assert_eq!(fake.asked()[0].header("idempotency-key"), Some("mine"), "an id of one's own is the key");
}

fn ack_of_own() -> Reply {
    ack("mine")
}

#[tokio::test]
async fn a_create_is_known_again_over_calls_by_the_key_of_who_calls() {
    let refused = || error(500, "internal", "", json!({}));
    let fake = Fake::start([refused(), refused()]).await;
    let request = CreateWorker::new(Intent::Assistant { purpose: None });
    let key = "nightly-2026-01-02".parse().unwrap();
    for _call in 0..2 {
        let error = fake.client().create_worker_once(&key, &request).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::Internal));
    }
    let asked = fake.asked();
    assert_eq!(asked[0].header("idempotency-key"), Some("nightly-2026-01-02"));
    assert_eq!(asked, vec![asked[0].clone(); 2]);
}

#[tokio::test]
async fn without_a_key_only_what_was_not_done_is_repeated() {
    let worker = "wrk_1".parse().unwrap();
    let fake = Fake::start([busy(), ack("inp_1")]).await;
    let client = fake.client().without_keys();
    client.send_input(&worker, &input(None)).await.unwrap();
    let keys: Vec<_> = fake.asked().iter().map(|asked| asked.header("idempotency-key").is_some()).collect();
    assert_eq!(keys, [false, false]);

    let fake = Fake::start([cut()]).await;
    let lost = fake.client().without_keys().send_input(&worker, &input(None)).await.unwrap_err();
    assert!(matches!(lost, Error::Broken(_)), "{lost:?}");
    assert_eq!(fake.asked().len(), 1);

    let fake = Fake::start([cut(), ack_of_own()]).await;
    fake.client().without_keys().send_input(&worker, &input(Some("mine"))).await.unwrap();
    assert_eq!(fake.asked()[1].header("idempotency-key"), Some("mine"), "an id of one's own is the key");
    let fake = Fake::start([cut(), error(404, "worker_not_found", "", json!({}))]).await;
    let client = fake.client().without_keys();
    client.delete_worker(&worker, &DeleteWorkerQuery::default()).await.unwrap();
    assert_eq!(fake.asked().len(), 2, "what removes needs no key");
}

#[tokio::test]
async fn a_stop_that_is_still_under_way_is_waited_for_under_its_key() {
    let ack = json!({"worker_ref": {"runtime_id": "rt_1", "worker_id": "wrk_1"}, "status": "stopped",
        "event_id": "evt_1", "cursor": cursor(3)});
    let in_flight = error(409, "idempotency_in_flight", "", json!({"retryable": true}));
    let fake = Fake::start([cut(), in_flight, answer(200, "", &json!({"ack": ack}).to_string())]).await;
    let ack = fake.client().stop(&"wrk_1".parse().unwrap(), &StopRequest::default()).await.unwrap();
    let asked = fake.asked();
    assert_eq!((ack.status, &asked), (WorkerStatus::Stopped, &vec![asked[0].clone(); 3]));
}

#[tokio::test]
async fn what_does_not_pass_is_told_at_once() {
    for (reply, expected) in [
        (error(500, "internal", "", json!({})), "no"),
        (error(507, "store_full", "", json!({"retryable": true})), "no"),
        (error(503, "draining", "", json!({"retryable": true})), "no"),
        (answer(502, "", "<h1>Bad Gateway</h1>"), "an answer with status 502 that is not Musher's"),
        (answer(200, "", "<h1>Welcome</h1>"), "read the answer"),
        (
            answer(302, "location: http://127.0.0.1:1/\r\n", ""),
            "an answer with status 302 that is not Musher's",
        ),
    ] {
        let fake = Fake::start([reply]).await;
        let error = fake.client().runtime().await.unwrap_err();
        assert_eq!((error.to_string().as_str(), fake.asked().len()), (expected, 1), "{error:?}");
    }
}

#[tokio::test]
async fn a_refusal_carries_all_that_helps() {
    let fields = json!({"field": "/limits", "missing": ["program `claude`"], "limit": 7, "oldest_cursor": cursor(9),
        "reason": "history_changed"});
    let fake = Fake::start([error(400, "invalid_request", "retry-after: 3\r\n", fields)]).await;
    let worker = "wrk_1".parse().unwrap();
    let error = fake.client().worker(&worker, &WorkerQuery::default()).await.unwrap_err();
    let body = musher_protocol::ErrorBody {
        code: ErrorCode::InvalidRequest,
        message: "no".to_owned(),
        request_id: "req_1".parse().unwrap(),
        retryable: false,
        field: Some("/limits".to_owned()),
        missing: vec!["program `claude`".to_owned()],
        limit: Some(7),
        oldest_cursor: Some(cursor(9)),
        reason: Some("history_changed".to_owned()),
        approval: None,
    };
    let expected = Refusal { status: 400, retry_after: Some(Duration::from_secs(3)), body };
    assert_eq!(error.refusal(), Some(&expected));
}

#[tokio::test]
async fn a_bundle_that_the_lost_attempt_deleted_is_deleted() {
    let digest = Digest([7; 32]);
    let bundle = ConfigBundleRef { id: "team-a".parse().unwrap(), digest };
    for (status, code) in [(404, "config_bundle_missing"), (400, "config_bundle_digest_mismatch")] {
        let gone = || error(status, code, "", json!({}));
        let fake = Fake::start([cut(), gone()]).await;
        fake.client().delete_config_bundle(&bundle).await.unwrap();
        let fake = Fake::start([gone()]).await;
        let refused = fake.client().delete_config_bundle(&bundle).await.unwrap_err();
        assert_eq!(
            refused.refusal().map(|refusal| refusal.status),
            Some(status),
            "nothing was lost on the way"
        );
    }
}

#[tokio::test]
async fn a_worker_that_the_lost_attempt_deleted_is_deleted() {
    let worker = "wrk_1".parse().unwrap();
    let gone = || error(404, "worker_not_found", "", json!({}));
    let fake = Fake::start([cut(), gone()]).await;
    fake.client().delete_worker(&worker, &DeleteWorkerQuery::default()).await.unwrap();
    for replies in [vec![gone()], vec![busy(), gone()]] {
        let fake = Fake::start(replies).await;
        let error = fake.client().delete_worker(&worker, &DeleteWorkerQuery::default()).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::WorkerNotFound), "nothing was lost on the way");
    }
}
