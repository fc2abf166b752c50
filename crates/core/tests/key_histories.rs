//! Random histories of requests under keys, of restarts and of a day that goes by: a repetition gets the first answer and
//! does nothing, another request under the key is refused, and what was refused has used no key up.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod acting;

use std::{collections::HashMap, sync::Arc, time::Duration};

use musher_backend::{
    BackendError, Command, Event, Launch, Link, LinkClosed, SessionOutcome, TurnEnd, async_trait,
};
use musher_core::{
    Answered, CommandOptions, Error, From, KeyRecord, Limits, MemoryStore, Profile, Runtime, Store,
};
use musher_protocol::{
    Ack, Actor, CreateWorker, Delivery, InputKind, InputRequest, Intent, WorkerDetail, WorkerId, WorkerLimits,
};
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::task::JoinSet;

use self::acting::{Act, Acting};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Workers that are there from the beginning.
const WORKERS: usize = 3;
/// The most turns that the workers may have at first.
const TURNS: u32 = 5;

/// A backend whose turns end when somebody ends them.
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
            Command::Input(input) => link.emit(Event::InputTaken { input_id: input.input_id }).await?,
            Command::Interrupt => link.emit(Event::TurnEnded(TurnEnd::Interrupted)).await?,
            Command::End { .. } => return Ok(()),
            Command::Steer(_) | Command::Decision(_) => {}
        }
    }
}

/// What is asked for; whom by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Route {
    Create,
    Interrupt(usize),
    Stop(usize),
    Cancel(usize),
    Raise(usize),
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
    ];
    let body = prop_oneof![4 => Just(Body::One), 2 => Just(Body::Other), 1 => Just(Body::Senseless)];
    let ask = ((0..2_usize, route, 0..2_usize), body);
    prop_oneof![
        12 => ask.clone().prop_map(|(place, body)| Deed::Ask(place, body)),
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
    known: HashMap<Place, Known>,
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
        Self { store, scratch, runtime: Some(runtime), workers, known: HashMap::new() }
    }

    async fn perform(&mut self, deed: Deed) {
        match deed {
            Deed::Ask(place, body) => self.ask(place, body).await,
            Deed::AskAndCrash(place, body) if self.known.contains_key(&place) => {
                self.ask(place, body).await;
                self.crash().await;
            }
            Deed::AskAndCrash(place, body) => {
                let before = self.effects().await;
                let mut asking = JoinSet::new();
                asking.spawn(ask(self.runtime().clone(), self.workers.clone(), place, body));
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
            Deed::Say(worker) => {
                let request = InputRequest {
                    kind: InputKind::User,
                    content: "go".to_owned(),
                    input_id: None,
                    delivery: Delivery::Queue,
                };
                // A worker that has ended, or used its turns up, takes nothing.
                drop(self.runtime().send_input(&self.workers[worker], request, Actor::rule("test")).await);
            }
            Deed::Crash => self.crash().await,
            Deed::DayGoesBy => self.age().await,
        }
    }

    /// Asks, and compares the answer and what came of it with what is known of the key.
    async fn ask(&mut self, place: Place, body: Body) {
        let before = self.effects().await;
        let answer = ask(self.runtime().clone(), self.workers.clone(), place, body).await;
        let n_done = self.effects().await - before;
        let known = self.known.get(&place).cloned();
        match (known, answer) {
            (Some(Known::Answered(of, reply)), Ok(again)) => {
                assert_eq!((of, again), (body, Answered { reply, is_replayed: true }));
                assert_eq!(n_done, 0);
            }
            (Some(Known::Answered(of, _)), Err(error)) => {
                let is_reused = matches!(error, Error::KeyReused(_)) && of != body;
                let is_senseless = matches!(error, Error::InvalidRequest { .. }) && body == Body::Senseless;
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
                let is_refusal = matches!(error, Error::InvalidRequest { .. } | Error::NotRunning(_));
                assert!(is_refusal && n_done == 0, "{error:?}, {n_done} done");
            }
        }
    }

    /// How much of what keys are for has happened.
    async fn effects(&self) -> u64 {
        const TYPES: &[&str] =
            &["interrupt_requested", "stop_requested", "cancel_requested", "limits_raised"];
        let mut n = self.runtime().summary().await.unwrap().worker_count;
        for worker in &self.workers {
            let page = self.runtime().read_worker_events(worker, From::Cursor(None), Some(TYPES), 100_000);
            n += page.await.unwrap().frames.len() as u64;
        }
        n
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
        };
        serde_json::to_string(&(format!("t{token}"), route)).unwrap()
    }
}

async fn start(store: &Arc<dyn Store>, scratch: &TempDir) -> Runtime {
    let limits = Limits { turns: Some(TURNS.into()), ..Limits::default() };
    Runtime::builder_on(store.clone())
        .backend("endless", Acting(Endless))
        .profile("endless", Profile { limits, ..Profile::of("endless") })
        .scratch(scratch.path().to_owned())
        .start()
        .await
        .unwrap()
}

async fn ask(
    runtime: Runtime,
    workers: Vec<WorkerId>,
    (token, route, key): Place,
    body: Body,
) -> Result<Answered<Reply>, Error> {
    let by = Actor { token: format!("t{token}"), actor: None };
    let options = CommandOptions { by, idempotency_key: Some(format!("k{key}").parse().unwrap()) };
    let reason = match body {
        Body::One => None,
        Body::Other => Some("other".to_owned()),
        Body::Senseless => Some("two\nlines".to_owned()),
    };
    let acked = |answer: Answered<Ack>| answer.map(|ack| Reply::Ack(Box::new(ack)));
    let shown = |answer: Answered<WorkerDetail>| answer.map(|worker| Reply::Worker(Box::new(worker)));
    match route {
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
