//! Files that changed while no server ran: what is served is right, or the damage is named.

mod verdict;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use self::verdict::{Expected, Verdict, judge};
use super::{
    home,
    wal::{FRAME_HEADER, Frame, frames, last_commit},
    witness::Witness,
};
use crate::{
    Server,
    torture::{
        power::{
            content::Content,
            disk::{Entry, Image},
            recording::image,
            replay::{SERVERS, logs},
        },
        report::Report,
        seed::Seed,
    },
};

const DATABASE: &str = "store/musher.db";
const WAL: &str = "store/musher.db-wal";
/// Workers in the stores: enough for damage to hit one and spare the others.
const WORKERS: usize = 8;
/// What the first worker is told; its bytes are looked for in the files.
const MARKER: &str = "a marker that is easy to find";
/// Of places where the same text is found, so many are tried: some are left-overs that nobody reads.
const OCCURRENCES: usize = 32;

/// A store that no server runs on.
#[derive(Clone, Debug)]
struct Stored {
    image: Image,
    /// Every worker's log, as it was served.
    logs: BTreeMap<String, Vec<Value>>,
}

/// What is damaged.
#[derive(Debug)]
pub(super) struct Stores {
    /// Workers are stopped, and everything of theirs is in the database.
    closed: Stored,
    /// The server was killed while workers were idle: the last commits are in the log.
    killed: Stored,
}

/// A bit in a file.
#[derive(Clone, Debug)]
struct Place {
    name: String,
    file: &'static str,
    byte: usize,
    bit: u8,
    /// Whether a cut end and this look alike: damage in the last commit of the log.
    is_end: bool,
}

impl Stores {
    /// Makes both stores.
    pub(super) async fn make() -> Self {
        let home = home();
        let server = home.start().await;
        let mut witness = Witness::new(&server);
        for worker in 0..WORKERS {
            let id = witness.create("echo").await.expect("nothing is wrong yet");
            let words =
                if worker == 0 { MARKER.to_owned() } else { format!("worker {worker} has other words") };
            for _ in 0..3 {
                let said = witness.say(&id, &words).await.expect("nothing is wrong yet");
                assert_eq!(said.status, 200, "{}", said.body);
                witness.idle(&id).await;
            }
        }
        let logs = served(&server).await;
        server.kill().await;
        witness.told().await;
        let killed = Stored { image: image(home.path()).unwrap(), logs };

        // A stop is the last event of a log, and a start moves all logs into the database.
        let server = home.start().await;
        let witness = Witness::new(&server);
        for worker in killed.logs.keys() {
            let stopped = witness.post(&format!("/v1/workers/{worker}/stop"), &json!({})).await;
            assert!(stopped.as_ref().is_some_and(|answer| answer.status == 200), "{stopped:?}");
        }
        let logs = served(&server).await;
        server.terminate().await;
        home.start().await.terminate().await;
        let closed = Stored { image: image(home.path()).unwrap(), logs };
        Self { closed, killed }
    }
}

/// The logs of all workers.
async fn served(server: &Server) -> BTreeMap<String, Vec<Value>> {
    let logs = logs(&server.client(), []).await.unwrap();
    logs.into_iter().filter_map(|(worker, log)| Some((worker, log?))).collect()
}

/// Flips single bits.
pub(super) async fn flip(stores: &Stores, bits: u64, seed: u64, report: &mut Report) {
    for (title, stored) in [("closed store", &stores.closed), ("killed store", &stores.killed)] {
        let mut named: BTreeMap<String, Vec<Verdict>> = BTreeMap::new();
        let mut seed = Seed::new(seed);
        let random = (0..bits).filter_map(|_| anywhere(stored, &mut seed));
        let checks = places(stored).into_iter().chain(random).map(|place| async move {
            let mut damaged = stored.image.clone();
            damage(&mut damaged, &place);
            let expected = if place.is_end { Expected::RightOrShorter } else { Expected::RightOrNamed };
            (place, judge(&damaged, &stored.logs, expected).await)
        });
        let mut checked = stream::iter(checks).buffered(SERVERS);
        while let Some((place, verdict)) = checked.next().await {
            if let Verdict::Wrong(why) = &verdict {
                let Place { name, file, byte, bit, .. } = &place;
                report.finding(format!("{title}, {name}, bit {bit} of byte {byte} of {file}: {why}"));
            }
            named.entry(place.name).or_default().push(verdict);
        }
        drop(checked);
        for (name, verdicts) in named {
            report.row(&format!("{title}: {name}"), verdict::count(&verdicts));
        }
    }
}

/// Cuts the end of the log that a kill left.
pub(super) async fn cut(stores: &Stores, report: &mut Report) {
    let stored = &stores.killed;
    let frames = frames(&bytes(stored, WAL));
    let mut lengths = vec![0, 16, 32];
    for frame in frames.iter().step_by((frames.len() / 12).max(1)) {
        lengths.extend([frame.place.start, frame.place.start + FRAME_HEADER + 100]);
    }
    lengths.extend(frames.last().map(|frame| frame.place.end - 1));
    let checks = lengths.into_iter().map(|length| async move {
        let mut damaged = stored.image.clone();
        if let Some(Entry::File(content)) = damaged.get_mut(Path::new(WAL)) {
            content.resize(length as u64);
        }
        (length, judge(&damaged, &stored.logs, Expected::RightOrShorter).await)
    });
    let mut checked = stream::iter(checks).buffered(SERVERS);
    let mut verdicts = Vec::new();
    while let Some((length, verdict)) = checked.next().await {
        if let Verdict::Wrong(why) = &verdict {
            report.finding(format!("killed store, the log cut to {length} bytes: {why}"));
        }
        verdicts.push(verdict);
    }
    report.row("killed store: log cut", verdict::count(&verdicts));
}

/// Known places, each of them in a file that has it.
fn places(stored: &Stored) -> Vec<Place> {
    let database = bytes(stored, DATABASE);
    let log = bytes(stored, WAL);
    let mut places = Vec::new();
    let mut add = |name: &str, file, byte, is_end| {
        for bit in [0, 5] {
            places.push(Place { name: name.to_owned(), file, byte, bit, is_end });
        }
    };
    for (name, byte) in [("magic", 5), ("page size", 16), ("change counter", 27), ("schema", 107)] {
        if byte < database.len() {
            add(&format!("database, header: {name}"), DATABASE, byte, false);
        }
    }
    let worker = stored.logs.keys().next().expect("there are workers");
    for (name, text) in [("a worker's words", MARKER), ("a worker's id", worker)] {
        for byte in occurrences(&database, text) {
            add(&format!("database, {name}"), DATABASE, byte + 3, false);
        }
    }
    let frames = frames(&log);
    if let (Some(first), Some(last)) = (frames.first(), frames.last()) {
        let end = last_commit(&frames);
        for (name, byte) in [("magic", 2), ("page size", 10), ("salt", 17), ("checksum", 25)] {
            add(&format!("log, header: {name}"), WAL, byte, false);
        }
        let middle = &frames[frames.len() / 2];
        for (name, frame) in [("first", first), ("middle", middle), ("last", last)] {
            let is_end = frame.place.start >= end;
            let mut add = |part: &str, offset| {
                add(&format!("log, {name} frame: {part}"), WAL, frame.place.start + offset, is_end)
            };
            add("page number", 3);
            add("commit mark", 7);
            add("salt", 9);
            add("checksum", 17);
            add("page", FRAME_HEADER + 1000);
        }
    }
    places
}

/// A bit anywhere in the database, or in the part of the log that counts.
fn anywhere(stored: &Stored, seed: &mut Seed) -> Option<Place> {
    let (database, log) = (bytes(stored, DATABASE), bytes(stored, WAL));
    let frames = frames(&log);
    let log_end = frames.last().map_or(0, |frame: &Frame| frame.place.end);
    let byte = seed.below((database.len() + log_end) as u64);
    let byte = usize::try_from(byte).ok()?;
    let bit = u8::try_from(seed.below(8)).ok()?;
    Some(match byte.checked_sub(database.len()) {
        None => Place { name: "database, anywhere".to_owned(), file: DATABASE, byte, bit, is_end: false },
        Some(byte) => {
            let is_end = byte >= last_commit(&frames);
            Place { name: "log, anywhere".to_owned(), file: WAL, byte, bit, is_end }
        }
    })
}

fn damage(image: &mut Image, place: &Place) {
    let Some(Entry::File(content)) = image.get_mut(Path::new(place.file)) else {
        panic!("{} is no file", place.file)
    };
    let old = content.bytes()[place.byte];
    content.write(place.byte as u64, &[old ^ 1 << place.bit]);
}

fn bytes(stored: &Stored, file: &str) -> Vec<u8> {
    match stored.image.get(&PathBuf::from(file)) {
        Some(Entry::File(content)) => Content::bytes(content),
        Some(Entry::Directory) | None => Vec::new(),
    }
}

/// Where a text is found, as many places as are tried, evenly apart.
fn occurrences(bytes: &[u8], text: &str) -> Vec<usize> {
    let found = bytes.windows(text.len()).enumerate().filter(|(_, window)| *window == text.as_bytes());
    let found: Vec<_> = found.map(|(byte, _)| byte).collect();
    let apart = found.len().div_ceil(OCCURRENCES).max(1);
    found.into_iter().step_by(apart).collect()
}
