//! Losses of power, one for each seed, and what the real server makes of what they leave.

use std::{
    collections::{HashMap, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
};

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::{
    disk::Image,
    fate::Fate,
    promise::{self, Logs, Promise},
    recording,
    trace::Trace,
};
use crate::{Client, Home, torture::seed::Seed};

/// Servers that run at the same time. They wait for their starts more than for a processor.
pub(in crate::torture) const SERVERS: usize = 2;
/// The most that one page of a log or a list may have.
const PAGE: usize = 256;

/// A loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Loss {
    seed: u64,
    line: usize,
    /// How many promises hold there.
    promised: usize,
}

/// What came of some seeds.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// How many states were different, and checked.
    pub(super) states: usize,
    /// Each seed that lost something, with what was lost.
    pub(super) lost: Vec<(u64, Vec<String>)>,
}

/// When to stop looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// All seeds are done.
    AllAreDone,
    /// Something is found.
    OneIsFound,
}

/// Lets the power fail once for each seed, and checks each state that this leaves.
pub(super) async fn replay(trace: &Trace, from: u64, seeds: u64, until: Until) -> Verdict {
    let checks = distinct(trace, from, seeds)
        .into_iter()
        .map(|loss| async move { (loss.seed, check(trace, loss).await) });
    let mut checked = stream::iter(checks).buffered(SERVERS);
    let mut verdict = Verdict::default();
    while let Some((seed, lost)) = checked.next().await {
        verdict.states += 1;
        if !lost.is_empty() {
            verdict.lost.push((seed, lost));
            if until == Until::OneIsFound {
                break;
            }
        }
    }
    verdict
}

/// The losses of these seeds without those that another one answers for: the same state, and as much promised.
fn distinct(trace: &Trace, from: u64, seeds: u64) -> Vec<Loss> {
    let mut losses: Vec<Loss> = Vec::new();
    let mut known: HashMap<u64, usize> = HashMap::new();
    for seed in from..from.saturating_add(seeds) {
        let (line, image) = draw(trace, seed);
        let loss = Loss { seed, line, promised: trace.promised(line).count() };
        let mut state = DefaultHasher::new();
        image.hash(&mut state);
        match known.get(&state.finish()) {
            Some(index) if losses[*index].promised >= loss.promised => {}
            Some(index) => losses[*index] = loss,
            None => {
                known.insert(state.finish(), losses.len());
                losses.push(loss);
            }
        }
    }
    losses
}

/// The line that a seed chooses, and what its loss leaves.
fn draw(trace: &Trace, seed: u64) -> (usize, Image) {
    let mut seed = Seed::new(seed);
    let line = trace.moment(&mut seed);
    (line, trace.disk.after_loss(line, &mut Fate::new(seed)))
}

async fn check(trace: &Trace, loss: Loss) -> Vec<String> {
    let (line, image) = draw(trace, loss.seed);
    let home = Home::new(recording::CONFIG);
    recording::lay_out(&image, home.path()).unwrap();
    let promises: Vec<&Promise> = trace.promised(line).collect();
    let server = match home.try_start().await {
        Ok(server) => server,
        Err(refused) => {
            return vec![format!(
                "the server refuses to start ({:?}): {}",
                refused.code,
                refused.stderr.trim()
            )];
        }
    };
    let client = server.client();
    let mut lost = match logs(&client, promises.iter().map(|promise| promise.worker())).await {
        Ok(logs) => promise::broken(promises.iter().copied(), &logs),
        Err(refused) => vec![refused],
    };
    lost.extend(goes_on(&client).await);
    server.kill().await;
    lost
}

/// The logs of all workers that a server has, and of these.
pub(in crate::torture) async fn logs<'a>(
    client: &Client,
    named: impl IntoIterator<Item = &'a str>,
) -> Result<Logs, String> {
    let mut logs = Logs::new();
    for worker in named {
        logs.insert(worker.to_owned(), None);
    }
    let mut after = String::new();
    loop {
        let page = good(client, &format!("/v1/workers?limit={PAGE}{after}")).await?;
        let workers = page["workers"].as_array().ok_or("a list without workers")?;
        let ids = workers.iter().filter_map(|worker| worker["worker_id"].as_str());
        logs.extend(ids.map(|id| (id.to_owned(), None)));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    for (worker, log) in &mut logs {
        let answer = client.get(&format!("/v1/workers/{worker}")).await;
        *log = match answer.status {
            404 => None,
            _ => Some(log_of(client, worker).await?),
        };
    }
    Ok(logs)
}

/// The whole log of a worker, as it came.
pub(in crate::torture) async fn log_of(client: &Client, worker: &str) -> Result<Vec<Value>, String> {
    let mut events = Vec::new();
    let mut after = String::new();
    loop {
        let page = good(client, &format!("/v1/workers/{worker}/events?limit={PAGE}{after}")).await?;
        events.extend(page["events"].as_array().ok_or("a page without events")?.iter().cloned());
        if page["has_more"] == false {
            return Ok(events);
        }
        after = format!("&after={}", page["next"].as_str().ok_or("a page without a place to go on from")?);
    }
}

async fn good(client: &Client, path: &str) -> Result<Value, String> {
    let answer = client.get(path).await;
    if answer.status == 200 {
        Ok(answer.body)
    } else {
        Err(format!("{path}: {} {}", answer.status, answer.body))
    }
}

/// A store that can be read and not be written is lost, too.
pub(in crate::torture) async fn goes_on(client: &Client) -> Option<String> {
    let created = client.post("/v1/workers", &json!({"intent": {"kind": "assistant"}})).await;
    let Some(worker) = created.body["worker"]["worker_id"].as_str() else {
        return Some(format!("no new worker: {} {}", created.status, created.body));
    };
    let said = json!({"kind": "user", "content": "and on"});
    let said = client.post(&format!("/v1/workers/{worker}/input"), &said).await;
    (said.status != 200).then(|| format!("no new input: {} {}", said.status, said.body))
}
