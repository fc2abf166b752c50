//! A program in the place of Claude Code; see `musher_testkit::fake_claude`.

use std::process::ExitCode;

fn main() -> ExitCode {
    musher_testkit::fake_claude::main()
}
