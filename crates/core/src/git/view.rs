//! A git directory of ours, through which git sees a repository without its config.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder},
    io,
    os::unix::{ffi::OsStrExt as _, fs::DirBuilderExt as _, fs::symlink},
    path::{Path, PathBuf},
};

use tokio::runtime::Handle;

use super::{Call, Git, GitError, LIMIT_FOR_FILES};
use crate::wall::{Wall, stands};

/// What every repository is set to here. Names are shown as they are written.
const CONFIG: &str = "[core]
\trepositoryformatversion = 1
\tbare = false
\tlogAllRefUpdates = true
\tquotePath = false
\tfsmonitor = false
\thooksPath = /dev/null
\tattributesFile = /dev/null
\texcludesFile = /dev/null
[diff]
\trenameLimit = 1000
[gc]
\tauto = 0
[maintenance]
\tauto = false
";
/// What is written with every change of a reference; git wants somebody's name for it.
const AUTHOR: [(&str, &str); 2] =
    [("GIT_COMMITTER_NAME", "musher"), ("GIT_COMMITTER_EMAIL", "musher@localhost")];

/// A repository, seen through a git directory of ours. What git writes of objects stays in there; what it writes of
/// references is written to the repository.
#[derive(Debug)]
pub(crate) struct View {
    git: Git,
    directory: PathBuf,
}

impl View {
    /// Makes one in a directory that is empty and nobody else's, and that goes with it.
    pub(crate) async fn of(git: Git, common: &Path, directory: PathBuf) -> Result<Self, GitError> {
        // From here on it is removed whatever happens.
        let view = Self { git, directory };
        let shared = common.to_owned();
        view.prepare(move |path| make(path, &shared)).await?;
        for extension in view.extensions(common).await? {
            match extension.as_str() {
                "objectformat sha256" => {
                    let config = format!("{CONFIG}[extensions]\n\tobjectFormat = sha256\n");
                    view.prepare(move |path| fs::write(path.join("config"), config)).await?;
                }
                other if other.starts_with("refstorage ") && other != "refstorage files" => {
                    return Err(GitError::Format);
                }
                // What else there is says how git is to work, and not how to read.
                _ => {}
            }
        }
        Ok(view)
    }

    async fn prepare(
        &self,
        work: impl FnOnce(&Path) -> io::Result<()> + Send + 'static,
    ) -> Result<(), GitError> {
        let path = self.directory.clone();
        let done = tokio::task::spawn_blocking(move || work(&path)).await;
        done.unwrap_or_else(|error| Err(error.into())).map_err(GitError::io("look at a repository"))
    }

    /// What the repository's format has that an older git would not understand: the only words of its config that are
    /// looked at.
    async fn extensions(&self, common: &Path) -> Result<Vec<String>, GitError> {
        let attempt = "read the format of a repository";
        let config = common.join("config");
        let args: [OsString; 7] = [
            "config".into(),
            "--file".into(),
            config.into(),
            "--no-includes".into(),
            "-z".into(),
            "--get-regexp".into(),
            "^extensions\\.".into(),
        ];
        let said = self.call(attempt, args).run().await?;
        match said.exit.code {
            Some(0) if !said.is_cut => {
                let text = String::from_utf8_lossy(&said.stdout).to_lowercase();
                let entries = text.split_terminator('\0');
                Ok(entries
                    .filter_map(|entry| entry.strip_prefix("extensions."))
                    .map(|entry| entry.replacen('\n', " ", 1))
                    .collect())
            }
            // There are none.
            Some(1) if !said.is_cut => Ok(Vec::new()),
            _ => Err(said.failure(attempt)),
        }
    }

    /// A place for a file of the caller's own, which goes with the view.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A run that is not about files.
    pub(crate) fn call(
        &self,
        attempt: &'static str,
        args: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Call<'_> {
        let mut variables = vec![("GIT_DIR", OsString::from(&self.directory))];
        variables.extend(AUTHOR.map(|(name, value)| (name, value.into())));
        self.git.call(attempt, &self.directory, variables, args)
    }

    /// A run about the files of a worktree, or those in and below a directory of it.
    pub(crate) fn call_in<'a>(
        &'a self,
        attempt: &'static str,
        top: &Path,
        directory: &'a Path,
        args: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Call<'a> {
        let variables = vec![("GIT_DIR", OsString::from(&self.directory)), ("GIT_WORK_TREE", top.into())];
        Call { limit: LIMIT_FOR_FILES, ..self.git.call(attempt, directory, variables, args) }
    }

    /// The commit that a name stands for; none when it stands for none that is there. Where nobody can tell, because the
    /// repository cannot be read, it is an error.
    pub(crate) async fn commit(&self, name: &str) -> Result<Option<String>, GitError> {
        let name = format!("{name}^{{commit}}");
        let args = ["rev-parse", "--verify", "--quiet", "--end-of-options", &name];
        let attempt = "find a commit";
        let said = self.call(attempt, args).run().await?;
        match said.exit.code {
            Some(0) => Ok(Some(String::from_utf8_lossy(&said.stdout).trim().to_owned())),
            // It also ends so when it could not look everywhere, and then says where.
            Some(1) if !said.has_error() => Ok(None),
            _ => Err(said.failure(attempt)),
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let directory = std::mem::take(&mut self.directory);
        let remove = move || match fs::remove_dir_all(&directory) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let directory = directory.display();
                tracing::warn!(%directory, %error, "what was made to look at a repository stays");
            }
        };
        match Handle::try_current() {
            // A runtime that ends waits for it.
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

fn make(view: &Path, common: &Path) -> io::Result<()> {
    let objects = common.join("objects");
    if objects.as_os_str().as_bytes().contains(&b'\n') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a line break in a path"));
    }
    DirBuilder::new().recursive(true).mode(0o700).create(view.join("objects/info"))?;
    fs::write(view.join("objects/info/alternates"), [objects.as_os_str().as_bytes(), b"\n"].concat())?;
    if stands(Wall::Git) {
        fs::write(view.join("config"), CONFIG)?;
    } else {
        fs::copy(common.join("config"), view.join("config"))?;
        for name in ["config.worktree", "hooks"] {
            symlink(common.join(name), view.join(name))?;
        }
    }
    // On a branch that is nobody's: what is checked out elsewhere is the caller's to say.
    fs::write(view.join("HEAD"), "ref: refs/heads/musher.none\n")?;
    for name in ["refs", "packed-refs", "logs", "shallow"] {
        symlink(common.join(name), view.join(name))?;
    }
    Ok(())
}
