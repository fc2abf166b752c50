//! What an operator decides about the backend, and a profile about its workers.

use musher_backend::BackendError;
use musher_turn_loop::{ApiKey, Pace};
use serde::Deserialize;
use serde_json::{Map, Value};

/// How Gemini is spoken to.
#[derive(Clone, Debug)]
pub struct GeminiOptions {
    /// The backend's name in configs and replies.
    pub name: String,
    /// Where the API is, without its version.
    pub base_url: String,
    /// The version of the API: `v1beta` has what is new.
    pub api_version: String,
    /// The key.
    pub api_key: ApiKey,
    /// The model of launches that name none.
    pub model: Option<String>,
    /// How many tokens the model takes, where that is not known by its name.
    pub window: Option<u64>,
    /// How long it may be silent.
    pub pace: Pace,
}

impl GeminiOptions {
    /// Google's own server.
    #[must_use]
    pub fn new(api_key: ApiKey) -> Self {
        Self {
            name: "gemini-api".to_owned(),
            base_url: "https://generativelanguage.googleapis.com".to_owned(),
            api_version: "v1beta".to_owned(),
            api_key,
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
    pub(crate) thinking_level: Option<String>,
    /// How long an answer may be.
    pub(crate) max_output_tokens: Option<u64>,
}

impl Tuning {
    pub(crate) fn from_options(options: &Map<String, Value>) -> Result<Self, BackendError> {
        Self::deserialize(options)
            .map_err(|error| BackendError::new("options_invalid", "read the profile's options", error))
    }
}
