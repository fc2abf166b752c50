//! Where the processes of tools may write.

use std::path::PathBuf;

use musher_backend::Sandbox;
use musher_process::Confinement;

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

impl Level {
    /// What this kernel makes of what is asked for.
    pub(crate) fn of(sandbox: Sandbox, writable: Vec<PathBuf>) -> Result<Self, NoLandlock> {
        Self::decide(sandbox, Confinement::is_available(), writable)
    }

    fn decide(sandbox: Sandbox, available: bool, writable: Vec<PathBuf>) -> Result<Self, NoLandlock> {
        match (sandbox, available) {
            (Sandbox::Auto | Sandbox::Landlock, true) => Ok(Self::Landlock(Confinement { writable })),
            (Sandbox::Landlock, false) => Err(NoLandlock),
            (Sandbox::Auto, false) | (Sandbox::None, _) => Ok(Self::None),
        }
    }

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
            assert_eq!(Level::decide(sandbox, available, writable.clone()), level, "{sandbox:?} {available}");
        }
    }
}
