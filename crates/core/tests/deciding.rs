//! Decisions about approvals: in turns that are being ended, and about what is not shown of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod acting;

use std::{sync::Arc, time::Duration};

use musher_backend::{
    ApprovalRequest, BackendError, Command, Event, Launch, Link, LinkClosed, SessionOutcome, TurnEnd, Vault,
    Verdict, async_trait,
};
use musher_core::{
    Answered, ApprovalMode, CommandOptions, Error, From, MemoryStore, Profile, Retention, Runtime, Store,
};
use musher_protocol::{
    Actor, Approval, ApprovalKind, ApprovalState, CreateWorker, Decision, DecisionReply, Intent, Question,
    QuestionOption, WorkerId,
};
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinSet};

use self::acting::{Act, Acting};

/// Far longer than anything here takes.
const SOON: Duration = Duration::from_secs(60);

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

#[tokio::test]
async fn a_token_without_keys_left_can_end_everything_under_one() {
    let mut profile = Profile::of("stubborn");
    profile.approval.mode = ApprovalMode::Ask;
    let runtime = Runtime::builder(MemoryStore::new())
        .backend("stubborn", Acting(Stubborn))
        .profile("p", profile)
        .max_keys_per_token(0)
        .start()
        .await
        .unwrap();
    let task = CreateWorker::new(Intent::Task { objective: "go".to_owned() });
    let worker = runtime.create_worker(task, me()).await.unwrap().worker_id;
    logged(&runtime, &worker, "approval_requested").await;
    let open = runtime.approvals(&worker).await.unwrap().remove(0);
    let under = |key: &str| CommandOptions { by: me(), idempotency_key: Some(key.parse().unwrap()) };
    let decide = |body, key| {
        let request = serde_json::from_value(body).unwrap();
        runtime.decide_with(&worker, &open.approval_id, request, under(key))
    };
    let none_left =
        |result: Result<(), Error>| assert!(matches!(result, Err(Error::ManyKeys { limit: 0, .. })));

    none_left(decide(json!({"decision": "allow"}), "a").await.map(drop));
    let denied = decide(json!({"decision": "deny"}), "a").await.unwrap();
    let again = Answered { is_replayed: true, ..denied };
    assert_eq!(decide(json!({"decision": "deny"}), "a").await.unwrap(), again);
    // What was decided is in the log.
    let duplicate = DecisionReply { duplicate: true, ..again.reply };
    for key in ["b", "b", "c"] {
        let repeated = decide(json!({"decision": "deny"}), key).await.unwrap();
        assert_eq!((repeated.reply, repeated.is_replayed), (duplicate.clone(), false));
    }
    let other = decide(json!({"decision": "allow"}), "b").await;
    assert!(matches!(other, Err(Error::ApprovalNotPending(_))), "{other:?}");

    let mut interrupts = JoinSet::new();
    let (interrupting, interrupted, first) = (runtime.clone(), worker.clone(), under("a"));
    interrupts.spawn(async move { interrupting.interrupt_worker_with(&interrupted, None, first).await });
    logged(&runtime, &worker, "interrupt_requested").await;
    none_left(runtime.interrupt_worker_with(&worker, None, under("b")).await.map(drop));
    let cancelled = runtime.cancel_worker_with(&worker, None, under("a")).await.unwrap();
    let interrupted = interrupts.join_next().await.unwrap().unwrap().unwrap();
    assert!(!cancelled.is_replayed && !interrupted.is_replayed);
    assert_eq!(runtime.cancel_worker_with(&worker, None, under("b")).await.unwrap(), cancelled);
    let again = Answered { is_replayed: true, ..cancelled };
    assert_eq!(runtime.cancel_worker_with(&worker, None, under("a")).await.unwrap(), again);
}

const KEY: &str = "sk-canary-0123456789";
const MARK: &str = "[redacted:A_KEY]";

/// A backend that asks all of these in its turn, one after the other, and shows what it is told.
#[derive(Debug)]
struct Asking {
    requests: Vec<ApprovalRequest>,
    told: mpsc::Sender<Verdict>,
}

#[async_trait]
impl Act for Asking {
    async fn run(&self, _: Launch, mut link: Link) -> Result<SessionOutcome, BackendError> {
        Ok(self
            .session(&mut link)
            .await
            .map_or_else(|_closed| SessionOutcome::crashed(), |()| SessionOutcome::ended()))
    }
}

impl Asking {
    async fn session(&self, link: &mut Link) -> Result<(), LinkClosed> {
        link.session_started("asking-1".parse().unwrap(), false).await?;
        let mut requests = self.requests.iter();
        loop {
            match link.next_command().await {
                Command::Input(input) => link.emit(Event::InputTaken { input_id: input.input_id }).await?,
                Command::Decision(given) => self.told.send(given.verdict).await.unwrap(),
                Command::End { .. } => return Ok(()),
                Command::Steer(_) | Command::Interrupt => continue,
            }
            match requests.next() {
                Some(request) => drop(link.request_approval(request.clone()).await?),
                None => link.emit(Event::TurnEnded(TurnEnd::completed())).await?,
            }
        }
    }
}

fn call(command: &str) -> ApprovalRequest {
    ApprovalRequest {
        tool_call_id: None,
        kind: ApprovalKind::Tool,
        tool: "shell".to_owned(),
        input: json!({ "command": command }),
        questions: Vec::new(),
        suggestions: Vec::new(),
    }
}

/// A worker that asks all of these, what it is told, and where two secrets with one name are known.
async fn asking(requests: Vec<ApprovalRequest>) -> (Runtime, WorkerId, mpsc::Receiver<Verdict>) {
    let vault = Vault::default();
    vault.hide("A_KEY", KEY.as_bytes());
    vault.hide("A_KEY", b"sk-other-9876543210");
    let (told, verdicts) = mpsc::channel(requests.len());
    let mut profile = Profile::of("asking");
    profile.approval.mode = ApprovalMode::Ask;
    let runtime = Runtime::builder(MemoryStore::new())
        .backend("asking", Acting(Asking { requests, told }))
        .profile("p", profile)
        .vault(Arc::new(vault))
        .start()
        .await
        .unwrap();
    let task = CreateWorker::new(Intent::Task { objective: "go".to_owned() });
    let worker = runtime.create_worker(task, me()).await.unwrap().worker_id;
    (runtime, worker, verdicts)
}

/// The approval that is open, once there is one.
async fn open(runtime: &Runtime, worker: &WorkerId) -> Approval {
    let mut after = None;
    loop {
        if let Some(open) = runtime.approvals(worker).await.unwrap().pop() {
            return open;
        }
        let page = runtime.read_worker_events(worker, From::Cursor(after), None, 1000).await.unwrap();
        runtime.wait_events(worker, page.next, SOON).await.unwrap();
        after = Some(page.next);
    }
}

/// What is in the way of a decision: its place in the request.
async fn decide(runtime: &Runtime, open: &Approval, body: &Value) -> Result<(), &'static str> {
    let request = serde_json::from_value(body.clone()).unwrap();
    match runtime.decide(&open.worker_id, &open.approval_id, request, me()).await {
        Ok(_) => Ok(()),
        Err(Error::InvalidRequest { field, .. }) => Err(field),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_decision_is_answered_again_when_the_log_has_forgotten_it() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let (told, mut verdicts) = mpsc::channel(2);
    let requests = vec![call(&"x".repeat(70 << 10)), call("make")];
    let mut profile = Profile::of("asking");
    profile.approval.mode = ApprovalMode::Ask;
    let builder = |told| {
        Runtime::builder_on(store.clone())
            .backend("asking", Acting(Asking { requests: requests.clone(), told }))
            .profile("p", profile.clone())
            .retention(Retention { max_events_per_worker: Some(1), ..Retention::default() })
    };
    let first = builder(told.clone()).start().await.unwrap();
    let task = CreateWorker::new(Intent::Task { objective: "go".to_owned() });
    let worker = first.create_worker(task, me()).await.unwrap().worker_id;
    let decide = async |runtime: &Runtime, open: &Approval, body: &Value, key: Option<&str>| {
        let options = CommandOptions { by: me(), idempotency_key: key.map(|key| key.parse().unwrap()) };
        let request = serde_json::from_value(body.clone()).unwrap();
        runtime.decide_with(&open.worker_id, &open.approval_id, request, options).await
    };
    let (allow, deny) = (json!({"decision": "allow"}), json!({"decision": "deny", "message": "no"}));

    let large = open(&first, &worker).await;
    assert!(large.blob.is_some(), "its input is beside the log");
    let allowed = decide(&first, &large, &allow, Some("a")).await.unwrap();
    assert_eq!(verdicts.recv().await, Some(Verdict::allow()));
    let small = open(&first, &worker).await;
    let denied = decide(&first, &small, &deny, Some("b")).await.unwrap();
    let repeated = decide(&first, &small, &deny, Some("c")).await.unwrap();
    let decided = |open: &Approval, decision, message: Option<&str>| Approval {
        state: ApprovalState::Resolved,
        decision: Some(decision),
        message: message.map(str::to_owned),
        by: Some(me()),
        ..open.clone()
    };
    let reply =
        |approval, duplicate| Answered { reply: DecisionReply { approval, duplicate }, is_replayed: false };
    let (large_allowed, small_denied) =
        (decided(&large, Decision::Allow, None), decided(&small, Decision::Deny, Some("no")));
    let expected =
        [reply(large_allowed.clone(), false), reply(small_denied.clone(), false), reply(small_denied, true)];
    assert_eq!([&allowed, &denied, &repeated], expected.each_ref());
    // The log says the same for as long as it has it.
    assert_eq!(decide(&first, &large, &allow, None).await.unwrap(), reply(large_allowed, true));

    first.cancel_worker(&worker, None, me()).await.unwrap();
    let forgotten = async {
        while decide(&first, &small, &deny, None).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, forgotten).await.unwrap();
    let second = builder(told).start().await.unwrap();
    for runtime in [&first, &second] {
        for (open, body, key, expected) in
            [(&large, &allow, "a", &allowed), (&small, &deny, "b", &denied), (&small, &deny, "c", &repeated)]
        {
            let unknown = decide(runtime, open, body, None).await;
            assert!(matches!(unknown, Err(Error::ApprovalNotFound { .. })), "{unknown:?}");
            let again = Answered { is_replayed: true, ..expected.clone() };
            assert_eq!(decide(runtime, open, body, Some(key)).await.unwrap(), again);
        }
        let other = decide(runtime, &large, &deny, Some("a")).await;
        assert!(matches!(other, Err(Error::KeyReused(_))), "{other:?}");
    }
    assert_eq!(store.keys_of(&me().token).await.unwrap().count, 3);
}

#[tokio::test]
async fn an_answer_by_a_shown_text_reaches_the_worker_in_its_own_words() {
    let option = |label: &str| QuestionOption { label: label.to_owned(), description: None };
    let asked = Question {
        question: format!("Use {KEY}?"),
        header: None,
        options: vec![option(&format!("yes, {KEY}")), option("no")],
        multi_select: false,
    };
    let request = ApprovalRequest {
        kind: ApprovalKind::Question,
        input: json!({}),
        questions: vec![asked],
        ..call("")
    };
    let (runtime, worker, mut verdicts) = asking(vec![request]).await;
    let open = open(&runtime, &worker).await;
    let shown = &open.questions[0];
    assert_eq!((shown.question.clone(), open.redacted), (format!("Use {MARK}?"), true));
    let body = json!({"decision": "allow", "answers": {&shown.question: [&shown.options[0].label]}});
    assert_eq!(decide(&runtime, &open, &body).await, Ok(()));
    let answers = Some([(format!("Use {KEY}?"), vec![format!("yes, {KEY}")])].into());
    assert_eq!(verdicts.recv().await.unwrap(), Verdict::Allow { updated_input: None, answers });
    // The log has what was said, and the same again is a duplicate.
    let request = serde_json::from_value(body).unwrap();
    assert!(runtime.decide(&worker, &open.approval_id, request, me()).await.unwrap().duplicate);
    logged(&runtime, &worker, "turn_finished").await;
    let page = runtime.read_worker_events(&worker, From::Cursor(None), None, 1000).await.unwrap();
    let log = format!("{:?}", page.frames);
    assert!(!log.contains("sk-canary") && log.contains("yes, "), "{log}");
}

#[tokio::test]
async fn a_mark_in_an_updated_input_is_never_taken_for_itself() {
    let (runtime, worker, mut verdicts) = asking(vec![call(&format!("login {KEY}"))]).await;
    let open = open(&runtime, &worker).await;
    let updated = |command: &str| json!({"decision": "allow", "updated_input": {"command": command}});
    let foreign = decide(&runtime, &open, &updated("login [redacted:B_KEY]")).await;
    assert_eq!(foreign, Err("/updated_input"));
    assert_eq!(decide(&runtime, &open, &updated(&format!("logout {MARK}"))).await, Ok(()));
    let updated_input = Some(json!({"command": format!("logout {KEY}")}));
    assert_eq!(verdicts.recv().await.unwrap(), Verdict::Allow { updated_input, answers: None });
}

#[tokio::test]
async fn what_is_remembered_lets_nothing_through_that_was_not_shown() {
    let commands = [
        // A worker's own words, which look like those that hide a secret.
        &format!("login {MARK}"),
        &format!("login {KEY}"),
        "login sk-other-9876543210",
        &format!("login {MARK}"),
    ];
    let (runtime, worker, mut verdicts) = asking(commands.map(call).into()).await;
    let remember = json!({"decision": "allow", "remember": "input"});
    let first = open(&runtime, &worker).await;
    assert_eq!((decide(&runtime, &first, &remember).await, first.redacted), (Ok(()), false));
    assert_eq!(verdicts.recv().await, Some(Verdict::allow()));
    for _ in 0..2 {
        let open = open(&runtime, &worker).await;
        assert_eq!((&open.input, open.redacted), (&json!({"command": format!("login {MARK}")}), true));
        assert_eq!(decide(&runtime, &open, &remember).await, Err("/remember"));
        assert_eq!(decide(&runtime, &open, &json!({"decision": "deny", "message": "no"})).await, Ok(()));
        assert_eq!(verdicts.recv().await, Some(Verdict::deny("no")));
    }
    assert_eq!(verdicts.recv().await, Some(Verdict::allow()), "what was shown and allowed is remembered");
}
