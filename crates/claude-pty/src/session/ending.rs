//! How a session is ended: a word first, then the end of input, then force.

use std::{pin::pin, time::Duration};

use musher_backend::Command;
use musher_process::{Child, Ended, Ladder};
use tokio::time::Instant;

use super::{Failure, Session, pipes::Chunk};
use crate::conversation::Output;

/// The session's end, as the runtime wants it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    /// When everything must be over.
    by: Instant,
    /// Whether the program's input is at its end.
    is_closed: bool,
}

/// What comes while the program is being ended.
enum Happened {
    Ended(Result<Ended, musher_process::Error>),
    Read(Chunk),
    Command(Command),
}

impl Session {
    /// Begins to end the session, or goes on with less time.
    pub(super) fn begin_ending(&mut self, grace: Duration) -> Vec<Output> {
        let by = Instant::now() + grace;
        if self.ending.is_some() {
            self.hurry(by);
            return Vec::new();
        }
        self.ending = Some(Ending { by, is_closed: false });
        // The other half is for a program that does not end its turn when it is asked to.
        self.deadline = Some(Instant::now() + grace / 2);
        if grace.is_zero() { Vec::new() } else { self.conversation.interrupt() }
    }

    /// An idle program ends with its input.
    pub(super) fn pursue_ending(&mut self) {
        let Some(ending) = &mut self.ending else { return };
        if !ending.is_closed && !self.conversation.has_open_turn() && self.exit.is_none() {
            ending.is_closed = true;
            self.stdin.close();
            self.deadline = Some(ending.by.min(Instant::now() + self.limits.exit));
        }
    }

    /// Ends what is left of the program, reading all the while: a full pipe must not hold it up.
    pub(super) async fn end(&mut self, child: &mut Child) -> Result<Ended, Failure> {
        loop {
            let grace = match (self.exit, self.ending) {
                // Nobody asked what it left behind to stay.
                (Some(_), _) | (None, None) => Duration::ZERO,
                (None, Some(ending)) => ending.by.saturating_duration_since(Instant::now()),
            };
            let mut ended = pin!(child.end(Ladder { grace }));
            loop {
                let Self { link, pipes, .. } = &mut *self;
                let happened = tokio::select! {
                    ended = &mut ended => Happened::Ended(ended),
                    chunk = pipes.read(true) => Happened::Read(chunk),
                    command = link.next_command() => Happened::Command(command),
                };
                match happened {
                    Happened::Ended(ended) => return Ok(ended?),
                    Happened::Read(chunk) => self.read(chunk).await?,
                    // Ended again, it goes on where it was, with less time.
                    Happened::Command(Command::End { grace }) if self.hurry(Instant::now() + grace) => break,
                    Happened::Command(command) => self.command(command).await?,
                }
            }
        }
    }

    /// Takes the earlier of two ends; whether that is the new one.
    fn hurry(&mut self, by: Instant) -> bool {
        let Some(ending) = self.ending.as_mut().filter(|ending| by < ending.by) else { return false };
        ending.by = by;
        self.deadline = self.deadline.map(|deadline| deadline.min(by));
        true
    }
}
