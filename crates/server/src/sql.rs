//! `musher sql`: a read-only look into the store.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use musher_store_sqlite::{QueryError, QueryLimits, Rows, Value, query};
use serde_json::{Number, json};

use crate::{
    cli::SqlArguments, config::Config, display::harmless, failure::Failure, paths, store::StoreUrl, terminal,
};

/// A wider column would push the others off the screen; `--json` has all of it.
const WIDEST: usize = 60;

/// Why there is nothing to ask.
#[derive(Debug, thiserror::Error)]
#[error("a store in memory cannot be asked from outside; name one with --store sqlite:DIRECTORY")]
struct InMemory;

/// There is nothing where it was looked for.
#[derive(Debug, thiserror::Error)]
#[error("there is no store in `{}`; name one with --store sqlite:DIRECTORY, or a server's config with --config", .0.display())]
struct Absent(PathBuf);

pub(crate) fn sql(arguments: &SqlArguments) -> Result<ExitCode, Failure> {
    let file = arguments.config.clone().or_else(paths::default_config);
    let config = Config::load(file.as_deref()).map_err(Failure::usage)?;
    let url = StoreUrl::choose(arguments.store.as_deref(), &config)?;
    let directory = url.directory().ok_or_else(|| Failure::usage(InMemory))?;
    let rows = ask(directory, &arguments.query)?;
    let text = if arguments.json { json_lines(&rows) } else { table(&rows) };
    terminal::print(&text);
    if rows.has_more {
        terminal::say(format_args!("… and more: only the first {} rows are shown", rows.rows.len()));
    }
    Ok(ExitCode::SUCCESS)
}

fn ask(directory: &Path, query_text: &str) -> Result<Rows, Failure> {
    query(directory, query_text, QueryLimits::default()).map_err(|error| {
        if let QueryError::NoStore(directory) = error {
            Failure::usage(Absent(directory))
        } else if matches!(error, QueryError::Forbidden) {
            Failure::usage(error)
        } else {
            Failure::other("ask the store", error)
        }
    })
}

/// One JSON object a row and line.
fn json_lines(rows: &Rows) -> String {
    let mut text = String::new();
    for row in &rows.rows {
        // In the order of the columns, which a map would lose.
        let field = |(name, cell): (&String, &Value)| format!("{}:{}", json!(name), value(cell));
        let fields: Vec<_> = rows.columns.iter().zip(row).map(field).collect();
        text += &format!("{{{}}}\n", fields.join(","));
    }
    text
}

fn value(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Integer(number) => (*number).into(),
        // What is no number in JSON is null there.
        Value::Real(number) => Number::from_f64(*number).map_or(serde_json::Value::Null, Into::into),
        Value::Text(text) => text.as_str().into(),
        Value::Blob(bytes) => hex(bytes).into(),
    }
}

/// Columns side by side; numbers to the right, as people compare them.
fn table(rows: &Rows) -> String {
    let cells: Vec<Vec<String>> = rows.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    let widths: Vec<usize> = rows
        .columns
        .iter()
        .enumerate()
        .map(|(column, name)| {
            let widest = cells.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
            widest.max(name.chars().count())
        })
        .collect();
    let mut text = line(rows.columns.iter().zip(&widths).map(|(name, width)| format!("{name:<width$}")));
    text += &line(widths.iter().map(|width| "-".repeat(*width)));
    for (row, cells) in rows.rows.iter().zip(&cells) {
        let padded = cells.iter().zip(row).zip(&widths).map(|((cell, value), width)| match value {
            Value::Integer(_) | Value::Real(_) => format!("{cell:>width$}"),
            Value::Null | Value::Text(_) | Value::Blob(_) => format!("{cell:<width$}"),
        });
        text += &line(padded);
    }
    text
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let line = cells.collect::<Vec<_>>().join("  ");
    format!("{}\n", line.trim_end())
}

/// What agents wrote is never obeyed by a terminal.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => harmless(text).replace('\n', " "),
        Value::Blob(bytes) => hex(bytes),
    };
    match text.char_indices().nth(WIDEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows {
        Rows {
            columns: vec!["name".to_owned(), "cost".to_owned()],
            rows: vec![
                vec![Value::Text("a\u{1b}[2Jb".to_owned()), Value::Real(1.25)],
                vec![Value::Null, Value::Integer(300_000)],
                vec![Value::Text("x".repeat(70)), Value::Blob(vec![1, 255])],
            ],
            has_more: false,
        }
    }

    #[test]
    fn a_table_is_aligned_and_harmless() {
        let x = "x".repeat(60);
        let expected = [
            format!("name{}  cost", " ".repeat(57)),
            format!("{}  ------", "-".repeat(61)),
            format!("{:<61}    1.25", harmless("a\u{1b}[2Jb")),
            format!("{:<61}  300000", ""),
            format!("{x}…  01ff"),
        ];
        let table = table(&rows());
        assert_eq!(table.lines().collect::<Vec<_>>(), expected);
        assert!(!table.contains('\u{1b}'));
    }

    #[test]
    fn json_has_one_object_a_line_with_all_of_it() {
        let json = json_lines(&rows());
        let lines: Vec<_> = json.lines().collect();
        assert_eq!(lines[0], r#"{"name":"a\u001b[2Jb","cost":1.25}"#);
        assert_eq!(lines[1], r#"{"name":null,"cost":300000}"#);
        assert_eq!(lines[2], format!(r#"{{"name":"{}","cost":"01ff"}}"#, "x".repeat(70)));
    }
}
