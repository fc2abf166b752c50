//! Google's errors.

use std::time::Duration;

use musher_turn_loop::{Complaint, Refusal, delay};
use serde_json::Value;

/// How long a limit by the minute can last.
const MINUTE: Duration = Duration::from_secs(60);

/// Where the proxies in front of the vendor put the id of a request; the vendor's own is in the details.
const REQUEST_IDS: [&str; 2] = ["x-request-id", "cf-ray"];

/// What a response complains about.
pub(crate) fn of_response(response: &Refusal) -> Complaint {
    let body = serde_json::from_str(&response.body).unwrap_or(Value::Null);
    let mut complaint = of_value(&body)
        .unwrap_or_else(|| Complaint { message: response.body.trim().to_owned(), ..Complaint::default() });
    complaint.status = Some(response.status);
    let header = |name: &str| response.header(name);
    complaint.after = delay::in_headers(header, response.at).or(complaint.after);
    let told = REQUEST_IDS.iter().find_map(|name| header(name)).map(str::to_owned);
    complaint.request_id = complaint.request_id.or(told);
    complaint
}

/// The error in a chunk or a body, also in a list; none where there is none.
pub(crate) fn of_value(value: &Value) -> Option<Complaint> {
    let value = if let Value::Array(values) = value { values.first()? } else { value };
    let error = &value["error"];
    if !error.is_object() {
        return None;
    }
    let message = error["message"].as_str().unwrap_or_default().to_owned();
    let details = || error["details"].as_array().into_iter().flatten();
    let text = |field: &str| details().find_map(|detail| detail[field].as_str()).map(str::to_owned);
    let quotas = details().flat_map(|detail| detail["violations"].as_array().into_iter().flatten());
    let quotas: Vec<_> = quotas.filter_map(|violation| violation["quotaId"].as_str()).collect();
    let is_by = |words: &[&str]| quotas.iter().any(|quota| words.iter().any(|word| quota.contains(word)));
    let told =
        text("retryDelay").and_then(|delay| delay::parse(&delay)).or_else(|| delay::in_sentence(&message));
    let status = error["code"].as_u64().and_then(|code| u16::try_from(code).ok());
    Some(Complaint {
        status,
        code: text("reason"),
        kind: error["status"].as_str().map(str::to_owned),
        after: told.or_else(|| is_by(&["PerMinute"]).then_some(MINUTE)),
        // No wait of a turn outlasts a day, and none helps against a limit of nothing.
        is_spent: is_by(&["PerDay", "Daily"]) || message.contains("limit: 0"),
        message,
        request_id: text("requestId"),
    })
}

#[cfg(test)]
mod tests {
    use musher_turn_loop::{Failure, FailureKind};
    use serde_json::json;

    use super::*;

    #[test]
    fn quotas_and_delays_decide() {
        let limited = |secs: f64| FailureKind::RateLimited {
            scope: "RESOURCE_EXHAUSTED".to_owned(),
            after: Some(Duration::from_secs_f64(secs)),
        };
        let quota = |id: &str| json!({"violations": [{"quotaId": id}]});
        for (code, status, message, details, kind, named) in [
            (429, "RESOURCE_EXHAUSTED", "m", json!([{"retryDelay": "1.5s"}]), limited(1.5), "rate_limited"),
            (429, "RESOURCE_EXHAUSTED", "Please retry in 7s.", json!([]), limited(7.0), "rate_limited"),
            (
                429,
                "RESOURCE_EXHAUSTED",
                "m",
                json!([quota("RequestsPerMinutePerProject")]),
                limited(60.0),
                "rate_limited",
            ),
            (
                429,
                "RESOURCE_EXHAUSTED",
                "m",
                json!([quota("RequestsPerDay"), {"retryDelay": "9s"}]),
                FailureKind::Final,
                "quota_exhausted",
            ),
            (
                429,
                "RESOURCE_EXHAUSTED",
                "limit: 0, model: x",
                json!([]),
                FailureKind::Final,
                "quota_exhausted",
            ),
            (
                400,
                "INVALID_ARGUMENT",
                "m",
                json!([{"reason": "API_KEY_INVALID"}]),
                FailureKind::Final,
                "authentication_failed",
            ),
            (
                503,
                "UNAVAILABLE",
                "m",
                json!([{"reason": "MODEL_CAPACITY_EXHAUSTED"}]),
                FailureKind::Transient { after: None },
                "overloaded",
            ),
            (
                400,
                "INVALID_ARGUMENT",
                "The input token count (9) exceeds the maximum",
                json!([]),
                FailureKind::Overflow,
                "context_overflow",
            ),
            (
                400,
                "INVALID_ARGUMENT",
                "Function call is missing a thought_signature in functionCall parts",
                json!([]),
                FailureKind::OpaqueRejected,
                "history_rejected",
            ),
            (
                504,
                "DEADLINE_EXCEEDED",
                "m",
                json!([]),
                FailureKind::Transient { after: None },
                "provider_error",
            ),
        ] {
            let error =
                json!({"error": {"code": code, "status": status, "message": message, "details": details}});
            for value in [error.clone(), json!([error])] {
                let failure = Failure::of(&of_value(&value).expect("an error"));
                assert_eq!((&failure.kind, failure.code.as_str()), (&kind, named), "{value}");
            }
        }
        assert_eq!(of_value(&json!({"candidates": []})), None);
    }
}
