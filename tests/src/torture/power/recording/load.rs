//! A short load of every kind of command, and what its clients saw.

use std::sync::{Arc, Mutex, PoisonError};

use musher_protocol::Payload;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::Promise;
use crate::{Client, Server};

/// Inputs to each worker in one life: enough for commits to meet, few enough for a small trace.
const INPUTS: usize = 4;
/// The life in which so much is written that the log is merged while the server runs, and begins anew over what was
/// in it.
const BUSY_LIFE: usize = 2;
/// Inputs that make it so: each is some hundred and forty pages in the log, which is merged from four thousand on.
const LONG_INPUTS: usize = 40;
/// How long they are, in bytes: short enough to stay in the log.
const LONG: usize = 60_000;

/// The load, over all lives.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// Workers that go on.
    workers: Vec<String>,
    life: usize,
    observers: JoinSet<()>,
    /// Holds what replies and frames promised; tasks of one life push into it.
    witnessed: Arc<Mutex<Vec<Promise>>>,
}

/// A client that remembers what it was told.
#[derive(Clone, Debug)]
struct Witness {
    client: Client,
    seen: Arc<Mutex<Vec<Promise>>>,
}

impl Load {
    /// Drives a server until everything is idle but the turns that hang.
    pub(super) async fn live(&mut self, server: &Server) {
        self.life += 1;
        let witness = Witness { client: server.client(), seen: Arc::clone(&self.witnessed) };
        for worker in self.workers.clone() {
            self.observe(&witness, &worker).await;
        }
        if self.life == BUSY_LIFE {
            let worker = witness.create("echo").await;
            self.observe(&witness, &worker).await;
            for input in 0..LONG_INPUTS {
                let words = format!("{input}{}", "x".repeat(LONG));
                witness.say(&worker, format!("long-{input}"), &words).await;
                witness.idle(&worker).await;
            }
        }
        let mut driven = JoinSet::new();
        for worker in self.workers.drain(..) {
            driven.spawn(drive(witness.clone(), worker, self.life));
        }
        for profile in ["echo", "slow"] {
            let worker = witness.create(profile).await;
            self.observe(&witness, &worker).await;
            driven.spawn(drive(witness.clone(), worker.clone(), self.life));
        }
        let ending = witness.create("slow").await;
        self.observe(&witness, &ending).await;
        driven.spawn(end(witness.clone(), ending, self.life));
        while let Some(worker) = driven.join_next().await {
            self.workers.extend(worker.unwrap());
        }
        self.workers.sort();
        let hanging = witness.create("hang").await;
        let mut stream = witness.client.observe(&hanging).await;
        witness.say(&hanging, format!("hang-{}", self.life), "begin").await;
        stream.until(|payload| matches!(payload, Payload::TextDone { .. })).await;
        for worker in self.workers.iter().chain([&hanging]) {
            witness.get(&format!("/v1/workers/{worker}/events")).await;
        }
    }

    /// Waits for the observers to see that the server is gone.
    pub(super) async fn end(&mut self) {
        while let Some(ended) = self.observers.join_next().await {
            ended.unwrap();
        }
    }

    /// All that clients were told.
    pub(super) fn witnessed(self) -> Vec<Promise> {
        std::mem::take(&mut *self.witnessed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn observe(&mut self, witness: &Witness, worker: &str) {
        let mut stream = witness.client.observe(worker).await;
        let witness = witness.clone();
        self.observers.spawn(async move {
            // The stream ends when its worker or its server does.
            while let Ok(text) = stream.next_text().await {
                witness.saw(Promise::of_frame(&serde_json::from_str(&text).unwrap()));
            }
        });
    }
}

/// Inputs one after the other, some of them while the one before runs, and an interrupt.
async fn drive(witness: Witness, worker: String, life: usize) -> Option<String> {
    for input in 0..INPUTS {
        let words = format!("{life}.{input} {}", "a few words to say ".repeat(input + 1));
        witness.say(&worker, format!("in-{life}-{input}"), &words).await;
        if input == 1 {
            witness.post(&format!("/v1/workers/{worker}/interrupt"), &json!({})).await;
        }
        if input != 2 {
            witness.idle(&worker).await;
        }
    }
    Some(worker)
}

/// A worker that is stopped, or cancelled, while it speaks.
async fn end(witness: Witness, worker: String, life: usize) -> Option<String> {
    witness.say(&worker, format!("in-{life}"), &"never said to its end ".repeat(50)).await;
    let command = if life.is_multiple_of(2) { "cancel" } else { "stop" };
    witness.post(&format!("/v1/workers/{worker}/{command}"), &json!({"reason": "enough"})).await;
    None
}

impl Witness {
    fn saw(&self, promises: Vec<Promise>) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).extend(promises);
    }

    async fn get(&self, path: &str) -> Value {
        let reply = self.client.get(path).await.good();
        self.saw(Promise::of_reply(&reply));
        reply
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let reply = self.client.post(path, body).await.good();
        self.saw(Promise::of_reply(&reply));
        reply
    }

    async fn create(&self, profile: &str) -> String {
        let body = json!({"intent": {"kind": "assistant"}, "profile": {"kind": "named", "value": profile}});
        self.post("/v1/workers", &body).await["worker"]["worker_id"].as_str().unwrap().to_owned()
    }

    async fn say(&self, worker: &str, input: String, content: &str) {
        let body = json!({"kind": "user", "content": content, "input_id": input});
        self.post(&format!("/v1/workers/{worker}/input"), &body).await;
    }

    async fn idle(&self, worker: &str) {
        self.get(&format!("/v1/workers/{worker}?until=idle&wait=60")).await;
    }
}
