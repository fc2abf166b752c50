//! What is said on stdout and stderr: it never panics, and it never holds up what has to hear a signal.
//!
//! A reader that has gone is no reason to leave a worker alone, or to end with another code than its own: the
//! words are lost, the work goes on. That is why no write here has a result, and nothing else in this crate
//! writes.

use std::{
    fmt::Display,
    io::{self, Write},
    thread,
};

use tokio::sync::{mpsc, oneshot};

/// Enough to keep a terminal busy; a slow one must slow whoever prints, not grow memory.
const QUEUE: usize = 16;

/// Says a line on stderr, and returns when it is said.
pub(crate) fn say(line: impl Display) {
    put(io::stderr(), &format!("{line}\n"));
}

/// Prints to stdout, and returns when it is printed.
pub(crate) fn print(text: &str) {
    put(io::stdout(), text);
}

/// Says a line on stderr without waiting for it; the answer comes when it is said.
pub(crate) fn aside(line: &'static str) -> oneshot::Receiver<()> {
    let (said, hears) = oneshot::channel();
    let speaks = move || {
        say(line);
        drop(said);
    };
    // Without a thread the line is lost, as it is where nobody reads it.
    let _unsaid = thread::Builder::new().name("aside".to_owned()).spawn(speaks);
    hears
}

/// Prints to stdout and stderr in one order, on a thread that may hang in a write.
///
/// Dropping it leaves the thread alone: it prints what was given to it for as long as the process lives.
#[derive(Debug)]
pub(crate) struct Printer {
    pieces: mpsc::Sender<Piece>,
    /// Closed when the thread has ended.
    printed: oneshot::Receiver<()>,
}

#[derive(Debug)]
enum Piece {
    Out(String),
    Err(String),
    /// Everything before it is printed.
    Done(oneshot::Sender<()>),
}

impl Printer {
    pub(crate) fn start() -> io::Result<Self> {
        let (pieces, mut queue) = mpsc::channel(QUEUE);
        let (prints, printed) = oneshot::channel::<()>();
        let work = move || {
            while let Some(piece) = queue.blocking_recv() {
                match piece {
                    Piece::Out(text) => put(io::stdout(), &text),
                    Piece::Err(text) => put(io::stderr(), &text),
                    // Whoever waited may have gone.
                    Piece::Done(printed) => drop(printed.send(())),
                }
            }
            drop(prints);
        };
        thread::Builder::new().name("printer".to_owned()).spawn(work)?;
        Ok(Self { pieces, printed })
    }

    /// Prints to stdout; waits while the queue is full.
    pub(crate) async fn out(&self, text: String) {
        self.print(Piece::Out(text)).await;
    }

    /// Prints to stderr; waits while the queue is full.
    pub(crate) async fn err(&self, text: String) {
        self.print(Piece::Err(text)).await;
    }

    /// Waits until what was given before is printed.
    pub(crate) async fn done(&self) {
        let (prints, printed) = oneshot::channel();
        self.print(Piece::Done(prints)).await;
        printed.await.expect("the thread ends after its queue");
    }

    async fn print(&self, piece: Piece) {
        self.pieces.send(piece).await.expect("the thread ends after its queue");
    }

    /// Waits until all is printed.
    pub(crate) async fn finish(self) {
        drop(self.pieces);
        // Nothing is ever sent: the channel closes with the thread.
        let _closed = self.printed.await;
    }
}

fn put(mut to: impl Write, text: &str) {
    let _unread = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}
