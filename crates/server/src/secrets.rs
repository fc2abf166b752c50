//! The secrets that a server knows: no event, no line of the log and no error shows one.

use std::{
    env,
    ffi::OsStr,
    io,
    io::Write,
    sync::{Arc, LazyLock},
};

use musher_backend::{Vault, credential, query_values};
use musher_tools::McpServer;
use secrecy::{ExposeSecret as _, SecretString};

use crate::config::{BackendOptions, Config};

/// What stands in the place of the admin's token.
const ADMIN: &str = "MUSHER_TOKEN";

/// What the process knows. The log is set up before anything is known, so it cannot be handed around.
pub(crate) fn vault() -> Arc<Vault> {
    static VAULT: LazyLock<Arc<Vault>> = LazyLock::new(Arc::default);
    Arc::clone(&VAULT)
}

/// Hides the admin's token; also the one before stays hidden.
pub(crate) fn hide_admin(token: &SecretString) {
    vault().hide(ADMIN, token.expose_secret().as_bytes());
}

/// Hides the keys of a config, and of the variables that it gives to workers and programs those whose names look like secrets.
pub(crate) fn hide_those_of(config: &Config) {
    let vault = vault();
    let pass = |name: &String| {
        if let Some(value) = env::var_os(name) {
            vault.hide_variable(name, &value);
        }
    };
    for backend in config.backends.values() {
        let key = match backend {
            BackendOptions::Claude(options) => {
                options.pass_env.iter().for_each(pass);
                for (name, value) in &options.env {
                    vault.hide_variable(name, value.as_ref());
                }
                None
            }
            BackendOptions::OpenAi(options) => options.api_key.as_ref(),
            BackendOptions::Gemini(options) => Some(&options.api_key),
            BackendOptions::Scripted => None,
        };
        if let Some((name, key)) = key.and_then(musher_turn_loop::ApiKey::named) {
            vault.hide(name, key.expose_secret().as_bytes());
        }
    }
    config.workspaces.values().flat_map(|workspace| &workspace.pass_env).for_each(pass);
    for (server_name, server) in &config.mcp {
        if let McpServer::Command { environment, .. } = server {
            for name in environment.names() {
                if let Some(value) = environment.get(name) {
                    vault.hide_variable(name, value);
                }
            }
        }
        if let McpServer::Url { url, headers } = server {
            // Its user is looked for in any value.
            vault.hide_variable(&format!("mcp.{server_name}.url"), OsStr::new(url));
            for key in query_values(url) {
                vault.hide(&format!("mcp.{server_name}.url.key"), key.as_bytes());
            }
            for (name, value) in headers {
                let value = value.expose_secret();
                vault.hide(name, value.as_bytes());
                vault.hide(name, credential(value).as_bytes());
            }
        }
    }
}

/// Stderr without secrets. What writes a log writes a whole line at once.
#[derive(Debug)]
pub(crate) struct Stderr(io::Stderr);

/// A way to stderr for one line of the log.
pub(crate) fn stderr() -> Stderr {
    Stderr(io::stderr())
}

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(&vault().secrets().redact(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
