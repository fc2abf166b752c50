//! A client of a server that may fail, which remembers what it was told.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{Answer, Client, Server, torture::power::promise::Promise};

/// Inputs to the first worker of the short load.
const INPUTS: usize = 4;

/// A client, its observers, and all that they were told.
#[derive(Debug)]
pub(super) struct Witness {
    client: Client,
    told: Arc<Mutex<Told>>,
    observers: JoinSet<()>,
}

/// What clients were told.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// What they may rely on.
    pub(super) promises: Vec<Promise>,
    /// Status and code of every refusal.
    pub(super) refusals: Vec<(u16, String)>,
    /// How many requests got no answer.
    pub(super) unanswered: usize,
}

impl Witness {
    /// A client of this server.
    pub(super) fn new(server: &Server) -> Self {
        Self { client: server.client(), told: Arc::default(), observers: JoinSet::new() }
    }

    /// Sends a command; `None` when no answer came.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Option<Answer> {
        self.heard(self.client.try_post(path, body).await.ok())
    }

    /// Reads; `None` when no answer came.
    pub(super) async fn get(&self, path: &str) -> Option<Answer> {
        self.heard(self.client.try_get(path).await.ok())
    }

    /// Creates a worker with this profile and observes it; its id when that worked.
    pub(super) async fn create(&mut self, profile: &str) -> Option<String> {
        let body = json!({"intent": {"kind": "assistant"}, "profile": {"kind": "named", "value": profile}});
        let created = self.post("/v1/workers", &body).await?;
        let worker = created.body["worker"]["worker_id"].as_str()?.to_owned();
        let mut stream = self.client.try_observe(&worker, "", None).await.ok()?;
        let told = Arc::clone(&self.told);
        self.observers.spawn(async move {
            // The stream ends when its worker or its server does.
            while let Ok(text) = stream.next_text().await {
                let promises = Promise::of_frame(&serde_json::from_str(&text).unwrap());
                told.lock().unwrap_or_else(PoisonError::into_inner).promises.extend(promises);
            }
        });
        Some(worker)
    }

    /// Says something; `None` when no answer came.
    pub(super) async fn say(&self, worker: &str, content: &str) -> Option<Answer> {
        let body = json!({"kind": "user", "content": content});
        self.post(&format!("/v1/workers/{worker}/input"), &body).await
    }

    /// Waits until a worker is idle, or until the server has gone.
    pub(super) async fn idle(&self, worker: &str) -> Option<Answer> {
        self.get(&format!("/v1/workers/{worker}?until=idle&wait=10")).await
    }

    /// A short load of one command after the other, as far as the server goes along.
    pub(super) async fn load(&mut self) {
        let Some(first) = self.create("echo").await else { return };
        for input in 0..INPUTS {
            if self.say(&first, &format!("input {input} of a short load")).await.is_none()
                || self.idle(&first).await.is_none()
            {
                return;
            }
        }
        let Some(second) = self.create("slow").await else { return };
        let words = "words that are not all said ".repeat(20);
        let commands = [
            (&second, "input", json!({"kind": "user", "content": words})),
            (&second, "interrupt", json!({})),
            (&second, "input", json!({"kind": "user", "content": "and a few more"})),
            (&first, "stop", json!({"reason": "enough"})),
            (&second, "cancel", json!({})),
        ];
        for (worker, command, body) in commands {
            if self.post(&format!("/v1/workers/{worker}/{command}"), &body).await.is_none() {
                return;
            }
        }
    }

    /// Waits for the observers, which see the end of the server, and answers with all that was told.
    pub(super) async fn told(mut self) -> Told {
        while let Some(ended) = self.observers.join_next().await {
            ended.unwrap();
        }
        std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn heard(&self, answer: Option<Answer>) -> Option<Answer> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match &answer {
            Some(answer) if answer.status == 200 => told.promises.extend(Promise::of_reply(&answer.body)),
            Some(answer) => {
                let (status, code) = answer.error();
                told.refusals.push((status, code.to_owned()));
            }
            None => told.unanswered += 1,
        }
        answer
    }
}
