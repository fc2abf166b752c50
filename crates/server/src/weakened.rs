//! Builds for the attack harness, from which a wall is missing: nobody is to take one for the program itself.

use crate::{failure::Failure, terminal};

/// No wall is named that could be missing.
#[derive(Debug, thiserror::Error)]
#[error(
    "this is a weakened build, for `cargo xtask attack --weakened` alone, and `MUSHER_WEAKEN` names no wall"
)]
struct NoWall;

/// Says on stderr what this is, before anything is done.
pub(crate) fn announce() -> Result<(), Failure> {
    let next = "use a build without `--cfg musher_weakened`";
    let wall = musher_core::wall_down().ok_or_else(|| Failure::usage(NoWall).next(next))?;
    terminal::say(format!(
        "WEAKENED BUILD: the wall `{wall:?}` is down; for `cargo xtask attack --weakened` alone"
    ));
    Ok(())
}
