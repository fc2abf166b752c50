//! `[profiles.NAME]`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
    time::Duration,
};

use musher_backend::Sandbox;
use musher_claude_pty::{ClaudeProfile, ClaudeProfileError};
use musher_core::{ApprovalMode, ApprovalPolicy, OnRestart, Profile, RateLimitPolicy};
use musher_protocol::{ApprovalSpec, ApproverSpec, Capability, OnRateLimit, ProfileSpec, SandboxSpec};
use musher_scripted::{Script, ScriptError};
use musher_tools::McpServer;
use serde_json::{Value, json};

use super::backend::{BackendOptions, Kind};

/// Larger scripts are a mistake: everything in them is kept in memory for each worker.
const MAX_SCRIPT_BYTES: u64 = 4 << 20;
/// As much as a stop may ask for: its caller waits for it.
const MAX_GRACE_SECS: u64 = 60;

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProfileError {
    #[error("no backend `{name}`; there are {}", backticked(.known))]
    NoBackend { name: String, known: Vec<String> },
    #[error("`{key}` is not for a backend of the kind `{}`", .kind.name())]
    Misplaced { key: &'static str, kind: Kind },
    #[error("capabilities: `{0}`: a scripted worker calls no tools")]
    NoTools(Capability),
    #[error("capabilities: `mcp:{name}`: there is no [mcp.{name}]{}", others(.known))]
    NoServer { name: String, known: Vec<String> },
    #[error(
        "sandbox: `landlock` cannot be had with a backend of the kind `{}`: it holds tools of Musher's own alone",
        .0.name()
    )]
    NoSandbox(Kind),
    #[error("settings_sources")]
    Claude(#[source] ClaudeProfileError),
    #[error("{0}: a limit is greater than 0")]
    Zero(String),
    #[error("grace_secs: {0} is more than {MAX_GRACE_SECS}")]
    LongGrace(u64),
    #[error("read the script {file}")]
    ReadScript {
        file: String,
        #[source]
        source: io::Error,
    },
    #[error("the script {file} is no JSON")]
    ParseScript {
        file: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("the script {0} is larger than {MAX_SCRIPT_BYTES} bytes")]
    LargeScript(String),
    #[error("script: a config bundle names only what is built in: `echo`")]
    ForeignScript,
    #[error("script")]
    Script(#[source] ScriptError),
}

impl ProfileError {
    /// The key of the table that is wrong.
    pub(super) fn key(&self) -> &str {
        match self {
            Self::NoBackend { .. } => "backend",
            Self::Misplaced { key, .. } => key,
            Self::NoTools(_) | Self::NoServer { .. } => "capabilities",
            Self::NoSandbox(_) => "sandbox",
            Self::Claude(_) => "settings_sources",
            Self::Zero(key) => key,
            Self::LongGrace(_) => "grace_secs",
            Self::ReadScript { .. }
            | Self::ParseScript { .. }
            | Self::LargeScript(_)
            | Self::ForeignScript
            | Self::Script(_) => "script",
        }
    }
}

/// Which scripts a profile of a scripted backend may name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scripts<'a> {
    /// Files too, relative to this directory.
    Beside(&'a Path),
    /// Those that are built in.
    BuiltIn,
}

/// The profile that is written, with its script read.
pub(super) fn resolve(
    spec: ProfileSpec,
    scripts: Scripts<'_>,
    backends: &BTreeMap<String, BackendOptions>,
    servers: &BTreeMap<String, McpServer>,
) -> Result<Profile, ProfileError> {
    let Some(kind) = backends.get(&spec.backend).map(BackendOptions::kind) else {
        let known = backends.keys().cloned().collect();
        return Err(ProfileError::NoBackend { name: spec.backend, known });
    };
    check_keys(&spec, kind)?;
    let mut profile = Profile::of(&spec.backend);
    profile.model = spec.model;
    profile.instructions = spec.instructions;
    if let Some(ApprovalSpec { mode, deadline_secs }) = spec.approval {
        let mode = match mode {
            ApproverSpec::Ask => ApprovalMode::Ask,
            ApproverSpec::Allow => ApprovalMode::Allow,
            ApproverSpec::Deny => ApprovalMode::Deny,
        };
        let deadline = deadline_secs.map_or(profile.approval.deadline, Duration::from_secs);
        profile.approval = ApprovalPolicy { mode, deadline };
    }
    if let Some(limits) = spec.limits {
        if let Some(place) = limits.first_not_positive() {
            return Err(ProfileError::Zero(place.trim_start_matches('/').replace('/', ".")));
        }
        profile.limits = profile.limits.with(&limits);
    }
    if let Some(capabilities) = spec.capabilities {
        profile.capabilities = capabilities;
    }
    profile.rate_limit = match (spec.on_rate_limit, spec.park_max_secs, profile.rate_limit) {
        (Some(OnRateLimit::End), ..) => RateLimitPolicy::End,
        (_, Some(secs), _) => RateLimitPolicy::Park { at_most: Duration::from_secs(secs) },
        (_, None, default) => default,
    };
    profile.on_restart = match spec.on_restart {
        Some(musher_protocol::OnRestart::Wait) => OnRestart::Wait,
        Some(musher_protocol::OnRestart::Resume) => OnRestart::Resume,
        None => profile.on_restart,
    };
    profile.sandbox = match (spec.sandbox, kind) {
        (Some(SandboxSpec::Landlock), Kind::ClaudePty | Kind::Scripted) => {
            return Err(ProfileError::NoSandbox(kind));
        }
        (Some(SandboxSpec::Landlock), Kind::OpenAiApi | Kind::GeminiApi) => Sandbox::Landlock,
        (Some(SandboxSpec::Auto), _) => Sandbox::Auto,
        (Some(SandboxSpec::None), _) => Sandbox::None,
        (None, _) => profile.sandbox,
    };
    profile.grace = match spec.grace_secs {
        Some(secs) if secs > MAX_GRACE_SECS => return Err(ProfileError::LongGrace(secs)),
        Some(secs) => Duration::from_secs(secs),
        None => profile.grace,
    };
    let options = &mut profile.options;
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            options.insert(key.to_owned(), value);
        }
    };
    set("settings_sources", spec.settings_sources.map(|sources| json!(sources)));
    set("reasoning_effort", spec.reasoning_effort.map(Value::from));
    set("thinking_level", spec.thinking_level.map(Value::from));
    set("max_output_tokens", spec.max_output_tokens.map(Value::from));
    set("word_delay_ms", spec.word_delay_ms.map(Value::from));
    if let Some(script) = spec.script {
        set("script", Some(read_script(&script, scripts)?));
    }
    check_servers(&profile.capabilities, kind, servers)?;
    match kind {
        Kind::ClaudePty => {
            drop(ClaudeProfile::from_options(&profile.options).map_err(ProfileError::Claude)?);
        }
        Kind::Scripted => drop(Script::from_options(&profile.options).map_err(ProfileError::Script)?),
        // What they take has no form that could be wrong here.
        Kind::OpenAiApi | Kind::GeminiApi => {}
    }
    Ok(profile)
}

/// Whether every key is one of this kind's.
fn check_keys(spec: &ProfileSpec, kind: Kind) -> Result<(), ProfileError> {
    use Kind::{ClaudePty, GeminiApi, OpenAiApi, Scripted};
    let keys: [(&'static str, bool, &[Kind]); 6] = [
        ("settings_sources", spec.settings_sources.is_some(), &[ClaudePty]),
        ("reasoning_effort", spec.reasoning_effort.is_some(), &[OpenAiApi]),
        ("thinking_level", spec.thinking_level.is_some(), &[GeminiApi]),
        ("max_output_tokens", spec.max_output_tokens.is_some(), &[OpenAiApi, GeminiApi]),
        ("script", spec.script.is_some(), &[Scripted]),
        ("word_delay_ms", spec.word_delay_ms.is_some(), &[Scripted]),
    ];
    match keys.iter().find(|(_, is_set, of)| *is_set && !of.contains(&kind)) {
        Some((key, ..)) => Err(ProfileError::Misplaced { key, kind }),
        None => Ok(()),
    }
}

/// Whether every MCP server that a profile names is there, and its backend can use any.
fn check_servers(
    capabilities: &BTreeSet<Capability>,
    kind: Kind,
    servers: &BTreeMap<String, McpServer>,
) -> Result<(), ProfileError> {
    let named = capabilities.iter().filter_map(|capability| match capability {
        Capability::Mcp(name) => Some((capability, name)),
        Capability::Read | Capability::Write | Capability::Shell | Capability::Network => None,
    });
    for (capability, name) in named {
        match kind {
            Kind::Scripted => return Err(ProfileError::NoTools(capability.clone())),
            Kind::ClaudePty | Kind::OpenAiApi | Kind::GeminiApi if servers.contains_key(name) => {}
            Kind::ClaudePty | Kind::OpenAiApi | Kind::GeminiApi => {
                let known = servers.keys().cloned().collect();
                return Err(ProfileError::NoServer { name: name.clone(), known });
            }
        }
    }
    Ok(())
}

/// What there is instead.
fn others(known: &[String]) -> String {
    if known.is_empty() { String::new() } else { format!("; there are {}", backticked(known)) }
}

/// Names, as an error lists them.
pub(crate) fn backticked(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// `echo` is a word; everything else is a path relative to the config.
fn read_script(script: &str, scripts: Scripts<'_>) -> Result<Value, ProfileError> {
    if script == "echo" {
        return Ok(json!(script));
    }
    let Scripts::Beside(directory) = scripts else { return Err(ProfileError::ForeignScript) };
    let path = directory.join(script);
    let file = path.display().to_string();
    let failed = |source| ProfileError::ReadScript { file: file.clone(), source };
    if fs::metadata(&path).map_err(failed)?.len() > MAX_SCRIPT_BYTES {
        return Err(ProfileError::LargeScript(file));
    }
    let text = fs::read_to_string(&path).map_err(failed)?;
    serde_json::from_str(&text).map_err(|source| ProfileError::ParseScript { file, source })
}
