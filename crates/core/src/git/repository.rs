//! Where a repository keeps what, found by looking: its config is not read.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use crate::diff::Versioned;

/// Files like `HEAD` hold one line.
const SMALL: u64 = 4096;

/// A repository that a directory is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repository {
    /// What all its worktrees share: objects, branches.
    pub(crate) common: PathBuf,
    /// What the directory's worktree has of its own.
    own: PathBuf,
    /// The root of the worktree; none where the directory is a bare repository.
    pub(crate) top: Option<PathBuf>,
    /// The way from there to the directory.
    pub(crate) prefix: PathBuf,
}

/// What is checked out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// The full name of a branch.
    Branch(String),
    /// A commit, on no branch.
    Commit(String),
}

impl Head {
    /// What names the commit.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Branch(name) | Self::Commit(name) => name,
        }
    }
}

impl Repository {
    /// The repository that a directory is in; none where it is in none. Blocks.
    pub(crate) fn of(directory: &Path) -> io::Result<Option<Self>> {
        for top in directory.ancestors() {
            let found = match fs::metadata(top.join(".git")) {
                Ok(metadata) if metadata.is_dir() => Some(top.join(".git")),
                Ok(_) => linked(top)?,
                // What may not be looked at can be a repository as well as not.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
                Err(_) => None,
            };
            if let Some(own) = found
                && let Some(common) = common(&own)?
            {
                let prefix = directory.strip_prefix(top).unwrap_or(Path::new("")).to_owned();
                return Ok(Some(Self { common, own, top: Some(top.to_owned()), prefix }));
            }
        }
        Ok(common(directory)?.map(|common| Self {
            common,
            own: directory.to_owned(),
            top: None,
            prefix: PathBuf::new(),
        }))
    }

    /// Whether a repository is there, by the part that all its worktrees share: an error where nobody may look. Blocks.
    pub(crate) fn is_there(common: &Path) -> io::Result<bool> {
        Ok(is_open(&common.join("objects"))? && is_open(&common.join("refs"))?)
    }

    /// Whether the repository is the directory's own, or that of a directory above it. A directory that others may have
    /// filled can hold a `.git` that leads into any repository of the machine; what is asked is whether that one knows of
    /// the directory, too. Blocks.
    pub(crate) fn is_own(&self, directory: &Path) -> io::Result<bool> {
        if self.top.as_deref().is_some_and(|top| top != directory) {
            return Ok(true);
        }
        if !is_plain(&self.common.join("objects")) || !is_plain(&self.common.join("refs")) {
            return Ok(false);
        }
        let own = self.own.canonicalize()?;
        let (entry, is_shared) = (directory.join(".git"), own != self.common);
        if self.top.is_none() || is_plain(&entry) {
            // Then nothing of it is anywhere else.
            return Ok(!is_shared && own.starts_with(directory));
        }
        if is_shared {
            // One of a repository's worktrees, which has the way back.
            let back = read_small(&own.join("gitdir"))?.unwrap_or_default();
            let is_listed = own.parent() == Some(&*self.common.join("worktrees"));
            return Ok(is_listed && Path::new(back.trim_end_matches(['\n', '\r'])) == entry);
        }
        // A module of the repository that the directory is in.
        let mut above = directory.ancestors().skip(1).map(|above| above.join(".git"));
        Ok(above.any(|git| is_plain(&git) && own.starts_with(git.join("modules"))))
    }

    /// What files of the directory can be compared with; nothing where the directory is a bare repository.
    pub(crate) fn versioned(self) -> Option<Versioned> {
        let Self { common, own: _, top, prefix } = self;
        top.map(|top| Versioned { common, top, prefix })
    }

    /// What is checked out. Blocks.
    pub(crate) fn head(&self) -> io::Result<Option<Head>> {
        head_in(&self.own)
    }

    /// What is checked out in one of its worktrees. Blocks.
    pub(crate) fn head_of(common: &Path, worktree: &str) -> io::Result<Option<Head>> {
        head_in(&common.join("worktrees").join(worktree))
    }

    /// Whether a branch is checked out anywhere but in this worktree. Blocks.
    pub(crate) fn is_checked_out(common: &Path, branch: &Head, but_in: &str) -> io::Result<bool> {
        if head_in(common)?.as_ref() == Some(branch) {
            return Ok(true);
        }
        let entries = match fs::read_dir(common.join("worktrees")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_name() != but_in && head_in(&entry.path())?.as_ref() == Some(branch) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether this is a directory, and no link to one.
fn is_plain(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Whether this is a directory in which things can be found by their names; an error where it is one, and closed.
fn is_open(directory: &Path) -> io::Result<bool> {
    // To find even itself in it takes the permission that everything in it takes.
    match fs::metadata(directory.join(".")) {
        Ok(metadata) => Ok(metadata.is_dir()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Where a file named `.git` leads.
fn linked(top: &Path) -> io::Result<Option<PathBuf>> {
    let text = read_small(&top.join(".git"))?.unwrap_or_default();
    Ok(text.strip_prefix("gitdir: ").map(|path| top.join(path.trim_end_matches(['\n', '\r']))))
}

/// The part of a git directory that is shared; none when it is no git directory.
fn common(own: &Path) -> io::Result<Option<PathBuf>> {
    let common = match read_small(&own.join("commondir"))? {
        Some(path) => own.join(path.trim_end_matches(['\n', '\r'])),
        None => own.to_owned(),
    };
    if !Repository::is_there(&common)? || !own.join("HEAD").exists() {
        return Ok(None);
    }
    common.canonicalize().map(Some)
}

fn head_in(own: &Path) -> io::Result<Option<Head>> {
    let Some(text) = read_small(&own.join("HEAD"))? else { return Ok(None) };
    let text = text.trim_end();
    Ok(match text.strip_prefix("ref:").map(str::trim_start) {
        // Anything else could be an option, or lead out of the references.
        Some(name) if name.starts_with("refs/") && !name.contains("..") => {
            Some(Head::Branch(name.to_owned()))
        }
        None if matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit()) => {
            Some(Head::Commit(text.to_owned()))
        }
        Some(_) | None => None,
    })
}

/// A small regular file, as text; none where there is none, or something else, which must not hold anybody up.
fn read_small(path: &Path) -> io::Result<Option<String>> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = match File::options().read(true).custom_flags(flags).open(path) {
        Ok(file) if file.metadata()?.is_file() => file,
        Ok(_) => return Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    match file.take(SMALL).read_to_string(&mut text) {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes a directory below another one where it is not there, and requires that no part of the way is a link. Blocks.
pub(crate) fn ensure_plain(root: &Path, way: &str) -> io::Result<PathBuf> {
    let mut path = root.to_owned();
    for part in way.split('/') {
        path.push(part);
        // As git makes them: whoever shares the repository may have to read it.
        match DirBuilder::new().mode(0o777).create(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !fs::symlink_metadata(&path)?.is_dir() {
                    return Err(io::Error::from(io::ErrorKind::NotADirectory));
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, process::Command};

    use super::*;

    fn git(directory: &Path, words: &[&str]) {
        let mut command = Command::new("git");
        command.current_dir(directory).env("GIT_CONFIG_GLOBAL", "/dev/null").args(["-c", "user.name=a"]);
        command.args(["-c", "user.email=a@b", "-c", "protocol.file.allow=always"]).args(words);
        let done = command.output().unwrap();
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    #[test]
    fn a_directory_has_a_repository_of_its_own_only_where_both_say_so() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let at = |name: &str| root.join(name);
        for name in ["foreign", "shop", "shop/own", "shop/plain"] {
            fs::create_dir(at(name)).unwrap();
        }
        for name in ["foreign", "shop", "shop/own"] {
            git(&at(name), &["init", "--quiet"]);
            git(&at(name), &["commit", "--quiet", "--allow-empty", "--message", "a"]);
        }
        git(&at("foreign"), &["worktree", "add", "--quiet", "--detach", "../shop/tree"]);
        git(&at("shop"), &["submodule", "add", "--quiet", "../foreign", "module"]);
        git(&at("shop"), &["init", "--quiet", "--bare", "bare"]);
        let plant = |name: &str, gitdir: &Path| {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join(".git"), format!("gitdir: {}\n", gitdir.display())).unwrap();
        };
        plant("shop/file", &at("foreign/.git"));
        plant("shop/worktree", &at("foreign/.git/worktrees/tree"));
        // A git directory of the planter's, with the way back, whose objects are another's.
        plant("shop/forged", &at("shop/forged/git"));
        fs::create_dir(at("shop/forged/git")).unwrap();
        fs::write(at("shop/forged/git/commondir"), format!("{}\n", at("foreign/.git").display())).unwrap();
        fs::write(at("shop/forged/git/gitdir"), format!("{}\n", at("shop/forged/.git").display())).unwrap();
        fs::write(at("shop/forged/git/HEAD"), "ref: refs/heads/master\n").unwrap();
        fs::create_dir(at("shop/link")).unwrap();
        symlink(at("foreign/.git"), at("shop/link/.git")).unwrap();
        fs::create_dir_all(at("shop/objects/.git/refs")).unwrap();
        symlink(at("foreign/.git/objects"), at("shop/objects/.git/objects")).unwrap();
        fs::write(at("shop/objects/.git/HEAD"), "ref: refs/heads/master\n").unwrap();

        for (name, is_own) in [
            ("shop/own", true),
            ("shop/tree", true),
            ("shop/module", true),
            ("shop/bare", true),
            // Of the repository above it.
            ("shop/plain", true),
            ("shop/file", false),
            ("shop/worktree", false),
            ("shop/forged", false),
            ("shop/link", false),
            ("shop/objects", false),
        ] {
            let repository = Repository::of(&at(name)).unwrap().expect(name);
            assert_eq!(repository.is_own(&at(name)).unwrap(), is_own, "{name}");
        }
    }
}
