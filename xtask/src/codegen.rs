//! What others read of the wire, written from the types of the protocol crate.

mod events_page;
mod http_page;
mod markdown;
mod openapi;
mod python;
mod schema;
mod shape;
mod typescript;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use crate::repo;

/// Where the pages are, relative to the root.
const REFERENCE: &str = "docs/reference";

/// Why the documents could not be made, or are not what they should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("collect the schemas of the wire")]
    Schema(#[from] schema::Error),
    #[error("describe the routes")]
    OpenApi(#[from] openapi::Error),
    #[error("turn the schemas into TypeScript")]
    TypeScript(#[source] shape::Error),
    #[error("turn the schemas into Python")]
    Python(#[from] python::Error),
    #[error("tell the wire in words")]
    Markdown(#[from] markdown::Error),
    #[error("print a document")]
    Print(#[source] serde_json::Error),
    #[error("read `{path}`")]
    Read { path: PathBuf, source: io::Error },
    #[error("write `{path}`")]
    Write { path: PathBuf, source: io::Error },
    #[error("{} out of date; run `cargo xtask codegen`", .0.join(", "))]
    Drift(Vec<String>),
}

/// What to do with the documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Write,
    Check,
}

/// The types of the wire by name; `#/$defs/NAME` leads to them.
type Definitions = Map<String, Value>;

#[derive(Debug)]
struct Document {
    /// Relative to the root.
    path: String,
    text: String,
}

/// Writes the documents, or compares them with those that are there.
pub(crate) fn run(mode: Mode) -> Result<(), Error> {
    let documents = documents()?;
    match mode {
        Mode::Write => write(repo::root(), &documents),
        Mode::Check => check(repo::root(), &documents),
    }
}

fn documents() -> Result<Vec<Document>, Error> {
    let definitions = schema::definitions()?;
    let page = |name: &str, text| Document { path: format!("{REFERENCE}/{name}"), text };
    Ok(vec![
        page("schema.json", print(&schema::document(&definitions))?),
        page("openapi.json", print(&openapi::document(&definitions)?)?),
        page("types.ts", typescript::document(&definitions).map_err(Error::TypeScript)?),
        page("http.md", http_page::document(&definitions)?),
        page("events.md", events_page::document(&definitions)?),
        // Where a program can import it from.
        Document { path: "clients/python/musher_types.py".to_owned(), text: python::document(&definitions)? },
    ])
}

fn print(value: &Value) -> Result<String, Error> {
    let mut text = serde_json::to_string_pretty(value).map_err(Error::Print)?;
    text.push('\n');
    Ok(text)
}

fn write(root: &Path, documents: &[Document]) -> Result<(), Error> {
    for document in documents {
        let path = root.join(&document.path);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)
                .map_err(|source| Error::Write { path: directory.to_owned(), source })?;
        }
        fs::write(&path, &document.text).map_err(|source| Error::Write { path, source })?;
    }
    Ok(())
}

fn check(root: &Path, documents: &[Document]) -> Result<(), Error> {
    let mut stale = Vec::new();
    for document in documents {
        let path = root.join(&document.path);
        let is_current = match fs::read_to_string(&path) {
            Ok(text) => text == document.text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(source) => return Err(Error::Read { path, source }),
        };
        if !is_current {
            stale.push(document.path.clone());
        }
    }
    if stale.is_empty() { Ok(()) } else { Err(Error::Drift(stale)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_what_the_types_say() {
        if let Err(error) = run(Mode::Check) {
            panic!("{}", crate::chain(&error));
        }
    }

    #[test]
    fn every_link_of_the_pages_leads_somewhere() {
        let documents = documents().unwrap();
        let page = |name: &str| {
            let path = format!("{REFERENCE}/{name}");
            &documents.iter().find(|document| document.path == path).unwrap().text
        };
        let mut links = 0;
        for here in ["http.md", "events.md"] {
            for target in page(here).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
                if file.starts_with("../") {
                    assert!(repo::root().join(REFERENCE).join(file).exists(), "{here}: {target}");
                } else if !anchor.is_empty() {
                    let text = page(if file.is_empty() { here } else { file });
                    let lines = text.matches(&format!("<a id=\"{anchor}\"></a>")).count();
                    assert_eq!(lines, 1, "{here}: {target}");
                }
                links += 1;
            }
        }
        assert!(links > 200, "the pages refer to each other: {links}");
    }

    #[test]
    fn every_run_writes_the_same() {
        let texts = || documents().unwrap().into_iter().map(|document| document.text).collect::<Vec<_>>();
        assert_eq!(texts(), texts());
    }
}
