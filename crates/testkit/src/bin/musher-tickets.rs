//! An MCP server; see `musher_testkit::tickets`.

use std::process::ExitCode;

fn main() -> ExitCode {
    musher_testkit::tickets::main()
}
