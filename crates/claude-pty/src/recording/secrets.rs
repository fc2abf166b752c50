//! The secrets of a session, and how they are kept out of what is recorded. Pure.

use std::{collections::BTreeSet, ffi::OsStr, fmt};

/// Parts of a variable's name that say that its value is a secret.
const WORDS: [&str; 9] =
    ["KEY", "TOKEN", "SECRET", "PASSW", "PASSPHRASE", "CREDENTIAL", "AUTH", "COOKIE", "HEADERS"];

/// What is shorter protects nothing, and would be found in the middle of other words.
const SHORTEST: usize = 8;

/// As much of a secret's beginning is worth hiding where a stream breaks off in the middle of one.
const BEGINNING: usize = 4;

/// Values that must not be recorded, each with the name that stands in its place.
pub(super) struct Secrets {
    /// The longest first, so that a secret which holds another one goes as a whole.
    patterns: Vec<Pattern>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Pattern {
    value: Vec<u8>,
    name: String,
}

impl Secrets {
    /// Those of these variables whose names say so.
    pub(super) fn of<'a>(variables: impl Iterator<Item = (&'a str, &'a OsStr)>) -> Self {
        let mut patterns = BTreeSet::new();
        for (name, value) in variables.filter(|(name, _)| is_secret(name)) {
            let value = value.as_encoded_bytes();
            // A line may show one line of it, or it may stand within a text of JSON.
            let lines = value.split(|byte| *byte == b'\n').map(<[u8]>::to_vec);
            let found = lines.chain([value.to_vec(), within_json(value)]);
            let pattern = |value| Pattern { value, name: format!("[{name}]") };
            patterns.extend(found.filter(|value| value.len() >= SHORTEST).map(pattern));
        }
        let mut patterns: Vec<_> = patterns.into_iter().collect();
        patterns.sort_by_key(|pattern| std::cmp::Reverse(pattern.value.len()));
        Self { patterns }
    }

    /// A line, with names in the place of secrets.
    pub(super) fn redact(&self, line: &[u8]) -> Vec<u8> {
        let mut redacted = Vec::with_capacity(line.len());
        let mut rest = line;
        while let Some(at) = rest.iter().position(|byte| self.begins(*byte)) {
            let (before, here) = rest.split_at(at);
            redacted.extend_from_slice(before);
            if let Some(pattern) = self.patterns.iter().find(|pattern| here.starts_with(&pattern.value)) {
                redacted.extend_from_slice(pattern.name.as_bytes());
                rest = &here[pattern.value.len()..];
            } else {
                redacted.push(here[0]);
                rest = &here[1..];
            }
        }
        redacted.extend_from_slice(rest);
        redacted
    }

    /// Whether a secret begins with this byte.
    fn begins(&self, byte: u8) -> bool {
        self.patterns.iter().any(|pattern| pattern.value[0] == byte)
    }

    /// The same of a line that breaks off, perhaps in the middle of a secret.
    pub(super) fn redact_broken(&self, line: &[u8]) -> Vec<u8> {
        let mut redacted = self.redact(line);
        let beginning = |pattern: &Pattern| {
            let longest = (pattern.value.len() - 1).min(redacted.len());
            let length = (BEGINNING..=longest).rev().find(|n| redacted.ends_with(&pattern.value[..*n]))?;
            Some((length, pattern.name.clone()))
        };
        if let Some((length, name)) = self.patterns.iter().filter_map(beginning).max() {
            redacted.truncate(redacted.len() - length);
            redacted.extend_from_slice(name.as_bytes());
        }
        redacted
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.patterns.iter().map(|pattern| &pattern.name)).finish()
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    WORDS.iter().any(|word| name.contains(word))
}

/// A value as it stands between the quotes of a JSON text; nothing for what is no text.
fn within_json(value: &[u8]) -> Vec<u8> {
    let text = str::from_utf8(value).unwrap_or_default();
    let quoted = serde_json::Value::from(text).to_string();
    quoted.trim_matches('"').as_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(variables: &[(&str, &str)]) -> Secrets {
        Secrets::of(variables.iter().map(|(name, value)| (*name, OsStr::new(value))))
    }

    fn check(variables: &[(&str, &str)], line: &str, expected: &str) {
        let redacted = secrets(variables).redact(line.as_bytes());
        assert_eq!(String::from_utf8(redacted).unwrap(), expected, "{variables:?}");
    }

    #[test]
    fn names_stand_in_the_place_of_secrets() {
        let key = ("ANTHROPIC_API_KEY", "sk-ant-12345");
        check(&[key], "a sk-ant-12345 b sk-ant-12345", "a [ANTHROPIC_API_KEY] b [ANTHROPIC_API_KEY]");
        check(&[key], "sk-ant-1234", "sk-ant-1234");
        check(&[("my_password", "sesame-open")], "sesame-open!", "[my_password]!");
        check(&[("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")], "http://127.0.0.1:1", "http://127.0.0.1:1");
        // Shorter than any secret.
        check(&[("A_KEY", "1")], "1, 2, 1", "1, 2, 1");
        check(&[key, ("A_TOKEN", "sk-ant-12345-long")], "sk-ant-12345-long", "[A_TOKEN]");
    }

    #[test]
    fn a_secret_is_found_within_json_and_in_pieces_of_several_lines() {
        let quoted = ("A_SECRET", "se\"cr\\et-12");
        check(&[quoted], r#"{"x":"se\"cr\\et-12"}"#, r#"{"x":"[A_SECRET]"}"#);
        let lines = ("A_KEY", "-----BEGIN\n0123456789\nabc");
        check(&[lines], "0123456789", "[A_KEY]");
        check(&[lines], r"x -----BEGIN\n0123456789\nabc y", "x [A_KEY] y");
    }

    #[test]
    fn the_beginning_of_a_secret_at_a_break_is_hidden() {
        let secrets = secrets(&[("A_KEY", "sk-ant-12345"), ("B_KEY", "ant-12zzzzz")]);
        for (line, expected) in
            [("x sk-ant-12", "x [A_KEY]"), ("x sk-", "x sk-"), ("x sk-ant-12345", "x [A_KEY]"), ("", "")]
        {
            assert_eq!(secrets.redact_broken(line.as_bytes()), expected.as_bytes(), "{line}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", secrets(&[("A_KEY", "sk-ant-12345")])), r#"{"[A_KEY]"}"#);
    }
}
