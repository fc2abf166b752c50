//! What serde says of a request, in the words of whoever wrote the request.
//!
//! serde gives reasons as texts alone. Those that name types of Rust, or nothing at all, are said anew; all others stay.

/// What is wrong with JSON.
pub(crate) fn json(said: &str) -> String {
    // Words of the client's own stand before this, and stay.
    let Some((given, expected)) = said.rsplit_once(", expected ") else { return said.to_owned() };
    let (expected, place) = expected.find(" at line ").map_or((expected, ""), |at| expected.split_at(at));
    let plain = match expected {
        "a map" => "an object".to_owned(),
        "a sequence" => "an array".to_owned(),
        "u32" | "u64" => "a whole number from 0 on".to_owned(),
        "f64" => "a number".to_owned(),
        other if other.starts_with("struct ") || other.starts_with("internally tagged enum ") => {
            "an object".to_owned()
        }
        other => other.to_owned(),
    };
    format!("{given}, expected {plain}{place}")
}

/// What is wrong with a parameter of a query.
pub(crate) fn parameter(name: &str, said: &str) -> String {
    if let Some(rest) = said.strip_prefix("unknown field ") {
        return format!("unknown parameter {}", rest.replace("there are no fields", "there are none"));
    }
    if let Some(missing) = said.strip_prefix("missing field ") {
        return format!("{missing} is missing");
    }
    match said {
        "unsupported value" => format!("`{name}` is given more than once"),
        // Also of a number below 0 where none may be.
        "invalid digit found in string" | "cannot parse integer from empty string" => {
            format!("`{name}` takes a whole number, and not this one")
        }
        "number too large to fit in target type" => format!("`{name}` is too large"),
        "number too small to fit in target type" => format!("`{name}` is too small"),
        said => format!("`{name}`: {said}"),
    }
}

#[cfg(test)]
mod tests {
    use musher_protocol::{
        ConfigBundleQuery, CreateWorker, DeleteWorkerQuery, EventsQuery, ListWorkersQuery, StopRequest,
        TranscriptQuery, WorkerQuery,
    };
    use serde::{Serialize, de::DeserializeOwned};

    use crate::{body, fault::Fault, query};

    fn said<T>(parsed: Result<T, Fault>) -> String {
        parsed.map(drop).map_or_else(|fault| fault.message().to_owned(), |()| "taken".to_owned())
    }

    fn of_body<T: DeserializeOwned + Serialize>(body: &str) -> String {
        said(body::parse::<T>(body.as_bytes()))
    }

    fn of_query<T: DeserializeOwned>(given: &str) -> String {
        said(query::parse::<T>(&format!("/x?{given}").parse().unwrap()))
    }

    #[test]
    fn bodies_are_spoken_of_as_json_and_not_as_rust() {
        let create = |member: &str| {
            of_body::<CreateWorker>(&format!(r#"{{"intent":{{"kind":"assistant"}},{member}}}"#))
        };
        let cases = [
            (
                create(r#""profile":"echo""#),
                r#"`/profile`: invalid type: string "echo", expected an object at line 1 column 47"#,
            ),
            (
                create(r#""requested_capabilities":["read"]"#),
                r#"`/requested_capabilities/0`: invalid type: string "read", expected an object at line 1 column 63"#,
            ),
            (
                create(r#""requested_capabilities":"read, expected struct X""#),
                "`/requested_capabilities`: invalid type: string \"read, expected struct X\", expected an array at line 1 \
                 column 81",
            ),
            (
                create(r#""labels":null"#),
                "`/labels`: invalid type: null, expected an object at line 1 column 44",
            ),
            (
                create(r#""limits":{"turns":1.5}"#),
                "`/limits/turns`: invalid type: floating point `1.5`, expected a whole number from 0 on at line \
                 1 column 52",
            ),
            (
                create(r#""limits":{"cost_usd":"1"}"#),
                r#"`/limits/cost_usd`: invalid type: string "1", expected a number at line 1 column 55"#,
            ),
            (
                of_body::<CreateWorker>(r#"{"intent":"assistant"}"#),
                r#"`/intent`: invalid type: string "assistant", expected an object at line 1 column 21"#,
            ),
            (
                of_body::<StopRequest>(r#"{"grace_secs":-1}"#),
                "`/grace_secs`: invalid value: integer `-1`, expected a whole number from 0 on at line 1 \
                 column 16",
            ),
        ];
        for (said, plain) in cases {
            assert_eq!(said, plain);
        }
    }

    #[test]
    fn queries_are_spoken_of_by_their_parameters() {
        let cases = [
            (of_query::<EventsQuery>("limit=ten"), "`limit` takes a whole number, and not this one"),
            (of_query::<EventsQuery>("wait=1.5"), "`wait` takes a whole number, and not this one"),
            (of_query::<EventsQuery>("tail=99999999999999999999"), "`tail` is too large"),
            (of_query::<TranscriptQuery>("start=-99999999999999999999"), "`start` is too small"),
            (of_query::<EventsQuery>("limit=1&limit=2"), "`limit` is given more than once"),
            (of_query::<WorkerQuery>("for=idle"), "unknown parameter `for`, expected `until` or `wait`"),
            (of_query::<query::NoQuery>("x=1"), "unknown parameter `x`, there are none"),
            (of_query::<ConfigBundleQuery>(""), "`digest` is missing"),
            (
                of_query::<DeleteWorkerQuery>("discard=yes"),
                r#"`discard`: invalid value: string "yes", expected "true", "on" or "false""#,
            ),
            (
                of_query::<ListWorkersQuery>("order=up"),
                "`order`: unknown variant `up`, expected `asc` or `desc`",
            ),
        ];
        for (said, plain) in cases {
            assert_eq!(said, plain);
        }
    }
}
