//! A session's raw streams on a file of their own, so that what went wrong at somebody's place can be played again.
//!
//! The file is a cassette: JSON lines, first a header, then what went over stdin, stdout and stderr with the time
//! since the beginning, and how the program ended. A task of its own writes it. The session never waits for that
//! task: one that falls behind or fails costs the recording, which then says so, and nothing else.

mod line;
mod pieces;
mod shelf;
mod tape;

use std::{
    error::Error as _,
    io::{self, SeekFrom},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use musher_backend::{Event, Launch, Secrets};
use musher_process::Exit;
use tokio::{
    fs::{DirBuilder, File, OpenOptions},
    io::{AsyncSeekExt as _, AsyncWriteExt as _},
    sync::mpsc,
    task::{JoinSet, spawn_blocking},
    time::{Instant, timeout},
};

pub(crate) use self::shelf::remove_recordings_of;
pub use self::shelf::{RecordLimits, remove_old_recordings};
use self::{line::Header, tape::Tape};
use crate::{ClaudeOptions, invocation::Invocation};

/// Pieces that may wait for the disk. Each is at most what a pipe holds, so that 16 MiB may wait; a disk that is
/// further behind than that would cost the session memory.
const QUEUE: usize = 256;

/// A disk that needs longer for what waits is none that a session's end waits for.
const FINISH_LIMIT: Duration = Duration::from_secs(5);

/// What is recorded, and where.
#[derive(Debug)]
pub(crate) struct Recording {
    directory: PathBuf,
    file: String,
    header: Header,
    secrets: Secrets,
}

/// Why there is no recording, or not all of it. No message has a path: it goes into the worker's log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordingError {
    #[error("the session is not recorded: its file cannot be made")]
    Create(#[source] io::Error),
    #[error("the recording ends early: its file cannot be written")]
    Write(#[source] io::Error),
    #[error("the recording ends early: {0}")]
    Cut(Cut),
    #[error("the recording may lack its end: the disk did not take it within {} s", FINISH_LIMIT.as_secs())]
    Slow,
}

/// Why a cassette has no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It is as long as it may be.
    Full,
    /// A line is longer than the session itself would take.
    LineTooLong,
    /// The disk was slower than the session.
    Behind,
    /// Nobody was there any more to say how the session ended.
    Abandoned,
}

/// What there is to record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Bytes(Track, Vec<u8>),
    /// Nothing more is written to the program.
    StdinClosed,
    /// The session is over, and the program ended like this as far as anybody knows.
    Over(Option<Exit>),
}

/// One of the program's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Track {
    Stdin,
    Stdout,
    Stderr,
}

/// Something, and when it was, in milliseconds since the recording began.
#[derive(Debug)]
struct Timed {
    at_ms: u64,
    taken: Taken,
}

/// Where a stream is listened to; one that is off forgets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tap(Option<Feed>);

#[derive(Clone, Debug)]
struct Feed {
    began: Instant,
    sender: mpsc::Sender<Timed>,
    /// Something could not be recorded, so nothing behind it must be: a gap would tell of something that never was.
    is_behind: Arc<AtomicBool>,
}

/// A recording that runs. Dropped, it ends where it is, and the file says so.
#[derive(Debug)]
pub(crate) struct Recorder {
    feed: Feed,
    writing: JoinSet<Result<(), RecordingError>>,
}

impl Recording {
    /// The recording of a session, when the options want one.
    pub(crate) fn of(options: &ClaudeOptions, launch: &Launch, invocation: &Invocation) -> Option<Self> {
        let directory = options.record.clone()?;
        let environment = &invocation.command.environment;
        let names = options.pass_env.iter().chain(options.env.keys());
        let own = names.filter_map(|name| Some((name.as_str(), environment.get(name)?)));
        // The program says what it was told of servers when it is asked how they are.
        let servers: Vec<_> = invocation.opening.servers.secrets().collect();
        let servers = servers.iter().map(|(name, value)| (name.as_str(), value.as_os_str()));
        let secrets = Secrets::of(own.chain(servers));
        let recorded_at = Timestamp::now();
        let args = &invocation.command.args;
        let header = Header::new(
            args.iter().map(|arg| secrets.redact(arg.as_encoded_bytes())),
            &invocation.opening.env_keys,
            recorded_at,
        );
        let file = shelf::name(&launch.worker_id, recorded_at, invocation.session_id.as_str());
        Some(Self { directory, file, header, secrets })
    }
}

impl Recorder {
    /// Begins; whatever goes wrong is told by [`Recorder::failure`] and [`Recorder::finish`].
    pub(crate) fn start(recording: Recording) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let feed = Feed { began: Instant::now(), sender, is_behind: Arc::default() };
        let mut writing = JoinSet::new();
        writing.spawn(write(recording, receiver, Arc::clone(&feed.is_behind)));
        Self { feed, writing }
    }

    pub(crate) fn tap(&self) -> Tap {
        Tap(Some(self.feed.clone()))
    }

    /// What went wrong, once something has. Never waits.
    pub(crate) fn failure(&mut self) -> Option<RecordingError> {
        self.writing.try_join_next()?.map_or_else(|error| Some(abandoned(&error)), Result::err)
    }

    /// Records the end, and waits until all is in the file.
    ///
    /// # Errors
    ///
    /// When something is missing in the file.
    pub(crate) async fn finish(mut self, exit: Option<Exit>) -> Result<(), RecordingError> {
        let over = self.feed.timed(Taken::Over(exit));
        let finished = async {
            // Refused when the task has ended, and then it says why.
            let _refused = self.feed.sender.send(over).await;
            self.writing.join_next().await
        };
        match timeout(FINISH_LIMIT, finished).await {
            Ok(Some(Ok(written))) => written,
            Ok(Some(Err(error))) => Err(abandoned(&error)),
            // Its failure was told before.
            Ok(None) => Ok(()),
            Err(_late) => {
                self.writing.abort_all();
                Err(RecordingError::Slow)
            }
        }
    }
}

impl Drop for Recorder {
    /// The task ends by itself: nothing more comes than what its queue holds, and the last line.
    fn drop(&mut self) {
        self.writing.detach_all();
    }
}

/// Only a bug ends the task like this.
fn abandoned(error: &tokio::task::JoinError) -> RecordingError {
    tracing::error!(%error, "the recorder ended without a result");
    RecordingError::Cut(Cut::Abandoned)
}

impl Tap {
    /// Records some bytes of a stream. Never waits.
    pub(crate) fn bytes(&self, track: Track, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.take(|| Taken::Bytes(track, bytes.to_vec()));
        }
    }

    /// Records that nothing more is written to the program. Never waits.
    pub(crate) fn stdin_closed(&self) {
        self.take(|| Taken::StdinClosed);
    }

    fn take(&self, taken: impl FnOnce() -> Taken) {
        let Some(feed) = self.0.as_ref().filter(|feed| !feed.is_behind.load(Ordering::Relaxed)) else {
            return;
        };
        match feed.sender.try_send(feed.timed(taken())) {
            // Closed: the task has ended, and its end says why.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(_)) => feed.is_behind.store(true, Ordering::Relaxed),
        }
    }
}

impl Feed {
    fn timed(&self, taken: Taken) -> Timed {
        // A session does not last for the 500 million years that do not fit.
        Timed { at_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX), taken }
    }
}

/// A failure as the worker's log has it.
pub(crate) fn remark(failure: &RecordingError) -> Event {
    let cause = failure.source().map_or_else(String::new, |cause| format!(": {cause}"));
    Event::Diagnostic { code: "claude.recording_failed".to_owned(), message: format!("{failure}{cause}") }
}

/// Writes a cassette until its session is over.
async fn write(
    recording: Recording,
    mut queue: mpsc::Receiver<Timed>,
    is_behind: Arc<AtomicBool>,
) -> Result<(), RecordingError> {
    let Recording { directory, file, header, secrets } = recording;
    let mut file = create(&directory, &file).await.map_err(RecordingError::Create)?;
    let mut tape = Tape::new(secrets);
    let mut text = tape.begin(&header);
    let mut batch = Vec::new();
    loop {
        file.write_all(text.as_bytes()).await.map_err(RecordingError::Write)?;
        if let Some(first) = tape.version().and_then(|version| header.line_with(&version)) {
            replace_first(&mut file, &first).await.map_err(RecordingError::Write)?;
        }
        if let Some(cut) = tape.over() {
            file.flush().await.map_err(RecordingError::Write)?;
            return cut.map_or(Ok(()), |cut| Err(RecordingError::Cut(cut)));
        }
        text.clear();
        if queue.recv_many(&mut batch, QUEUE).await == 0 {
            tape.cut(Cut::Abandoned, &mut text);
        }
        for Timed { at_ms, taken } in batch.drain(..) {
            if matches!(taken, Taken::Over(_)) && is_behind.load(Ordering::Relaxed) {
                tape.cut(Cut::Behind, &mut text);
            }
            tape.take(at_ms, taken, &mut text);
        }
    }
}

/// Writes over the first line, which is as long, and goes on at the end.
async fn replace_first(file: &mut File, first: &str) -> io::Result<()> {
    file.flush().await?;
    file.seek(SeekFrom::Start(0)).await?;
    file.write_all(first.as_bytes()).await?;
    file.flush().await?;
    file.seek(SeekFrom::End(0)).await.map(drop)
}

/// Makes the file, which is this user's alone; a directory that is missing is made, too. Its lock, which ends with it
/// whatever ends the process, says that it is being written.
async fn create(directory: &Path, file: &str) -> io::Result<File> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory).await?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(directory.join(file)).await?;
    let file = file.into_std().await;
    file.lock()?;
    Ok(File::from_std(file))
}

/// Removes what is beyond the limits, behind a session's end and beside everything else: nobody waits for its disk. One look
/// at a time, so that a disk that does not answer holds one thread; what it left, the next session's end finds.
pub(crate) fn make_room(looking: Arc<Mutex<()>>, directory: PathBuf, limits: RecordLimits) {
    let look = move || {
        let Ok(_alone) = looking.try_lock() else { return };
        match remove_old_recordings(&directory, limits) {
            Ok(0) => {}
            Ok(n_removed) => tracing::info!(n_removed, "old recordings were removed"),
            Err(error) => tracing::warn!(%error, "remove old recordings"),
        }
    };
    drop(spawn_blocking(look));
}

impl Cut {
    fn reason(self) -> &'static str {
        match self {
            Self::Full => "it is as long as it may be",
            Self::LineTooLong => "a line is too long",
            Self::Behind => "the disk was slower than the session",
            Self::Abandoned => "the session ended without a word",
        }
    }
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason())
    }
}

#[cfg(test)]
mod tests;
