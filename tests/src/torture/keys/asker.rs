//! A client that asks under keys and does not let go.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::asked::{Asked, Told, Want};
use crate::{Broken, Client, PATIENCE, torture::seed::Seed};

/// How long a client thinks at most, in milliseconds.
const MAX_THOUGHT: u64 = 8;
/// How long it waits before it asks again for what is in flight.
const IN_FLIGHT: Duration = Duration::from_millis(5);

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
    /// The highest number of turns that anybody has asked for.
    pub(super) turns: Arc<AtomicU64>,
    pub(super) here: watch::Receiver<Here>,
    pub(super) n_asked: u64,
}

impl Asker {
    /// Asks until nothing new is wanted, then once more for everything; answers with all of it.
    pub(super) async fn run(mut self) -> Vec<Asked> {
        let mut all = Vec::new();
        while !self.here.borrow().is_last {
            sleep(Duration::from_millis(self.seed.below(MAX_THOUGHT + 1))).await;
            let mut asked = self.want();
            self.ask(&mut asked).await;
            // Some are repeated at once, in the same life; the rest over at least one kill, when it is all over.
            if self.seed.one_in(2) {
                self.ask(&mut asked).await;
            }
            self.victims.extend(asked.created().map(str::to_owned));
            all.push(asked);
        }
        for asked in &mut all {
            self.ask(asked).await;
        }
        all
    }

    fn want(&mut self) -> Asked {
        self.n_asked += 1;
        let key = format!("{}.{}", self.name, self.n_asked);
        let want = match self.seed.below(100) {
            0..10 => Want::Create { objective: self.seed.one_in(2).then(|| words(&mut self.seed)) },
            10..30 => Want::Interrupt { worker: self.worker() },
            30..40 => {
                Want::Raise { worker: self.worker(), turns: self.turns.fetch_add(1, Ordering::Relaxed) + 1 }
            }
            40..47 => Want::Stop { worker: self.victim() },
            47..52 => Want::Cancel { worker: self.victim() },
            _ => Want::Input { worker: self.worker(), content: words(&mut self.seed) },
        };
        Asked::new(key, want)
    }

    fn worker(&mut self) -> String {
        if self.seed.one_in(3) { self.victim() } else { self.seed.pick(&self.steady).clone() }
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
