//! What a repository calls the content of a file.

use std::io::{self, Read};

/// Long enough to be quick, short enough to look up between two of them.
const CHUNK: usize = 64 << 10;

/// The hash that a repository names its objects by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    Sha1,
    Sha256,
}

impl Naming {
    /// That of a repository in which something has this name.
    pub(super) fn of(name: &str) -> Self {
        // Forty digits, or more.
        if name.len() == 40 { Self::Sha1 } else { Self::Sha256 }
    }

    /// The name of nothing.
    pub(super) fn nothing(self) -> String {
        match self {
            Self::Sha1 => "0".repeat(40),
            Self::Sha256 => "0".repeat(64),
        }
    }

    /// The name of a file with this content.
    pub(super) fn name(self, content: &[u8]) -> String {
        let mut hasher = Hasher::new(self, content.len() as u64);
        hasher.update(content);
        hasher.finish()
    }

    /// The name of a file with these many bytes of a content; it is as long as that, or has another name.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or `go_on` says so.
    pub(super) fn name_of(
        self,
        mut content: impl Read,
        length: u64,
        mut go_on: impl FnMut() -> io::Result<()>,
    ) -> io::Result<String> {
        let mut hasher = Hasher::new(self, length);
        let mut chunk = vec![0; CHUNK];
        loop {
            go_on()?;
            match content.read(&mut chunk)? {
                0 => return Ok(hasher.finish()),
                n => hasher.update(&chunk[..n]),
            }
        }
    }
}

enum Hasher {
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
}

impl Hasher {
    fn new(naming: Naming, length: u64) -> Self {
        let mut hasher = match naming {
            Naming::Sha1 => Self::Sha1(sha1::Digest::new()),
            Naming::Sha256 => Self::Sha256(sha2::Digest::new()),
        };
        hasher.update(format!("blob {length}\0").as_bytes());
        hasher
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(hasher) => sha1::Digest::update(hasher, bytes),
            Self::Sha256(hasher) => sha2::Digest::update(hasher, bytes),
        }
    }

    fn finish(self) -> String {
        match self {
            Self::Sha1(hasher) => hex(&sha1::Digest::finalize(hasher)),
            Self::Sha256(hasher) => hex(&sha2::Digest::finalize(hasher)),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text takes everything");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_have_the_names_that_git_gives_them() {
        let long = "e".repeat(3 * CHUNK + 1);
        for (naming, content, expected) in [
            (Naming::Sha1, "", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
            (Naming::Sha1, "a shop\n", "3394cb73dbe8be172eacb2cf67ed23a483160a8c"),
            (Naming::Sha256, "", "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813"),
        ] {
            assert_eq!(naming.name(content.as_bytes()), expected, "{content}");
        }
        for naming in [Naming::Sha1, Naming::Sha256] {
            let read = naming.name_of(long.as_bytes(), long.len() as u64, || Ok(()));
            assert_eq!(read.unwrap(), naming.name(long.as_bytes()));
        }
    }
}
