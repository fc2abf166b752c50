//! What a failed attempt means: decided by what the server says, and by its status only where it says nothing.

use std::time::Duration;

use musher_backend::BackendError;

use crate::delay;

/// Enough for a person to see what happened, and no more of a proxy's page than that.
const MAX_MESSAGE: usize = 2 << 10;

/// Spent money: waiting does not help.
const QUOTA: [&str; 5] = [
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_usage_limit_exceeded",
    "billing_hard_limit_reached",
    "billing_not_active",
];
const OVERFLOW: [&str; 3] =
    ["context_length_exceeded", "exceed_context_size_error", "context_window_exceeded"];
/// How servers without a code say it.
const OVERFLOW_WORDS: [&str; 6] = [
    "maximum context length",
    "input token count",
    "exceeds the maximum number of tokens",
    "context window",
    "available context size",
    "prompt is too long",
];
const FILTER: [&str; 7] = [
    "content_filter",
    "content_policy_violation",
    "bio_policy",
    "cyber_policy",
    "misalignment_policy_violation",
    "invalid_prompt",
    "image_content_policy_violation",
];
const OPAQUE: [&str; 2] = ["invalid_encrypted_content", "invalid_thought_signature"];
/// What servers without a code say of items that another key, model or route had made.
const OPAQUE_WORDS: [&str; 5] = [
    "encrypted content",
    "thought signature",
    "thought_signature",
    "items are not persisted when",
    "required following item",
];
const AUTHENTICATION: [&str; 6] = [
    "invalid_api_key",
    "api_key_invalid",
    "authentication_error",
    "unauthenticated",
    "permission_denied",
    "invalid_authentication",
];
const OVERLOADED: [&str; 6] = [
    "server_is_overloaded",
    "slow_down",
    "overloaded_error",
    "unavailable",
    "model_capacity_exhausted",
    "engine_overloaded",
];
const RATE: [&str; 5] = [
    "rate_limit_exceeded",
    "resource_exhausted",
    "too_many_requests",
    "rate_limit_error",
    "usage_limit_reached",
];
const REJECTED: [&str; 4] =
    ["invalid_request_error", "invalid_argument", "failed_precondition", "unsupported_parameter"];

/// What a server says of a request that it does not answer, whatever the shape in which it says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Complaint {
    /// The status of the response; none where the complaint came inside of an answer.
    pub status: Option<u16>,
    /// The vendor's code.
    pub code: Option<String>,
    /// The vendor's kind of error, a coarser code.
    pub kind: Option<String>,
    /// The vendor's words.
    pub message: String,
    /// The wait that it asks for, by headers or details.
    pub after: Option<Duration>,
    /// Whether it says that a quota is spent that no wait of ours outlasts.
    pub is_spent: bool,
    /// The vendor's id of the request, by which its support finds it.
    pub request_id: Option<String>,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What may be done about it.
    pub kind: FailureKind,
    /// A stable name for it, which ends up in the turn's error.
    pub code: String,
    /// What happened, for a person.
    pub message: String,
}

/// What may be done about a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The server did not answer, or not now: another attempt may succeed.
    Transient {
        /// What it asks to wait.
        after: Option<Duration>,
    },
    /// The answer broke off, or was none: another attempt may succeed.
    Broken,
    /// Too much at once.
    RateLimited {
        /// The vendor's word for the limit.
        scope: String,
        /// When to come back.
        after: Option<Duration>,
    },
    /// The request is larger than the model takes.
    Overflow,
    /// Items of the history that only their maker can read are not read here.
    OpaqueRejected,
    /// The model has learned what the server does not take, and asks otherwise from now on.
    Adapted,
    /// The vendor's filter refuses; asking the same again would be refused again.
    Refused,
    /// Nothing helps.
    Final,
}

impl Failure {
    /// An answer that broke off or cannot be understood.
    #[must_use]
    pub fn broken(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Broken, code: "provider_error".to_owned(), message: message.into() }
    }

    /// A request that got no answer.
    #[must_use]
    pub fn unanswered(message: impl Into<String>) -> Self {
        let kind = FailureKind::Transient { after: None };
        Self { kind, code: "provider_unreachable".to_owned(), message: message.into() }
    }

    /// What this complaint means.
    #[must_use]
    pub fn of(complaint: &Complaint) -> Self {
        let (kind, code) = classify(complaint);
        Self { kind, code, message: sentence(complaint) }
    }
}

fn classify(complaint: &Complaint) -> (FailureKind, String) {
    let word = |word: &Option<String>| word.as_deref().unwrap_or_default().to_ascii_lowercase();
    let words = [word(&complaint.code), word(&complaint.kind)];
    let says = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    let message = complaint.message.to_ascii_lowercase();
    let mentions = |list: &[&str]| list.iter().any(|part| message.contains(part));
    // Gateways put the status of what is behind them where a code belongs.
    let status = complaint.status.filter(|status| *status != 200).or_else(|| words[0].parse().ok());
    let after = complaint.after.or_else(|| delay::in_sentence(&complaint.message));
    let named = |code: &str| code.to_owned();
    let is_spend_limit = words.iter().any(|word| word.ends_with("_spend_limit_exceeded"));

    if complaint.is_spent || says(&QUOTA) || is_spend_limit {
        return (FailureKind::Final, named("quota_exhausted"));
    }
    if says(&OVERFLOW) || (status.is_none_or(|status| status < 500) && mentions(&OVERFLOW_WORDS)) {
        return (FailureKind::Overflow, named("context_overflow"));
    }
    if says(&OPAQUE) || (matches!(status, None | Some(400 | 404)) && mentions(&OPAQUE_WORDS)) {
        return (FailureKind::OpaqueRejected, named("history_rejected"));
    }
    if says(&FILTER) {
        return (FailureKind::Refused, named("refused"));
    }
    if says(&AUTHENTICATION) || matches!(status, Some(401 | 403)) {
        return (FailureKind::Final, named(BackendError::AUTHENTICATION_FAILED));
    }
    if says(&["model_not_found"]) || status == Some(404) {
        return (FailureKind::Final, named("model_not_found"));
    }
    if says(&OVERLOADED) || status == Some(503) {
        return (FailureKind::Transient { after }, named("overloaded"));
    }
    if says(&RATE) || status == Some(429) {
        let scope = complaint.kind.clone().or_else(|| complaint.code.clone());
        let scope = scope.unwrap_or_else(|| named("requests"));
        return (FailureKind::RateLimited { scope, after }, named("rate_limited"));
    }
    let is_rejected = says(&REJECTED) || matches!(status, Some(400..=499));
    if is_rejected && !matches!(status, Some(408 | 409 | 499 | 500..)) {
        return (FailureKind::Final, named("invalid_request"));
    }
    (FailureKind::Transient { after }, named("provider_error"))
}

/// What the server said, with what support asks for.
fn sentence(complaint: &Complaint) -> String {
    let said = complaint.message.trim();
    let said = if said.is_empty() { "the provider gave no reason" } else { said };
    let mut message = said[..said.floor_char_boundary(MAX_MESSAGE)].to_owned();
    let code = complaint.code.as_deref().or(complaint.kind.as_deref()).map(str::to_owned);
    let status = complaint.status.map(|status| format!("status {status}"));
    let request = complaint.request_id.as_deref().map(|id| format!("request {id}"));
    let rest: Vec<_> = [code, status, request].into_iter().flatten().collect();
    if !rest.is_empty() {
        message = format!("{message} ({})", rest.join(", "));
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(status: u16, code: &str, message: &str) -> Complaint {
        Complaint {
            status: (status != 0).then_some(status),
            code: (!code.is_empty()).then(|| code.to_owned()),
            message: message.to_owned(),
            ..Complaint::default()
        }
    }

    #[test]
    fn the_code_decides_and_the_status_only_without_one() {
        let transient = FailureKind::Transient { after: None };
        let limited = |scope: &str, seconds: Option<u64>| FailureKind::RateLimited {
            scope: scope.to_owned(),
            after: seconds.map(Duration::from_secs),
        };
        for (status, code, message, kind, named) in [
            (429, "insufficient_quota", "", FailureKind::Final, "quota_exhausted"),
            (429, "project_spend_limit_exceeded", "", FailureKind::Final, "quota_exhausted"),
            (
                429,
                "rate_limit_exceeded",
                "try again in 7s",
                limited("rate_limit_exceeded", Some(7)),
                "rate_limited",
            ),
            (429, "", "", limited("requests", None), "rate_limited"),
            (200, "rate_limit_exceeded", "", limited("rate_limit_exceeded", None), "rate_limited"),
            (400, "context_length_exceeded", "", FailureKind::Overflow, "context_overflow"),
            (0, "context_length_exceeded", "", FailureKind::Overflow, "context_overflow"),
            (
                400,
                "",
                "This model's maximum context length is 4096",
                FailureKind::Overflow,
                "context_overflow",
            ),
            (
                400,
                "",
                "The input token count (9) exceeds the maximum",
                FailureKind::Overflow,
                "context_overflow",
            ),
            (500, "", "cannot load the context window", transient.clone(), "provider_error"),
            (400, "invalid_encrypted_content", "", FailureKind::OpaqueRejected, "history_rejected"),
            (400, "", "Corrupted thought signature.", FailureKind::OpaqueRejected, "history_rejected"),
            (400, "content_filter", "", FailureKind::Refused, "refused"),
            (401, "", "", FailureKind::Final, "authentication_failed"),
            (400, "API_KEY_INVALID", "", FailureKind::Final, "authentication_failed"),
            (404, "", "no such model", FailureKind::Final, "model_not_found"),
            (400, "unsupported_value", "", FailureKind::Final, "invalid_request"),
            (0, "invalid_request_error", "", FailureKind::Final, "invalid_request"),
            (0, "slow_down", "", transient.clone(), "overloaded"),
            (503, "", "", transient.clone(), "overloaded"),
            (0, "server_error", "", transient.clone(), "provider_error"),
            (0, "502", "", transient.clone(), "provider_error"),
            (0, "429", "", limited("429", None), "rate_limited"),
            (408, "", "", transient.clone(), "provider_error"),
            (504, "DEADLINE_EXCEEDED", "", transient, "provider_error"),
        ] {
            let failure = Failure::of(&complaint(status, code, message));
            assert_eq!((failure.kind, failure.code.as_str()), (kind, named), "{status} {code} {message}");
        }
    }

    #[test]
    fn a_message_is_bounded_and_names_the_request() {
        let mut complaint = complaint(500, "", &"é".repeat(5000));
        complaint.request_id = Some("req_1".to_owned());
        let failure = Failure::of(&complaint);
        assert_eq!(failure.message, format!("{} (status 500, request req_1)", "é".repeat(1024)));
        let silent = Failure::of(&Complaint::default());
        assert_eq!(silent.message, "the provider gave no reason");
    }
}
