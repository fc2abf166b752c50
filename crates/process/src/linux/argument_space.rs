//! How much the kernel takes along into a new program.

use std::ffi::OsStr;

use rustix::process::{Resource, getrlimit};

/// One argument or variable, with the NUL at its end: 32 pages of the smallest size.
const STRING_LIMIT: u64 = 32 * 4096;

/// The stack may be unlimited; this may not.
const TOTAL_LIMIT: u64 = 6 * 1024 * 1024;

/// A pointer for each string, and a share of the file name, the auxiliary vector and a `#!` line.
const STRING_OVERHEAD: u64 = 8;
const RESERVE: u64 = 8 * 1024;

/// Counts the strings of an `execve` as the kernel does.
#[derive(Debug)]
pub(crate) struct ArgumentSpace {
    used: u64,
    limit: u64,
}

/// What did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow {
    pub(crate) bytes: u64,
    pub(crate) limit: u64,
}

impl ArgumentSpace {
    /// As much as this process may hand on.
    pub(crate) fn of_this_process() -> ArgumentSpace {
        ArgumentSpace::of_stack(getrlimit(Resource::Stack).current)
    }

    fn of_stack(stack: Option<u64>) -> ArgumentSpace {
        let quarter = stack.map_or(TOTAL_LIMIT, |stack| stack / 4);
        ArgumentSpace { used: RESERVE, limit: quarter.clamp(STRING_LIMIT, TOTAL_LIMIT) }
    }

    /// Counts one argument, or one variable with its name.
    pub(crate) fn take<'a>(&mut self, parts: impl IntoIterator<Item = &'a OsStr>) -> Result<(), Overflow> {
        // A byte more for the `=` of a variable, too.
        let bytes = parts.into_iter().map(|part| part.len() as u64 + 1).sum();
        if bytes > STRING_LIMIT {
            return Err(Overflow { bytes, limit: STRING_LIMIT });
        }
        self.used += bytes + STRING_OVERHEAD;
        if self.used > self.limit {
            return Err(Overflow { bytes: self.used, limit: self.limit });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_depends_on_the_stack() {
        for (stack, limit) in [
            (Some(8 << 20), 2 << 20),
            (Some(1 << 30), TOTAL_LIMIT),
            (None, TOTAL_LIMIT),
            (Some(4096), STRING_LIMIT),
        ] {
            assert_eq!(ArgumentSpace::of_stack(stack).limit, limit, "{stack:?}");
        }
    }

    #[test]
    fn the_first_string_too_many_overflows() {
        let mut space = ArgumentSpace { used: 0, limit: 30 };
        let taken: Vec<_> =
            ["four", "", "four", "x"].iter().map(|text| space.take([OsStr::new(text)])).collect();
        assert_eq!(
            taken,
            [Ok(()), Ok(()), Err(Overflow { bytes: 35, limit: 30 }), Err(Overflow { bytes: 45, limit: 30 })]
        );
    }
}
