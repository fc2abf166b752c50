//! Lines that a person types, where there is a person.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Read as _},
    thread,
    time::Instant,
};

use rustix::termios::{QueueSelector, tcflush};
use tokio::sync::mpsc;

/// A line that nobody waits for is forgotten; one is enough for whoever does.
const QUEUE: usize = 1;
/// Longer than a terminal lets a line be.
const MAX_LINE: u64 = 8 << 10;

/// The lines of a terminal, read on a thread that is left alone when nobody needs it any more.
#[derive(Debug)]
pub(crate) struct Keyboard {
    lines: mpsc::Receiver<(Instant, String)>,
    /// What was typed before nobody could have meant.
    since: Instant,
}

impl Keyboard {
    /// Whether somebody can be asked: what is said on stderr is seen, and what is typed comes in.
    pub(crate) fn is_there() -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Begins to read. Not before somebody is asked: the terminal stops a program that reads in the background.
    pub(crate) fn open() -> io::Result<Self> {
        let (typed, lines) = mpsc::channel(QUEUE);
        let read = move || {
            let mut line = Vec::new();
            loop {
                line.clear();
                // The end of what can be read closes the channel: nobody is there any more.
                match io::stdin().lock().take(MAX_LINE).read_until(b'\n', &mut line) {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
                let text = String::from_utf8_lossy(&line).into_owned();
                if let Err(mpsc::error::TrySendError::Closed(_)) = typed.try_send((Instant::now(), text)) {
                    return;
                }
            }
        };
        thread::Builder::new().name("keyboard".to_owned()).spawn(read)?;
        Ok(Self { lines, since: Instant::now() })
    }

    /// Forgets what was typed so far: a question is answered by whoever has seen it.
    pub(crate) fn forget(&mut self) {
        // A terminal that has gone is noticed by whoever reads it.
        let _gone = tcflush(io::stdin(), QueueSelector::IFlush);
        while self.lines.try_recv().is_ok() {}
        self.since = Instant::now();
    }

    /// The next line; `None` when nobody is there any more. Cancel safe.
    pub(crate) async fn line(&mut self) -> Option<String> {
        loop {
            let (typed_at, line) = self.lines.recv().await?;
            if typed_at >= self.since {
                return Some(line);
            }
        }
    }
}
