//! The token that a client shows.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use reqwest::header::HeaderValue;

/// Tokens are lines of some dozen characters; a file that is longer holds something else.
const MAX_TOKEN_BYTES: u64 = 8 << 10;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The file cannot be read.
    #[error("read the token file `{path}`")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The text is empty or has characters that no token has.
    #[error("a token is one line of visible ASCII characters")]
    Text,
}

/// What is sent as `Authorization`. Its `Debug` shows nothing of it.
pub(crate) fn authorization(token: &str) -> Result<HeaderValue, TokenError> {
    let token = token.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(TokenError::Text);
    }
    let mut value =
        HeaderValue::from_str(&format!("Bearer {token}")).expect("visible ASCII is a header's value");
    value.set_sensitive(true);
    Ok(value)
}

pub(crate) fn read(path: &Path) -> Result<String, TokenError> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_TOKEN_BYTES).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(text),
        Err(source) => Err(TokenError::File { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_visible_word_and_is_not_shown() {
        let value = authorization("  s3cret\n").unwrap();
        assert_eq!((value.to_str().unwrap(), format!("{value:?}").as_str()), ("Bearer s3cret", "Sensitive"));
        for text in ["", " \n", "two words", "line\nline", "é"] {
            assert!(matches!(authorization(text), Err(TokenError::Text)), "{text:?}");
        }
    }
}
