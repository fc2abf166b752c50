//! A token as it is written in the config and in the tokens file.

use std::collections::BTreeMap;

use musher_http::{Token, TokenScope};
use serde::{Deserialize, Serialize};

/// Names and labels are for people, and stand in logs: as long as the runtime takes them.
const MAX_BYTES: usize = 200;

/// A token besides the admin's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenTable {
    pub(crate) name: String,
    /// Lower hex SHA-256 of the token's text.
    pub(crate) sha256: Sha256Hex,
    pub(crate) scopes: Vec<TokenScope>,
    /// Of the workers that it is for; of all of them without any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
}

/// The SHA-256 of a token's text, written as 64 lower hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Sha256Hex([u8; 32]);

/// What is wrong with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Wrong {
    #[error("a token's name is 1 to {MAX_BYTES} bytes on one line")]
    Name,
    #[error("a token without a scope could do nothing; there are `observe`, `drive`, `approve` and `admin`")]
    NoScope,
    #[error("a label is a key and a value, each at most {MAX_BYTES} bytes on one line, the key not empty")]
    Label,
}

impl TokenTable {
    /// Checks what its types do not say.
    pub(crate) fn check(&self) -> Result<(), Wrong> {
        if self.name.trim().is_empty() || !is_line(&self.name) {
            return Err(Wrong::Name);
        }
        if self.scopes.is_empty() {
            return Err(Wrong::NoScope);
        }
        let is_label =
            |(key, value): (&String, &String)| !key.trim().is_empty() && is_line(key) && is_line(value);
        if self.labels.iter().all(is_label) { Ok(()) } else { Err(Wrong::Label) }
    }
}

fn is_line(text: &str) -> bool {
    text.len() <= MAX_BYTES && !text.chars().any(char::is_control)
}

impl From<TokenTable> for Token {
    fn from(table: TokenTable) -> Self {
        let TokenTable { name, sha256: Sha256Hex(sha256), scopes, labels } = table;
        Self { name, sha256, scopes, labels }
    }
}

impl Sha256Hex {
    pub(crate) fn of(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl From<Sha256Hex> for String {
    fn from(Sha256Hex(bytes): Sha256Hex) -> Self {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl TryFrom<String> for Sha256Hex {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const EXPECTED: &str = "64 lower hex digits are expected";
        if text.len() != 64 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(EXPECTED);
        }
        let mut bytes = [0; 32];
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).map_err(|_not_hex| EXPECTED)?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_could_use_or_read_is_refused() {
        let good = TokenTable {
            name: "ci".to_owned(),
            sha256: Sha256Hex([7; 32]),
            scopes: vec![TokenScope::Observe],
            labels: BTreeMap::new(),
        };
        let named = |name: &str| TokenTable { name: name.to_owned(), ..good.clone() };
        let labeled = |key: &str, value: &str| TokenTable {
            labels: BTreeMap::from([(key.to_owned(), value.to_owned())]),
            ..good.clone()
        };
        let cases = [
            (good.clone(), Ok(())),
            (labeled("team", "a"), Ok(())),
            (labeled("team", ""), Ok(())),
            (named(" "), Err(Wrong::Name)),
            (named("a\nb"), Err(Wrong::Name)),
            (named(&"x".repeat(201)), Err(Wrong::Name)),
            (TokenTable { scopes: Vec::new(), ..good.clone() }, Err(Wrong::NoScope)),
            (labeled("", "a"), Err(Wrong::Label)),
            (labeled("team", "\u{1b}[2J"), Err(Wrong::Label)),
        ];
        for (table, expected) in cases {
            assert_eq!(table.check(), expected, "{table:?}");
        }
    }

    #[test]
    fn a_hash_is_written_as_it_is_read() {
        let text = "0123456789abcdef".repeat(4);
        assert_eq!(String::from(Sha256Hex::try_from(text.clone()).unwrap()), text);
    }
}
