//! A look for processes by their marker.

use std::{fs, path::Path};

/// The processes with this marker, and their command lines.
pub(crate) fn marked(marker: &str) -> Vec<(u32, String)> {
    let variable = format!("MUSHER_MARKER={marker}");
    let command = |process: &Path| {
        let environ = fs::read(process.join("environ")).ok()?;
        environ.split(|byte| *byte == 0).find(|found| *found == variable.as_bytes())?;
        let command = fs::read(process.join("cmdline")).ok()?;
        let pid = process.file_name()?.to_str()?.parse().ok()?;
        Some((pid, String::from_utf8_lossy(&command).replace('\0', " ")))
    };
    let processes = fs::read_dir("/proc").expect("processes are listed").flatten();
    processes.filter_map(|entry| command(&entry.path())).collect()
}
