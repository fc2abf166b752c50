//! A program that exists.

use std::{
    env,
    ffi::OsStr,
    path::{self, Path, PathBuf},
};

use rustix::fs::Access;

use crate::{Environment, Error};

/// An executable file, by absolute path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
}

impl Program {
    /// Finds a program: a name in the PATH of `environment`, a path with a slash as it stands (a relative one
    /// against the current directory, once).
    ///
    /// Relative and empty entries of PATH are passed over: in a worker's directory they would let the
    /// worker choose what runs.
    ///
    /// # Errors
    ///
    /// [`Error::ProgramMissing`] when no executable file is there. It may still go before it is spawned; that
    /// is [`Error::NotStarted`].
    pub fn find(name: &str, environment: &Environment) -> Result<Program, Error> {
        let candidates: Vec<PathBuf> = if name.contains('/') {
            path::absolute(name).into_iter().collect()
        } else {
            environment.get("PATH").map_or_else(Vec::new, |list| {
                env::split_paths(list)
                    .filter(|entry| entry.is_absolute())
                    .map(|entry| entry.join(name))
                    .collect()
            })
        };
        candidates
            .into_iter()
            .find(|candidate| is_executable_file(candidate))
            .map(|path| Program { path })
            .ok_or_else(|| Error::ProgramMissing { program: name.to_owned() })
    }

    /// A program's name as everybody may see it: without the directories of whoever configured it.
    pub fn shown(name: &str) -> &str {
        Path::new(name).file_name().and_then(OsStr::to_str).unwrap_or(name)
    }

    /// The absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn is_executable_file(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    #[test]
    fn a_name_is_looked_up_in_the_path_it_is_given() {
        let root = tempfile::tempdir().unwrap();
        for (file, mode) in [("first/plain", 0o644), ("second/plain", 0o755), ("second/tool", 0o755)] {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::create_dir_all(root.path().join("first/tool")).unwrap();
        let at = |file: &str| root.path().join(file).to_str().unwrap().to_owned();

        let mut environment = Environment::base();
        environment.set("PATH", format!("relative::{}:{}", at("first"), at("second"))).unwrap();
        for (name, found) in [
            ("plain", Some(at("second/plain"))),
            ("tool", Some(at("second/tool"))),
            ("sh", None),
            ("", None),
            ("..", None),
            (&at("second/tool"), Some(at("second/tool"))),
            (&at("first/plain"), None),
            (&at("first"), None),
        ] {
            let program = Program::find(name, &environment).ok();
            assert_eq!(program.map(|program| program.path), found.map(PathBuf::from), "{name:?}");
        }
    }

    #[test]
    fn a_name_is_shown_without_directories() {
        for (name, shown) in [("claude", "claude"), ("/opt/x/claude", "claude"), ("./tool", "tool"), ("", "")]
        {
            assert_eq!(Program::shown(name), shown, "{name}");
        }
    }

    #[test]
    fn a_missing_program_says_what_to_do() {
        let missing = Program::find("no-such-program", &Environment::base()).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "program `no-such-program` not found: install it, add its directory to PATH, or name it by absolute path",
        );
    }

    #[test]
    fn a_relative_path_becomes_absolute() {
        // Cargo runs tests in the crate's directory.
        let here =
            tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o755)).tempfile_in(".").unwrap();
        let name = format!("./{}", here.path().file_name().unwrap().to_str().unwrap());
        let program = Program::find(&name, &Environment::base()).unwrap();
        assert_eq!(program.path, path::absolute(here.path()).unwrap());
    }
}
