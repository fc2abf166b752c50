//! Secrets that are known, and how they are kept out of what is written down.

mod look;

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

pub use self::look::{Found, Known, Look, Unsaid};

/// Parts of a variable's name that say that its value is a secret.
const WORDS: [&str; 9] =
    ["KEY", "TOKEN", "SECRET", "PASSW", "PASSPHRASE", "CREDENTIAL", "AUTH", "COOKIE", "HEADERS"];

/// Ends of names that say the same: a personal access token, a password.
const ENDINGS: [&str; 2] = ["_PAT", "_PWD"];

/// What is shorter protects nothing, and would be found in the middle of other words.
const SHORTEST: usize = 8;

/// What stands in the place of a secret of a [`Vault`] begins like this, and goes on with its name and `]`.
pub const MARK: &str = "[redacted:";

/// Values that must not be written down, each with the name that stands in its place.
#[derive(Clone, Default)]
pub struct Secrets {
    /// The longest first, so that a secret which holds another one at its beginning gives both its name.
    patterns: Vec<Pattern>,
}

/// Secrets that become known while a program runs, for all who have to keep them.
#[derive(Debug, Default)]
pub struct Vault {
    /// Replaced as a whole: nobody holds it for longer than a copy of the pointer takes.
    secrets: RwLock<Arc<Secrets>>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Pattern {
    value: Vec<u8>,
    /// What stands in its place.
    name: String,
    /// So many bytes at the beginning and at the end are no secret, and only say where it stands.
    around: (usize, usize),
}

impl Secrets {
    /// Those of these variables whose names say so, and of all others the user and the password of a URL. The name in
    /// brackets stands in the place of each.
    pub fn of<'a>(variables: impl Iterator<Item = (&'a str, &'a OsStr)>) -> Self {
        let mut patterns = BTreeSet::new();
        for (name, value) in variables {
            patterns.extend(of_variable(name, value, &format!("[{name}]")));
        }
        Self::with(patterns)
    }

    fn with(patterns: BTreeSet<Pattern>) -> Self {
        let mut patterns: Vec<_> = patterns.into_iter().collect();
        patterns.sort_by_key(|pattern| std::cmp::Reverse(pattern.value.len()));
        Self { patterns }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }
}

impl Vault {
    /// From now on a value is a secret, where it is long enough to be one, and `[redacted:NAME]` stands in its place. The
    /// name has no spaces, and no bracket.
    pub fn hide(&self, name: &str, value: &[u8]) {
        self.add(forms(value, &mark(name)).into_iter());
    }

    /// From now on a variable's value is a secret if its name says so; of any other one the user and the password of a URL.
    pub fn hide_variable(&self, name: &str, value: &OsStr) {
        self.add(of_variable(name, value, &mark(name)).into_iter());
    }

    /// What is known now.
    pub fn secrets(&self) -> Arc<Secrets> {
        Arc::clone(&self.secrets.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, patterns: impl Iterator<Item = Pattern>) {
        let known = self.secrets();
        let mut patterns = patterns.filter(|pattern| !known.patterns.contains(pattern)).peekable();
        if patterns.peek().is_none() {
            return;
        }
        let mut secrets = self.secrets.write().unwrap_or_else(PoisonError::into_inner);
        let all = secrets.patterns.iter().cloned().chain(patterns).collect();
        *secrets = Arc::new(Secrets::with(all));
    }
}

/// What of a variable is a secret, and what stands in its place.
fn of_variable(name: &str, value: &OsStr, stands: &str) -> BTreeSet<Pattern> {
    let value = value.as_encoded_bytes();
    let mut patterns = BTreeSet::new();
    if is_secret(name) {
        patterns.extend(forms(value, stands));
    }
    for userinfo in userinfos(value) {
        let password = userinfo.splitn(2, |byte| *byte == b':').nth(1).unwrap_or_default();
        patterns.extend([userinfo, password].into_iter().flat_map(|value| forms(value, stands)));
        // Between these marks it is no other word, however short it is.
        let whole = [SCHEME_END, userinfo, USERINFO_END].concat();
        let around = (SCHEME_END.len(), USERINFO_END.len());
        patterns.insert(Pattern { value: whole, name: stands.to_owned(), around });
    }
    patterns
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.patterns.iter().map(|pattern| &pattern.name)).finish()
    }
}

/// What a URL's scheme ends with.
const SCHEME_END: &[u8] = b"://";

/// What stands behind a URL's user.
const USERINFO_END: &[u8] = b"@";

fn is_secret(name: &str) -> bool {
    // Who wrote something is no secret.
    let name = name.to_ascii_uppercase().replace("AUTHOR", "");
    WORDS.iter().any(|word| name.contains(word)) || ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// What stands in the place of a secret of this name.
fn mark(name: &str) -> String {
    format!("{MARK}{name}]")
}

/// The forms in which a value may show, as far as they are worth hiding.
fn forms(value: &[u8], name: &str) -> Vec<Pattern> {
    let text = String::from_utf8_lossy(value);
    // A line may show one line of it, it may stand within a text of JSON, and what is no text may have been made one.
    let lines = value.split(|byte| *byte == b'\n').chain([value]).filter(|form| form.len() >= SHORTEST);
    let texts = lines.clone().map(|line| String::from_utf8_lossy(line).into_owned().into_bytes());
    let quoted = (value.len() >= SHORTEST).then(|| within_json(&text));
    let found = lines.map(<[u8]>::to_vec).chain(texts).chain(quoted);
    found.map(|value| Pattern { value, name: name.to_owned(), around: (0, 0) }).collect()
}

/// The users, with their passwords, of the URLs in a value.
fn userinfos(value: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut rest = value;
    while let Some(at) = rest.windows(SCHEME_END.len()).position(|here| here == SCHEME_END) {
        rest = &rest[at + SCHEME_END.len()..];
        let is_end = |byte: &u8| matches!(byte, b'/' | b'?' | b'#') || byte.is_ascii_whitespace();
        let authority = &rest[..rest.iter().position(is_end).unwrap_or(rest.len())];
        if let Some(end) = authority.iter().rposition(|byte| *byte == b'@').filter(|end| *end > 0) {
            found.push(&authority[..end]);
        }
    }
    found
}

/// What of a header's value is the credential: `Bearer x` is as good as `x`.
#[must_use]
pub fn credential(header: &str) -> &str {
    header.rsplit(' ').next().unwrap_or(header)
}

/// What of a URL's query may be a key: its values.
pub fn query_values(url: &str) -> impl Iterator<Item = &str> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    query.split('&').filter_map(|pair| pair.split_once('=').map(|(_, value)| value))
}

/// A text as it stands between the quotes of a JSON text.
fn within_json(text: &str) -> Vec<u8> {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.as_bytes()[1..quoted.len() - 1].to_vec()
}

#[cfg(test)]
mod tests;
