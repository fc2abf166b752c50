//! The directory of recordings: how much is kept in it, and what goes.
//!
//! Only files with the name of a recording are ever looked at or removed, whoever else uses the directory.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use musher_protocol::WorkerId;

/// The end of each name.
const ENDING: &str = ".jsonl";
/// What the moment in a name looks like: a digit for each 0.
const MOMENT: &str = "00000000T000000.000Z";

/// How much of recordings is kept: what is older goes when a session ends. The newest one always stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordLimits {
    /// How many files.
    pub files: usize,
    /// How many bytes they have together.
    pub bytes: u64,
}

impl Default for RecordLimits {
    /// A thousand sessions are more than a person looks for, and a look at as many files takes milliseconds; 1 GiB is
    /// sixteen of the longest recordings.
    fn default() -> Self {
        Self { files: 1000, bytes: 1 << 30 }
    }
}

/// A recording in the directory.
#[derive(Debug)]
struct Found {
    /// The moment that it began at, and its name: the order in which they go.
    order: (String, String),
    path: PathBuf,
    bytes: u64,
}

/// The name of a recording.
pub(super) fn name(worker: &WorkerId, moment: jiff::Timestamp, session: &str) -> String {
    format!("{worker}_{}_{session}{ENDING}", moment.strftime("%Y%m%dT%H%M%S.%3fZ"))
}

/// The worker and the moment in the name of a recording; none of any other file's.
fn parts(name: &str) -> Option<(&str, &str)> {
    // Only the worker's id may have a `_` of its own.
    let mut parts = name.strip_suffix(ENDING)?.rsplitn(3, '_').skip(1);
    let (moment, worker) = (parts.next()?, parts.next()?);
    let digits: String = moment.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    (digits == MOMENT).then_some((worker, moment))
}

/// Removes the oldest recordings beyond the limits and answers with how many. One that is being written stays, and
/// counts. Blocks.
///
/// # Errors
///
/// When the directory cannot be read, or a file in it not be removed: the first of these, after all others are gone.
pub fn remove_old_recordings(directory: &Path, limits: RecordLimits) -> io::Result<usize> {
    let mut found = recordings(directory, |_worker| true)?;
    found.sort_unstable_by(|a, b| b.order.cmp(&a.order));
    let (mut bytes, mut n_removed, mut failed) = (0_u64, 0, None);
    for (place, recording) in found.iter().enumerate() {
        bytes = bytes.saturating_add(recording.bytes);
        let goes = place > 0 && (place >= limits.files || bytes > limits.bytes);
        if !goes {
            continue;
        }
        match remove_unless_written(&recording.path) {
            Ok(is_removed) => n_removed += usize::from(is_removed),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(n_removed), Err)
}

/// Removes all recordings of a worker that is no more. Blocks.
pub(crate) fn remove_recordings_of(directory: &Path, worker: &WorkerId) -> io::Result<()> {
    let found = recordings(directory, |of| of == worker.as_str())?;
    let removed = found.into_iter().map(|recording| unless_gone(fs::remove_file(recording.path)).map(drop));
    // All of them are tried.
    removed.fold(Ok(()), io::Result::and)
}

fn recordings(directory: &Path, is_wanted: impl Fn(&str) -> bool) -> io::Result<Vec<Found>> {
    let Some(entries) = unless_gone(fs::read_dir(directory))? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let Some((_, moment)) = parts(name).filter(|(worker, _)| is_wanted(worker)) else { continue };
        // What another session's end has removed meanwhile is gone.
        let Some(metadata) = unless_gone(entry.metadata())? else { continue };
        if metadata.is_file() {
            let order = (moment.to_owned(), name.to_owned());
            found.push(Found { order, path: entry.path(), bytes: metadata.len() });
        }
    }
    Ok(found)
}

/// Whether it is removed now: who writes one holds its lock.
fn remove_unless_written(path: &Path) -> io::Result<bool> {
    let Some(file) = unless_gone(File::open(path))? else { return Ok(false) };
    match file.try_lock() {
        Ok(()) => Ok(unless_gone(fs::remove_file(path))?.is_some()),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = "0192f0c1-7d1e-7000-8000-000000000000";

    /// A directory with a recording of this many bytes for each second, and something else.
    fn shelf(bytes: &[usize]) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        for (second, bytes) in (0..).zip(bytes) {
            let moment = jiff::Timestamp::from_second(second).unwrap();
            let worker = format!("wrk_{}", second % 2).parse().unwrap();
            fs::write(home.path().join(name(&worker, moment, SESSION)), "x".repeat(*bytes)).unwrap();
        }
        for name in ["notes.jsonl", "wrk_0_of_mine.jsonl", "wrk_0_20260101T000000Z_x.jsonl"] {
            fs::write(home.path().join(name), "mine").unwrap();
        }
        home
    }

    /// The seconds of the recordings that are left; all else must be.
    fn left(home: &tempfile::TempDir) -> Vec<String> {
        let names = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        let mut seconds: Vec<_> =
            names.iter().filter_map(|name| Some(parts(name)?.1[13..15].to_owned())).collect();
        assert_eq!(names.len(), seconds.len() + 3, "{names:?}");
        seconds.sort();
        seconds
    }

    #[test]
    fn the_oldest_go_beyond_the_number_or_the_bytes_and_nothing_else_does() {
        for (files, bytes, expected) in [
            (10, 1000, &["00", "01", "02", "03"][..]),
            (2, 1000, &["02", "03"]),
            (10, 60, &["02", "03"]),
            // The newest stays, however long it is.
            (10, 1, &["03"]),
            (0, 0, &["03"]),
        ] {
            let home = shelf(&[30, 30, 30, 30]);
            let n_removed = remove_old_recordings(home.path(), RecordLimits { files, bytes }).unwrap();
            assert_eq!(
                (left(&home), n_removed),
                (expected.iter().map(ToString::to_string).collect(), 4 - expected.len())
            );
        }
        let nowhere = Path::new("/nowhere/at/all");
        assert_eq!(remove_old_recordings(nowhere, RecordLimits::default()).unwrap(), 0);
    }

    #[test]
    fn one_that_is_being_written_stays_and_counts() {
        let home = shelf(&[30, 30, 30]);
        let oldest = name(&"wrk_0".parse().unwrap(), jiff::Timestamp::UNIX_EPOCH, SESSION);
        let file = File::open(home.path().join(oldest)).unwrap();
        file.lock().unwrap();
        let limits = RecordLimits { files: 1, bytes: 1000 };
        assert_eq!(remove_old_recordings(home.path(), limits).unwrap(), 1);
        assert_eq!(left(&home), ["00", "02"]);
        drop(file);
        assert_eq!(remove_old_recordings(home.path(), limits).unwrap(), 1);
        assert_eq!(left(&home), ["02"]);
    }

    #[test]
    fn a_worker_that_is_deleted_takes_its_own_along() {
        let home = shelf(&[1, 1, 1]);
        remove_recordings_of(home.path(), &"wrk_0".parse().unwrap()).unwrap();
        remove_recordings_of(home.path(), &"wrk".parse().unwrap()).unwrap();
        assert_eq!(left(&home), ["01"]);
    }
}
