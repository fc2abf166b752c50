//! Tokens: who asks, and what it may do.

use std::{fmt, sync::Arc};

use http::{HeaderMap, header::AUTHORIZATION};
use musher_protocol::{Actor, ErrorCode, route::Scope};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{fault::Fault, options::Access};

/// Who acts where nobody has to say who they are.
const ANONYMOUS: &str = "anonymous";

/// A token, by its hash. Who can read it from here cannot use it.
#[derive(Clone)]
pub struct Token {
    /// Its name: who acts, as the events of the log say.
    pub name: String,
    /// SHA-256 of the token's text.
    pub sha256: [u8; 32],
    /// What it may do. The scopes do not imply each other, except that `admin` holds all.
    pub scopes: Vec<TokenScope>,
}

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
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
    /// The holder of this token.
    Holder(Arc<Token>),
}

/// Tells who asks.
#[derive(Debug)]
pub(crate) enum Gate {
    Open,
    Tokens(Vec<Arc<Token>>),
}

impl Token {
    /// A token that may do everything, made of its text.
    #[must_use]
    pub fn admin(name: impl Into<String>, text: &SecretString) -> Self {
        let sha256 = Sha256::digest(text.expose_secret().as_bytes()).into();
        Self { name: name.into(), sha256, scopes: vec![TokenScope::Admin] }
    }

    fn grants(&self, wanted: Scope) -> bool {
        self.scopes.iter().any(|scope| match scope {
            TokenScope::Admin => true,
            TokenScope::Observe => wanted == Scope::Observe,
            TokenScope::Drive => wanted == Scope::Drive,
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
            .finish_non_exhaustive()
    }
}

impl Gate {
    pub(crate) fn new(access: Access) -> Self {
        match access {
            Access::Open => Self::Open,
            Access::Tokens(tokens) => Self::Tokens(tokens.into_iter().map(Arc::new).collect()),
        }
    }

    /// Who asks; a fault when it must say so and does not.
    pub(crate) fn identify(&self, headers: &HeaderMap) -> Result<Caller, Fault> {
        let tokens = match self {
            Self::Open => return Ok(Caller::Anonymous),
            Self::Tokens(tokens) => tokens,
        };
        let missing = || Fault::new(ErrorCode::Unauthorized, "this needs `Authorization: Bearer TOKEN`");
        let presented = bearer(headers).map(Sha256::digest).ok_or_else(missing)?;
        let mut holder = None;
        // Every token is compared whole and in the same time, so that the time tells nothing about any of them.
        for token in tokens {
            if bool::from(token.sha256.as_slice().ct_eq(presented.as_slice())) {
                holder = Some(token);
            }
        }
        holder.cloned().map(Caller::Holder).ok_or_else(missing)
    }
}

impl Caller {
    /// A fault when the caller may not do what needs this scope.
    pub(crate) fn check(&self, wanted: Scope) -> Result<(), Fault> {
        let token = match self {
            Self::Anonymous => return Ok(()),
            Self::Holder(token) => token,
        };
        if token.grants(wanted) {
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

    /// Who acts, for the log.
    pub(crate) fn actor(&self, named: Option<String>) -> Actor {
        let token = match self {
            Self::Anonymous => ANONYMOUS,
            Self::Holder(token) => &token.name,
        };
        Actor { token: token.to_owned(), actor: named }
    }
}

/// The one bearer token of a request; two of them are none.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut given = headers.get_all(AUTHORIZATION).into_iter();
    let (Some(only), None) = (given.next(), given.next()) else { return None };
    let (scheme, token) = only.as_bytes().split_at_checked("Bearer ".len())?;
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_bearer_token_counts() {
        let cases: &[(&[&str], bool)] = &[
            (&["Bearer good"], true),
            (&["bEARER good"], true),
            (&[], false),
            (&[""], false),
            (&["Bearer"], false),
            (&["Bearer "], false),
            (&["Bearer goo"], false),
            (&["Bearer good2"], false),
            (&["Bearer  good"], false),
            (&["Basic good"], false),
            (&["good"], false),
            (&["Bearer good", "Bearer good"], false),
        ];
        let gate = Gate::new(Access::Tokens(vec![
            Token::admin("one", &"other".into()),
            Token::admin("two", &"good".into()),
            Token::admin("none", &"".into()),
        ]));
        for (given, admitted) in cases {
            let mut headers = HeaderMap::new();
            for value in *given {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            assert_eq!(gate.identify(&headers).is_ok(), *admitted, "{given:?}");
        }
    }

    #[test]
    fn no_tokens_admit_nobody() {
        let mut headers = HeaderMap::new();
        assert!(Gate::new(Access::Tokens(Vec::new())).identify(&headers).is_err());
        headers.insert(AUTHORIZATION, "Bearer x".parse().unwrap());
        assert!(Gate::new(Access::Tokens(Vec::new())).identify(&headers).is_err());
    }

    #[test]
    fn a_hash_that_nobody_filled_in_admits_nobody() {
        let unfilled = Token { name: "ci".to_owned(), sha256: [0; 32], scopes: vec![TokenScope::Admin] };
        assert!(Gate::new(Access::Tokens(vec![unfilled])).identify(&HeaderMap::new()).is_err());
    }

    #[test]
    fn debug_shows_no_token() {
        let options = format!("{:?}", crate::HttpOptions::with_token(&"tell nobody".into()));
        assert!(options.contains(r#"Token { name: "token", scopes: [Admin], .. }"#), "{options}");
    }
}
