//! What a server says that it can do, read one tool at a time: one that is wrong must not cost the others.

use serde_json::Value;

use super::schema;
use crate::bound;

/// More tools than a model can choose from; each costs tokens in every request.
const TOOLS_LIMIT: usize = 128;

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
        Some(Value::Object(schema)) => schema::of(schema),
        Some(_) | None => Err("is no object"),
    };
    match input_schema {
        Ok(input_schema) => Ok(Offer { name, description, input_schema }),
        Err(reason) => Err(format!("the schema of `{shown}` {reason}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_that_is_wrong_costs_only_its_tool() {
        for (tool, reason) in [
            (json!("t"), "it is no object"),
            (json!({"inputSchema": {}}), "it has no name"),
            (json!({"name": "", "inputSchema": {}}), "it has no name"),
            (json!({"name": "t"}), "the schema of `t` is no object"),
            (json!({"name": "t", "inputSchema": "object"}), "the schema of `t` is no object"),
            (json!({"name": "t", "inputSchema": {"type": "array"}}), "the schema of `t` is not an object's"),
        ] {
            let mut offers = Offers::default();
            assert!(offers.add(vec![tool, json!({"name": "good", "inputSchema": {}})]));
            let names: Vec<_> = offers.offers.iter().map(|offer| offer.name.as_str()).collect();
            assert_eq!((names, offers.refused), (vec!["good"], vec![reason.to_owned()]));
        }
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
