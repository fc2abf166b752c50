//! Checks of pages of logs and transcripts.

use bytes::Bytes;
use musher_core::{Most, Start, StoredEvent, TranscriptSlice};
use musher_protocol::{Order, TranscriptEntry};

use super::{
    Place,
    pair::{ALL, Pair},
    read::{Read, Reply},
    row::row,
};

/// Events are in order and without gaps, whatever the size of the pages.
pub async fn events_are_paged_without_gaps(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create_with(4).await;
    for n_events in [1, 7, 3, 8] {
        let commit = pair.draft(&worker).events(n_events).commit();
        assert_eq!(pair.append(commit).await, Ok(()));
    }
    for events in [1, 2, 5, 22, 23, 24] {
        let mut read = 0;
        for page in 1.. {
            let most = Most { events, bytes: ALL.bytes };
            let reply = pair.read(Read::Events { worker: worker.clone(), after: read, most }).await;
            let Ok(Reply::Events(events)) = reply else { panic!("page {page}: {reply:?}") };
            let Some(last) = events.last() else { break };
            read = last.seq;
        }
        assert_eq!(read, 23, "in pages of {events}");
    }
}

/// A page holds as many events as both of its bounds allow, and one in any case.
pub async fn a_page_holds_what_its_bounds_allow(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.new_worker();
    // Ten bytes each, but for the third, which has a hundred.
    let payloads = [10, 10, 100, 10, 10].map(|len| Bytes::from(format!("{:>len$}", 1)));
    let first = pair.first(&worker).payloads(payloads).commit();
    assert_eq!(pair.append(first).await, Ok(()));
    let cases: &[(u64, usize, usize, &[u64])] = &[
        (0, 9, 9000, &[1, 2, 3, 4, 5]),
        (0, 5, 140, &[1, 2, 3, 4, 5]),
        (0, 5, 139, &[1, 2, 3, 4]),
        (0, 2, 9000, &[1, 2]),
        (0, 9, 20, &[1, 2]),
        (0, 9, 119, &[1, 2]),
        (0, 9, 120, &[1, 2, 3]),
        (2, 9, 99, &[3]),
        (2, 9, 0, &[3]),
        (2, 0, 0, &[3]),
        (2, 0, 9000, &[3]),
        (4, 9, 9000, &[5]),
        (5, 9, 9000, &[]),
        (5, 0, 0, &[]),
        (6, 9, 9000, &[]),
    ];
    for &(after, events, bytes, expected) in cases {
        let most = Most { events, bytes };
        let reply = pair.read(Read::Events { worker: worker.clone(), after, most }).await;
        let Ok(Reply::Events(events)) = reply else { panic!("{after}, {most:?}: {reply:?}") };
        let found: Vec<_> = events.iter().map(|event| event.seq).collect();
        assert_eq!(found, expected, "behind {after}, {most:?}");
    }
}

/// A slice of a transcript begins where it is told to, counted from either end, and says what it passed over.
pub async fn a_transcript_is_sliced_from_both_ends(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.new_worker();
    let first = pair.first(&worker).entries(1..=5).commit();
    assert_eq!(pair.append(first).await, Ok(()));
    let cases: &[(Start, usize, u64, &[u64])] = &[
        (Start::Behind(0), 9, 0, &[1, 2, 3, 4, 5]),
        (Start::Behind(0), 2, 0, &[1, 2]),
        (Start::Behind(0), 0, 0, &[]),
        (Start::Behind(3), 1, 3, &[4]),
        (Start::Behind(4), 9, 4, &[5]),
        (Start::Behind(5), 9, 5, &[]),
        (Start::Behind(6), 9, 5, &[]),
        (Start::BeforeEnd(0), 9, 5, &[]),
        (Start::BeforeEnd(2), 9, 3, &[4, 5]),
        (Start::BeforeEnd(2), 1, 3, &[4]),
        (Start::BeforeEnd(5), 9, 0, &[1, 2, 3, 4, 5]),
        (Start::BeforeEnd(6), 2, 0, &[1, 2]),
    ];
    for &(start, limit, passed, expected) in cases {
        let reply = pair.read(Read::Transcript { worker: worker.clone(), start, limit }).await;
        let Ok(Reply::Transcript(slice)) = reply else { panic!("{start:?}: {reply:?}") };
        let found: Vec<_> = slice.entries.iter().map(|entry| entry.sequence).collect();
        assert_eq!((slice.start, slice.total, found.as_slice()), (passed, 5, expected), "{start:?}, {limit}");
    }
}

/// The largest bounds are bounds like others.
pub async fn no_bound_is_too_large(place: &dyn Place) {
    const MOST: Most = Most { events: usize::MAX, bytes: usize::MAX };
    let mut pair = Pair::open(place).await;
    let worker = pair.new_worker();
    let first = pair.first(&worker).events(2).entries([1, 2]).row(row(&worker).unsettled(true)).commit();
    assert_eq!(pair.append(first.clone()).await, Ok(()));
    let of = || worker.clone();
    let events = |events: &[StoredEvent]| Ok(Reply::Events(events.to_vec()));
    let slice = |start, entries: &[TranscriptEntry]| {
        let (entries, head) = (entries.to_vec(), first.head());
        Ok(Reply::Transcript(TranscriptSlice { start, total: 2, entries, head }))
    };
    let limit = usize::MAX;
    let cases = [
        (Read::Events { worker: of(), after: 0, most: MOST }, events(&first.events)),
        (Read::Events { worker: of(), after: u64::MAX, most: MOST }, events(&[])),
        (Read::Events { worker: of(), after: u64::MAX - 1, most: MOST }, events(&[])),
        (Read::Transcript { worker: of(), start: Start::Behind(0), limit }, slice(0, &first.entries)),
        (Read::Transcript { worker: of(), start: Start::Behind(u64::MAX), limit }, slice(2, &[])),
        (
            Read::Transcript { worker: of(), start: Start::BeforeEnd(u64::MAX), limit },
            slice(0, &first.entries),
        ),
        (
            Read::Workers { status: None, order: Order::Asc, after: None, limit },
            Ok(Reply::Workers(first.row.clone().into_iter().collect())),
        ),
        (Read::Unsettled { after: None, limit }, Ok(Reply::Unsettled(vec![of()]))),
    ];
    for (read, expected) in cases {
        assert_eq!(pair.read(read.clone()).await, expected, "{read:?}");
    }
}
