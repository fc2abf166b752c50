//! One worker, from its first turn to its end.

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    DEADLINE,
    crew::Profile,
    decided::{Answered, Book},
    deed::{self, Act, Deed, End, Move, Told},
    tally::Tally,
};
use crate::{
    Answer, Client, Process,
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
    profile: Profile,
    seed: Seed,
    is_fake: bool,
    answered: Vec<Answered>,
    pub(super) tally: Tally,
    pub(super) findings: Vec<String>,
}

/// What a worker did not do; there is no use in going on with it.
struct Stuck;

impl Life {
    pub(super) fn new(client: Client, worker: String, profile: Profile, seed: Seed, is_fake: bool) -> Self {
        let (answered, tally, findings) = Default::default();
        Self { client, worker, profile, seed, is_fake, answered, tally, findings }
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
            let told = deed::told(&mut self.seed, self.is_fake, self.profile);
            if self.turn(told).await.is_err() {
                break;
            }
        }
        let ended = self.end().await;
        self.look(ended.is_ok()).await;
        self
    }

    async fn turn(&mut self, told: Told) -> Result<(), Stuck> {
        let since = self.say(told.prompt).await?;
        // Any moment is as good as another; the seed chooses it.
        match told.deed {
            Deed::Wait => {}
            Deed::Interrupt(after) => {
                sleep(after).await;
                self.interrupt().await?;
            }
            Deed::Kill(after) => {
                sleep(after).await;
                if kill(&self.worker) {
                    self.tally.kills += 1;
                } else {
                    self.interrupt().await?;
                }
            }
            Deed::Answer(moves) => self.answer(since, &moves).await?,
        }
        self.until_idle().await
    }

    /// Answers all that the worker asks until its turn is over.
    async fn answer(&mut self, mut after: String, moves: &[Move]) -> Result<(), Stuck> {
        loop {
            let path = format!(
                "/v1/workers/{}/events?types=approval_requested,turn_finished&after={after}&wait={}",
                self.worker,
                DEADLINE.as_secs()
            );
            let page = match self.client.try_get(&path).await {
                Ok(Answer { status: 200, body }) => body,
                other => return self.stuck(format!("GET {path} is answered with 200, not so: {other:?}")),
            };
            let events = page["events"].as_array().into_iter().flatten().map(|event| &event["payload"]);
            let events: Vec<_> = events.cloned().collect();
            if events.is_empty() {
                self.tally.hangs += 1;
                return self.stuck(format!("it asks or ends within {DEADLINE:?}"));
            }
            for event in &events {
                match event["approval_id"].as_str() {
                    Some(approval) => self.make(approval, moves).await?,
                    None => return Ok(()),
                }
            }
            after = page["next"].as_str().unwrap_or_default().to_owned();
        }
    }

    /// Makes moves about one approval, each from a client of its own.
    async fn make(&mut self, approval: &str, moves: &[Move]) -> Result<(), Stuck> {
        let (mut decisions, mut others) = (JoinSet::new(), JoinSet::new());
        let worker = &self.worker;
        for (number, Move { after, act }) in moves.iter().cloned().enumerate() {
            let client = self.client.clone();
            match act {
                Act::Decide(choice) => {
                    let path = format!("/v1/workers/{worker}/approvals/{approval}");
                    let (approval, actor) = (approval.to_owned(), format!("client {number}"));
                    decisions.spawn(async move {
                        sleep(after).await;
                        let answer = timeout(DEADLINE, client.try_post(&path, &choice.body(&actor))).await;
                        let answer = answer.map_err(|late| late.to_string())?.map_err(|broken| broken.0)?;
                        Ok::<_, String>(Answered { approval, choice, actor, answer })
                    });
                }
                Act::Interrupt => {
                    let path = format!("/v1/workers/{worker}/interrupt");
                    others.spawn(async move {
                        sleep(after).await;
                        let answer = timeout(DEADLINE, client.try_post(&path, &json!({}))).await;
                        (act, matches!(answer, Ok(Ok(Answer { status: 200, .. }))))
                    });
                }
                Act::Kill => {
                    let worker = worker.clone();
                    others.spawn(async move {
                        sleep(after).await;
                        (act, kill(&worker))
                    });
                }
            }
        }
        for (act, is_done) in others.join_all().await {
            match (act, is_done) {
                (Act::Interrupt, true) => self.tally.interrupts += 1,
                (Act::Interrupt, false) => {
                    return self.stuck("POST interrupt is answered with 200".to_owned());
                }
                (Act::Kill, true) => self.tally.kills += 1,
                // Something else has ended it, and with it the question.
                (Act::Kill | Act::Decide(_), _) => {}
            }
        }
        for answered in decisions.join_all().await {
            match answered {
                Ok(answered) => self.answered.push(answered),
                Err(problem) => {
                    self.tally.hangs += 1;
                    return self.stuck(format!("a decision about {approval} is answered, not so: {problem}"));
                }
            }
        }
        Ok(())
    }

    /// Answers with the place behind it.
    async fn say(&mut self, prompt: &str) -> Result<String, Stuck> {
        let body = self.post("input", &json!({"kind": "user", "content": prompt})).await?;
        match body["ack"]["cursor"].as_str() {
            Some(cursor) => Ok(cursor.to_owned()),
            None => self.stuck(format!("an ack has a cursor, not so: {body}")),
        }
    }

    async fn interrupt(&mut self) -> Result<(), Stuck> {
        self.tally.interrupts += 1;
        self.post("interrupt", &json!({"reason": "torture"})).await.map(drop)
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
        let (prompt, end) = deed::end(&mut self.seed, self.profile);
        if let Some(prompt) = prompt {
            self.say(prompt).await?;
        }
        match end {
            End::Stop => {
                self.tally.stops += 1;
                // The fake and the real one obey at once; a grace that is used up shows as a survivor or a hang.
                self.post("stop", &json!({"reason": "torture"})).await.map(drop)
            }
            End::Cancel => {
                self.tally.cancels += 1;
                self.post("cancel", &json!({})).await.map(drop)
            }
        }
    }

    /// What is there when the worker has ended: a log that keeps its rules, and nothing else.
    async fn look(&mut self, has_ended: bool) {
        for process in Process::of(&self.worker) {
            self.tally.left += 1;
            self.findings.push(format!("worker {}: `{}` is left", self.worker, process.command));
        }
        let events = match tail(&self.client, &self.worker, None).await {
            Ok(events) => events,
            Err(problem) => return self.findings.push(problem),
        };
        self.tally.read(&events);
        self.tally.answers(&self.answered);
        let problems = Book::read(&events).compare(&self.answered);
        self.findings.extend(problems.iter().map(|problem| format!("worker {}: {problem}", self.worker)));
        let mut log = Reading::new(&self.worker);
        let mut found = log.read(&events);
        found.extend(log.at_rest());
        self.findings.extend(found.iter().map(ToString::to_string));
        if has_ended && !log.is_over() {
            self.findings.push(format!("worker {}: it was ended, and its log goes on", self.worker));
        }
    }

    async fn post(&mut self, command: &str, body: &Value) -> Result<Value, Stuck> {
        let path = format!("/v1/workers/{}/{command}", self.worker);
        let client = self.client.clone();
        match timeout(DEADLINE, client.try_post(&path, body)).await {
            Ok(Ok(Answer { status: 200, body })) => Ok(body),
            Ok(other) => self.stuck(format!("POST {command} is answered with 200, not so: {other:?}")),
            Err(_late) => {
                self.tally.hangs += 1;
                self.stuck(format!("POST {command} is answered within {DEADLINE:?}"))
            }
        }
    }

    fn stuck<T>(&mut self, what: String) -> Result<T, Stuck> {
        let alive: Vec<_> = Process::of(&self.worker).into_iter().map(|process| process.command).collect();
        self.findings.push(format!("worker {}: {what}; its processes: {alive:?}", self.worker));
        Err(Stuck)
    }
}

/// Kills a worker's CLI; whether it was there. One that is not has not begun or has ended already.
fn kill(worker: &str) -> bool {
    Process::of(worker)
        .iter()
        .find(|process| process.is_program())
        .is_some_and(|program| program.send(Signal::KILL))
}

/// Whether no turn is open and nothing waits to begin one.
fn is_idle(body: &Value) -> bool {
    let worker = &body["worker"];
    let state = worker["execution"]["run_state"].as_str();
    let is_at_rest = state.is_some_and(|state| ["idle", "errored", "unconnected"].contains(&state));
    is_at_rest && worker["queued_inputs"] == 0
}
