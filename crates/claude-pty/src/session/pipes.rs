//! The program's stdout, in lines, and the tail of its stderr.

use tokio::{io::AsyncReadExt, net::unix::pipe::Receiver};

use super::tail::Tail;
use crate::{
    framing::{LineTooLong, Lines},
    recording::{Tap, Track},
};

/// As much as a pipe holds.
const STDOUT_BUFFER: usize = 64 * 1024;
/// More than the tail that is kept of it.
const STDERR_BUFFER: usize = 4096;

/// Both pipes and what was read last from each.
#[derive(Debug)]
pub(super) struct Pipes {
    stdout: Receiver,
    stdout_buffer: Vec<u8>,
    stdout_is_over: bool,
    stderr: Receiver,
    stderr_buffer: Vec<u8>,
    stderr_is_over: bool,
    lines: Lines,
    tail: Tail,
    tap: Tap,
}

/// What has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// Bytes that may make lines.
    Stdout,
    /// The end of stdout, once.
    StdoutOver,
    /// Bytes of stderr, or its end.
    Stderr,
}

impl Pipes {
    pub(super) fn new(stdout: Receiver, stderr: Receiver, tap: Tap) -> Self {
        Self {
            stdout,
            stdout_buffer: vec![0; STDOUT_BUFFER],
            stdout_is_over: false,
            stderr,
            stderr_buffer: vec![0; STDERR_BUFFER],
            stderr_is_over: false,
            lines: Lines::default(),
            tail: Tail::default(),
            tap,
        }
    }

    /// Waits for bytes; never returns once both pipes are over. Cancel safe.
    pub(super) async fn read(&mut self, reads_stdout: bool) -> Chunk {
        tokio::select! {
            n = read(&mut self.stdout, &mut self.stdout_buffer), if reads_stdout && !self.stdout_is_over => {
                self.stdout_is_over = n == 0;
                self.tap.bytes(Track::Stdout, &self.stdout_buffer[..n]);
                self.lines.push(&self.stdout_buffer[..n]);
                if n == 0 { Chunk::StdoutOver } else { Chunk::Stdout }
            }
            n = read(&mut self.stderr, &mut self.stderr_buffer), if !self.stderr_is_over => {
                self.stderr_is_over = n == 0;
                self.tap.bytes(Track::Stderr, &self.stderr_buffer[..n]);
                self.tail.push(&self.stderr_buffer[..n]);
                Chunk::Stderr
            }
            else => std::future::pending().await,
        }
    }

    pub(super) fn are_over(&self) -> bool {
        self.stdout_is_over && self.stderr_is_over
    }

    pub(super) fn stdout_is_over(&self) -> bool {
        self.stdout_is_over
    }

    /// The last that was written to stderr.
    pub(super) fn stderr_tail(&self) -> Option<String> {
        self.tail.text()
    }

    /// The next line of stdout that is complete.
    pub(super) fn line(&mut self) -> Result<Option<&[u8]>, LineTooLong> {
        self.lines.next()
    }

    /// What is left behind the last line when no more comes.
    pub(super) fn rest(&self) -> Option<Vec<u8>> {
        self.lines.rest().map(<[u8]>::to_vec)
    }
}

async fn read(pipe: &mut Receiver, buffer: &mut [u8]) -> usize {
    pipe.read(buffer).await.unwrap_or_else(|error| {
        // A pipe that cannot be read is as good as one that is over.
        tracing::warn!(%error, "read from Claude Code");
        0
    })
}
