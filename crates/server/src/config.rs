//! The config file: read once, every key of it used, an unknown one refused with file and line.

mod backend;
mod bundle;
mod mcp;
mod mount;
mod profile;
mod workspace;

mod place;
mod variables;

use std::{collections::BTreeMap, fs, io, path::Path, time::Duration};

use musher_core::{Mount, Profile, Retention, Workspace};
use musher_protocol::{ProfileSpec, RuntimeLimits};
use musher_tools::McpServer;
use serde::Deserialize;

pub(crate) use self::{
    backend::{BackendError, BackendOptions, Kind},
    mcp::McpError,
    profile::{ProfileError, backticked},
};
use self::{
    place::{Place, Source},
    profile::Scripts,
};
use crate::{store::StoreUrl, tokens::TokenTable};

/// The profile for coding that is there without a config.
const CODER: &str = "coder";
/// The profile that needs neither a CLI nor a key.
const ECHO: &str = "echo";
const DAY: Duration = Duration::from_secs(24 * 3600);
/// More would make a page that no client can hold.
const MAX_PAGE: u64 = 10_000;

/// Why a config cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("read the config {file}")]
    Read {
        file: String,
        #[source]
        source: io::Error,
    },
    #[error("config {file}: {message}")]
    Syntax { file: String, message: String },
    #[error("{at}: {message}")]
    Value { at: Place, message: String },
    #[error("{at}")]
    Mcp {
        at: Place,
        #[source]
        source: Box<McpError>,
    },
    #[error("{at}")]
    Backend {
        at: Place,
        #[source]
        source: BackendError,
    },
    #[error("{at}")]
    Profile {
        at: Place,
        #[source]
        source: ProfileError,
    },
}

/// A config, with its defaults filled in and its paths made absolute.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) listen: Option<String>,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) store: Option<StoreUrl>,
    pub(crate) display_name: Option<String>,
    pub(crate) default_profile: String,
    pub(crate) limits: RuntimeLimits,
    /// As many as the runtime says, where absent.
    pub(crate) max_keys_per_token: Option<u64>,
    pub(crate) retention: Retention,
    pub(crate) profiles: BTreeMap<String, Profile>,
    /// By their names; every kind has one of its own name.
    pub(crate) backends: BTreeMap<String, BackendOptions>,
    pub(crate) mcp: BTreeMap<String, McpServer>,
    pub(crate) workspaces: BTreeMap<String, Workspace>,
    pub(crate) mounts: BTreeMap<String, Mount>,
    pub(crate) tokens: Vec<TokenTable>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    server: ServerTable,
    #[serde(default)]
    store: StoreTable,
    #[serde(default)]
    runtime: RuntimeTable,
    #[serde(default)]
    profiles: BTreeMap<String, ProfileSpec>,
    #[serde(default)]
    backends: BTreeMap<String, backend::BackendTable>,
    #[serde(default)]
    mcp: BTreeMap<String, mcp::McpTable>,
    #[serde(default)]
    workspaces: BTreeMap<String, workspace::WorkspaceTable>,
    #[serde(default)]
    mounts: BTreeMap<String, mount::MountTable>,
    #[serde(default)]
    retention: RetentionTable,
    #[serde(default)]
    tokens: Vec<TokenTable>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetentionTable {
    max_events_per_worker: Option<u64>,
    delete_terminal_after_days: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerTable {
    listen: Option<String>,
    #[serde(default)]
    allowed_hosts: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoreTable {
    url: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuntimeTable {
    display_name: Option<String>,
    default_profile: Option<String>,
    max_transcript_projection_items: Option<u64>,
    max_event_batch_items: Option<u64>,
    max_keys_per_token: Option<u64>,
}

impl Config {
    /// Reads the file; without one, the defaults.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = file else { return Self::of(File::default(), &Source::default(), Path::new(".")) };
        let name = path.display().to_string();
        let text =
            fs::read_to_string(path).map_err(|source| ConfigError::Read { file: name.clone(), source })?;
        let source = Source { name, text: &text };
        let file = toml::from_str(&text).map_err(|error| ConfigError::Syntax {
            file: source.name.clone(),
            message: source.syntax(&error),
        })?;
        Self::of(file, &source, path.parent().unwrap_or(Path::new(".")))
    }

    /// `source` is where the file comes from, and what its paths are relative to is `directory`.
    fn of(file: File, source: &Source<'_>, directory: &Path) -> Result<Self, ConfigError> {
        let wrong =
            |keys: &[&str], message: String| ConfigError::Value { at: source.place(keys, ""), message };
        let mut tables = file.backends;
        for kind in Kind::ALL {
            tables.entry(kind.name().to_owned()).or_default();
        }
        let mut backends = BTreeMap::new();
        for (backend, table) in tables {
            let resolved = table.resolve(&backend, directory).map_err(|error| ConfigError::Backend {
                at: source.place(&["backends", &backend], error.key()),
                source: error,
            })?;
            backends.insert(backend, resolved);
        }
        let mut servers = BTreeMap::new();
        for (server, table) in file.mcp {
            let resolved = table.resolve(&server).map_err(|error| ConfigError::Mcp {
                at: source.place(&["mcp", &server], error.key()),
                source: Box::new(error),
            })?;
            servers.insert(server, resolved);
        }
        let mut profiles = builtin_profiles();
        for (profile, spec) in file.profiles {
            let resolved = profile::resolve(spec, Scripts::Beside(directory), &backends, &servers);
            let resolved = resolved.map_err(|error| ConfigError::Profile {
                at: source.place(&["profiles", &profile], error.key()),
                source: error,
            })?;
            profiles.insert(profile, resolved);
        }
        let default_profile = file.runtime.default_profile.unwrap_or_else(|| CODER.to_owned());
        if !profiles.contains_key(&default_profile) {
            return Err(wrong(&["runtime", "default_profile"], format!("no profile `{default_profile}`")));
        }
        let page = |key: &str, value: Option<u64>| match value.unwrap_or(256) {
            n @ 1..=MAX_PAGE => Ok(n),
            n => Err(wrong(&["runtime", key], format!("{n} is not within 1 and {MAX_PAGE}"))),
        };
        let limits = RuntimeLimits {
            max_transcript_projection_items: page(
                "max_transcript_projection_items",
                file.runtime.max_transcript_projection_items,
            )?,
            max_event_batch_items: page("max_event_batch_items", file.runtime.max_event_batch_items)?,
        };
        let max_keys_per_token = file.runtime.max_keys_per_token;
        if max_keys_per_token == Some(0) {
            return Err(wrong(&["runtime", "max_keys_per_token"], "at least 1".to_owned()));
        }
        let store = file.store.url.map(|url| match url.parse::<StoreUrl>() {
            Ok(store) => Ok(store.below(directory)),
            Err(error) => Err(wrong(&["store", "url"], error.to_string())),
        });
        let RetentionTable { max_events_per_worker, delete_terminal_after_days } = file.retention;
        if max_events_per_worker == Some(0) {
            return Err(wrong(&["retention", "max_events_per_worker"], "at least 1".to_owned()));
        }
        let retention = Retention {
            max_events_per_worker,
            delete_terminal_after: delete_terminal_after_days.map(|days| DAY * days),
        };
        let mut workspaces = BTreeMap::new();
        for (workspace, table) in file.workspaces {
            let resolved = table.resolve(directory);
            let resolved =
                resolved.map_err(|(key, message)| wrong(&["workspaces", &workspace, key], message))?;
            workspaces.insert(workspace, resolved);
        }
        let mut mounts = BTreeMap::new();
        for (mount, table) in file.mounts {
            let resolved = table.resolve(directory);
            let resolved = resolved.map_err(|(key, message)| wrong(&["mounts", &mount, key], message))?;
            mounts.insert(mount, resolved);
        }
        for token in &file.tokens {
            token.check().map_err(|error| wrong(&["tokens"], error.to_string()))?;
        }
        Ok(Self {
            listen: file.server.listen,
            allowed_hosts: file.server.allowed_hosts,
            store: store.transpose()?,
            display_name: file.runtime.display_name,
            default_profile,
            limits,
            max_keys_per_token,
            retention,
            profiles,
            backends,
            mcp: servers,
            workspaces,
            mounts,
            tokens: file.tokens,
        })
    }
}

fn builtin_profiles() -> BTreeMap<String, Profile> {
    [(CODER, "claude-pty"), (ECHO, "scripted")]
        .map(|(name, backend)| (name.to_owned(), Profile::of(backend)))
        .into()
}

#[cfg(test)]
mod tests {
    use musher_backend::Sandbox;
    use musher_claude_pty::RecordLimits;
    use musher_core::{ApprovalMode, ApprovalPolicy, Limits, OnRestart, WorkspaceIsolation};
    use musher_http::TokenScope;
    use musher_openai_api::Dialect;
    use musher_protocol::Capability;

    use super::*;

    fn load(text: &str) -> Result<Config, String> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("musher.toml");
        fs::write(&file, text).unwrap();
        fs::write(directory.path().join("bad.json"), r#"{"turns": [{"match": "x", "stepz": []}]}"#).unwrap();
        Config::load(Some(&file)).map_err(|error| {
            crate::failure::Chain(&error).to_string().replace(&directory.path().display().to_string(), "DIR")
        })
    }

    #[test]
    fn without_a_config_there_are_a_coder_and_an_echo() {
        let config = Config::load(None).unwrap();
        assert_eq!(config.profiles.keys().collect::<Vec<_>>(), ["coder", "echo"]);
        assert_eq!(config.default_profile, "coder");
    }

    #[test]
    fn every_documented_key_is_read() {
        let config = load(
            r#"
            [server]
            listen = "127.0.0.1:0"
            allowed_hosts = ["musher.internal"]
            [store]
            url = "memory"
            [runtime]
            display_name = "build farm"
            default_profile = "careful"
            max_transcript_projection_items = 10
            max_event_batch_items = 20
            max_keys_per_token = 30
            [profiles.careful]
            backend = "claude-pty"
            model = "sonnet"
            instructions = "be brief"
            settings_sources = ["user", "project"]
            approval = { mode = "ask", deadline_secs = 5 }
            capabilities = ["read", "shell"]
            limits = { turns = 50, tokens = 2000000, cost_usd = 5.0, wall_secs = 7200, inactivity_secs = 7, tool_rounds = 100, background_secs = 60, queued_inputs = 2 }
            on_rate_limit = "park"
            park_max_secs = 9
            sandbox = "auto"
            grace_secs = 3
            [profiles.slow]
            backend = "scripted"
            script = "echo"
            word_delay_ms = 3
            sandbox = "none"
            [backends.claude-pty]
            program = "claude"
            env = { A = "b" }
            pass_env = ["C"]
            start_secs = 30
            exit_secs = 4
            tool_secs = 900
            record = "recordings"
            record_files = 7
            record_mib = 3
            [backends.openai-api]
            base_url = "https://gateway.example/v1"
            api_key_env = "MUSHER_TEST_NO_SUCH_KEY"
            dialect = "responses"
            model = "gpt-5"
            window_tokens = 100000
            silence_secs = 90
            progress_secs = 900
            [backends.local-llm]
            kind = "openai-api"
            base_url = "http://127.0.0.1:8000/v1"
            [backends.gemini-api]
            api_version = "v1"
            silence_secs = 45
            [profiles.local]
            backend = "local-llm"
            model = "qwen"
            capabilities = ["mcp:tickets"]
            sandbox = "landlock"
            max_output_tokens = 1000
            reasoning_effort = "low"
            [profiles.gem]
            backend = "gemini-api"
            thinking_level = "LOW"
            [mcp.tickets]
            command = "tickets-mcp"
            args = ["--stdio"]
            env = { LEVEL = "warn" }
            pass_env = ["TICKETS_TOKEN"]
            [mcp.wiki]
            url = "https://wiki.internal/mcp"
            headers = { Authorization = "Bearer x" }
            [workspaces.here]
            path = "."
            isolation = "worktree"
            children = true
            setup = "npm ci"
            pass_env = ["NPM_TOKEN"]
            [mounts.handbook]
            path = "."
            [mounts.cache]
            path = "."
            writable = true
            [[tokens]]
            name = "ci"
            sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
            scopes = ["observe", "drive"]
            labels = { team = "a" }
            "#,
        )
        .unwrap();
        assert_eq!(config.max_keys_per_token, Some(30));
        let careful = &config.profiles["careful"];
        assert_eq!(careful.model.as_deref(), Some("sonnet"));
        assert_eq!(careful.grace, Duration::from_secs(3));
        let secs = |secs| Some(Duration::from_secs(secs));
        let limits = Limits {
            inactivity: Duration::from_secs(7),
            queued_inputs: 2,
            turns: Some(50),
            tokens: Some(2_000_000),
            cost_usd: Some(5.0),
            wall: secs(7200),
            tool_rounds: Some(100),
            background: secs(60),
        };
        assert_eq!(careful.limits, limits);
        assert_eq!(careful.capabilities, [Capability::Read, Capability::Shell].into());
        let asks = ApprovalPolicy { mode: ApprovalMode::Ask, deadline: Duration::from_secs(5) };
        assert_eq!(careful.approval, asks);
        assert_eq!(
            careful.rate_limit,
            musher_core::RateLimitPolicy::Park { at_most: Duration::from_secs(9) }
        );
        assert_eq!(careful.options["settings_sources"], serde_json::json!(["user", "project"]));
        let BackendOptions::Claude(claude) = &config.backends["claude-pty"] else { panic!("a CLI") };
        assert_eq!((claude.env["A"].as_str(), &claude.pass_env[..]), ("b", &["C".to_owned()][..]));
        assert_eq!(
            (Some(claude.start_limit), Some(claude.exit_limit), claude.tool_limit),
            (secs(30), secs(4), secs(900))
        );
        assert_eq!(config.profiles["slow"].options["word_delay_ms"], 3);
        let BackendOptions::OpenAi(openai) = &config.backends["openai-api"] else { panic!("an API") };
        let missing = openai.api_key.as_ref().and_then(musher_turn_loop::ApiKey::missing);
        assert_eq!(missing.as_deref(), Some("variable `MUSHER_TEST_NO_SUCH_KEY`"));
        assert_eq!(
            (openai.dialect, openai.model.as_deref(), openai.window),
            (Dialect::Responses, Some("gpt-5"), Some(100_000))
        );
        assert_eq!((Some(openai.pace.silence), Some(openai.pace.progress)), (secs(90), secs(900)));
        let BackendOptions::OpenAi(local) = &config.backends["local-llm"] else { panic!("an API") };
        assert_eq!(
            (local.name.as_str(), local.dialect, local.api_key.is_none()),
            ("local-llm", Dialect::Chat, true)
        );
        let BackendOptions::Gemini(gemini) = &config.backends["gemini-api"] else { panic!("an API") };
        let default = musher_turn_loop::Pace::default();
        let pace = musher_turn_loop::Pace { silence: Duration::from_secs(45), ..default };
        assert_eq!((gemini.api_version.as_str(), gemini.pace), ("v1", pace));
        assert_eq!(config.profiles["local"].options["max_output_tokens"], 1000);
        let sandbox = |profile: &str| config.profiles[profile].sandbox;
        assert_eq!(
            ["careful", "local", "slow"].map(sandbox),
            [Sandbox::Auto, Sandbox::Landlock, Sandbox::None]
        );
        assert_eq!(config.profiles["gem"].options["thinking_level"], "LOW");
        assert_eq!(config.profiles["local"].capabilities, [Capability::Mcp("tickets".to_owned())].into());
        let path = config.workspaces["here"].path.clone();
        let expected = [
            ("cache".to_owned(), Mount { path: path.clone(), writable: true }),
            ("handbook".to_owned(), path.into()),
        ];
        assert_eq!(config.mounts, BTreeMap::from(expected));
        let here = &config.workspaces["here"];
        let setup = Some("npm ci".to_owned());
        let expected = Workspace {
            path: here.path.clone(),
            children: true,
            isolation: WorkspaceIsolation::Worktree { setup },
            pass_env: vec!["NPM_TOKEN".to_owned()],
        };
        assert_eq!((here, here.path.is_absolute()), (&expected, true));
        assert!(
            claude
                .record
                .as_ref()
                .is_some_and(|record| record.is_absolute() && record.ends_with("recordings"))
        );
        assert_eq!(claude.record_limits, RecordLimits { files: 7, bytes: 3 << 20 });
        let McpServer::Command { program, args, environment } = &config.mcp["tickets"] else {
            panic!("a program")
        };
        assert_eq!((program.as_str(), &args[..]), ("tickets-mcp", &["--stdio".to_owned()][..]));
        assert_eq!(environment.get("LEVEL").and_then(|level| level.to_str()), Some("warn"));
        let McpServer::Url { url, headers } = &config.mcp["wiki"] else { panic!("an address") };
        assert_eq!((url.as_str(), headers.len()), ("https://wiki.internal/mcp", 1));
        assert_eq!(config.tokens[0].scopes, [TokenScope::Observe, TokenScope::Drive]);
        assert_eq!(config.tokens[0].labels, BTreeMap::from([("team".to_owned(), "a".to_owned())]));
    }

    #[test]
    fn the_config_of_the_readme_is_read() {
        let readme = include_str!("../../../README.md");
        let example = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let config = load(&example.replace("/srv/shop", ".").replace("/srv/handbook", ".")).unwrap();
        assert_eq!((config.default_profile.as_str(), config.tokens.len()), ("coder", 1));
        let Some(StoreUrl::Sqlite(directory)) = config.store else { panic!("{:?}", config.store) };
        assert!(directory.is_absolute() && directory.ends_with("store"), "{}", directory.display());
        let ninety_days = Some(Duration::from_secs(90 * 24 * 3600));
        let retention =
            Retention { max_events_per_worker: Some(1_000_000), delete_terminal_after: ninety_days };
        assert_eq!((config.retention, config.profiles["coder"].on_restart), (retention, OnRestart::Resume));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let cases = [
            (
                "[server]\nlisten = \"x\"\nprot = 1\n",
                "config DIR/musher.toml: TOML parse error at line 3, column 1",
            ),
            (
                "[mcp.x]\nheaders = { A = \"secret\", n = 1 }\n",
                "config DIR/musher.toml: TOML parse error at line 2, column 31: invalid type: integer `1`, expected a string",
            ),
            ("[sever]\n", "config DIR/musher.toml: TOML parse error at line 1, column 2"),
            (
                "[runtime]\ndefault_profile = \"x\"\n",
                "config DIR/musher.toml: line 2: runtime.default_profile: no profile `x`",
            ),
            (
                "[runtime]\nmax_event_batch_items = 0\n",
                "config DIR/musher.toml: line 2: runtime.max_event_batch_items: 0 is not within 1 and 10000",
            ),
            (
                "[runtime]\nmax_keys_per_token = 0\n",
                "config DIR/musher.toml: line 2: runtime.max_keys_per_token: at least 1",
            ),
            (
                "[profiles.p]\nbackend = \"nobody\"\n",
                "config DIR/musher.toml: line 2: profiles.p: no backend `nobody`; there are `claude-pty`, `gemini-api`, `openai-api`, `scripted`",
            ),
            (
                "[mcp.x]\nargs = []\n",
                "config DIR/musher.toml: line 1: mcp.x: one of `command` and `url` is needed",
            ),
            (
                "[mcp.x]\nurl = \"http://x\"\nargs = []\n",
                "config DIR/musher.toml: line 3: mcp.x: `args` does not go with `url`",
            ),
            (
                "[profiles.p]\nbackend = \"scripted\"\ngrace_secs = 61\n",
                "config DIR/musher.toml: line 3: profiles.p: grace_secs: 61 is more than 60",
            ),
            (
                "[profiles.p]\nbackend = \"claude-pty\"\ncapabilities = [\"read\", \"mcp:tickets\"]\n",
                "config DIR/musher.toml: line 3: profiles.p: capabilities: `mcp:tickets`: there is no [mcp.tickets]",
            ),
            (
                "[profiles.p]\nbackend = \"scripted\"\ncapabilities = [\"mcp:tickets\"]\n[mcp.tickets]\nurl = \"x\"",
                "config DIR/musher.toml: line 3: profiles.p: capabilities: `mcp:tickets`: a scripted worker calls no tools",
            ),
            (
                "[profiles.p]\nbackend = \"openai-api\"\ncapabilities = [\n\"mcp:wiki\"]\n",
                "config DIR/musher.toml: line 3: profiles.p: capabilities: `mcp:wiki`: there is no [mcp.wiki]",
            ),
            (
                "[mcp.tickets]\nurl = \"x\"\n[mcp.mail]\nurl = \"x\"\n\
                 [profiles.p]\nbackend = \"gemini-api\"\ncapabilities = [\"mcp:tickets\", \"mcp:wiki\"]\n",
                "config DIR/musher.toml: line 7: profiles.p: capabilities: `mcp:wiki`: there is no [mcp.wiki]; there are `mail`, `tickets`",
            ),
            (
                "[mcp.a]\nurl = \"x\"\n[mcp.\"a b\"]\nurl = \"x\"\n",
                "config DIR/musher.toml: line 3: mcp.a b: no capability can name it: a server's name is 1 to 64 letters, digits, `-` and `_`",
            ),
            (
                "[mcp.x]\ncommand = \"x\"\npass_env = [\"A-B\"]\n",
                "config DIR/musher.toml: line 3: mcp.x: pass_env: `A-B` is not a portable variable name",
            ),
            (
                "[profiles.p]\nbackend = \"claude-pty\"\nsandbox = \"landlock\"\n",
                "config DIR/musher.toml: line 3: profiles.p: sandbox: `landlock` cannot be had with a backend of the kind `claude-pty`: it holds tools of Musher's own alone",
            ),
            (
                "[profiles.p]\nbackend = \"scripted\"\nsandbox = \"landlock\"\n",
                "config DIR/musher.toml: line 3: profiles.p: sandbox: `landlock` cannot be had with a backend of the kind `scripted`",
            ),
            (
                "[profiles.p]\nbackend = \"openai-api\"\nsandbox = \"strict\"\n",
                "config DIR/musher.toml: TOML parse error at line 3, column 11: unknown variant `strict`, expected one of `auto`, `landlock`, `none`",
            ),
            (
                "[backends.openai-api]\napi_key_env = \"\"\n",
                "config DIR/musher.toml: line 2: backends.openai-api: api_key_env: the name of a variable is expected, of letters, digits and `_`; leave it out for a `base_url` that wants no key",
            ),
            (
                "[backends.gemini-api]\nmodel = \"x\"\napi_key_env = \"\"\n",
                "config DIR/musher.toml: line 3: backends.gemini-api: api_key_env: the name of a variable is expected, of letters, digits and `_`",
            ),
            (
                "[profiles.p]\nbackend = \"scripted\"\nscript = \"bad.json\"\n",
                "config DIR/musher.toml: line 3: profiles.p: script",
            ),
            (
                "[profiles.p]\nbackend = \"scripted\"\nscript = \"none.json\"\n",
                "config DIR/musher.toml: line 3: profiles.p: read the script DIR/none.json",
            ),
            (
                "[profiles.p]\nbackend = \"claude-pty\"\nscript = \"echo\"\n",
                "config DIR/musher.toml: line 3: profiles.p: `script` is not for a backend of the kind `claude-pty`",
            ),
            (
                "[profiles.p]\nbackend = \"scripted\"\nsettings_sources = [\"user\"]\n",
                "config DIR/musher.toml: line 3: profiles.p: `settings_sources` is not for a backend of the kind `scripted`",
            ),
            (
                "[profiles.p]\nbackend = \"claude-pty\"\nsettings_sources = [\"web\"]\n",
                "config DIR/musher.toml: line 3: profiles.p: settings_sources: read the profile's keys for claude-pty: unknown variant `web`, expected one of",
            ),
            (
                "[backends.mine]\nmodel = \"x\"\n",
                "config DIR/musher.toml: line 1: backends.mine: kind is missing: the name is none of `claude-pty`, `openai-api`, `gemini-api` and `scripted`",
            ),
            (
                "[backends.mine]\nkind = \"gemini-api\"\ndialect = \"chat\"\n",
                "config DIR/musher.toml: line 3: backends.mine: `dialect` is not for a backend of the kind `gemini-api`",
            ),
            (
                "[profiles.p]\nbackend = \"gemini-api\"\nreasoning_effort = \"low\"\n",
                "config DIR/musher.toml: line 3: profiles.p: `reasoning_effort` is not for a backend of the kind `gemini-api`",
            ),
            (
                "[backends.claude-pty]\nexit_secs = 0\n",
                "config DIR/musher.toml: TOML parse error at line 2, column 13",
            ),
            (
                "[profiles.p]\nbackend = \"scripted\"\nlimits = { turns = 0 }\n",
                "config DIR/musher.toml: line 3: profiles.p: limits.turns: a limit is greater than 0",
            ),
            (
                "[profiles.p]\nbackend = \"scripted\"\ncapabilities = [\"fly\"]\n",
                "config DIR/musher.toml: TOML parse error at line 3, column 16",
            ),
            ("[store]\nurl = \"redis\"\n", "config DIR/musher.toml: line 2: store.url: no store `redis`"),
            (
                "[retention]\nmax_events_per_worker = 0\n",
                "config DIR/musher.toml: line 2: retention.max_events_per_worker: at least 1",
            ),
            (
                "[workspaces.w]\npath = \"nowhere\"\n",
                "config DIR/musher.toml: line 2: workspaces.w.path: no directory DIR/nowhere",
            ),
            (
                "[mounts.m]\npath = \"nowhere\"\n",
                "config DIR/musher.toml: line 2: mounts.m.path: no directory DIR/nowhere",
            ),
            (
                "[workspaces.w]\npath = \".\"\nsetup = \"make\"\n",
                "config DIR/musher.toml: line 3: workspaces.w.setup: only a new worktree is set up: `isolation = \"worktree\"`",
            ),
            (
                "[workspaces.w]\npath = \".\"\npass_env = [\"A-B\"]\n",
                "config DIR/musher.toml: line 3: workspaces.w.pass_env: `A-B` is not a portable variable name",
            ),
            (
                &format!("[[tokens]]\nname = \"ci\"\nsha256 = \"{}\"\nscopes = []\n", "0".repeat(64)),
                "config DIR/musher.toml: line 1: tokens: a token without a scope could do nothing",
            ),
            (
                "[[tokens]]\nname = \"ci\"\nsha256 = \"AB\"\nscopes = []\n",
                "config DIR/musher.toml: TOML parse error at line 3, column 10",
            ),
        ];
        for (text, expected) in cases {
            let error = load(text).unwrap_err();
            assert!(error.starts_with(expected), "{error}\n  is not\n{expected}");
        }
    }

    #[test]
    fn a_key_in_the_place_of_its_variables_name_is_not_shown() {
        let error = load("[backends.openai-api]\napi_key_env = \"sk-secret\"\n").unwrap_err();
        assert!(error.contains("the name of a variable is expected") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn tables_show_no_secrets() {
        let file: File = toml::from_str(
            r#"
            [mcp.one]
            command = "one"
            args = ["secret"]
            env = { KEY = "secret" }
            [mcp.two]
            url = "https://secret"
            headers = { Authorization = "secret" }
            [backends.claude-pty]
            env = { TOKEN = "secret" }
            "#,
        )
        .unwrap();
        let shown = format!("{file:?}");
        assert!(!shown.contains("secret"), "{shown}");
        for name in ["KEY", "Authorization", "TOKEN"] {
            assert!(shown.contains(name), "{name} is in {shown}");
        }
    }
}
