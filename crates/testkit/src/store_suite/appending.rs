//! Checks of what a commit writes, and of what it does not.

use bytes::Bytes;
use musher_protocol::{InputId, Payload, WorkerStatus};

use super::{
    Place,
    pair::{ALL, LONG_COMMIT, Pair},
    read::{Read, Reply},
    refusal::Refusal,
    row::row,
};

/// Events of every type come back as they were written, to the byte.
pub async fn events_come_back_to_the_byte(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.new_worker();
    let written = [
        "{}",
        "null",
        r#"{"z":1,"a":{"c":[],"b":0}}"#,
        " {\t\"spaced\" :\r\n true } ",
        r#"{"twice":1,"twice":2}"#,
        r#"{"numbers":[1.0,1e2,-0,0.1000,18446744073709551615,123456789012345678901234567890]}"#,
        r#"{"escaped":"\u0000\ud83d\ude00\/\u00e9","plain":"😀é
"}"#,
    ];
    let payloads =
        written.iter().cycle().take(Payload::TYPES.len()).map(|text| Bytes::from_static(text.as_bytes()));
    let first = pair.first(&worker).payloads(payloads).commit();
    assert_eq!(pair.append(first.clone()).await, Ok(()));
    let read = Read::Events { worker, after: 0, most: ALL };
    let Ok(Reply::Events(events)) = pair.read(read).await else { panic!("a log of one commit") };
    assert_eq!(events, first.events);
    let types: std::collections::BTreeSet<_> = events.iter().map(|event| event.type_name).collect();
    assert_eq!(types, Payload::TYPES.iter().copied().collect());
}

/// A commit that expects another head than the log's is refused and writes nothing.
pub async fn a_conflict_writes_nothing(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create_with(3).await;
    let input: InputId = "inp_refused".parse().expect("an input id");
    for expected_head in [0, 2, 4, u64::from(u32::MAX)] {
        let draft = pair.draft(&worker).expected_head(expected_head).events(2).entries([1]).accepts(&input);
        let row = row(&worker).status(WorkerStatus::Stopped).unsettled(true);
        let commit = draft.blob("a body").keep("a", "kept").row(row).checkpoint().commit();
        let refusal = Refusal::Conflict { worker: worker.clone(), head: 3 };
        assert_eq!(pair.append(commit).await, Err(refusal), "at {expected_head}");
    }
    let next = pair.draft(&worker).commit();
    assert_eq!(pair.append(next).await, Ok(()));
}

/// The commit that was written last is a success when it comes again, and writes nothing.
pub async fn a_repeated_commit_is_written_once(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.new_worker();
    let first = pair.first(&worker).events(2).commit();
    for _ in 0..3 {
        assert_eq!(pair.append(first.clone()).await, Ok(()), "the first of its worker");
    }
    let second = pair.draft(&worker).events(2).entries([1]).commit();
    for _ in 0..2 {
        assert_eq!(pair.append(second.clone()).await, Ok(()));
    }
    let refused = pair.draft(&worker).expected_head(9).commit();
    let refusal = Err(Refusal::Conflict { worker: worker.clone(), head: 4 });
    for _ in 0..2 {
        assert_eq!(pair.append(refused.clone()).await, refusal, "was never written");
    }
    assert_eq!(pair.append(second).await, Ok(()), "still the last that was written");
    assert_eq!(pair.append(first).await, refusal, "not the last");
}

/// A row stays until a commit brings another.
pub async fn a_row_stays_until_another_comes(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create().await;
    let drafts = [None, Some(WorkerStatus::Running), None, Some(WorkerStatus::Cancelled), None];
    for status in drafts {
        let draft = pair.draft(&worker);
        let draft = match status {
            Some(status) => draft.row(row(&worker).status(status)),
            None => draft,
        };
        let commit = draft.commit();
        let given = commit.row.clone();
        let Ok(Reply::Worker(before)) = pair.read(Read::Worker(worker.clone())).await else {
            panic!("the worker is there")
        };
        assert_eq!(pair.append(commit).await, Ok(()));
        let expected = given.map(Box::new).or(before);
        assert_eq!(pair.read(Read::Worker(worker.clone())).await, Ok(Reply::Worker(expected)));
    }
}

/// A transcript entry replaces the one with its sequence.
pub async fn entries_are_replaced_by_their_sequence(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create().await;
    let other = pair.create().await;
    for sequences in [vec![1, 2, 3], vec![2], vec![4, 1], vec![3, 5, 6], vec![6]] {
        for worker in [&worker, &other] {
            let commit = pair.draft(worker).entries(sequences.clone()).commit();
            assert_eq!(pair.append(commit).await, Ok(()), "{sequences:?}");
        }
    }
}

/// The first ack of an input is found by its worker and id, however long ago it was.
pub async fn accepted_inputs_are_kept(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let workers = [pair.create().await, pair.create().await];
    let ids = ["inp_1", "INP_1", "/[x]{y}'\"%;--", "inp_2"];
    let ids = ids.map(|id| id.parse::<InputId>().expect("an input id"));
    for id in &ids[..3] {
        for worker in &workers {
            let commit = pair.draft(worker).events(2).accepts(id).commit();
            let accepted = commit.accepted[0].clone();
            assert_eq!(pair.append(commit).await, Ok(()));
            let reply = pair.read(Read::AcceptedInput(worker.clone(), id.clone())).await;
            assert_eq!(reply, Ok(Reply::AcceptedInput(Some(accepted))));
        }
    }
    let [_, _, _, never] = ids;
    let [worker, _] = workers;
    assert_eq!(pair.read(Read::AcceptedInput(worker, never)).await, Ok(Reply::AcceptedInput(None)));
}

/// A checkpoint stands until a newer one comes.
pub async fn the_newest_checkpoint_is_kept(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create().await;
    assert_eq!(pair.read(Read::Checkpoint(worker.clone())).await, Ok(Reply::Checkpoint(None)));
    for _ in 0..2 {
        let with = pair.draft(&worker).events(2).checkpoint().commit();
        let newest = with.checkpoint.clone();
        let without = pair.draft(&worker).expected_head(with.head().seq).commit();
        for commit in [with, without] {
            assert_eq!(pair.append(commit).await, Ok(()));
            let reply = pair.read(Read::Checkpoint(worker.clone())).await;
            assert_eq!(reply, Ok(Reply::Checkpoint(newest.clone())));
        }
    }
}

/// A commit with as many events as the runtime puts into one is taken.
pub async fn a_long_commit_is_taken(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create().await;
    let long = pair.draft(&worker).events(LONG_COMMIT).entries(1..=64).commit();
    assert_eq!(pair.append(long).await, Ok(()));
}

/// An event of 8 MiB is taken, and so is a body of 16 MiB.
pub async fn a_large_commit_is_taken(place: &dyn Place) {
    const MIB: usize = 1 << 20;
    let mut pair = Pair::open(place).await;
    let worker = pair.new_worker();
    let text = Bytes::from(format!("\"{}\"", "é".repeat(4 * MIB)));
    let body = Bytes::from(b"\0a large body\xff\xfe\x01".repeat(MIB));
    let payloads = ["1".into(), text.clone(), "2".into()];
    let first = pair.first(&worker).payloads(payloads).blob(body.clone()).commit();
    let digest = first.blobs[0].digest;
    // Past the pair: a difference must not print megabytes.
    let store = pair.store();
    store.append(first.clone()).await.expect("a large commit is taken");
    let read = store.events(&worker, 0, ALL).await.expect("its events are read");
    assert!(read == first.events, "{} events, not those that were written", read.len());
    let read = store.blob(&worker, digest).await.expect("its body is read");
    assert!(read == Some(body), "{:?} bytes, not those that were written", read.map(|body| body.len()));
}
