//! Databases that earlier versions wrote are read by this one.
//!
//! After a new migration, `MUSHER_WRITE_FIXTURE=tests/fixtures/vN.db cargo test -p musher-store-sqlite` with the
//! version before it keeps that version's database; then it is added to the test.

use std::{env, fs, path::Path};

use bytes::Bytes;
use jiff::Timestamp;
use musher_core::{
    AcceptedInput, Blob, Checkpoint, Commit, Extent, Head, Kept, KeyRecord, Life, Most, NewLife, OwnedKeys,
    Prune, Start, Store, StoredBundle, StoredEvent, WorkerCounts,
};
use musher_protocol::{
    ConfigBundleRef, ConfigBundleSummary, Cursor, DigestAlgorithm, EventId, Order, RuntimeId, WorkerId,
    WorkerStatus,
};
use rusqlite::Connection;
use uuid::Uuid;

use crate::{entry, log::Log, open};

/// The versions that a fixture is kept of, and the newest, which each of them is brought to.
const VERSIONS: [u32; 6] = [1, 2, 3, 4, 5, 6];
const NEWEST: u32 = 7;

const MOST: Most = Most { events: 10, bytes: 1 << 20 };

fn time() -> Timestamp {
    "2026-11-21T12:00:00.123456Z".parse().unwrap()
}

/// A log with ids and times that are the same in every run.
fn log(worker: &str) -> Log {
    Log { worker: worker.parse().unwrap(), head: 0 }
}

fn commit(log: &mut Log, n: u64) -> Commit {
    let payload = Bytes::from(r#"{"type":"diagnostic","code":"a","message":"ä"}"#);
    same_every_time(log.commit((0..n).map(|_| ("diagnostic", payload.clone(), time()))))
}

fn same_every_time(mut commit: Commit) -> Commit {
    commit.batch_id = Uuid::from_u128(commit.head().seq.into());
    for event in &mut commit.events {
        event.event_id = format!("evt_{}_{}", commit.worker, event.seq).parse::<EventId>().unwrap();
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(event.event_id.as_str().as_bytes());
        checksum.update(&event.at.as_nanosecond().to_be_bytes());
        checksum.update(&event.payload);
        event.checksum = checksum.finalize();
    }
    commit
}

fn first(log: &mut Log, status: WorkerStatus) -> Commit {
    let commit = commit(log, 1);
    Commit { row: Some(log.row(&commit, status)), ..commit }
}

/// What the fixture holds: a runtime, a worker with something in every table, one that is stopped, one deleted, one that has
/// asked something.
struct Fixture {
    main: [Commit; 2],
    prune: Prune,
    stopped: Commit,
    deleted: Commit,
    asking: Option<Commit>,
    bundles: Vec<StoredBundle>,
}

impl Fixture {
    fn new() -> Self {
        let mut main = log("wrk_a");
        let begin = first(&mut main, WorkerStatus::Running);
        let rest = commit(&mut main, 4);
        let (head, event) = (rest.head(), &rest.events[0]);
        let entry = entry(&rest, "user", "hello");
        let accepted = AcceptedInput {
            input_id: "inp_1".parse().unwrap(),
            digest: [7; 32],
            event_id: event.event_id.clone(),
            transcript_sequence: Some(1),
            cursor: Cursor::new(&main.worker, head.seq, head.checksum),
        };
        let oldest = Head { seq: event.seq, checksum: event.checksum };
        let checkpoint = Checkpoint { head, body: Bytes::from_static(b"fold") };
        let prune = Prune { worker: main.worker.clone(), epoch: 2, oldest, checkpoint };
        let blobs = vec![Blob::of(Bytes::from_static(b"large"))];
        let kept = vec![
            Kept { name: "session/1.jsonl".to_owned(), bytes: Bytes::from_static(b"{}\n") },
            Kept { name: "item/1".to_owned(), bytes: Bytes::from_static(&[0, 0xff]) },
        ];
        let keys = vec![KeyRecord {
            owner: "ci".to_owned(),
            scope: "[\"ci\",[\"stop\",\"wrk_a\"]]".to_owned(),
            key: "key-1".parse().unwrap(),
            digest: [8; 32],
            outcome: Bytes::from_static(b"{}"),
            at: time(),
        }];
        let rest =
            Commit { epoch: 2, entries: vec![entry], accepted: vec![accepted], blobs, kept, keys, ..rest };
        Self {
            main: [begin, rest],
            prune,
            stopped: first(&mut log("wrk_b"), WorkerStatus::Stopped),
            deleted: first(&mut log("wrk_c"), WorkerStatus::Running),
            asking: Some(asking()),
            bundles: vec![bundle()],
        }
    }

    /// What of it a version could hold.
    fn of(version: u32) -> Self {
        let mut fixture = Self::new();
        if version < 2 {
            fixture.main[1].kept.clear();
        }
        if version < 3 {
            fixture.main[1].keys.clear();
        }
        if version < 4 {
            fixture.bundles.clear();
        }
        if version < 5 {
            fixture.main[1].keys.iter_mut().for_each(|record| record.owner.clear());
        }
        if version < 6 {
            fixture.asking = None;
        }
        fixture
    }

    async fn write(self, store: &dyn Store) {
        store.begin(NewLife { runtime_id: runtime(), owner: "owner 1".to_owned() }).await.unwrap();
        let [begin, rest] = self.main;
        let main = begin.worker.clone();
        store.append(begin).await.unwrap();
        assert_eq!(store.claim(&main).await.unwrap(), Some(2));
        store.append(rest).await.unwrap();
        store.prune(self.prune).await.unwrap();
        store.append(self.stopped).await.unwrap();
        let deleted = self.deleted.worker.clone();
        store.append(self.deleted).await.unwrap();
        store.delete(&deleted).await.unwrap();
        if let Some(asking) = self.asking {
            store.append(asking).await.unwrap();
        }
        for bundle in self.bundles {
            store.put_bundle(bundle, 1, None).await.unwrap();
        }
    }

    async fn check(self, store: &dyn Store) {
        let life = NewLife { runtime_id: RuntimeId::mint(), owner: "owner 2".to_owned() };
        let expected = Life { runtime_id: runtime(), previous_owner: Some("owner 1".to_owned()) };
        assert_eq!(store.begin(life).await.unwrap(), expected);
        let active = 1 + u64::from(self.asking.is_some());
        assert_eq!(store.counts().await.unwrap(), WorkerCounts { active, stopped: 1, cancelled: 0 });
        let [begin, rest] = self.main;
        let main = &begin.worker;
        assert_eq!(
            store.workers(None, Order::Asc, None, 10).await.unwrap(),
            [Some(&begin), Some(&self.stopped), self.asking.as_ref()]
                .into_iter()
                .flatten()
                .map(|commit| commit.row.clone().unwrap())
                .collect::<Vec<_>>()
        );
        if let Some(asking) = &self.asking {
            let approval = "apr_1".parse().unwrap();
            let events = store.approval_events(&asking.worker, &approval).await.unwrap();
            assert_eq!(events, asking.events[1..]);
        }
        assert_eq!(store.worker(main).await.unwrap(), begin.row);
        let Prune { oldest, checkpoint, .. } = self.prune;
        let extent = Extent { oldest: oldest.clone(), head: rest.head() };
        assert_eq!(store.extent(main).await.unwrap(), Some(extent));
        let events: Vec<StoredEvent> = store.events(main, oldest.seq, MOST).await.unwrap();
        assert_eq!(events, rest.events[1..]);
        assert_eq!(store.transcript(main, Start::Behind(0), 10).await.unwrap().entries, rest.entries);
        let accepted = store.accepted_input(main, &rest.accepted[0].input_id).await.unwrap();
        assert_eq!(accepted.as_ref(), Some(&rest.accepted[0]));
        assert_eq!(store.checkpoint(main).await.unwrap(), Some(checkpoint));
        let blob = &rest.blobs[0];
        assert_eq!(store.blob(main, blob.digest).await.unwrap(), Some(blob.bytes.clone()));
        assert_eq!(store.worker(&self.deleted.worker).await.unwrap(), None);
        let mut kept = rest.kept.clone();
        kept.sort_by(|one, other| one.name.cmp(&other.name));
        assert_eq!(store.kept(main, None, MOST).await.unwrap(), kept);
        for record in &rest.keys {
            let remembered = store.remembered(&record.scope, &record.key).await.unwrap();
            assert_eq!(remembered.as_ref(), Some(record));
            let owned = OwnedKeys { count: 1, bytes: record.bytes(), oldest: Some(record.at) };
            assert_eq!(store.keys_of(&record.owner).await.unwrap(), owned);
        }
        let bundles: Vec<_> = self.bundles.iter().map(|bundle| bundle.summary.clone()).collect();
        assert_eq!(store.bundles().await.unwrap(), bundles);
        for bundle in self.bundles {
            let ConfigBundleSummary { id, digest, .. } = bundle.summary.clone();
            assert_eq!(store.bundle(&ConfigBundleRef { id, digest }).await.unwrap(), Some(bundle));
        }
        // The last commit is known, and the log goes on, with all that this version writes.
        store.append(rest.clone()).await.unwrap();
        assert_eq!(store.claim(main).await.unwrap(), Some(3));
        let next = commit(&mut Log { worker: main.clone(), head: rest.head().seq }, 1);
        let new = Kept { name: "item/0".to_owned(), bytes: Bytes::from_static(b"new") };
        store.append(Commit { epoch: 3, kept: vec![new.clone()], ..next }).await.unwrap();
        kept.insert(0, new);
        assert_eq!(store.kept(main, None, MOST).await.unwrap(), kept);
    }
}

/// A worker that has asked something and got an answer.
fn asking() -> Commit {
    let mut log = log("wrk_d");
    let events = [
        ("diagnostic", r#"{"type":"diagnostic","code":"a","message":"ä"}"#),
        ("approval_requested", r#"{"type":"approval_requested","approval_id":"apr_1"}"#),
        ("approval_resolved", r#"{"type":"approval_resolved","approval_id":"apr_1","decision":"deny"}"#),
    ];
    let commit = log.commit(events.map(|(name, payload)| (name, Bytes::from(payload), time())));
    let commit = same_every_time(commit);
    Commit { row: Some(log.row(&commit, WorkerStatus::Running)), ..commit }
}

pub(crate) fn bundle() -> StoredBundle {
    let canonical = Bytes::from_static(br#"{"metadata":{"id":"team-a","revision":"1"},"profiles":[]}"#);
    let summary = ConfigBundleSummary {
        id: "team-a".parse().unwrap(),
        digest: Blob::digest_of(&canonical),
        digest_algorithm: DigestAlgorithm::Sha256Jcs,
        revision: "1".parse().unwrap(),
        profile_count: 0,
        declaration_count: 0,
        created_at: time(),
    };
    StoredBundle { summary, canonical }
}

fn runtime() -> RuntimeId {
    "rt_fixture".parse().unwrap()
}

#[tokio::test]
async fn the_database_of_every_version_is_read_and_brought_to_the_newest() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for version in VERSIONS {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("musher.db");
        fs::copy(fixtures.join(format!("v{version}.db")), &path).unwrap();
        assert_eq!(schema_version(&path), version);
        Fixture::of(version).check(&open(dir.path())).await;
        assert_eq!(schema_version(&path), NEWEST);
    }
}

fn schema_version(database: &Path) -> u32 {
    let database = Connection::open(database).unwrap();
    database.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn what_is_written_is_what_the_fixture_holds() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    Fixture::new().write(&store).await;
    drop(store);
    // The second opening merges the log, so that the database is whole without it.
    let store = open(dir.path());
    if let Some(path) = env::var_os("MUSHER_WRITE_FIXTURE") {
        fs::copy(dir.path().join("musher.db"), path).unwrap();
    }
    Fixture::of(NEWEST).check(&store).await;
    let deleted: WorkerId = "wrk_c".parse().unwrap();
    assert!(!store.delete(&deleted).await.unwrap());
}
