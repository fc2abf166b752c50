//! Where the processes of tools may write.

use std::path::PathBuf;

use musher_process::Confinement;

/// What is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sandbox {
    /// Landlock where the kernel has it; otherwise nothing, which the session's log says.
    #[default]
    Auto,
    /// Landlock, or no shell.
    Landlock,
    /// Wherever the server's user may write.
    None,
}

/// What is had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Landlock(Confinement),
    None,
}

/// The kernel has no Landlock, and nothing less was to be had.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("this kernel has no Landlock (Linux 6.2 or later, switched on), which the sandbox `landlock` needs")]
pub(crate) struct NoLandlock;

impl Sandbox {
    /// What this kernel makes of it.
    pub(crate) fn level(self, writable: Vec<PathBuf>) -> Result<Level, NoLandlock> {
        self.decide(Confinement::is_available(), writable)
    }

    fn decide(self, available: bool, writable: Vec<PathBuf>) -> Result<Level, NoLandlock> {
        match (self, available) {
            (Self::Auto | Self::Landlock, true) => Ok(Level::Landlock(Confinement { writable })),
            (Self::Landlock, false) => Err(NoLandlock),
            (Self::Auto, false) | (Self::None, _) => Ok(Level::None),
        }
    }
}

impl Level {
    /// Its name in the log.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Landlock(_) => "landlock",
            Self::None => "none",
        }
    }

    pub(crate) fn confinement(&self) -> Option<&Confinement> {
        match self {
            Self::Landlock(confinement) => Some(confinement),
            Self::None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_auto_makes_do_with_less() {
        let writable = vec![PathBuf::from("/w")];
        let landlock = || Ok(Level::Landlock(Confinement { writable: writable.clone() }));
        for (sandbox, available, level) in [
            (Sandbox::Auto, true, landlock()),
            (Sandbox::Auto, false, Ok(Level::None)),
            (Sandbox::Landlock, true, landlock()),
            (Sandbox::Landlock, false, Err(NoLandlock)),
            (Sandbox::None, true, Ok(Level::None)),
            (Sandbox::None, false, Ok(Level::None)),
        ] {
            assert_eq!(sandbox.decide(available, writable.clone()), level, "{sandbox:?} {available}");
        }
    }
}
