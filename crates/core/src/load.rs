//! A worker as its log says, read from the store: from the newest checkpoint on.

use musher_protocol::{EventId, Payload, TranscriptEntry, WorkerId, WorkerRef};

use crate::{
    fold::{Decided, Fold, QueuedInput},
    store::{Checkpoint, Head, Most, Start, Store, StoreError, StoredEvent, WorkerRow},
};

/// What is read at once: as much as a reader's share of memory while a worker is loaded.
const PAGE: Most = Most { events: 1024, bytes: 4 << 20 };
/// As many of the newest entries as a snapshot could ever hold.
const ENTRIES: u64 = 256;

/// A worker up to a place of its log.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) fold: Fold,
    pub(crate) head: Head,
    pub(crate) last_event_id: EventId,
    /// How many events the newest checkpoint does not cover.
    pub(crate) uncovered: u64,
    /// The newest entries of the transcript, oldest first.
    pub(crate) entries: Vec<TranscriptEntry>,
}

/// Reads a worker whose row is this one, up to the end of its log.
pub(crate) async fn load(
    store: &dyn Store,
    row: &WorkerRow,
    worker_ref: WorkerRef,
) -> Result<Loaded, StoreError> {
    let worker = &row.worker_id;
    let (mut fold, mut head) = match store.checkpoint(worker).await? {
        Some(checkpoint) => (read_checkpoint(row, &checkpoint)?, checkpoint.head),
        None => (Fold::new(worker_ref, row.created_at), Head::EMPTY),
    };
    let covered = head.seq;
    let mut last_event_id = row.last_event_id.clone();
    loop {
        let events = store.events(worker, head.seq, PAGE).await?;
        let Some(last) = events.last() else { break };
        head = Head { seq: last.seq, checksum: last.checksum };
        last_event_id = last.event_id.clone();
        for event in &events {
            let payload = read_payload(worker, event)?;
            fold.apply(Decided { event_id: &event.event_id, at: event.at, payload: &payload });
        }
    }
    if head.seq < row.head.seq {
        // It was there a moment ago: somebody deletes it.
        return Err(StoreError::NoWorker(worker.clone()));
    }
    for input in fold.pending() {
        complete(store, row, input).await?;
    }
    let entries = store.transcript(worker, Start::BeforeEnd(ENTRIES), ENTRIES as usize).await?.entries;
    Ok(Loaded { fold, uncovered: head.seq - covered, head, last_event_id, entries })
}

fn read_checkpoint(row: &WorkerRow, checkpoint: &Checkpoint) -> Result<Fold, StoreError> {
    serde_json::from_slice(&checkpoint.body).map_err(|error| {
        tracing::error!(worker = %row.worker_id, %error, "a checkpoint does not read");
        StoreError::Corrupt {
            worker: row.worker_id.clone(),
            what: format!("the checkpoint at event {}", checkpoint.head.seq),
        }
    })
}

pub(crate) fn read_payload(worker: &WorkerId, event: &StoredEvent) -> Result<Payload, StoreError> {
    serde_json::from_slice(&event.payload).map_err(|error| {
        tracing::error!(%worker, seq = event.seq, %error, "an event does not read");
        StoreError::Corrupt { worker: worker.clone(), what: format!("event {}", event.seq) }
    })
}

/// What is pending may have to be handed over: it is wanted whole.
async fn complete(store: &dyn Store, row: &WorkerRow, input: &mut QueuedInput) -> Result<(), StoreError> {
    let Some(blob) = input.blob.take() else { return Ok(()) };
    let worker = &row.worker_id;
    let body = store.blob(worker, blob.digest).await?;
    let text = body.and_then(|bytes| String::from_utf8(bytes.into()).ok());
    input.content = text.ok_or_else(|| {
        tracing::error!(%worker, input = %input.input_id, digest = %blob.digest, "an input's body is missing, or no text");
        StoreError::Corrupt { worker: worker.clone(), what: format!("the body of input `{}`", input.input_id) }
    })?;
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use jiff::Timestamp;
    use musher_protocol::{Actor, Delivery, InputKind, Intent, OnIdle, WorkerRef};

    use super::*;
    use crate::{
        MemoryStore, Profile,
        batch::{Batch, CheckpointAge, Writer},
        create::new_input,
        machine::{Input, State, step},
        profile::WorkerSpec,
        store::Commit,
    };

    /// A worker that was created with these inputs: what its task holds, and what it writes.
    pub(crate) fn created(contents: &[&str]) -> (Fold, Commit) {
        let at = Timestamp::UNIX_EPOCH;
        let worker_ref =
            WorkerRef { runtime_id: "rt_1".parse().unwrap(), worker_id: "wrk_1".parse().unwrap() };
        let worker = worker_ref.worker_id.clone();
        let spec = Arc::new(WorkerSpec {
            intent: Intent::Assistant { purpose: None },
            profile_name: "test".to_owned(),
            config_bundle: None,
            capabilities: Profile::of("test").capabilities,
            profile: Profile::of("test"),
            display_name: None,
            labels: BTreeMap::new(),
            workspaces: Vec::new(),
            workplaces: Vec::new(),
            mounts: Vec::new(),
            working_dir: "/".into(),
            on_idle: OnIdle::Wait,
            resume: None,
        });
        let mut state = State::new(spec.clone(), Default::default(), Fold::new(worker_ref, at), false, at);
        let inputs = (0..).zip(contents).map(|(n, content)| {
            let id = format!("i{n}").parse().unwrap();
            new_input(id, InputKind::User, (*content).to_owned(), Delivery::Queue, Actor::rule("test"))
                .unwrap()
        });
        let effects =
            step(&mut state, Input::Created { by: Actor::rule("test"), first: inputs.collect() }, at);
        let mut batch = Batch::default();
        batch.extend(effects);
        let commit = batch.seal(&worker, &Head::EMPTY).commit(Writer {
            worker: &worker,
            epoch: Commit::FIRST_EPOCH,
            expected_head: 0,
            fold: &state.fold,
            spec: &spec,
            created_at: at,
            age: CheckpointAge::Young,
        });
        (state.fold, commit)
    }

    async fn loaded(commit: Commit) -> Result<Loaded, StoreError> {
        let store = MemoryStore::new();
        let row = commit.row.clone().expect("a creation has a row");
        store.append(commit).await.unwrap();
        let worker_ref = WorkerRef { runtime_id: "rt_1".parse().unwrap(), worker_id: row.worker_id.clone() };
        load(&store, &row, worker_ref).await
    }

    #[tokio::test]
    async fn what_is_pending_is_whole_again() {
        let (delivered, queued) = ("d".repeat(200_000), "q".repeat(300_000));
        let (fold, commit) = created(&[&delivered, &queued, "short"]);
        let lengths: Vec<_> = commit.blobs.iter().map(|blob| blob.bytes.len()).collect();
        assert_eq!(lengths, [200_000, 300_000]);
        let in_line: usize = commit.events.iter().map(|event| event.payload.len()).sum();
        assert!(in_line < 20_000, "previews: {in_line}");
        assert_eq!(loaded(commit).await.unwrap().fold, fold);
    }

    #[tokio::test]
    async fn a_pending_input_without_its_body_is_damage() {
        let missing = |commit: &mut Commit| commit.blobs.clear();
        let no_text = |commit: &mut Commit| commit.blobs[0].bytes = b"\xff"[..].into();
        for damage in [missing, no_text] {
            let (_, mut commit) = created(&[&"x".repeat(200_000)]);
            damage(&mut commit);
            let error = loaded(commit).await.unwrap_err();
            assert_eq!(error.to_string(), "the body of input `i0` of `wrk_1` is damaged");
        }
    }
}
