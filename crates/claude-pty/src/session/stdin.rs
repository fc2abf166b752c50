//! The program's stdin: lines that wait until it reads them.

use std::{collections::VecDeque, future, io};

use tokio::{io::AsyncWriteExt, net::unix::pipe::Sender};

use crate::{
    recording::{Tap, Track},
    say::Said,
};

/// Answers that may wait before nothing more is read from the program. It asks for a few at a time; one that
/// asks and asks and reads no answer must wait itself.
const ROOM: usize = 64;

/// Lines on their way to the program.
#[derive(Debug)]
pub(super) struct Stdin {
    /// None once it is closed, or the program has closed its end.
    pipe: Option<Sender>,
    lines: VecDeque<Said>,
    /// How much of the first line is written.
    written: usize,
    closes: bool,
    tap: Tap,
}

impl Stdin {
    pub(super) fn new(pipe: Sender, tap: Tap) -> Self {
        Self { pipe: Some(pipe), lines: VecDeque::new(), written: 0, closes: false, tap }
    }

    pub(super) fn push(&mut self, line: Said) {
        if self.pipe.is_some() && !self.closes {
            self.lines.push_back(line);
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.lines.len() < ROOM
    }

    /// The end of input, behind what waits.
    pub(super) fn close(&mut self) {
        self.closes = true;
        if self.lines.is_empty() && self.pipe.take().is_some() {
            self.tap.stdin_closed();
        }
    }

    /// Writes what waits; never returns when nothing does. Cancel safe.
    ///
    /// # Errors
    ///
    /// When the program does not read any more. What waits is dropped: it is about to end, or has.
    pub(super) async fn write(&mut self) -> io::Result<()> {
        let (Some(pipe), Some(line)) = (&mut self.pipe, self.lines.front()) else {
            return future::pending().await;
        };
        let rest = &line.as_bytes()[self.written..];
        match pipe.write(rest).await {
            Ok(n) => {
                self.tap.bytes(Track::Stdin, &rest[..n]);
                self.written += n;
            }
            Err(error) => {
                self.pipe = None;
                self.lines.clear();
                return Err(error);
            }
        }
        if self.written == line.len() {
            self.written = 0;
            self.lines.pop_front();
            if self.closes {
                self.close();
            }
        }
        Ok(())
    }
}
