//! Every code, over the wire.

use std::collections::HashSet;

use musher_core::MemoryStore;
use musher_protocol::{Cursor, Digest, ErrorCode, ErrorReply};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{
    bundles,
    client::{Ask, Client, Reply},
    store::Fragile,
    world::{LOOKS, World, builder, options, runtime, within},
};

/// Codes without a case here, and why.
const ELSEWHERE: &[(ErrorCode, &str)] = &[
    (ErrorCode::ProcessesSurvived, "needs a log that says so: it has a test of its own"),
    (ErrorCode::Internal, "there is no known defect to ask for; what a panic comes to has a test beside it"),
    (ErrorCode::IdempotencyInFlight, "needs a request that takes its time: the tests of keys have some"),
    (ErrorCode::WorkspaceDirty, "needs a repository: the end-to-end tests have some"),
];

const ASSISTANT: &str = r#"{"intent":{"kind":"assistant"}}"#;
const ALLOW: &str = r#"{"decision":"allow"}"#;
const HELLO: &str = r#"{"kind":"user","content":"hello"}"#;

#[tokio::test]
async fn every_code_is_answered_where_it_belongs() {
    let world = World::new().await;
    let idle = world.worker_id().await;
    let other = world.worker_id().await;
    world.say(&idle, "hello").await;
    let large = "x".repeat(100_000);
    world.say(&idle, &large).await;
    let blob = format!("/v1/workers/{idle}/blobs/{}", Digest(Sha256::digest(&large).into()));
    let ended = world.worker_id().await;
    world.client().post(&format!("/v1/workers/{ended}/stop"), &json!({})).await.ok();
    let busy = world.worker("narrow").await.worker_id;
    let at = |path: &str| format!("/v1/workers/{idle}{path}");
    for words in ["hang", "wait"] {
        let body = json!({ "kind": "user", "content": words, "input_id": words });
        world.client().post(&format!("/v1/workers/{busy}/input"), &body).await.ok();
    }
    let (_, tool) = world.asking("ask").await;
    let (_, question) = world.asking("which").await;
    let (_, decided) = world.asking("ask").await;
    world.client().post(&decided, &json!({"decision": "allow"})).await.ok();
    let to_busy = |body: &str| Ask::post(format!("/v1/workers/{busy}/input"), body);
    let future = Cursor::new(&idle, 1 << 40, 7);
    let foreign = Cursor::new(&other, 1, 7);
    let rewritten = Cursor::new(&idle, 1, 7);
    let too_large = vec![b' '; (2 << 20) + 1];
    let look = Client::new(world.address, Some(LOOKS));

    let mut seen = Seen::default();
    use ErrorCode as Code;
    let stored = bundles::stored(&world).await;
    let bundle = |path: &str, digest: &str| {
        Ask::get(format!("/v1/config-bundles/{path}/availability?digest={digest}"))
    };
    let with_bundle = |id: &str, digest: &str| {
        let bundle = json!({"id": id, "digest": digest});
        let named = json!({"kind": "named", "value": "script"});
        let body = json!({"intent": {"kind": "assistant"}, "profile": named, "config_bundle": bundle});
        Ask::post("/v1/workers", body.to_string())
    };
    let cases = [
        (Code::ConfigBundleMissing, bundle("nobody", &stored)),
        (Code::ConfigBundleMissing, bundle("a%20b", &stored)),
        (Code::ConfigBundleMissing, bundle("..%2f..%2fetc", &stored)),
        (Code::ConfigBundleMissing, Ask::delete(format!("/v1/config-bundles/nobody?digest={stored}"))),
        (Code::ConfigBundleMissing, with_bundle("nobody", &stored)),
        (Code::ConfigBundleDigestMismatch, bundle("team-a", &"ab".repeat(32))),
        (Code::ConfigBundleDigestMismatch, with_bundle("team-a", &"ab".repeat(32))),
        (Code::ConfigBundleDigestMismatch, bundles::with("/metadata/digest", "ab".repeat(32))),
        (Code::ConfigBundleConflict, bundles::with("/metadata/workspace_id", "other")),
        (Code::UnsupportedConfigDeclaration, bundles::with("/declarations/0/kind", "volume")),
        (Code::InvalidProfileSelector, bundles::with("/profiles/0/selector", "../x")),
        (Code::InvalidProfileSelector, with_bundle("team-a", &stored)),
        (Code::InvalidQuery, bundle("team-a", "x")),
        (Code::InvalidQuery, Ask::get("/v1/config-bundles/team-a/availability")),
        (Code::InvalidQuery, Ask::delete("/v1/config-bundles/team-a")),
        (Code::InvalidQuery, Ask::get("/v1/config-bundles?limit=1")),
        (Code::MethodNotAllowed, Ask::get("/v1/config-bundles/team-a")),
        (Code::PayloadTooLarge, bundles::with("/metadata/provenance/detail", "x".repeat(300_000))),
        (Code::InvalidJson, Ask::post("/v1/workers", "{")),
        (Code::InvalidJson, Ask::post("/v1/workers", "")),
        (Code::InvalidJson, Ask::post("/v1/workers", ASSISTANT).without("content-type")),
        (Code::InvalidJson, Ask::post("/v1/workers", r#"{"intent":{"kind":"assistant"},"wings":{}}"#)),
        (Code::InvalidJson, {
            let profile = r#"{"kind":"runtime_default","value":"coder"}"#;
            Ask::post("/v1/workers", format!(r#"{{"intent":{{"kind":"assistant"}},"profile":{profile}}}"#))
        }),
        (Code::InvalidJson, Ask::post(at("/stop"), "null")),
        (Code::InvalidJson, Ask::post(at("/stop"), r#"{"grace_secs":-1}"#)),
        (Code::WorkerRunning, Ask::delete(at(""))),
        (Code::WorkerNotFound, Ask::delete("/v1/workers/wrk_nobody")),
        (Code::InvalidQuery, Ask::get("/v1/runtime?token=secret")),
        (Code::InvalidQuery, Ask::get("/livez?verbose")),
        (Code::InvalidQuery, Ask::post("/v1/workers?dry_run=1", ASSISTANT)),
        (Code::InvalidQuery, Ask::get("/v1/workers?status=asleep")),
        (Code::InvalidQuery, Ask::get("/v1/workers?limit=0")),
        (Code::InvalidQuery, Ask::get("/v1/attention?kind=boredom")),
        (Code::InvalidQuery, Ask::get("/v1/attention?label=team")),
        (Code::InvalidQuery, Ask::get("/v1/attention?after=x")),
        (Code::InvalidQuery, Ask::get("/v1/attention?wait=1")),
        (Code::InvalidQuery, Ask::get(format!("/v1/attention?after={}&wait=61", "ab".repeat(32)))),
        (Code::InvalidQuery, Ask::get("/v1/workers?limit=-1")),
        (Code::InvalidQuery, Ask::get("/v1/workers?limit=1&limit=2")),
        (Code::InvalidQuery, Ask::get("/v1/workers?after=%00")),
        (Code::InvalidQuery, Ask::get(at("?wait=61&until=idle"))),
        (Code::InvalidQuery, Ask::get(at("?wait=1"))),
        (Code::InvalidQuery, Ask::get(at("?until=done"))),
        (Code::InvalidQuery, Ask::get(at("/transcript?limit=0"))),
        (Code::InvalidQuery, Ask::get(at("/events?wait=61"))),
        (Code::InvalidQuery, Ask::get(at("/events?wait=0.5"))),
        (Code::InvalidQuery, Ask::get(at("/events?types=text_delta,nonsense"))),
        (Code::InvalidQuery, Ask::get(at("/events?types="))),
        (Code::InvalidQuery, Ask::get(at(&format!("/events?tail=1&after={rewritten}")))),
        (Code::InvalidQuery, Ask::get(at("/events/ws?after=x"))),
        (Code::InvalidWorkerId, Ask::get("/v1/workers/a%20b")),
        (Code::InvalidWorkerId, Ask::get("/v1/workers/a%00b")),
        (Code::InvalidWorkerId, Ask::get("/v1/workers/%ff")),
        (Code::InvalidWorkerId, Ask::get("/v1/workers/..%2f..%2fetc")),
        (Code::InvalidWorkerId, Ask::get("/v1/workers/")),
        (Code::InvalidWorkerId, Ask::get("/v1/workers//transcript")),
        (Code::InvalidWorkerId, Ask::get(format!("/v1/workers/{}", "a".repeat(129)))),
        (Code::InvalidWorkerId, Ask::post("/v1/workers/~/input", HELLO)),
        (Code::InvalidRequest, Ask::post(at("/input"), r#"{"kind":"user","content":" "}"#)),
        (Code::InvalidRequest, Ask::post(format!("/v1/workers/{ended}/input"), HELLO)),
        (Code::InvalidRequest, Ask::post(format!("/v1/workers/{ended}/interrupt"), "")),
        (Code::InvalidRequest, Ask::post(at("/input"), HELLO).with("idempotency-key", "a b")),
        (Code::InvalidRequest, Ask::post(at("/input"), HELLO).with("idempotency-key", "")),
        (Code::InvalidRequest, Ask::post(at("/input"), HELLO).with("idempotency-key", "k".repeat(256))),
        (Code::InvalidRequest, {
            let body = r#"{"kind":"user","content":"hello","input_id":"a"}"#;
            Ask::post(at("/input"), body).with("idempotency-key", "b")
        }),
        (Code::InvalidRequest, Ask::post("/v1/workers", ASSISTANT).with("idempotency-key", "a b")),
        (Code::InvalidRequest, Ask::post(at("/interrupt"), "").with("idempotency-key", "a b")),
        (Code::InvalidRequest, Ask::post(at("/stop"), "").with("idempotency-key", "a b")),
        (Code::InvalidRequest, Ask::post(at("/cancel"), "").with("idempotency-key", "a b")),
        (Code::InvalidRequest, Ask::delete(at("")).with("idempotency-key", "a")),
        (Code::InvalidRequest, Ask::post(at("/stop"), r#"{"grace_secs":61}"#)),
        (Code::InvalidRequest, Ask::post(at("/stop"), r#"{"reason":"a\u001bb"}"#)),
        (Code::InvalidRequest, Ask::get(at("/events/ws"))),
        (Code::InvalidJson, Ask::post(&tool, r#"{"decision":"maybe"}"#)),
        (Code::InvalidJson, Ask::post(&tool, r#"{"decision":"allow","why":"x"}"#)),
        (Code::InvalidRequest, Ask::post(&tool, r#"{"decision":"allow","interrupt":true}"#)),
        (Code::InvalidRequest, Ask::post(&tool, r#"{"decision":"allow","actor":""}"#)),
        (Code::InvalidRequest, Ask::post(&tool, r#"{"decision":"allow"}"#).with("idempotency-key", "a b")),
        (Code::InvalidRequest, Ask::post(&question, r#"{"decision":"allow"}"#)),
        (Code::ApprovalNotFound, Ask::post(at("/approvals/apr_1"), ALLOW)),
        (Code::ApprovalNotFound, Ask::post(at("/approvals/a%20b"), ALLOW)),
        (Code::WorkerNotFound, Ask::post("/v1/workers/wrk_1/approvals/apr_1", ALLOW)),
        (Code::WorkerNotFound, Ask::post("/v1/workers/wrk_1/approvals/a%20b", ALLOW)),
        (Code::WorkerNotFound, Ask::get("/v1/workers/wrk_1/approvals")),
        (Code::InvalidWorkerId, Ask::get("/v1/workers//approvals")),
        (Code::ApprovalNotPending, Ask::post(&decided, r#"{"decision":"deny"}"#)),
        (Code::LimitTooLarge, Ask::get("/v1/workers?limit=1001")),
        (Code::LimitTooLarge, Ask::get(at("/transcript?limit=257"))),
        (Code::LimitTooLarge, Ask::get(at("/events?limit=257"))),
        (
            Code::InvalidProfileSelector,
            Ask::post(
                "/v1/workers",
                r#"{"intent":{"kind":"assistant"},"profile":{"kind":"named","value":"x"}}"#,
            ),
        ),
        (
            Code::InvalidProfileSelector,
            Ask::post(
                "/v1/workers",
                r#"{"intent":{"kind":"assistant"},"profile":{"kind":"builtin","value":"x"}}"#,
            ),
        ),
        (Code::CursorMalformed, Ask::get(at("/events?after=wo_1"))),
        (Code::WrongRuntimeCursor, Ask::get(at(&format!("/events?after={future}")))),
        (Code::WrongRuntimeCursor, Ask::get(at(&format!("/events?after={foreign}")))),
        (Code::CursorExpired, Ask::get(at(&format!("/events?after={rewritten}")))),
        (Code::WorkerNotFound, Ask::get("/v1/workers/wrk_1")),
        (Code::WorkerNotFound, Ask::get("/v1/workers/wrk_1/events")),
        (Code::WorkerNotFound, Ask::get("/v1/workers/wrk_1/transcript")),
        (Code::WorkerNotFound, Ask::get("/v1/workers/wrk_1/events/ws?cursor=nonsense")),
        (Code::WorkerNotFound, Ask::post("/v1/workers/%77rk_1/input", HELLO)),
        (Code::WorkerNotFound, Ask::post("/v1/workers/wrk_1/stop", "")),
        (Code::WorkerNotFound, Ask::get(format!("/v1/workers/wrk_1/blobs/{}", "ab".repeat(32)))),
        (Code::WorkerNotFound, Ask::get("/v1/workers/wrk_1/blobs/x")),
        (Code::InvalidWorkerId, Ask::get("/v1/workers//blobs/x")),
        (Code::WorkerNotFound, Ask::get("/v1/workers/wrk_1/diff")),
        (Code::InvalidWorkerId, Ask::get("/v1/workers//diff")),
        (Code::InvalidQuery, Ask::get(at("/diff?workspace=main"))),
        (Code::InvalidQuery, Ask::get(at("/diff?path=/etc"))),
        (Code::WorkspaceNotVersioned, Ask::get(at("/diff"))),
        (Code::BlobNotFound, Ask::get(at(&format!("/blobs/{}", "ab".repeat(32))))),
        (Code::BlobNotFound, Ask::get(at(&format!("/blobs/{}", "AB".repeat(32))))),
        (Code::BlobNotFound, Ask::get(at("/blobs/..%2f..%2fetc"))),
        (Code::RangeNotSatisfiable, Ask::get(&blob).with("range", "bytes=100000-")),
        (Code::RouteNotFound, Ask::get(at("/blobs/"))),
        (Code::RouteNotFound, Ask::get("/")),
        (Code::RouteNotFound, Ask::get("/v1/Runtime")),
        (Code::RouteNotFound, Ask::get("/v1/runtime/")),
        (Code::RouteNotFound, Ask::get("//v1/runtime")),
        (Code::RouteNotFound, Ask::get(at("/nonsense"))),
        (Code::MethodNotAllowed, Ask { method: "DELETE", ..Ask::get("/v1/workers") }),
        (Code::MethodNotAllowed, Ask { method: "OPTIONS", ..Ask::get("/v1/workers") }),
        (Code::MethodNotAllowed, Ask { method: "BREW", ..Ask::get("/livez") }),
        (Code::MethodNotAllowed, Ask::get(at("/stop"))),
        (Code::WorkerExecutionRejected, {
            to_busy(r#"{"kind":"user","content":"x","delivery":"reject_if_busy"}"#)
        }),
        (Code::IdempotencyMismatch, to_busy(r#"{"kind":"user","content":"x","input_id":"hang"}"#)),
        (Code::Overloaded, to_busy(HELLO)),
        (Code::PayloadTooLarge, Ask::post("/v1/workers", too_large)),
        (Code::MisdirectedHost, Ask::get("/v1/runtime").with("host", "evil.example")),
        (Code::Forbidden, Ask::get("/v1/runtime").with("origin", "null")),
    ];
    for (expected, ask) in cases {
        let what = format!("{ask:.200?}");
        seen.note(expected, &world.client().ask(ask).await, &what);
    }
    seen.note(Code::Unauthorized, &Client::new(world.address, None).get("/v1/runtime").await, "no token");
    seen.note(Code::Unauthorized, &Client::new(world.address, None).get("/nowhere").await, "no token");
    seen.note(Code::Forbidden, &look.post("/v1/workers", &json!({})).await, "scope");
    world.end().await;

    let unmakeable = builder(MemoryStore::new()).scratch("/proc/nowhere".into()).start().await.unwrap();
    let world = World::over(unmakeable, options()).await;
    let reply = world.client().ask(Ask::post("/v1/workers", ASSISTANT)).await;
    seen.note(Code::WorkerExecutionUnavailable, &reply, "no scratch");
    world.end().await;

    let (store, faults) = Fragile::new();
    let world = World::over(runtime(store).await, options()).await;
    faults.fail();
    for ask in [
        Ask::get("/readyz"),
        Ask::get("/v1/runtime"),
        Ask::get("/v1/workers"),
        Ask::post("/v1/workers", ASSISTANT),
        Ask::get("/v1/config-bundles"),
        bundles::good(),
    ] {
        let reply = world.client().ask(ask).await;
        seen.note(Code::StoreIo, &reply, "store");
        assert!(!reply.body.contains("/var/lib") && !reply.body.contains("INSERT"), "{}", reply.body);
    }
    world.end().await;

    let (store, faults) = Fragile::new();
    let world = World::over(runtime(store).await, options()).await;
    let worker = world.worker_id().await;
    let at = |path: &str| format!("/v1/workers/{worker}{path}");
    faults.fill();
    for ask in [Ask::post("/v1/workers", ASSISTANT), Ask::post(at("/input"), HELLO), bundles::good()] {
        seen.note(Code::StoreFull, &world.client().ask(ask).await, "full store");
    }
    faults.damage();
    for path in ["", "/transcript", "/events", &format!("/blobs/{}", "ab".repeat(32))] {
        seen.note(Code::StoreCorrupt, &world.client().get(&at(path)).await, path);
    }
    world.end().await;

    let world = World::new().await;
    let worker = world.worker_id().await;
    within(world.runtime.shutdown()).await;
    let commands =
        ["input", "interrupt", "stop", "cancel"].map(|name| format!("/v1/workers/{worker}/{name}"));
    seen.note(Code::Draining, &world.client().get("/readyz").await, "readyz");
    seen.note(Code::RuntimeStopped, &world.client().ask(Ask::post("/v1/workers", ASSISTANT)).await, "create");
    seen.note(Code::RuntimeStopped, &world.client().ask(bundles::good()).await, "bundle");
    for command in commands {
        let body = if command.ends_with("input") { HELLO } else { "" };
        seen.note(Code::RuntimeStopped, &world.client().ask(Ask::post(&command, body)).await, &command);
    }
    world.client().get("/livez").await.ok();
    world.client().get(&format!("/v1/workers/{worker}")).await.ok();
    world.end().await;

    seen.assert_complete();
}

#[tokio::test]
async fn errors_say_what_helps() {
    let world = World::new().await;
    let worker = world.worker_id().await;
    let cursor = Cursor::new(&worker, 1, 7);
    let cases = [
        (
            Ask::get("/v1/workers?limit=1001"),
            json!({"code": "limit_too_large", "message": "`limit` is at most 1000", "limit": 1000}),
        ),
        (
            Ask::post("/v1/workers", r#"{"intent":{"kind":"assistant"},"display_name":7}"#),
            json!({"code": "invalid_json", "field": "/display_name", "message":
                "`/display_name`: invalid type: integer `7`, expected a string at line 1 column 47"}),
        ),
        (
            Ask::get("/v1/workers?colour=red"),
            json!({"code": "invalid_query", "message": "unknown parameter `colour`, expected one of `status`, \
                `run_state`, `outcome`, `label`, `updated_after`, `order`, `limit`, `after`"}),
        ),
        (Ask::get("/v1/workers/wrk_1"), json!({"code": "worker_not_found", "message": "no worker `wrk_1`"})),
        (
            Ask::get(format!("/v1/workers/{worker}/events?after={cursor}")),
            json!({"code": "cursor_expired", "message": "the log has another history than the cursor",
                "reason": "history_changed", "oldest_cursor": Cursor::new(&worker, 0, 0)}),
        ),
        (
            Ask::post(format!("/v1/workers/{worker}/stop"), r#"{"grace_secs":61}"#),
            json!({"code": "invalid_request", "message": "`grace_secs` is at most 60", "field": "/grace_secs"}),
        ),
        (
            Ask { method: "PUT", ..Ask::get("/v1/workers") },
            json!({"code": "method_not_allowed", "message": "this route has GET, HEAD, POST"}),
        ),
    ];
    for (ask, mut expected) in cases {
        expected["request_id"] = json!("my-1");
        expected["retryable"] = json!(false);
        let reply = world.client().ask(ask.with("x-request-id", "my-1")).await;
        assert_eq!(reply.json(), json!({ "error": expected }));
    }
    let reply = world.client().ask(Ask { method: "PUT", ..Ask::get("/v1/workers") }).await;
    assert_eq!(reply.header("allow"), Some("GET, HEAD, POST"));
    world.end().await;
}

/// The codes that were answered.
#[derive(Default)]
struct Seen(HashSet<ErrorCode>);

impl Seen {
    #[track_caller]
    fn note(&mut self, expected: ErrorCode, reply: &Reply, what: &str) {
        assert_eq!(reply.error(), expected, "{what}: {}", reply.body);
        let ErrorReply { error } = serde_json::from_str(&reply.body).expect("an error");
        let names_limit = matches!(reply.status, 413 | 416 | 429) || error.code == ErrorCode::LimitTooLarge;
        assert_eq!(error.limit.is_some(), names_limit, "{what}: {}", reply.body);
        self.0.insert(expected);
    }

    fn assert_complete(self) {
        let elsewhere: HashSet<_> = ELSEWHERE.iter().map(|(code, _)| *code).collect();
        let missing: Vec<_> = ErrorCode::ALL
            .iter()
            .filter(|code| !self.0.contains(code) && !elsewhere.contains(code))
            .collect();
        assert_eq!(missing, Vec::<&ErrorCode>::new(), "codes without a case or a reason");
        let needless: Vec<_> = elsewhere.intersection(&self.0).collect();
        assert_eq!(needless, Vec::<&ErrorCode>::new(), "codes with a case and a reason why not");
    }
}
