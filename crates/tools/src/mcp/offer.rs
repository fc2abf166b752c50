//! What a server says that it can do, read one tool at a time: one that is wrong must not cost the others.

use serde_json::{Map, Value};

use crate::bound;

/// More tools than a model can choose from; each costs tokens in every request.
const TOOLS_LIMIT: usize = 128;

/// A schema of more than this fills the model's head with one tool.
const SCHEMA_LIMIT: usize = 64 * 1024;

/// As long as a description helps.
const DESCRIPTION_LIMIT: usize = 8 * 1024;

/// As much of a server's own words as belongs into a diagnostic.
const NAME_SHOWN: usize = 100;

/// A tool that a server offers.
#[derive(Debug, PartialEq)]
pub(super) struct Offer {
    /// Its own name for it.
    pub(super) name: String,
    pub(super) description: String,
    pub(super) input_schema: Value,
}

/// All that a server offers.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Offers {
    pub(super) offers: Vec<Offer>,
    /// Why others are left out, for a person.
    pub(super) refused: Vec<String>,
}

impl Offers {
    /// Adds one page of a `tools/list` result. Says whether more are taken.
    pub(super) fn add(&mut self, tools: Vec<Value>) -> bool {
        for tool in tools {
            if self.offers.len() == TOOLS_LIMIT {
                self.refused
                    .push(format!("it offers more than {TOOLS_LIMIT} tools; the others are not used"));
                return false;
            }
            match offer(tool) {
                Ok(offer) if self.offers.iter().any(|other| other.name == offer.name) => {
                    self.refuse(format!("`{}` is there twice", bound::brief(&offer.name, NAME_SHOWN)));
                }
                Ok(offer) => self.offers.push(offer),
                Err(reason) => self.refuse(reason),
            }
        }
        true
    }

    /// Notes a tool that is left out, once, and as many as anybody reads.
    fn refuse(&mut self, reason: String) {
        if self.refused.len() < TOOLS_LIMIT && !self.refused.contains(&reason) {
            self.refused.push(reason);
        }
    }
}

fn offer(tool: Value) -> Result<Offer, String> {
    let Value::Object(mut tool) = tool else { return Err("it is no object".to_owned()) };
    let name = match tool.remove("name") {
        Some(Value::String(name)) if !name.is_empty() => name,
        Some(_) | None => return Err("it has no name".to_owned()),
    };
    let shown = bound::brief(&name, NAME_SHOWN);
    let description = tool.get("description").and_then(Value::as_str).unwrap_or_default();
    let description = bound::brief(description, DESCRIPTION_LIMIT);
    let input_schema = match tool.remove("inputSchema") {
        Some(Value::Object(schema)) => schema_of(schema),
        Some(_) | None => Err("is no object"),
    };
    match input_schema {
        Ok(input_schema) => Ok(Offer { name, description, input_schema }),
        Err(reason) => Err(format!("the schema of `{shown}` {reason}")),
    }
}

/// The schema of a tool's arguments, if a vendor would take it: one that is refused costs the whole request.
fn schema_of(mut schema: Map<String, Value>) -> Result<Value, &'static str> {
    // Some vendors refuse it, and it says nothing to a model.
    schema.remove("$schema");
    match schema.get("type") {
        Some(Value::String(kind)) if kind == "object" => {}
        Some(_) => return Err("is not an object's"),
        None => drop(schema.insert("type".to_owned(), "object".into())),
    }
    match schema.get("properties") {
        Some(Value::Object(_)) => {}
        Some(_) => return Err("has properties that are no object"),
        None => drop(schema.insert("properties".to_owned(), Map::new().into())),
    }
    let schema = Value::Object(schema);
    if schema.to_string().len() > SCHEMA_LIMIT {
        return Err("is larger than 64 KiB");
    }
    Ok(schema)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(tool: Value, expected: Result<Value, &str>) {
        let mut offers = Offers::default();
        assert!(offers.add(vec![tool.clone()]));
        let schema = offers.offers.first().map(|offer| offer.input_schema.clone());
        let refused = offers.refused.first().map(String::as_str);
        assert_eq!((schema, refused), (expected.clone().ok(), expected.err()), "{tool}");
    }

    #[test]
    fn a_schema_that_vendors_take_is_taken() {
        let plain = json!({"type": "object", "properties": {"a": {"type": "string"}}});
        check(json!({"name": "t", "inputSchema": &plain}), Ok(plain));
        let empty = json!({"type": "object", "properties": {}});
        check(json!({"name": "t", "inputSchema": {}}), Ok(empty.clone()));
        check(json!({"name": "t", "inputSchema": {"$schema": "x", "type": "object"}}), Ok(empty));
    }

    #[test]
    fn one_that_they_would_not_take_costs_only_its_tool() {
        for (tool, reason) in [
            (json!("t"), "it is no object"),
            (json!({"inputSchema": {}}), "it has no name"),
            (json!({"name": "", "inputSchema": {}}), "it has no name"),
            (json!({"name": "t"}), "the schema of `t` is no object"),
            (json!({"name": "t", "inputSchema": "object"}), "the schema of `t` is no object"),
            (json!({"name": "t", "inputSchema": {"type": "array"}}), "the schema of `t` is not an object's"),
            (
                json!({"name": "t", "inputSchema": {"type": ["object"]}}),
                "the schema of `t` is not an object's",
            ),
            (
                json!({"name": "t", "inputSchema": {"properties": []}}),
                "the schema of `t` has properties that are no object",
            ),
            (
                json!({"name": "t", "inputSchema": {"title": "x".repeat(SCHEMA_LIMIT)}}),
                "the schema of `t` is larger than 64 KiB",
            ),
        ] {
            check(tool, Err(reason));
        }
        let mut offers = Offers::default();
        offers.add(vec![json!({"name": "bad"}), json!({"name": "good", "inputSchema": {}})]);
        assert_eq!((offers.offers.len(), offers.refused.len()), (1, 1));
    }

    #[test]
    fn nobody_offers_without_end() {
        let many: Vec<_> =
            (0..TOOLS_LIMIT + 5).map(|n| json!({"name": format!("t{n}"), "inputSchema": {}})).collect();
        let mut offers = Offers::default();
        assert!(!offers.add(many));
        assert_eq!(offers.offers.len(), TOOLS_LIMIT);
        assert_eq!(offers.refused, ["it offers more than 128 tools; the others are not used"]);

        let mut offers = Offers::default();
        assert!(offers.add(vec![json!({"name": "t", "inputSchema": {}}); 2]));
        assert_eq!((offers.offers.len(), offers.refused), (1, vec!["`t` is there twice".to_owned()]));
    }
}
