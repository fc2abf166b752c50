//! Looks for processes with a launch's marker.

use std::{fs, path::Path, time::Duration};

use tokio::time::{Instant, sleep};

use super::{Footprint, WAIT};

/// Between two looks for something that the kernel may take a moment to finish.
const AGAIN: Duration = Duration::from_millis(20);

/// Panics when a process with this marker stays; one that was killed may take a moment to be gone.
pub(super) async fn assert_none(footprint: Footprint, marker: &str) {
    let left = look_until(footprint, marker, <[u32]>::is_empty).await;
    assert!(left.is_empty(), "processes with the session's marker are left: {left:?}");
}

/// Panics when no process has this marker although one should; one that was just started may take a moment to
/// show its environment.
pub(super) async fn assert_some(footprint: Footprint, marker: &str) {
    match footprint {
        Footprint::InProcess => {}
        Footprint::Processes => {
            let found = look_until(footprint, marker, |found| !found.is_empty()).await;
            assert!(!found.is_empty(), "no process has the session's marker");
        }
    }
}

/// Looks until what is found is as wanted, or the wait is over; returns what the last look found.
async fn look_until(footprint: Footprint, marker: &str, wanted: impl Fn(&[u32]) -> bool) -> Vec<u32> {
    let deadline = Instant::now() + WAIT;
    loop {
        let found = marked(footprint, marker);
        if wanted(&found) || Instant::now() >= deadline {
            return found;
        }
        sleep(AGAIN).await;
    }
}

/// The ids of processes with this marker, or a part's of it. One that has exited has no environment, even where nobody has
/// waited for it yet; one that cannot be read is another user's.
fn marked(footprint: Footprint, marker: &str) -> Vec<u32> {
    match footprint {
        Footprint::InProcess => Vec::new(),
        Footprint::Processes => {
            let variable = format!("MUSHER_MARKER={marker}");
            let carries = |process: &Path| {
                fs::read(process.join("environ")).is_ok_and(|environ| {
                    environ.split(|byte| *byte == 0).any(|found| {
                        let rest = found.strip_prefix(variable.as_bytes());
                        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
                    })
                })
            };
            fs::read_dir("/proc")
                .expect("processes are listed in /proc")
                .filter_map(|entry| {
                    let entry = entry.expect("/proc can be listed");
                    let pid = entry.file_name().to_str()?.parse().ok()?;
                    carries(&entry.path()).then_some(pid)
                })
                .collect()
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;

    use super::*;

    #[tokio::test]
    async fn a_marked_process_is_found_until_it_is_gone() {
        let marker = format!("testkit/{}", std::process::id());
        for value in [marker.clone(), format!("{marker}/part")] {
            let mut child =
                Command::new("sleep").arg("60").env("MUSHER_MARKER", &value).spawn().expect("sleep starts");
            // Until its program runs, the kernel shows no environment of it.
            let found = look_until(Footprint::Processes, &marker, |found| !found.is_empty()).await;
            assert_eq!(found, [child.id()], "{value}");
            for other in [&marker[1..], &marker[..marker.len() - 1]] {
                assert!(marked(Footprint::Processes, other).is_empty(), "{other} for {value}");
            }
            child.kill().expect("the child is ours");
            assert_none(Footprint::Processes, &marker).await;
            child.wait().expect("the child is ours");
        }
    }
}
