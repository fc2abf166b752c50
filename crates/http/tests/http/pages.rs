//! Pages: lists, transcripts, events.

use musher_core::MemoryStore;
use musher_protocol::{
    ErrorCode, EventsReply, RuntimeLimits, RuntimeReply, RuntimeStatus, TranscriptReply, WorkerId,
    WorkerListReply, WorkerReply,
    route::{Method, ROUTES},
};
use serde_json::json;

use crate::{
    client::Ask,
    world::{World, builder, options},
};

#[tokio::test]
async fn the_runtime_shows_itself() {
    let world = World::new().await;
    world.worker_id().await;
    let RuntimeReply { runtime } = world.client().get("/v1/runtime").await.read();
    assert_eq!(runtime, world.runtime.summary().await.unwrap());
    assert_eq!((runtime.status, runtime.worker_count), (RuntimeStatus::Running, 1));
    for probe in ["/livez", "/readyz"] {
        let reply = world.client().get(probe).await.ok();
        assert_eq!(reply.body, "{}");
        let head = world.client().ask(Ask { method: "HEAD", ..Ask::get(probe) }).await.ok();
        assert_eq!(head.body, "");
    }
    world.end().await;
}

#[tokio::test]
async fn the_server_describes_its_routes() {
    let world = World::new().await;
    let reply = world.client().get("/openapi.json").await.ok();
    reply.assert_guarded();
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let document = reply.json();
    assert_eq!(document["openapi"], "3.1.0");
    for route in ROUTES {
        let method = match route.method {
            Method::Get => "get",
            Method::Post => "post",
            Method::Delete => "delete",
        };
        assert!(document["paths"][route.path][method].is_object(), "{method} {}", route.path);
    }
    world.end().await;
}

#[tokio::test]
async fn the_list_turns_its_pages() {
    let world = World::new().await;
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(world.worker_id().await);
    }
    world.client().ask(Ask::post(format!("/v1/workers/{}/cancel", all[1]), "")).await.ok();
    let second = all[1].to_string();
    let cases: [(&str, &[usize], Option<&str>); 6] = [
        ("", &[0, 1, 2], None),
        ("?limit=3", &[0, 1, 2], None),
        ("?limit=2", &[0, 1], Some(second.as_str())),
        (&format!("?limit=2&after={second}"), &[2], None),
        ("?status=running", &[0, 2], None),
        ("?status=cancelled", &[1], None),
    ];
    for (query, expected, expected_next) in cases {
        let reply = world.client().get(&format!("/v1/workers{query}")).await;
        let WorkerListReply { workers, next } = reply.read();
        let ids: Vec<&WorkerId> = workers.iter().map(|worker| &worker.worker_id).collect();
        let expected: Vec<_> = expected.iter().map(|&index| &all[index]).collect();
        assert_eq!((ids, next.as_deref()), (expected, expected_next), "{query}");
    }
    world.end().await;
}

#[tokio::test]
async fn the_list_has_what_is_asked_for() {
    let world = World::new().await;
    let mut all = Vec::new();
    for labels in [json!({"team": "a", "env": "x=y"}), json!({"team": "a"}), json!({"team": "b"}), json!({})]
    {
        let body = json!({
            "intent": {"kind": "assistant"}, "profile": {"kind": "named", "value": "script"}, "labels": labels,
        });
        let WorkerReply { worker } = world.client().post("/v1/workers", &body).await.read();
        all.push(worker.worker_id);
    }
    world.say(&all[1], "hello").await;
    let hangs = json!({"kind": "user", "content": "hang"});
    world.client().post(&format!("/v1/workers/{}/input", all[2]), &hangs).await.ok();
    let WorkerReply { worker: before } = world.client().get(&format!("/v1/workers/{}", all[3])).await.read();
    world.client().ask(Ask::post(format!("/v1/workers/{}/stop", all[0]), "")).await.ok();
    let updated = format!("updated_after={}", before.updated_at);
    let cases: [(&str, &[usize]); 16] = [
        ("order=asc", &[0, 1, 2, 3]),
        ("order=desc", &[3, 2, 1, 0]),
        ("order=desc&status=running", &[3, 2, 1]),
        ("run_state=unconnected", &[3]),
        ("run_state=idle", &[1]),
        ("run_state=busy", &[2]),
        ("run_state=stopped", &[0]),
        ("outcome=completed", &[1]),
        ("outcome=failed", &[]),
        ("label=team=a", &[0, 1]),
        ("label=team%3Da&order=desc", &[1, 0]),
        ("label=team=a&label=env=x=y", &[0]),
        ("label=team=a&label=team=b", &[]),
        ("label=team=", &[]),
        ("label=team=a&run_state=idle&status=running", &[1]),
        (&updated, &[0, 1, 2]),
    ];
    for (query, expected) in cases {
        let expected: Vec<_> = expected.iter().map(|&index| all[index].clone()).collect();
        for limit in [1, 2, 9] {
            let (mut ids, mut after) = (Vec::new(), String::new());
            loop {
                let path = format!("/v1/workers?{query}&limit={limit}{after}");
                let WorkerListReply { workers, next } = world.client().get(&path).await.read();
                assert!(next.is_none() || workers.len() == limit, "{path}");
                ids.extend(workers.into_iter().map(|worker| worker.worker_id));
                let Some(next) = next else { break };
                after = format!("&after={next}");
            }
            assert_eq!(ids, expected, "{query} in pages of {limit}");
        }
    }
    for query in [
        "order=up",
        "status=odd",
        "run_state=odd",
        "outcome=odd",
        "label=team",
        "updated_after=yesterday",
        "order=asc&order=asc",
    ] {
        let reply = world.client().get(&format!("/v1/workers?{query}")).await;
        assert_eq!(reply.error(), ErrorCode::InvalidQuery, "{query}");
    }
    world.end().await;
}

#[tokio::test]
async fn the_transcript_turns_its_pages() {
    let limits = RuntimeLimits { max_transcript_projection_items: 3, max_event_batch_items: 256 };
    let runtime = builder(MemoryStore::new()).limits(limits).start().await.unwrap();
    let world = World::over(runtime, options()).await;
    let worker = world.worker_id().await;
    world.say(&worker, "one").await;
    world.say(&worker, "two").await;
    let cases: [(&str, &[u64], Option<u64>); 7] = [
        ("", &[1, 2, 3], Some(3)),
        ("?start=3", &[4], None),
        ("?start=1&limit=2", &[2, 3], Some(3)),
        ("?start=-1", &[4], None),
        ("?start=-2&limit=1", &[3], Some(3)),
        ("?start=-9223372036854775808", &[1, 2, 3], Some(3)),
        ("?start=9223372036854775807", &[], None),
    ];
    for (query, expected, next) in cases {
        let reply = world.client().get(&format!("/v1/workers/{worker}/transcript{query}")).await;
        let TranscriptReply { transcript } = reply.read();
        let sequences: Vec<_> = transcript.items.iter().map(|entry| entry.sequence).collect();
        assert_eq!((sequences.as_slice(), transcript.next_start), (expected, next), "{query}");
        assert_eq!(transcript.total_items, 4);
    }
    world.end().await;
}

#[tokio::test]
async fn events_turn_their_pages() {
    let world = World::new().await;
    let worker = world.worker_id().await;
    world.say(&worker, "one").await;
    let page = async |query: &str| -> EventsReply {
        world.client().get(&format!("/v1/workers/{worker}/events{query}")).await.read()
    };
    let seqs = |page: &EventsReply| page.events.iter().map(|event| event.seq).collect::<Vec<_>>();

    let whole = page("").await;
    let last = whole.events.len() as u64;
    assert_eq!((seqs(&whole), whole.has_more), ((1..=last).collect(), false));
    assert_eq!(whole.next, whole.events.last().unwrap().cursor);

    let mut read = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let page = page(&query).await;
        assert!(page.events.len() <= 2);
        read.extend(page.events);
        query = format!("?limit=2&after={}", page.next);
        if !page.has_more {
            break;
        }
    }
    assert_eq!(read, whole.events);

    let tail = page("?tail=2").await;
    assert_eq!((seqs(&tail), tail.has_more), (vec![last - 1, last], false));
    let none = page(&format!("?after={}", whole.next)).await;
    assert_eq!(none, EventsReply { events: Vec::new(), next: whole.next, has_more: false });

    let inputs = page("?types=input_taken,input_accepted,input_accepted").await;
    let types: Vec<_> = inputs.events.iter().map(|event| event.payload.type_name()).collect();
    assert_eq!((types, inputs.next), (vec!["input_accepted", "input_taken"], whole.next));
    world.end().await;
}

#[tokio::test]
async fn events_wait_for_the_first_that_is_wanted() {
    let world = World::new().await;
    let worker = world.worker_id().await;
    let here = format!("/v1/workers/{worker}");
    let EventsReply { next, .. } = world.client().get(&format!("{here}/events")).await.read();
    let none: EventsReply = world.client().get(&format!("{here}/events?after={next}&wait=0")).await.read();
    assert_eq!(none.events, []);
    let client = world.client();
    let target = format!("{here}/events?after={next}&types=turn_finished&wait=50");
    let (waited, ()) = tokio::join!(client.get(&target), world.say(&worker, "one"));
    let types = waited.json()["events"][0]["payload"]["type"].clone();
    assert_eq!(types, json!("turn_finished"));

    world.client().ask(Ask::post(format!("{here}/stop"), "")).await.ok();
    let EventsReply { next, .. } = world.client().get(&format!("{here}/events")).await.read();
    // A log that has its last event has nothing to wait for.
    let over: EventsReply = world.client().get(&format!("{here}/events?after={next}&wait=60")).await.read();
    assert_eq!(over, EventsReply { events: Vec::new(), next, has_more: false });
    world.end().await;
}
