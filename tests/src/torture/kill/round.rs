//! One kill after the other.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};

use super::{
    Finding, Kind, PROFILES,
    figures::Figures,
    ledger::{self, Ledger, Listed},
    load::{Command, Load, Sent},
    look::{good, list, tail},
    observer::{Heads, Observer, Way},
    reading::Reading,
};
use crate::{Client, Finished, Home, Server, torture::seed::Seed};

/// Workers that every round talks to and that are observed from the first round to the last.
const OLD_WORKERS: usize = 3;
/// Workers that each round makes, talks to, may stop, and observes.
const NEW_WORKERS: usize = 3;
/// Workers of earlier rounds that a round wakes up.
const WOKEN_WORKERS: usize = 2;
/// One restart of so many is killed itself; a store is at its most delicate while it opens.
const KILLED_STARTS: u64 = 4;
/// Such a kill comes within so many milliseconds, which is about what a start takes.
const START_MS: u64 = 60;

/// For the turns of one round to end; they take a fraction of a second. Under what a request waits for at most.
const IDLE_SECS: u64 = 50;

/// The rounds, with all that has to be remembered from one to the next.
#[derive(Debug)]
pub(super) struct Rounds {
    home: Home,
    seed: Seed,
    load_ms: u64,
    clients: usize,
    server: Option<Server>,
    ledger: Ledger,
    old: Vec<String>,
    /// All that were created in earlier rounds and take inputs.
    running: Vec<String>,
    observers: Vec<Observer>,
    n_observers: usize,
    n_rounds: u64,
    figures: Figures,
    findings: Vec<Finding>,
}

impl Rounds {
    pub(super) fn new(home: Home, seed: Seed, load_ms: u64, clients: usize) -> Self {
        Self {
            home,
            seed,
            load_ms,
            clients,
            server: None,
            ledger: Ledger::default(),
            old: Vec::new(),
            running: Vec::new(),
            observers: Vec::new(),
            n_observers: 0,
            n_rounds: 0,
            figures: Figures::default(),
            findings: Vec::new(),
        }
    }

    /// Whether nothing was found yet.
    pub(super) fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// Load, a kill, a restart, and a look at everything that changed. `false` when there is no server any more.
    pub(super) async fn round(&mut self) -> bool {
        self.n_rounds += 1;
        let server = match self.server.take() {
            Some(server) => server,
            None => self.home.start().await,
        };
        let new = self.create_workers(&server.client()).await;
        let mut sent = self.load_and_kill(server, new).await;

        let Some(server) = self.restart().await else { return false };
        let client = server.client();
        let (heads, follows) = watch::channel(None);
        let observing = follow_all(std::mem::take(&mut self.observers), &client, &follows);
        sent = retry(sent, &client).await;
        for sent in &sent {
            self.figures.acked += u64::from(sent.is_acked_input());
            self.figures.retried += u64::from(sent.is_retried());
            if let Err(problem) = sent.enter(&mut self.ledger) {
                self.find("of a command", problem);
            }
        }
        match self.settle(&client, &heads).await {
            Ok(listed) => {
                self.compare(observing.join_all().await, &listed);
                self.server = Some(server);
                true
            }
            Err(problem) => {
                self.find("of the server", problem);
                false
            }
        }
    }

    /// Reads every log anew from its beginning, and answers with all that was found.
    pub(super) async fn finish(mut self) -> (Figures, Vec<Finding>) {
        if let Some(server) = self.server.take() {
            if let Err(problem) = self.read_anew(&server.client()).await {
                self.find("of the server", problem);
            }
            let ended = server.terminate().await;
            if ended.code != Some(0) {
                self.find("of the server", format!("it drains and ends with 0, not so: {ended:?}"));
            }
        }
        self.figures.events = self.ledger.n_events();
        self.figures.cut = self.ledger.n_cut();
        // What is wrong stays wrong, and is found again in each round.
        self.findings.sort_unstable();
        self.findings.dedup();
        (self.figures, self.findings)
    }

    async fn read_anew(&mut self, client: &Client) -> Result<(), String> {
        let listed = list(client).await?;
        for Listed { worker, .. } in &listed {
            let mut whole = Reading::new(worker);
            let events = tail(client, worker, None).await?;
            self.findings.extend(whole.read(&events));
            self.findings.extend(self.ledger.replace(worker, whole));
        }
        self.findings.extend(self.ledger.settle(&listed));
        self.figures.workers = listed.len() as u64;
        Ok(())
    }

    async fn create_workers(&mut self, client: &Client) -> Vec<String> {
        let mut new = Vec::new();
        let n = NEW_WORKERS + if self.old.is_empty() { OLD_WORKERS } else { 0 };
        for number in 0..n {
            let profile = PROFILES[number % PROFILES.len()];
            let label = format!("round {}.{number}", self.n_rounds);
            let mut sent = Sent::new(Command::Create { label, profile, objective: None });
            sent.send(client).await;
            match sent.created() {
                Some(worker) => new.push(worker.to_owned()),
                None => self.find("of a create", format!("it is answered, not so: {sent:?}")),
            }
            if let Err(problem) = sent.enter(&mut self.ledger) {
                self.find("of a create", problem);
            }
        }
        if self.old.is_empty() {
            self.old = new.split_off(NEW_WORKERS.min(new.len()));
            for worker in self.old.clone() {
                self.observe(&worker, &[Way::Socket, Way::Socket, Way::Pages]);
            }
        }
        for worker in &new {
            self.observe(worker, &[Way::Socket, Way::Pages]);
        }
        new
    }

    fn observe(&mut self, worker: &str, ways: &[Way]) {
        for way in ways {
            self.n_observers += 1;
            self.observers.push(Observer::new(self.n_observers, worker, *way, self.seed.fork()));
        }
    }

    /// Everybody wants something, and then the server is gone. Answers with what nobody knows the end of, too.
    async fn load_and_kill(&mut self, server: Server, new: Vec<String>) -> Vec<Sent> {
        let client = server.client();
        let mut workers = [self.old.as_slice(), &new].concat();
        for _ in 0..WOKEN_WORKERS.min(self.running.len()) {
            let woken = self.seed.pick(&self.running).clone();
            self.observe(&woken, &[Way::Socket]);
            workers.push(woken);
        }
        let (_heads, follows) = watch::channel(None);
        let observing = follow_all(std::mem::take(&mut self.observers), &client, &follows);
        let mut loads = JoinSet::new();
        for number in 0..self.clients {
            let name = format!("r{}.c{number}", self.n_rounds);
            let load = Load::new(name, self.seed.fork(), workers.clone(), new.clone());
            loads.spawn(load.run(client.clone()));
        }
        // The moment of the kill is what the seed chooses.
        tokio::time::sleep(Duration::from_millis(self.seed.below(self.load_ms + 1))).await;
        if let Some(code) = server.kill().await {
            self.find("of the server", format!("it is there to be killed, it ended with {code}"));
        }
        self.observers = observing.join_all().await;
        loads.join_all().await.into_iter().flatten().collect()
    }

    /// The next server on the same store, which some kill may have hit while it opened.
    async fn restart(&mut self) -> Option<Server> {
        if self.seed.one_in(KILLED_STARTS) {
            self.figures.kills_at_start += 1;
            self.home.start_and_kill(Duration::from_millis(self.seed.below(START_MS + 1))).await;
        }
        match self.home.try_start().await {
            Ok(server) => Some(server),
            Err(Finished { code, stderr, .. }) => {
                let what =
                    format!("everything: the server does not start again, it ends with {code:?}: {stderr}");
                self.findings.push(Finding::new(Kind::Lost, "all", None, what));
                None
            }
        }
    }

    /// Waits until nothing runs, reads what every log has more, and tells the observers where to end.
    async fn settle(&mut self, client: &Client, heads: &watch::Sender<Heads>) -> Result<Vec<Listed>, String> {
        for Listed { worker, .. } in list(client).await?.into_iter().filter(|listed| !listed.is_at_rest()) {
            good(client, &format!("/v1/workers/{worker}?until=idle&wait={IDLE_SECS}")).await?;
        }
        let listed = list(client).await?;
        let mut ends = BTreeMap::new();
        for Listed { worker, .. } in &listed {
            if !self.ledger.is_over(worker) {
                let (_, cursor) = self.ledger.place(worker);
                let events = tail(client, worker, cursor).await?;
                self.findings.extend(self.ledger.read(worker, &events));
            }
            ends.insert(worker.clone(), self.ledger.place(worker).0);
        }
        heads.send_replace(Some(Arc::new(ends)));
        // The runtime keeps its counts by themselves, so they are compared with the list.
        let runtime = good(client, "/v1/runtime").await?;
        self.findings.extend(ledger::agrees_with_counts(&listed, &runtime["runtime"]));
        Ok(listed)
    }

    fn compare(&mut self, observers: Vec<Observer>, listed: &[Listed]) {
        for mut observer in observers {
            let has_begun = observer.has_begun();
            let sighting = observer.take();
            self.figures.seen += sighting.events.len() as u64;
            if has_begun {
                self.findings.extend(self.ledger.compare(&observer.worker, &sighting));
            } else {
                let remark = sighting.remark.as_deref().unwrap_or_default();
                self.find(&observer.worker, format!("{} is let in: {remark}", sighting.observer));
            }
            if self.old.contains(&observer.worker) {
                self.observers.push(observer);
            }
        }
        self.findings.extend(self.ledger.settle(listed));
        let running = listed.iter().filter(|listed| listed.status == "running");
        self.running = running.map(|listed| listed.worker.clone()).collect();
    }

    fn find(&mut self, worker: &str, what: String) {
        self.findings.push(Finding::new(Kind::Untrue, worker, None, what));
    }
}

fn follow_all(
    observers: Vec<Observer>,
    client: &Client,
    heads: &watch::Receiver<Heads>,
) -> JoinSet<Observer> {
    observers.into_iter().map(|observer| observer.follow(client.clone(), heads.clone())).collect()
}

/// Sends again whatever got no answer, all at once, as clients do when a server comes back.
async fn retry(sent: Vec<Sent>, client: &Client) -> Vec<Sent> {
    let (open, mut done): (Vec<_>, Vec<_>) = sent.into_iter().partition(Sent::is_open);
    let again = open.into_iter().map(|mut sent| {
        let client = client.clone();
        async move {
            sent.send(&client).await;
            sent
        }
    });
    done.extend(again.collect::<JoinSet<_>>().join_all().await);
    done
}
