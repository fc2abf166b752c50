//! `musher token`: makes tokens, shows them, and takes them away.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

use musher_http::{Token, TokenScope};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::{
    ADMIN, FileError, TokensFile,
    table::{Sha256Hex, TokenTable, Wrong},
};
use crate::{
    cli::{CreateToken, TokenCommand, TokenPlace},
    display::harmless,
    failure::Failure,
    paths, terminal,
    token::{self, TokenError},
};

/// Why a token was not made, or not taken away.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("there is a token `{0}`; rotate or revoke it")]
    Taken(String),
    #[error("`{ADMIN}` is the admin's token; rotate it: musher token rotate {ADMIN}")]
    Admin,
    #[error("no token `{0}` in the tokens file; those of the config are changed there")]
    Unknown(String),
    #[error(transparent)]
    Wrong(#[from] Wrong),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Token(#[from] TokenError),
}

pub(crate) fn command(command: TokenCommand) -> Result<ExitCode, Failure> {
    match command {
        TokenCommand::Create(arguments) => create(arguments),
        TokenCommand::List { json, place } => list(json, place),
        TokenCommand::Revoke { name, place } => revoke(&name, place),
        TokenCommand::Rotate { name, json, place } => rotate(&name, json, place),
    }
    .map(|()| ExitCode::SUCCESS)
}

fn create(arguments: CreateToken) -> Result<(), Failure> {
    let CreateToken { name, scopes, labels, json, place } = arguments;
    let admin = admin_file(place)?;
    let file = TokensFile::beside(&admin);
    let (text, sha256) = fresh(&name);
    let made = TokenTable { name, sha256, scopes, labels: labels.into_iter().collect::<BTreeMap<_, _>>() };
    let table = made.clone();
    file.change(|tokens| {
        table.check()?;
        if table.name == ADMIN {
            return Err(Refused::Admin);
        }
        if tokens.iter().any(|known| known.name == table.name) {
            return Err(Refused::Taken(table.name));
        }
        tokens.push(table);
        Ok(())
    })
    .map_err(failure)?;
    show(&made, &text, json, &admin);
    Ok(())
}

fn rotate(name: &str, json: bool, place: TokenPlace) -> Result<(), Failure> {
    let admin = admin_file(place)?;
    if name == ADMIN {
        token::replace(&admin).map_err(Refused::from).map_err(failure)?;
        terminal::say(format_args!("the admin's token in {} is another one now", admin.display()));
        return Ok(());
    }
    let (text, sha256) = fresh(name);
    let rotated = TokensFile::beside(&admin).change(|tokens| {
        let known = tokens.iter_mut().find(|known| known.name == name);
        let known = known.ok_or_else(|| Refused::Unknown(name.to_owned()))?;
        known.sha256 = sha256;
        Ok::<_, Refused>(known.clone())
    });
    show(&rotated.map_err(failure)?, &text, json, &admin);
    Ok(())
}

fn revoke(name: &str, place: TokenPlace) -> Result<(), Failure> {
    let file = TokensFile::beside(&admin_file(place)?);
    file.change(|tokens| {
        if name == ADMIN {
            return Err(Refused::Admin);
        }
        let n_before = tokens.len();
        tokens.retain(|known| known.name != name);
        if tokens.len() == n_before { Err(Refused::Unknown(name.to_owned())) } else { Ok(()) }
    })
    .map_err(failure)?;
    terminal::say("revoked; what it had opened on a running server ends within some seconds");
    Ok(())
}

fn list(json: bool, place: TokenPlace) -> Result<(), Failure> {
    let tokens = TokensFile::beside(&admin_file(place)?).read().map_err(|error| failure(error.into()))?;
    let mut text = String::new();
    for token in tokens {
        let TokenTable { name, sha256: _, scopes, labels } = token;
        text += &if json {
            format!("{}\n", json!({ "name": name, "scopes": scopes, "labels": labels }))
        } else {
            let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            harmless(format!("{name}  {}  {}", scope_names(&scopes), labels.join(",")).trim_end()) + "\n"
        };
    }
    terminal::print(&text);
    Ok(())
}

/// The one time that a token's text is shown. Without an admin's token no server has been here, and a path may be mistyped.
fn show(made: &TokenTable, text: &SecretString, json: bool, admin: &Path) {
    let TokenTable { name, sha256: _, scopes, labels } = made;
    let token = text.expose_secret();
    if json {
        let shown = json!({ "name": name, "token": token, "scopes": scopes, "labels": labels });
        terminal::print(&format!("{shown}\n"));
    } else {
        terminal::print(&format!("{token}\n"));
    }
    if !admin.exists() {
        let admin = admin.display();
        terminal::say(format_args!(
            "no server has begun with {admin} yet; the first that does takes the token"
        ));
    } else if !json {
        terminal::say(
            "this is the only time that it is shown; a running server takes it within a second, unless its config has a token of that name",
        );
    }
}

fn scope_names(scopes: &[TokenScope]) -> String {
    let name = |scope: &TokenScope| match scope {
        TokenScope::Observe => "observe",
        TokenScope::Drive => "drive",
        TokenScope::Approve => "approve",
        TokenScope::Admin => "admin",
    };
    scopes.iter().map(name).collect::<Vec<_>>().join(",")
}

/// A new text, and its hash.
fn fresh(name: &str) -> (SecretString, Sha256Hex) {
    let text = token::fresh();
    let sha256 = Token::admin(name, &text).sha256;
    (text, Sha256Hex::of(sha256))
}

fn admin_file(place: TokenPlace) -> Result<PathBuf, Failure> {
    match place.token_file {
        Some(file) => Ok(file),
        None => Ok(paths::state_dir().map_err(Failure::usage)?.join(token::NAME)),
    }
}

fn failure(refused: Refused) -> Failure {
    match refused {
        Refused::Taken(_) | Refused::Admin | Refused::Unknown(_) | Refused::Wrong(_) => {
            Failure::usage(refused)
        }
        Refused::File(_) | Refused::Token(_) => Failure::other("change the tokens", refused),
    }
}
