//! One worker, from its first turn to its end.

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{
    DEADLINE,
    deed::{self, Deed, End, Told},
    process,
    tally::Tally,
};
use crate::{
    Answer, Client,
    torture::{
        kill::{look::tail, reading::Reading},
        seed::Seed,
    },
};

/// A worker, and what was found about it.
#[derive(Debug)]
pub(super) struct Life {
    client: Client,
    worker: String,
    seed: Seed,
    is_fake: bool,
    pub(super) tally: Tally,
    pub(super) findings: Vec<String>,
}

/// What a worker did not do; there is no use in going on with it.
struct Stuck;

impl Life {
    pub(super) fn new(client: Client, worker: String, seed: Seed, is_fake: bool) -> Self {
        let (tally, findings) = Default::default();
        Self { client, worker, seed, is_fake, tally, findings }
    }

    /// The first turn, after which the CLI waits for more.
    pub(super) async fn begin(mut self) -> Self {
        let begun = async {
            self.say("hello").await?;
            self.until_idle().await
        };
        let _found: Result<(), Stuck> = begun.await;
        self
    }

    /// All further turns, and the end.
    pub(super) async fn live(mut self, rounds: u64) -> Self {
        for _ in 0..rounds {
            let told = deed::told(&mut self.seed, self.is_fake);
            if self.turn(told).await.is_err() {
                break;
            }
        }
        let ended = self.end().await;
        self.look(ended.is_ok()).await;
        self
    }

    async fn turn(&mut self, told: Told) -> Result<(), Stuck> {
        self.say(told.prompt).await?;
        // Any moment is as good as another; the seed chooses it.
        sleep(told.after).await;
        match told.deed {
            Deed::Wait => {}
            Deed::Interrupt => self.interrupt().await?,
            // One that is not there has not begun or has ended already.
            Deed::Kill => match process::of(&self.worker).iter().find(|process| process.is_program()) {
                Some(program) if program.kill() => self.tally.kills += 1,
                Some(_) | None => self.interrupt().await?,
            },
        }
        self.until_idle().await
    }

    async fn say(&mut self, prompt: &str) -> Result<(), Stuck> {
        self.post("input", &json!({"kind": "user", "content": prompt})).await
    }

    async fn interrupt(&mut self) -> Result<(), Stuck> {
        self.tally.interrupts += 1;
        self.post("interrupt", &json!({"reason": "torture"})).await
    }

    async fn until_idle(&mut self) -> Result<(), Stuck> {
        let path = format!("/v1/workers/{}?until=idle&wait={}", self.worker, DEADLINE.as_secs());
        let answer = self.client.try_get(&path).await;
        match answer {
            Ok(Answer { status: 200, body }) if is_idle(&body) => Ok(()),
            other => {
                self.tally.hangs += 1;
                self.stuck(format!("it is idle within {DEADLINE:?}, not so: {other:?}"))
            }
        }
    }

    async fn end(&mut self) -> Result<(), Stuck> {
        let (prompt, end) = deed::end(&mut self.seed);
        if let Some(prompt) = prompt {
            self.say(prompt).await?;
        }
        match end {
            End::Stop => {
                self.tally.stops += 1;
                // The fake and the real one obey at once; a grace that is used up shows as a survivor or a hang.
                self.post("stop", &json!({"reason": "torture"})).await
            }
            End::Cancel => {
                self.tally.cancels += 1;
                self.post("cancel", &json!({})).await
            }
        }
    }

    /// What is there when the worker has ended: a log that keeps its rules, and nothing else.
    async fn look(&mut self, has_ended: bool) {
        for process in process::of(&self.worker) {
            self.tally.left += 1;
            self.findings.push(format!("worker {}: `{}` is left", self.worker, process.command));
        }
        let events = match tail(&self.client, &self.worker, None).await {
            Ok(events) => events,
            Err(problem) => return self.findings.push(problem),
        };
        self.tally.read(&events);
        let mut log = Reading::new(&self.worker);
        let mut found = log.read(&events);
        found.extend(log.at_rest());
        self.findings.extend(found.iter().map(ToString::to_string));
        if has_ended && !log.is_over() {
            self.findings.push(format!("worker {}: it was ended, and its log goes on", self.worker));
        }
    }

    async fn post(&mut self, command: &str, body: &Value) -> Result<(), Stuck> {
        let path = format!("/v1/workers/{}/{command}", self.worker);
        let client = self.client.clone();
        match timeout(DEADLINE, client.try_post(&path, body)).await {
            Ok(Ok(Answer { status: 200, .. })) => Ok(()),
            Ok(other) => self.stuck(format!("POST {command} is answered with 200, not so: {other:?}")),
            Err(_late) => {
                self.tally.hangs += 1;
                self.stuck(format!("POST {command} is answered within {DEADLINE:?}"))
            }
        }
    }

    fn stuck(&mut self, what: String) -> Result<(), Stuck> {
        let alive: Vec<_> = process::of(&self.worker).into_iter().map(|process| process.command).collect();
        self.findings.push(format!("worker {}: {what}; its processes: {alive:?}", self.worker));
        Err(Stuck)
    }
}

/// Whether no turn is open and nothing waits to begin one.
fn is_idle(body: &Value) -> bool {
    let worker = &body["worker"];
    let state = worker["execution"]["run_state"].as_str();
    let is_at_rest = state.is_some_and(|state| ["idle", "errored", "unconnected"].contains(&state));
    is_at_rest && worker["queued_inputs"] == 0
}
