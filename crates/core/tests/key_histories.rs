//! Random histories of requests under keys, of restarts and of a day that goes by: a repetition gets the first answer and
//! does nothing, another request under the key is refused, and what was refused has used no key up.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod acting;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use musher_backend::{
    ApprovalRequest, BackendError, Command, Event, Launch, Link, LinkClosed, SessionOutcome, TurnEnd,
    async_trait,
};
use musher_core::{
    Answered, ApprovalMode, CommandOptions, Error, From, KeyRecord, Limits, MemoryStore, Profile, Runtime,
    Store,
};
use musher_protocol::{
    Ack, Actor, ApprovalId, ApprovalKind, ConfigBundleSummary, CreateWorker, DecisionReply, DecisionRequest,
    Delivery, InputKind, InputRequest, Intent, Permission, WorkerDetail, WorkerId, WorkerLimits,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use self::acting::{Act, Acting};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Who asks.
const TOKENS: [&str; 2] = ["t0", "t1"];
/// Workers that are there from the beginning.
const WORKERS: usize = 3;
/// The most turns that the workers may have at first.
const TURNS: u32 = 5;

/// How often others run before it is looked at what came of an input: a turn begins and asks in less.
const MOMENT: usize = 50;

/// A backend whose turns ask once, and end when somebody ends them.
#[derive(Debug)]
struct Endless;

#[async_trait]
impl Act for Endless {
    async fn run(&self, _: Launch, mut link: Link) -> Result<SessionOutcome, BackendError> {
        let ended = session(&mut link).await;
        Ok(if ended.is_ok() { SessionOutcome::ended() } else { SessionOutcome::crashed() })
    }
}

async fn session(link: &mut Link) -> Result<(), LinkClosed> {
    link.session_started("endless-1".parse().unwrap(), false).await?;
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
            Command::Interrupt => link.emit(Event::TurnEnded(TurnEnd::Interrupted)).await?,
            Command::End { .. } => return Ok(()),
            Command::Steer(_) | Command::Decision(_) => {}
        }
    }
}

/// What is asked for; whom by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Route {
    Create,
    Interrupt(usize),
    Stop(usize),
    Cancel(usize),
    Raise(usize),
    StoreBundle,
    /// And which of what the worker has asked.
    Decide(usize, usize),
}

/// What is asked for of each route: two requests that may be done, and one that never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    One,
    Other,
    Senseless,
}

/// A key in its scope: the token's and the key's number.
type Place = (usize, Route, usize);

#[derive(Clone, Copy, Debug)]
enum Deed {
    Ask(Place, Body),
    /// Asks once more under one of the keys that are known.
    AskAgain(prop::sample::Index, Body),
    /// Asks, and ends the runtime before anybody is answered.
    AskAndCrash(Place, Body),
    /// Gives a worker something to be interrupted in.
    Say(usize),
    Crash,
    /// All keys of before are older than a day.
    DayGoesBy,
}

#[derive(Clone, Debug, PartialEq)]
enum Reply {
    Ack(Box<Ack>),
    Worker(Box<WorkerDetail>),
    Bundle(Box<ConfigBundleSummary>),
    Decision(Box<DecisionReply>),
}

/// What is known of a key.
#[derive(Clone, Debug)]
enum Known {
    Answered(Body, Reply),
    /// Nobody was answered.
    Cut {
        of: Body,
        is_done: bool,
    },
}

fn deed() -> impl Strategy<Value = Deed> {
    let worker = || 0..WORKERS;
    let route = prop_oneof![
        2 => Just(Route::Create),
        4 => worker().prop_map(Route::Interrupt),
        1 => worker().prop_map(Route::Stop),
        1 => worker().prop_map(Route::Cancel),
        3 => worker().prop_map(Route::Raise),
        3 => Just(Route::StoreBundle),
        6 => (worker(), prop_oneof![2 => Just(0), 1 => Just(1)]).prop_map(|(worker, nth)| Route::Decide(worker, nth)),
    ];
    let body = prop_oneof![4 => Just(Body::One), 2 => Just(Body::Other), 1 => Just(Body::Senseless)];
    let ask = ((0..TOKENS.len(), route, 0..2_usize), body.clone());
    prop_oneof![
        16 => ask.clone().prop_map(|(place, body)| Deed::Ask(place, body)),
        8 => (any::<prop::sample::Index>(), body).prop_map(|(which, body)| Deed::AskAgain(which, body)),
        2 => ask.prop_map(|(place, body)| Deed::AskAndCrash(place, body)),
        4 => worker().prop_map(Deed::Say),
        1 => Just(Deed::Crash),
        1 => Just(Deed::DayGoesBy),
    ]
}

/// A runtime that comes back on its store, and what its clients know.
struct World {
    store: Arc<dyn Store>,
    scratch: TempDir,
    /// Always there, but while the next one begins.
    runtime: Option<Runtime>,
    workers: Vec<WorkerId>,
    /// What each of them has asked, the oldest first.
    approvals: Vec<Vec<ApprovalId>>,
    known: BTreeMap<Place, Known>,
}

impl World {
    async fn new() -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let scratch = tempfile::tempdir().unwrap();
        let runtime = start(&store, &scratch).await;
        let mut workers = Vec::new();
        for _ in 0..WORKERS {
            let request = CreateWorker::new(Intent::Assistant { purpose: None });
            workers.push(runtime.create_worker(request, Actor::rule("test")).await.unwrap().worker_id);
        }
        let approvals = vec![Vec::new(); WORKERS];
        Self { store, scratch, runtime: Some(runtime), workers, approvals, known: BTreeMap::new() }
    }

    async fn perform(&mut self, deed: Deed) {
        match deed {
            Deed::Ask(place, body) => self.ask(place, body).await,
            Deed::AskAgain(_, _) if self.known.is_empty() => {}
            Deed::AskAgain(which, body) => {
                let place = self.known.keys().nth(which.index(self.known.len())).copied();
                self.ask(place.unwrap(), body).await;
            }
            Deed::AskAndCrash(place, body) if self.known.contains_key(&place) => {
                self.ask(place, body).await;
                self.crash().await;
            }
            Deed::AskAndCrash(place, body) => {
                self.have_asked(place.1).await;
                let before = self.effects().await;
                let mut asking = JoinSet::new();
                asking.spawn(self.request(place, body).await);
                // Some of what it takes is done, whatever that is.
                for _ in 0..place.2 * 20 {
                    tokio::task::yield_now().await;
                }
                asking.shutdown().await;
                self.crash().await;
                let n_done = self.effects().await - before;
                assert!(n_done <= 1, "{n_done} done");
                self.known.insert(place, Known::Cut { of: body, is_done: n_done == 1 });
            }
            Deed::Say(worker) => self.say(worker).await,
            Deed::Crash => self.crash().await,
            Deed::DayGoesBy => self.age().await,
        }
    }

    /// Gives a worker something to ask about, where a decision is for what it has not asked yet.
    async fn have_asked(&self, route: Route) {
        if let Route::Decide(worker, nth) = route
            && self.payloads(&self.workers[worker], &["approval_requested"]).await.len() <= nth
        {
            self.say(worker).await;
        }
    }

    async fn say(&self, worker: usize) {
        let request = InputRequest {
            kind: InputKind::User,
            content: "go".to_owned(),
            input_id: None,
            delivery: Delivery::Queue,
        };
        // A worker that has ended, or used its turns up, takes nothing.
        drop(self.runtime().send_input(&self.workers[worker], request, Actor::rule("test")).await);
        for _ in 0..MOMENT {
            tokio::task::yield_now().await;
        }
    }

    /// Asks, and compares the answer and what came of it with what is known of the key.
    async fn ask(&mut self, place: Place, body: Body) {
        self.have_asked(place.1).await;
        let before = self.effects().await;
        let answer = self.request(place, body).await.await;
        let n_done = self.effects().await - before;
        let known = self.known.get(&place).cloned();
        match (known, answer) {
            (Some(Known::Answered(of, reply)), Ok(again)) => {
                assert_eq!((of, again), (body, Answered { reply, is_replayed: true }));
                assert_eq!(n_done, 0);
            }
            (Some(Known::Answered(of, _)), Err(error)) => {
                let is_reused = matches!(error, Error::KeyReused(_)) && of != body;
                let is_senseless = matches!(error, Error::InvalidRequest { .. } | Error::Bundle(_))
                    && body == Body::Senseless;
                assert!((is_reused || is_senseless) && n_done == 0, "{error:?}, {n_done} done");
            }
            (Some(Known::Cut { of, is_done }), Ok(Answered { reply, is_replayed })) => {
                let is_right = if is_done { of == body && n_done == 0 } else { n_done <= 1 };
                assert!(is_right && (of == body || !is_replayed), "{reply:?}, {n_done} done");
                self.known.insert(place, Known::Answered(body, reply));
            }
            (Some(Known::Cut { of, is_done }), Err(error)) => {
                // What was done is answered for, and what was not may have been remembered as nothing to do.
                let is_reused = matches!(error, Error::KeyReused(_));
                let is_right = of != body || !(is_done || is_reused);
                assert!(is_right && n_done == 0, "{error:?}, {n_done} done");
            }
            (None, Ok(Answered { reply, is_replayed })) => {
                assert!(!is_replayed && n_done <= 1, "{reply:?}, {n_done} done");
                self.known.insert(place, Known::Answered(body, reply));
            }
            (None, Err(error)) => {
                let is_refusal = matches!(
                    error,
                    Error::InvalidRequest { .. }
                        | Error::NotRunning(_)
                        | Error::Bundle(_)
                        | Error::ApprovalNotFound { .. }
                        | Error::ApprovalNotPending(_)
                );
                assert!(is_refusal && n_done == 0, "{error:?}, {n_done} done");
            }
        }
    }

    /// How much of what keys are for has happened.
    async fn effects(&self) -> u64 {
        const TYPES: &[&str] =
            &["interrupt_requested", "stop_requested", "cancel_requested", "limits_raised"];
        let mut n = self.runtime().summary().await.unwrap().worker_count;
        n += self.runtime().list_config_bundles().await.unwrap().len() as u64;
        for worker in &self.workers {
            n += self.payloads(worker, TYPES).await.len() as u64;
            let resolved = self.payloads(worker, &["approval_resolved"]).await;
            // Others are withdrawn, or denied by the end of their turn.
            n += resolved
                .iter()
                .filter(|event| TOKENS.iter().any(|token| event["by"]["token"] == *token))
                .count() as u64;
        }
        n
    }

    /// What a worker's log says of these types.
    async fn payloads(&self, worker: &WorkerId, types: &[&str]) -> Vec<Value> {
        let page = self.runtime().read_worker_events(worker, From::Cursor(None), Some(types), 100_000);
        let frames = page.await.unwrap().frames;
        let payload = |envelope: &[u8]| serde_json::from_slice::<Value>(envelope).unwrap()["payload"].take();
        frames.iter().map(|frame| payload(&frame.envelope())).collect()
    }

    /// The request, ready to be made.
    async fn request(
        &mut self,
        place: Place,
        body: Body,
    ) -> impl Future<Output = Result<Answered<Reply>, Error>> + Send + use<> {
        let mut approvals = Vec::new();
        for worker in &self.workers {
            let asked = self.payloads(worker, &["approval_requested"]).await;
            approvals.push(
                asked.iter().map(|event| event["approval_id"].as_str().unwrap().parse().unwrap()).collect(),
            );
        }
        self.approvals = approvals;
        ask(self.runtime().clone(), self.workers.clone(), self.approvals.clone(), place, body)
    }

    async fn crash(&mut self) {
        // What there was is gone when the next one begins.
        self.runtime = None;
        self.runtime = Some(start(&self.store, &self.scratch).await);
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().unwrap()
    }

    async fn age(&mut self) {
        let mut old = Vec::new();
        for ((token, route, key), known) in std::mem::take(&mut self.known) {
            let scope = self.workers_scope(token, route);
            let record = self.store.remembered(&scope, &format!("k{key}").parse().unwrap()).await.unwrap();
            assert!(
                record.is_some() || matches!(known, Known::Cut { is_done: false, .. }),
                "{scope} is forgotten early"
            );
            old.extend(
                record.map(|record| KeyRecord { at: record.at - DAY - Duration::from_secs(1), ..record }),
            );
        }
        self.store.remember(old).await.unwrap();
    }

    /// Whose key it is and what for, as the runtime tells the store.
    fn workers_scope(&self, token: usize, route: Route) -> String {
        let of = |command: &str, worker: usize| vec![command.to_owned(), self.workers[worker].to_string()];
        let route = match route {
            Route::Create => vec!["create".to_owned()],
            Route::Interrupt(worker) => of("interrupt", worker),
            Route::Stop(worker) => of("stop", worker),
            Route::Cancel(worker) => of("cancel", worker),
            Route::Raise(worker) => of("limits", worker),
            Route::StoreBundle => vec!["store_config_bundle".to_owned()],
            Route::Decide(worker, nth) => {
                let approval = approval(&self.approvals, worker, nth);
                [of("decide", worker), vec![approval.to_string()]].concat()
            }
        };
        serde_json::to_string(&(TOKENS[token], route)).unwrap()
    }
}

async fn start(store: &Arc<dyn Store>, scratch: &TempDir) -> Runtime {
    let limits = Limits { turns: Some(TURNS.into()), ..Limits::default() };
    let mut profile = Profile { limits, ..Profile::of("endless") };
    profile.approval.mode = ApprovalMode::Ask;
    Runtime::builder_on(store.clone())
        .backend("endless", Acting(Endless))
        .profile("endless", profile)
        .scratch(scratch.path().to_owned())
        .start()
        .await
        .unwrap()
}

/// What a worker asked; an approval that is none where it has not asked so often.
fn approval(approvals: &[Vec<ApprovalId>], worker: usize, nth: usize) -> ApprovalId {
    approvals[worker].get(nth).cloned().unwrap_or_else(|| "apr_none".parse().unwrap())
}

async fn ask(
    runtime: Runtime,
    workers: Vec<WorkerId>,
    approvals: Vec<Vec<ApprovalId>>,
    (token, route, key): Place,
    body: Body,
) -> Result<Answered<Reply>, Error> {
    let by = Actor { token: TOKENS[token].to_owned(), actor: None };
    let options = CommandOptions { by, idempotency_key: Some(format!("k{key}").parse().unwrap()) };
    let reason = match body {
        Body::One => None,
        Body::Other => Some("other".to_owned()),
        Body::Senseless => Some("two\nlines".to_owned()),
    };
    let acked = |answer: Answered<Ack>| answer.map(|ack| Reply::Ack(Box::new(ack)));
    let shown = |answer: Answered<WorkerDetail>| answer.map(|worker| Reply::Worker(Box::new(worker)));
    match route {
        Route::StoreBundle => {
            // Each place has its own, so that a second one would show.
            let bundle = json!({
                "metadata": {
                    "id": "team", "revision": format!("{token}.{key}.{body:?}"), "workspace_id": "w",
                    "created_at": "2026-11-20T10:00:00Z", "provenance": {"source": "git"},
                },
                "profiles": [{"selector": if body == Body::Senseless { "" } else { "endless" }}],
                "declarations": [],
            });
            let answer = runtime.store_config_bundle_with(&bundle.to_string(), options).await;
            answer.map(|answer| answer.map(|summary| Reply::Bundle(Box::new(summary))))
        }
        Route::Decide(worker, nth) => {
            let permission = if body == Body::Other { Permission::Deny } else { Permission::Allow };
            // Only a denial ends the turn.
            let interrupt = body == Body::Senseless;
            let request = DecisionRequest { interrupt, ..DecisionRequest::new(permission) };
            let approval = approval(&approvals, worker, nth);
            let answer = runtime.decide_with(&workers[worker], &approval, request, options).await;
            answer.map(|answer| answer.map(|reply| Reply::Decision(Box::new(reply))))
        }
        Route::Create => {
            let request = CreateWorker {
                display_name: reason,
                ..CreateWorker::new(Intent::Assistant { purpose: None })
            };
            runtime.create_worker_with(request, options).await.map(shown)
        }
        Route::Interrupt(worker) => {
            runtime.interrupt_worker_with(&workers[worker], reason, options).await.map(acked)
        }
        Route::Stop(worker) => {
            runtime.stop_worker_with(&workers[worker], None, reason, options).await.map(acked)
        }
        Route::Cancel(worker) => {
            runtime.cancel_worker_with(&workers[worker], reason, options).await.map(acked)
        }
        Route::Raise(worker) => {
            // The first is refused once the other was done: a limit is only raised.
            let turns = match body {
                Body::One => Some(TURNS + 1),
                Body::Other => Some(TURNS + 2),
                Body::Senseless => None,
            };
            let limits = WorkerLimits { turns: turns.map(Into::into), ..WorkerLimits::default() };
            runtime.raise_limits_with(&workers[worker], limits, options).await.map(shown)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_key_has_one_effect_and_one_answer_for_a_day(deeds in prop::collection::vec(deed(), 1..40)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let mut world = World::new().await;
            for deed in deeds {
                world.perform(deed).await;
            }
        });
    }
}
