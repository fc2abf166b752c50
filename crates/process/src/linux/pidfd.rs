//! Signals that cannot hit a later process with the same pid.

use std::io;

use rustix::{
    io::Errno,
    process::{self, Pid, PidfdFlags, Signal},
};

use crate::linux::{Identity, table::stat_of};

/// Sends a signal to exactly this process; one that has gone already is not an error.
pub(crate) fn signal(identity: Identity, signal: Signal) -> io::Result<()> {
    let pid = raw(identity.pid)?;
    let pidfd = match process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Some(pidfd),
        Err(Errno::SRCH) => return Ok(()),
        // Some container sandboxes refuse the call. Then the check below comes as close as it can.
        Err(Errno::NOSYS | Errno::PERM) => None,
        Err(error) => return Err(error.into()),
    };
    // The descriptor is bound to whatever has the pid now, so this look decides for good.
    if stat_of(identity.pid).is_none_or(|stat| stat.identity != identity) {
        return Ok(());
    }
    let sent = match pidfd {
        Some(pidfd) => process::pidfd_send_signal(pidfd, signal),
        None => process::kill_process(pid, signal),
    };
    match sent {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn raw(pid: u32) -> io::Result<Pid> {
    i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a pid"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        os::unix::process::ExitStatusExt,
        process::{Command, Stdio},
    };

    #[test]
    fn a_later_process_with_the_same_pid_gets_no_signal() {
        let mut sleeper = Command::new("sleep").arg("1013").stdin(Stdio::null()).spawn().unwrap();
        let identity = stat_of(sleeper.id()).unwrap().identity;
        signal(Identity { start_time: identity.start_time - 1, ..identity }, Signal::INT).unwrap();
        signal(identity, Signal::TERM).unwrap();
        let ended_by = sleeper.wait().unwrap().signal();
        assert_eq!(ended_by, Some(Signal::TERM.as_raw()));
        signal(identity, Signal::KILL).unwrap();
    }
}
