//! Files that workers leave, wherever they could.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The CLI's own directory below its home; what it keeps there it keeps on purpose.
pub(super) const CONFIG: &str = "config";
/// Where recordings are, below the server's own directory.
pub(super) const RECORDINGS: &str = "recordings";
/// The store, below the server's own directory.
const STORE: &str = "store";
/// Where workers and their sessions have their directories, below the store's.
const SCRATCH: &str = "store/scratch";
/// The temporary directories of sessions.
const SESSIONS: &str = "store/scratch/tmp";

/// Where a server and its workers could leave something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places<'a> {
    /// The server's temporary directory.
    pub(super) temporary: &'a Path,
    /// The home of the CLI.
    pub(super) vendor: &'a Path,
    /// The server's own directory.
    pub(super) home: &'a Path,
}

impl Places<'_> {
    /// What is wrong while so many workers have a session each: were their directories elsewhere, finding nothing in
    /// the end would say nothing.
    pub(super) fn at_work(self, n_workers: usize) -> Vec<String> {
        let lives = entries(&self.home.join(SESSIONS));
        let sessions = lives.iter().flat_map(|life| entries(life)).filter(|entry| entry.is_dir()).count();
        let wrong = sessions != n_workers;
        wrong
            .then(|| format!("{n_workers} workers have a session each, and {sessions} have a directory"))
            .into_iter()
            .collect()
    }

    /// What is there once the server has ended and its workers are deleted, and should not be.
    pub(super) fn left(self) -> Vec<PathBuf> {
        // The server's own: its config, its token, its store and what it was told to record.
        let own = ["musher.toml", "token", "ready.json", RECORDINGS, STORE];
        let besides = |directory: &Path, known: &[&str]| {
            let mut found = entries(directory);
            found.retain(|entry| !known.iter().any(|name| entry.ends_with(name)));
            found
        };
        [
            besides(self.temporary, &[]),
            besides(self.vendor, &[CONFIG]),
            besides(self.home, &own),
            besides(&self.home.join(SCRATCH), &[]),
        ]
        .concat()
    }
}

/// What is in a directory; nothing where there is none.
fn entries(directory: &Path) -> Vec<PathBuf> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => panic!("{} cannot be listed: {error}", directory.display()),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn what_is_left_anywhere_is_found() {
        let [temporary, vendor, home] = [(); 3].map(|()| TempDir::new().unwrap());
        let places = Places { temporary: temporary.path(), vendor: vendor.path(), home: home.path() };
        for directory in [
            vendor.path().join("config/projects"),
            home.path().join("recordings"),
            home.path().join("store/scratch"),
        ] {
            fs::create_dir_all(directory).unwrap();
        }
        fs::write(home.path().join("musher.toml"), "").unwrap();
        assert_eq!(places.left(), Vec::<PathBuf>::new());
        let left = [
            temporary.path().join("claude-0"),
            vendor.path().join(".cache"),
            home.path().join("core"),
            home.path().join("store/scratch/wrk_1"),
        ];
        for (n, file) in left.iter().enumerate() {
            fs::write(file, "").unwrap();
            assert_eq!(places.left(), left[..=n]);
        }
    }

    #[test]
    fn sessions_without_directories_are_noticed() {
        let home = TempDir::new().unwrap();
        let places = Places { temporary: home.path(), vendor: home.path(), home: home.path() };
        assert_eq!(places.at_work(1).len(), 1);
        let life = home.path().join("store/scratch/tmp/0a1b2c3d");
        fs::create_dir_all(life.join("1")).unwrap();
        fs::write(life.join("life"), "").unwrap();
        assert_eq!(places.at_work(1), Vec::<String>::new());
    }
}
