//! From the start of the program to a server that listens, and what it holds then.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    Plan,
    connection::Address,
    plant::{self, Profile},
    row::{Row, Target, Unit},
};
use crate::{Home, Server, musher};

pub(super) const PART: &str = "start";
/// Starts of an empty server in a round; its figure is their median.
const STARTS: usize = 9;
/// The most that an idle server holds, and how long it is given to come to rest.
const IDLE_KIB: f64 = 20480.0;
const REST: Duration = Duration::from_millis(500);

/// Measures starts on nothing, on a large store, and after a kill in the middle of work.
pub(super) async fn run(plan: &Plan) -> Vec<Row> {
    let (mut empty, mut empty_kib) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let limit = median_of(async || program(&plan.store).await).await;
        let listening = median_of(async || {
            let home = plant::home(&plan.store);
            let (took, server) = start(&home).await;
            server.kill().await;
            took
        });
        empty.push((listening.await, limit));
        empty_kib.push(idle_kib(&plant::home(&plan.store)).await);
    }
    let mut rows = vec![
        Row::beside(PART, "listening on an empty store", Unit::Seconds, "`musher --version`", empty)
            .target(Target::AtMost(0.05)),
        Row::new(PART, "memory of an idle server, empty store", Unit::Kib, empty_kib)
            .target(Target::AtMost(IDLE_KIB)),
    ];
    // Nothing of a store in memory is there after a start.
    if plan.is_durable() {
        rows.extend(large(plan).await);
        rows.extend(killed(plan).await);
    }
    rows
}

async fn large(plan: &Plan) -> Vec<Row> {
    let workers = plan.pick(10_000, 500);
    let home = plant::home(&plan.store);
    let server = home.start().await;
    let address = Address::of(&home, &server);
    let created = plant::create_busy(&address, workers, Profile::Past).await;
    plant::idle(&address, created.clone()).await;
    let events: u64 =
        plant::each(&address, created, async |connection, worker| plant::head(connection, worker).await)
            .await
            .into_iter()
            .sum();
    server.terminate().await;

    let (mut listening, mut kib) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let (took, server) = start(&home).await;
        listening.push(took);
        kib.push(resident(&server).await);
        server.terminate().await;
    }
    let what = format!("{events} events in {workers} workers");
    vec![
        Row::new(PART, format!("listening with {what}"), Unit::Seconds, listening)
            .target(Target::AtMost(2.0)),
        Row::new(PART, format!("memory of an idle server with {what}"), Unit::Kib, kib)
            .target(Target::AtMost(IDLE_KIB)),
    ]
}

async fn killed(plan: &Plan) -> Vec<Row> {
    let turns = plan.pick(1000, 100);
    let home = plant::home(&plan.store);
    let mut server = home.start().await;
    let address = Address::of(&home, &server);
    let workers = plant::create(&address, turns, Profile::Past).await;
    let mut listening = Vec::new();
    for _ in 0..plan.rounds {
        let address = Address::of(&home, &server);
        plant::each(&address, workers.clone(), async |connection, worker| {
            let path = format!("/v1/workers/{worker}");
            let input = json!({"kind": "user", "content": "hang"});
            let ack = connection.post(&format!("{path}/input"), &input).await;
            let ack: Value = serde_json::from_slice(&ack).expect("an ack");
            let behind = ack["ack"]["cursor"].as_str().expect("a cursor");
            connection.get(&format!("{path}/events?after={behind}&types=input_taken&wait=60")).await;
        })
        .await;
        server.kill().await;
        let took;
        (took, server) = start(&home).await;
        listening.push(took);
    }
    let name = format!("listening after kill -9 with {turns} open turns, all closed in the log");
    vec![Row::new(PART, name, Unit::Seconds, listening)]
}

/// Starts a server, and answers with the seconds until it was seen to be ready.
async fn start(home: &Home) -> (f64, Server) {
    let begun = Instant::now();
    let server = home.start().await;
    (begun.elapsed().as_secs_f64(), server)
}

/// The seconds that the program takes to do nothing.
async fn program(store: &str) -> f64 {
    let home = plant::home(store);
    let begun = Instant::now();
    let mut command = musher(home.path());
    let status = command.arg("--version").stdout(Stdio::null()).status().await.unwrap();
    assert!(status.success(), "{status}");
    begun.elapsed().as_secs_f64()
}

async fn idle_kib(home: &Home) -> f64 {
    let server = home.start().await;
    resident(&server).await
}

async fn resident(server: &Server) -> f64 {
    // Nothing says that a server has come to rest; what it frees after its start it frees at once.
    tokio::time::sleep(REST).await;
    server.resident_kib() as f64
}

async fn median_of(measure: impl AsyncFn() -> f64) -> f64 {
    let mut figures = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        figures.push(measure().await);
    }
    figures.sort_unstable_by(f64::total_cmp);
    figures[STARTS / 2]
}
