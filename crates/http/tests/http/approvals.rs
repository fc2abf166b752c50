//! What workers ask, and what becomes of decisions about it.

use musher_protocol::{
    Approval, ApprovalState, ApprovalsReply, Decision, DecisionReply, ErrorCode, ErrorReply,
};
use serde_json::{Value, json};

use crate::{
    client::{Client, Reply},
    store::Fragile,
    world::{APPROVES, DRIVES, World, options, runtime},
};

/// The approval that comes with a refusal.
fn refused_with(reply: &Reply) -> Approval {
    assert_eq!(reply.error(), ErrorCode::ApprovalNotPending, "{}", reply.body);
    let ErrorReply { error } = serde_json::from_str(&reply.body).expect("an error");
    *error.approval.expect("the approval")
}

/// The payload of the event that resolved the only approval of a worker.
async fn resolved(client: &Client, worker: &impl std::fmt::Display) -> Value {
    let events = client.get(&format!("/v1/workers/{worker}/events?types=approval_resolved&wait=50")).await;
    let events = events.ok().json()["events"].clone();
    assert_eq!(events.as_array().map(Vec::len), Some(1), "{events}");
    events[0]["payload"].clone()
}

#[tokio::test]
async fn a_decision_is_made_once_and_its_retry_is_answered_as_the_first_was() {
    let world = World::new().await;
    let approves = Client::new(world.address, Some(APPROVES));
    let (worker, approval) = world.asking("ask").await;
    let here = format!("/v1/workers/{worker}/approvals");
    let ApprovalsReply { approvals } = world.client().get(&here).await.read();
    let [open] = &approvals[..] else { panic!("one approval: {approvals:?}") };
    assert_eq!((open.tool.as_str(), open.state, &open.by), ("shell", ApprovalState::Pending, &None));

    let allow =
        json!({"decision": "allow", "message": "fine", "updated_input": {"command": "true"}, "actor": "ann"});
    let first: DecisionReply = approves.post(&approval, &allow).await.read();
    let by = json!({"token": "approves", "actor": "ann"});
    let decided = Approval {
        state: ApprovalState::Resolved,
        decision: Some(Decision::Allow),
        message: Some("fine".to_owned()),
        by: serde_json::from_value(by.clone()).expect("an actor"),
        ..open.clone()
    };
    assert_eq!(first, DecisionReply { approval: decided.clone(), duplicate: false });
    assert_eq!(
        resolved(&world.client(), &worker).await,
        json!({
            "type": "approval_resolved", "approval_id": open.approval_id, "decision": "allow", "message": "fine",
            "updated_input": {"command": "true"}, "by": by,
        })
    );
    assert_eq!(world.client().get(&here).await.read::<ApprovalsReply>().approvals, []);

    // Whoever asks again, in whatever order, also when the worker has long ended.
    let again = json!({"updated_input": {"command": "true"}, "decision": "allow", "message": "fine"});
    for end in ["", "stop"] {
        if !end.is_empty() {
            world.client().post(&format!("/v1/workers/{worker}/{end}"), &json!({})).await.ok();
        }
        let second: DecisionReply = world.client().post(&approval, &again).await.read();
        assert_eq!(second, DecisionReply { approval: decided.clone(), duplicate: true });
        for other in [json!({"decision": "deny"}), json!({"decision": "allow"})] {
            assert_eq!(refused_with(&world.client().post(&approval, &other).await), decided);
        }
    }
    world.end().await;
}

#[tokio::test]
async fn a_decision_of_long_ago_is_found_behind_many_pages() {
    let world = World::new().await;
    let (worker, approval) = world.asking("ask").await;
    let deny = json!({"decision": "deny", "message": "no"});
    let first: DecisionReply = world.client().post(&approval, &deny).await.read();
    for _ in 0..150 {
        world.say(&worker, "hello").await;
    }
    let head = world.client().get(&format!("/v1/workers/{worker}/events?tail=1")).await.json();
    assert!(head["events"][0]["seq"].as_u64() > Some(2 * 512), "a log of more pages than one: {head}");
    let again: DecisionReply = world.client().post(&approval, &deny).await.read();
    assert_eq!(again, DecisionReply { duplicate: true, ..first });
    world.end().await;
}

#[tokio::test]
async fn a_large_updated_input_is_the_same_again_and_lies_beside_the_log() {
    let world = World::new().await;
    let (worker, approval) = world.asking("ask").await;
    let allow = |c: &str| json!({"decision": "allow", "updated_input": {"text": c.repeat(100_000)}});
    let first: DecisionReply = world.client().post(&approval, &allow("x")).await.read();
    let again: DecisionReply = world.client().post(&approval, &allow("x")).await.read();
    assert_eq!((first.duplicate, again.duplicate), (false, true));
    assert_eq!(refused_with(&world.client().post(&approval, &allow("y")).await), first.approval);
    let event = resolved(&world.client(), &worker).await;
    let whole = allow("x")["updated_input"].to_string();
    assert_eq!(event["updated_input"], json!(whole[..4096]));
    let blob = event["blob"]["digest"].as_str().expect("a digest");
    let body = world.client().get(&format!("/v1/workers/{worker}/blobs/{blob}")).await.ok().body;
    assert!(body == whole, "{} bytes", body.len());
    world.end().await;
}

#[tokio::test]
async fn who_drives_may_not_decide_and_who_decides_may_not_drive() {
    let world = World::new().await;
    let (worker, approval) = world.asking("ask").await;
    let allow = json!({"decision": "allow"});
    let drives = Client::new(world.address, Some(DRIVES));
    assert_eq!(drives.post(&approval, &allow).await.error(), ErrorCode::Forbidden);
    let approves = Client::new(world.address, Some(APPROVES));
    let hello = json!({"kind": "user", "content": "hello"});
    let input = approves.post(&format!("/v1/workers/{worker}/input"), &hello).await;
    assert_eq!(input.error(), ErrorCode::Forbidden);
    assert_eq!(approves.get(&format!("/v1/workers/{worker}/approvals")).await.error(), ErrorCode::Forbidden);
    approves.post(&approval, &allow).await.ok();
    world.end().await;
}

#[tokio::test]
async fn two_who_decide_at_the_same_time_decide_once() {
    let world = World::new().await;
    for _ in 0..20 {
        let (worker, approval) = world.asking("ask").await;
        let (allow, deny) = (json!({"decision": "allow"}), json!({"decision": "deny"}));
        let (one, two) = (world.client(), world.client());
        let (allowed, denied) = tokio::join!(one.post(&approval, &allow), two.post(&approval, &deny));
        let (won, lost) = if allowed.status == 200 { (allowed, denied) } else { (denied, allowed) };
        let won: DecisionReply = won.read();
        assert!(!won.duplicate);
        assert_eq!(refused_with(&lost), won.approval);
        resolved(&world.client(), &worker).await;
    }
    world.end().await;
}

#[tokio::test]
async fn what_came_of_an_approval_is_known_without_reading_the_log() {
    let (store, faults) = Fragile::new();
    let world = World::over(runtime(store).await, options()).await;
    let (worker, approval) = world.asking("ask").await;
    let client = world.client();
    let n_read = faults.n_read();
    let allow = json!({"decision": "allow"});
    for duplicate in [false, true] {
        let reply: DecisionReply = client.post(&approval, &allow).await.read();
        assert_eq!((reply.approval.decision, reply.duplicate), (Some(Decision::Allow), duplicate));
    }
    let other = refused_with(&client.post(&approval, &json!({"decision": "deny"})).await);
    assert_eq!(other.decision, Some(Decision::Allow));
    let unknown = client.post(&format!("/v1/workers/{worker}/approvals/apr_none"), &allow).await;
    assert_eq!(unknown.error(), ErrorCode::ApprovalNotFound);
    assert_eq!(faults.n_read(), n_read, "a log may be long");
    world.end().await;
}
