//! Puts tool calls together from pieces, as every server sends them.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::wire::text;

/// More calls than any model makes in one answer; an index of a confused server costs no memory.
const MAX_CALLS: usize = 256;

/// The calls of an answer.
#[derive(Debug, Default)]
pub(super) struct Calls(Vec<Building>);

#[derive(Debug, Default)]
struct Building {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
    /// What else the server said of it, such as a signature that it wants back.
    fields: Map<String, Value>,
}

/// A call, whole.
#[derive(Debug, PartialEq)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
    /// As it goes back to the server.
    pub(super) raw: Value,
}

impl Calls {
    /// Takes one element of `tool_calls`.
    pub(super) fn take(&mut self, piece: &Value) {
        let (index, id) = (piece["index"].as_u64(), text(piece, "id"));
        let Some(call) = self.find(index, id) else { return };
        if call.id.is_empty() {
            id.clone_into(&mut call.id);
        }
        let function = &piece["function"];
        if call.name.is_empty() {
            text(function, "name").clone_into(&mut call.name);
        }
        match &function["arguments"] {
            Value::String(more) => call.arguments.push_str(more),
            whole @ (Value::Object(_) | Value::Array(_)) => call.arguments.push_str(&whole.to_string()),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        for (field, value) in piece.as_object().into_iter().flatten() {
            if !matches!(field.as_str(), "index" | "id" | "type" | "function") && !value.is_null() {
                call.fields.insert(field.clone(), value.clone());
            }
        }
    }

    /// All of them, whole.
    pub(super) fn finish(self) -> Vec<Call> {
        self.0.into_iter().map(Building::finish).collect()
    }

    /// The call that a piece belongs to: by its index, unless that comes with another id, which is a new call on the
    /// same index; without an index by its id, and without either the last one.
    fn find(&mut self, index: Option<u64>, id: &str) -> Option<&mut Building> {
        let is_same = |call: &Building| id.is_empty() || call.id.is_empty() || call.id == id;
        let found = match index {
            Some(index) => {
                let on_index = self.0.iter().rposition(|call| call.index == Some(index));
                match on_index {
                    Some(at) if is_same(&self.0[at]) => Some(at),
                    Some(_) => None,
                    // Some servers count arguments from another index than the id that they belong to.
                    None if id.is_empty() => self.0.len().checked_sub(1),
                    None => None,
                }
            }
            None if id.is_empty() => self.0.len().checked_sub(1),
            None => self.0.iter().rposition(|call| call.id == id),
        };
        let at = match found {
            Some(at) => at,
            None if self.0.len() < MAX_CALLS => {
                self.0.push(Building { index, ..Building::default() });
                self.0.len() - 1
            }
            None => return None,
        };
        self.0.get_mut(at)
    }
}

impl Building {
    fn finish(self) -> Call {
        let Self { index: _, id, name, arguments, mut fields } = self;
        // A null id makes some servers fail when it comes back.
        let id = if id.is_empty() { format!("call_{}", Uuid::new_v4().simple()) } else { id };
        // How servers say that there are no arguments.
        let is_none = matches!(arguments.trim(), "" | "null");
        let arguments = if is_none { "{}".to_owned() } else { arguments };
        fields.insert("id".to_owned(), json!(id));
        fields.insert("type".to_owned(), json!("function"));
        fields.insert("function".to_owned(), json!({"name": name, "arguments": arguments}));
        Call { id, name, arguments, raw: Value::Object(fields) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The calls as `id:name(arguments)`; an id of our own is `*`.
    #[track_caller]
    fn check(quirk: &str, pieces: Value, expected: &str) {
        let mut calls = Calls::default();
        for piece in pieces.as_array().expect("a list") {
            calls.take(piece);
        }
        let line = |call: &Call| {
            let id = if call.id.starts_with("call_") { "*" } else { call.id.as_str() };
            format!("{id}:{}({})", call.name, call.arguments)
        };
        let found: Vec<_> = calls.finish().iter().map(line).collect();
        assert_eq!(found.join(" "), expected, "{quirk}");
    }

    fn piece(index: Option<u64>, id: &str, name: &str, arguments: &str) -> Value {
        let mut piece = json!({"function": {}});
        if let Some(index) = index {
            piece["index"] = json!(index);
        }
        if !id.is_empty() {
            piece["id"] = json!(id);
        }
        if !name.is_empty() {
            piece["function"]["name"] = json!(name);
        }
        if !arguments.is_empty() {
            piece["function"]["arguments"] = json!(arguments);
        }
        piece
    }

    #[test]
    fn pieces_find_their_call_whatever_the_server() {
        let (zero, one) = (Some(0), Some(1));
        let usual = json!([
            piece(zero, "a", "ls", ""),
            piece(zero, "", "", "{\"p\""),
            piece(one, "b", "cat", "{}"),
            piece(zero, "", "", ":1}"),
        ]);
        check("id on the first piece only", usual, "a:ls({\"p\":1}) b:cat({})");
        let whole = json!([piece(None, "a", "ls", "{}"), piece(None, "b", "cat", "{}")]);
        check("no index, whole calls", whole, "a:ls({}) b:cat({})");
        let same = json!([piece(zero, "a", "ls", "{}"), piece(zero, "b", "cat", "{}")]);
        check("two calls on one index", same, "a:ls({}) b:cat({})");
        let repeated = json!([piece(zero, "a", "ls", "{"), piece(zero, "a", "ls", "}")]);
        check("id and name on every piece", repeated, "a:ls({})");
        let shifted = json!([piece(one, "a", "ls", ""), piece(Some(2), "", "", "{}")]);
        check("arguments on another index", shifted, "a:ls({})");
        check("no id at all", json!([piece(zero, "", "ls", ""), piece(zero, "", "", "{}")]), "*:ls({})");
        check(
            "no arguments",
            json!([piece(zero, "a", "ls", ""), piece(one, "b", "ls", "null")]),
            "a:ls({}) b:ls({})",
        );
        let object = json!([{"id": "a", "function": {"name": "ls", "arguments": {"p": 1}}}]);
        check("arguments as an object", object, "a:ls({\"p\":1})");
    }

    #[test]
    fn what_else_a_server_says_of_a_call_goes_back_to_it() {
        let mut calls = Calls::default();
        let signed = json!({"google": {"thought_signature": "s"}});
        calls.take(&json!({"index": 0, "id": "a", "type": null, "function": {"name": "ls"}, "extra_content": signed}));
        let raw = json!({
            "id": "a",
            "type": "function",
            "function": {"name": "ls", "arguments": "{}"},
            "extra_content": signed,
        });
        assert_eq!(calls.finish()[0].raw, raw);
    }

    #[test]
    fn the_number_of_calls_is_bounded() {
        let mut calls = Calls::default();
        for index in 0..1000 {
            calls.take(&piece(Some(index), &format!("{index}"), "ls", ""));
        }
        assert_eq!(calls.finish().len(), MAX_CALLS);
    }
}
