//! From a type to its text.

use crate::codegen::shape::{Declaration, Described, Field, Scalar, Shape};

/// What one level adds in front of a line.
const INDENT: &str = "  ";

/// A declaration, with its description in front and a line break at its end.
pub(super) fn declaration(declaration: &Declaration<'_>) -> String {
    let Declaration { name, described } = declaration;
    let mut text = comment(described.description, "");
    match &described.shape {
        Shape::Object(fields) => text.push_str(&format!("export interface {name} {}\n", object(fields, ""))),
        Shape::Union(alternatives) if alternatives.iter().any(is_large) => {
            text.push_str(&format!("export type {name} =\n"));
            let lines: Vec<_> = alternatives
                .iter()
                .map(|alternative| {
                    let comment = comment(alternative.description, INDENT);
                    format!("{comment}{INDENT}| {}", shape(&alternative.shape, INDENT))
                })
                .collect();
            text.push_str(&format!("{};\n", lines.join("\n")));
        }
        other @ (Shape::Scalar(_)
        | Shape::Name(_)
        | Shape::Literal(_)
        | Shape::Array(_)
        | Shape::Map(_)
        | Shape::Union(_)
        | Shape::Intersection(_)) => text.push_str(&format!("export type {name} = {};\n", shape(other, ""))),
    }
    text
}

/// Whether an alternative deserves lines of its own.
fn is_large(alternative: &Described<'_>) -> bool {
    alternative.description.is_some()
        || matches!(alternative.shape, Shape::Object(_) | Shape::Intersection(_))
}

/// A type in the middle of a line; `indent` is what its further lines begin with.
fn shape(of: &Shape<'_>, indent: &str) -> String {
    match of {
        Shape::Scalar(scalar) => match scalar {
            Scalar::Any => "unknown",
            Scalar::Text => "string",
            Scalar::Integer | Scalar::Number => "number",
            Scalar::Truth => "boolean",
            Scalar::Null => "null",
        }
        .to_owned(),
        Shape::Name(name) => (*name).to_owned(),
        // JSON's scalars are TypeScript's, escapes included.
        Shape::Literal(value) => value.to_string(),
        Shape::Array(items) => format!("Array<{}>", shape(items, indent)),
        Shape::Map(values) => format!("{{ [key: string]: {} }}", shape(values, indent)),
        Shape::Object(fields) => object(fields, indent),
        Shape::Union(alternatives) => {
            let texts: Vec<_> = alternatives.iter().map(|one| shape(&one.shape, indent)).collect();
            texts.join(" | ")
        }
        Shape::Intersection(all) => {
            let texts: Vec<_> = all
                .iter()
                .map(|one| match one {
                    Shape::Union(_) => format!("({})", shape(one, indent)),
                    Shape::Scalar(_)
                    | Shape::Name(_)
                    | Shape::Literal(_)
                    | Shape::Array(_)
                    | Shape::Map(_)
                    | Shape::Object(_)
                    | Shape::Intersection(_) => shape(one, indent),
                })
                .collect();
            texts.join(" & ")
        }
    }
}

fn object(fields: &[Field<'_>], indent: &str) -> String {
    let inner = format!("{indent}{INDENT}");
    let mut text = "{\n".to_owned();
    for field in fields {
        let mark = if field.required { "" } else { "?" };
        let comment = comment(field.described.description, &inner);
        let value = shape(&field.described.shape, &inner);
        text.push_str(&format!("{comment}{inner}{}{mark}: {value};\n", key(field.name)));
    }
    text.push_str(&format!("{indent}}}"));
    text
}

/// A field's name, in quotes where it is no identifier.
fn key(name: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_plain = name.chars().all(is_word) && !name.starts_with(|c: char| c.is_ascii_digit());
    if is_plain { name.to_owned() } else { serde_json::Value::from(name).to_string() }
}

fn comment(description: Option<&str>, indent: &str) -> String {
    let Some(description) = description else { return String::new() };
    let safe = description.replace("*/", "*\\/");
    if !safe.contains('\n') {
        return format!("{indent}/** {safe} */\n");
    }
    let lines: String =
        safe.lines().map(|line| format!("{}\n", format!("{indent} * {line}").trim_end())).collect();
    format!("{indent}/**\n{lines}{indent} */\n")
}
