//! Where a program may write, held to by the kernel.

use std::{error::Error as StdError, io, os::fd::AsFd, path::PathBuf};

use landlock::{
    ABI, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

use crate::Error;

/// The first version that stops truncation. With an older one every file of the host could still be emptied, and
/// that is no confinement.
const REQUIRED: ABI = ABI::V3;

/// What more is refused where the kernel can: ioctls on devices.
const WISHED: ABI = ABI::V5;

/// Files outside of every directory that programs write to without changing anything.
/// Terminals are not among them: those of others could be written to, too.
const DEVICES: [&str; 3] = ["/dev/null", "/dev/zero", "/dev/full"];

/// The directories below which a program, and everything that it starts, may write. It reads everywhere. Modes, owners,
/// times and extended attributes are held by the files' owner alone: Landlock has no right for them (kernel, up to its
/// ABI 7, tried).
///
/// It lasts for the life of these processes and cannot be left: they gain no privileges by `setuid` programs, mount
/// nothing, make no device files and, where the kernel can tell, signal nobody outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// The directories, by absolute paths without links. One that is missing when the program is spawned, or whose path
    /// leads over a link, is an error: whoever can write there must not choose another directory for it.
    pub writable: Vec<PathBuf>,
}

impl Confinement {
    /// Whether this kernel can hold a program to it: Landlock since Linux 6.2, where it is not switched off.
    #[must_use]
    pub fn is_available() -> bool {
        rules().is_ok()
    }

    /// Confines this thread, and what it starts, for good.
    pub(crate) fn enter(&self) -> Result<(), Error> {
        let confined = self.rules().and_then(|rules| rules.restrict_self().map_err(refused));
        let status = confined.map_err(|source| Error::Confine { source })?;
        match status.ruleset {
            RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
            RulesetStatus::NotEnforced => {
                Err(Error::Confine { source: io::Error::from(io::ErrorKind::Unsupported) })
            }
        }
    }

    fn rules(&self) -> io::Result<RulesetCreated> {
        let mut rules = rules().map_err(refused)?;
        // A device file made here would lead to the disk itself.
        let below = AccessFs::from_write(WISHED) & !(AccessFs::MakeChar | AccessFs::MakeBlock);
        for directory in &self.writable {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let directory = openat2(CWD, directory, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)?;
            rules = allow(rules, directory, below)?;
        }
        let devices = AccessFs::from_write(WISHED) & AccessFs::from_file(WISHED);
        for device in DEVICES {
            // A container need not have all of them, and what is not there needs no rule.
            let Ok(device) = PathFd::new(device) else { continue };
            rules = allow(rules, device, devices)?;
        }
        Ok(rules)
    }
}

fn rules() -> Result<RulesetCreated, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_write(REQUIRED))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_write(WISHED))?
        .scope(Scope::Signal)?
        .create()
}

fn allow(rules: RulesetCreated, path: impl AsFd, access: BitFlags<AccessFs>) -> io::Result<RulesetCreated> {
    rules.add_rule(PathBeneath::new(path, access)).map_err(refused)
}

fn refused(error: impl StdError + Send + Sync + 'static) -> io::Error {
    io::Error::other(error)
}
