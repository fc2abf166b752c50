//! What an operator decides about the backend, and a profile about its workers.

use musher_backend::BackendError;
use musher_turn_loop::{ApiKey, Pace};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The only place where Responses can be taken for granted.
const OPENAI: &str = "https://api.openai.com";

/// How a server is spoken to.
#[derive(Clone, Debug)]
pub struct OpenAiOptions {
    /// The backend's name in configs and replies.
    pub name: String,
    /// Where the API is, without its routes.
    pub base_url: String,
    /// The key; none for a server that wants none.
    pub api_key: Option<ApiKey>,
    /// Which of the two protocols.
    pub dialect: Dialect,
    /// The model of launches that name none.
    pub model: Option<String>,
    /// How many tokens the model takes, where that is not known by its name.
    pub window: Option<u64>,
    /// How long it may be silent.
    pub pace: Pace,
}

/// One of the two protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `POST /responses`: OpenAI's own.
    Responses,
    /// `POST /chat/completions`: what every other server speaks.
    Chat,
}

impl OpenAiOptions {
    /// The server at this address, without a key, in the dialect that it most likely speaks.
    #[must_use]
    pub fn new(base_url: &str) -> Self {
        let is_openai = base_url == OPENAI || base_url.starts_with(&format!("{OPENAI}/"));
        Self {
            name: "openai-api".to_owned(),
            base_url: base_url.trim_end_matches('/').to_owned(),
            api_key: None,
            dialect: if is_openai { Dialect::Responses } else { Dialect::Chat },
            model: None,
            window: None,
            pace: Pace::default(),
        }
    }
}

/// What a profile says to this backend alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tuning {
    /// How long the model thinks, in the vendor's words.
    pub(crate) reasoning_effort: Option<String>,
    /// How long an answer may be.
    pub(crate) max_output_tokens: Option<u64>,
}

impl Tuning {
    pub(crate) fn from_options(options: &Map<String, Value>) -> Result<Self, BackendError> {
        Self::deserialize(options)
            .map_err(|error| BackendError::new("options_invalid", "read the profile's options", error))
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use serde_json::json;

    use super::*;

    #[test]
    fn only_openai_is_taken_to_speak_responses() {
        for (base_url, expected) in [
            ("https://api.openai.com/v1", Dialect::Responses),
            ("https://api.openai.com.example.org/v1", Dialect::Chat),
            ("http://127.0.0.1:8000/v1/", Dialect::Chat),
        ] {
            assert_eq!(OpenAiOptions::new(base_url).dialect, expected, "{base_url}");
        }
    }

    #[test]
    fn unknown_options_are_named() {
        let options = json!({"reasoning_effort": "low", "temperature": 1});
        let error = Tuning::from_options(options.as_object().unwrap()).unwrap_err();
        let cause = error.source().unwrap().to_string();
        assert!(cause.starts_with("unknown field `temperature`"), "{cause}");
    }
}
