//! Inputs over REST: each is acknowledged when it is durable.

use std::time::Instant;

use serde_json::{Value, json};

use super::{
    Plan,
    connection::{Address, Connection},
    disk,
    latency::Latencies,
    peer::{Peer, Way},
    plant::{self, Profile},
    row::{Row, Unit},
};

pub(super) const PART: &str = "rest";
/// Clients that send at the same time, each to a worker of its own.
const CLIENTS: usize = 64;

/// Measures the way of an input to its ack, alone and with many.
pub(super) async fn run(plan: &Plan) -> Vec<Row> {
    let home = plant::home(&plan.store);
    let server = home.start().await;
    let address = Address::of(&home, &server);
    let workers = plant::create(&address, CLIENTS, Profile::Echo).await;
    let peer = peer(&address, &workers[0], home.path()).await;

    let (mut alone, mut many) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let limit = disk::sync_p50(home.path()).await;
        alone.push((ack_p50(&address, &workers[0], plan.pick(500, 100)).await, limit));
        let limit = answers_rate(&peer.address(), plan.pick(1000, 200)).await;
        many.push((input_rate(&address, &workers, plan.pick(50, 20)).await, limit));
    }
    let alone =
        Row::beside(PART, "input to ack, 1 client, p50", Unit::Seconds, "fdatasync of 512 B, p50", alone);
    let name = format!("inputs with their echo turns, {CLIENTS} clients on {CLIENTS} workers");
    vec![alone, Row::beside(PART, name, Unit::PerSecond, "the same answers from a bare HTTP loop", many)]
}

/// How many inputs a second get their ack and their turn, when each worker has one client that sends without a pause.
pub(super) async fn input_rate(address: &Address, workers: &[String], each: usize) -> f64 {
    let begun = Instant::now();
    let clients = workers.iter().map(|worker| async move {
        let mut connection = Connection::open(address).await;
        for _ in 0..each {
            send(&mut connection, worker).await;
        }
        // What is left are turns: a rate that only fills queues would hold for nobody.
        connection.get(&format!("/v1/workers/{worker}?until=idle&wait=60")).await;
    });
    futures_util::future::join_all(clients).await;
    (workers.len() * each) as f64 / begun.elapsed().as_secs_f64()
}

async fn ack_p50(address: &Address, worker: &str, n: usize) -> f64 {
    let mut connection = Connection::open(address).await;
    let mut latencies = Latencies::default();
    for _ in 0..n {
        let begun = Instant::now();
        send(&mut connection, worker).await;
        latencies.push(begun.elapsed());
        connection.get(&format!("/v1/workers/{worker}?until=idle&wait=60")).await;
    }
    latencies.quantile(50)
}

async fn send(connection: &mut Connection, worker: &str) -> Value {
    let body = json!({"kind": "user", "content": "hello out there"});
    let reply = connection.post(&format!("/v1/workers/{worker}/input"), &body).await;
    serde_json::from_slice(&reply).expect("an ack")
}

/// A program that answers every request with an ack of this server.
async fn peer(address: &Address, worker: &str, directory: &std::path::Path) -> Peer {
    let ack = send(&mut Connection::open(address).await, worker).await.to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let answer = format!("{head}content-length: {}\r\n\r\n{ack}", ack.len());
    let file = directory.join("ack.http");
    std::fs::write(&file, answer).unwrap();
    Peer::start(Way::Answers, &file, 1).await
}

async fn answers_rate(address: &Address, each: usize) -> f64 {
    let begun = Instant::now();
    let clients = (0..CLIENTS).map(|_| async move {
        let mut connection = Connection::open(address).await;
        for _ in 0..each {
            send(&mut connection, "wrk_1").await;
        }
    });
    futures_util::future::join_all(clients).await;
    (CLIENTS * each) as f64 / begun.elapsed().as_secs_f64()
}
