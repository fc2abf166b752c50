//! Programs that tests write for others to run.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

/// Writes a program, e.g. a script with its `#!` line.
///
/// A process of its own does that: whatever a test of another thread forked meanwhile would hold a file that this process had
/// open until its own program runs, and the kernel runs nothing that anybody may still write to ("text file busy").
///
/// # Panics
///
/// When it cannot be written.
pub fn executable(path: &Path, text: &str) {
    let mut writing = Command::new("sh")
        .args(["-c", "cat >\"$0\" && chmod 755 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut stdin = writing.stdin.take().expect("it is piped");
    stdin.write_all(text.as_bytes()).expect("the shell reads");
    drop(stdin);
    assert!(writing.wait().expect("it is our child").success(), "write {}", path.display());
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use super::*;

    #[test]
    fn a_program_runs_at_once_though_other_threads_fork() {
        let directory = tempfile::tempdir().unwrap();
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        assert!(Command::new("true").status().unwrap().success());
                    }
                });
            }
            for n in 0..50 {
                let program = directory.path().join(n.to_string());
                executable(&program, &format!("#!/bin/sh\nexit {n}\n"));
                let ran = Command::new(&program).status();
                is_over.store(n == 49 || ran.is_err(), Ordering::Relaxed);
                assert_eq!(ran.unwrap().code(), Some(n));
            }
        });
    }
}
