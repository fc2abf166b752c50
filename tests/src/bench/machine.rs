//! What it was measured on.

use std::{fs, path::Path};

use serde_json::{Value, json};

/// The machine, as far as figures depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) cpu: String,
    pub(super) cores: usize,
    pub(super) kernel: String,
    /// File system and device of the directory that servers keep their stores in.
    pub(super) disk: String,
}

impl Machine {
    /// This one, with the disk of this directory.
    pub(super) fn here(directory: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        let directory = directory.canonicalize().unwrap();
        Self {
            cpu: cpu.map_or("unknown", |(_, name)| name.trim()).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            disk: disk(&read("/proc/self/mountinfo"), &directory).unwrap_or_else(|| "unknown".to_owned()),
        }
    }

    pub(super) fn json(&self) -> Value {
        let Self { cpu, cores, kernel, disk } = self;
        json!({ "cpu": cpu, "cores": cores, "kernel": kernel, "disk": disk })
    }
}

/// The mount that holds a directory is the one with the longest path above it, and of those the last.
fn disk(mountinfo: &str, directory: &Path) -> Option<String> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (mount, device) = line.split_once(" - ")?;
        let point = Path::new(mount.split(' ').nth(4)?);
        let (kind, device) = device.split_once(' ')?;
        let device = device.split(' ').next()?;
        directory.starts_with(point).then(|| (point.components().count(), format!("{kind} on {device}")))
    });
    mounts.max_by_key(|(depth, _)| *depth).map(|(_, disk)| disk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_on_the_mount_closest_above_it() {
        let mounts = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /dev/shm rw shared:2 - tmpfs tmpfs rw
31 22 0:27 / /dev rw - devtmpfs dev rw";
        let cases = [
            ("/tmp/x", "ext4 on /dev/vda"),
            ("/dev/shm/y", "tmpfs on tmpfs"),
            ("/devil", "ext4 on /dev/vda"),
        ];
        for (directory, expected) in cases {
            assert_eq!(disk(mounts, Path::new(directory)).as_deref(), Some(expected), "{directory}");
        }
    }
}
