//! `[backends.NAME]`: what executes workers, several of a kind under names of their own.

use std::{
    env,
    num::{NonZeroU32, NonZeroU64},
    path::{Path, PathBuf},
    time::Duration,
};

use musher_claude_pty::{ClaudeOptions, RecordLimits};
use musher_gemini_api::GeminiOptions;
use musher_openai_api::{Dialect, OpenAiOptions};
use musher_process::Environment;
use musher_turn_loop::{ApiKey, Pace};
use serde::Deserialize;

use super::variables::Variables;

/// Where OpenAI's own API is.
const OPENAI: &str = "https://api.openai.com/v1";
/// The variables that may hold a key when the config names none.
const OPENAI_KEYS: &[&str] = &["OPENAI_API_KEY"];
const GEMINI_KEYS: &[&str] = &["GEMINI_API_KEY", "GOOGLE_AI_API_KEY"];

/// What kind of backend it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Kind {
    /// Claude Code.
    #[serde(rename = "claude-pty")]
    ClaudePty,
    /// The OpenAI API, and what speaks like it.
    #[serde(rename = "openai-api")]
    OpenAiApi,
    /// The Gemini API.
    #[serde(rename = "gemini-api")]
    GeminiApi,
    /// No model.
    #[serde(rename = "scripted")]
    Scripted,
}

impl Kind {
    /// Every kind has a backend of its own name.
    pub(crate) const ALL: [Kind; 4] = [Kind::ClaudePty, Kind::OpenAiApi, Kind::GeminiApi, Kind::Scripted];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::ClaudePty => "claude-pty",
            Kind::OpenAiApi => "openai-api",
            Kind::GeminiApi => "gemini-api",
            Kind::Scripted => "scripted",
        }
    }
}

/// A backend, as a program is put together from it.
#[derive(Clone, Debug)]
pub(crate) enum BackendOptions {
    Claude(ClaudeOptions),
    OpenAi(OpenAiOptions),
    Gemini(GeminiOptions),
    Scripted,
}

impl BackendOptions {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            BackendOptions::Claude(_) => Kind::ClaudePty,
            BackendOptions::OpenAi(_) => Kind::OpenAiApi,
            BackendOptions::Gemini(_) => Kind::GeminiApi,
            BackendOptions::Scripted => Kind::Scripted,
        }
    }
}

impl BackendOptions {
    /// The variables of the server that the backend gets and the server has.
    pub(super) fn secrets(&self) -> Vec<String> {
        let has = |name: &&String| env::var_os(name).is_some_and(|value| !value.is_empty());
        let variable = |key: Option<&ApiKey>| {
            key.and_then(ApiKey::named).map(|(name, _)| name.to_owned()).into_iter().collect()
        };
        match self {
            BackendOptions::Claude(options) => options.pass_env.iter().filter(has).cloned().collect(),
            BackendOptions::OpenAi(options) => variable(options.api_key.as_ref()),
            BackendOptions::Gemini(options) => variable(Some(&options.api_key)),
            BackendOptions::Scripted => Vec::new(),
        }
    }
}

/// Why a backend's table cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackendError {
    #[error("kind is missing: the name is none of `claude-pty`, `openai-api`, `gemini-api` and `scripted`")]
    NoKind,
    #[error("`{key}` is not for a backend of the kind `{}`", .kind.name())]
    Misplaced { key: &'static str, kind: Kind },
    // The value is not shown: it may be the key itself.
    #[error("api_key_env: the name of a variable is expected, of letters, digits and `_`{}", without_key(.kind))]
    KeyName { kind: Kind },
}

impl BackendError {
    /// The key of the table that is wrong.
    pub(super) fn key(&self) -> &'static str {
        match self {
            Self::NoKind => "kind",
            Self::Misplaced { key, .. } => key,
            Self::KeyName { .. } => "api_key_env",
        }
    }
}

/// What to write for a server that wants no key.
fn without_key(kind: &Kind) -> &'static str {
    match kind {
        Kind::OpenAiApi => "; leave it out for a `base_url` that wants no key",
        Kind::ClaudePty | Kind::GeminiApi | Kind::Scripted => "",
    }
}

/// The keys of all kinds; which of them are there is checked, for each has its own.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BackendTable {
    /// The table's own name when absent.
    kind: Option<Kind>,

    /// The program, by name or path.
    program: Option<String>,
    /// Variables of the worker's processes.
    env: Option<Variables>,
    /// Variables of the server that the worker's processes get too.
    pass_env: Option<Vec<String>>,
    /// How long the program may take to show that it works.
    start_secs: Option<NonZeroU32>,
    /// How long an idle program may take to end.
    exit_secs: Option<NonZeroU32>,
    /// How long a command of the model's may run.
    tool_secs: Option<NonZeroU32>,
    /// The directory in which sessions are recorded.
    record: Option<PathBuf>,
    /// How many recordings are kept.
    record_files: Option<NonZeroU32>,
    /// How much space recordings have, in MiB.
    record_mib: Option<NonZeroU32>,

    /// Where the API is.
    base_url: Option<String>,
    /// The variable that holds the key.
    api_key_env: Option<String>,
    /// Which protocol is spoken.
    dialect: Option<DialectKey>,
    /// The version of the API.
    api_version: Option<String>,
    /// The model of profiles that name none.
    model: Option<String>,
    /// How many tokens the model takes.
    window_tokens: Option<NonZeroU64>,
    /// How long nothing at all may come of an answer.
    silence_secs: Option<NonZeroU32>,
    /// How long what comes may be no piece of an answer.
    progress_secs: Option<NonZeroU32>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DialectKey {
    Responses,
    Chat,
}

impl BackendTable {
    /// The backend of this name; paths are relative to the config's directory.
    pub(super) fn resolve(self, name: &str, directory: &Path) -> Result<BackendOptions, BackendError> {
        let named = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        let kind = self.kind.or(named).ok_or(BackendError::NoKind)?;
        self.check(kind)?;
        Ok(match kind {
            Kind::ClaudePty => BackendOptions::Claude(self.claude(directory)),
            Kind::OpenAiApi => BackendOptions::OpenAi(self.openai(name)),
            Kind::GeminiApi => BackendOptions::Gemini(self.gemini(name)),
            Kind::Scripted => BackendOptions::Scripted,
        })
    }

    fn check(&self, kind: Kind) -> Result<(), BackendError> {
        use Kind::{ClaudePty, GeminiApi, OpenAiApi};
        let keys: [(&'static str, bool, &[Kind]); 17] = [
            ("program", self.program.is_some(), &[ClaudePty]),
            ("env", self.env.is_some(), &[ClaudePty]),
            ("pass_env", self.pass_env.is_some(), &[ClaudePty]),
            ("start_secs", self.start_secs.is_some(), &[ClaudePty]),
            ("exit_secs", self.exit_secs.is_some(), &[ClaudePty]),
            ("tool_secs", self.tool_secs.is_some(), &[ClaudePty]),
            ("record", self.record.is_some(), &[ClaudePty]),
            ("record_files", self.record_files.is_some(), &[ClaudePty]),
            ("record_mib", self.record_mib.is_some(), &[ClaudePty]),
            ("base_url", self.base_url.is_some(), &[OpenAiApi, GeminiApi]),
            ("api_key_env", self.api_key_env.is_some(), &[OpenAiApi, GeminiApi]),
            ("dialect", self.dialect.is_some(), &[OpenAiApi]),
            ("api_version", self.api_version.is_some(), &[GeminiApi]),
            ("model", self.model.is_some(), &[OpenAiApi, GeminiApi]),
            ("window_tokens", self.window_tokens.is_some(), &[OpenAiApi, GeminiApi]),
            ("silence_secs", self.silence_secs.is_some(), &[OpenAiApi, GeminiApi]),
            ("progress_secs", self.progress_secs.is_some(), &[OpenAiApi, GeminiApi]),
        ];
        match keys.iter().find(|(_, is_set, of)| *is_set && !of.contains(&kind)) {
            Some((key, ..)) => Err(BackendError::Misplaced { key, kind }),
            None if self.api_key_env.as_deref().is_some_and(|name| !Environment::is_portable(name)) => {
                Err(BackendError::KeyName { kind })
            }
            None => Ok(()),
        }
    }

    fn claude(self, directory: &Path) -> ClaudeOptions {
        let default = ClaudeOptions::default();
        ClaudeOptions {
            program: self.program.unwrap_or(default.program),
            env: self.env.unwrap_or_default().0,
            pass_env: self.pass_env.unwrap_or(default.pass_env),
            start_limit: self.start_secs.map_or(default.start_limit, duration),
            exit_limit: self.exit_secs.map_or(default.exit_limit, duration),
            tool_limit: self.tool_secs.map(duration),
            record: self.record.map(|record| directory.join(record)),
            record_limits: RecordLimits {
                files: self.record_files.map_or(default.record_limits.files, |n| n.get() as usize),
                bytes: self.record_mib.map_or(default.record_limits.bytes, |mib| u64::from(mib.get()) << 20),
            },
            // A table of its own has them, for all backends.
            mcp: default.mcp,
        }
    }

    fn pace(&self) -> Pace {
        let default = Pace::default();
        Pace {
            silence: self.silence_secs.map_or(default.silence, duration),
            progress: self.progress_secs.map_or(default.progress, duration),
            ..default
        }
    }

    fn openai(self, name: &str) -> OpenAiOptions {
        let options = OpenAiOptions::new(self.base_url.as_deref().unwrap_or(OPENAI));
        let api_key = match &self.api_key_env {
            // A server of one's own may want no key; OpenAI's always does.
            None if self.base_url.is_some() => None,
            variable => Some(key(variable.as_deref(), OPENAI_KEYS)),
        };
        OpenAiOptions {
            name: name.to_owned(),
            pace: self.pace(),
            api_key,
            dialect: match self.dialect {
                None => options.dialect,
                Some(DialectKey::Responses) => Dialect::Responses,
                Some(DialectKey::Chat) => Dialect::Chat,
            },
            model: self.model,
            window: self.window_tokens.map(NonZeroU64::get),
            ..options
        }
    }

    fn gemini(self, name: &str) -> GeminiOptions {
        let options = GeminiOptions::new(key(self.api_key_env.as_deref(), GEMINI_KEYS));
        GeminiOptions {
            name: name.to_owned(),
            pace: self.pace(),
            base_url: self.base_url.unwrap_or(options.base_url),
            api_version: self.api_version.unwrap_or(options.api_version),
            model: self.model,
            window: self.window_tokens.map(NonZeroU64::get),
            ..options
        }
    }
}

fn duration(secs: NonZeroU32) -> Duration {
    Duration::from_secs(secs.get().into())
}

fn key(variable: Option<&str>, usual: &[&str]) -> ApiKey {
    match variable {
        Some(variable) => ApiKey::from_environment(&[variable]),
        None => ApiKey::from_environment(usual),
    }
}
