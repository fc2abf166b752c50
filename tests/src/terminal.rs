//! A terminal with a person in front of it.

use std::{
    ffi::OsStr,
    io::{Read as _, Write},
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::Instant,
};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize};

use crate::{PATIENCE, binary};

/// Pieces of output that wait to be looked at; the program on a terminal that nobody reads waits, too.
const QUEUE: usize = 16;

/// `musher` on a terminal of its own.
///
/// It is killed when it is dropped.
pub struct Terminal {
    program: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    pieces: Receiver<Vec<u8>>,
    /// What was shown and not looked at yet.
    shown: String,
    /// Without it the terminal hangs up.
    _master: Box<dyn MasterPty + Send>,
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").field("shown", &self.shown).finish_non_exhaustive()
    }
}

impl Terminal {
    /// Starts the built `musher` with nothing of the tester's own settings.
    #[must_use]
    pub fn musher<S: AsRef<OsStr>>(home: &Path, arguments: &[S]) -> Self {
        Self::musher_with(home, arguments, &[])
    }

    /// The same with variables.
    #[must_use]
    pub fn musher_with<S: AsRef<OsStr>>(home: &Path, arguments: &[S], env: &[(&str, &OsStr)]) -> Self {
        let pair = portable_pty::native_pty_system().openpty(PtySize::default()).unwrap();
        let mut command = CommandBuilder::new(binary());
        command.args(arguments);
        command.env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", home);
        for (name, value) in env {
            command.env(name, value);
        }
        command.cwd(home);
        let program = pair.slave.spawn_command(command).unwrap();
        let mut screen = pair.master.try_clone_reader().unwrap();
        let (show, pieces) = sync_channel(QUEUE);
        // It ends with the terminal, or with whoever looks at it.
        thread::spawn(move || {
            let mut piece = vec![0; 4096];
            while let Ok(n @ 1..) = screen.read(&mut piece) {
                if show.send(piece[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        let keys = pair.master.take_writer().unwrap();
        Self { program, keys, pieces, shown: String::new(), _master: pair.master }
    }

    /// Types.
    pub fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Reads on until these words are shown, and answers with everything up to their end.
    pub fn until(&mut self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(place) = self.shown.find(words) {
                let rest = self.shown.split_off(place + words.len());
                return std::mem::replace(&mut self.shown, rest);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let piece = self.pieces.recv_timeout(left);
            let piece = piece.unwrap_or_else(|why| panic!("no {words:?}: {why}; shown: {}", self.shown));
            self.shown.push_str(&String::from_utf8_lossy(&piece));
        }
    }

    /// Reads to the end, and answers with the exit code and everything that was not looked at before.
    pub fn ends(mut self) -> (u32, String) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.pieces.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(piece) => self.shown.push_str(&String::from_utf8_lossy(&piece)),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end; shown: {}", self.shown),
            }
        }
        (self.program.wait().unwrap().exit_code(), std::mem::take(&mut self.shown))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // One that has ended is as good.
        let _ended = self.program.kill();
    }
}
