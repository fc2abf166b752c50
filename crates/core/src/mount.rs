//! Directories that workers are given besides their workspaces, and what a worker gets of one.

use std::path::{Path, PathBuf};

use musher_backend::{Access, Root, Sandbox};
use musher_protocol::{MountRef, WorkerMount};
use serde::{Deserialize, Serialize};

use crate::wall::{Wall, stands};

/// A directory that workers may be given besides their workspaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The directory: absolute, and there.
    pub path: PathBuf,
    /// Whether workers may change what is in it.
    pub writable: bool,
}

impl From<PathBuf> for Mount {
    /// A directory that workers may look at.
    fn from(path: PathBuf) -> Self {
        Self { path, writable: false }
    }
}

/// What a worker has of a mount, for its whole life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mounted {
    pub(crate) shown: WorkerMount,
    /// The directory: what is declared until the worker gets it, then absolute and without links.
    pub(crate) directory: PathBuf,
}

impl Mounted {
    /// What a session has of it.
    pub(crate) fn root(&self) -> Root {
        let access = if self.shown.writable { Access::ReadWrite } else { Access::ReadOnly };
        Root { path: self.directory.clone(), access }
    }
}

/// What a request names, among the mounts that there are.
pub(crate) fn wanted<'a>(
    known: impl Fn(&str) -> Option<&'a Mount>,
    MountRef { name, reference }: MountRef,
) -> Result<Mounted, String> {
    match known(&reference) {
        Some(Mount { path, writable }) => {
            let shown = WorkerMount { name, reference, writable: *writable };
            Ok(Mounted { shown, directory: path.clone() })
        }
        None => Err(format!("no mount `{reference}` in the server's config")),
    }
}

/// Why a worker cannot have a mount.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotHad {
    #[error("find a mount")]
    Io(#[from] std::io::Error),
    #[error("it is no directory")]
    NoDirectory,
    #[error("it is in a directory that the worker may change")]
    Inside,
}

impl NotHad {
    /// What is missing, by name, without a path.
    pub(crate) fn missing(&self) -> &'static str {
        match self {
            Self::Io(_) | Self::NoDirectory => "its directory",
            Self::Inside => {
                "a place outside of the directories that the worker may change, for it is read-only"
            }
        }
    }
}

/// Finds the directories of the mounts that a worker wants. It works in others itself, and none of those may hold a mount
/// that is read-only: what lets a worker change a directory lets it change all that is below. Blocks.
///
/// # Errors
///
/// With the name, for the server, of the first that cannot be had.
pub(crate) fn get(wanted: Vec<Mounted>, working: &[PathBuf]) -> Result<Vec<Mounted>, (String, NotHad)> {
    let found = wanted.into_iter().map(|Mounted { shown, directory }| {
        let refused = |why| (shown.reference.clone(), why);
        let directory = directory.canonicalize().map_err(|error| refused(error.into()))?;
        if directory.is_dir() { Ok(Mounted { shown, directory }) } else { Err(refused(NotHad::NoDirectory)) }
    });
    let mounts = found.collect::<Result<Vec<_>, _>>()?;
    let changed = mounts.iter().filter(|mount| mount.shown.writable).map(|mount| mount.directory.clone());
    // One that is not there is refused as a workspace.
    let working = working.iter().filter_map(|path| path.canonicalize().ok());
    let changed: Vec<_> = working.chain(changed).collect();
    match mounts.iter().find(|mount| !mount.shown.writable && is_inside(&mount.directory, &changed)) {
        Some(mount) if stands(Wall::ReadOnlyMount) => Err((mount.shown.reference.clone(), NotHad::Inside)),
        Some(_) | None => Ok(mounts),
    }
}

/// What holds commands of a worker, and of its setups, beside mounts that are read-only: there is no doing without then. A
/// worker that would have none is not created.
pub(crate) fn sandbox(asked: Sandbox, read_only: bool) -> Sandbox {
    match asked {
        Sandbox::Auto if read_only => Sandbox::Landlock,
        Sandbox::Auto | Sandbox::Landlock | Sandbox::None => asked,
    }
}

fn is_inside(directory: &Path, others: &[PathBuf]) -> bool {
    others.iter().any(|other| directory.starts_with(other))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, os::unix::fs::symlink};

    use super::*;

    fn asked(name: &str, path: &Path, writable: bool) -> Mounted {
        let shown = WorkerMount { name: "m".to_owned(), reference: name.to_owned(), writable };
        Mounted { shown, directory: path.to_owned() }
    }

    #[test]
    fn a_reference_names_what_is_declared_and_no_path() {
        let known = BTreeMap::from([
            ("handbook", Mount::from(PathBuf::from("/srv/handbook"))),
            ("cache", Mount { path: "/srv/cache".into(), writable: true }),
        ]);
        let meant = |reference: &str| {
            let wanted_ref = MountRef { name: "m".to_owned(), reference: reference.to_owned() };
            wanted(|name| known.get(name), wanted_ref).map(|wanted| (wanted.directory, wanted.shown.writable))
        };
        let unknown = |name: &str| Err(format!("no mount `{name}` in the server's config"));
        for (reference, expected) in [
            ("handbook", Ok(("/srv/handbook".into(), false))),
            ("cache", Ok(("/srv/cache".into(), true))),
            ("handbook/deep", unknown("handbook/deep")),
            ("/srv/handbook", unknown("/srv/handbook")),
            ("", unknown("")),
        ] {
            assert_eq!(meant(reference), expected, "{reference:?}");
        }
    }

    #[test]
    fn what_is_read_only_is_in_no_directory_that_the_worker_may_change() {
        let around = tempfile::tempdir().unwrap();
        let around = around.path().canonicalize().unwrap();
        for directory in ["shop/docs", "handbook/own", "handbooks"] {
            fs::create_dir_all(around.join(directory)).unwrap();
        }
        fs::write(around.join("file"), "").unwrap();
        symlink(around.join("shop/docs"), around.join("link")).unwrap();
        let found = |wanted: Vec<Mounted>, working: &[&str]| {
            let working: Vec<_> = working.iter().map(|path| around.join(path)).collect();
            match get(wanted, &working) {
                Ok(mounts) => Ok(mounts.into_iter().map(|mount| mount.directory).collect::<Vec<_>>()),
                Err((name, NotHad::Io(_))) => Err((name, "gone")),
                Err((name, NotHad::NoDirectory)) => Err((name, "no directory")),
                Err((name, NotHad::Inside)) => Err((name, "inside")),
            }
        };
        let read_only = |path: &str| asked(path, &around.join(path), false);
        let writable = |path: &str| asked(path, &around.join(path), true);
        let refused = |name: &str, why| Err((name.to_owned(), why));
        let had = |paths: &[&str]| Ok(paths.iter().map(|path| around.join(path)).collect());
        for (wanted, working, expected) in [
            (vec![read_only("handbook")], &["shop"][..], had(&["handbook"])),
            // More of its name is another directory.
            (vec![read_only("handbooks")], &["handbook"], had(&["handbooks"])),
            // The worker works in a part of it, which is its own to change.
            (vec![read_only("handbook")], &["handbook/own"], had(&["handbook"])),
            (vec![read_only("handbook")], &["handbook"], refused("handbook", "inside")),
            (vec![read_only("shop/docs")], &["handbook", "shop"], refused("shop/docs", "inside")),
            (vec![read_only("link")], &["shop"], refused("link", "inside")),
            (vec![writable("shop/docs")], &["shop"], had(&["shop/docs"])),
            (vec![writable("shop"), read_only("shop/docs")], &[], refused("shop/docs", "inside")),
            (vec![read_only("handbook"), read_only("nowhere")], &[], refused("nowhere", "gone")),
            (vec![read_only("file")], &[], refused("file", "no directory")),
        ] {
            assert_eq!(found(wanted.clone(), working), expected, "{wanted:?} beside {working:?}");
        }
    }
}
