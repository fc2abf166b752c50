//! The runtime through its library surface, with real workers that follow scripts.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the few events that it is about")]

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use musher_backend::{
    Availability, Backend, BackendError, Capabilities, Launch, Link, SessionOutcome, Wanted, async_trait,
};
use musher_core::{
    CursorProblem, Error, From, MemoryStore, Observation, Profile, ReadError, Runtime, Start, UnsavedWork,
};
use musher_protocol::{
    Actor, BlobRef, Capability, CapabilityRequest, CreateWorker, Cursor, Delivery, Envelope, Frame,
    InitialInput, InputKind, InputRequest, Intent, OnIdle, Payload, ProfileSelector, ResumeRequest, Role,
    RunState, Snapshot, TurnOutcome, Until, WorkerDetail, WorkerId, WorkerLimits, WorkerStatus, WorkspaceRef,
};
use musher_scripted::Scripted;
use serde_json::{Value, json};

/// Far longer than anything here takes; a test that waits this long has failed.
const SOON: Duration = Duration::from_secs(60);

async fn runtime(script: Value) -> Runtime {
    let mut profile = Profile::of("scripted");
    profile.approval.mode = musher_core::ApprovalMode::Ask;
    profile.capabilities = [Capability::Read, Capability::Write].into();
    profile.options.insert("script".to_owned(), script);
    let scratch = tempfile::tempdir().unwrap().keep();
    Runtime::builder(MemoryStore::new())
        .backend("scripted", Scripted)
        .profile("script", profile)
        .scratch(scratch)
        .start()
        .await
        .unwrap()
}

fn me() -> Actor {
    Actor::rule("test")
}

fn assistant() -> CreateWorker {
    CreateWorker::new(Intent::Assistant { purpose: None })
}

fn task(objective: &str) -> CreateWorker {
    CreateWorker { intent: Intent::Task { objective: objective.to_owned() }, ..assistant() }
}

fn say(content: &str, id: &str) -> InputRequest {
    InputRequest {
        kind: InputKind::User,
        content: content.to_owned(),
        input_id: Some(id.parse().unwrap()),
        delivery: Delivery::Queue,
    }
}

fn envelope(frame: &musher_core::Frame) -> Envelope {
    match serde_json::from_slice(&frame.text()).unwrap() {
        Frame::Event { envelope } => *envelope,
        frame => panic!("an event, not {frame:?}"),
    }
}

async fn snapshot(observation: &mut Observation) -> Snapshot {
    let frames = observation.next().await.unwrap().unwrap();
    match envelope(&frames[0]).payload {
        Payload::Snapshot(snapshot) => *snapshot,
        payload => panic!("a snapshot, not {payload:?}"),
    }
}

/// Everything that an observation still tells, to its end.
async fn rest(observation: &mut Observation) -> Vec<Envelope> {
    let mut events = Vec::new();
    while let Some(frames) = tokio::time::timeout(SOON, observation.next()).await.unwrap().unwrap() {
        events.extend(frames.iter().map(envelope));
    }
    events
}

async fn all(runtime: &Runtime, worker: &WorkerDetail) -> Vec<Envelope> {
    let page = runtime.read_worker_events(&worker.worker_id, From::Cursor(None), None, 10_000).await.unwrap();
    page.frames.iter().map(envelope).collect()
}

fn types(events: &[Envelope]) -> Vec<&'static str> {
    events.iter().map(|event| event.payload.type_name()).filter(|name| !name.ends_with("_delta")).collect()
}

async fn wait(runtime: &Runtime, worker: &WorkerDetail, until: Until) -> WorkerDetail {
    runtime.wait_worker(&worker.worker_id, until, SOON).await.unwrap()
}

#[tokio::test]
async fn a_task_runs_and_its_log_is_causal_and_dense() {
    let runtime = runtime(json!("echo")).await;
    let worker =
        runtime.create_worker(CreateWorker { on_idle: OnIdle::Stop, ..task("one two") }, me()).await.unwrap();
    let worker = wait(&runtime, &worker, Until::Terminal).await;
    let events = all(&runtime, &worker).await;

    let expected = [
        "worker_created",
        "input_accepted",
        "input_delivered",
        "user_message",
        "turn_started",
        "status",
        "session_started",
        "status",
        "session_environment",
        "diagnostic",
        "input_taken",
        "text_done",
        "turn_finished",
        "stop_requested",
        "status",
        "session_ended",
        "worker_stopped",
    ];
    assert_eq!(types(&events), expected);
    let seqs: Vec<_> = events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=events.len() as u64).collect::<Vec<_>>());
    assert_eq!((worker.status, worker.cursor), (WorkerStatus::Stopped, events.last().unwrap().cursor));
    let text: String = events
        .iter()
        .filter_map(|event| match &event.payload {
            Payload::TextDelta { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(text, "one two");
}

#[tokio::test]
async fn an_observer_from_the_start_sees_exactly_the_log() {
    let runtime = runtime(json!("echo")).await;
    let worker = runtime.create_worker(assistant(), me()).await.unwrap();
    let mut live =
        runtime.observe_worker(&worker.worker_id, Some(Cursor::new(&worker.worker_id, 0, 0))).await.unwrap();
    assert_eq!(snapshot(&mut live).await.entries, []);
    for n in 0..20 {
        runtime.send_input(&worker.worker_id, say("a b c d", &format!("i{n}")), me()).await.unwrap();
    }
    wait(&runtime, &worker, Until::Idle).await;
    runtime.stop_worker(&worker.worker_id, None, None, me()).await.unwrap();
    assert_eq!(rest(&mut live).await, all(&runtime, &worker).await);
    assert!(live.is_complete());
}

#[tokio::test]
async fn a_reader_who_comes_back_a_thousand_frames_later_misses_nothing() {
    let runtime = runtime(json!("echo")).await;
    let worker = runtime.create_worker(assistant(), me()).await.unwrap();
    let mut slow = runtime.observe_worker(&worker.worker_id, None).await.unwrap();
    let first = snapshot(&mut slow).await;
    for n in 0..300 {
        runtime.send_input(&worker.worker_id, say("x", &format!("i{n}")), me()).await.unwrap();
        wait(&runtime, &worker, Until::Idle).await;
    }
    runtime.cancel_worker(&worker.worker_id, None, me()).await.unwrap();
    let seen = rest(&mut slow).await;
    assert!(seen.len() > 1500, "more than the ring holds: {}", seen.len());
    assert_eq!(
        seen.iter().map(|event| event.seq).collect::<Vec<_>>(),
        (first.head.seq() + 1..=seen.last().unwrap().seq).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_snapshot_and_the_events_behind_it_are_the_whole() {
    let runtime =
        runtime(json!({"turns": [{"match": "", "steps": [{"text": "in flight"}, {"hang": true}]}]})).await;
    let worker = runtime.create_worker(task("go"), me()).await.unwrap();
    // The step of a script that hangs says nothing more: wait for its text.
    let mut live = runtime.observe_worker(&worker.worker_id, None).await.unwrap();
    let mut has_said = snapshot(&mut live).await.entries.len() > 1;
    while !has_said {
        let frames = live.next().await.unwrap().unwrap();
        has_said = frames.iter().any(|frame| frame.type_name() == "text_done");
    }
    let mut late = runtime.observe_worker(&worker.worker_id, None).await.unwrap();
    let snapshot = snapshot(&mut late).await;
    let roles: Vec<_> = snapshot.entries.iter().map(|entry| (entry.role, entry.content.as_str())).collect();
    assert_eq!(roles, [(Role::User, "go"), (Role::Assistant, "in flight")]);
    assert_eq!((snapshot.execution.run_state, snapshot.total_entries), (RunState::Busy, 2));
    let ack = runtime.interrupt_worker(&worker.worker_id, Some("enough".to_owned()), me()).await.unwrap();
    runtime.cancel_worker(&worker.worker_id, None, me()).await.unwrap();
    let events = rest(&mut late).await;
    assert_eq!(events[0].seq, snapshot.head.seq() + 1);
    assert_eq!((events[0].payload.type_name(), &events[0].event_id), ("interrupt_requested", &ack.event_id));
    assert_eq!(types(&events)[..3], ["interrupt_requested", "turn_finished", "status"]);
}

#[tokio::test]
async fn the_same_input_id_runs_once() {
    let runtime = runtime(json!("echo")).await;
    let worker = runtime.create_worker(assistant(), me()).await.unwrap();
    let id = &worker.worker_id;
    let sends = (0..10).map(|_| runtime.send_input(id, say("once", "same"), me()));
    let acks: Vec<_> = futures_util::future::join_all(sends).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(acks.iter().filter(|ack| !ack.duplicate).count(), 1);
    let first = acks.iter().find(|ack| !ack.duplicate).unwrap();
    assert!(acks.iter().all(|ack| (&ack.event_id, ack.cursor, ack.transcript_sequence)
        == (&first.event_id, first.cursor, Some(1))));
    let other = runtime.send_input(id, say("twice", "same"), me()).await;
    assert!(matches!(other, Err(Error::InputIdReused(_))), "{other:?}");
    wait(&runtime, &worker, Until::Idle).await;
    let turns =
        types(&all(&runtime, &worker).await).into_iter().filter(|name| *name == "turn_started").count();
    assert_eq!(turns, 1);
    runtime.stop_worker(id, None, None, me()).await.unwrap();
    assert!(
        runtime.send_input(id, say("once", "same"), me()).await.unwrap().duplicate,
        "also when the worker has ended"
    );
    assert!(matches!(runtime.send_input(id, say("new", "new"), me()).await, Err(Error::NotRunning(_))));
}

#[tokio::test]
async fn terminal_states_stick_and_repeats_answer_alike() {
    let runtime = runtime(json!("echo")).await;
    let worker = runtime.create_worker(assistant(), me()).await.unwrap();
    let id = &worker.worker_id;
    let first = runtime.stop_worker(id, None, Some("done".to_owned()), me()).await.unwrap();
    let again = runtime.stop_worker(id, None, None, me()).await.unwrap();
    let cancel = runtime.cancel_worker(id, None, me()).await.unwrap();
    assert_eq!([first.status, again.status, cancel.status], [WorkerStatus::Stopped; 3]);
    assert_eq!([&again.event_id, &cancel.event_id], [&first.event_id; 2], "the request's event");
    assert!(matches!(runtime.interrupt_worker(id, None, me()).await, Err(Error::NotRunning(_))));
    let summary = runtime.summary().await.unwrap();
    assert_eq!((summary.worker_count, summary.active_worker_count, summary.stopped_worker_count), (1, 0, 1));
}

#[tokio::test]
async fn an_approval_waits_for_its_decision() {
    let runtime = runtime(
        json!({"turns": [{"match": "", "steps": [{"approval": {"tool": "shell", "input": {"command": "make"}}}, {"text": "ok"}]}]}),
    ).await;
    let worker = runtime.create_worker(task("go"), me()).await.unwrap();
    let mut live =
        runtime.observe_worker(&worker.worker_id, Some(Cursor::new(&worker.worker_id, 0, 0))).await.unwrap();
    let approval = loop {
        let frames = live.next().await.unwrap().unwrap();
        let asked = frames.iter().map(envelope).find_map(|event| match event.payload {
            Payload::ApprovalRequested(approval) => Some(approval),
            _ => None,
        });
        if let Some(approval) = asked {
            break approval;
        }
    };
    let open = runtime.approvals(&worker.worker_id).await.unwrap();
    assert_eq!(open, [*approval.clone()]);
    let decide = |body: Value| {
        let request = serde_json::from_value(body).unwrap();
        runtime.decide(&worker.worker_id, &approval.approval_id, request, me())
    };
    let first = decide(json!({"decision": "allow"})).await.unwrap();
    let again = decide(json!({"decision": "allow"})).await.unwrap();
    assert_eq!((first.duplicate, again.duplicate, &again.approval), (false, true, &first.approval));
    match decide(json!({"decision": "deny"})).await {
        Err(Error::ApprovalNotPending(decided)) => assert_eq!(*decided, first.approval),
        other => panic!("{other:?}"),
    }
    let worker = wait(&runtime, &worker, Until::Idle).await;
    assert_eq!(worker.outcome.unwrap().text, "ok");
}

#[tokio::test]
async fn a_crash_is_told_and_the_next_input_works() {
    let script = json!({"turns": [{"match": "crash", "steps": [{"text": "half"}, {"crash": true}]}], "otherwise": "echo"});
    let runtime = runtime(script).await;
    let worker = runtime.create_worker(task("crash"), me()).await.unwrap();
    let crashed = wait(&runtime, &worker, Until::Idle).await;
    let outcome = crashed.outcome.unwrap();
    assert_eq!(
        (outcome.outcome, outcome.exit_ok, outcome.error.unwrap().code.as_str()),
        (TurnOutcome::Failed, Some(false), "session_ended")
    );
    assert_eq!(crashed.execution.run_state, RunState::Errored);
    runtime.send_input(&worker.worker_id, say("hello", "i"), me()).await.unwrap();
    let well = wait(&runtime, &worker, Until::Idle).await;
    assert_eq!((well.execution.run_state, well.outcome.unwrap().text.as_str()), (RunState::Idle, "hello"));
}

#[tokio::test]
async fn refused_creates_leave_nothing() {
    let runtime = runtime(json!("echo")).await;
    let named = |value: &str| ProfileSelector::Named { value: value.to_owned() };
    let workspace = WorkspaceRef { name: "main".to_owned(), reference: "nowhere".to_owned() };
    let blank = InitialInput { kind: InputKind::User, content: " ".to_owned(), input_id: None };
    let wanted = |name: &str| CapabilityRequest { name: name.to_owned(), reason: None };
    let none = WorkerLimits::default();
    let limited = |limits| CreateWorker { limits: Some(limits), ..assistant() };
    let cases = [
        (CreateWorker { profile: named("nobody"), ..assistant() }, "no profile `nobody`"),
        (
            CreateWorker { workspace_refs: vec![workspace], ..assistant() },
            "no workspace `nowhere` in the server's config",
        ),
        (
            CreateWorker { display_name: Some("a\u{1b}[31m".to_owned()), ..assistant() },
            "the text must not hold control characters",
        ),
        (
            CreateWorker { labels: [("a\nb".to_owned(), String::new())].into(), ..assistant() },
            "the text must not hold control characters",
        ),
        (CreateWorker { initial_input: Some(blank), ..assistant() }, "an input needs words"),
        (task("  "), "an objective must not be empty"),
        (
            CreateWorker { requested_capabilities: Some(vec![wanted("fly")]), ..assistant() },
            "no capability `fly`; there are `read`, `write`, `shell`, `network` and `mcp:<server>`",
        ),
        (
            CreateWorker {
                requested_capabilities: Some(vec![wanted("read"), wanted("shell")]),
                ..assistant()
            },
            "the profile does not allow `shell`",
        ),
        (limited(WorkerLimits { turns: Some(0), ..none }), "a limit is greater than 0"),
        (limited(WorkerLimits { cost_usd: Some(f64::NAN), ..none }), "a limit is greater than 0"),
        (limited(WorkerLimits { inactivity_secs: Some(301), ..none }), "the profile allows 300 at most"),
        (limited(WorkerLimits { background_secs: Some(1), ..none }), "the profile allows 0 at most"),
        (
            CreateWorker {
                resume: Some(ResumeRequest { session_id: "s1".parse().unwrap(), fresh_prompt: None }),
                ..assistant()
            },
            "backend `scripted` cannot continue a session",
        ),
    ];
    for (request, message) in cases {
        assert_eq!(runtime.create_worker(request, me()).await.unwrap_err().to_string(), message);
    }
    assert_eq!(runtime.summary().await.unwrap().worker_count, 0);
}

#[tokio::test]
async fn a_worker_has_what_was_asked_for_within_its_profile() {
    let runtime = runtime(json!("echo")).await;
    let request = CreateWorker {
        requested_capabilities: Some(vec![CapabilityRequest { name: "read".to_owned(), reason: None }]),
        limits: Some(WorkerLimits { turns: Some(1), inactivity_secs: Some(60), ..WorkerLimits::default() }),
        ..task("hello")
    };
    let worker = runtime.create_worker(request, me()).await.unwrap();
    assert_eq!(worker.capabilities, [Capability::Read]);
    let limits = WorkerLimits {
        turns: Some(1),
        inactivity_secs: Some(60),
        queued_inputs: Some(64),
        ..WorkerLimits::default()
    };
    assert_eq!(worker.limits, limits);
    wait(&runtime, &worker, Until::Idle).await;
    let refused = runtime.send_input(&worker.worker_id, say("more", "i"), me()).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("worker `{}` has reached its limit of turns", worker.worker_id));
}

/// What a JSON field and the name beside it come to when the body is large.
fn named(body: &str) -> Option<BlobRef> {
    Some(BlobRef { digest: musher_core::Blob::digest_of(body.as_bytes()), bytes: body.len() as u64 })
}

#[tokio::test]
async fn a_large_input_is_in_the_log_by_name_and_reaches_the_backend_whole() {
    let runtime = runtime(json!("echo")).await;
    let words = format!("{}end", format!("w{}d ", "ö".repeat(1000)).repeat(100));
    let worker = runtime.create_worker(assistant(), me()).await.unwrap();
    let id = &worker.worker_id;
    runtime.send_input(id, say(&words, "large"), me()).await.unwrap();
    let worker = wait(&runtime, &worker, Until::Idle).await;

    let mut seen = Vec::new();
    let mut echoed = String::new();
    for event in all(&runtime, &worker).await {
        match event.payload {
            Payload::InputAccepted { content, blob, .. }
            | Payload::UserMessage { content, blob, .. }
            | Payload::TextDone { text: content, blob, .. } => seen.push((content, blob)),
            Payload::TextDelta { text, .. } => echoed.push_str(&text),
            _ => {}
        }
    }
    let preview = words[..words.floor_char_boundary(4096)].to_owned();
    assert_eq!(seen, vec![(preview.clone(), named(&words)); 3]);
    assert_eq!(echoed, words, "the backend had all of it");
    let entries = runtime.transcript_projection(id, Start::Behind(0), 10).await.unwrap().items;
    let entries: Vec<_> = entries.into_iter().map(|entry| (entry.content, entry.blob)).collect();
    assert_eq!(entries, vec![(preview.clone(), named(&words)); 2]);
    let mut live = runtime.observe_worker(id, None).await.unwrap();
    let entries = snapshot(&mut live).await.entries.into_iter().map(|entry| (entry.content, entry.blob));
    assert_eq!(entries.collect::<Vec<_>>(), vec![(preview, named(&words)); 2]);
    assert_eq!(runtime.blob(id, named(&words).unwrap().digest).await.unwrap(), words.as_bytes());
}

#[tokio::test]
async fn an_outcome_says_whether_its_text_is_only_the_beginning() {
    let runtime = runtime(json!("echo")).await;
    for (bytes, shown, truncated) in [(4096, 4096, false), (4097, 4096, true), (100_000, 4096, true)] {
        let words = "x".repeat(bytes);
        let worker = runtime.create_worker(task(&words), me()).await.unwrap();
        let outcome = wait(&runtime, &worker, Until::Idle).await.outcome.unwrap();
        assert_eq!((outcome.text, outcome.text_truncated), (words[..shown].to_owned(), truncated));
    }
}

#[tokio::test]
async fn a_large_result_and_a_large_input_of_a_tool_are_previews_with_their_names() {
    let (text, said) = ("t".repeat(100_000), "r".repeat(300_000));
    let steps =
        json!([{"tool_call": {"name": "write", "input": {"text": text}, "result": said}}, {"text": "done"}]);
    let runtime = runtime(json!({"turns": [{"match": "", "steps": steps}]})).await;
    let worker = runtime.create_worker(task("go"), me()).await.unwrap();
    let worker = wait(&runtime, &worker, Until::Idle).await;
    let id = &worker.worker_id;

    let mut fields = Vec::new();
    for event in all(&runtime, &worker).await {
        match event.payload {
            Payload::ToolCallDone { input, blob, .. } => fields.push((input, blob)),
            Payload::ToolResult { content, blob, .. } => fields.push((content.into(), blob)),
            _ => {}
        }
    }
    let json = json!({ "text": text }).to_string();
    let expected = [(json!(json[..4096]), named(&json)), (json!(said[..4096]), named(&said))];
    assert_eq!(fields, expected);
    let entry = &runtime.transcript_projection(id, Start::Behind(1), 1).await.unwrap().items[0];
    let [input, result] = expected;
    assert_eq!((entry.input.clone().unwrap(), entry.input_blob), input);
    assert_eq!((entry.result.clone().map(Value::String).unwrap(), entry.result_blob), result);
    for body in [json, said] {
        assert_eq!(runtime.blob(id, named(&body).unwrap().digest).await.unwrap(), body.as_bytes());
    }
}

#[tokio::test]
async fn a_body_is_there_for_its_own_worker_only() {
    let runtime = runtime(json!("echo")).await;
    let words = "x".repeat(100_000);
    let one = runtime.create_worker(task(&words), me()).await.unwrap();
    let other = runtime.create_worker(assistant(), me()).await.unwrap();
    let digest = named(&words).unwrap().digest;
    runtime.blob(&one.worker_id, digest).await.unwrap();
    let error = runtime.blob(&other.worker_id, digest).await.unwrap_err();
    assert!(matches!(&error, Error::BlobNotFound { worker, .. } if *worker == other.worker_id), "{error:?}");
    let error = runtime.blob(&"wrk_1".parse().unwrap(), digest).await.unwrap_err();
    assert!(matches!(&error, Error::WorkerNotFound(_)), "{error:?}");
}

/// A backend whose program is not there.
#[derive(Debug)]
struct Absent;

#[async_trait]
impl Backend for Absent {
    fn kind(&self) -> &str {
        "absent"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn availability(&self) -> Availability {
        Availability::Missing(vec!["program `nothing`".to_owned()])
    }

    fn missing(&self, _: &Wanted<'_>) -> Vec<String> {
        Vec::new()
    }

    async fn run(&self, _: Launch, _: Link) -> Result<SessionOutcome, BackendError> {
        unreachable!("nobody starts what is missing")
    }
}

#[tokio::test]
async fn a_backend_that_cannot_run_refuses_the_create_by_name() {
    let runtime = Runtime::builder(MemoryStore::new())
        .backend("absent", Absent)
        .profile("p", Profile::of("absent"))
        .start()
        .await
        .unwrap();
    let error = runtime.create_worker(assistant(), me()).await.unwrap_err();
    assert_eq!(error.to_string(), "backend `absent` cannot run here; missing: program `nothing`");
    assert_eq!(runtime.summary().await.unwrap().worker_count, 0);
}

/// A backend that keeps something of workers, and cannot let go of it where it is told to keep.
#[derive(Clone, Debug, Default)]
struct Hoarder {
    told: Arc<Mutex<Vec<WorkerId>>>,
    keeps: bool,
}

#[async_trait]
impl Backend for Hoarder {
    fn kind(&self) -> &str {
        "hoarder"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn availability(&self) -> Availability {
        Availability::Ready
    }

    fn missing(&self, _: &Wanted<'_>) -> Vec<String> {
        Vec::new()
    }

    async fn run(&self, _: Launch, _: Link) -> Result<SessionOutcome, BackendError> {
        unreachable!("nobody gives it anything to do")
    }

    async fn forget(&self, worker: &WorkerId) -> io::Result<()> {
        self.told.lock().unwrap().push(worker.clone());
        if self.keeps { Err(io::Error::other("it is glued on")) } else { Ok(()) }
    }
}

#[tokio::test]
async fn a_deletion_is_told_to_every_backend_and_what_is_left_is_reported() {
    let (tidy, glued) = (Hoarder::default(), Hoarder { keeps: true, ..Hoarder::default() });
    let runtime = Runtime::builder(MemoryStore::new())
        .backend("scripted", Scripted)
        .backend("tidy", tidy.clone())
        .backend("glued", glued.clone())
        .profile("p", Profile::of("scripted"))
        .start()
        .await
        .unwrap();
    let worker = runtime.create_worker(assistant(), me()).await.unwrap().worker_id;
    let running = runtime.delete_worker(&worker, UnsavedWork::Keep).await;
    assert!(matches!(running, Err(Error::StillRunning(_))) && tidy.told.lock().unwrap().is_empty());
    runtime.stop_worker(&worker, None, None, me()).await.unwrap();
    runtime.delete_worker(&worker, UnsavedWork::Keep).await.unwrap();
    for backend in [tidy, glued] {
        assert_eq!(*backend.told.lock().unwrap(), std::slice::from_ref(&worker));
    }
    let told: Vec<_> = runtime.diagnostics().into_iter().map(|told| (told.code, told.message)).collect();
    let message = "what backend `glued` has of it could not be removed: it is glued on";
    assert_eq!(told, [("retention.backend_left".to_owned(), message.to_owned())]);
}

#[tokio::test]
async fn cursors_that_lead_nowhere_are_named() {
    let runtime = runtime(json!("echo")).await;
    let one = runtime.create_worker(assistant(), me()).await.unwrap();
    let two = runtime.create_worker(assistant(), me()).await.unwrap();
    let id = &one.worker_id;
    let cases = [
        (two.cursor, CursorProblem::Foreign),
        (Cursor::new(id, 1000, 1), CursorProblem::Future),
        (Cursor::new(id, 1, 12345), CursorProblem::HistoryChanged { oldest: Cursor::new(id, 0, 0) }),
    ];
    for (cursor, problem) in cases {
        let page = runtime.read_worker_events(id, From::Cursor(Some(cursor)), None, 1).await;
        assert!(matches!(&page, Err(ReadError::Cursor(found)) if *found == problem), "{page:?}");
        let observed = runtime.observe_worker(id, Some(cursor)).await;
        assert!(matches!(&observed, Err(ReadError::Cursor(found)) if *found == problem), "{observed:?}");
    }
}

#[tokio::test]
async fn pages_of_events_and_entries_fit_together() {
    let runtime = runtime(json!("echo")).await;
    let worker = runtime.create_worker(task("hi"), me()).await.unwrap();
    wait(&runtime, &worker, Until::Idle).await;
    let id = &worker.worker_id;
    let whole = all(&runtime, &worker).await;
    let mut paged = Vec::new();
    let mut from = From::Cursor(None);
    loop {
        let page = runtime.read_worker_events(id, from, None, 3).await.unwrap();
        paged.extend(page.frames.iter().map(envelope));
        if !page.has_more {
            break;
        }
        from = From::Cursor(Some(page.next));
    }
    assert_eq!(paged, whole);
    let tail = runtime.read_worker_events(id, From::Tail(2), None, 10).await.unwrap();
    assert_eq!(tail.frames.iter().map(envelope).collect::<Vec<_>>(), whole[whole.len() - 2..]);
    let some =
        runtime.read_worker_events(id, From::Cursor(None), Some(&["turn_started"]), 100).await.unwrap();
    assert_eq!((some.frames.len(), some.next), (1, whole.last().unwrap().cursor));
    let last = runtime.transcript_projection(id, Start::BeforeEnd(1), 10).await.unwrap();
    assert_eq!(
        (last.start, last.total_items, last.items[0].content.as_str(), last.next_start),
        (1, 2, "hi", None)
    );
}

#[tokio::test]
async fn a_shutdown_ends_sessions_and_refuses_work() {
    let runtime = runtime(json!({"turns": [{"match": "", "steps": [{"hang": true}]}]})).await;
    let worker = runtime.create_worker(task("go"), me()).await.unwrap();
    let mut live = runtime.observe_worker(&worker.worker_id, None).await.unwrap();
    snapshot(&mut live).await;
    runtime.shutdown().await;
    let events = rest(&mut live).await;
    assert_eq!(types(&events).last(), Some(&"status"));
    assert!(types(&events).contains(&"session_ended") && !live.is_complete());
    assert!(matches!(runtime.create_worker(assistant(), me()).await, Err(Error::Stopped)));
    assert!(matches!(runtime.send_input(&worker.worker_id, say("x", "x"), me()).await, Err(Error::Stopped)));
    assert_eq!(runtime.worker_detail(&worker.worker_id).await.unwrap().status, WorkerStatus::Running);
}

/// Servers call the runtime from tasks that may move between threads.
#[tokio::test]
async fn every_call_can_be_made_from_a_task_of_its_own() {
    let runtime = runtime(json!("echo")).await;
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        runtime.list_backends().await;
        runtime.list_profiles().await;
        let worker = runtime.create_worker(task("hi"), me()).await.unwrap();
        let id = worker.worker_id;
        runtime.wait_worker(&id, Until::Idle, SOON).await.unwrap();
        runtime.wait_events(&id, worker.cursor, SOON).await.unwrap();
        let mut observation = runtime.observe_worker(&id, None).await.unwrap();
        observation.next().await.unwrap();
        runtime.interrupt_worker(&id, None, me()).await.unwrap();
        runtime.stop_worker(&id, None, None, me()).await.unwrap();
        runtime.shutdown().await;
    });
    tasks.join_next().await.unwrap().unwrap();
}
