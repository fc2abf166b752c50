//! The gate before a program that is to be in its worker's control group.
//!
//! Only a process that is there can be moved into a group, and a program that runs may by then have started others.
//! So a shell waits until it has been moved, and becomes the program.

use std::{
    io::{self, PipeWriter, Write},
    process::Command,
};

use rustix::fs::Access;

use crate::{Environment, Program, linux::Cgroups};

/// A gate, and the groups in one of which it leads.
#[derive(Clone, Copy)]
pub(super) struct Gate {
    pub(super) cgroups: &'static Cgroups,
    pub(super) input: Input,
}

/// What the program finds on its stdin, after the line that opens the gate.
#[derive(Clone, Copy)]
pub(super) enum Input {
    /// What is written to the pipe.
    Stays,
    /// Nothing.
    Ends,
}

impl Gate {
    /// The shell, which takes the program's arguments as its own. Its stdin must be the pipe by which the gate is
    /// opened; when that closes before, it ends.
    pub(super) fn command(&self, program: &Program, environment: &Environment) -> io::Result<Command> {
        // The shell would say so, too, but where only the child's own reader looks.
        rustix::fs::access(program.path(), Access::EXEC_OK)?;
        let stdin = match self.input {
            Input::Stays => "",
            Input::Ends => "</dev/null",
        };
        // A shell reads a line byte by byte, so the rest of the pipe is the program's.
        let script = format!(
            "read -r _ || exit 126\nunset {}\nexec \"$@\" {stdin}",
            environment.uninvited().join(" ")
        );
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script, "sh"]).arg(program.path());
        Ok(command)
    }
}

/// Opens the gate at the other end of this pipe. Never blocks: the pipe is empty.
pub(super) fn open(mut stdin: &PipeWriter) -> io::Result<()> {
    stdin.write_all(b"\n")
}
