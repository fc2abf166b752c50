//! The schema of a tool's arguments, as every vendor takes it: one that is refused costs the whole request.

use serde_json::{Map, Value, json};

/// A schema of more than this fills the model's head with one tool.
const LIMIT: usize = 64 * 1024;

/// The keywords under which a schema holds another one, several in a list, and several by name.
const HOLD_ONE: [&str; 9] = [
    "items",
    "additionalItems",
    "additionalProperties",
    "propertyNames",
    "contains",
    "not",
    "if",
    "then",
    "else",
];
const HOLD_LISTS: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];
const HOLD_NAMES: [&str; 5] = ["properties", "patternProperties", "dependentSchemas", "$defs", "definitions"];

/// The schema, with what vendors refuse put otherwise where that means the same or more; or why it cannot be.
pub(super) fn of(mut schema: Map<String, Value>) -> Result<Value, &'static str> {
    // Some vendors refuse it, and it says nothing to a model.
    schema.remove("$schema");
    match schema.get("type") {
        Some(Value::String(kind)) if kind == "object" => {}
        Some(_) => return Err("is not an object's"),
        None => drop(schema.insert("type".to_owned(), "object".into())),
    }
    schema.entry("properties").or_insert_with(|| json!({}));
    let mut schema = Value::Object(schema);
    mend(&mut schema)?;
    if schema.to_string().len() > LIMIT {
        return Err("is larger than 64 KiB");
    }
    Ok(schema)
}

fn mend(schema: &mut Value) -> Result<(), &'static str> {
    let schema = match schema {
        Value::Object(schema) => schema,
        Value::Bool(_) => return Ok(()),
        Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            return Err("holds one that is neither an object nor a boolean");
        }
    };
    if let Some(items) = schema.get_mut("items")
        && let Value::Array(places) = items
    {
        // How older drafts say what is in each place. The server still knows which.
        let any = if places.is_empty() { json!({}) } else { json!({"anyOf": places}) };
        *items = any;
    }
    // Vendors refuse a list that does not say of what.
    if is_list(schema) {
        schema.entry("items").or_insert_with(|| json!({}));
    }
    for name in HOLD_ONE {
        schema.get_mut(name).map_or(Ok(()), mend)?;
    }
    for name in HOLD_LISTS {
        match schema.get_mut(name) {
            None => {}
            Some(Value::Array(held)) => held.iter_mut().try_for_each(mend)?,
            Some(_) => return Err("has a choice that is no list"),
        }
    }
    for name in HOLD_NAMES {
        match schema.get_mut(name) {
            None => {}
            Some(Value::Object(held)) => held.values_mut().try_for_each(mend)?,
            Some(_) => return Err("has properties that are no object"),
        }
    }
    Ok(())
}

fn is_list(schema: &Map<String, Value>) -> bool {
    let kinds = schema.get("type");
    kinds.is_some_and(|kinds| {
        kinds == "array" || kinds.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "array"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schema: Value, expected: Result<Value, &str>) {
        let Value::Object(given) = schema.clone() else { panic!("a schema is an object: {schema}") };
        assert_eq!(of(given), expected, "{schema}");
    }

    #[test]
    fn one_that_vendors_take_stays_as_it_is() {
        let plain = json!({"type": "object", "properties": {"a": {"type": "string"}}});
        check(plain.clone(), Ok(plain));
        let empty = json!({"type": "object", "properties": {}});
        check(json!({}), Ok(empty.clone()));
        check(json!({"$schema": "x", "type": "object"}), Ok(empty));
    }

    #[test]
    fn a_list_says_of_what_it_is_wherever_it_stands() {
        let list = json!({"type": "array"});
        let properties = |list: &Value| {
            json!({
                "list": list,
                "lists": {"type": ["array", "null"], "items": {"anyOf": [list, true]}},
                "items": {"type": "object", "additionalProperties": list},
                "named": {"$ref": "#/$defs/list"},
                "word": {"const": {"type": "array"}, "default": {"type": "array"}},
            })
        };
        let schema =
            |list: &Value| json!({"type": "object", "properties": properties(list), "$defs": {"list": list}});
        check(schema(&list), Ok(schema(&json!({"type": "array", "items": {}}))));
        let nullable = json!({"type": ["array", "null"]});
        check(schema(&nullable), Ok(schema(&json!({"type": ["array", "null"], "items": {}}))));
        let places = json!({"type": "array", "items": [{"type": "string"}, {"type": "array"}]});
        let any = json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {}}]});
        check(schema(&places), Ok(schema(&json!({"type": "array", "items": any}))));
        check(
            schema(&json!({"type": "array", "items": []})),
            Ok(schema(&json!({"type": "array", "items": {}}))),
        );
    }

    #[test]
    fn one_that_they_would_not_take_has_a_reason() {
        let neither = "holds one that is neither an object nor a boolean";
        for (schema, reason) in [
            (json!({"type": "array"}), "is not an object's"),
            (json!({"type": ["object"]}), "is not an object's"),
            (json!({"properties": []}), "has properties that are no object"),
            (json!({"$defs": {"a": {"properties": 7}}}), "has properties that are no object"),
            (json!({"properties": {"a": "string"}}), neither),
            (json!({"properties": {"a": {"type": "array", "items": "string"}}}), neither),
            (json!({"properties": {"a": {"anyOf": [{}, null]}}}), neither),
            (json!({"anyOf": {"type": "object"}}), "has a choice that is no list"),
            (json!({"title": "x".repeat(LIMIT)}), "is larger than 64 KiB"),
        ] {
            check(schema, Err(reason));
        }
    }
}
