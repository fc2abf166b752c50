//! Lines of stdin, waited for with a limit.

use std::{
    io::{self, BufRead as _, Read as _},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::{Duration, Instant},
};

/// The longest line, as Musher's own limit for a line.
const MAX_LINE: u64 = 16 * 1024 * 1024;

/// The thread reads one line ahead, and then the pipe fills as the real program's does.
const AHEAD: usize = 1;

/// Lines, read by a thread: a read of stdin itself has no limit.
#[derive(Debug)]
pub(super) struct Stdin {
    lines: Receiver<Heard>,
    is_over: bool,
}

/// What has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A line with its line feed, or the last one without.
    Line(Vec<u8>),
    /// Nothing, in time.
    Nothing,
    /// The input is over.
    End,
    /// A line is longer than [`MAX_LINE`].
    TooLong,
}

impl Stdin {
    /// Begins to read.
    pub(super) fn open() -> Self {
        let (sender, lines) = sync_channel(AHEAD);
        // It ends with the input, or with the process.
        thread::spawn(move || {
            let mut stdin = io::stdin().lock();
            loop {
                let mut line = Vec::new();
                let read = stdin.by_ref().take(MAX_LINE + 1).read_until(b'\n', &mut line);
                let heard = match read {
                    // An input that cannot be read is as good as one that is over.
                    Ok(0) | Err(_) => Heard::End,
                    Ok(n) if n as u64 > MAX_LINE => Heard::TooLong,
                    Ok(_) => Heard::Line(line),
                };
                let is_last = !matches!(heard, Heard::Line(_));
                if sender.send(heard).is_err() || is_last {
                    return;
                }
            }
        });
        Self { lines, is_over: false }
    }

    /// The next line within this time.
    pub(super) fn hear(&mut self, limit: Duration) -> Heard {
        self.hear_until(Instant::now() + limit)
    }

    /// The next line up to this moment.
    pub(super) fn hear_until(&mut self, deadline: Instant) -> Heard {
        if self.is_over {
            return Heard::End;
        }
        let heard = match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(heard) => heard,
            Err(RecvTimeoutError::Timeout) => Heard::Nothing,
            Err(RecvTimeoutError::Disconnected) => Heard::End,
        };
        self.is_over = heard == Heard::End;
        heard
    }

    /// The next line, or the end.
    pub(super) fn wait(&mut self) -> Heard {
        if self.is_over { Heard::End } else { self.lines.recv().unwrap_or(Heard::End) }
    }
}
