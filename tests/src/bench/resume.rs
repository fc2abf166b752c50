//! A reader who was away: a long log from a cursor.

use std::{fs, ops::ControlFlow, time::Instant};

use serde_json::{Value, json};

use super::{
    Plan,
    connection::{Address, Connection},
    latency::Latencies,
    observer::Observer,
    peer::{Peer, Way},
    plant::{self, Profile},
    row::{Row, Target, Unit},
};

pub(super) const PART: &str = "resume";
/// The piece of the log that the bare loop repeats.
const SAMPLE: usize = 8 << 20;
/// Behind the head: more than a live reader ever is, less than a page.
const NEAR: u64 = 100;

/// Fills a log, and reads it.
pub(super) async fn run(plan: &Plan) -> Vec<Row> {
    let wanted: u64 = plan.pick(1_000_000, 100_000);
    let home = plant::home(&plan.store);
    let server = home.start().await;
    let address = Address::of(&home, &server);
    let worker = plant::create(&address, 1, Profile::Bulk).await.remove(0);
    let begun = Instant::now();
    fill(&address, &worker, wanted).await;
    let loaded = begun.elapsed();
    let head = plant::head(&mut Connection::open(&address).await, &worker).await;
    let (begin, end) = (cursor(&address, &worker, 1).await, cursor(&address, &worker, head - NEAR).await);

    let (file, frames) = (home.path().join("log.frames"), head - 1);
    let sample = sample(&address, &worker, &begin, frames).await;
    fs::write(&file, &sample.0).unwrap();
    let mut peer = Peer::start(Way::Batches, &file, frames.div_ceil(sample.1)).await;
    let mut speeds = Vec::new();
    let (mut firsts, mut lasts) = (Firsts::default(), Firsts::default());
    for _ in 0..plan.rounds {
        let mut bare = Observer::of_peer(&peer.address()).await;
        peer.send().await;
        let limit = rate(&mut bare, frames).await;
        let mut observer = Observer::open(&address, &worker, &format!("?cursor={begin}")).await;
        observer.first().await;
        speeds.push((rate(&mut observer, frames).await, limit));
        firsts.measure(&address, &worker, &begin, plan.pick(50, 20)).await;
        lasts.measure(&address, &worker, &end, plan.pick(50, 20)).await;
    }
    let rate = Row::beside(
        PART,
        format!("events read from a cursor, one socket, log of {head} events"),
        Unit::PerSecond,
        "the same bytes from a bare TCP loop",
        speeds,
    );
    let mut rows = vec![
        Row::new(
            PART,
            "events written by one worker",
            Unit::PerSecond,
            vec![head as f64 / loaded.as_secs_f64()],
        ),
        rate.target(Target::AtLeast(500_000.0)),
    ];
    rows.extend(firsts.rows("the beginning", head));
    rows.extend(lasts.rows("the end", head));
    rows
}

/// From the request of a new connection to the first event, p50 and p99 of each round.
#[derive(Default)]
struct Firsts {
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Firsts {
    async fn measure(&mut self, address: &Address, worker: &str, cursor: &str, n: usize) {
        let mut latencies = Latencies::default();
        for _ in 0..n {
            let begun = Instant::now();
            let mut observer = Observer::open(address, worker, &format!("?cursor={cursor}")).await;
            // The state at the cursor comes before what is behind it.
            observer.first().await;
            observer.first().await;
            latencies.push(begun.elapsed());
        }
        self.p50.push(latencies.quantile(50));
        self.p99.push(latencies.quantile(99));
    }

    fn rows(self, place: &str, events: u64) -> [Row; 2] {
        [("p50", self.p50), ("p99", self.p99)].map(|(quantile, figures)| {
            let name = format!("connection to first event near {place} of {events} events, {quantile}");
            Row::new(PART, name, Unit::Seconds, figures).target(Target::AtMost(0.01))
        })
    }
}

/// Lets a worker write so many events at least.
async fn fill(address: &Address, worker: &str, events: u64) {
    let mut connection = Connection::open(address).await;
    for _ in 0..events.div_ceil(2 * plant::BULK_TEXTS) {
        let input = json!({"kind": "user", "content": "bulk"});
        connection.post(&format!("/v1/workers/{worker}/input"), &input).await;
        connection.get(&format!("/v1/workers/{worker}?until=idle&wait=60")).await;
    }
}

/// The place behind an event.
async fn cursor(address: &Address, worker: &str, seq: u64) -> String {
    let mut connection = Connection::open(address).await;
    let head = plant::head(&mut connection, worker).await;
    let query = if seq == 1 { "limit=1".to_owned() } else { format!("tail={}&limit=1", head - seq + 1) };
    let page = connection.get(&format!("/v1/workers/{worker}/events?{query}")).await;
    let page: Value = serde_json::from_slice(&page).expect("a page");
    page["next"].as_str().expect("a cursor").to_owned()
}

/// Whole frames from the log's beginning, and how many there are.
async fn sample(address: &Address, worker: &str, begin: &str, frames: u64) -> (Vec<u8>, u64) {
    let mut observer = Observer::open(address, worker, &format!("?cursor={begin}")).await;
    observer.first().await;
    let (mut bytes, mut n) = (Vec::new(), 0);
    observer
        .read(|whole, _| {
            bytes.extend_from_slice(whole);
            n += 1;
            if bytes.len() >= SAMPLE || n == frames {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .await;
    (bytes, n)
}

/// How many frames a second come, counted to the last of them.
async fn rate(observer: &mut Observer, frames: u64) -> f64 {
    let begun = Instant::now();
    let mut left = frames;
    observer
        .read(|_, _| {
            left -= 1;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .await;
    frames as f64 / begun.elapsed().as_secs_f64()
}
