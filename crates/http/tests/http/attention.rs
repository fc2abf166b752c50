//! What waits for a person, over all workers.

use musher_protocol::AttentionReply;
use serde_json::json;

use crate::{
    client::{Ask, receive},
    world::World,
};

/// What a list shows.
fn ids(list: &AttentionReply) -> Vec<&str> {
    list.attention.iter().map(|item| item.attention_id.as_str()).collect()
}

/// The item of an approval's path.
fn item(kind: &str, approval: &str) -> String {
    format!("att_{kind}_{}", approval.rsplit('/').next().expect("a last segment"))
}

#[tokio::test]
async fn what_waits_is_listed_until_it_is_decided_and_whoever_waits_hears_of_it() {
    let world = World::new().await;
    let client = world.client();
    let nothing: AttentionReply = client.get("/v1/attention").await.read();
    assert_eq!(ids(&nothing), Vec::<&str>::new());

    let after = |list: &AttentionReply| format!("/v1/attention?after={}", list.next);
    let mut waits = client.send(Ask::get(after(&nothing))).await;
    let (_, tool) = world.asking("ask").await;
    let heard: AttentionReply = receive(&mut waits).await.read();
    assert_eq!(ids(&heard), [item("approval", &tool)]);
    let (worker, question) = world.asking("which").await;
    let both: AttentionReply = client.get(&after(&heard)).await.read();
    assert_eq!(ids(&both), [item("approval", &tool), item("question", &question)]);
    let asked = &both.attention[1];
    assert_eq!((&asked.worker_id, asked.message.as_str()), (&worker, "asks: Which?"));
    let approval = asked.approval.as_ref().expect("what is asked");
    assert_eq!((Some(approval.deadline_at), approval.requested_at), (asked.deadline_at, asked.since_at));
    let questions: AttentionReply = client.get("/v1/attention?kind=question").await.read();
    assert_eq!(&questions.attention[..], std::slice::from_ref(asked));

    // Whoever waits for another kind is not woken by this.
    let mut waits =
        client.send(Ask::get(format!("/v1/attention?kind=question&after={}", questions.next))).await;
    client.post(&tool, &json!({"decision": "allow"})).await.ok();
    client.post(&question, &json!({"decision": "deny"})).await.ok();
    let none: AttentionReply = receive(&mut waits).await.read();
    assert_eq!(ids(&none), Vec::<&str>::new());
    let at_rest: AttentionReply = client.get(&format!("{}&wait=0", after(&nothing))).await.read();
    assert_eq!(at_rest, nothing, "an empty list is the same again, and a wait of nothing is over");
    world.end().await;
}

#[tokio::test]
async fn a_list_is_of_one_label_and_a_worker_that_ends_is_off_it() {
    let world = World::new().await;
    let client = world.client();
    let mut workers = Vec::new();
    for team in ["a", "b"] {
        let request = json!({
            "intent": {"kind": "task", "objective": "ask"}, "profile": {"kind": "named", "value": "narrow"},
            "labels": {"team": team, "size": "l"}, "display_name": format!("of {team}"),
        });
        let worker = client.post("/v1/workers", &request).await.ok().json()["worker"]["worker_id"].clone();
        let worker = worker.as_str().expect("an id").to_owned();
        client.get(&format!("/v1/workers/{worker}/events?types=approval_requested&wait=50")).await.ok();
        workers.push(worker);
    }
    let all: AttentionReply = client.get("/v1/attention").await.read();
    let names: Vec<_> = all.attention.iter().map(|item| item.display_name.as_deref()).collect();
    assert_eq!(names, [Some("of a"), Some("of b")]);
    let of_b: AttentionReply = client.get("/v1/attention?label=team=b").await.read();
    assert_eq!(of_b.attention, [all.attention[1].clone()]);
    let of_both: AttentionReply = client.get("/v1/attention?label=team=b&label=size=l").await.read();
    assert_eq!(of_both.attention, of_b.attention);
    let of_neither: AttentionReply = client.get("/v1/attention?label=team=b&label=size=s").await.read();
    assert_eq!(of_neither.attention, []);
    client.post(&format!("/v1/workers/{}/cancel", workers[1]), &json!({})).await.ok();
    let of_b: AttentionReply = client.get("/v1/attention?label=team%3Db").await.read();
    assert_eq!(of_b.attention, []);
    world.end().await;
}

#[tokio::test]
async fn whoever_waits_for_attention_is_answered_when_the_server_ends() {
    let mut world = World::new().await;
    let list: AttentionReply = world.client().get("/v1/attention").await.read();
    let mut waits = world.client().send(Ask::get(format!("/v1/attention?after={}", list.next))).await;
    world.client().get("/livez").await.ok();
    world.begin_end();
    assert_eq!(receive(&mut waits).await.read::<AttentionReply>(), list);
    world.end().await;
}
