//! What a create request comes to: whom it creates, and what that worker is told first.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the few events that it is about")]

use std::time::Duration;

use musher_core::{Error, From, MemoryStore, Profile, Runtime, Start};
use musher_protocol::{
    Actor, CreateWorker, Delivery, Envelope, InitialInput, InputId, InputKind, InputRequest, Intent, Payload,
    ProfileSelector, Role, TurnCause, Until, WorkerDetail,
};
use musher_scripted::Scripted;

/// Far longer than anything here takes; a test that waits this long has failed.
const SOON: Duration = Duration::from_secs(60);

/// A runtime whose default profile is not the one that is called `coder`.
async fn runtime() -> Runtime {
    Runtime::builder(MemoryStore::new())
        .backend("scripted", Scripted)
        .profile("coder", Profile::of("scripted"))
        .profile("house", Profile::of("scripted"))
        .default_profile("house")
        .scratch(tempfile::tempdir().unwrap().keep())
        .start()
        .await
        .unwrap()
}

fn me() -> Actor {
    Actor::rule("test")
}

fn of(intent: Intent) -> CreateWorker {
    CreateWorker::new(intent)
}

async fn log(runtime: &Runtime, worker: &WorkerDetail) -> Vec<Payload> {
    let page = runtime.read_worker_events(&worker.worker_id, From::Cursor(None), None, 10_000).await.unwrap();
    let events = page.frames.iter().map(|frame| serde_json::from_slice::<Envelope>(&frame.envelope()));
    events.map(|event| event.unwrap().payload).collect()
}

/// What a worker was told, by whom, and in which turns.
#[derive(Debug, PartialEq)]
struct Told {
    accepted: Vec<(String, InputKind, String)>,
    turns: Vec<(Vec<String>, TurnCause)>,
    transcript: Vec<(Role, String)>,
}

async fn told(runtime: &Runtime, worker: &WorkerDetail) -> Told {
    runtime.wait_worker(&worker.worker_id, Until::Idle, SOON).await.unwrap();
    let mut told = Told { accepted: Vec::new(), turns: Vec::new(), transcript: Vec::new() };
    for payload in log(runtime, worker).await {
        match payload {
            Payload::InputAccepted { input_id, kind, content, delivery, by, .. } => {
                assert_eq!((delivery, by), (Delivery::Queue, me()));
                told.accepted.push((input_id.to_string(), kind, content));
            }
            Payload::TurnStarted { input_ids, cause, .. } => {
                told.turns.push((input_ids.iter().map(ToString::to_string).collect(), cause));
            }
            _ => {}
        }
    }
    let page = runtime.transcript_projection(&worker.worker_id, Start::Behind(0), 100).await.unwrap();
    told.transcript = page.items.into_iter().map(|entry| (entry.role, entry.content)).collect();
    told
}

#[tokio::test]
async fn a_worker_is_told_its_objective_and_then_its_initial_input() {
    let runtime = runtime().await;
    let task = || Intent::Task { objective: "fix it".to_owned() };
    let assistant = || Intent::Assistant { purpose: Some("questions".to_owned()) };
    let role = || Intent::Role { role: "reviewer".to_owned(), purpose: None };
    let user = Some(InputKind::User);
    let system = Some(InputKind::System);
    for (intent, initial) in [
        (assistant(), None),
        (role(), None),
        (task(), None),
        (assistant(), user),
        (assistant(), system),
        (role(), user),
        (task(), user),
        (task(), system),
    ] {
        let what = format!("{intent:?} {initial:?}");
        let input_id: InputId = "first-1".parse().unwrap();
        let content = "be quick".to_owned();
        let initial_input = initial.map(|kind| InitialInput {
            kind,
            content: content.clone(),
            input_id: Some(input_id.clone()),
        });
        let request = CreateWorker { initial_input, ..of(intent.clone()) };
        let worker = runtime.create_worker(request, me()).await.unwrap();

        let id = worker.worker_id.to_string();
        let objective = match intent {
            Intent::Task { objective } => Some((id, InputKind::User, objective)),
            _ => None,
        };
        let initial = initial.map(|kind| (input_id.to_string(), kind, content));
        let accepted: Vec<_> = objective.into_iter().chain(initial).collect();
        let turns = accepted.iter().map(|(id, ..)| (vec![id.clone()], TurnCause::Input));
        let transcript = accepted.iter().flat_map(|(_, kind, content)| {
            let role = match kind {
                InputKind::User => Role::User,
                InputKind::System => Role::System,
            };
            [(role, content.clone()), (Role::Assistant, content.clone())]
        });
        let expected =
            Told { turns: turns.collect(), transcript: transcript.collect(), accepted: accepted.clone() };
        assert_eq!(told(&runtime, &worker).await, expected, "{what}");

        // They are inputs like others: what is sent again under their ids is a repeat.
        for (id, kind, content) in accepted {
            let input_id = Some(id.parse().unwrap());
            let again = InputRequest { kind, content, input_id, delivery: Delivery::Queue };
            let ack = runtime.send_input(&worker.worker_id, again, me()).await.unwrap();
            assert!(ack.duplicate, "{what}: {ack:?}");
        }
    }
}

#[tokio::test]
async fn an_initial_input_without_an_id_gets_one() {
    let runtime = runtime().await;
    let initial = InitialInput { kind: InputKind::User, content: "be quick".to_owned(), input_id: None };
    let intent = Intent::Task { objective: "fix it".to_owned() };
    let request = CreateWorker { initial_input: Some(initial), ..of(intent) };
    let mut minted = Vec::new();
    for _ in 0..2 {
        let worker = runtime.create_worker(request.clone(), me()).await.unwrap();
        let accepted = told(&runtime, &worker).await.accepted;
        let [(objective, ..), (initial, ..)] = &accepted[..] else { panic!("{accepted:?}") };
        assert_eq!(objective, worker.worker_id.as_str());
        minted.extend([objective.clone(), initial.clone()]);
    }
    minted.sort();
    minted.dedup();
    assert_eq!(minted.len(), 4);
}

#[tokio::test]
async fn a_selector_means_one_profile_or_none() {
    let runtime = runtime().await;
    let builtin = |value: &str| ProfileSelector::Builtin { value: value.to_owned() };
    let named = |value: &str| ProfileSelector::Named { value: value.to_owned() };
    for (profile, expected) in [
        (ProfileSelector::RuntimeDefault {}, Ok("house")),
        (builtin("coder"), Ok("house")),
        (named("coder"), Ok("coder")),
        (named("house"), Ok("house")),
        (builtin("house"), Err("builtin:house")),
        (builtin("reviewer"), Err("builtin:reviewer")),
        (builtin(""), Err("builtin:")),
        (named("reviewer"), Err("reviewer")),
        (named("builtin:coder"), Err("builtin:coder")),
    ] {
        let request = CreateWorker { profile: profile.clone(), ..of(Intent::Assistant { purpose: None }) };
        let found = match runtime.create_worker(request, me()).await {
            Ok(worker) => Ok(worker.profile),
            Err(Error::NoProfile(name)) => Err(name),
            Err(other) => panic!("{profile:?}: {other:?}"),
        };
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{profile:?}");
    }
}
