//! A client that asks under keys and does not let go.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use hyper::Method;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::asked::{Asked, Told, Want};
use crate::{Answer, Broken, Client, PATIENCE, torture::seed::Seed};

/// How long a client thinks at most, in milliseconds.
const MAX_THOUGHT: u64 = 8;
/// How long it waits before it asks again for what is in flight.
const IN_FLIGHT: Duration = Duration::from_millis(5);
/// Bundles whose revisions the clients store.
const BUNDLES: [&str; 3] = ["team-a", "team-b", "team-c"];
/// So many revisions of one client stay: a server takes some thousand of all.
const MAX_STORED: usize = 100;

/// Where the server is.
#[derive(Clone, Debug)]
pub(super) struct Here {
    pub(super) client: Client,
    /// It is not killed any more: nothing new is wanted.
    pub(super) is_last: bool,
}

/// One client.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) name: String,
    pub(super) seed: Seed,
    /// Whom it talks to, and never ends.
    pub(super) steady: Vec<String>,
    /// Whom it talks to, and may end, as others may.
    pub(super) victims: Vec<String>,
    /// Whose questions it decides, and whom it never ends.
    pub(super) asking: Vec<String>,
    /// The highest number of turns that anybody has asked for.
    pub(super) turns: Arc<AtomicU64>,
    pub(super) here: watch::Receiver<Here>,
    pub(super) n_asked: u64,
}

impl Asker {
    /// Asks until nothing new is wanted, then once more for everything; answers with all of it.
    pub(super) async fn run(mut self) -> Vec<Asked> {
        let mut all = Vec::new();
        let mut n_stored = 0;
        while !self.here.borrow().is_last {
            sleep(Duration::from_millis(self.seed.below(MAX_THOUGHT + 1))).await;
            let mut asked = self.want().await;
            self.ask(&mut asked).await;
            // Some are repeated at once, in the same life; the rest over at least one kill, when it is all over.
            if self.seed.one_in(2) {
                self.ask(&mut asked).await;
            }
            self.victims.extend(asked.created().map(str::to_owned));
            if let Some(place) = asked.stored() {
                // Whoever repeats it later must not store it again.
                if n_stored >= MAX_STORED || self.seed.one_in(2) {
                    asked.is_undone = self.undo(&place).await;
                } else {
                    n_stored += 1;
                }
            }
            all.push(asked);
        }
        for asked in &mut all {
            self.ask(asked).await;
        }
        all
    }

    async fn want(&mut self) -> Asked {
        self.n_asked += 1;
        let key = format!("{}.{}", self.name, self.n_asked);
        let want = match self.seed.below(100) {
            0..10 => Want::Create { objective: self.seed.one_in(2).then(|| words(&mut self.seed)) },
            10..24 => Want::Interrupt { worker: self.worker() },
            24..32 => {
                Want::Raise { worker: self.worker(), turns: self.turns.fetch_add(1, Ordering::Relaxed) + 1 }
            }
            32..39 => Want::Stop { worker: self.victim() },
            39..44 => Want::Cancel { worker: self.victim() },
            44..51 => Want::Store { id: (*self.seed.pick(&BUNDLES)).to_owned() },
            51..71 => self.decide().await,
            _ => Want::Input { worker: self.worker(), content: words(&mut self.seed) },
        };
        Asked::new(key, want)
    }

    /// Decides what a worker asks, and gives one that asks nothing a turn to ask in.
    async fn decide(&mut self) -> Want {
        let worker = self.seed.pick(&self.asking).clone();
        let client = self.here.borrow().client.clone();
        let asked = client.try_get(&format!("/v1/workers/{worker}/approvals")).await;
        let open = match &asked {
            Ok(Answer { status: 200, body }) => body["approvals"].as_array().map_or(&[][..], Vec::as_slice),
            // The server is killed, or has lost the worker, which shows in the answer to the input.
            Ok(_) | Err(Broken(_)) => &[],
        };
        match open.first().and_then(|approval| approval["approval_id"].as_str()) {
            Some(approval) => {
                Want::Decide { worker, approval: approval.to_owned(), allows: self.seed.one_in(2) }
            }
            None => Want::Input { worker, content: words(&mut self.seed) },
        }
    }

    /// Deletes what a request made, and says whether it is gone for good.
    async fn undo(&mut self, place: &str) -> bool {
        let undone = timeout(PATIENCE, async {
            loop {
                let client = self.here.borrow_and_update().client.clone();
                match client.try_send(Method::DELETE, place, &[], Bytes::new()).await {
                    // The first attempt may have been cut off when all was done.
                    Ok(answer) => {
                        return matches!(
                            answer.error(),
                            (204, _)
                                | (404, "config_bundle_missing")
                                | (400, "config_bundle_digest_mismatch")
                        );
                    }
                    Err(Broken(_)) => drop(self.here.changed().await),
                }
            }
        });
        undone.await.unwrap_or(false)
    }

    fn worker(&mut self) -> String {
        match self.seed.below(6) {
            0 | 1 => self.victim(),
            2 => self.seed.pick(&self.asking).clone(),
            _ => self.seed.pick(&self.steady).clone(),
        }
    }

    fn victim(&mut self) -> String {
        self.seed.pick(&self.victims).clone()
    }

    /// Asks until there is an answer, now and then over two connections at once.
    async fn ask(&mut self, asked: &mut Asked) {
        let (path, body) = asked.want.request(&asked.key);
        // What nobody answers is told by the judge.
        let answered = timeout(PATIENCE, async {
            loop {
                let client = self.here.borrow_and_update().client.clone();
                let post = || client.try_post_under(&asked.key, &path, &body);
                let came = if self.seed.one_in(8) {
                    let (one, other) = tokio::join!(post(), post());
                    vec![one, other]
                } else {
                    vec![post().await]
                };
                let mut is_answered = false;
                let mut is_broken = false;
                for came in came {
                    match came {
                        Ok((answer, _)) if answer.error() == (409, "idempotency_in_flight") => {}
                        Ok((answer, is_replayed)) => {
                            asked.answers.push(Told::of(&asked.want, answer, is_replayed));
                            is_answered = true;
                        }
                        Err(Broken(_)) => {
                            asked.n_broken += 1;
                            is_broken = true;
                        }
                    }
                }
                if is_answered {
                    return;
                } else if is_broken {
                    // The next life; without one this waits until patience ends.
                    drop(self.here.changed().await);
                } else {
                    sleep(IN_FLIGHT).await;
                }
            }
        });
        drop(answered.await);
    }
}

fn words(seed: &mut Seed) -> String {
    let words: Vec<_> = (0..=seed.below(8)).map(|_| format!("w{}", seed.below(1000))).collect();
    words.join(" ")
}
