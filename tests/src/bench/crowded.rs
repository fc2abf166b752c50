//! What many workers cost those who ask for few.

use std::time::Instant;

use serde_json::Value;

use super::{
    Plan,
    connection::{Address, Connection},
    latency::Latencies,
    plant::{self, Profile},
    rest,
    row::{Row, Target, Unit},
};

pub(super) const PART: &str = "workers";
const FEW: usize = 10;
/// A page of the list.
const PAGE: &str = "/v1/workers?limit=100";

/// Compares a server with few workers with one that has many, and then more.
pub(super) async fn run(plan: &Plan) -> Vec<Row> {
    let (many, most) = (plan.pick(10_000, 1_000), plan.pick(100_000, 3_000));
    let small_home = plant::home(&plan.store);
    let small_server = small_home.start().await;
    let small = Address::of(&small_home, &small_server);
    let few = plant::create(&small, FEW, Profile::Echo).await;

    let home = plant::home(&plan.store);
    let server = home.start().await;
    let large = Address::of(&home, &server);
    let some = plant::create(&large, FEW, Profile::Echo).await;
    let empty_kib = server.resident_kib();
    let mut creates = fill(&large, many - FEW, plan.rounds).await;
    let kib = server.resident_kib().saturating_sub(empty_kib) as f64 / (many - FEW) as f64;

    let (mut rates, mut runtimes) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let each = plan.pick(200, 50);
        let limit = rest::input_rate(&small, &few, each).await;
        rates.push((rest::input_rate(&large, &some, each).await, limit));
        runtimes.push(runtime_beside(plan, &small, &large).await);
    }
    creates.extend(fill(&large, most - many, plan.rounds).await);

    let (mut more_runtimes, mut first, mut middle) = (Vec::new(), Pages::default(), Pages::default());
    let half = half_way(&large, most).await;
    for _ in 0..plan.rounds {
        more_runtimes.push(runtime_beside(plan, &small, &large).await);
        first.measure(&large, PAGE, plan.pick(300, 100)).await;
        middle.measure(&large, &format!("{PAGE}&after={half}"), plan.pick(300, 100)).await;
    }

    let beside = |name: String, unit, rounds| Row::beside(PART, name, unit, format!("with {FEW}"), rounds);
    let mut rows = vec![
        Row::new(PART, format!("workers created, up to {most}"), Unit::PerSecond, creates),
        Row::new(PART, "memory of a worker that waits", Unit::Kib, vec![kib]),
        beside(format!("inputs on {FEW} of {many} workers"), Unit::PerSecond, rates)
            .target(Target::OfLimitAtLeast(0.9)),
        beside(format!("GET /v1/runtime with {many} workers, p50"), Unit::Seconds, runtimes)
            .target(Target::OfLimitAtMost(1.5)),
        beside(format!("GET /v1/runtime with {most} workers, p50"), Unit::Seconds, more_runtimes)
            .target(Target::OfLimitAtMost(1.5)),
    ];
    rows.extend(first.rows("first", most));
    rows.extend(middle.rows("middle", most));
    rows
}

/// The p50 and p99 of a page, of each round.
#[derive(Default)]
struct Pages {
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Pages {
    async fn measure(&mut self, address: &Address, path: &str, n: usize) {
        let mut latencies = get(address, path, n).await;
        self.p50.push(latencies.quantile(50));
        self.p99.push(latencies.quantile(99));
    }

    fn rows(self, which: &str, workers: usize) -> [Row; 2] {
        [("p50", self.p50), ("p99", self.p99)].map(|(quantile, figures)| {
            let name = format!("page of 100 workers, {which} of {workers}, {quantile}");
            Row::new(PART, name, Unit::Seconds, figures).target(Target::AtMost(0.005))
        })
    }
}

/// Creates workers in as many steps, and answers with the rate of each.
async fn fill(address: &Address, n: usize, steps: usize) -> Vec<f64> {
    let mut rates = Vec::new();
    for step in 0..steps {
        let share = n * (step + 1) / steps - n * step / steps;
        let begun = Instant::now();
        plant::create(address, share, Profile::Echo).await;
        rates.push(share as f64 / begun.elapsed().as_secs_f64());
    }
    rates
}

/// The p50 at the large server, and right before that at the small one.
async fn runtime_beside(plan: &Plan, small: &Address, large: &Address) -> (f64, f64) {
    let n = plan.pick(500, 200);
    let limit = get(small, "/v1/runtime", n).await.quantile(50);
    (get(large, "/v1/runtime", n).await.quantile(50), limit)
}

async fn get(address: &Address, path: &str, n: usize) -> Latencies {
    let mut connection = Connection::open(address).await;
    let mut latencies = Latencies::default();
    for _ in 0..n {
        let begun = Instant::now();
        connection.get(path).await;
        latencies.push(begun.elapsed());
    }
    latencies
}

/// The id behind which the second half of the list begins.
async fn half_way(address: &Address, workers: usize) -> String {
    let mut connection = Connection::open(address).await;
    let mut after = String::new();
    let mut passed = 0;
    loop {
        let limit = 1000.min(workers / 2 - passed);
        let page = connection.get(&format!("/v1/workers?limit={limit}{after}")).await;
        let page: Value = serde_json::from_slice(&page).expect("a list");
        let next = page["next"].as_str().expect("a second half").to_owned();
        passed += limit;
        if passed >= workers / 2 {
            return next;
        }
        after = format!("&after={next}");
    }
}
