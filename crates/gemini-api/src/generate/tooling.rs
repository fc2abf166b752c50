//! Tools, as the vendor takes them.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use musher_backend::ToolSpec;
use serde_json::{Value, json};

/// The longest name that servers were seen to take, whatever the documentation says.
const MAX_NAME: usize = 64;

/// The vendor's names of tools whose own it does not take.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    vendor: HashMap<String, String>,
    own: HashMap<String, String>,
}

impl Names {
    pub(super) fn of(tools: &[ToolSpec]) -> Self {
        let mut names = Self::default();
        for spec in tools {
            let vendor = vendor_name(&spec.name);
            if vendor != spec.name {
                names.own.insert(vendor.clone(), spec.name.clone());
                names.vendor.insert(spec.name.clone(), vendor);
            }
        }
        names
    }

    /// The vendor's name; also for a tool that is no longer there.
    pub(super) fn vendor(&self, own: &str) -> String {
        self.vendor.get(own).cloned().unwrap_or_else(|| vendor_name(own))
    }

    pub(super) fn own<'a>(&'a self, vendor: &'a str) -> &'a str {
        self.own.get(vendor).map_or(vendor, String::as_str)
    }
}

/// A name that begins with a letter, the same where it does already. A hash keeps others apart.
fn vendor_name(name: &str) -> String {
    let is_good = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.len() <= MAX_NAME
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if is_good {
        return name.to_owned();
    }
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let clean = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    let start: String = name.chars().take(MAX_NAME - 11).map(clean).collect();
    format!("t_{start}_{:08x}", hasher.finish() as u32)
}

pub(super) fn declaration(spec: &ToolSpec, names: &Names) -> Value {
    json!({
        "name": names.vendor(&spec.name),
        "description": spec.description,
        "parametersJsonSchema": schema(&spec.input_schema),
    })
}

/// The schema without what makes the vendor refuse the whole request.
fn schema(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(name, value)| *name != "$schema" || !value.is_string());
            let field = |(name, value): (&String, &Value)| {
                let value = schema(value);
                (name.clone(), if name == "items" { without_union(value) } else { value })
            };
            Value::Object(kept.map(field).collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(schema).collect()),
        value @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => value.clone(),
    }
}

/// Several types of an item as a choice between schemas, which is the same.
fn without_union(mut items: Value) -> Value {
    if let Some(Value::Array(types)) = items.get("type").cloned()
        && let Some(fields) = items.as_object_mut()
        && !fields.contains_key("anyOf")
    {
        fields.remove("type");
        let choices = types.into_iter().map(|kind| json!({"type": kind})).collect();
        fields.insert("anyOf".to_owned(), Value::Array(choices));
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_begin_with_a_letter_and_come_back() {
        assert_eq!(vendor_name("tickets__list"), "tickets__list");
        let long = "9".repeat(64);
        for own in ["7zip", "-x", long.as_str()] {
            let vendor = vendor_name(own);
            assert!(vendor.starts_with("t_") && vendor.len() <= MAX_NAME, "{vendor}");
            assert_ne!(vendor, vendor_name(&format!("{own}x")));
        }
    }

    #[test]
    fn schemas_lose_what_is_refused_and_mean_the_same() {
        let given = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "$schema": {"type": "string"},
                "list": {"type": "array", "items": {"type": ["string", "number"], "$schema": "x"}},
            },
            "additionalProperties": false,
        });
        let expected = json!({
            "type": "object",
            "properties": {
                "$schema": {"type": "string"},
                "list": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "number"}]}},
            },
            "additionalProperties": false,
        });
        assert_eq!(schema(&given), expected);
    }
}
