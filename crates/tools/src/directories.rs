//! The directories that a session's file tools reach: the workspace, and what the worker has besides.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use musher_backend::{Access, Root};

use crate::{
    refusal::Refusal,
    workspace::{Place, Workspace},
};

/// Directories by their handles.
#[derive(Debug)]
pub(crate) struct Directories {
    /// The one that relative paths mean.
    workspace: Workspace,
    /// Those that are named by absolute paths, with what may be done in them.
    further: Vec<(Workspace, Access)>,
    /// Held while a file is replaced: two edits of one file at the same time must not lose one. Protects the files
    /// and nothing in memory.
    writing: Mutex<()>,
}

impl Directories {
    /// Opens them. What becomes of their names later does not matter. Blocks.
    pub(crate) fn open(working_dir: &Path, roots: &[Root]) -> io::Result<Self> {
        let workspace = Workspace::open(working_dir.to_owned(), PathBuf::new())?;
        let mut further = Vec::new();
        for Root { path, access } in roots {
            further.push((Workspace::open(path.clone(), path.clone())?, *access));
        }
        Ok(Self { workspace, further, writing: Mutex::new(()) })
    }

    /// What a model's path means, and in which directory. Whether it leads out of that is found when it is opened.
    pub(crate) fn find(&self, text: &str) -> Result<(&Workspace, Place), Refusal> {
        self.look_up(text).map(|(directory, place, _)| (directory, place))
    }

    /// The same for a file that is to be changed.
    pub(crate) fn find_to_change(&self, text: &str) -> Result<(&Workspace, Place), Refusal> {
        match self.look_up(text)? {
            (directory, place, Access::ReadWrite) => Ok((directory, place)),
            (_, place, Access::ReadOnly) => Err(Refusal::ReadOnly { path: place.name }),
        }
    }

    fn look_up(&self, text: &str) -> Result<(&Workspace, Place, Access), Refusal> {
        let outside = || Refusal::Outside { path: text.to_owned() };
        if text.contains('\0') {
            return Err(outside());
        }
        let named = Path::new(text);
        let own = (&self.workspace, Access::ReadWrite);
        let (directory, access, relative) = if named.is_relative() {
            (own.0, own.1, named)
        } else {
            let all = self.further.iter().map(|(directory, access)| (directory, *access)).chain([own]);
            let within = all.filter_map(|(directory, access)| {
                Some((directory, access, named.strip_prefix(directory.root()).ok()?))
            });
            // The innermost one: a path has fewest names below it.
            within.min_by_key(|(.., relative)| relative.components().count()).ok_or_else(outside)?
        };
        Ok((directory, directory.place(relative), access))
    }

    /// Waits until no other call replaces a file. A call that panicked left files as they were, or replaced.
    pub(crate) fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use serde_json::json;

    use super::*;
    use crate::scene::Scene;

    /// A worker with a handbook that it may read, and notes that it may change.
    async fn scene() -> (Scene, String) {
        let scene = Scene::among(&[("handbook", Access::ReadOnly), ("notes", Access::ReadWrite)]).await;
        let around = scene.outside().canonicalize().unwrap().display().to_string();
        fs::write(format!("{around}/handbook/page"), "one rule\n").unwrap();
        fs::write(format!("{around}/notes/page"), "one rule\n").unwrap();
        (scene, around)
    }

    #[tokio::test]
    async fn further_directories_are_read_by_their_absolute_paths() {
        let (scene, around) = scene().await;
        for name in ["handbook", "notes"] {
            let path = format!("{around}/{name}/page");
            assert_eq!(scene.ok("read_file", json!({"path": path})).await, "one rule\n");
            let listed = scene.ok("list_directory", json!({"path": format!("{around}/{name}")})).await;
            assert_eq!(listed, "page (9 bytes)");
            let found =
                scene.ok("search", json!({"pattern": "rule", "path": format!("{around}/{name}/.")})).await;
            assert_eq!(found, format!("{path}:1: one rule"));
        }
        let own = scene.ok("search", json!({"pattern": "rule"})).await;
        assert_eq!(own, "[no match]", "a search without a path is of the workspace");
    }

    #[tokio::test]
    async fn what_is_read_only_no_tool_changes() {
        let (scene, around) = scene().await;
        let path = format!("{around}/handbook/page");
        for (tool, input) in [
            ("write_file", json!({"path": path, "content": "no rule\n"})),
            ("edit_file", json!({"path": path, "old": "one", "new": "no"})),
        ] {
            let told = scene.refused(tool, input).await;
            assert_eq!(told, format!("`{path}` is in a directory that is read-only"));
        }
        let new = format!("{around}/handbook/new/page");
        let told = scene.refused("write_file", json!({"path": new, "content": ""})).await;
        assert_eq!(told, format!("`{new}` is in a directory that is read-only"));
        // Links that are in directories which may be changed.
        symlink(&path, scene.path("link")).unwrap();
        symlink(&path, format!("{around}/notes/link")).unwrap();
        for link in
            ["link".to_owned(), format!("{around}/notes/link"), format!("{around}/notes/../handbook/page")]
        {
            let told = scene.refused("write_file", json!({"path": link, "content": "no rule\n"})).await;
            assert!(told.contains("cannot lead out"), "{told}");
        }
        for command in [
            format!("echo no rule > {path}"),
            "echo no rule > link".to_owned(),
            format!("rm {path}"),
            format!("mv {path} ."),
            format!("touch {around}/handbook/new"),
        ] {
            let output = scene.call("shell", json!({"command": command})).await;
            assert!(output.content.contains("Permission denied"), "{command}: {}", output.content);
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "one rule\n");
        assert_eq!(fs::read_dir(format!("{around}/handbook")).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn what_may_be_changed_every_tool_changes() {
        let (scene, around) = scene().await;
        let path = format!("{around}/notes/page");
        let edited = scene.call("edit_file", json!({"path": path, "old": "one", "new": "no"})).await;
        assert_eq!(edited.content, format!("replaced once in {path}"));
        let diff = format!("--- a{path}\n+++ b{path}\n@@ -1 +1 @@\n-one rule\n+no rule\n");
        assert_eq!(edited.diff, Some(diff), "as git has it");
        scene.ok("write_file", json!({"path": format!("{around}/notes/new/page"), "content": "x"})).await;
        scene.ok("shell", json!({"command": format!("cat {path} > {around}/notes/copy")})).await;
        assert_eq!(fs::read_to_string(format!("{around}/notes/copy")).unwrap(), "no rule\n");
        assert_eq!(fs::read_to_string(format!("{around}/notes/new/page")).unwrap(), "x");
    }

    #[tokio::test]
    async fn of_directories_in_each_other_the_innermost_counts() {
        let scene = Scene::among(&[("all", Access::ReadOnly), ("all/mine", Access::ReadWrite)]).await;
        let around = scene.outside().canonicalize().unwrap().display().to_string();
        scene.ok("write_file", json!({"path": format!("{around}/all/mine/page"), "content": "x"})).await;
        let path = format!("{around}/all/page");
        scene.refused("write_file", json!({"path": path, "content": "x"})).await;
        // Within the outer one by its text, so it is that one's.
        let path = format!("{around}/all/other/../mine/page");
        scene.refused("write_file", json!({"path": path, "content": "y"})).await;
        assert_eq!(fs::read_to_string(format!("{around}/all/mine/page")).unwrap(), "x");
    }
}
