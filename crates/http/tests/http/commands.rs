//! Commands, from create to the transcript.

use musher_http::{Bounds, HttpOptions};
use musher_protocol::{
    AckReply, ErrorCode, InputAckReply, Role, TranscriptReply, Until, WorkerListReply, WorkerReply,
    WorkerStatus,
};
use serde_json::json;

use crate::{
    client::Ask,
    store::Fragile,
    world::{World, options, runtime, within},
};

#[tokio::test]
async fn a_worker_from_its_creation_to_its_end() {
    let world = World::new().await;
    let client = world.client();
    let reply = client.post("/v1/workers", &json!({"intent": {"kind": "assistant"}})).await;
    let WorkerReply { worker } = reply.read();
    let here = format!("/v1/workers/{}", worker.worker_id);
    assert_eq!(reply.header("location"), Some(here.as_str()));

    let said = json!({"kind": "user", "content": "hello there"});
    let ask = Ask::post(format!("{here}/input"), said.to_string()).with("idempotency-key", "[1]");
    let InputAckReply { ack: first } = client.ask(ask.clone()).await.read();
    assert_eq!((first.input_id.as_str(), first.duplicate), ("[1]", false));
    let InputAckReply { ack: again } = client.ask(ask).await.read();
    assert_eq!((again.event_id, again.duplicate), (first.event_id, true));
    let agreeing = json!({"kind": "user", "content": "hello there", "input_id": "[1]"}).to_string();
    let ask = Ask::post(format!("{here}/input"), agreeing).with("idempotency-key", "[1]");
    assert!(client.ask(ask).await.read::<InputAckReply>().ack.duplicate);

    let WorkerReply { worker } = client.get(&format!("{here}?until=idle")).await.read();
    assert_eq!(worker.outcome.expect("a turn has ended").text, "hello there");
    let TranscriptReply { transcript } = client.get(&format!("{here}/transcript")).await.read();
    let said: Vec<_> = transcript.items.iter().map(|entry| (entry.role, entry.content.as_str())).collect();
    assert_eq!(said, [(Role::User, "hello there"), (Role::Assistant, "hello there")]);

    let AckReply { ack } = client.ask(Ask::post(format!("{here}/stop"), "")).await.read();
    assert_eq!(ack.status, WorkerStatus::Stopped);
    let AckReply { ack } = client.post(&format!("{here}/cancel"), &json!({"reason": "late"})).await.read();
    assert_eq!(ack.status, WorkerStatus::Stopped);
    world.end().await;
}

#[tokio::test]
async fn a_busy_worker_is_interrupted_and_goes_on() {
    let world = World::new().await;
    let worker = world.worker_id().await;
    let here = format!("/v1/workers/{worker}");
    world.client().post(&format!("{here}/input"), &json!({"kind": "user", "content": "hang"})).await.ok();
    world.client().ask(Ask::post(format!("{here}/interrupt"), "")).await.ok();
    world.say(&worker, "again").await;
    let WorkerReply { worker } = world.client().get(&here).await.read();
    assert_eq!(worker.outcome.expect("turns have ended").text, "again");
    world.end().await;
}

#[tokio::test]
async fn a_command_goes_on_when_its_client_leaves() {
    let cases = [
        ("input", r#"{"kind":"user","content":"hello"}"#, "input_accepted"),
        ("interrupt", "", "interrupt_requested"),
        ("stop", "", "worker_stopped"),
        ("cancel", "", "worker_cancelled"),
    ];
    for (command, body, expected) in cases {
        let (store, faults) = Fragile::new();
        let bounds = Bounds { max_connections: 1, ..Bounds::default() };
        let world = World::over(runtime(store).await, HttpOptions { bounds, ..options() }).await;
        let worker = world.worker_id().await;
        let here = format!("/v1/workers/{worker}");
        world.client().post(&format!("{here}/input"), &json!({"kind": "user", "content": "hang"})).await.ok();

        // From here on the worker has nothing to write by itself.
        world.client().get(&format!("{here}/events?types=text_done&wait=10")).await.ok();
        let held = faults.hold().await;
        let leaves = world.client().send(Ask::post(format!("{here}/{command}"), body)).await;
        faults.is_held().await;
        drop(leaves);
        // There is one slot: the next answer means that the request is gone, while the store still works at it.
        world.client().get("/livez").await.ok();
        drop(held);

        let seen = world.client().get(&format!("{here}/events?types={expected}&wait=10")).await.json();
        assert_eq!(seen["events"][0]["payload"]["type"], json!(expected));
        world.end().await;
    }
}

#[tokio::test]
async fn a_worker_is_created_whole_when_its_client_leaves() {
    let (store, faults) = Fragile::new();
    let bounds = Bounds { max_connections: 1, ..Bounds::default() };
    let world = World::over(runtime(store).await, HttpOptions { bounds, ..options() }).await;
    let held = faults.hold().await;
    let request = json!({"intent": {"kind": "task", "objective": "hello"}, "on_idle": "stop"});
    let leaves = world.client().send(Ask::post("/v1/workers", request.to_string())).await;
    faults.is_held().await;
    drop(leaves);
    let WorkerListReply { workers, .. } = world.client().get("/v1/workers").await.read();
    drop(held);
    let worker = &workers[0].worker_id;
    let target = format!("/v1/workers/{worker}?until=terminal&wait=10");
    let WorkerReply { worker } = world.client().get(&target).await.read();
    assert_eq!(worker.outcome.expect("a turn has ended").text, "hello");
    world.end().await;
}

#[tokio::test]
async fn waiting_ends_when_the_state_is_there_or_the_time_is_up() {
    let world = World::new().await;
    let worker = world.worker_id().await;
    let here = format!("/v1/workers/{worker}");
    let WorkerReply { worker: waited } =
        world.client().get(&format!("{here}?until=terminal&wait=0")).await.read();
    assert_eq!(waited.status, WorkerStatus::Running);
    let waiting = world.client();
    let target = format!("{here}?until=terminal&wait=50");
    let (waited, _) = tokio::join!(waiting.get(&target), async {
        world.client().ask(Ask::post(format!("{here}/cancel"), "")).await.ok()
    });
    assert_eq!(waited.read::<WorkerReply>().worker.status, WorkerStatus::Cancelled);
    let detail =
        within(world.runtime.wait_worker(&worker, Until::Terminal, Default::default())).await.unwrap();
    assert_eq!(detail.status, WorkerStatus::Cancelled);
    world.end().await;
}

#[tokio::test]
async fn a_worker_that_has_ended_is_deleted_and_its_readers_are_told() {
    let world = World::new().await;
    let worker = world.worker_id().await;
    let here = format!("/v1/workers/{worker}");
    world.client().post(&format!("{here}/stop"), &json!({})).await.ok();
    let deleted = world.client().ask(Ask::delete(&*here)).await;
    assert_eq!((deleted.status, deleted.body.as_str()), (204, ""));
    for path in ["", "/events", "/transcript"] {
        let gone = world.client().get(&format!("{here}{path}")).await;
        assert_eq!(gone.error(), ErrorCode::WorkerNotFound, "{path}");
    }
    assert_eq!(world.client().ask(Ask::delete(&*here)).await.error(), ErrorCode::WorkerNotFound);
    let listed = world.client().get("/v1/workers").await.json();
    assert_eq!(listed["workers"], json!([]));
    let reported = world.client().get("/v1/diagnostics").await.json();
    assert_eq!(reported, json!({ "diagnostics": [] }));
    world.end().await;
}

#[tokio::test]
async fn whoever_waits_is_answered_when_the_server_ends() {
    let mut world = World::new().await;
    let worker = world.worker_id().await;
    let here = format!("/v1/workers/{worker}");
    let head =
        world.client().get(&format!("{here}/events")).await.json()["next"].as_str().unwrap().to_owned();
    // Both have been read once an answer to a later request on another connection is there; what they wait for
    // never comes.
    let client = world.client();
    let mut detail = client.send(Ask::get(format!("{here}?until=terminal&wait=60"))).await;
    let mut events = client.send(Ask::get(format!("{here}/events?after={head}&wait=60"))).await;
    client.get("/livez").await.ok();
    world.begin_end();
    for socket in [&mut detail, &mut events] {
        crate::client::receive(socket).await.ok();
    }
    world.end().await;
}
