//! The terminal that controls a child, and the thread that attends to it.

use std::{
    io::{self, Read},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    thread,
};

use portable_pty::{PtyPair, PtySize, SlavePty};
use rustix::{
    fs::{Mode, OFlags},
    termios::{LocalModes, OptionalActions, OutputModes, tcgetattr, tcsetattr},
};
use tokio::sync::oneshot;

use crate::tether::Last;

/// Enough for the last words of a shell; what goes to a terminal that nobody looks at is not kept.
const TAIL: usize = 4096;

/// The parent's side of a terminal.
///
/// One thread reads what is written to it, so that no program blocks on it, and holds the only master: with
/// this process, however it ends, the master closes and the kernel hangs up on the child.
pub(crate) struct Terminal {
    name: PathBuf,
    reaping: SyncSender<Last>,
    tail: oneshot::Receiver<String>,
    /// The child has no descriptor of its terminal. Without one anywhere the master would be at its end, for
    /// good, before a program opens `/dev/tty`.
    _slave: OwnedFd,
}

impl Terminal {
    /// Opens a terminal that echoes and converts nothing. The second value spawns on it, and must be dropped
    /// after that.
    pub(crate) fn open() -> io::Result<(Terminal, Box<dyn SlavePty + Send>)> {
        let PtyPair { slave: spawner, master } =
            portable_pty::native_pty_system().openpty(PtySize::default()).map_err(io::Error::other)?;
        let name = master.tty_name().ok_or_else(|| io::Error::other("the terminal has no name"))?;
        let slave = open_slave(&name)?;
        silence(&slave)?;

        let reader = master.try_clone_reader().map_err(io::Error::other)?;
        // One message is all that is ever sent.
        let (reaping, last) = sync_channel(1);
        let (done, tail) = oneshot::channel();
        thread::Builder::new().name("worker-terminal".to_owned()).spawn(move || {
            let tail = attend(reader, &last);
            // Nobody listens when the child was dropped.
            let _ = done.send(String::from_utf8_lossy(&tail).into_owned());
        })?;
        Ok((Terminal { name, reaping, tail, _slave: slave }, spawner))
    }

    /// Lets the thread close the master and reap the leader, without waiting for it. The tail of what was
    /// written to the terminal arrives when both are done, which is at once when the leader has ended.
    pub(crate) fn close(self, last: Last) -> oneshot::Receiver<String> {
        if self.reaping.try_send(last).is_ok() {
            // The kernel has hung up on the slave that we hold when its session ended, so it is opened anew.
            let woken = open_slave(&self.name).and_then(|slave| Ok(rustix::io::write(slave, b"\n")?));
            if let Err(error) = woken {
                tracing::debug!(%error, "the terminal has ended by itself");
            }
        }
        self.tail
    }
}

/// O_NOCTTY: a server without a terminal must not get this one. O_NONBLOCK: nothing here may wait for it.
fn open_slave(name: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::open(name, flags, Mode::empty())?)
}

fn silence(slave: &OwnedFd) -> io::Result<()> {
    let mut termios = tcgetattr(slave)?;
    termios.local_modes.remove(LocalModes::ECHO | LocalModes::ECHOCTL);
    termios.output_modes.remove(OutputModes::OPOST);
    Ok(tcsetattr(slave, OptionalActions::Now, &termios)?)
}

/// Reads until a leader comes to be reaped, or nobody can send one any more; returns the tail of what was
/// read.
fn attend(mut master: impl Read, last: &Receiver<Last>) -> Vec<u8> {
    let mut tail = Vec::new();
    let mut buffer = [0; TAIL];
    let mut reaped = None;
    loop {
        match master.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => tail.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
        tail.drain(..tail.len().saturating_sub(TAIL));
        match last.try_recv() {
            Ok(last) => {
                reaped = Some(last);
                break;
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => break,
        }
    }
    drop(master);
    if let Some(last) = reaped.or_else(|| last.recv().ok()) {
        last.reap();
    }
    tail
}
