//! One worker, many observers.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use serde_json::json;

use super::{
    Plan,
    connection::{Address, Connection},
    observer::{Crowd, Observer},
    peer::{Peer, Way},
    plant::{self, Profile},
    row::{Row, Target, Unit},
    usage,
};

pub(super) const PART: &str = "fan-out";
/// Handshakes at the same time: below what a listener's queue holds.
const HANDSHAKES: usize = 64;

/// What one way of sending came to.
#[derive(Clone, Copy, Debug)]
struct Speed {
    /// Frames that arrived, a second.
    deliveries: f64,
    /// Bytes that arrived, a second.
    bytes: f64,
    /// Time of the sending process for each frame, in seconds.
    cpu: f64,
}

/// A burst of frames, as every socket gets it.
#[derive(Clone, Debug, Default)]
struct Burst {
    bytes: Vec<u8>,
    frames: u64,
}

/// Measures bursts that observers follow from memory, beside the same bytes from a bare loop and from a naive server.
pub(super) async fn run(plan: &Plan) -> Vec<Row> {
    let sockets = plan.pick(1000, 200);
    let home = plant::home(&plan.store);
    let server = home.start().await;
    let address = Address::of(&home, &server);
    let worker = plant::create(&address, 1, Profile::Burst).await.remove(0);
    let sample = sample(&address, &worker).await;
    let file = home.path().join("burst.frames");
    fs::write(&file, &sample.bytes).unwrap();

    let bursts = plan.pick(5, 2);
    let (mut ours, mut bare, mut naive) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        bare.push(peer(Way::Batches, &file, &sample, sockets, bursts).await);
        ours.push(ours_once(&address, &worker, server.pid(), sockets, bursts).await);
        naive.push(peer(Way::Naive, &file, &sample, sockets, bursts.min(2)).await);
    }
    let pairs =
        |limit: &[Speed], of: fn(&Speed) -> f64| ours.iter().map(of).zip(limit.iter().map(of)).collect();
    let name = |what: &str| format!("{what}, {sockets} sockets on one worker, frames of {} B", sample.mean());
    let bare_loop = "the same bytes from a bare TCP loop in batches";
    vec![
        Row::beside(
            PART,
            name("deliveries"),
            Unit::PerSecond,
            bare_loop,
            pairs(&bare, |speed| speed.deliveries),
        )
        .target(Target::OfLimitAtLeast(0.5)),
        Row::beside(PART, name("bytes"), Unit::BytesPerSecond, bare_loop, pairs(&bare, |speed| speed.bytes)),
        Row::beside(
            PART,
            name("CPU of the server a delivery"),
            Unit::Seconds,
            bare_loop,
            pairs(&bare, |speed| speed.cpu),
        )
        .target(Target::OfLimitAtMost(2.0)),
        Row::beside(
            PART,
            name("the same deliveries"),
            Unit::PerSecond,
            "a naive broadcast: serialized and written for each socket",
            pairs(&naive, |speed| speed.deliveries),
        )
        .target(Target::OfLimitAtLeast(10.0)),
    ]
}

impl Burst {
    /// Bytes of a frame.
    fn mean(&self) -> u64 {
        self.bytes.len() as u64 / self.frames.max(1)
    }

    /// What sockets made of it that many times.
    fn speed(&self, sockets: usize, times: u64, took: Duration, cpu: Duration) -> Speed {
        let deliveries = self.frames as f64 * sockets as f64 * times as f64;
        let bytes = self.bytes.len() as f64 * sockets as f64 * times as f64;
        let secs = took.as_secs_f64();
        Speed { deliveries: deliveries / secs, bytes: bytes / secs, cpu: cpu.as_secs_f64() / deliveries }
    }
}

/// What a burst looks like to an observer.
async fn sample(address: &Address, worker: &str) -> Burst {
    let mut observer = Observer::open(address, worker, "").await;
    observer.first().await;
    say(&mut Connection::open(address).await, worker).await;
    burst(&mut observer).await
}

/// Reads a burst up to the event that ends it.
async fn burst(observer: &mut Observer) -> Burst {
    let mut burst = Burst::default();
    observer
        .turn(|whole, _| {
            burst.bytes.extend_from_slice(whole);
            burst.frames += 1;
        })
        .await;
    burst
}

async fn say(connection: &mut Connection, worker: &str) {
    connection
        .post(&format!("/v1/workers/{worker}/input"), &json!({"kind": "user", "content": "burst"}))
        .await;
}

/// The server's bursts, from the moment that each is asked for until the last socket has it.
async fn ours_once(address: &Address, worker: &str, pid: i32, sockets: usize, bursts: u64) -> Speed {
    let streams = stream::iter(0..sockets).map(async |_| {
        let mut observer = Observer::open(address, worker, "").await;
        observer.first().await;
        observer.into_stream()
    });
    let streams: Vec<_> = streams.buffer_unordered(HANDSHAKES).collect().await;
    let mut crowd = Crowd::new(streams);
    let mut observer = Observer::open(address, worker, "").await;
    observer.first().await;
    let mut connection = Connection::open(address).await;

    let (mut all, mut took) = (Burst::default(), Duration::ZERO);
    let before = usage::cpu(pid);
    for _ in 0..bursts {
        let begun = Instant::now();
        say(&mut connection, worker).await;
        let one = burst(&mut observer).await;
        all.frames += one.frames;
        all.bytes.extend(one.bytes);
        took += crowd.reach(all.bytes.len() as u64).await - begun;
    }
    // One socket more has all of it: the one that says how much there is.
    all.speed(sockets + 1, 1, took, usage::cpu(pid) - before)
}

/// A peer's bursts.
async fn peer(way: Way, file: &Path, sample: &Burst, sockets: usize, bursts: u64) -> Speed {
    let mut peer = Peer::start(way, file, 1).await;
    let address = peer.address();
    let streams = stream::iter(0..sockets).map(async |_| Observer::of_peer(&address).await.into_stream());
    let mut crowd = Crowd::new(streams.buffer_unordered(HANDSHAKES).collect().await);
    // The first burst is not counted: what is measured is a process that has been at it.
    let mut took = Duration::ZERO;
    let mut before = Duration::ZERO;
    for number in 0..=bursts {
        let begun = Instant::now();
        peer.send().await;
        let done = crowd.reach((number + 1) * sample.bytes.len() as u64).await;
        if number == 0 {
            before = usage::cpu(peer.pid());
        } else {
            took += done - begun;
        }
    }
    sample.speed(sockets, bursts, took, usage::cpu(peer.pid()) - before)
}
