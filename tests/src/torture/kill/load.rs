//! Clients that want something all the time, and write down what they were answered.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::{LABEL, PROFILES, ledger::Ledger, promise::Promise};
use crate::{Answer, Broken, Client, torture::seed::Seed};

/// How long a client thinks at most, in milliseconds: a dozen clients' commands are then far more than one
/// restart can have in flight, and the turns that they start still end soon.
const MAX_THOUGHT: u64 = 12;

/// How inputs are sent: most of them wait for their turn.
const DELIVERIES: &[&str] = &["queue", "queue", "queue", "steer", "reject_if_busy"];

/// Something that a client wants.
#[derive(Clone, Debug)]
pub(super) enum Command {
    Create { label: String, profile: &'static str, objective: Option<String> },
    Input { worker: String, input_id: String, content: String, delivery: &'static str },
    Interrupt { worker: String },
    Stop { worker: String },
}

/// A command, and what came of each time that it was sent.
#[derive(Debug)]
pub(super) struct Sent {
    command: Command,
    answers: Vec<Result<Answer, Broken>>,
}

/// One client.
#[derive(Debug)]
pub(super) struct Load {
    name: String,
    seed: Seed,
    /// Whom it talks to.
    workers: Vec<String>,
    /// Those that it may also stop.
    victims: Vec<String>,
    n_commands: u64,
}

impl Load {
    pub(super) fn new(name: String, seed: Seed, workers: Vec<String>, victims: Vec<String>) -> Self {
        Self { name, seed, workers, victims, n_commands: 0 }
    }

    /// Goes on until the server is gone.
    pub(super) async fn run(mut self, client: Client) -> Vec<Sent> {
        let mut all = Vec::new();
        loop {
            // A client's own pace; without it all of a round's commands would wait in queues.
            sleep(Duration::from_millis(self.seed.below(MAX_THOUGHT + 1))).await;
            let mut sent = Sent::new(self.command());
            let is_gone = !sent.send(&client).await;
            if let Some(worker) = sent.created() {
                self.workers.push(worker.to_owned());
                self.victims.push(worker.to_owned());
            }
            all.push(sent);
            if is_gone {
                return all;
            }
        }
    }

    fn command(&mut self) -> Command {
        self.n_commands += 1;
        let name = format!("{}.{}", self.name, self.n_commands);
        match self.seed.below(100) {
            0..5 => Command::Create {
                label: name,
                profile: word(&mut self.seed, PROFILES),
                objective: self.seed.one_in(2).then(|| words(&mut self.seed)),
            },
            5..15 => Command::Interrupt { worker: self.worker() },
            15..18 if !self.victims.is_empty() => {
                Command::Stop { worker: self.seed.pick(&self.victims).clone() }
            }
            _ => Command::Input {
                worker: self.worker(),
                input_id: name,
                content: words(&mut self.seed),
                delivery: word(&mut self.seed, DELIVERIES),
            },
        }
    }

    fn worker(&mut self) -> String {
        self.seed.pick(&self.workers).clone()
    }
}

impl Command {
    fn request(&self) -> (String, Value) {
        let path = |worker: &str, what: &str| format!("/v1/workers/{worker}/{what}");
        match self {
            Self::Create { label, profile, objective } => {
                let intent = match objective {
                    Some(objective) => json!({"kind": "task", "objective": objective}),
                    None => json!({"kind": "assistant"}),
                };
                let profile = json!({"kind": "named", "value": profile});
                let body = json!({"intent": intent, "profile": profile, "labels": {LABEL: label}});
                ("/v1/workers".to_owned(), body)
            }
            Self::Input { worker, input_id, content, delivery } => {
                let body =
                    json!({"kind": "user", "content": content, "input_id": input_id, "delivery": delivery});
                (path(worker, "input"), body)
            }
            Self::Interrupt { worker } => (path(worker, "interrupt"), json!({})),
            Self::Stop { worker } => (path(worker, "stop"), json!({})),
        }
    }
}

impl Sent {
    pub(super) fn new(command: Command) -> Self {
        Self { command, answers: Vec::new() }
    }

    /// Sends it; whether there was an answer.
    pub(super) async fn send(&mut self, client: &Client) -> bool {
        let (path, body) = self.command.request();
        let answer = client.try_post(&path, &body).await;
        let is_answered = answer.is_ok();
        self.answers.push(answer);
        is_answered
    }

    /// Whether nobody knows what came of it.
    pub(super) fn is_open(&self) -> bool {
        self.answers.last().is_none_or(Result::is_err)
    }

    pub(super) fn is_acked_input(&self) -> bool {
        matches!(self.command, Command::Input { .. }) && self.good().is_some()
    }

    pub(super) fn is_retried(&self) -> bool {
        self.answers.len() > 1
    }

    /// The worker that it made.
    pub(super) fn created(&self) -> Option<&str> {
        match self.command {
            Command::Create { .. } => self.good()?["worker"]["worker_id"].as_str(),
            Command::Input { .. } | Command::Interrupt { .. } | Command::Stop { .. } => None,
        }
    }

    /// Writes down what was promised; `Err` for an answer that nobody should get.
    pub(super) fn enter(&self, ledger: &mut Ledger) -> Result<(), String> {
        if let Command::Create { label, .. } = &self.command {
            for answer in &self.answers {
                ledger.create(
                    label,
                    answer.as_ref().ok().and_then(|answer| answer.body["worker"]["worker_id"].as_str()),
                );
            }
        }
        let Some(Ok(answer)) = self.answers.last() else { return Ok(()) };
        match (&self.command, answer.status) {
            (_, 200) => self.promise(answer, ledger),
            (Command::Input { worker, input_id, .. }, 400 | 409 | 429) => {
                if !self.is_retried() {
                    ledger.promise(worker, Promise::Refused { input_id: input_id.clone() });
                }
                Ok(())
            }
            // Another client has stopped the worker.
            (Command::Interrupt { .. }, 400) => Ok(()),
            _ => Err(format!("{:?} was answered {}: {}", self.command, answer.status, answer.body)),
        }
    }

    fn promise(&self, answer: &Answer, ledger: &mut Ledger) -> Result<(), String> {
        let event_id = || {
            let event_id = answer.body["ack"]["event_id"].as_str();
            event_id.map(str::to_owned).ok_or_else(|| format!("an ack without an event: {}", answer.body))
        };
        let (worker, promise) = match &self.command {
            Command::Create { .. } => return Ok(()),
            Command::Input { worker, input_id, .. } => {
                let cursor: Option<musher_protocol::Cursor> =
                    answer.body["ack"]["cursor"].as_str().and_then(|cursor| cursor.parse().ok());
                let seq = cursor.ok_or_else(|| format!("an ack without a cursor: {}", answer.body))?.seq();
                (worker, Promise::Accepted { input_id: input_id.clone(), event_id: event_id()?, seq })
            }
            Command::Interrupt { worker } => (worker, Promise::Acknowledged { event_id: event_id()? }),
            Command::Stop { worker } => (worker, Promise::Stopped { event_id: event_id()? }),
        };
        ledger.promise(worker, promise);
        Ok(())
    }

    fn good(&self) -> Option<&Value> {
        let answer = self.answers.last()?.as_ref().ok()?;
        (answer.status == 200).then_some(&answer.body)
    }
}

fn word(seed: &mut Seed, words: &[&'static str]) -> &'static str {
    let &word = seed.pick(words);
    word
}

fn words(seed: &mut Seed) -> String {
    let n = 1 + seed.below(12);
    let words: Vec<_> = (0..n).map(|_| format!("w{}", seed.below(1_000_000))).collect();
    words.join(" ")
}
