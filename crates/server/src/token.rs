//! The admin token's file: read when it exists, written for its owner alone otherwise.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::Path,
};

use musher_core::{Wall, stands};
use secrecy::{ExposeSecret as _, SecretString};
use tempfile::NamedTempFile;
use uuid::Uuid;

/// Its name in the user's data directory.
pub(crate) const NAME: &str = "token";
/// Shorter ones could be guessed over the network.
const MIN_LENGTH: usize = 16;

/// Why there is no admin token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("read the token file {0}")]
    Read(String, #[source] io::Error),
    #[error("write the token file {0}")]
    Write(String, #[source] io::Error),
    #[error(
        "the token in {0} is too short: {MIN_LENGTH} visible ASCII characters at least; remove the file to have one made"
    )]
    Weak(String),
    #[error("the token file {0} can be read or written by others than its owner; close it: chmod 600 {0}")]
    Exposed(String),
}

/// Reads the token, or makes one and writes it with mode 0600.
pub(crate) fn read_or_create(file: &Path) -> Result<SecretString, TokenError> {
    match read(file) {
        Err(TokenError::Read(_, error)) if error.kind() == io::ErrorKind::NotFound => create(file),
        read => read,
    }
}

/// Reads the token.
pub(crate) fn read(file: &Path) -> Result<SecretString, TokenError> {
    let name = || file.display().to_string();
    let read = || {
        let mut opened = File::open(file)?;
        let mode = opened.metadata()?.mode();
        let mut text = String::new();
        opened.read_to_string(&mut text)?;
        Ok((mode, text))
    };
    let (mode, text) = read().map_err(|error| TokenError::Read(name(), error))?;
    if mode & 0o077 != 0 && stands(Wall::FileMode) {
        return Err(TokenError::Exposed(name()));
    }
    check(file, text.trim())
}

fn check(file: &Path, token: &str) -> Result<SecretString, TokenError> {
    if token.len() < MIN_LENGTH || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(TokenError::Weak(file.display().to_string()));
    }
    Ok(token.into())
}

/// The text of a new token.
pub(crate) fn fresh() -> SecretString {
    // Two random UUIDs: 244 bits from the system's generator.
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()).into()
}

/// Makes another token and writes it in the place of the one that is there, if any.
pub(crate) fn replace(file: &Path) -> Result<(), TokenError> {
    let failed = |error| TokenError::Write(file.display().to_string(), error);
    let replaced = write(file, &fresh()).and_then(|hidden| Ok(hidden.persist(file)?));
    replaced.map(drop).map_err(failed)
}

/// Writes a token to a file with mode 0600 beside the one that it is for.
fn write(file: &Path, token: &SecretString) -> io::Result<NamedTempFile> {
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let mut hidden = NamedTempFile::new_in(directory)?;
    writeln!(hidden, "{}", token.expose_secret())?;
    hidden.as_file().sync_all()?;
    Ok(hidden)
}

fn create(file: &Path) -> Result<SecretString, TokenError> {
    let token = fresh();
    let failed = |error| TokenError::Write(file.display().to_string(), error);
    // Moved into place whole, so that of two first starts one makes the token and the other one reads all of it.
    match write(file, &token).map_err(failed)?.persist_noclobber(file) {
        Ok(_file) => Ok(token),
        Err(lost) if lost.error.kind() == io::ErrorKind::AlreadyExists => read(file),
        Err(lost) => Err(failed(lost.error)),
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt as _, thread};

    use super::*;

    #[test]
    fn the_first_start_writes_a_token_that_the_next_one_reads() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("deep/token");
        let made = read_or_create(&file).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read_or_create(&file).unwrap().expose_secret(), made.expose_secret());
        assert_eq!(made.expose_secret().len(), 64);
    }

    #[test]
    fn a_token_that_is_replaced_is_another_one_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        let first = read_or_create(&file).unwrap();
        replace(&file).unwrap();
        let second = read(&file).unwrap();
        assert_ne!(first.expose_secret(), second.expose_secret());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn weak_and_unreadable_tokens_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        fs::write(&file, "short\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(read_or_create(&file), Err(TokenError::Weak(_))));
        assert!(matches!(read_or_create(directory.path()), Err(TokenError::Read(..))));
    }

    #[test]
    fn a_token_that_others_can_read_or_write_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        fs::write(&file, "a-token-of-good-length\n").unwrap();
        for (mode, is_good) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false)]
        {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let read = read_or_create(&file);
            assert_eq!(read.is_ok(), is_good, "{mode:o}");
            assert_eq!(matches!(read, Err(TokenError::Exposed(_))), !is_good, "{mode:o}");
        }
    }

    #[test]
    fn first_starts_that_race_agree_on_one_token() {
        for _ in 0..20 {
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join("deep/token");
            let tokens = thread::scope(|scope| {
                let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| create(&file).unwrap())).collect();
                starts.into_iter().map(|start| start.join().unwrap()).collect::<Vec<_>>()
            });
            let texts: Vec<_> = tokens.iter().map(|token| token.expose_secret()).collect();
            assert!(texts.iter().all(|text| text == &texts[0]), "{texts:?}");
            assert_eq!(fs::read_dir(directory.path().join("deep")).unwrap().count(), 1);
        }
    }
}
