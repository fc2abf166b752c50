//! Where in the file something is.

use std::fmt;

use toml::de::{DeTable, DeValue};

/// The file's name and text; both are empty where there is no file.
#[derive(Debug, Default)]
pub(super) struct Source<'a> {
    pub(super) name: String,
    pub(super) text: &'a str,
}

/// A key of the file.
#[derive(Debug)]
pub(crate) struct Place {
    file: String,
    line: Option<usize>,
    key: String,
}

impl Source<'_> {
    /// The place of a key in this table: its line, or that of the innermost table around it that is there. Keys are shown
    /// as far as the table; what is wrong says the rest.
    pub(super) fn place(&self, table: &[&str], key: &str) -> Place {
        let keys = table.iter().copied().chain(key.split('.'));
        Place { file: self.name.clone(), line: line(self.text, keys), key: table.join(".") }
    }

    /// What is wrong with the syntax, and where. The line itself is not shown: it may hold a secret.
    pub(super) fn syntax(&self, error: &toml::de::Error) -> String {
        let before = error.span().and_then(|span| self.text.get(..span.start));
        let place = before.map(|before| {
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            format!(" at line {line}, column {column}")
        });
        format!("TOML parse error{}: {}", place.unwrap_or_default(), error.message())
    }
}

fn line<'a>(text: &str, keys: impl Iterator<Item = &'a str>) -> Option<usize> {
    // It was read before, so it can be; without a place the error still names the key.
    let document = DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    let mut start = None;
    for key in keys {
        let Some((name, value)) = table.iter().find(|(name, _)| name.get_ref() == key) else { break };
        start = Some(name.span().start);
        let DeValue::Table(inner) = value.get_ref() else { break };
        table = inner;
    }
    Some(text.get(..start?)?.matches('\n').count() + 1)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "config {}: ", self.file)?;
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_wherever_it_stands() {
        let text = "a.b = 1\n[t.\"x.y\"]\nn = 1\n\nlimits = { turns = 1,\n  tokens = 2 }\n[t.z]\n";
        for (table, key, expected) in [
            (&["a"][..], "b", Some(1)),
            (&["t", "x.y"], "", Some(2)),
            (&["t", "x.y"], "n", Some(3)),
            (&["t", "x.y"], "limits.turns", Some(5)),
            (&["t", "x.y"], "limits.tokens", Some(6)),
            (&["t", "x.y"], "limits.none", Some(5)),
            (&["t", "x.y"], "n.none", Some(3)),
            (&["t", "z"], "none", Some(7)),
            (&["none"], "n", None),
        ] {
            let place = Source { name: "f".to_owned(), text }.place(table, key);
            assert_eq!(place.line, expected, "{table:?} {key}");
        }
    }
}
