//! Whether a line says the same kind of thing as another. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

/// Fields whose texts say what a line is; all other texts may differ.
const KINDS: [&str; 5] = ["type", "subtype", "behavior", "role", "mode"];

/// Fields with ids that whoever talks to the program makes up.
const OWN_IDS: [&str; 2] = ["uuid", "request_id"];

/// Ids of one session, and what they are in another.
#[derive(Debug, Default)]
pub(super) struct Ids(BTreeMap<String, String>);

impl Ids {
    /// From here on the one stands for the other.
    ///
    /// # Errors
    ///
    /// When it already stands for something else.
    pub(super) fn add(&mut self, recorded: &str, here: &str) -> Result<(), String> {
        match self.0.insert(recorded.to_owned(), here.to_owned()) {
            Some(before) if before != here => {
                Err(format!("`{recorded}` was `{before}`, and is `{here}` now"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A text with the ids of here. Those that are no UUIDs are words, and only meant where they are all of a text.
    pub(super) fn translate(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (recorded, here) in self.0.iter().filter(|(recorded, here)| recorded != here) {
            text = if uuid::Uuid::parse_str(recorded).is_ok() {
                text.replace(recorded, here)
            } else {
                text.replace(&format!("\"{recorded}\""), &format!("\"{here}\""))
            };
        }
        text
    }
}

/// Compares what the program is told with what the recorded one was told, and learns the ids.
///
/// # Errors
///
/// Where and how they differ.
pub(super) fn compare(recorded: &[u8], here: &[u8], ids: &mut Ids) -> Result<(), String> {
    let read = |line: &[u8], whose: &str| -> Result<Value, String> {
        serde_json::from_slice(line).map_err(|error| format!("{whose} line is no JSON: {error}"))
    };
    let (recorded, here) = (read(recorded, "the recorded")?, read(here, "this")?);
    // An answer has the id of the question, which is the program's own and the same as it was.
    let is_answer = recorded["type"] == "control_response";
    fit("", &recorded, &here, is_answer, ids)
}

fn fit(path: &str, recorded: &Value, here: &Value, is_answer: bool, ids: &mut Ids) -> Result<(), String> {
    let name = path.rsplit('/').next().unwrap_or_default();
    match (recorded, here) {
        (Value::Object(then), Value::Object(now)) => {
            if let Some(missing) = then.keys().find(|key| !now.contains_key(*key)) {
                return Err(format!("{path}/{missing} is missing"));
            }
            if let Some(surplus) = now.keys().find(|key| !then.contains_key(*key)) {
                return Err(format!("{path}/{surplus} was not there"));
            }
            then.iter()
                .try_for_each(|(key, then)| fit(&format!("{path}/{key}"), then, &now[key], is_answer, ids))
        }
        (Value::Array(then), Value::Array(now)) => {
            if then.len() != now.len() {
                return Err(format!("{path} had {} parts and has {}", then.len(), now.len()));
            }
            let mut pairs = (0..).zip(then.iter().zip(now));
            pairs.try_for_each(|(n, (then, now))| fit(&format!("{path}/{n}"), then, now, is_answer, ids))
        }
        (Value::String(then), Value::String(now)) if OWN_IDS.contains(&name) && !is_answer => {
            ids.add(then, now)
        }
        (Value::String(then), Value::String(now)) => {
            let must_be_same = KINDS.contains(&name) || OWN_IDS.contains(&name);
            if must_be_same && then != now {
                return Err(format!("{path} was `{then}` and is `{now}`"));
            }
            Ok(())
        }
        (Value::Bool(then), Value::Bool(now)) if then != now => {
            Err(format!("{path} was {then} and is {now}"))
        }
        (Value::Bool(_), Value::Bool(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::Null, Value::Null) => Ok(()),
        (then, now) => Err(format!("{path} was {then} and is {now}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(recorded: &Value, here: &Value, expected: Result<(), &str>) {
        let compared =
            compare(recorded.to_string().as_bytes(), here.to_string().as_bytes(), &mut Ids::default());
        assert_eq!(compared, expected.map_err(str::to_owned));
    }

    #[test]
    fn texts_may_differ_and_kinds_may_not() {
        let message = |text: &str| json!({ "type": "user", "message": { "content": [{ "type": "text", "text": text }] } });
        check(&message("hello"), &message("good bye"), Ok(()));
        let mut other = message("hello");
        other["type"] = "control_request".into();
        check(&message("hello"), &other, Err("/type was `user` and is `control_request`"));
        let mut other = message("hello");
        other["message"]["content"] = json!([]);
        check(&message("hello"), &other, Err("/message/content had 1 parts and has 0"));
        let mut other = message("hello");
        other["priority"] = 1.into();
        check(&message("hello"), &other, Err("/priority was not there"));
        check(&other, &message("hello"), Err("/priority is missing"));
        check(&json!({ "a": 1 }), &json!({ "a": "1" }), Err("/a was 1 and is \"1\""));
        check(&json!({ "a": true }), &json!({ "a": false }), Err("/a was true and is false"));
    }

    #[test]
    fn an_answer_is_to_the_same_question() {
        let answer = |id: &str, behavior: &str| json!({ "type": "control_response", "response": { "request_id": id, "response": { "behavior": behavior } } });
        check(&answer("r1", "allow"), &answer("r1", "allow"), Ok(()));
        check(
            &answer("r1", "allow"),
            &answer("r2", "allow"),
            Err("/response/request_id was `r1` and is `r2`"),
        );
        let denied = Err("/response/response/behavior was `allow` and is `deny`");
        check(&answer("r1", "allow"), &answer("r1", "deny"), denied);
    }

    #[test]
    fn ids_are_learned_and_translated() {
        let (then, now) = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222");
        let line = |uuid: &str, id: &str| json!({ "uuid": uuid, "request_id": id }).to_string();
        let mut ids = Ids::default();
        compare(line(then, "interrupt-1").as_bytes(), line(now, "stop-1").as_bytes(), &mut ids).unwrap();
        assert_eq!(
            ids.translate(&format!(r#"{{"of":"{then}.txt","id":"interrupt-1","text":"interrupt-1?"}}"#)),
            format!(r#"{{"of":"{now}.txt","id":"stop-1","text":"interrupt-1?"}}"#)
        );
        assert!(ids.add(then, "other").is_err(), "one id, one meaning");
    }
}
