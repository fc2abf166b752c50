use serde_json::json;

use super::*;
use crate::torture::power::{disk::Entry, fate::Fate, step::Opened, strace::Span};

/// A tiny store: commits `A`, `B` and `C` go into its log and are acked, between the last two it is moved into the
/// database and cut.
pub(in crate::torture::power) fn sample() -> Vec<Step> {
    let file = |path: &str| Opened { number: 0, path: path.into(), removed: false };
    let create =
        |path: &str| Act::Open { path: path.into(), number: 0, create: true, truncate: false, append: false };
    let write = |path: &str, at, text: &str| Act::Write {
        file: file(path),
        at: Some(at),
        bytes: text.as_bytes().to_vec(),
    };
    let sync = |path: &str| Act::Sync { file: file(path) };
    let ack = |event: &str| {
        let body = json!({"ack": {"worker_ref": {"worker_id": "w"}, "event_id": event}}).to_string();
        let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        Act::Send { socket: "socket:[1]".to_owned(), bytes: reply.into_bytes() }
    };
    let acts = [
        Act::MakeDirectory { path: "s".into() },
        sync(""),
        create("s/db"),
        create("s/db-wal"),
        sync("s"),
        write("s/db-wal", 0, "A"),
        sync("s/db-wal"),
        ack("A"),
        write("s/db-wal", 1, "B"),
        sync("s/db-wal"),
        ack("B"),
        write("s/db", 0, "AB"),
        sync("s/db"),
        Act::Size { file: file("s/db-wal"), bytes: 0 },
        write("s/db-wal", 0, "C"),
        sync("s/db-wal"),
        ack("C"),
    ];
    // Each has returned before the next one begins.
    let span = |index: usize| Span { start: 10 + 2 * index, end: 11 + 2 * index };
    acts.into_iter().enumerate().map(|(index, act)| Step { span: span(index), act }).collect()
}

/// Promises of the sample that some loss of power breaks.
pub(in crate::torture::power) fn lost(steps: &[Step]) -> BTreeSet<String> {
    let trace = Trace::new(&Image::new(), steps).unwrap();
    let mut lost = BTreeSet::new();
    for seed in 0..3000 {
        let mut seed = Seed::new(seed);
        let line = trace.moment(&mut seed);
        let image = trace.disk.after_loss(line, &mut Fate::new(seed));
        let there: Vec<u8> = ["s/db", "s/db-wal"]
            .iter()
            .filter_map(|path| match image.get(std::path::Path::new(path))? {
                Entry::File(content) => Some(content.bytes()),
                Entry::Directory => None,
            })
            .flatten()
            .collect();
        for promise in trace.promised(line) {
            let Promise::Named { event, .. } = promise else { panic!("{promise:?}") };
            if !there.contains(&event.as_bytes()[0]) {
                lost.insert(event.clone());
            }
        }
    }
    lost
}

#[test]
fn a_store_that_syncs_in_order_loses_nothing() {
    assert_eq!(lost(&sample()), BTreeSet::new());
}

#[test]
fn promises_count_from_the_moment_they_are_told() {
    let trace = Trace::new(&Image::new(), &sample()).unwrap();
    let named = |event: &str| Promise::Named { worker: "w".to_owned(), event: event.to_owned() };
    let promised = |line| trace.promised(line).cloned().collect::<Vec<_>>();
    assert_eq!(promised(23), []);
    assert_eq!(promised(24), [named("A")]);
    assert_eq!(promised(30), [named("A"), named("B")]);
    assert_eq!((trace.promises(), trace.moments()), (3, 34));
    assert_eq!(trace.unheard(&[named("B"), named("D")]), [&named("D")]);
}

#[test]
fn the_power_fails_everywhere_and_most_often_beside_syncs_and_words() {
    let trace = Trace::new(&Image::new(), &sample()).unwrap();
    let mut counts = std::collections::BTreeMap::new();
    for seed in 0..3400 {
        *counts.entry(trace.moment(&mut Seed::new(seed))).or_insert(0) += 1;
    }
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), (10..44).collect::<Vec<_>>());
    // The last sync's return and the last ack, and the creation of a directory, far from both.
    assert!(counts[&41] > 2 * counts[&10], "{counts:?}");
}

#[test]
fn a_log_begins_anew_in_place_when_it_was_not_cut_before() {
    let mut steps = sample();
    assert_eq!(rounds(&steps), 0);
    steps.retain(|step| !matches!(step.act, Act::Size { .. }));
    assert_eq!(rounds(&steps), 1);
}
