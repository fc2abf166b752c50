use std::fs;

use rusqlite::Connection;

use super::*;

const PAGE: usize = 512;
const FRAME: usize = FRAME_HEADER + PAGE;

/// A log of four commits of some frames each, as SQLite writes it, and the frames that end a commit.
fn small_log() -> (Vec<u8>, Vec<usize>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "PRAGMA page_size = 512; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE a (b TEXT); CREATE INDEX c ON a (b);",
        )
        .unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    for n in 0..4 {
        connection.execute("INSERT INTO a VALUES (?1 || hex(zeroblob(60)))", [n]).unwrap();
    }
    let log = fs::read(dir.path().join("a.db-wal")).unwrap();
    let frames = log[HEADER..].chunks_exact(FRAME);
    let ends: Vec<_> = (1..).zip(frames).filter(|(_, frame)| word(frame, 4) != 0).map(|(n, _)| n).collect();
    assert_eq!(ends.len(), 4);
    assert!(ends[0] > 1, "commits of several frames");
    (log, ends)
}

#[test]
fn a_whole_log_and_its_torn_ends_are_no_damage() {
    let (log, _) = small_log();
    for length in 0..=log.len() {
        assert_eq!(scan(&log[..length]).unwrap(), None, "cut to {length} bytes");
    }
}

#[test]
fn a_last_commit_whose_frames_came_out_of_order_is_a_torn_end() {
    let (log, ends) = small_log();
    for lost in ends[2] + 1..=ends[3] {
        for part in [PAGE, 100] {
            let mut log = log.clone();
            let at = HEADER + (lost - 1) * FRAME + FRAME_HEADER;
            log[at..at + part].fill(0);
            assert_eq!(scan(&log[..]).unwrap(), None, "frame {lost} without its first {part} bytes");
            log[at - FRAME_HEADER..at].fill(0);
            assert_eq!(scan(&log[..]).unwrap(), None, "frame {lost} without header and {part} bytes");
        }
    }
}

#[test]
fn frames_of_an_older_log_behind_the_end_are_no_damage() {
    let (old, _) = small_log();
    let (new, ends) = small_log();
    let mut log = new[..HEADER + ends[1] * FRAME].to_vec();
    log.extend(&old[log.len()..]);
    assert_eq!(scan(&log[..]).unwrap(), None);
}

#[test]
fn every_flipped_bit_is_damage_but_most_in_pages_of_the_last_commit() {
    let (mut log, ends) = small_log();
    let last_commit = HEADER + ends[2] * FRAME;
    for bit in 0..log.len() * 8 {
        let at = bit / 8;
        log[at] ^= 1 << (bit % 8);
        let found = scan(&log[..]).unwrap();
        log[at] ^= 1 << (bit % 8);
        let Some(at_frame) = at.checked_sub(HEADER) else {
            assert_eq!(found, Some(WalDamage::Header), "bit {bit}");
            continue;
        };
        let (frame, place) = (1 + at_frame / FRAME, at_frame % FRAME);
        let damage = Some(WalDamage::Frame(frame as u64));
        let begins = HEADER + (frame - 1) * FRAME;
        let on_an_edge = begins / 512 != (begins + FRAME_HEADER - 1) / 512;
        if at >= last_commit && (place >= FRAME_HEADER || on_an_edge) {
            // This cannot be told from a torn end, except where the checksum gives the same for a bit of the header.
            assert!(found.is_none() || found == damage, "bit {bit}: {found:?}");
        } else {
            assert_eq!(found, damage, "bit {bit}");
        }
    }
}

/// A log whose second commit has frame 42, the first words of whose header are in the sector before the rest of it.
fn log_over_an_edge() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let connection = Connection::open(dir.path().join("a.db")).unwrap();
    connection
        .execute_batch(
            "PRAGMA page_size = 512; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE a (b TEXT);
             PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO a VALUES (hex(zeroblob(1000)));
             INSERT INTO a SELECT hex(zeroblob(400)) FROM (VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (10),
                 (11), (12), (13), (14), (15), (16), (17), (18), (19), (20), (21), (22), (23), (24), (25));",
        )
        .unwrap();
    let log = fs::read(dir.path().join("a.db-wal")).unwrap();
    assert!(log.len() > HEADER + 44 * FRAME, "{} bytes", log.len());
    log
}

#[test]
fn a_torn_header_with_an_older_logs_first_words_is_a_torn_end() {
    let log = log_over_an_edge();
    let at = HEADER + 41 * FRAME;
    assert_eq!((at + 8) % 512, 0, "page number and commit mark end with the sector");
    for (page, mark) in [(1_u32, 0_u32), (1, 9), (77, 1)] {
        let mut torn = log.clone();
        torn[at..at + 4].copy_from_slice(&page.to_be_bytes());
        torn[at + 4..at + 8].copy_from_slice(&mark.to_be_bytes());
        assert_eq!(scan(&torn[..]).unwrap(), None, "page {page}, mark {mark}");
    }
    for bit in 0..64 {
        let mut torn = log.clone();
        torn[at + bit / 8] ^= 1 << (bit % 8);
        assert_eq!(scan(&torn[..]).unwrap(), None, "bit {bit}");
    }
}

#[test]
fn a_frame_that_was_lost_in_the_middle_is_damage() {
    let (mut log, ends) = small_log();
    // The first frame of the second commit.
    let at = HEADER + ends[0] * FRAME;
    log[at..at + FRAME].fill(0);
    assert_eq!(scan(&log[..]).unwrap(), Some(WalDamage::Frame(ends[0] as u64 + 1)));
}
