//! Tokens: who asks, and what it may do.

use std::{collections::BTreeMap, fmt, sync::Arc};

use http::{HeaderMap, header::AUTHORIZATION};
use musher_core::{Wall, stands};
use musher_protocol::{
    Actor, ErrorCode,
    route::{Route, Scope},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{fault::Fault, tokens::Tokens};

/// Who acts where nobody has to say who they are.
const ANONYMOUS: &str = "anonymous";

/// A token, by its hash. Who can read it from here cannot use it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Its name: who acts, as the events of the log say.
    pub name: String,
    /// SHA-256 of the token's text.
    pub sha256: [u8; 32],
    /// What it may do. The scopes do not imply each other, except that `admin` holds all.
    pub scopes: Vec<TokenScope>,
    /// The labels, with their values, of the workers that it is for: it sees and touches only those that carry all of
    /// them, and what it creates carries them. Without any it is for every worker.
    pub labels: BTreeMap<String, String>,
}

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenScope {
    /// Look.
    Observe,
    /// Say something to workers and end them.
    Drive,
    /// Decide what workers ask.
    Approve,
    /// Everything.
    Admin,
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// Somebody, where nobody has to say who they are.
    Anonymous,
    /// The holder of a token.
    Holder(Holder),
}

/// The holder of a token, for as long as the token is one.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    pub(crate) token: Arc<Token>,
    pub(crate) tokens: Tokens,
}

impl Token {
    /// A token that may do everything, made of its text.
    #[must_use]
    pub fn admin(name: impl Into<String>, text: &SecretString) -> Self {
        let sha256 = Sha256::digest(text.expose_secret().as_bytes()).into();
        Self { name: name.into(), sha256, scopes: vec![TokenScope::Admin], labels: BTreeMap::new() }
    }

    fn grants(&self, wanted: Scope) -> bool {
        self.scopes.iter().any(|scope| match scope {
            TokenScope::Admin => true,
            TokenScope::Observe => wanted == Scope::Observe,
            TokenScope::Drive => {
                wanted == Scope::Drive || (wanted == Scope::Approve && !stands(Wall::ApproveScope))
            }
            TokenScope::Approve => wanted == Scope::Approve,
        })
    }
}

// The hash of a weak token can be guessed from.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("name", &self.name)
            .field("scopes", &self.scopes)
            .field("labels", &self.labels)
            .finish_non_exhaustive()
    }
}

impl Caller {
    /// A fault when the caller may not use a route.
    pub(crate) fn check_route(&self, route: &Route) -> Result<(), Fault> {
        let Some(scope) = route.scope else { return Ok(()) };
        self.check(scope)?;
        let is_of_all = scope == Scope::Admin && !route.path.contains("{worker_id}");
        if is_of_all && !self.labels().is_empty() && stands(Wall::LabelsOnAdminRoutes) {
            let message = "a token with labels changes nothing that concerns all workers";
            return Err(Fault::new(ErrorCode::Forbidden, message));
        }
        Ok(())
    }

    /// A fault when the caller may not do what needs this scope.
    pub(crate) fn check(&self, wanted: Scope) -> Result<(), Fault> {
        let token = match self {
            Self::Anonymous => return Ok(()),
            Self::Holder(holder) => &holder.token,
        };
        if token.grants(wanted) || !stands(Wall::Scope) {
            return Ok(());
        }
        let scope = match wanted {
            Scope::Observe => "observe",
            Scope::Drive => "drive",
            Scope::Approve => "approve",
            Scope::Admin => "admin",
        };
        Err(Fault::new(ErrorCode::Forbidden, format!("this needs a token with the scope `{scope}`")))
    }

    /// A fault when the caller's token is none any more.
    pub(crate) fn check_still(&self) -> Result<(), Fault> {
        match self {
            Self::Anonymous => Ok(()),
            Self::Holder(Holder { token, tokens }) if tokens.has(token) => Ok(()),
            Self::Holder(_) => Err(revoked()),
        }
    }

    /// Wakes when the caller's token is none any more.
    pub(crate) async fn revoked(&self) {
        match self {
            Self::Anonymous => std::future::pending().await,
            Self::Holder(Holder { token, tokens }) => tokens.without(token).await,
        }
    }

    /// The labels of the workers that the caller is for; none when it is for all of them.
    pub(crate) fn labels(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        match self {
            Self::Anonymous => &NONE,
            Self::Holder(holder) => &holder.token.labels,
        }
    }

    /// Who acts, for the log.
    pub(crate) fn actor(&self, named: Option<String>) -> Actor {
        let token = match self {
            Self::Anonymous => ANONYMOUS,
            Self::Holder(holder) => &holder.token.name,
        };
        Actor { token: token.to_owned(), actor: named }
    }
}

/// Why what a token opened does not go on.
pub(crate) fn revoked() -> Fault {
    Fault::new(ErrorCode::Unauthorized, "the token was revoked, or is another one now")
}

/// The one bearer token of a request; two of them are none.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut given = headers.get_all(AUTHORIZATION).into_iter();
    let (Some(only), None) = (given.next(), given.next()) else { return None };
    let (scheme, token) = only.as_bytes().split_at_checked("Bearer ".len())?;
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
}
