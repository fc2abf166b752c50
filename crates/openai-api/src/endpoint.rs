//! A server, and what it was found not to take.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use musher_turn_loop::{ApiKey, Call, Complaint, Failure, FailureKind};
use secrecy::SecretString;
use serde_json::Value;

/// A server that all sessions of a backend share.
#[derive(Debug)]
pub(crate) struct Endpoint {
    base_url: String,
    api_key: Option<ApiKey>,
    /// Only read and added to, never held.
    refused: Mutex<BTreeSet<Field>>,
}

/// What some servers do not take, and we can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
    /// Reasoning to send back.
    Include,
    /// `reasoning.summary`, whose price may be a verified organization.
    ReasoningSummary,
    /// `stream_options`.
    StreamOptions,
    /// `prompt_cache_key`.
    PromptCacheKey,
    /// `strict` of a tool.
    Strict,
    /// `tool_choice`.
    ToolChoice,
    /// `max_completion_tokens`; `max_tokens` is its older name.
    MaxCompletionTokens,
}

impl Field {
    const ALL: [Self; 7] = [
        Self::ReasoningSummary,
        Self::Include,
        Self::StreamOptions,
        Self::PromptCacheKey,
        Self::Strict,
        Self::ToolChoice,
        Self::MaxCompletionTokens,
    ];

    /// What a server calls it when it refuses it.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Include => {
                &["include", "encrypted content is not supported", "encrypted_content is not supported"]
            }
            Self::ReasoningSummary => &["reasoning.summary", "reasoning summaries"],
            Self::StreamOptions => &["stream_options", "include_obfuscation", "include_usage"],
            Self::PromptCacheKey => &["prompt_cache_key"],
            Self::Strict => &["strict"],
            Self::ToolChoice => &["tool_choice"],
            Self::MaxCompletionTokens => &["max_completion_tokens"],
        }
    }
}

impl Endpoint {
    pub(crate) fn new(base_url: &str, api_key: Option<ApiKey>) -> Self {
        let base_url = base_url.trim_end_matches('/').to_owned();
        Self { base_url, api_key, refused: Mutex::default() }
    }

    pub(crate) fn base_url(&self) -> &str {
        &self.base_url
    }

    pub(crate) fn call(&self, route: &str, body: Value) -> Call {
        let key: Option<SecretString> = self.api_key.as_ref().and_then(|key| key.header("Bearer "));
        let headers = key.map(|key| ("authorization", key)).into_iter().collect();
        Call { url: format!("{}{route}", self.base_url), headers, body }
    }

    pub(crate) fn takes(&self, field: Field) -> bool {
        !self.refused.lock().unwrap_or_else(PoisonError::into_inner).contains(&field)
    }

    /// What a refusal means. One that names a field which we can do without is the last about that field.
    pub(crate) fn refused(&self, complaint: &Complaint, param: Option<&str>) -> Failure {
        if matches!(complaint.status, Some(400 | 422)) {
            let message = complaint.message.to_ascii_lowercase();
            let param = param.unwrap_or_default();
            let names = |name: &&str| {
                param.split(['.', '[']).any(|part| part == *name) || param == *name || says(&message, name)
            };
            let named = Field::ALL.into_iter().find(|field| field.names().iter().any(&names));
            if let Some(field) = named
                && self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(field)
            {
                let message = format!("the server does not take {field:?}: {}", complaint.message);
                return Failure { kind: FailureKind::Adapted, code: "invalid_request".to_owned(), message };
            }
        }
        Failure::of(complaint)
    }
}

/// Whether a sentence has these words as words: `strict` is not in `restricted`. What is a word of everyday language,
/// too, must be named: messages that `must include` something say nothing of `include`.
fn says(sentence: &str, words: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let is_everyday = words.chars().all(char::is_alphabetic);
    sentence.match_indices(words).any(|(at, _)| {
        let (before, after) = (&sentence[..at], &sentence[at + words.len()..]);
        let is_named = before.is_empty() || before.ends_with(['\'', '"', '`', '.']) || before.ends_with(": ");
        !before.ends_with(is_word) && !after.starts_with(is_word) && (is_named || !is_everyday)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_refused_by_name_is_left_out_once_and_for_all() {
        for (status, param, message, expected) in [
            (400, Some("stream_options"), "", Some(Field::StreamOptions)),
            (400, Some("tools[0].function.strict"), "", Some(Field::Strict)),
            (422, None, "extra_forbidden: prompt_cache_key", Some(Field::PromptCacheKey)),
            (400, Some("reasoning.summary"), "", Some(Field::ReasoningSummary)),
            (400, None, "Encrypted content is not supported with this model.", Some(Field::Include)),
            (400, None, "Unrecognized argument: max_completion_tokens", Some(Field::MaxCompletionTokens)),
            (400, None, "Unrecognized request argument supplied: include", Some(Field::Include)),
            (422, None, "{'type': 'extra_forbidden', 'loc': ('body', 'include')}", Some(Field::Include)),
            (400, None, "the account is restricted", None),
            (400, None, "messages must include a strict alternation of roles", None),
            (500, Some("strict"), "", None),
        ] {
            let endpoint = Endpoint::new("http://localhost/", None);
            let message = message.to_owned();
            let complaint = Complaint { status: Some(status), message, ..Complaint::default() };
            let first = endpoint.refused(&complaint, param);
            assert_eq!(first.kind == FailureKind::Adapted, expected.is_some(), "{complaint:?}");
            let left_out: Vec<_> = Field::ALL.into_iter().filter(|field| !endpoint.takes(*field)).collect();
            assert_eq!(left_out, Vec::from_iter(expected));
            assert_ne!(endpoint.refused(&complaint, param).kind, FailureKind::Adapted, "once");
        }
    }
}
