//! Errors, in the many shapes in which servers send them.

use std::time::Duration;

use jiff::Timestamp;
use musher_turn_loop::{Complaint, Refusal, delay};
use serde_json::Value;

/// Where servers and the proxies in front of them put the id of a request.
const REQUEST_IDS: [&str; 3] = ["x-request-id", "x-oai-request-id", "cf-ray"];

/// What a response complains about, and the parameter that it names.
pub(crate) fn of_response(response: &Refusal) -> (Complaint, Option<String>) {
    let body = serde_json::from_str(&response.body).unwrap_or(Value::Null);
    let found = of_value(&body, response.at).unwrap_or_default();
    let (mut complaint, param) = found;
    complaint.status = Some(response.status);
    if complaint.message.is_empty() {
        complaint.message = response.body.trim().to_owned();
    }
    let header = |name: &str| response.header(name);
    complaint.after = delay::in_headers(header, response.at).or(complaint.after);
    complaint.request_id = REQUEST_IDS.iter().find_map(|name| header(name)).map(str::to_owned);
    (complaint, param)
}

/// The error in an event or a body: nested, flat, bare or in a list; none where there is none.
pub(crate) fn of_value(value: &Value, now: Timestamp) -> Option<(Complaint, Option<String>)> {
    let value = if let Value::Array(values) = value { values.first()? } else { value };
    let error = &value["error"];
    let error = if let Value::String(message) = error {
        return Some((Complaint { message: message.clone(), ..Complaint::default() }, None));
    } else if error.is_object() {
        error
    } else if value["message"].is_string() {
        value
    } else {
        return None;
    };
    let word = |field: &str| match &error[field] {
        Value::String(word) if !word.is_empty() => Some(word.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let seconds = |field: &str| error[field].as_f64().filter(|seconds| *seconds >= 0.0);
    let until = seconds("resets_at").map(|at| (at - now.as_second() as f64).max(0.0));
    let after =
        seconds("resets_in_seconds").or(until).and_then(|secs| Duration::try_from_secs_f64(secs).ok());
    // The kind of an event is no kind of an error.
    let kind = word("type").filter(|kind| kind != "error");
    let complaint = Complaint {
        code: word("code"),
        kind,
        message: word("message").unwrap_or_default(),
        after,
        ..Complaint::default()
    };
    Some((complaint, word("param")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_of_every_shape_are_read() {
        let now = Timestamp::from_second(1000).unwrap();
        for (value, expected) in [
            (
                json!({"type": "error", "code": "c", "message": "m", "param": null}),
                Some(("c", "-", "m", None)),
            ),
            (
                json!({"type": "error", "error": {"type": "t", "code": "c", "message": "m"}}),
                Some(("c", "t", "m", None)),
            ),
            (json!({"error": {"code": 502, "message": "m"}}), Some(("502", "-", "m", None))),
            (json!({"error": "m"}), Some(("-", "-", "m", None))),
            (json!([{"error": {"code": 400, "message": "m"}}]), Some(("400", "-", "m", None))),
            (json!({"object": "error", "message": "m", "code": 40303}), Some(("40303", "-", "m", None))),
            (
                json!({"error": {"type": "t", "message": null, "resets_in_seconds": 7}}),
                Some(("-", "t", "", Some(7))),
            ),
            (json!({"error": {"type": "t", "resets_at": 1600}}), Some(("-", "t", "", Some(600)))),
            (json!({"type": "response.created"}), None),
            (json!(null), None),
        ] {
            let found = of_value(&value, now).map(|(complaint, _)| {
                let or = |word: Option<String>| word.unwrap_or_else(|| "-".to_owned());
                (or(complaint.code), or(complaint.kind), complaint.message, complaint.after)
            });
            let expected = expected.map(|(code, kind, message, after)| {
                (code.to_owned(), kind.to_owned(), message.to_owned(), after.map(Duration::from_secs))
            });
            assert_eq!(found, expected, "{value}");
        }
    }

    #[test]
    fn a_page_is_an_error_too() {
        let response = Refusal {
            status: 502,
            headers: vec![("cf-ray".to_owned(), "9".to_owned()), ("retry-after".to_owned(), "3".to_owned())],
            body: "<html>Bad gateway</html>\n".to_owned(),
            at: Timestamp::UNIX_EPOCH,
        };
        let (complaint, param) = of_response(&response);
        let expected = Complaint {
            status: Some(502),
            message: "<html>Bad gateway</html>".to_owned(),
            after: Some(Duration::from_secs(3)),
            request_id: Some("9".to_owned()),
            ..Complaint::default()
        };
        assert_eq!((complaint, param), (expected, None));
    }
}
