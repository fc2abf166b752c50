//! What git says about files, and how it writes their names.

use std::{collections::BTreeMap, ffi::OsString, os::unix::ffi::OsStringExt as _, path::PathBuf};

use musher_protocol::{ChangedFile, FileChange};

/// What a commit has under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    /// The object's name.
    pub(super) object: String,
    pub(super) path: PathBuf,
}

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File { is_executable: bool },
    Link,
    Repository,
}

impl Kind {
    pub(super) fn mode(self) -> &'static str {
        match self {
            Self::File { is_executable: false } => "100644",
            Self::File { is_executable: true } => "100755",
            Self::Link => "120000",
            Self::Repository => "160000",
        }
    }

    fn of(mode: &str) -> Option<Self> {
        let kinds = [
            Self::File { is_executable: false },
            Self::File { is_executable: true },
            Self::Link,
            Self::Repository,
        ];
        kinds.into_iter().find(|kind| kind.mode() == mode)
    }
}

/// Reads an index, as `ls-files --stage -z` lists it; none where it says something else.
pub(super) fn entries(listed: &[u8]) -> Option<Vec<Entry>> {
    items(listed).map(entry).collect()
}

fn entry(item: &[u8]) -> Option<Entry> {
    let tab = item.iter().position(|byte| *byte == b'\t')?;
    let mut words = str::from_utf8(&item[..tab]).ok()?.split(' ');
    let (mode, object) = (words.next()?, words.next()?);
    Some(Entry { kind: Kind::of(mode)?, object: object.to_owned(), path: path(&item[tab + 1..]) })
}

/// Reads a list of names, each with a NUL behind it; what has none was cut.
pub(super) fn paths(listed: &[u8]) -> Vec<PathBuf> {
    let end = listed.iter().rposition(|byte| *byte == 0).map_or(0, |last| last + 1);
    items(&listed[..end]).map(path).collect()
}

/// Reads what `diff-index --raw --numstat -z` says, by name; none where it says something else.
pub(super) fn changes(said: &[u8]) -> Option<BTreeMap<PathBuf, ChangedFile>> {
    let mut items = items(said);
    let mut files = BTreeMap::new();
    while let Some(item) = items.next() {
        let item_text = str::from_utf8(&item[..item.len().min(1)]).ok()?;
        if item_text == ":" {
            let status = str::from_utf8(item).ok()?.rsplit(' ').next()?.chars().next()?;
            let first = items.next()?;
            let (previous, last) = if status == 'R' { (Some(first), items.next()?) } else { (None, first) };
            let change = match status {
                'A' => FileChange::Added,
                'D' => FileChange::Deleted,
                'R' => FileChange::Renamed,
                'M' | 'T' => FileChange::Modified,
                _ => return None,
            };
            let file = ChangedFile {
                path: shown(last),
                previous_path: previous.map(shown),
                change,
                additions: None,
                deletions: None,
            };
            files.insert(path(last), file);
        } else {
            let mut fields = item.splitn(3, |byte| *byte == b'\t');
            let (additions, deletions) = (count(fields.next()?)?, count(fields.next()?)?);
            let name = match fields.next()? {
                // Renamed: both names follow.
                b"" => items.next().and_then(|_previous| items.next())?,
                name => name,
            };
            let file = files.get_mut(&path(name))?;
            (file.additions, file.deletions) = (additions, deletions);
        }
    }
    Some(files)
}

/// A number of lines; what is no text has `-`.
fn count(text: &[u8]) -> Option<Option<u64>> {
    if text == b"-" {
        return Some(None);
    }
    str::from_utf8(text).ok()?.parse().ok().map(Some)
}

/// A patch up to its last whole file.
pub(super) fn whole_files(patch: &[u8]) -> &[u8] {
    // What is in a file begins with a sign of its own.
    const NEXT: &[u8] = b"\ndiff --git ";
    let last = patch.windows(NEXT.len()).rposition(|window| window == NEXT);
    &patch[..last.map_or(0, |place| place + 1)]
}

/// How many files a patch only names.
pub(super) fn only_named(patch: &[u8]) -> usize {
    patch.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"Binary files ")).count()
}

/// A name as git shows it: in quotes and with escapes where it has something that would not be read as it is.
pub(super) fn shown(name: &[u8]) -> String {
    let plain = |text: &str| !text.contains(|c: char| c.is_ascii_control() || matches!(c, '"' | '\\'));
    match str::from_utf8(name) {
        Ok(text) if plain(text) => return text.to_owned(),
        Ok(_) | Err(_) => {}
    }
    let is_text = str::from_utf8(name).is_ok();
    let mut quoted = vec![b'"'];
    for byte in name {
        match byte {
            0x07 => quoted.extend(b"\\a"),
            0x08 => quoted.extend(b"\\b"),
            b'\t' => quoted.extend(b"\\t"),
            b'\n' => quoted.extend(b"\\n"),
            0x0b => quoted.extend(b"\\v"),
            0x0c => quoted.extend(b"\\f"),
            b'\r' => quoted.extend(b"\\r"),
            b'"' | b'\\' => quoted.extend([b'\\', *byte]),
            0x20..=0x7e => quoted.push(*byte),
            0x80.. if is_text => quoted.push(*byte),
            _ => quoted.extend(format!("\\{byte:03o}").bytes()),
        }
    }
    quoted.push(b'"');
    String::from_utf8(quoted).expect("what is no text is escaped")
}

fn items(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let list = list.strip_suffix(b"\0").unwrap_or(list);
    list.split(|byte| *byte == 0).filter(|item| !item.is_empty())
}

fn path(name: &[u8]) -> PathBuf {
    OsString::from_vec(name.to_vec()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_as_git_shows_them() {
        for (name, expected) in [
            (&b"src/lib.rs"[..], "src/lib.rs"),
            ("schön".as_bytes(), "schön"),
            (b"a b", "a b"),
            (b"a\nb", r#""a\nb""#),
            (b"\x07\x08\t\x0b\x0c\r\x1b\x7f", r#""\a\b\t\v\f\r\033\177""#),
            (br#"say "hi"\"#, r#""say \"hi\"\\""#),
            ("ö\n".as_bytes(), r#""ö\n""#),
            (b"\xff\xc3\xb6", r#""\377\303\266""#),
            (b"inner/", "inner/"),
        ] {
            assert_eq!(shown(name), expected);
        }
    }

    #[test]
    fn an_index_is_read() {
        let listed = b"100644 aa 0\tREADME\x00120000 bb 0\ta\tb\x00160000 cc 0\tinner\0";
        let entry =
            |kind, object: &str, path: &str| Entry { kind, object: object.to_owned(), path: path.into() };
        let expected = vec![
            entry(Kind::File { is_executable: false }, "aa", "README"),
            entry(Kind::Link, "bb", "a\tb"),
            entry(Kind::Repository, "cc", "inner"),
        ];
        assert_eq!(entries(listed), Some(expected));
        assert_eq!(entries(b""), Some(Vec::new()));
        for other in [&b"README\0"[..], b"100666 aa 0\tREADME\0", b"100644\tREADME\0"] {
            assert_eq!(entries(other), None);
        }
    }

    #[test]
    fn a_list_that_was_cut_has_no_half_name() {
        let texts = |listed: &[u8]| {
            paths(listed).into_iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(texts(b"a\0b/\0"), ["a", "b/"]);
        assert_eq!(texts(b"a\0b"), ["a"]);
        assert_eq!(texts(b"ab"), Vec::<String>::new());
    }

    #[test]
    fn changes_are_read_with_their_counts() {
        let said =
            b":100644 100644 a b M\0README\0:100644 100644 a b R090\0old\0new\0:000000 100644 0 b A\0:x\0\
            :100644 120000 a b T\0link\x001\t2\tREADME\x003\t0\t\0old\0new\0-\t-\t:x\x000\t0\tlink\0";
        let file = |path: &str, previous: Option<&str>, change, additions, deletions| {
            let previous_path = previous.map(str::to_owned);
            let file = ChangedFile { path: path.to_owned(), previous_path, change, additions, deletions };
            (PathBuf::from(path), file)
        };
        let expected = BTreeMap::from([
            file("README", None, FileChange::Modified, Some(1), Some(2)),
            file("new", Some("old"), FileChange::Renamed, Some(3), Some(0)),
            file(":x", None, FileChange::Added, None, None),
            file("link", None, FileChange::Modified, Some(0), Some(0)),
        ]);
        assert_eq!(changes(said), Some(expected));
        assert_eq!(changes(b""), Some(BTreeMap::new()));
        for other in
            [&b":100644 100644 a b X\0README\0"[..], b":100644 100644 a b M\0", b"1\t2\tREADME\0", b"x\0"]
        {
            assert_eq!(changes(other), None);
        }
    }

    #[test]
    fn a_patch_is_cut_between_files() {
        let patch =
            b"diff --git a/a b/a\n+diff --git \ndiff --git a/b b/b\nBinary files a/b and b/b differ\n";
        assert_eq!(whole_files(patch), b"diff --git a/a b/a\n+diff --git \n");
        assert_eq!(whole_files(b"diff --git a/a b/a\n+one"), b"");
        assert_eq!(only_named(patch), 1);
        assert_eq!(only_named(b"diff --git a/a b/a\n+Binary files \n"), 0);
    }
}
