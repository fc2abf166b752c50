//! `musher serve`.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use musher_core::{Wall, stands};
use musher_http::{Access, AllowedHost, HttpOptions, HttpServer, Tokens};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    cli::ServeArguments,
    compose::{Recording, compose},
    config::Config,
    failure::{Chain, Failure},
    paths,
    store::StoreUrl,
    terminal, token,
    tokens::{self, Sources},
};

const DEFAULT_LISTEN: &str = "127.0.0.1:7717";

/// Why a server does not start on what it was told.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("listen on `{0}`: an address and a port are expected, e.g. {DEFAULT_LISTEN}")]
    Address(String),
    #[error("listen on {0}: others can reach it; name the hosts that it answers for in server.allowed_hosts")]
    NotLoopback(SocketAddr),
    #[error("server.allowed_hosts: `{0}` is no host")]
    Host(String, #[source] musher_http::HostError),
}

pub(crate) async fn serve(arguments: ServeArguments) -> Result<ExitCode, Failure> {
    let file = arguments.config.or_else(paths::default_config);
    let config = Config::load(file.as_deref()).map_err(Failure::usage)?;
    let store = StoreUrl::choose(arguments.store.as_deref(), &config)?;
    let token_file = match arguments.token_file {
        Some(file) => file,
        None => paths::state_dir().map_err(Failure::usage)?.join(token::NAME),
    };
    let listen = arguments.listen.or(config.listen.clone()).unwrap_or_else(|| DEFAULT_LISTEN.to_owned());
    let sources = Sources::of(token_file.clone(), config.tokens.clone());
    let known = sources.begin().map_err(|error| Failure::other("the tokens", error))?;
    let tokens = Tokens::new(known.tokens.clone());
    let options = options(&listen, &config, tokens.clone())?;
    // Signals are caught from here on: one that comes while the server starts ends it in order.
    let mut ended = Ended::catch().map_err(|error| Failure::other("catch signals", error))?;

    let composed = tokio::select! {
        composed = compose(&config, &store, [], Recording::AsConfigured) => composed?,
        // What was begun to be recovered is gone on with at the next start, and the guard ends what runs.
        () = ended.wait() => return Ok(ExitCode::SUCCESS),
    };
    let server = HttpServer::bind(composed.runtime.clone(), options).await;
    let server = match server {
        Ok(server) => server,
        Err(error) => {
            composed.finish().await;
            return Err(Failure::other("serve", error));
        }
    };
    let url = format!("http://{}", server.local_addr());
    terminal::say(format_args!("listening on {url}"));
    terminal::say(format_args!("token file {}", token_file.display()));
    if let Some(file) = &arguments.ready_file
        && let Err(error) = write_ready(file, &url, &token_file)
    {
        composed.finish().await;
        return Err(Failure::other(format!("write {}", file.display()), error));
    }
    let runtime = composed.runtime.clone();
    let following = tokens::follow(sources, tokens, known, composed.runtime.clone());
    let serving = server.serve(async move {
        tokio::select! {
            () = ended.wait() => {}
            error = runtime.failed() => terminal::say(format_args!("error: {}", Chain(&*error))),
        }
        // From here on no work is taken and readiness is false; streams end, then sessions.
        runtime.shutdown().await;
    });
    let served = tokio::select! {
        served = serving => served,
        never = following => match never {},
    };
    let runtime = composed.runtime.clone();
    composed.finish().await;
    served.map_err(|error| Failure::other("serve", error))?;
    // Also when it failed while the server ended: then the endings are not in the log.
    match runtime.failure() {
        Some(error) => Err(Failure::other("the store failed; what was acknowledged is in it", error)
            .next("start again when the disk is well: what was under way is closed in the log then")),
        None => Ok(ExitCode::SUCCESS),
    }
}

fn options(listen: &str, config: &Config, tokens: Tokens) -> Result<HttpOptions, Failure> {
    let address: SocketAddr =
        listen.parse().map_err(|_no_address| Failure::usage(Refused::Address(listen.to_owned())))?;
    if !address.ip().is_loopback() && config.allowed_hosts.is_empty() && stands(Wall::Bind) {
        return Err(Failure::usage(Refused::NotLoopback(address)));
    }
    let hosts = config
        .allowed_hosts
        .iter()
        .map(|host| host.parse::<AllowedHost>().map_err(|source| Refused::Host(host.clone(), source)));
    let allowed_hosts = hosts.collect::<Result<_, _>>().map_err(Failure::usage)?;
    Ok(HttpOptions { listen: address, allowed_hosts, ..HttpOptions::with_access(Access::Tokens(tokens)) })
}

/// Written whole under another name and moved into place, so that nobody reads half of it.
fn write_ready(file: &Path, url: &str, token_file: &Path) -> io::Result<()> {
    let mut hidden = file.as_os_str().to_owned();
    hidden.push(".new");
    let hidden = PathBuf::from(hidden);
    let ready =
        json!({ "url": url, "pid": std::process::id(), "token_file": std::path::absolute(token_file)? });
    let mut opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&hidden)?;
    writeln!(opened, "{ready}")?;
    opened.sync_all()?;
    fs::rename(&hidden, file)
}

/// The signals that ask a server to end.
pub(crate) struct Ended {
    terminate: Signal,
    interrupt: Signal,
}

impl Ended {
    pub(crate) fn catch() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Cancel safe.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
