//! Servers and workers to measure.

use std::fs;

use musher_protocol::Cursor;
use serde_json::{Value, json};

use super::connection::{Address, Connection};
use crate::Home;

/// Connections that work is spread over: far more than there are cores, so that the server is never idle.
pub(super) const CONNECTIONS: usize = 64;
/// Texts of one turn that fills a log; each is two events that nothing merges.
pub(super) const BULK_TEXTS: u64 = 2000;
/// Texts of one turn that all observers can follow from memory: it is below what the server keeps there.
pub(super) const BURST_TEXTS: u64 = 480;
/// Texts of a turn that gives a worker some past.
pub(super) const PAST_TEXTS: u64 = 45;
/// Nobody is refused for having said too much.
const QUEUE: usize = 10_000;

/// What a worker does.
///
/// Its script is a part of the worker, and so of every measurement: each profile has the turns that it needs, no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    /// Says what it hears.
    Echo,
    /// Fills its log at `bulk`.
    Bulk,
    /// Says at `burst` what all observers can follow.
    Burst,
    /// Gives itself some past at `past`, and begins a turn without an end at `hang`.
    Past,
}

impl Profile {
    const SCRIPTED: [Self; 3] = [Self::Bulk, Self::Burst, Self::Past];

    fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Bulk => "bulk",
            Self::Burst => "burst",
            Self::Past => "past",
        }
    }

    fn script(self) -> Value {
        let n_texts = match self {
            Self::Echo => 0,
            Self::Bulk => BULK_TEXTS,
            Self::Burst => BURST_TEXTS,
            Self::Past => PAST_TEXTS,
        };
        // As long as what a model says at once, and one word, which is one delta.
        let texts: Vec<Value> = (0..n_texts).map(|n| json!({"text": format!("text-{n:-<40}")})).collect();
        json!({
            "turns": [
                {"match": format!("^{}$", self.name()), "steps": texts},
                {"match": "^hang$", "steps": [{"hang": true}]},
            ],
            "otherwise": "echo",
        })
    }
}

/// A directory for servers that have all profiles.
pub(super) fn home(store: &str) -> Home {
    let limits = format!("limits = {{ queued_inputs = {QUEUE} }}");
    let scripted = Profile::SCRIPTED.map(|profile| {
        let name = profile.name();
        format!("[profiles.{name}]\nbackend = \"scripted\"\nscript = \"{name}.json\"\n{limits}\n")
    });
    let home = Home::new(&format!(
        "[store]\nurl = \"{store}\"\n[profiles.echo]\nbackend = \"scripted\"\n{limits}\n{}",
        scripted.concat()
    ));
    for profile in Profile::SCRIPTED {
        fs::write(home.path().join(format!("{}.json", profile.name())), profile.script().to_string())
            .unwrap();
    }
    home
}

/// Creates so many workers over many connections, and answers with their ids.
pub(super) async fn create(address: &Address, n: usize, profile: Profile) -> Vec<String> {
    begin(address, n, profile, json!({"kind": "assistant"})).await
}

/// The same; each says its profile's own turn at once.
pub(super) async fn create_busy(address: &Address, n: usize, profile: Profile) -> Vec<String> {
    begin(address, n, profile, json!({"kind": "task", "objective": profile.name()})).await
}

async fn begin(address: &Address, n: usize, profile: Profile, intent: Value) -> Vec<String> {
    let body = json!({"intent": intent, "profile": {"kind": "named", "value": profile.name()}});
    each(address, vec![(); n], async move |connection, ()| {
        let reply: Value = serde_json::from_slice(&connection.post("/v1/workers", &body).await).unwrap();
        reply["worker"]["worker_id"].as_str().unwrap().to_owned()
    })
    .await
}

/// Waits until all of these are idle.
pub(super) async fn idle(address: &Address, workers: Vec<String>) {
    each(address, workers, async |connection, worker| {
        connection.get(&format!("/v1/workers/{worker}?until=idle&wait=60")).await;
    })
    .await;
}

/// The number of a worker's last event.
pub(super) async fn head(connection: &mut Connection, worker: impl AsRef<str>) -> u64 {
    let reply = connection.get(&format!("/v1/workers/{}", worker.as_ref())).await;
    let reply: Value = serde_json::from_slice(&reply).expect("a worker");
    reply["worker"]["cursor"].as_str().expect("a cursor").parse::<Cursor>().expect("a cursor").seq()
}

/// Does something for each item, spread over [`CONNECTIONS`]; the answers are in no order.
pub(super) async fn each<I, O>(
    address: &Address,
    items: Vec<I>,
    act: impl AsyncFn(&mut Connection, I) -> O + Clone,
) -> Vec<O> {
    let shares = CONNECTIONS.min(items.len()).max(1);
    let mut shared: Vec<Vec<I>> = (0..shares).map(|_| Vec::new()).collect();
    for (index, item) in items.into_iter().enumerate() {
        shared[index % shares].push(item);
    }
    let tasks = shared.into_iter().map(|share| async {
        let mut connection = Connection::open(address).await;
        let mut done = Vec::with_capacity(share.len());
        for item in share {
            done.push(act(&mut connection, item).await);
        }
        done
    });
    futures_util::future::join_all(tasks).await.into_iter().flatten().collect()
}
