//! Damage in one worker's rows is that worker's alone.

use std::path::Path;

use bytes::Bytes;
use jiff::Timestamp;
use musher_core::{
    AcceptedInput, Blob, Checkpoint, Commit, Kept, Most, Start, Store, StoreError, WorkerCounts,
};
use musher_protocol::{Cursor, InputId, Order, WorkerId};
use musher_store_sqlite::SqliteStore;
use rusqlite::Connection;

use crate::{entry, log::Log, open};

const MOST: Most = Most { events: 100, bytes: 1 << 20 };

/// A commit with everything that a commit may have.
fn rich(log: &mut Log) -> Commit {
    let commit = log.next(3);
    let (head, worker, event) = (commit.head(), &log.worker, &commit.events[0]);
    let entry = entry(&commit, "user", "hello");
    let accepted = AcceptedInput {
        input_id: input(),
        digest: [7; 32],
        event_id: event.event_id.clone(),
        transcript_sequence: Some(1),
        cursor: Cursor::new(worker, head.seq, head.checksum),
    };
    Commit {
        entries: vec![entry],
        accepted: vec![accepted],
        blobs: vec![Blob::of(body())],
        kept: vec![kept("session/a.jsonl", "hello")],
        checkpoint: Some(Checkpoint { head, body: Bytes::from_static(b"fold") }),
        ..commit
    }
}

fn input() -> InputId {
    "inp_1".parse().unwrap()
}

fn kept(name: &str, text: &'static str) -> Kept {
    Kept { name: name.to_owned(), bytes: Bytes::from_static(text.as_bytes()) }
}

fn body() -> Bytes {
    Bytes::from(vec![9; 70_000])
}

/// What of a worker is damaged, when each thing is read, in the order of the trait.
async fn damage(store: &SqliteStore, worker: &WorkerId) -> Vec<String> {
    let mut found = Vec::new();
    let mut note = |result: Result<(), StoreError>| match result {
        Ok(()) => {}
        Err(StoreError::Corrupt { worker: named, what }) => {
            assert_eq!(named, *worker);
            found.push(what);
        }
        Err(error) => panic!("{error:?}"),
    };
    note(store.worker(worker).await.map(drop));
    note(store.extent(worker).await.map(drop));
    let mut after = 0;
    loop {
        match store.events(worker, after, MOST).await {
            Ok(events) => match events.last() {
                Some(last) => after = last.seq,
                None => break,
            },
            Err(error) => {
                note(Err(error));
                break;
            }
        }
    }
    note(store.transcript(worker, Start::Behind(0), 10).await.map(drop));
    note(store.accepted_input(worker, &input()).await.map(drop));
    note(store.checkpoint(worker).await.map(drop));
    note(store.blob(worker, Blob::of(body()).digest).await.map(drop));
    note(store.kept(worker, None, MOST).await.map(drop));
    found
}

fn change(dir: &Path, sql: &str) {
    let database = Connection::open(dir.join("musher.db")).unwrap();
    database.pragma_update(None, "ignore_check_constraints", true).unwrap();
    assert_eq!(database.execute(sql, []).unwrap(), 1, "{sql}");
}

#[tokio::test]
async fn each_row_that_is_not_what_was_written_is_found_and_hurts_nobody_else() {
    let row = ["the row"].as_slice();
    let log = ["the beginning of the log", "the beginning of the log", "the beginning of the log"].as_slice();
    let last = ["the last event", "event 4", "the last event"].as_slice();
    for (change_to, expected) in [
        ("UPDATE stored_worker SET facts = replace(facts, 'idle', 'busy') || ' '", row),
        ("UPDATE stored_worker SET status = 'stopped'", row),
        ("UPDATE stored_worker SET unsettled = 1", row),
        ("UPDATE stored_worker SET updated_at = updated_at + 1", row),
        ("UPDATE stored_spec SET spec = replace(spec, 'blue', 'blur')", row),
        ("DELETE FROM stored_spec", row),
        ("UPDATE stored_worker SET epoch = 2", log),
        ("UPDATE stored_worker SET oldest_seq = 1", log),
        ("UPDATE stored_event SET payload = replace(payload, 'x', 'y')", &["event 2"]),
        ("UPDATE stored_event SET type = 'text_dulta'", &["event 2"]),
        ("UPDATE stored_event SET at = at + 1", &["event 2"]),
        ("UPDATE stored_event SET event_id = 'evt_1'", &["event 2"]),
        ("UPDATE stored_event SET event_id = 'not an id'", &["event 2"]),
        ("UPDATE stored_event SET subject = 'a'", &["event 2"]),
        ("DELETE FROM stored_event", &["event 2"]),
        ("UPDATE stored_event SET seq = 20", &["the last event", "event 2", "the last event"]),
        ("UPDATE stored_event SET batch = zeroblob(16) --last", last),
        ("UPDATE stored_entry SET body = replace(body, 'hello', 'hallo')", &["transcript entry 1"]),
        ("UPDATE stored_input SET transcript_sequence = 2", &["input inp_1"]),
        ("UPDATE stored_input SET cursor = 'wo_'", &["input inp_1"]),
        ("UPDATE stored_checkpoint SET body = x'00'", &["the checkpoint"]),
        ("UPDATE stored_blob SET bytes = zeroblob(70000)", &["blob"]),
        // One bit.
        ("UPDATE stored_kept SET bytes = CAST('iello' AS BLOB)", &["kept record session/a.jsonl"]),
        ("UPDATE stored_kept SET bytes = zeroblob(0)", &["kept record session/a.jsonl"]),
        ("UPDATE stored_kept SET seal = seal - 1", &["kept record session/a.jsonl"]),
        ("UPDATE stored_kept SET seal = -1", &["a kept record"]),
        ("UPDATE stored_kept SET name = 'session/b.jsonl'", &["kept record session/b.jsonl"]),
        ("UPDATE stored_kept SET name = '../a'", &["kept record ../a"]),
        ("UPDATE stored_kept SET name = 'not a name'", &["a kept record"]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let (mut ours, mut others) = (Log::new(), Log::new());
        for log in [&mut ours, &mut others] {
            store.append(log.first()).await.unwrap();
            store.append(rich(log)).await.unwrap();
            assert_eq!(damage(&store, &log.worker).await, [""; 0]);
        }
        drop(store);
        let (change_to, is_last) =
            change_to.strip_suffix(" --last").map_or((change_to, false), |sql| (sql, true));
        let mut sql = format!("{change_to} WHERE worker = 1");
        if change_to.contains("stored_event") {
            sql += if is_last { " AND seq = 4" } else { " AND seq = 2" };
        }
        change(dir.path(), &sql);

        let store = open(dir.path());
        let found = damage(&store, &ours.worker).await;
        let expected: Vec<_> = expected
            .iter()
            .map(|what| match *what {
                "blob" => format!("blob {}", Blob::of(body()).digest),
                what => what.to_owned(),
            })
            .collect();
        assert_eq!(found, expected, "{sql}");
        assert_eq!(damage(&store, &others.worker).await, [""; 0], "{sql}");
        store.append(others.next(1)).await.unwrap();

        let listed = store.workers(None, Order::Asc, None, 10).await.unwrap();
        let listed: Vec<_> = listed.into_iter().map(|row| row.worker_id).collect();
        let is_row = expected == ["the row"];
        let expected = if is_row {
            vec![others.worker.clone()]
        } else {
            vec![ours.worker.clone(), others.worker.clone()]
        };
        assert_eq!(listed, expected, "{sql}");

        // What is damaged is not built upon, but it can be deleted.
        if is_row || found.contains(&"the last event".to_owned()) {
            let refused = store.append(ours.next(1)).await.unwrap_err();
            assert!(matches!(refused, StoreError::Corrupt { .. }), "{sql}: {refused:?}");
        }
        assert!(store.delete(&ours.worker).await.unwrap());
        assert!(store.worker(&ours.worker).await.unwrap().is_none());
        let counts = WorkerCounts { active: 1, ..WorkerCounts::default() };
        assert_eq!(store.counts().await.unwrap(), counts, "{sql}");
    }
}

#[tokio::test]
async fn a_damaged_kept_record_is_damage_only_where_it_would_be_answered_with() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut log = Log::new();
    store.append(log.first()).await.unwrap();
    let [a, b, c] = [kept("a", "one"), kept("b", "two"), kept("c", "three")];
    let commit = Commit { kept: vec![a.clone(), b, c.clone()], ..log.next(1) };
    store.append(commit).await.unwrap();
    drop(store);
    change(dir.path(), "UPDATE stored_kept SET bytes = CAST('twp' AS BLOB) WHERE name = 'b'");

    let store = open(dir.path());
    let most = |events, bytes| Most { events, bytes };
    let intact = [(None, most(1, 100), &a), (None, most(3, 5), &a), (Some("b"), most(3, 100), &c)];
    for (after, most, expected) in intact {
        let read = store.kept(&log.worker, after, most).await.unwrap();
        assert_eq!(read, std::slice::from_ref(expected), "behind {after:?}, {most:?}");
    }
    // Half of what is kept would be worse than none of it.
    for (after, most) in [(None, most(3, 100)), (Some("a"), most(1, 0))] {
        let refused = store.kept(&log.worker, after, most).await.unwrap_err();
        assert_eq!(refused.to_string(), format!("kept record b of `{}` is damaged", log.worker));
    }
    // What is written anew is whole again.
    let commit = Commit { kept: vec![kept("b", "four")], ..log.next(1) };
    store.append(commit).await.unwrap();
    let read = store.kept(&log.worker, None, MOST).await.unwrap();
    assert_eq!(read, [a, kept("b", "four"), c]);
}

/// Flips a bit of the worker's id in a page of an index, which a leaf of one begins with.
fn flip_in_index(dir: &Path, worker: &WorkerId) {
    const INDEX_LEAF: u8 = 0x0a;
    let path = dir.join("musher.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let id = worker.as_str().as_bytes();
    let page = bytes.chunks_mut(4096).filter(|page| page[0] == INDEX_LEAF);
    let place = page.into_iter().find_map(|page| {
        let at = page.windows(id.len()).position(|window| window == id)?;
        Some(&mut page[at + id.len() - 1])
    });
    *place.expect("an index has the id") ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_worker_that_a_damaged_index_hides_is_damaged_and_not_unknown() {
    let parent = tempfile::tempdir().unwrap();
    let store = open(parent.path());
    let mut log = Log::new();
    let commit = log.first();
    store.append(commit).await.unwrap();
    drop(store);
    // Merged into the database by the next start.
    drop(open(parent.path()));
    flip_in_index(parent.path(), &log.worker);

    let store = open(parent.path());
    let found = store.worker(&log.worker).await;
    let extent = store.extent(&log.worker).await;
    assert!(
        matches!((&found, &extent), (Err(StoreError::Corrupt { .. }), Err(StoreError::Corrupt { .. }))),
        "{found:?} {extent:?}"
    );
    let mut other = Log::new();
    store.append(other.first()).await.unwrap();
    assert!(store.worker(&other.worker).await.unwrap().is_some(), "others are none the worse for it");
}

/// Breaks the header of the page that a worker's newest event is in, so that SQLite itself refuses it.
fn break_page(dir: &Path, event_id: &str) {
    const TABLE_LEAF: u8 = 0x0d;
    let path = dir.join("musher.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let holds = |page: &[u8]| {
        page[0] == TABLE_LEAF && page.windows(event_id.len()).any(|at| at == event_id.as_bytes())
    };
    let page = bytes.chunks_mut(4096).rfind(|page| holds(page)).expect("a page of the event");
    page[3..5].fill(0xff);
    std::fs::write(path, bytes).unwrap();
}

/// A worker that has asked something.
async fn asking(store: &SqliteStore, payload: &'static str) -> Log {
    let mut log = Log::new();
    store.append(log.first()).await.unwrap();
    let event = ("approval_requested", Bytes::from_static(payload.as_bytes()), Timestamp::now());
    store.append(log.commit([event])).await.unwrap();
    log
}

#[tokio::test]
async fn a_damaged_event_about_an_approval_is_damaged_and_not_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let asked = r#"{"approval_id":"apr_1","tool":"x"}"#;
    let logs = [asking(&store, asked).await, asking(&store, asked).await];
    drop(store);
    change(
        dir.path(),
        "UPDATE stored_event SET payload = replace(payload, 'x', 'y') WHERE worker = 1 AND seq = 2",
    );
    let store = open(dir.path());
    let approval = "apr_1".parse().unwrap();
    let [ours, others] = logs.each_ref().map(|log| store.approval_events(&log.worker, &approval));
    let damaged = format!("what is said of apr_1 of `{}` is damaged", logs[0].worker);
    assert_eq!(ours.await.unwrap_err().to_string(), damaged);
    assert_eq!(others.await.unwrap().len(), 1);
    // What is no JSON any more is in no index, and ends nothing.
    drop(store);
    change(dir.path(), "UPDATE stored_event SET payload = '{' WHERE worker = 1 AND seq = 2");
    let store = open(dir.path());
    assert!(store.approval_events(&logs[0].worker, &approval).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_index_that_is_in_the_way_of_damage_is_done_without() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut log = Log::new();
    store.append(log.first()).await.unwrap();
    let commit = log.next(200);
    let last = commit.events.last().unwrap().event_id.clone();
    store.append(commit).await.unwrap();
    // What is asked goes behind these, not into the page that breaks.
    let mut filling = Log::new();
    store.append(filling.first()).await.unwrap();
    store.append(filling.next(200)).await.unwrap();
    let other = asking(&store, r#"{"approval_id":"apr_1"}"#).await;
    drop(store);
    drop(open(dir.path()));
    // As the version before the index left it.
    let database = Connection::open(dir.path().join("musher.db")).unwrap();
    database.execute_batch("DROP INDEX stored_event_approval; PRAGMA user_version = 6").unwrap();
    drop(database);
    break_page(dir.path(), last.as_str());

    let store = open(dir.path());
    let approval = "apr_1".parse().unwrap();
    assert_eq!(store.approval_events(&other.worker, &approval).await.unwrap().len(), 1);
    let damaged = store.approval_events(&log.worker, &approval).await;
    assert!(matches!(damaged, Err(StoreError::Corrupt { .. })), "{damaged:?}");
}

#[tokio::test]
async fn damaged_pages_of_a_worker_end_neither_writing_nor_deleting() {
    let parent = tempfile::tempdir().unwrap();
    let store = open(parent.path());
    let mut log = Log::new();
    store.append(log.first()).await.unwrap();
    // Far more than a page, so that the last event's page is its own.
    let commit = log.next(200);
    let last = commit.events.last().unwrap().event_id.clone();
    store.append(commit).await.unwrap();
    // New rows go behind these, not into the page that breaks.
    let mut other = Log::new();
    store.append(other.first()).await.unwrap();
    store.append(other.next(200)).await.unwrap();
    drop(store);
    drop(open(parent.path()));
    break_page(parent.path(), last.as_str());

    let store = open(parent.path());
    let claimed = store.claim(&log.worker).await;
    assert!(matches!(claimed, Err(StoreError::Corrupt { .. })), "{claimed:?}");
    store.append(other.next(1)).await.unwrap();
    assert!(store.delete(&log.worker).await.unwrap());
    assert!(store.worker(&log.worker).await.unwrap().is_none());
    // Slices of what was deleted run meanwhile, and meet the page.
    for _ in 0..40 {
        store.append(other.next(1)).await.unwrap();
    }
    drop(store);
    let store = open(parent.path());
    store.append(other.next(1)).await.unwrap();
}
