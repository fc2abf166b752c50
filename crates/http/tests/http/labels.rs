//! What the holder of a token with labels sees and touches.

use std::collections::BTreeMap;

use musher_core::{MemoryStore, UnsavedWork};
use musher_http::{Access, HttpOptions, Token, TokenScope, Tokens};
use musher_protocol::{
    AttentionReply, CreateWorker, DiagnosticCode, DiagnosticsReply, ErrorCode, Frame, Intent,
    ProfileSelector, StreamRequest, Topic, WorkerId, WorkerListReply, WorkerReply,
    route::{Method, ROUTES},
};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    client::{Ask, Client},
    observe::Observer,
    world::{ROOT, World, builder, named, options, within},
};
use futures_util::SinkExt as _;

const OURS: &str = "ours-token";

fn ours() -> BTreeMap<String, String> {
    BTreeMap::from([("team".to_owned(), "a".to_owned())])
}

fn labeled_options(scopes: &[TokenScope]) -> HttpOptions {
    let tokens =
        vec![Token::admin("root", &ROOT.into()), Token { labels: ours(), ..named("ours", OURS, scopes) }];
    HttpOptions { access: Access::Tokens(Tokens::new(tokens)), ..options() }
}

async fn world(scopes: &[TokenScope]) -> World {
    let runtime = builder(MemoryStore::new()).start().await.expect("names that fit together");
    World::over(runtime, labeled_options(scopes)).await
}

async fn create(client: &Client, team: Option<&str>) -> WorkerId {
    let labels: BTreeMap<_, _> = team.map(|team| ("team".to_owned(), team.to_owned())).into_iter().collect();
    let request = CreateWorker {
        labels,
        profile: ProfileSelector::Named { value: "narrow".to_owned() },
        ..CreateWorker::new(Intent::Assistant { purpose: None })
    };
    let created = client.post("/v1/workers", &serde_json::to_value(request).expect("JSON")).await;
    created.read::<WorkerReply>().worker.worker_id
}

fn asks_of(worker: &str) -> Vec<Ask> {
    let of_workers = ROUTES.iter().filter(|route| route.path.contains("{worker_id}"));
    let asks = of_workers.map(|route| {
        let path = route
            .path
            .replace("{worker_id}", worker)
            .replace("{digest}", &"ab".repeat(32))
            .replace("{approval_id}", "apr_1");
        match route.method {
            Method::Get => Ask::get(path),
            Method::Post if path.ends_with("/input") => Ask::post(path, r#"{"kind":"user","content":"x"}"#),
            Method::Post if path.contains("/approvals/") => Ask::post(path, r#"{"decision":"deny"}"#),
            Method::Post if path.ends_with("/limits") => Ask::post(path, r#"{"limits":{"turns":9}}"#),
            Method::Post => Ask::post(path, "{}"),
            Method::Delete => Ask::delete(path),
        }
    });
    asks.collect()
}

#[tokio::test]
async fn another_s_worker_is_as_unknown_as_one_that_never_was() {
    let world = world(&[TokenScope::Admin]).await;
    let theirs = create(&world.client(), Some("b")).await;
    let nobody_s = create(&world.client(), None).await;
    let mine = create(&world.client(), Some("a")).await;
    let client = Client::new(world.address, Some(OURS));
    for worker in [&theirs, &nobody_s] {
        for (of_theirs, of_none) in asks_of(worker.as_str()).into_iter().zip(asks_of("wrk_1")) {
            let shown = format!("{of_theirs:?}");
            let (found, unknown) = (client.ask(of_theirs).await, client.ask(of_none).await);
            assert_eq!(found.error(), ErrorCode::WorkerNotFound, "{shown}");
            let (found, unknown) = (found.json(), unknown.json());
            let without_id =
                found["error"]["message"].as_str().map(|text| text.replace(worker.as_str(), "wrk_1"));
            assert_eq!(without_id.as_deref(), unknown["error"]["message"].as_str(), "{shown}");
        }
    }
    client.get(&format!("/v1/workers/{mine}")).await.ok();
    client.post(&format!("/v1/workers/{mine}/cancel"), &json!({})).await.ok();
    world.client().get(&format!("/v1/workers/{theirs}")).await.ok();
    world.end().await;
}

#[tokio::test]
async fn lists_hold_only_what_carries_the_labels() {
    let world = world(&[TokenScope::Admin]).await;
    let root = world.client();
    let (theirs, mine) = (create(&root, Some("b")).await, create(&root, Some("a")).await);
    let client = Client::new(world.address, Some(OURS));
    for worker in [&theirs, &mine] {
        root.post(&format!("/v1/workers/{worker}/input"), &json!({"kind": "user", "content": "ask"}))
            .await
            .ok();
        root.get(&format!("/v1/workers/{worker}/events?types=approval_requested&wait=50")).await.ok();
    }
    let ids =
        |reply: WorkerListReply| reply.workers.into_iter().map(|worker| worker.worker_id).collect::<Vec<_>>();
    let all = ids(root.get("/v1/workers").await.read());
    assert_eq!(all, [theirs.clone(), mine.clone()]);
    assert_eq!(ids(client.get("/v1/workers").await.read()), std::slice::from_ref(&mine));
    assert_eq!(ids(client.get("/v1/workers?label=team=a").await.read()), std::slice::from_ref(&mine));
    assert_eq!(ids(client.get("/v1/workers?label=x=y").await.read()), []);
    let waiting = |reply: AttentionReply| -> Vec<_> {
        reply.attention.into_iter().map(|item| item.worker_id).collect()
    };
    assert_eq!(waiting(root.get("/v1/attention").await.read()).len(), 2);
    assert_eq!(waiting(client.get("/v1/attention").await.read()), std::slice::from_ref(&mine));
    assert_eq!(waiting(client.get("/v1/attention?label=team=a").await.read()), [mine]);
    assert_eq!(waiting(client.get("/v1/attention?label=x=y").await.read()), []);
    // Asking for others does not widen what is seen, and is told from asking for what is not there.
    for asked in [
        "/v1/workers?label=team=b",
        "/v1/workers?label=team=",
        "/v1/workers?label=team=a&label=team=b",
        "/v1/attention?label=team=b",
    ] {
        let refused = client.get(asked).await;
        assert_eq!(refused.error(), ErrorCode::Forbidden, "{asked}");
        assert_eq!(refused.json()["error"]["message"], "the label is not that of the token", "{asked}");
        root.get(asked).await.ok();
    }
    world.end().await;
}

#[tokio::test]
async fn diagnostics_name_no_worker_that_is_not_seen() {
    let scratch = tempfile::tempdir().expect("a directory");
    let runtime = builder(MemoryStore::new()).scratch(scratch.path().to_owned()).start().await;
    let world = World::over(runtime.expect("a runtime"), labeled_options(&[TokenScope::Observe])).await;
    world.runtime.report("test.of_the_runtime", "nobody's own");
    let root = world.client();
    let theirs = create(&root, Some("b")).await;
    root.post(&format!("/v1/workers/{theirs}/cancel"), &json!({})).await.ok();
    // A file in the place of its directory, which cannot be removed as one.
    let private = scratch.path().join(theirs.as_str());
    std::fs::remove_dir_all(&private).expect("its directory");
    std::fs::write(&private, "").expect("a file");
    world.runtime.delete_worker(&theirs, UnsavedWork::Keep).await.expect("a worker that has ended");
    let codes = async |client: Client| -> Vec<_> {
        let seen: DiagnosticsReply = client.get("/v1/diagnostics").await.read();
        seen.diagnostics.into_iter().map(|diagnostic| diagnostic.code).collect()
    };
    assert_eq!(codes(root).await, ["test.of_the_runtime", "retention.scratch_left"]);
    assert_eq!(codes(Client::new(world.address, Some(OURS))).await, ["test.of_the_runtime"]);
    world.end().await;
}

#[tokio::test]
async fn what_is_created_carries_the_labels() {
    let world = world(&[TokenScope::Drive, TokenScope::Observe]).await;
    let client = Client::new(world.address, Some(OURS));
    let body = |labels: serde_json::Value| json!({"intent": {"kind": "assistant"}, "profile": {"kind": "named", "value": "script"}, "labels": labels});
    for (asked, expected) in [
        (json!({}), json!({"team": "a"})),
        (json!({"team": "a"}), json!({"team": "a"})),
        (json!({"x": "y"}), json!({"team": "a", "x": "y"})),
    ] {
        let created: WorkerReply = client.post("/v1/workers", &body(asked)).await.read();
        assert_eq!(json!(created.worker.labels), expected);
    }
    let refused = client.post("/v1/workers", &body(json!({"team": "b"}))).await;
    assert_eq!(
        (refused.error(), refused.json()["error"]["field"].as_str()),
        (ErrorCode::Forbidden, Some("/labels"))
    );
    world.end().await;
}

#[tokio::test]
async fn the_socket_for_many_tells_of_no_other() {
    let world = world(&[TokenScope::Observe]).await;
    let root = world.client();
    let (theirs, mine) = (create(&root, Some("b")).await, create(&root, Some("a")).await);
    let mut socket = Observer::with(&world, "/v1/events/ws", OURS).await;
    let subscribe = |worker_id, topic| StreamRequest::Subscribe { worker_id, topic, cursor: None };
    let say = async |socket: &mut Observer, request: StreamRequest| {
        let text = serde_json::to_string(&request).expect("JSON");
        within(socket.0.send(Message::text(text))).await.expect("a server that reads");
    };
    say(&mut socket, subscribe(Some(theirs.clone()), None)).await;
    let Ok(Frame::Diagnostic { diagnostic }) = socket.next().await else { panic!("a diagnostic") };
    assert_eq!(
        (diagnostic.code, diagnostic.worker_id.as_ref()),
        (DiagnosticCode::WorkerNotFound, Some(&theirs))
    );
    for topic in [Topic::Catalog, Topic::Attention] {
        say(&mut socket, subscribe(None, Some(topic))).await;
        assert_eq!(socket.next().await, Ok(Frame::Subscribed { topic }));
    }
    assert_eq!(socket.next().await, Ok(Frame::Attention { attention: Vec::new(), omitted: 0 }));
    // Whatever becomes of theirs comes before what becomes of mine, and is not told.
    for worker in [&theirs, &mine] {
        root.post(&format!("/v1/workers/{worker}/cancel"), &json!({})).await.ok();
        world.runtime.delete_worker(worker, UnsavedWork::Keep).await.expect("a worker that has ended");
    }
    loop {
        match socket.next().await {
            Ok(Frame::Catalog { worker: Some(worker), deleted: None }) => assert_eq!(worker.worker_id, mine),
            Ok(Frame::Catalog { worker: None, deleted: Some(worker) }) => {
                assert_eq!(worker, mine);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    drop(socket);
    world.end().await;
}
