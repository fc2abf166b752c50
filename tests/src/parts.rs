//! The real parts that tests need, by the variables that `cargo xtask ci` sets.

use std::{env, path::PathBuf};

/// A version of Claude Code that tests run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claude {
    /// The newest version that is supported.
    Latest,
    /// The oldest version that is supported.
    Old,
}

impl Claude {
    /// The program.
    #[must_use]
    pub fn program(self) -> PathBuf {
        match self {
            Self::Latest => part("MUSHER_TEST_CLAUDE_LATEST"),
            Self::Old => part("MUSHER_TEST_CLAUDE_OLD"),
        }
    }
}

/// The built `musher`.
#[must_use]
pub fn binary() -> PathBuf {
    part("MUSHER_TEST_BINARY")
}

/// The built program in the place of Claude Code.
#[must_use]
pub fn fake_claude() -> PathBuf {
    part(musher_testkit::fake_claude::PROGRAM)
}

/// The built MCP server.
#[must_use]
pub fn tickets() -> PathBuf {
    part(musher_testkit::tickets::PROGRAM)
}

fn part(variable: &str) -> PathBuf {
    let path = env::var_os(variable).map(PathBuf::from).filter(|path| path.is_file());
    path.unwrap_or_else(|| {
        panic!("{variable} names no file; run the tests with `cargo xtask ci`, or see `cargo xtask parts`")
    })
}
