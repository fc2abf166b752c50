//! The admin token's file: read when it exists, written for its owner alone otherwise.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use secrecy::SecretString;
use uuid::Uuid;

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
}

/// Reads the token, or makes one and writes it with mode 0600.
pub(crate) fn read_or_create(file: &Path) -> Result<SecretString, TokenError> {
    match fs::read_to_string(file) {
        Ok(text) => check(file, text.trim()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(file),
        Err(error) => Err(TokenError::Read(file.display().to_string(), error)),
    }
}

fn check(file: &Path, token: &str) -> Result<SecretString, TokenError> {
    if token.len() < MIN_LENGTH || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(TokenError::Weak(file.display().to_string()));
    }
    Ok(token.into())
}

fn create(file: &Path) -> Result<SecretString, TokenError> {
    // Two random UUIDs: 244 bits from the system's generator.
    let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let write = || -> io::Result<()> {
        if let Some(directory) = file.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
        writeln!(opened, "{token}")?;
        opened.sync_all()
    };
    write().map_err(|error| TokenError::Write(file.display().to_string(), error))?;
    Ok(token.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use secrecy::ExposeSecret as _;

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
    fn weak_and_unreadable_tokens_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        fs::write(&file, "short\n").unwrap();
        assert!(matches!(read_or_create(&file), Err(TokenError::Weak(_))));
        assert!(matches!(read_or_create(directory.path()), Err(TokenError::Read(..))));
    }
}
