//! Types and tables of the wire, as Markdown.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Definitions;

/// Why a type cannot be told; the place is a definition's name or a route's path.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("`{place}`: `{schema}` is not understood")]
    Schema { place: String, schema: String },
    #[error("`{0}` leads nowhere")]
    Reference(String),
    #[error("the error code `{0}` does not say what to do; write it as a second paragraph of its docstring")]
    NoAdvice(String),
    #[error("find the error code that `{name}` is")]
    Code { name: String, source: serde_json::Error },
    #[error("an error code has no text")]
    CodeText(#[source] serde_json::Error),
}

/// The pages, each with the types that are told there.
pub(super) struct Pages<'a> {
    pub(super) definitions: &'a Definitions,
    /// Types that are told on the page of events; all others are on the page of routes.
    of_events: BTreeSet<&'a str>,
    /// The page that is being written.
    here: Page,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Http,
    Events,
}

impl Page {
    fn file(self) -> &'static str {
        match self {
            Self::Http => "http.md",
            Self::Events => "events.md",
        }
    }
}

/// What everything on the page of events is made of.
const ROOTS_OF_EVENTS: &[&str] = &["Envelope", "Frame", "StreamRequest", "ErrorCode"];

/// The value of an open enum that stands for what a reader does not know; no server sends it.
const UNKNOWN: &[&str] = &["unknown", "Unknown"];

impl<'a> Pages<'a> {
    pub(super) fn new(definitions: &'a Definitions, here: Page) -> Result<Self, Error> {
        let mut of_events = BTreeSet::new();
        for root in ROOTS_OF_EVENTS {
            reach(root, definitions, &mut of_events)?;
        }
        Ok(Self { definitions, of_events, here })
    }

    fn page_of(&self, name: &str) -> Page {
        if self.of_events.contains(name) { Page::Events } else { Page::Http }
    }

    pub(super) fn definition(&self, name: &str) -> Result<&'a Value, Error> {
        self.definitions.get(name).ok_or_else(|| Error::Reference(name.to_owned()))
    }

    /// A link to a type.
    pub(super) fn link(&self, name: &str) -> String {
        let page = self.page_of(name);
        let file = if page == self.here { "" } else { page.file() };
        format!("[{name}]({file}#type-{name})")
    }

    /// A link to the text about an error code.
    pub(super) fn code_link(&self, code: &str) -> String {
        let file = if self.here == Page::Events { "" } else { Page::Events.file() };
        format!("[`{code}`]({file}#error-{code})")
    }

    /// A type in a few words.
    pub(super) fn type_text(&self, schema: &Value, place: &str) -> Result<String, Error> {
        let unknown = || Error::Schema { place: place.to_owned(), schema: schema.to_string() };
        let Some(object) = schema.as_object() else {
            return if *schema == Value::Bool(true) { Ok("any JSON".to_owned()) } else { Err(unknown()) };
        };
        if let Some(name) = referred(schema) {
            self.definition(name)?;
            return Ok(self.link(name));
        }
        if let Some(literal) = object.get("const") {
            return Ok(format!("`{literal}`"));
        }
        if let Some(Value::Array(literals)) = object.get("enum") {
            let literals: Vec<_> = literals.iter().map(|literal| format!("`{literal}`")).collect();
            return Ok(literals.join(", "));
        }
        if let Some(Value::Array(alternatives)) = object.get("anyOf") {
            let texts: Result<Vec<_>, _> =
                alternatives.iter().map(|alternative| self.type_text(alternative, place)).collect();
            return Ok(texts?.join(" or "));
        }
        match object.get("type") {
            Some(Value::String(name)) => self.named(name, object, place),
            Some(Value::Array(names)) => {
                let text = |name: &Value| self.named(name.as_str().ok_or_else(unknown)?, object, place);
                Ok(names.iter().map(text).collect::<Result<Vec<_>, _>>()?.join(" or "))
            }
            None if object.keys().all(|key| key == "description") => Ok("any JSON".to_owned()),
            Some(_) | None => Err(unknown()),
        }
    }

    fn named(&self, name: &str, object: &Map<String, Value>, place: &str) -> Result<String, Error> {
        let format = object.get("format").and_then(Value::as_str);
        match name {
            "string" if format == Some("date-time") => Ok("time (RFC 3339)".to_owned()),
            "string" | "boolean" | "null" | "number" => Ok(name.to_owned()),
            "integer" => Ok(format!("integer{}", range(object))),
            "array" => {
                let items = object.get("items").unwrap_or(&Value::Bool(true));
                Ok(format!("array of {}", self.type_text(items, place)?))
            }
            "object" => match object.get("additionalProperties") {
                None | Some(Value::Bool(_)) => Ok("object".to_owned()),
                Some(values) => Ok(format!("object of {}", self.type_text(values, place)?)),
            },
            _ => {
                let schema = Value::Object(object.clone()).to_string();
                Err(Error::Schema { place: place.to_owned(), schema })
            }
        }
    }

    /// The fields of an object as a table; those of a type that it extends are among them. The tag of a variant is
    /// left out: the text around the table tells it.
    pub(super) fn fields(&self, schema: &Value, tag: Option<&str>, place: &str) -> Result<String, Error> {
        let mut rows = Vec::new();
        if let Some(name) = referred(schema) {
            self.field_rows(self.definition(name)?, None, name, &mut rows)?;
        }
        self.field_rows(schema, tag, place, &mut rows)?;
        Ok(if rows.is_empty() {
            "It has no further fields.\n".to_owned()
        } else {
            table(&["Field", "Type", "Means"], &rows)
        })
    }

    fn field_rows(
        &self,
        schema: &Value,
        tag: Option<&str>,
        place: &str,
        rows: &mut Vec<Vec<String>>,
    ) -> Result<(), Error> {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Ok(()) };
        let required = schema.get("required").and_then(Value::as_array);
        for (name, field) in properties.iter().filter(|(name, _)| Some(name.as_str()) != tag) {
            let is_required = required.is_some_and(|names| names.iter().any(|required| required == name));
            let mark = if is_required { "" } else { "?" };
            let kind = self.type_text(field, &format!("{place}/{name}"))?;
            rows.push(vec![format!("`{name}{mark}`"), kind, description(field).to_owned()]);
        }
        Ok(())
    }

    /// All types of this page but those of `told`, in the order of their names.
    pub(super) fn types(&self, told: &[&str]) -> Result<String, Error> {
        let mut text = String::new();
        let here = |name: &str| self.page_of(name) == self.here && !told.contains(&name);
        for (name, schema) in self.definitions.iter().filter(|(name, _)| here(name)) {
            text.push_str(&self.declaration(name, schema)?);
        }
        Ok(text)
    }

    /// A type with all that is to be known of it.
    pub(super) fn declaration(&self, name: &str, schema: &Value) -> Result<String, Error> {
        let mut text = format!("\n{}\n", heading(3, &format!("type-{name}"), name));
        let about = description(schema);
        if !about.is_empty() {
            text.push_str(&format!("\n{about}\n"));
        }
        text.push('\n');
        if let Some(Value::Array(variants)) = schema.get("oneOf") {
            text.push_str(&self.variants(name, variants)?);
        } else if schema.get("properties").is_some() {
            text.push_str(&self.fields(schema, None, name)?);
        } else if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
            text.push_str(&format!("A string that matches `{pattern}`.\n"));
        } else {
            text.push_str(&format!("{}\n", self.type_text(schema, name)?));
        }
        Ok(text)
    }

    fn variants(&self, name: &str, variants: &[Value]) -> Result<String, Error> {
        if variants.iter().all(|variant| variant.get("properties").is_none()) {
            let mut rows = Vec::new();
            for variant in variants {
                let value = self.type_text(variant, name)?.replace('"', "");
                if !UNKNOWN.contains(&value.trim_matches('`')) {
                    rows.push(vec![value, description(variant).to_owned()]);
                }
            }
            return Ok(table(&["Value", "Means"], &rows));
        }
        let mut text = String::new();
        for variant in variants {
            let Some((tag, value)) = tagged(variant) else {
                let schema = variant.to_string();
                return Err(Error::Schema { place: name.to_owned(), schema });
            };
            if UNKNOWN.contains(&value) {
                continue;
            }
            let gap = if text.is_empty() { "" } else { "\n" };
            text.push_str(&format!("{gap}`\"{tag}\": \"{value}\"`: {}\n\n", description(variant)));
            text.push_str(&self.fields(variant, Some(tag), name)?);
        }
        Ok(text)
    }

    /// The variants of a tagged type, but for the unknown one: the tag's value, and the schema.
    pub(super) fn tagged_variants(&self, name: &str) -> Result<Vec<(&'a str, &'a Value)>, Error> {
        let schema = self.definition(name)?;
        let variants = schema.get("oneOf").and_then(Value::as_array);
        let variants =
            variants.ok_or_else(|| Error::Schema { place: name.to_owned(), schema: schema.to_string() })?;
        variants
            .iter()
            .map(|variant| {
                tagged(variant)
                    .map(|(_, value)| (value, variant))
                    .ok_or_else(|| Error::Schema { place: name.to_owned(), schema: variant.to_string() })
            })
            .filter(|variant| !matches!(variant, Ok((value, _)) if UNKNOWN.contains(value)))
            .collect()
    }
}

/// The one field of a variant that is a literal, and its value.
pub(super) fn tagged(variant: &Value) -> Option<(&str, &str)> {
    let properties = variant.get("properties")?.as_object()?;
    properties.iter().find_map(|(name, schema)| Some((name.as_str(), schema.get("const")?.as_str()?)))
}

/// The type that a schema refers to.
pub(super) fn referred(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

pub(super) fn description(schema: &Value) -> &str {
    schema.get("description").and_then(Value::as_str).unwrap_or_default()
}

/// A heading whose address does not change when its words do.
pub(super) fn heading(level: usize, anchor: &str, words: &str) -> String {
    format!("<a id=\"{anchor}\"></a>\n\n{} {words}", "#".repeat(level))
}

pub(super) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("| {} |\n|{}\n", heads.join(" | "), "---|".repeat(heads.len()));
    for row in rows {
        let cells: Vec<_> = row.iter().map(|cell| cell_text(cell)).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

/// A cell is one line, and a bar in it is no border.
fn cell_text(text: &str) -> String {
    text.replace("\n\n", "<br>").replace('\n', " ").replace('|', "\\|")
}

/// What is said of the bounds of a whole number; `u32` and the like are no news.
fn range(object: &Map<String, Value>) -> String {
    let bound = |name| object.get(name).and_then(Value::as_u64);
    match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) => format!(" ({least} to {most})"),
        (Some(least @ 1..), None) => format!(" (at least {least})"),
        (None, Some(most)) => format!(" (at most {most})"),
        (Some(_) | None, None) => String::new(),
    }
}

fn reach<'a>(name: &str, definitions: &'a Definitions, reached: &mut BTreeSet<&'a str>) -> Result<(), Error> {
    let (name, schema) = definitions.get_key_value(name).ok_or_else(|| Error::Reference(name.to_owned()))?;
    if reached.insert(name) {
        let mut found = Vec::new();
        references(schema, &mut found);
        for reference in found {
            reach(reference, definitions, reached)?;
        }
    }
    Ok(())
}

fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    found.extend(referred(value));
    let fields = value.as_object().into_iter().flat_map(Map::values);
    let items = value.as_array().into_iter().flatten();
    fields.chain(items).for_each(|value| references(value, found));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definitions() -> Definitions {
        let name = json!({ "type": "string" });
        let all = json!({
            "Envelope": { "properties": { "id": { "$ref": "#/$defs/Id" } } },
            "Frame": true, "StreamRequest": true, "ErrorCode": true,
            "Id": name, "Query": name,
        });
        all.as_object().unwrap().clone()
    }

    #[test]
    fn types_in_words() {
        let definitions = definitions();
        let pages = Pages::new(&definitions, Page::Http).unwrap();
        let cases = [
            (json!(true), "any JSON"),
            (json!({ "description": "All." }), "any JSON"),
            (json!({ "$ref": "#/$defs/Id" }), "[Id](events.md#type-Id)"),
            (json!({ "$ref": "#/$defs/Query" }), "[Query](#type-Query)"),
            (json!({ "type": ["string", "null"], "format": "date-time" }), "time (RFC 3339) or null"),
            (json!({ "type": "integer", "format": "uint64", "minimum": 0 }), "integer"),
            (json!({ "type": "integer", "minimum": 1, "maximum": 60 }), "integer (1 to 60)"),
            (json!({ "type": "array", "items": { "const": "a" } }), "array of `\"a\"`"),
            (json!({ "type": "object", "additionalProperties": { "type": "number" } }), "object of number"),
            (
                json!({ "anyOf": [{ "$ref": "#/$defs/Query" }, { "type": "null" }] }),
                "[Query](#type-Query) or null",
            ),
        ];
        for (schema, expected) in cases {
            assert_eq!(pages.type_text(&schema, "T").unwrap(), expected, "{schema}");
        }
        let error = |schema| pages.type_text(&schema, "T").unwrap_err().to_string();
        assert_eq!(error(json!({ "not": {} })), "`T`: `{\"not\":{}}` is not understood");
        assert_eq!(error(json!({ "$ref": "#/$defs/Gone" })), "`Gone` leads nowhere");
    }

    #[test]
    fn a_cell_is_one_line_without_borders() {
        let rows = [vec!["a|b".to_owned(), "one\n\ntwo\nlines".to_owned()]];
        assert_eq!(table(&["A", "B"], &rows), "| A | B |\n|---|---|\n| a\\|b | one<br>two lines |\n");
    }
}
