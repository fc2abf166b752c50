//! The tokens file: hashes, scopes and labels, for its owner alone. It is always whole: changed under a lock, and moved
//! into its place.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use musher_core::{Wall, stands};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::table::{TokenTable, Wrong};

/// Its name, beside the admin's token.
const NAME: &str = "tokens.json";
/// Some thousand tokens. A server compares them all at each request, and reads the file every second.
const MAX_BYTES: u64 = 1 << 20;

/// Where the tokens are that were made with `musher token`.
#[derive(Clone, Debug)]
pub(crate) struct TokensFile(PathBuf);

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("read the tokens file {0}")]
    Read(String, #[source] io::Error),
    #[error("write the tokens file {0}")]
    Write(String, #[source] io::Error),
    #[error("the tokens file {0} can be read or written by others than its owner; close it: chmod 600 {0}")]
    Exposed(String),
    #[error("the tokens file {0} has more than {MAX_BYTES} bytes; revoke what nobody uses")]
    TooLarge(String),
    #[error("the tokens file {0} makes no sense; restore it, or remove it and make its tokens anew")]
    Syntax(String, #[source] serde_json::Error),
    #[error("the tokens file {0}: token `{1}`")]
    Token(String, String, #[source] Wrong),
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    tokens: Vec<TokenTable>,
}

impl TokensFile {
    /// The one beside a file with an admin's token.
    pub(crate) fn beside(admin: &Path) -> Self {
        Self(admin.with_file_name(NAME))
    }

    /// The tokens in it; none when it is not there.
    pub(crate) fn read(&self) -> Result<Vec<TokenTable>, FileError> {
        let name = || self.0.display().to_string();
        let read = || {
            let opened = File::open(&self.0)?;
            let mode = opened.metadata()?.mode();
            let mut text = Vec::new();
            opened.take(MAX_BYTES + 1).read_to_end(&mut text)?;
            Ok((mode, text))
        };
        let (mode, text) = match read() {
            Ok(read) => read,
            Err(error) if io::Error::kind(&error) == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(FileError::Read(name(), error)),
        };
        if mode & 0o077 != 0 && stands(Wall::FileMode) {
            return Err(FileError::Exposed(name()));
        }
        if text.len() as u64 > MAX_BYTES {
            return Err(FileError::TooLarge(name()));
        }
        let Content { tokens } =
            serde_json::from_slice(&text).map_err(|error| FileError::Syntax(name(), error))?;
        for token in &tokens {
            token.check().map_err(|wrong| FileError::Token(name(), token.name.clone(), wrong))?;
        }
        Ok(tokens)
    }

    /// Changes the tokens in it, one change at a time, whoever makes it.
    pub(crate) fn change<T, E: From<FileError>>(
        &self,
        change: impl FnOnce(&mut Vec<TokenTable>) -> Result<T, E>,
    ) -> Result<T, E> {
        let failed = |error| FileError::Write(self.0.display().to_string(), error);
        let directory = self.lock().map_err(failed)?;
        let mut tokens = self.read()?;
        let changed = change(&mut tokens)?;
        self.write(&Content { tokens }, &directory).map_err(failed)?;
        Ok(changed)
    }

    /// Its directory, which is locked until it is dropped.
    fn lock(&self) -> io::Result<File> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(self.directory())?;
        let directory = File::open(self.directory())?;
        flock(&directory, FlockOperation::LockExclusive)?;
        Ok(directory)
    }

    fn write(&self, content: &Content, directory: &File) -> io::Result<()> {
        // With mode 0600.
        let mut hidden = NamedTempFile::new_in(self.directory())?;
        serde_json::to_writer_pretty(&mut hidden, content)?;
        writeln!(hidden)?;
        hidden.as_file().sync_all()?;
        hidden.persist(&self.0)?;
        directory.sync_all()
    }

    fn directory(&self) -> &Path {
        match self.0.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _, thread};

    use musher_http::TokenScope;

    use super::*;
    use crate::tokens::table::Sha256Hex;

    fn token(n: u8) -> TokenTable {
        TokenTable {
            name: format!("token-{n}"),
            sha256: Sha256Hex::of([n; 32]),
            scopes: vec![TokenScope::Drive],
            labels: BTreeMap::new(),
        }
    }

    #[test]
    fn changes_that_race_all_come_about_and_leave_nothing_beside_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = TokensFile::beside(&directory.path().join("deep/token"));
        assert_eq!(file.read().unwrap(), []);
        thread::scope(|scope| {
            for n in 0..8 {
                let file = &file;
                scope.spawn(move || {
                    file.change(|tokens| {
                        tokens.push(token(n));
                        Ok::<_, FileError>(())
                    })
                    .unwrap();
                });
            }
        });
        let mut names: Vec<_> = file.read().unwrap().into_iter().map(|token| token.name).collect();
        names.sort();
        assert_eq!(names, (0..8).map(|n| format!("token-{n}")).collect::<Vec<_>>());
        let entries: Vec<_> = fs::read_dir(directory.path().join("deep")).unwrap().flatten().collect();
        assert_eq!((entries.len(), entries[0].metadata().unwrap().permissions().mode() & 0o777), (1, 0o600));
    }

    #[test]
    fn what_makes_no_sense_or_is_open_to_others_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = TokensFile::beside(&directory.path().join("token"));
        let hash = "ab".repeat(32);
        let good = format!(r#"{{"tokens":[{{"name":"a","sha256":"{hash}","scopes":["observe"]}}]}}"#);
        let cases = [
            (good.clone(), 0o600, "a"),
            (good.clone(), 0o644, "Exposed"),
            (good.clone(), 0o620, "Exposed"),
            (good[..good.len() - 1].to_owned(), 0o600, "Syntax"),
            (good.replace("observe", "root"), 0o600, "Syntax"),
            (good.replace("scopes", "scope"), 0o600, "Syntax"),
            (good.replace(r#"["observe"]"#, "[]"), 0o600, "Token"),
            (String::new(), 0o600, "Syntax"),
            (" ".repeat(2 << 20), 0o600, "TooLarge"),
        ];
        for (text, mode, expected) in cases {
            fs::write(&file.0, &text).unwrap();
            fs::set_permissions(&file.0, fs::Permissions::from_mode(mode)).unwrap();
            let read = match file.read() {
                Ok(tokens) => tokens.into_iter().map(|token| token.name).collect(),
                Err(error) => format!("{error:?}"),
            };
            assert!(read.starts_with(expected), "{read} is not {expected}");
        }
    }
}
