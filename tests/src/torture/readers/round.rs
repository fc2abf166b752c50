//! One worker, its readers, and what is measured of them.

use std::{
    ops::RangeInclusive,
    sync::Arc,
    time::{Duration, Instant},
};

use musher_protocol::Cursor;
use serde_json::json;
use tokio::{sync::watch, task::JoinSet};

use super::{
    Arguments, TEXTS,
    reader::{Control, Place, Reader, Temper},
    record::{Log, Record},
};
use crate::{Client, Server, torture::seed::Seed};

/// Stalled readers that are there before the others are counted: what the server keeps once for all of them, the
/// caches of its store above all, is no cost of one reader.
const FIRST: usize = 8;
/// Where stalled readers begin, in events before the head: some 8 MiB, twice what a kernel takes of a server for
/// a client that does not read.
const BEHIND: u64 = 12_000;
/// How often to look whether the server does nothing any more, how often it must look so, and how many ticks its
/// chores may take in the meantime.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS_ALIKE: u32 = 10;
const CHORES: u64 = 1;
/// For a server to come to rest; one that never does is taken as it is then.
const REST: Duration = Duration::from_secs(60);

/// A server with the one worker that everybody reads.
pub(super) struct Stage<'a> {
    server: Server,
    client: Client,
    worker: Arc<str>,
    seed: Seed,
    arguments: &'a Arguments,
    n_groups: usize,
}

/// What one round measured: of delays the numbers of the events, which are compared with the log in the end.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) alone: RangeInclusive<u64>,
    pub(super) beside: RangeInclusive<u64>,
    /// What the server's memory grew by while the stalled readers came.
    pub(super) grown_kib: u64,
    /// Where the stalled readers began, and where the log was then.
    pub(super) behind: RangeInclusive<u64>,
}

/// Some readers with one thing to be told.
struct Group {
    control: watch::Sender<Control>,
    readers: JoinSet<Record>,
}

impl<'a> Stage<'a> {
    pub(super) async fn new(server: Server, seed: Seed, arguments: &'a Arguments) -> Self {
        let client = server.client();
        let worker = client.create(&json!({"intent": {"kind": "assistant"}})).await.into();
        Self { server, client, worker, seed, arguments, n_groups: 0 }
    }

    /// Lets the worker say as much as it can, with readers that do not stall.
    pub(super) async fn bulk(&mut self) -> Vec<Record> {
        let lively = self.lively().await;
        for _ in 0..self.arguments.events.div_ceil(2 * TEXTS) {
            self.client.say(&self.worker, "bulk").await;
            self.client.idle(&self.worker).await;
        }
        lively.end(self.place().await).await
    }

    /// Measures alone, then beside stalled readers, and lets those come back.
    pub(super) async fn round(&mut self, records: &mut Vec<Record>) -> Round {
        let alone = self.talk(records).await;

        let mut sleepy = Group::new();
        let from = self.place_behind().await;
        let behind = from.0 + 1..=self.place().await.0;
        self.add(&mut sleepy, Temper::Sleepy, FIRST, &from);
        let before = self.resident_at_rest().await;
        self.add(&mut sleepy, Temper::Sleepy, self.arguments.stalled, &from);
        let grown_kib = self.resident_at_rest().await.saturating_sub(before);

        let beside = self.talk(records).await;
        records.extend(sleepy.end(self.place().await).await);
        Round { alone, beside, grown_kib, behind }
    }

    /// Reads the whole log.
    pub(super) async fn log(&self) -> Log {
        Log::read(&self.client, &self.worker).await
    }

    /// Lets the worker say a word each millisecond, and answers with the numbers of the events that this made.
    async fn talk(&mut self, records: &mut Vec<Record>) -> RangeInclusive<u64> {
        let lively = self.lively().await;
        let words: Vec<_> = (0..self.arguments.words).map(|n| format!("word-{n}")).collect();
        let (before, _) = self.place().await;
        self.client.say(&self.worker, &words.join(" ")).await;
        self.client.idle(&self.worker).await;
        let place = self.place().await;
        let stretch = before + 1..=place.0;
        records.extend(lively.end(place).await);
        stretch
    }

    /// Readers that do not stall, from the log's head on.
    async fn lively(&mut self) -> Group {
        let mut group = Group::new();
        let place = self.place().await;
        self.add(&mut group, Temper::Steady, self.arguments.steady, &place);
        self.add(&mut group, Temper::Hasty, self.arguments.hasty, &place);
        group
    }

    fn add(&mut self, group: &mut Group, temper: Temper, n: usize, place: &Place) {
        self.n_groups += 1;
        for number in 0..n {
            let name = format!("{temper:?} {}.{number}", self.n_groups);
            let reader = Reader::new(name, temper, &self.worker, place.clone(), self.seed.fork());
            group.readers.spawn(reader.run(self.client.clone(), group.control.subscribe()));
        }
    }

    /// Where the log is now.
    async fn place(&self) -> Place {
        let detail = self.client.get(&format!("/v1/workers/{}", self.worker)).await.good();
        let cursor = detail["worker"]["cursor"].as_str().unwrap().to_owned();
        (cursor.parse::<Cursor>().unwrap().seq(), cursor)
    }

    /// A place so far behind that a reader who stops there is felt.
    async fn place_behind(&self) -> Place {
        let path = format!("/v1/workers/{}/events?tail={BEHIND}&limit=1", self.worker);
        let page = self.client.try_page(&path).await.unwrap();
        (page.events[0].seq, page.next)
    }

    /// The server's memory in KiB once it does nothing any more, which nothing announces.
    async fn resident_at_rest(&self) -> u64 {
        let begun = Instant::now();
        let (mut ticks, mut alike) = (self.server.processor_ticks(), 0);
        while alike < LOOKS_ALIKE && begun.elapsed() < REST {
            tokio::time::sleep(LOOK).await;
            let now = self.server.processor_ticks();
            alike = if now - ticks <= CHORES { alike + 1 } else { 0 };
            ticks = if alike == 0 { now } else { ticks };
        }
        self.server.resident_kib()
    }
}

impl Group {
    fn new() -> Self {
        Self { control: watch::Sender::new(Control { stalls: true, head: None }), readers: JoinSet::new() }
    }

    /// Lets all of them read up to this place, and waits until they have.
    async fn end(self, (head, _): Place) -> Vec<Record> {
        self.control.send_replace(Control { stalls: false, head: Some(head) });
        self.readers.join_all().await
    }
}
