//! Tests that run again in a process of their own, where the system gives them less.
//!
//! Each begins with a call of one of these: in the process that `cargo test` runs, it runs the test again and sees that it
//! passes; in that one, it lets the test go on. Both need user namespaces, and no rights of root.

use std::{
    env,
    path::PathBuf,
    process::{Command, Output},
};

/// Where the disk of the process is; only that one has this.
const DISK: &str = "MUSHER_TEST_DISK";
/// What a process without rights of its own has.
const PLAIN: &str = "MUSHER_TEST_PLAIN";

/// Runs a test again with a disk of so many MiB, which is also where its temporary files are; there, the disk.
///
/// # Panics
///
/// When the test fails, or cannot be run again.
#[must_use]
pub fn on_a_disk_of(mib: u32, test: &str) -> Option<PathBuf> {
    if let Some(disk) = env::var_os(DISK) {
        return Some(disk.into());
    }
    let directory = tempfile::tempdir().expect("a directory");
    let mount =
        format!(r#"mount -t tmpfs -o size={mib}m none "${DISK}" && exec "$0" --exact --nocapture "$1""#);
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &mount]);
    command.env(DISK, directory.path()).env("TMPDIR", directory.path());
    passes(command.arg(own_program()).arg(test));
    None
}

/// Runs a test again as a user whom files can be kept from, as root cannot; whether it is that process.
///
/// # Panics
///
/// When the test fails, or cannot be run again.
#[must_use]
pub fn is_a_plain_user(test: &str) -> bool {
    if env::var_os(PLAIN).is_some() {
        return true;
    }
    let mut command = Command::new("unshare");
    // In a namespace that knows nobody, it still owns what its user owns, and may do nothing beyond that.
    command.arg("--user").arg(own_program()).args(["--exact", "--nocapture", test]).env(PLAIN, "1");
    passes(&mut command);
    false
}

fn own_program() -> PathBuf {
    env::current_exe().expect("the program of this test")
}

fn passes(command: &mut Command) {
    let Output { status, stdout, stderr } = command.output().expect("`unshare` is run");
    let said = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    assert!(status.success(), "this needs a namespace (user namespaces must be allowed): {said}");
    assert!(said.contains("1 passed"), "{said}");
}
