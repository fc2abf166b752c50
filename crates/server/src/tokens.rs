//! The tokens of a server: the admin's, those of the config, and those of the tokens file, which change while it runs.

mod command;
mod file;
mod following;
mod table;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use musher_http::Token;
use secrecy::SecretString;

pub(crate) use self::{
    command::command,
    file::{FileError, TokensFile},
    following::follow,
    table::TokenTable,
};
use crate::{
    secrets,
    token::{self, TokenError},
};

/// The name that the admin's token has in the log.
const ADMIN: &str = "admin";

/// Where the tokens of a server come from.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub(crate) admin: PathBuf,
    pub(crate) config: Vec<TokenTable>,
    pub(crate) file: TokensFile,
}

/// The tokens of a server at one time.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) tokens: Vec<Token>,
    /// Names of tokens in the file that are not taken, for the admin's or one of the config has that name. Refusing the
    /// file for it would keep other tokens in it from being revoked.
    pub(crate) not_taken: Vec<String>,
}

/// Why the tokens of a server are not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokensError {
    #[error(transparent)]
    Admin(#[from] TokenError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "two tokens are called `{0}`; the log names who acts, so revoke one of them or rename it in the config"
    )]
    SameName(String),
    #[error("the tokens `{0}` and `{1}` have the same text; make another one for one of them")]
    SameText(String, String),
}

impl Sources {
    /// Those of a server with this file for the admin's token.
    pub(crate) fn of(admin: PathBuf, config: Vec<TokenTable>) -> Self {
        let file = TokensFile::beside(&admin);
        Self { admin, config, file }
    }

    /// Reads all of them; the admin's is made when there is none.
    pub(crate) fn begin(&self) -> Result<Known, TokensError> {
        self.combine(&token::read_or_create(&self.admin)?)
    }

    /// Reads all of them again.
    pub(crate) fn read(&self) -> Result<Known, TokensError> {
        self.combine(&token::read(&self.admin)?)
    }

    fn combine(&self, admin: &SecretString) -> Result<Known, TokensError> {
        secrets::hide_admin(admin);
        let mut tokens = vec![Token::admin(ADMIN, admin)];
        tokens.extend(self.config.iter().cloned().map(Token::from));
        let is_free = |made: &TokenTable| tokens.iter().all(|token| token.name != made.name);
        let (made, not_taken): (Vec<_>, Vec<_>) = self.file.read()?.into_iter().partition(is_free);
        tokens.extend(made.into_iter().map(Token::from));
        let not_taken = not_taken.into_iter().map(|made| made.name).collect();
        let (mut names, mut texts) = (BTreeSet::new(), BTreeMap::new());
        for token in &tokens {
            if !names.insert(&token.name) {
                return Err(TokensError::SameName(token.name.clone()));
            }
            if let Some(other) = texts.insert(token.sha256, &token.name) {
                return Err(TokensError::SameText(other.clone(), token.name.clone()));
            }
        }
        Ok(Known { tokens, not_taken })
    }
}
