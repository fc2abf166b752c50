//! A runtime behind a server, and what tests need of both.

use std::{collections::BTreeMap, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use musher_core::{ApprovalMode, ApprovalPolicy, Limits, MemoryStore, Profile, Runtime, Store};
use musher_http::{HttpOptions, HttpServer, ServeError, Token, TokenScope};
use musher_protocol::{
    Actor, CreateWorker, Delivery, InputKind, InputRequest, Intent, ProfileSelector, Until, WorkerDetail,
    WorkerId,
};
use musher_scripted::Scripted;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{sync::oneshot, task::JoinSet, time::timeout};

use crate::client::Client;

/// Nothing in these tests takes a second; this only ends those that hang.
const LIMIT: Duration = Duration::from_secs(60);

/// The token that may do everything.
pub(crate) const ROOT: &str = "root-token";
pub(crate) const LOOKS: &str = "looks-token";
pub(crate) const DRIVES: &str = "drives-token";
pub(crate) const APPROVES: &str = "approves-token";

/// A served runtime.
pub(crate) struct World {
    pub(crate) runtime: Runtime,
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    server: JoinSet<Result<(), ServeError>>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::over(runtime(MemoryStore::new()).await, options()).await
    }

    pub(crate) async fn over(runtime: Runtime, options: HttpOptions) -> Self {
        let server = HttpServer::bind(runtime.clone(), options).await.expect("a free port");
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(server.serve(async { drop(stopped.await) }));
        Self { runtime, address, stop: Some(stop), server: tasks }
    }

    /// A client with the token that may do everything.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address, Some(ROOT))
    }

    pub(crate) async fn worker(&self, profile: &str) -> WorkerDetail {
        let request = CreateWorker {
            profile: ProfileSelector::Named { value: profile.to_owned() },
            ..CreateWorker::new(Intent::Assistant { purpose: None })
        };
        self.runtime.create_worker(request, Actor::rule("test")).await.expect("a worker")
    }

    /// A worker that waits for input.
    pub(crate) async fn worker_id(&self) -> WorkerId {
        self.worker("script").await.worker_id
    }

    /// Says something and waits until the worker is idle again.
    pub(crate) async fn say(&self, worker: &WorkerId, words: &str) {
        let request = InputRequest {
            kind: InputKind::User,
            content: words.to_owned(),
            input_id: None,
            delivery: Delivery::Queue,
        };
        self.runtime.send_input(worker, request, Actor::rule("test")).await.expect("an ack");
        self.runtime.wait_worker(worker, Until::Idle, LIMIT).await.expect("a worker");
    }

    /// A worker that waits for a decision, and the path of its approval.
    pub(crate) async fn asking(&self, words: &str) -> (WorkerId, String) {
        let worker = self.worker("narrow").await.worker_id;
        let here = format!("/v1/workers/{worker}");
        self.client().post(&format!("{here}/input"), &json!({"kind": "user", "content": words})).await.ok();
        let asked = format!("{here}/events?types=approval_requested&wait=50");
        let asked = self.client().get(&asked).await.ok().json();
        let approval = asked["events"][0]["payload"]["approval_id"].as_str().expect("an approval").to_owned();
        (worker, format!("{here}/approvals/{approval}"))
    }

    /// Lets a worker have more to tell than a connection holds between its two ends.
    pub(crate) async fn say_much(&self, worker: &WorkerId) {
        let words = "much".repeat(400_000);
        for _ in 0..8 {
            self.say(worker, &words).await;
        }
    }

    pub(crate) fn begin_end(&mut self) {
        drop(self.stop.take());
    }

    /// Ends the server and waits for it.
    pub(crate) async fn end(mut self) {
        self.begin_end();
        within(self.server.join_next()).await.expect("a server").expect("no panic").expect("a good end");
    }
}

/// A script for every state that the tests need; whatever it does not know is echoed.
fn script() -> Map<String, Value> {
    let question = json!({ "question": "Which?", "options": [{"label": "Red"}, {"label": "Blue"}] });
    let script = json!({ "turns": [
        { "match": "^hang", "steps": [ {"text": "well"}, {"hang": true} ] },
        { "match": "^ask", "steps": [ {"approval": {"tool": "shell", "input": {"command": "make"}}}, {"text": "done"} ] },
        { "match": "^which", "steps": [
            {"approval": {"tool": "ask", "input": {}, "questions": [question]}}, {"text": "done"}
        ] },
    ], "otherwise": "echo" });
    Map::from_iter([("script".to_owned(), script)])
}

pub(crate) async fn runtime(store: impl Store) -> Runtime {
    builder(store).start().await.expect("names that fit together")
}

pub(crate) fn builder(store: impl Store) -> musher_core::Builder {
    builder_on(Arc::new(store))
}

/// Over a store that the test has, too.
pub(crate) fn builder_on(store: Arc<dyn Store>) -> musher_core::Builder {
    let script = Profile { options: script(), ..Profile::of("scripted") };
    let approval = ApprovalPolicy { mode: ApprovalMode::Ask, deadline: Duration::from_secs(600) };
    let narrow =
        Profile { limits: Limits { queued_inputs: 1, ..Limits::default() }, approval, ..script.clone() };
    Runtime::builder_on(store)
        .backend("scripted", Scripted)
        .profile("script", script)
        .profile("narrow", narrow)
}

pub(crate) fn options() -> HttpOptions {
    HttpOptions::with_tokens(vec![
        Token::admin("root", &ROOT.into()),
        named("looks", LOOKS, &[TokenScope::Observe]),
        named("drives", DRIVES, &[TokenScope::Drive]),
        named("approves", APPROVES, &[TokenScope::Approve]),
    ])
}

pub(crate) fn named(name: &str, text: &str, scopes: &[TokenScope]) -> Token {
    Token {
        name: name.to_owned(),
        sha256: Sha256::digest(text).into(),
        scopes: scopes.to_vec(),
        labels: BTreeMap::new(),
    }
}

pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    timeout(LIMIT, future).await.expect("this hangs")
}
