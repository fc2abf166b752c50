//! Secrets that are known, and how they are kept out of what is written down.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fmt,
    ops::Range,
    sync::{Arc, PoisonError, RwLock},
};

/// Parts of a variable's name that say that its value is a secret.
const WORDS: [&str; 9] =
    ["KEY", "TOKEN", "SECRET", "PASSW", "PASSPHRASE", "CREDENTIAL", "AUTH", "COOKIE", "HEADERS"];

/// Ends of names that say the same: a personal access token, a password.
const ENDINGS: [&str; 2] = ["_PAT", "_PWD"];

/// What is shorter protects nothing, and would be found in the middle of other words.
const SHORTEST: usize = 8;

/// As much of a secret's beginning is worth hiding where a stream breaks off in the middle of one.
const BEGINNING: usize = 4;

/// What stands in the place of a secret of a [`Vault`] begins like this, and goes on with its name and `]`.
pub const MARK: &str = "[redacted:";

/// Values that must not be written down, each with the name that stands in its place.
#[derive(Clone, Default)]
pub struct Secrets {
    /// The longest first, so that a secret which holds another one goes as a whole.
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
    /// So many bytes at the beginning and at the end are shown, for they only say where it stands.
    shown: (usize, usize),
}

/// A secret in a text, with the whole of a letter that it begins or ends in the middle of.
#[derive(Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// Where it is.
    pub place: Range<usize>,
    /// What stands in its place.
    pub name: &'a str,
    /// The part of it that is not shown.
    pub hidden: Range<usize>,
    /// What stands in the place of that part.
    pub mark: &'a str,
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

    /// A line, with names in the place of secrets.
    pub fn redact(&self, line: &[u8]) -> Vec<u8> {
        let mut redacted = Vec::with_capacity(line.len());
        let mut rest = line;
        while let Some(Found { place, name, .. }) = self.find(rest) {
            redacted.extend_from_slice(&rest[..place.start]);
            redacted.extend_from_slice(name.as_bytes());
            rest = &rest[place.end..];
        }
        redacted.extend_from_slice(rest);
        redacted
    }

    /// The same of a text; nothing when there is none in it.
    pub fn redact_text(&self, text: &str) -> Option<String> {
        let found = !self.is_empty() && self.find(text.as_bytes()).is_some();
        found.then(|| String::from_utf8(self.redact(text.as_bytes())).expect(WHOLE_LETTERS))
    }

    /// The first secret in a text; of several at one place the longest.
    pub fn find(&self, text: &[u8]) -> Option<Found<'_>> {
        text.iter().enumerate().filter(|(_, byte)| self.begins(**byte)).find_map(|(at, _)| {
            let pattern = self.patterns.iter().find(|pattern| text[at..].starts_with(&pattern.value))?;
            let place = letter_begin(text, at)..letter_end(text, at + pattern.value.len());
            let (before, behind) = pattern.shown;
            let name = pattern.name.as_str();
            let mark = &name[before..name.len() - behind];
            Some(Found { hidden: place.start + before..place.end - behind, place, name, mark })
        })
    }

    /// Parts the beginning of a text: what can be said of it without secrets, and an end which may begin one. The end
    /// is shorter than the longest secret and a letter. Whatever comes behind it: what is certain, and what
    /// [`Secrets::redact_text`] makes of the end with what comes, are together what it makes of the whole.
    pub fn part(&self, text: &str) -> (String, String) {
        let (mut certain, mut rest) = (Vec::new(), text.as_bytes());
        loop {
            let open = self.open_end(rest);
            match self.find(rest) {
                Some(Found { place, name, .. }) if place.start < open => {
                    certain.extend_from_slice(&rest[..place.start]);
                    certain.extend_from_slice(name.as_bytes());
                    rest = &rest[place.end..];
                }
                // It may be the beginning of a longer one.
                Some(_) | None => {
                    certain.extend_from_slice(&rest[..open]);
                    rest = &rest[open..];
                    break;
                }
            }
        }
        let [certain, rest] =
            [certain, rest.to_vec()].map(|part| String::from_utf8(part).expect(WHOLE_LETTERS));
        (certain, rest)
    }

    /// Where in a text a secret may begin that goes on behind its end, or the letter that it would begin in; the text's
    /// length when none does.
    pub fn open_end(&self, text: &[u8]) -> usize {
        let longest = self.patterns.first().map_or(0, |pattern| pattern.value.len() - 1);
        let is_beginning = |at: &usize| {
            let end = &text[*at..];
            self.patterns
                .iter()
                .any(|pattern| pattern.value.len() > end.len() && pattern.value.starts_with(end))
        };
        let open = (text.len().saturating_sub(longest)..text.len()).find(is_beginning);
        open.map_or(text.len(), |at| letter_begin(text, at))
    }

    /// Whether a secret begins with this byte.
    fn begins(&self, byte: u8) -> bool {
        self.patterns.iter().any(|pattern| pattern.value[0] == byte)
    }

    /// The same of a line that breaks off, perhaps in the middle of a secret.
    pub fn redact_broken(&self, line: &[u8]) -> Vec<u8> {
        let mut redacted = self.redact(line);
        let beginning = |pattern: &Pattern| {
            let longest = (pattern.value.len() - 1).min(redacted.len());
            let length = (BEGINNING..=longest).rev().find(|n| redacted.ends_with(&pattern.value[..*n]))?;
            Some((length, pattern.name.clone()))
        };
        if let Some((length, name)) = self.patterns.iter().filter_map(beginning).max() {
            redacted.truncate(letter_begin(&redacted, redacted.len() - length));
            redacted.extend_from_slice(name.as_bytes());
        }
        redacted
    }

    /// The same of a text.
    pub fn redact_broken_text(&self, text: &str) -> String {
        String::from_utf8(self.redact_broken(text.as_bytes())).expect(WHOLE_LETTERS)
    }
}

/// Why what is left of a text is one.
const WHOLE_LETTERS: &str = "of a text whole letters are replaced, by a text";

/// Where the letter begins that this place is in the middle of.
fn letter_begin(text: &[u8], at: usize) -> usize {
    let is_within = |place: usize| text.get(place).copied().is_some_and(goes_on);
    (at.saturating_sub(LETTER - 1)..=at).rev().find(|place| !is_within(*place)).unwrap_or(at)
}

/// Where the letter ends that this place is in the middle of.
fn letter_end(text: &[u8], at: usize) -> usize {
    at + text[at..].iter().take(LETTER - 1).take_while(|byte| goes_on(**byte)).count()
}

/// The most bytes that a letter of UTF-8 has.
const LETTER: usize = 4;

/// Whether a byte is one of a letter but its first.
fn goes_on(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
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
        let shown = (SCHEME_END.len(), USERINFO_END.len());
        patterns.insert(Pattern { value: whole, name: format!("://{stands}@"), shown });
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
    found.map(|value| Pattern { value, name: name.to_owned(), shown: (0, 0) }).collect()
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

/// A text as it stands between the quotes of a JSON text.
fn within_json(text: &str) -> Vec<u8> {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.as_bytes()[1..quoted.len() - 1].to_vec()
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
    fn a_url_shows_neither_user_nor_password() {
        let url = ("DATABASE_URL", "postgres://me:p%40ss@db.example:5432/x?y=z");
        check(&[url], url.1, "postgres://[DATABASE_URL]@db.example:5432/x?y=z");
        check(&[url], "as me, p%40ss", "as me, p%40ss");
        let long = ("PROXY", "http://somebody:correct-horse@proxy:1 and https://a@b");
        check(
            &[long],
            "http://somebody:correct-horse@proxy:1 correct-horse",
            "http://[PROXY]@proxy:1 [PROXY]",
        );
        check(&[long], "somebody:correct-horse https://a@b/c", "[PROXY] https://[PROXY]@b/c");
        // What stands behind the authority is no user.
        check(&[("A_URL", "http://a/b@c")], "http://a/b@c", "http://a/b@c");
        check(&[("A_URL", "http://@c")], "http://@c", "http://@c");
    }

    #[test]
    fn names_of_tokens_and_passwords_end_like_that() {
        check(&[("GITHUB_PAT", "0123456789")], "0123456789", "[GITHUB_PAT]");
        check(&[("MYSQL_PWD", "0123456789")], "0123456789", "[MYSQL_PWD]");
        check(&[("GIT_AUTHOR_NAME", "Some Body")], "Some Body", "Some Body");
        check(&[("PATH", "/usr/bin:/bin"), ("PWD", "/home/somebody")], "/usr/bin:/bin", "/usr/bin:/bin");
    }

    #[test]
    fn an_end_is_open_where_a_secret_may_begin() {
        let secrets = secrets(&[("A_KEY", "sk-ant-12345"), ("B_KEY", "sk-ant-12345-long")]);
        for (text, expected) in [
            ("", 0),
            ("x", 1),
            ("x s", 2),
            ("x sk-sk-an", 5),
            ("sk-ant-1234x", 12),
            // It is one, and may become the other.
            ("sk-ant-12345", 0),
            ("sk-ant-12345-long", 17),
        ] {
            assert_eq!(secrets.open_end(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_secret_is_found_within_json_and_in_pieces_of_several_lines() {
        let quoted = ("A_SECRET", "se\"cr\\et-12");
        check(&[quoted], r#"{"x":"se\"cr\\et-12"}"#, r#"{"x":"[A_SECRET]"}"#);
        // What stands at its ends is a part of it.
        check(&[("A_SECRET", "\"quoted\"")], r#"{"x":"\"quoted\""}"#, r#"{"x":"[A_SECRET]"}"#);
        check(&[("A_SECRET", "ends so\\\"")], r#"{"x":"ends so\\\""}"#, r#"{"x":"[A_SECRET]"}"#);
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
    fn a_letter_is_hidden_as_a_whole() {
        let vault = Vault::default();
        // It begins with the end of a letter, and ends with the beginning of one.
        vault.hide("A_KEY", b"\xa9bcdefgh\xf0\x9f");
        let secrets = vault.secrets();
        let said = "xéébcdefgh🐕 y";
        assert_eq!(secrets.redact_text(said).unwrap(), "xé[redacted:A_KEY] y");
        // Where it was made a text.
        let made = String::from_utf8_lossy(b"x \xa9bcdefgh\xf0\x9f").into_owned();
        assert_eq!(secrets.redact_text(&made).unwrap(), "x [redacted:A_KEY]");
        for (text, expected) in
            [("xé", ("x", "é")), ("xéb", ("x", "éb")), (said, ("xé[redacted:A_KEY] y", ""))]
        {
            let (certain, end) = secrets.part(text);
            assert_eq!((certain.as_str(), end.as_str()), expected, "{text}");
        }
        assert_eq!(secrets.redact_broken_text("xébcd"), "x[redacted:A_KEY]");
    }

    #[test]
    fn what_a_mark_stands_for_is_told_apart_from_what_stands_around_it() {
        let vault = Vault::default();
        vault.hide_variable("A_URL", OsStr::new("http://me:pw@host"));
        let text = "at http://me:pw@host";
        let secrets = vault.secrets();
        let Found { place, name, hidden, mark } = secrets.find(text.as_bytes()).unwrap();
        assert_eq!((&text[place], name), ("://me:pw@", "://[redacted:A_URL]@"));
        assert_eq!((&text[hidden], mark), ("me:pw", "[redacted:A_URL]"));
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", secrets(&[("A_KEY", "sk-ant-12345")])), r#"{"[A_KEY]"}"#);
    }
}
