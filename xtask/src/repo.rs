//! The repository as the checks see it: its files and its crates.

use std::{
    collections::BTreeSet,
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
    str::Utf8Error,
};

use serde::Deserialize;

/// Why the repository could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("start `{program}`; it must be installed and on the PATH")]
    Start { program: String, source: io::Error },
    #[error("`{command}` failed: {stderr}")]
    Command { command: &'static str, stderr: String },
    #[error("read the file list of git")]
    Listing(#[source] Utf8Error),
    #[error("read `{path}`")]
    Read { path: String, source: io::Error },
    #[error("read what `cargo metadata` printed")]
    Metadata(#[source] serde_json::Error),
}

/// A text file, its path relative to the root and with `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Every file that is or may be committed: what git tracks, and what it neither tracks nor ignores.
#[derive(Debug)]
pub(crate) struct Tree {
    /// Those that are text.
    pub(crate) files: Vec<SourceFile>,
    /// All files, and the directories they are in.
    pub(crate) paths: BTreeSet<String>,
}

/// What cargo knows about the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
    pub(crate) target_directory: PathBuf,
}

/// A crate of ours.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
}

/// What a manifest says that its crate depends on.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Option<DependencyKind>,
    /// Where it is, if it is a crate of ours.
    pub(crate) path: Option<PathBuf>,
}

/// Dependencies that are not of the crate itself; cargo names those by `null`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DependencyKind {
    Dev,
    Build,
}

impl Tree {
    /// Reads all files. A file that git lists and that is gone from the disk is left out.
    pub(crate) fn read() -> Result<Self, Error> {
        let root = root();
        // A checkout may belong to another user than the one who builds, in containers above all.
        let safe = format!("safe.directory={}", root.display());
        let listing = output(
            "git ls-files",
            Command::new("git")
                .args(["-c", &safe, "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
                .current_dir(root),
        )?;
        let listing = std::str::from_utf8(&listing).map_err(Error::Listing)?;
        let mut tree = Self { files: Vec::new(), paths: BTreeSet::new() };
        for path in listing.split_terminator('\0') {
            let bytes = match fs::read(root.join(path)) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(Error::Read { path: path.to_owned(), source }),
            };
            let all = Path::new(path).ancestors().filter_map(Path::to_str).filter(|path| !path.is_empty());
            tree.paths.extend(all.map(str::to_owned));
            if let Ok(text) = String::from_utf8(bytes) {
                tree.files.push(SourceFile { path: path.to_owned(), text });
            }
        }
        Ok(tree)
    }
}

impl Workspace {
    /// Asks cargo, which reads the manifests only.
    pub(crate) fn read() -> Result<Self, Error> {
        let json = output(
            "cargo metadata",
            Command::new(cargo())
                .args(["metadata", "--no-deps", "--format-version", "1"])
                .current_dir(root()),
        )?;
        serde_json::from_slice(&json).map_err(Error::Metadata)
    }
}

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate is in a directory of the repository")
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

fn output(name: &'static str, command: &mut Command) -> Result<Vec<u8>, Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|source| Error::Start { program, source })?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Error::Command { command: name, stderr })
    }
}
