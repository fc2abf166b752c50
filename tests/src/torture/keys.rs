//! Clients ask under idempotency keys while the server is killed, and repeat until they are answered, and once more:
//! each key has one effect, and each repetition the first answer.

mod asked;
mod asker;
mod judge;
#[cfg(test)]
mod tests;

use std::{
    fs,
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{sync::watch, task::JoinSet};

use self::{
    asked::{Asked, Want},
    asker::{Asker, Here},
    judge::Logs,
};
use super::kill::look::{good, tail};
use crate::{
    Client, Finished, Home,
    torture::{report::Report, seed::Seed},
};

/// So many turns are allowed at first, which nobody uses up; every raise goes further.
const TURNS: u64 = 1_000_000;
/// Workers that nobody ends, on each profile.
const STEADY: usize = 2;
/// Workers that everybody may end.
const VICTIMS: usize = 8;
/// Workers that ask, and that nobody ends: few, so that several clients decide the same.
const ASKING: usize = 3;
/// How often each of their turns asks.
const QUESTIONS: usize = 6;
/// In so few rounds it may be that no kill comes between an effect and its answer.
const ENOUGH_ROUNDS: u64 = 10;

/// How often, and with which choices.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How often the server is killed.
    #[arg(long, default_value_t = 20)]
    rounds: u64,
    /// Chooses requests and moments; timing is the machine's own.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The store; one in memory must be found to forget every key.
    #[arg(long, default_value = "sqlite:store")]
    store: String,
    /// The longest time between two kills, in milliseconds.
    #[arg(long, default_value_t = 400)]
    load_ms: u64,
    /// Clients at once.
    #[arg(long, default_value_t = 6)]
    clients: usize,
}

/// Kills the server so often, lets the clients ask for everything once more, and compares.
///
/// # Panics
///
/// When the harness itself fails, e.g. no server can be started at all.
pub async fn run(arguments: Arguments) -> Report {
    let Arguments { rounds, seed, store, load_ms, clients } = arguments;
    let begun = Instant::now();
    let mut report = Report::new(format!("keys --rounds {rounds} --seed {seed} --store {store}"));
    let home = home(&store);
    let mut seed_of_all = Seed::new(seed);
    let mut server = home.start().await;
    let (here, follows) = watch::channel(Here { client: server.client(), is_last: false });
    let steady =
        [create(&server.client(), "quick", STEADY).await, create(&server.client(), "slow", STEADY).await];
    let (steady, victims) = (steady.concat(), create(&server.client(), "slow", VICTIMS).await);
    let asking = create(&server.client(), "asking", ASKING).await;
    let turns = Arc::new(AtomicU64::new(TURNS));
    let mut askers = JoinSet::new();
    for number in 0..clients {
        let asker = Asker {
            name: format!("c{number}"),
            seed: seed_of_all.fork(),
            steady: steady.clone(),
            victims: victims.clone(),
            asking: asking.clone(),
            turns: Arc::clone(&turns),
            here: follows.clone(),
            n_asked: 0,
        };
        askers.spawn(asker.run());
    }
    for round in 1..=rounds {
        // The moment of the kill is what the seed chooses.
        tokio::time::sleep(Duration::from_millis(seed_of_all.below(load_ms + 1))).await;
        if let Some(code) = server.kill().await {
            report.finding(format!("the server is there to be killed, it ended with {code}"));
        }
        server = match home.try_start().await {
            Ok(server) => server,
            Err(Finished { code, stderr, .. }) => {
                report.finding(format!("the server does not start again, it ends with {code:?}: {stderr}"));
                return report;
            }
        };
        here.send_replace(Here { client: server.client(), is_last: round == rounds });
    }
    if rounds == 0 {
        here.send_replace(Here { client: server.client(), is_last: true });
    }
    let all = askers.join_all().await.concat();
    let findings = match logs(&server.client()).await {
        Ok(logs) => logs.judge(&all),
        Err(problem) => {
            report.finding(problem);
            Vec::new()
        }
    };
    show(&all, rounds, &mut report);
    report.row("seconds", format!("{:.1}", begun.elapsed().as_secs_f64()));
    if !findings.is_empty() {
        report.row("kept", home.keep().display());
    }
    findings.iter().for_each(|finding| report.finding(format!("seed {seed}: {finding}")));
    report
}

/// Says what was done, and what was not, without which nothing was shown.
fn show(all: &[Asked], rounds: u64, report: &mut Report) {
    let count = |is: &dyn Fn(&Asked) -> bool| all.iter().filter(|asked| is(asked)).count();
    let done = |asked: &Asked| asked.good().next().is_some();
    let cut_between =
        |asked: &Asked| asked.n_broken > 0 && asked.good().next().is_some_and(|told| told.is_repeated);
    report.row("kills", rounds);
    report.row("keys", all.len());
    for (name, is) in [
        ("creates", (|want| matches!(want, Want::Create { .. })) as fn(&Want) -> bool),
        ("inputs", |want| matches!(want, Want::Input { .. })),
        ("interrupts", |want| matches!(want, Want::Interrupt { .. })),
        ("stops and cancels", |want| matches!(want, Want::Stop { .. } | Want::Cancel { .. })),
        ("raises", |want| matches!(want, Want::Raise { .. })),
        ("bundles", |want| matches!(want, Want::Store { .. })),
        ("decisions", |want| matches!(want, Want::Decide { .. })),
    ] {
        let n = count(&|asked| done(asked) && is(&asked.want));
        report.row(&format!("{name} done"), n);
        if n == 0 {
            report.finding(format!("no {name} were done, so that none could be doubled"));
        }
    }
    let n = count(&|asked| asked.is_undone);
    report.row("bundles deleted", n);
    if n == 0 && rounds >= ENOUGH_ROUNDS {
        report.finding("no bundle was deleted, so that none could be there again");
    }
    report.row("refused", count(&|asked| !done(asked)));
    report.row("cut by a kill", count(&|asked| asked.n_broken > 0));
    let n = count(&cut_between);
    report.row("cut between effect and answer", n);
    if n == 0 && rounds >= ENOUGH_ROUNDS {
        report.finding("no kill came between an effect and its answer");
    }
}

/// Makes so many workers that no key is about.
async fn create(client: &Client, profile: &str, n: usize) -> Vec<String> {
    let body = json!({"intent": {"kind": "assistant"}, "profile": {"kind": "named", "value": profile}});
    let mut workers = Vec::new();
    for _ in 0..n {
        workers.push(client.create(&body).await);
    }
    workers
}

/// All that happened.
async fn logs(client: &Client) -> Result<Logs, String> {
    let mut logs = Logs::default();
    let bundles = good(client, "/v1/config-bundles").await?;
    bundles["bundles"].as_array().into_iter().flatten().for_each(|summary| logs.bundle(summary));
    let mut after = String::new();
    loop {
        let page = good(client, &format!("/v1/workers?limit=1000{after}")).await?;
        for summary in page["workers"].as_array().into_iter().flatten() {
            logs.worker(summary);
            let worker = summary["worker_id"].as_str().unwrap_or_default();
            logs.log(worker, &tail(client, worker, None).await?);
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return Ok(logs),
        }
    }
}

fn home(store: &str) -> Home {
    let home = Home::new(&format!(
        r#"
[runtime]
default_profile = "quick"
[store]
url = "{store}"
[profiles.quick]
backend = "scripted"
limits = {{ turns = {TURNS} }}
[profiles.slow]
backend = "scripted"
word_delay_ms = 20
limits = {{ turns = {TURNS} }}
[profiles.asking]
backend = "scripted"
script = "asking.json"
approval = {{ mode = "ask" }}
limits = {{ turns = {TURNS} }}
"#
    ));
    let question = json!({"approval": {"tool": "shell", "input": {"command": "make"}}});
    let script = json!({"turns": [{"match": "", "steps": vec![question; QUESTIONS]}]});
    fs::write(home.path().join("asking.json"), script.to_string()).expect("a script is written");
    home
}
