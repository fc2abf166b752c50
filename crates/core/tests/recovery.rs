//! What a second runtime makes of what a first one left, over the same store.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{path::Path, sync::Arc, time::Duration};

use musher_core::{
    AttentionFilter, CursorProblem, Error, From, MemoryStore, OnRestart, Profile, ReadError, Retention,
    RowParts, Runtime, Store, UnsavedWork, WorkerRow,
};
use musher_protocol::{
    Actor, CreateWorker, Cursor, Decision, Delivery, Envelope, InputKind, InputRequest, Intent, Payload,
    ProfileSelector, RunState, SessionId, TurnOutcome, Until, WorkerDetail, WorkerId, WorkerStatus,
};
use musher_scripted::Scripted;
use serde_json::json;

/// Far longer than anything here takes; a test that waits this long has failed.
const SOON: Duration = Duration::from_secs(60);

/// A store, and the lives of runtimes over it.
struct Place {
    store: Arc<dyn Store>,
    scratch: tempfile::TempDir,
    retention: Retention,
}

impl Place {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        Self { store: Arc::new(MemoryStore::new()), scratch, retention: Retention::default() }
    }

    fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    async fn runtime(&self) -> Runtime {
        let script = json!({ "turns": [
            { "match": "^hang", "steps": [ {"text": "well"}, {"hang": true} ] },
            { "match": "^tool", "steps": [ {"tool_call": {"name": "shell", "input": {}, "result": "x", "takes_ms": 600_000}} ] },
            { "match": "^login", "steps": [ {"fail": {"code": "authentication_failed", "message": "no key"}} ] },
            { "match": "^ask", "steps": [ {"approval": {"tool": "shell", "input": {}}}, {"hang": true} ] },
        ], "otherwise": "echo" });
        let mut profile = Profile::of("scripted");
        profile.approval.mode = musher_core::ApprovalMode::Ask;
        profile.options.insert("script".to_owned(), script);
        let waits = Profile { on_restart: OnRestart::Wait, ..profile.clone() };
        let mut hangs = profile.clone();
        let hang = json!({ "otherwise": { "steps": [ {"text": "well"}, {"hang": true} ] } });
        hangs.options.insert("script".to_owned(), hang);
        Runtime::builder_on(self.store.clone())
            .backend("scripted", Scripted)
            .profile("script", profile)
            .profile("waits", waits)
            .profile("hangs", hangs)
            .scratch(self.scratch().to_owned())
            .retention(self.retention)
            .start()
            .await
            .unwrap()
    }
}

fn me() -> Actor {
    Actor::rule("test")
}

async fn create(runtime: &Runtime, profile: &str) -> WorkerId {
    let request = CreateWorker {
        profile: ProfileSelector::Named { value: profile.to_owned() },
        ..CreateWorker::new(Intent::Assistant { purpose: None })
    };
    runtime.create_worker(request, me()).await.unwrap().worker_id
}

async fn say(runtime: &Runtime, worker: &WorkerId, content: &str) -> musher_protocol::InputAck {
    let input_id = Some(content.replace(' ', "-").parse().unwrap());
    let request = InputRequest {
        kind: InputKind::User,
        content: content.to_owned(),
        input_id,
        delivery: Delivery::Queue,
    };
    runtime.send_input(worker, request, me()).await.unwrap()
}

async fn idle(runtime: &Runtime, worker: &WorkerId) -> WorkerDetail {
    runtime.wait_worker(worker, Until::Idle, SOON).await.unwrap()
}

async fn log(runtime: &Runtime, worker: &WorkerId) -> Vec<Envelope> {
    let page = runtime.read_worker_events(worker, From::Cursor(None), None, 100_000).await.unwrap();
    page.frames.iter().map(|frame| serde_json::from_slice(&frame.envelope()).unwrap()).collect()
}

/// Waits until the log has an event that is wanted, behind this place.
async fn until(runtime: &Runtime, worker: &WorkerId, after: u64, wanted: &str) -> Vec<Envelope> {
    tokio::time::timeout(SOON, async {
        loop {
            let events = log(runtime, worker).await;
            if events.iter().any(|event| event.seq > after && event.payload.type_name() == wanted) {
                return events;
            }
            let last = events.last().unwrap().cursor;
            runtime.wait_events(worker, last, SOON).await.unwrap();
        }
    })
    .await
    .unwrap_or_else(|_| panic!("no {wanted}"))
}

fn types(events: &[Envelope]) -> Vec<&'static str> {
    events.iter().map(|event| event.payload.type_name()).collect()
}

/// The newest session in a log, and the node that it began on.
fn session(events: &[Envelope]) -> (SessionId, String) {
    let started = events.iter().rev().find_map(|event| {
        let Payload::SessionStarted(started) = &event.payload else { return None };
        Some((started.session_id.clone(), started.node.clone()))
    });
    started.expect("a session")
}

#[tokio::test]
async fn a_worker_shows_its_session_and_the_node_that_this_is_on() {
    let place = Place::new();
    let first = place.runtime().await;
    let worker = create(&first, "script").await;
    let shown = |worker: WorkerDetail| worker.session_id.zip(worker.node);
    assert_eq!(shown(first.worker_detail(&worker).await.unwrap()), None);
    say(&first, &worker, "one").await;
    let here = shown(idle(&first, &worker).await);
    assert_eq!(here, Some(session(&log(&first, &worker).await)));
    first.shutdown().await;

    // The next life is another node, on which the worker has no session before it is told something.
    let second = place.runtime().await;
    assert_eq!(shown(second.worker_detail(&worker).await.unwrap()), here);
    say(&second, &worker, "two").await;
    let there = shown(idle(&second, &worker).await);
    assert_eq!(there, Some(session(&log(&second, &worker).await)));
    assert_ne!(here.unwrap().1, there.clone().unwrap().1);
    second.stop_worker(&worker, None, None, me()).await.unwrap();
    assert_eq!(shown(second.worker_detail(&worker).await.unwrap()), there);

    // A row of a version that did not know nodes reads, and shows none.
    let row = place.store.worker(&worker).await.unwrap().unwrap();
    let mut facts: serde_json::Value = serde_json::from_str(&row.facts_json()).unwrap();
    assert_eq!(facts.as_object_mut().unwrap().remove("node"), Some(json!(there.unwrap().1)));
    let old = WorkerRow::from_parts(RowParts {
        worker_id: worker,
        spec: row.spec_json(),
        facts: facts.to_string(),
        head: row.head.clone(),
        last_event_id: row.last_event_id.clone(),
        created_at: row.created_at,
        updated_at: row.updated_at,
    });
    facts["node"] = json!(null);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&old.unwrap().facts_json()).unwrap(), facts);
}

#[tokio::test]
async fn a_turn_that_was_cut_off_is_closed_before_anything_else_is_served() {
    let place = Place::new();
    let first = place.runtime().await;
    let worker = create(&first, "script").await;
    say(&first, &worker, "tool").await;
    let before = until(&first, &worker, 0, "tool_call_done").await;
    drop(first);

    let second = place.runtime().await;
    let after = log(&second, &worker).await;
    assert_eq!(after[..before.len()], before, "what was there stays");
    let n = before.len();
    assert_eq!(
        types(&after[n..n + 8]),
        [
            "usage",
            "tool_result",
            "turn_finished",
            "session_ended",
            "input_accepted",
            "input_delivered",
            "system_item",
            "turn_started"
        ]
    );
    let Payload::TurnFinished(finished) = &after[n + 2].payload else { panic!("{:?}", after[n + 2]) };
    assert_eq!(
        (finished.outcome, finished.error.as_ref().unwrap().code.as_str()),
        (TurnOutcome::Interrupted, "restarted")
    );
    assert_eq!((finished.last_tool.as_deref(), finished.tool_may_have_run), (Some("shell"), true));
    let Payload::SystemItem { content, .. } = &after[n + 6].payload else { panic!("{:?}", after[n + 6]) };
    assert!(content.contains("`shell`; it may have run"), "{content}");
    let again = say(&second, &worker, "tool").await;
    assert!(again.duplicate, "an acked input stays acked");
}

#[tokio::test]
async fn texts_and_approvals_that_were_open_end_in_the_same_commit() {
    let place = Place::new();
    let first = place.runtime().await;
    let (hangs, asks) = (create(&first, "waits").await, create(&first, "waits").await);
    say(&first, &hangs, "hang").await;
    say(&first, &asks, "ask").await;
    until(&first, &hangs, 0, "text_done").await;
    until(&first, &asks, 0, "approval_requested").await;
    say(&first, &hangs, "later").await;
    drop(first);

    let second = place.runtime().await;
    let detail = second.worker_detail(&asks).await.unwrap();
    assert_eq!((detail.open_approvals, detail.execution.run_state), (0, RunState::Errored));
    let ended: Vec<_> = types(&log(&second, &asks).await).into_iter().rev().take(4).collect();
    assert_eq!(ended, ["status", "session_ended", "turn_finished", "approval_resolved"]);
    let detail = second.worker_detail(&hangs).await.unwrap();
    assert_eq!((detail.queued_inputs, detail.status), (1, WorkerStatus::Running), "it waits for somebody");
    say(&second, &hangs, "go on").await;
    let detail = idle(&second, &hangs).await;
    assert_eq!((detail.queued_inputs, detail.outcome.unwrap().text.as_str()), (0, "go on"));
}

#[tokio::test]
async fn a_reader_goes_on_over_the_restart_and_over_a_graceful_end() {
    let place = Place::new();
    let first = place.runtime().await;
    let worker = create(&first, "waits").await;
    say(&first, &worker, "hello").await;
    idle(&first, &worker).await;
    let seen = log(&first, &worker).await;
    let cursor = seen.last().unwrap().cursor;
    first.shutdown().await;

    let second = place.runtime().await;
    assert_eq!(second.runtime_id(), first.runtime_id());
    let mut observation = second.observe_worker(&worker, Some(cursor)).await.unwrap();
    say(&second, &worker, "again").await;
    let mut next = seen.len() as u64;
    let snapshot = observation.next().await.unwrap().unwrap();
    assert_eq!(snapshot[0].cursor(), cursor);
    while next < seen.len() as u64 + 10 {
        for frame in observation.next().await.unwrap().unwrap() {
            next += 1;
            assert_eq!(frame.seq(), next, "no gap, nothing twice");
        }
    }
    let detail = idle(&second, &worker).await;
    assert_eq!(detail.outcome.unwrap().text, "again");
}

#[tokio::test]
async fn a_worker_that_has_ended_is_read_and_answers_as_before_then_is_deleted() {
    let place = Place::new();
    let first = place.runtime().await;
    let worker = create(&first, "script").await;
    let early = runtime_refuses_to_delete(&first, &worker).await;
    assert!(matches!(early, Error::StillRunning(_)));
    say(&first, &worker, "hello").await;
    idle(&first, &worker).await;
    let stopped = first.stop_worker(&worker, None, None, me()).await.unwrap();
    let before = log(&first, &worker).await;
    let scratch = place.scratch().join(worker.as_str());
    assert!(scratch.exists());
    drop(first);

    let second = place.runtime().await;
    assert_eq!(log(&second, &worker).await, before);
    let again = second.stop_worker(&worker, None, None, me()).await.unwrap();
    assert_eq!((again.event_id, again.status), (stopped.event_id, WorkerStatus::Stopped));
    let mut late = second.observe_worker(&worker, Some(before[0].cursor)).await.unwrap();
    second.delete_worker(&worker, UnsavedWork::Keep).await.unwrap();
    assert!(!scratch.exists());
    assert!(matches!(second.delete_worker(&worker, UnsavedWork::Keep).await, Err(Error::WorkerNotFound(_))));
    assert!(matches!(second.worker_detail(&worker).await, Err(Error::WorkerNotFound(_))));
    late.next().await.unwrap().expect("the snapshot was taken before");
    let gone = late.next().await;
    assert!(matches!(gone, Err(ReadError::Runtime(Error::WorkerNotFound(_)))), "{gone:?}");
    let counts = second.summary().await.unwrap();
    assert_eq!((counts.worker_count, counts.stopped_worker_count), (0, 0));
}

async fn runtime_refuses_to_delete(runtime: &Runtime, worker: &WorkerId) -> Error {
    runtime.delete_worker(worker, UnsavedWork::Keep).await.unwrap_err()
}

#[tokio::test]
async fn a_task_whose_log_was_taken_from_it_ends_and_the_next_one_tells_the_truth() {
    let place = Place::new();
    let runtime = place.runtime().await;
    let worker = create(&runtime, "waits").await;
    say(&runtime, &worker, "hang").await;
    let before = until(&runtime, &worker, 0, "text_done").await;
    let epoch = place.store.claim(&worker).await.unwrap();
    let request = InputRequest {
        kind: InputKind::User,
        content: "lost".to_owned(),
        input_id: Some("lost".parse().unwrap()),
        delivery: Delivery::Queue,
    };
    let refused = runtime.send_input(&worker, request.clone(), me()).await;
    assert!(matches!(refused, Err(Error::WorkerFailed(_))), "{refused:?}");
    // Nobody asks for it: the worker is read again by itself.
    let after = until(&runtime, &worker, before.last().unwrap().seq, "session_ended").await;
    assert_eq!(types(&after[before.len()..before.len() + 3]), ["usage", "turn_finished", "session_ended"]);
    assert_eq!((epoch, place.store.claim(&worker).await.unwrap()), (Some(2), Some(4)));
    let ack = runtime.send_input(&worker, request, me()).await;
    assert!(ack.is_err(), "the claim above was another one's again");
}

#[tokio::test]
async fn old_events_go_and_what_follows_from_them_stays() {
    let mut place = Place::new();
    place.retention.max_events_per_worker = Some(600);
    let first = place.runtime().await;
    let worker = create(&first, "script").await;
    let mut early = None;
    for n in 0..160 {
        say(&first, &worker, &format!("input {n}")).await;
        idle(&first, &worker).await;
        if n == 0 {
            early = Some(log(&first, &worker).await.last().unwrap().cursor);
        }
    }
    let detail = first.worker_detail(&worker).await.unwrap();
    drop(first);

    let second = place.runtime().await;
    let left = log(&second, &worker).await;
    assert!(left[0].seq > 100 && left.len() >= 600, "from {} on, {} events", left[0].seq, left.len());
    let refused = second.read_worker_events(&worker, From::Cursor(early), None, 10).await.unwrap_err();
    let ReadError::Cursor(CursorProblem::Pruned { oldest }) = refused else { panic!("{refused:?}") };
    let rest = second.read_worker_events(&worker, From::Cursor(Some(oldest)), None, 10_000).await.unwrap();
    assert_eq!(rest.frames[0].seq(), left[0].seq, "the oldest cursor gives all that is left");
    let rewritten = Cursor::new(&worker, oldest.seq(), oldest.checksum() ^ 1);
    let refused = second.read_worker_events(&worker, From::Cursor(Some(rewritten)), None, 10).await;
    assert!(matches!(refused, Err(ReadError::Cursor(CursorProblem::HistoryChanged { .. }))), "{refused:?}");
    let later = idle(&second, &worker).await;
    assert_eq!((later.transcript_len, &later.usage), (detail.transcript_len, &detail.usage));
    assert!(say(&second, &worker, "input 0").await.duplicate, "ids are remembered longer than events");
}

/// The ids of everything that waits for a person.
async fn attention(runtime: &Runtime) -> Vec<String> {
    let list = runtime.attention(&AttentionFilter::default()).await.unwrap();
    list.attention.iter().map(|item| item.attention_id.to_string()).collect()
}

#[tokio::test]
async fn what_waits_for_a_person_is_known_again_and_what_was_withdrawn_is_not() {
    let place = Place::new();
    let first = place.runtime().await;
    let (asks, locked_out) = (create(&first, "waits").await, create(&first, "script").await);
    let well = create(&first, "script").await;
    say(&first, &asks, "ask").await;
    let asked = until(&first, &asks, 0, "approval_requested").await;
    say(&first, &locked_out, "login").await;
    let turn = idle(&first, &locked_out).await.outcome.unwrap().turn_id;
    say(&first, &well, "hello").await;
    idle(&first, &well).await;
    let approval = asked.iter().find_map(|event| {
        let Payload::ApprovalRequested(approval) = &event.payload else { return None };
        Some(approval.approval_id.clone())
    });
    let approval = approval.unwrap();
    let login = format!("att_login_{turn}");
    assert_eq!(attention(&first).await, [format!("att_approval_{approval}"), login.clone()]);
    drop(first);

    let second = place.runtime().await;
    assert_eq!(attention(&second).await, [login], "nobody has asked for this worker in this life");
    for decision in ["allow", "deny"] {
        let request = serde_json::from_value(json!({ "decision": decision })).unwrap();
        match second.decide(&asks, &approval, request, me()).await {
            Err(Error::ApprovalNotPending(withdrawn)) => {
                let (decision, message) = (withdrawn.decision, withdrawn.message.as_deref());
                let why = "the runtime ended while the question was open";
                assert_eq!((decision, message), (Some(Decision::Withdrawn), Some(why)));
            }
            other => panic!("{other:?}"),
        }
    }
    say(&second, &locked_out, "hello").await;
    idle(&second, &locked_out).await;
    assert_eq!(attention(&second).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_a_drain_withdraws_says_that_the_runtime_ended() {
    let place = Place::new();
    let first = place.runtime().await;
    let worker = create(&first, "waits").await;
    say(&first, &worker, "ask").await;
    until(&first, &worker, 0, "approval_requested").await;
    first.shutdown().await;

    let events = log(&place.runtime().await, &worker).await;
    let resolved: Vec<_> = events
        .into_iter()
        .filter_map(|event| {
            let Payload::ApprovalResolved { decision, message, .. } = event.payload else { return None };
            Some((decision, message))
        })
        .collect();
    let why = "the runtime ended while the question was open".to_owned();
    assert_eq!(resolved, [(Decision::Withdrawn, Some(why))]);
}

#[tokio::test]
async fn a_worker_that_restarts_cut_off_too_often_waits_for_a_person() {
    let place = Place::new();
    let runtime = place.runtime().await;
    let worker = create(&runtime, "hangs").await;
    say(&runtime, &worker, "go").await;
    let mut seen = until(&runtime, &worker, 0, "text_done").await.last().unwrap().seq;
    drop(runtime);
    for _ in 0..2 {
        let runtime = place.runtime().await;
        assert_eq!(attention(&runtime).await, Vec::<String>::new(), "it goes on by itself");
        seen = until(&runtime, &worker, seen, "text_done").await.last().unwrap().seq;
        drop(runtime);
    }
    let stuck = |turn: &str| vec![format!("att_stuck_{turn}")];
    for life in ["third", "fourth"] {
        let runtime = place.runtime().await;
        let turn = runtime.worker_detail(&worker).await.unwrap().outcome.unwrap().turn_id;
        assert_eq!(attention(&runtime).await, stuck(turn.as_str()), "{life}");
        drop(runtime);
    }
    let runtime = place.runtime().await;
    say(&runtime, &worker, "go on").await;
    until(&runtime, &worker, seen, "text_done").await;
    assert_eq!(attention(&runtime).await, Vec::<String>::new());
}
