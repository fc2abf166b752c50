//! The shell between portable-pty and the program.
//!
//! portable-pty puts the terminal on 0, 1 and 2, and closes everything else. So a shell opens the pipes anew,
//! in `/proc` of this process, and becomes the program.

use std::{
    ffi::OsString,
    io::{self, PipeReader, PipeWriter},
    os::fd::AsFd,
    path, process,
};

use portable_pty::{CommandBuilder, SlavePty};
use tokio::net::unix::pipe::{Receiver, Sender};

use super::{PtyCommand, Spawned};
use crate::{
    Child, Environment, Error, Marker,
    leader::Leader,
    linux::{self, ArgumentSpace, Cgroups, Overflow},
    terminal::Terminal,
};

/// The line by which the shell says that it has opened the child's ends of the pipes.
pub(super) const READY: &[u8] = b"ready\n";

/// What it says before that line when it could not join its control group.
pub(super) const OUTSIDE: &[u8] = b"outside\n";

/// A shell on its way to the program.
pub(super) struct Started {
    pub(super) spawned: Spawned,
    /// Says [`READY`] when the shell has opened the child's ends, more when there is no program, and ends
    /// when the program runs or the shell has ended.
    pub(super) status: Receiver,
    pub(super) child_ends: ChildEnds,
}

/// The ends of the pipes that belong to the child, kept open until it has opened them by itself. All are
/// close-on-exec: no other child of this process gets them.
pub(super) struct ChildEnds {
    stdin: PipeReader,
    stdout: PipeWriter,
    stderr: PipeWriter,
    status: PipeWriter,
}

/// The pipes, and the parent's ends of them.
///
/// Those are non-blocking, which is a property of one open file: the child's ends are others, and opened anew
/// by the child itself.
struct Pipes {
    child_ends: ChildEnds,
    stdin: Sender,
    stdout: Receiver,
    stderr: Receiver,
    status: Receiver,
}

/// Starts the shell, in a control group of its worker where there can be one. Blocks while this process forks;
/// needs a tokio runtime with I/O.
pub(super) fn start(command: PtyCommand, cgroups: Option<&Cgroups>) -> Result<Started, Error> {
    let PtyCommand { program, args, environment, directory, marker } = command;
    let spawn_error = |source| Error::Spawn { program: program.path().to_owned(), source };
    let Pipes { child_ends, stdin, stdout, stderr, status } = Pipes::open().map_err(spawn_error)?;
    let directory = path::absolute(directory).map_err(spawn_error)?;

    let mut shell = CommandBuilder::new("/bin/sh");
    shell.args(["-c", &script(&environment), "sh"]);
    shell.arg(directory);
    shell.arg(linux::fd_path(child_ends.stdin.as_fd()));
    shell.arg(linux::fd_path(child_ends.stdout.as_fd()));
    shell.arg(linux::fd_path(child_ends.stderr.as_fd()));
    shell.arg(linux::fd_path(child_ends.status.as_fd()));
    // Empty where there can be no group.
    shell.arg(cgroups.map_or_else(OsString::new, |cgroups| cgroups.entrance(&marker).into()));
    shell.arg(program.path());
    shell.args(args);
    // portable-pty would go to the home directory in silence where the directory is gone; the script does
    // not.
    shell.cwd("/");
    shell.env_clear();
    for (name, value) in environment.variables() {
        shell.env(name, value);
    }
    shell.env(Marker::VARIABLE, marker.to_string());

    if let Err(Overflow { bytes, limit }) = measure(&shell, &environment, &marker) {
        return Err(Error::ArgumentsTooLong { program: program.path().to_owned(), bytes, limit });
    }
    if let Some(Err(error)) = cgroups.map(|cgroups| cgroups.make(&marker)) {
        // The shell will say that it cannot join. The worker is found by its marker and its parents then.
        tracing::warn!(%marker, %error, "the worker gets no control group");
    }
    let (terminal, spawner) = Terminal::open().map_err(|source| Error::Terminal { source })?;
    let leader = spawn_on(&*spawner, shell).and_then(Leader::watch).map_err(spawn_error)?;
    let child = Child::new(leader, terminal, marker);
    Ok(Started { spawned: Spawned { child, stdin, stdout, stderr }, status, child_ends })
}

/// Asks before the kernel does: portable-pty closes the descriptor by which the standard library would report
/// the refusal, and the child aborts.
fn measure(shell: &CommandBuilder, environment: &Environment, marker: &Marker) -> Result<(), Overflow> {
    let mut space = ArgumentSpace::of_this_process();
    for arg in shell.get_argv() {
        space.take([arg.as_os_str()])?;
    }
    for (name, value) in environment.variables() {
        space.take([name.as_ref(), value])?;
    }
    space.take([Marker::VARIABLE.as_ref(), marker.to_string().as_ref()])
}

impl Pipes {
    fn open() -> io::Result<Pipes> {
        let (child_stdin, stdin) = io::pipe()?;
        let (stdout, child_stdout) = io::pipe()?;
        let (stderr, child_stderr) = io::pipe()?;
        let (status, child_status) = io::pipe()?;
        Ok(Pipes {
            child_ends: ChildEnds {
                stdin: child_stdin,
                stdout: child_stdout,
                stderr: child_stderr,
                status: child_status,
            },
            stdin: Sender::from_owned_fd(stdin.into())?,
            stdout: Receiver::from_owned_fd(stdout.into())?,
            stderr: Receiver::from_owned_fd(stderr.into())?,
            status: Receiver::from_owned_fd(status.into())?,
        })
    }
}

/// What the shell does. Nothing of the caller is in this text; what varies comes as arguments.
fn script(environment: &Environment) -> String {
    // Joined from within, before anything can be forked.
    //
    // The group of the last lines keeps a close-on-exec copy of descriptor 3: the status pipe ends in the moment of a
    // successful exec. A failed one ends the shell and so runs the trap; in bash, where the trap would not
    // get descriptor 3 back, `execfail` leads on to the last line.
    format!(
        r#"cd -P -- "$1" && exec <"$2" >"$3" 3>"$5" 2>"$4" || exit 126
if [ -n "$6" ]; then {{ echo $$ >"$6"; }} 2>/dev/null || echo outside >&3; fi
shift 6
unset {}
if [ -n "${{BASH_VERSION-}}" ]; then shopt -s execfail; fi
trap 'echo failed >&3' EXIT
echo ready >&3
{{ exec "$@"; }} 3>&-
exit 127"#,
        environment.uninvited().join(" ")
    )
}

/// portable-pty hides the status of its children behind names of signals; the process itself knows it.
fn spawn_on(terminal: &dyn SlavePty, shell: CommandBuilder) -> io::Result<process::Child> {
    let child: Box<dyn portable_pty::Child> = terminal.spawn_command(shell).map_err(io::Error::other)?;
    match child.downcast::<process::Child>() {
        Ok(child) => Ok(*child),
        Err(_) => Err(io::Error::other("the child is not a process")),
    }
}
