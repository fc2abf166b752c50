//! Answers of a vendor through a worker of an API backend, beside a bare client of the same vendor.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Plan,
    arrivals::{Answered, Arrivals},
    bare::Bare,
    connection::{Address, Connection},
    latency::Latencies,
    observer::Observer,
    row::{Row, Target, Unit},
    vendor::{self, KEY, Order, Protocol},
};
use crate::Home;

pub(super) const PART: &str = "api";
const LIMIT: &str = "a bare reqwest loop";

/// What small models of large vendors do on a good day. A slower vendor hides more of what we add.
const FIRST: Duration = Duration::from_millis(300);
const PACE: Duration = Duration::from_millis(5);
/// How much later or slower than with a bare client.
const MOST: f64 = 0.05;

/// The answers of one kind in each round, and those that a bare client had.
type Rounds = Vec<(Vec<Answered>, Vec<Answered>)>;

/// Measures each protocol with a vendor that takes its time, and with one that takes none.
pub(super) async fn run(plan: &Plan) -> Vec<Row> {
    let vendor = vendor::start().await;
    let url = format!("http://127.0.0.1:{}", vendor.address().port);
    let bare = Bare::of(&url);
    let home = home(&plan.store, &url);
    let server = home.start().await;
    let address = Address::of(&home, &server);

    let zero = Duration::ZERO;
    let paced = Order { first: FIRST, pace: PACE, n_tokens: plan.pick(200, 50) };
    let word = Order { first: zero, pace: zero, n_tokens: 1 };
    let flood = Order { first: zero, pace: zero, n_tokens: plan.pick(50_000, 5000) };
    let kinds = [(paced, plan.pick(5, 2)), (word, plan.pick(50, 10)), (flood, 1)];
    let mut measured = Protocol::ALL.map(|protocol| (protocol, kinds.map(|_| Rounds::new())));
    for _ in 0..plan.rounds {
        for (protocol, rounds) in &mut measured {
            for ((order, n_turns), rounds) in kinds.into_iter().zip(rounds) {
                // The first connects, starts the session, and lets the vendor spell its answer.
                bare.ask(*protocol, order).await;
                let mut worker = Worker::create(&address, *protocol).await;
                worker.ask(word).await;
                let (mut ours, mut limit) = (Vec::new(), Vec::new());
                for _ in 0..n_turns {
                    limit.push(bare.ask(*protocol, order).await);
                    ours.push(worker.ask(order).await);
                }
                rounds.push((ours, limit));
            }
        }
    }
    measured.into_iter().flat_map(|(protocol, kinds)| rows(protocol, kinds)).collect()
}

fn rows(protocol: Protocol, [paced, word, flood]: [Rounds; 3]) -> [Row; 4] {
    let [after, pause] = [FIRST, PACE].map(|time| time.as_millis());
    let row = |what: &str, unit, rounds: &Rounds, figure: &dyn Fn(&[Answered]) -> f64| {
        let rounds = rounds.iter().map(|(ours, limit)| (figure(ours), figure(limit))).collect();
        Row::beside(PART, format!("{what}, {}", spoken(protocol)), unit, LIMIT, rounds)
    };
    let (seconds, per_second) = (Unit::Seconds, Unit::PerSecond);
    let (rest, whole) = (|answer: &Answered| answer.rest, |answer: &Answered| answer.whole);
    [
        row(&format!("first token of a vendor who has it after {after} ms"), seconds, &paced, &first)
            .target(Target::OfLimitAtMost(1.0 + MOST)),
        row(
            &format!("tokens of a vendor who pauses {pause} ms behind each"),
            per_second,
            &paced,
            &|answers| rate(answers, rest),
        )
        .target(Target::OfLimitAtLeast(1.0 - MOST)),
        row("first token of a vendor who has it at once", seconds, &word, &first),
        row("tokens of a vendor who has all at once", per_second, &flood, &|answers| rate(answers, whole)),
    ]
}

/// The p50 of the times to the first token, in seconds.
fn first(answers: &[Answered]) -> f64 {
    let mut latencies = Latencies::default();
    answers.iter().for_each(|answer| latencies.push(answer.first));
    latencies.quantile(50)
}

/// Tokens a second, of all answers together.
fn rate(answers: &[Answered], of: fn(&Answered) -> (usize, Duration)) -> f64 {
    let counted = answers.iter().map(of);
    let (tokens, time) = counted.fold((0, Duration::ZERO), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    tokens as f64 / time.as_secs_f64()
}

fn profile(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Responses => "responses",
        Protocol::Chat => "chat",
        Protocol::Generate => "generate",
    }
}

fn spoken(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Responses => "openai-api (responses)",
        Protocol::Chat => "openai-api (chat)",
        Protocol::Generate => "gemini-api",
    }
}

/// A directory for servers that reach this vendor in each protocol.
fn home(store: &str, url: &str) -> Home {
    let table = |protocol| {
        let (name, backend) = (
            profile(protocol),
            match protocol {
                Protocol::Responses | Protocol::Chat => {
                    format!(
                        "kind = \"openai-api\"\ndialect = \"{}\"\nbase_url = \"{url}/v1\"",
                        profile(protocol)
                    )
                }
                Protocol::Generate => format!("kind = \"gemini-api\"\nbase_url = \"{url}\""),
            },
        );
        format!(
            "[backends.{name}]\n{backend}\napi_key_env = \"VENDOR_KEY\"\n\
             [profiles.{name}]\nbackend = \"{name}\"\nmodel = \"scripted\"\ncapabilities = []\n"
        )
    };
    Home::new(&format!("[store]\nurl = \"{store}\"\n{}", Protocol::ALL.map(table).concat()))
        .env("VENDOR_KEY", KEY)
}

/// A worker with a socket that watches it.
struct Worker {
    id: String,
    connection: Connection,
    observer: Observer,
}

impl Worker {
    async fn create(address: &Address, protocol: Protocol) -> Self {
        let mut connection = Connection::open(address).await;
        let profile = json!({"kind": "named", "value": profile(protocol)});
        let created = connection
            .post("/v1/workers", &json!({"intent": {"kind": "assistant"}, "profile": profile}))
            .await;
        let created: Value = serde_json::from_slice(&created).expect("a worker");
        let id = created["worker"]["worker_id"].as_str().expect("its id").to_owned();
        let mut observer = Observer::open(address, &id, "").await;
        observer.first().await;
        Self { id, connection, observer }
    }

    /// Says what gets this answer, and watches it come.
    async fn ask(&mut self, order: Order) -> Answered {
        let Self { id, connection, observer } = self;
        let path = format!("/v1/workers/{id}/input");
        let input = json!({"kind": "user", "content": order.to_string()});
        let mut arrivals = Arrivals::from_now();
        let watching = observer.turn(|_, body| arrivals.push(body));
        tokio::join!(connection.post(&path, &input), watching);
        arrivals.answered(order.n_tokens)
    }
}
