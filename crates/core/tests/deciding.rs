//! Decisions about approvals of turns that are being ended.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod acting;

use std::time::Duration;

use musher_backend::{
    ApprovalRequest, BackendError, Command, Event, Launch, Link, LinkClosed, SessionOutcome, async_trait,
};
use musher_core::{ApprovalMode, Error, From, MemoryStore, Profile, Runtime};
use musher_protocol::{
    Actor, Approval, ApprovalKind, ApprovalState, CreateWorker, Decision, Intent, WorkerId,
};
use serde_json::json;
use tokio::task::JoinSet;

use self::acting::{Act, Acting};

/// Far longer than anything here takes.
const SOON: Duration = Duration::from_secs(20);

/// A backend whose turns ask once, and that ends a turn only with its session.
#[derive(Debug)]
struct Stubborn;

#[async_trait]
impl Act for Stubborn {
    async fn run(&self, _: Launch, mut link: Link) -> Result<SessionOutcome, BackendError> {
        Ok(session(&mut link)
            .await
            .map_or_else(|_closed| SessionOutcome::crashed(), |()| SessionOutcome::ended()))
    }
}

async fn session(link: &mut Link) -> Result<(), LinkClosed> {
    link.session_started("stubborn-1".parse().unwrap(), false).await?;
    loop {
        match link.next_command().await {
            Command::Input(input) => {
                link.emit(Event::InputTaken { input_id: input.input_id }).await?;
                let request = ApprovalRequest {
                    tool_call_id: None,
                    kind: ApprovalKind::Tool,
                    tool: "shell".to_owned(),
                    input: json!({"command": "make"}),
                    questions: Vec::new(),
                    suggestions: Vec::new(),
                };
                link.request_approval(request).await?;
            }
            Command::End { .. } => return Ok(()),
            Command::Steer(_) | Command::Interrupt | Command::Decision(_) => {}
        }
    }
}

fn me() -> Actor {
    Actor::rule("test")
}

/// Waits until the worker's log has an event of this type.
async fn logged(runtime: &Runtime, worker: &WorkerId, type_name: &str) {
    loop {
        let page =
            runtime.read_worker_events(worker, From::Cursor(None), Some(&[type_name]), 1000).await.unwrap();
        if !page.frames.is_empty() {
            return;
        }
        runtime.wait_events(worker, page.next, SOON).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_asked_in_a_turn_that_is_being_ended_is_open_and_can_only_be_denied() {
    let mut profile = Profile::of("stubborn");
    profile.approval.mode = ApprovalMode::Ask;
    let runtime = Runtime::builder(MemoryStore::new())
        .backend("stubborn", Acting(Stubborn))
        .profile("p", profile)
        .start()
        .await
        .unwrap();
    let task = CreateWorker::new(Intent::Task { objective: "go".to_owned() });
    let worker = runtime.create_worker(task, me()).await.unwrap().worker_id;
    logged(&runtime, &worker, "approval_requested").await;
    let open = runtime.approvals(&worker).await.unwrap().remove(0);
    let decide = |body| {
        let request = serde_json::from_value(body).unwrap();
        runtime.decide(&worker, &open.approval_id, request, me())
    };

    let mut interrupts = JoinSet::new();
    let (interrupting, interrupted) = (runtime.clone(), worker.clone());
    interrupts.spawn(async move { interrupting.interrupt_worker(&interrupted, None, me()).await });
    logged(&runtime, &worker, "interrupt_requested").await;
    match decide(json!({"decision": "allow"})).await {
        Err(Error::TurnEnding(shown)) => assert_eq!(*shown, open),
        other => panic!("{other:?}"),
    }
    let denied = decide(json!({"decision": "deny", "message": "no"})).await.unwrap();
    let expected = Approval {
        state: ApprovalState::Resolved,
        decision: Some(Decision::Deny),
        message: Some("no".to_owned()),
        by: Some(me()),
        ..open.clone()
    };
    assert_eq!((denied.approval, denied.duplicate), (expected.clone(), false));
    match decide(json!({"decision": "allow"})).await {
        Err(Error::ApprovalNotPending(shown)) => assert_eq!(*shown, expected),
        other => panic!("{other:?}"),
    }
    runtime.cancel_worker(&worker, None, me()).await.unwrap();
    interrupts.join_next().await.unwrap().unwrap().unwrap();
}
