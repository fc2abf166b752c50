//! A worker that has ended, and one of whose processes has not.

use std::sync::Arc;

use musher_core::{Commit, Head, MemoryStore, Most, RowParts, Store, StoredEvent, WorkerRow};
use musher_protocol::{
    AttentionId, AttentionItem, AttentionKind, AttentionReply, ErrorCode, EventsReply, Payload, Survivor,
    WorkerEnded, WorkerId,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    client::Ask,
    world::{World, builder, builder_on, options, within},
};

/// A store with a worker that left a process when it was stopped. As no test has a process that resists SIGKILL, it is
/// written into the log of one that left none.
async fn left_behind() -> (MemoryStore, WorkerId) {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let runtime = builder_on(store.clone()).start().await.expect("names that fit together");
    let world = World::over(runtime, options()).await;
    let worker = world.worker_id().await;
    world.client().ask(Ask::post(format!("/v1/workers/{worker}/stop"), "")).await.ok();
    within(world.runtime.shutdown()).await;
    world.end().await;

    let survivors = json!([{"pid": 4242, "command": "sleep"}]);
    let all = Most { events: 100, bytes: 1 << 20 };
    let mut events = store.events(&worker, 0, all).await.expect("a log");
    let last = events.last_mut().expect("an event");
    let mut ended: Value = serde_json::from_slice(&last.payload).expect("JSON");
    assert_eq!((&ended["type"], &ended["survivors"]), (&json!("worker_stopped"), &json!([])));
    ended["survivors"] = survivors.clone();
    last.payload = ended.to_string().into();
    last.checksum = checksum(last);
    assert!(last.is_intact());

    let row = store.worker(&worker).await.expect("a row that reads").expect("a row");
    let mut facts: Value = serde_json::from_str(&row.facts_json()).expect("JSON");
    facts["end"]["survivors"] = survivors;
    let row = WorkerRow::from_parts(RowParts {
        worker_id: worker.clone(),
        spec: row.spec_json(),
        facts: facts.to_string(),
        head: Head { seq: last.seq, checksum: last.checksum },
        last_event_id: last.event_id.clone(),
        created_at: row.created_at,
        updated_at: row.updated_at,
    });
    let store = MemoryStore::new();
    let commit = Commit {
        worker: worker.clone(),
        epoch: Commit::FIRST_EPOCH,
        expected_head: 0,
        batch_id: Uuid::now_v7(),
        events,
        entries: Vec::new(),
        accepted: Vec::new(),
        blobs: Vec::new(),
        kept: Vec::new(),
        keys: Vec::new(),
        row: Some(row.expect("a row that reads")),
        checkpoint: None,
    };
    store.append(commit).await.expect("a new worker");
    (store, worker)
}

fn checksum(event: &StoredEvent) -> u32 {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(event.event_id.as_str().as_bytes());
    checksum.update(&event.at.as_nanosecond().to_be_bytes());
    checksum.update(&event.payload);
    checksum.finalize()
}

#[tokio::test]
async fn whoever_ends_a_worker_that_left_a_process_is_told_so_and_it_waits_for_a_person() {
    let (store, worker) = left_behind().await;
    let runtime = builder(store).start().await.expect("names that fit together");
    let world = World::over(runtime, options()).await;
    let client = world.client();

    let log: EventsReply = client.get(&format!("/v1/workers/{worker}/events")).await.read();
    let last = log.events.last().expect("an event");
    let survivors = vec![Survivor { pid: 4242, command: "sleep".to_owned() }];
    let ended = WorkerEnded { reason: None, survivors, outcome: None };
    assert_eq!(last.payload, Payload::WorkerStopped(Box::new(ended)));

    // The first outcome is that of all repeats.
    for command in ["stop", "cancel", "stop"] {
        let reply = client.post(&format!("/v1/workers/{worker}/{command}"), &json!({})).await;
        let said = &reply.json()["error"]["message"];
        assert_eq!((reply.status, reply.error()), (500, ErrorCode::ProcessesSurvived), "{command}");
        assert_eq!(said, &json!(format!("1 processes of worker `{worker}` could not be ended")));
    }

    let list: AttentionReply = client.get("/v1/attention").await.read();
    let item = AttentionItem {
        attention_id: AttentionId::of(AttentionKind::Stuck, worker.as_str()),
        kind: AttentionKind::Stuck,
        worker_id: worker.clone(),
        display_name: None,
        labels: [].into(),
        message: "1 of its processes could not be ended".to_owned(),
        since_at: last.at,
        deadline_at: None,
        until: None,
        approval: None,
    };
    assert_eq!(list.attention, [item]);

    let deleted = client.ask(Ask::delete(format!("/v1/workers/{worker}"))).await;
    assert_eq!(deleted.status, 204, "{}", deleted.body);
    let list: AttentionReply = client.get("/v1/attention").await.read();
    assert_eq!(list.attention, []);
    world.end().await;
}
