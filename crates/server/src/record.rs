//! `musher record`: a run whose sessions are recorded, and where the recording is.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use musher_claude_pty::{RecordLimits, remove_old_recordings};

use crate::{
    cli::RecordArguments,
    compose::Recording,
    config::BackendOptions,
    failure::{Chain, Failure},
    paths, run, terminal,
};

/// What a person must know before the file goes anywhere.
const CONTENT: &str = "It holds the prompts, all that Claude Code said, and what its tools read and wrote. Read it \
                       before you share it.";

/// Why there is no recording.
#[derive(Debug, thiserror::Error)]
enum RecordError {
    #[error("profile `{profile}` runs `{backend}`; only sessions of Claude Code can be recorded")]
    Backend { profile: String, backend: String },
    #[error("`{}` exists; name another file", .0.display())]
    Exists(PathBuf),
    #[error("`{}` names no file", .0.display())]
    NoFile(PathBuf),
    #[error("put the recording in its place; it stays in `{}`", .kept.display())]
    Place { kept: PathBuf, source: io::Error },
    #[error("put the recording in its place; it is lost")]
    Lost(#[source] io::Error),
}

pub(crate) async fn record(arguments: RecordArguments) -> Result<ExitCode, Failure> {
    let RecordArguments { run: arguments, out } = arguments;
    let (config, profile) = run::resolve(&arguments)?;
    let backend = config.profiles[&profile].backend.clone();
    let Some(BackendOptions::Claude(options)) = config.backends.get(&backend) else {
        return Err(Failure::usage(RecordError::Backend { profile, backend }));
    };
    let shelf = Shelf::new(out)?;
    let limits = options.record_limits;
    let (composed, ran) = run::run_as(&config, profile, &arguments, Recording::Passing).await?;
    // What went wrong is in the recording, if anywhere: it is kept however the run ended.
    let placed = composed.finish_with(|desk| {
        shelf.make_room(limits);
        shelf.place(desk)
    });
    match placed.await {
        Ok(files) if files.is_empty() => terminal::say("nothing was recorded: no session began"),
        Ok(files) => {
            for file in files {
                terminal::say(format!("recorded in {}", file.display()));
            }
            terminal::say(CONTENT);
        }
        // The run's own failure is the answer, but somebody has to know where the prompts are.
        Err(error) if ran.is_err() => terminal::say(format!("record: {}", Chain(&error))),
        Err(error) => return Err(Failure::other("record", error)),
    }
    ran
}

/// Where recordings are put when they are complete.
#[derive(Debug)]
struct Shelf {
    /// The file that somebody wants; without one they keep their names.
    out: Option<PathBuf>,
    directory: PathBuf,
}

impl Shelf {
    /// A shelf for a file that does not exist yet, or for files with names of their own.
    fn new(out: Option<PathBuf>) -> Result<Self, Failure> {
        let directory = match &out {
            None => paths::state_dir().map_err(Failure::usage)?.join("recordings"),
            Some(file) if file.file_name().is_none() => {
                return Err(Failure::usage(RecordError::NoFile(file.clone())));
            }
            Some(file) if fs::symlink_metadata(file).is_ok() => {
                return Err(Failure::usage(RecordError::Exists(file.clone())));
            }
            Some(file) => {
                let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
                parent.unwrap_or(Path::new(".")).to_owned()
            }
        };
        // Before the work rather than after it.
        fs::create_dir_all(&directory)
            .map_err(|error| Failure::other(format!("make the directory {}", directory.display()), error))?;
        Ok(Self { out, directory })
    }

    /// Removes old recordings where nobody named a file: what comes now comes on top.
    fn make_room(&self, limits: RecordLimits) {
        if self.out.is_some() {
            return;
        }
        match remove_old_recordings(&self.directory, limits) {
            Ok(0) => {}
            Ok(n) => terminal::say(format!("removed {n} old recordings from {}", self.directory.display())),
            // This run's recording is none the worse for it.
            Err(error) => terminal::say(format!("old recordings stay: {error}")),
        }
    }

    /// Puts what was recorded where it belongs, and answers with it. What cannot be put there is kept elsewhere.
    fn place(&self, desk: &Path) -> Result<Vec<PathBuf>, RecordError> {
        self.copy(desk).map_err(|source| match keep(desk) {
            Ok(kept) => RecordError::Place { kept, source },
            Err(second) => {
                tracing::error!(error = %Chain(&second), "keep the recording elsewhere");
                RecordError::Lost(source)
            }
        })
    }

    /// There may be several sessions in one run: their names begin with the moment, so that they come in order.
    fn copy(&self, desk: &Path) -> io::Result<Vec<PathBuf>> {
        let recorded = match fs::read_dir(desk) {
            // It is made for the first session.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            recorded => recorded?,
        };
        let names = recorded.map(|entry| Ok(entry?.file_name()));
        let mut names: Vec<OsString> = names.collect::<io::Result<_>>()?;
        names.sort_unstable();
        let place = |(number, name): (u32, OsString)| {
            let to =
                self.out.as_ref().map_or_else(|| self.directory.join(&name), |out| numbered(out, number));
            copy_new(&desk.join(&name), &to).map(|()| to)
        };
        (1..).zip(names).map(place).collect()
    }
}

/// Moves recordings away from where they would go with the process.
fn keep(desk: &Path) -> io::Result<PathBuf> {
    let kept = tempfile::Builder::new().prefix("musher-recording-").tempdir()?;
    // Both are in the temporary directory, and a directory may take the place of an empty one.
    fs::rename(desk, kept.path())?;
    Ok(kept.keep())
}

/// Copies to a file of the user's own, and never over one that has come meanwhile.
fn copy_new(from: &Path, to: &Path) -> io::Result<()> {
    let mut from = File::open(from)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let copied = io::copy(&mut from, &mut file).and_then(|_n| file.sync_all());
    if copied.is_err() {
        // Half a recording would pass for one; that it cannot be removed changes nothing about the failure.
        let _stays = fs::remove_file(to);
    }
    copied
}

/// The file itself for the first session, one beside it for each further one.
fn numbered(out: &Path, number: u32) -> PathBuf {
    if number == 1 {
        return out.to_owned();
    }
    let mut name = out.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf(out: &Path) -> Result<Shelf, String> {
        Shelf::new(Some(out.to_owned())).map_err(|failure| format!("{failure:?}"))
    }

    #[test]
    fn each_session_has_a_file_and_nothing_else_is_left() {
        let home = tempfile::tempdir().unwrap();
        let out = home.path().join("new/bug.jsonl");
        let shelf = shelf(&out).unwrap();
        let desk = home.path().join("desk");
        assert_eq!(shelf.place(&desk).unwrap(), Vec::<PathBuf>::new(), "no session has begun");
        fs::create_dir(&desk).unwrap();
        for name in ["wrk_1_20260102_b.jsonl", "wrk_1_20260101_a.jsonl"] {
            fs::write(desk.join(name), name).unwrap();
        }
        let files = shelf.place(&desk).unwrap();
        assert_eq!(files, [out.clone(), home.path().join("new/bug.jsonl.2")]);
        assert_eq!(fs::read_to_string(&out).unwrap(), "wrk_1_20260101_a.jsonl");
        assert_eq!(fs::read_dir(home.path().join("new")).unwrap().count(), 2);
    }

    #[test]
    fn only_the_place_that_nobody_named_is_tidied() {
        let home = tempfile::tempdir().unwrap();
        let limits = RecordLimits { files: 1, bytes: 100 };
        let names = ["wrk_1_20260101T000000.000Z_a.jsonl", "wrk_1_20260102T000000.000Z_b.jsonl"];
        for name in names {
            fs::write(home.path().join(name), name).unwrap();
        }
        let exist = || names.map(|name| home.path().join(name).exists());
        shelf(&home.path().join("bug.jsonl")).unwrap().make_room(limits);
        assert_eq!(exist(), [true, true]);
        Shelf { out: None, directory: home.path().to_owned() }.make_room(limits);
        assert_eq!(exist(), [false, true]);
    }

    #[test]
    fn a_file_that_exists_is_never_replaced() {
        let home = tempfile::tempdir().unwrap();
        let out = home.path().join("bug.jsonl");
        let (waiting, desk) = (shelf(&out).unwrap(), home.path().join("desk"));
        fs::create_dir(&desk).unwrap();
        fs::write(desk.join("a.jsonl"), "new").unwrap();
        fs::write(&out, "old").unwrap();
        assert!(shelf(&out).unwrap_err().contains("Exists"));
        let Err(RecordError::Place { kept, source }) = waiting.place(&desk) else { panic!("it is replaced") };
        assert_eq!((source.kind(), desk.exists()), (io::ErrorKind::AlreadyExists, false));
        let read = |file: &Path| fs::read_to_string(file).unwrap();
        assert_eq!((read(&out).as_str(), read(&kept.join("a.jsonl")).as_str()), ("old", "new"));
        fs::remove_dir_all(kept).unwrap();
    }
}
