//! The tokens that a server takes, which may change while it serves.

use std::sync::Arc;

use http::HeaderMap;
use musher_core::{Wall, stands};
use musher_protocol::ErrorCode;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::watch;

use crate::{
    fault::Fault,
    options::Access,
    token::{Caller, Holder, Token, bearer},
};

/// The tokens that a server takes. A clone is the same set, so that whoever keeps one can replace them while the server
/// runs. What was opened with a token that is not among the new ones ends at once.
#[derive(Clone, Debug)]
pub struct Tokens(watch::Sender<Vec<Arc<Token>>>);

/// Tells who asks.
#[derive(Debug)]
pub(crate) enum Gate {
    Open,
    Tokens(Tokens),
}

impl Tokens {
    /// These tokens.
    #[must_use]
    pub fn new(tokens: Vec<Token>) -> Self {
        Self(watch::Sender::new(tokens.into_iter().map(Arc::new).collect()))
    }

    /// Takes these from now on, and no others. One that is the same as before in all that it has goes on.
    pub fn replace(&self, tokens: Vec<Token>) {
        self.0.send_replace(tokens.into_iter().map(Arc::new).collect());
    }

    /// Wakes when this token is taken no more.
    pub(crate) async fn without(&self, token: &Token) {
        if !stands(Wall::Revocation) {
            return std::future::pending().await;
        }
        let mut tokens = self.0.subscribe();
        // The sender is here.
        drop(tokens.wait_for(|tokens| !tokens.iter().any(|known| **known == *token)).await);
    }

    pub(crate) fn has(&self, token: &Token) -> bool {
        self.0.borrow().iter().any(|known| **known == *token)
    }

    fn find(&self, presented: &[u8]) -> Option<Arc<Token>> {
        let presented = Sha256::digest(presented);
        let mut holder = None;
        // Every token is compared whole and in the same time, so that the time tells nothing about any of them.
        for token in &*self.0.borrow() {
            if bool::from(token.sha256.as_slice().ct_eq(presented.as_slice())) {
                holder = Some(Arc::clone(token));
            }
        }
        holder
    }
}

impl Gate {
    pub(crate) fn new(access: Access) -> Self {
        match access {
            Access::Open => Self::Open,
            Access::Tokens(tokens) => Self::Tokens(tokens),
        }
    }

    /// Who asks; a fault when it must say so and does not.
    pub(crate) fn identify(&self, headers: &HeaderMap) -> Result<Caller, Fault> {
        let tokens = match self {
            Self::Open => return Ok(Caller::Anonymous),
            Self::Tokens(_) if !stands(Wall::Token) => return Ok(Caller::Anonymous),
            Self::Tokens(tokens) => tokens,
        };
        let refused = |why| Fault::new(ErrorCode::Unauthorized, why);
        let presented =
            bearer(headers).ok_or_else(|| refused("this needs `Authorization: Bearer TOKEN`, once"))?;
        let token = tokens
            .find(presented)
            .ok_or_else(|| refused("no such token: it is wrong, or it was revoked or is another one now"))?;
        Ok(Caller::Holder(Holder { token, tokens: tokens.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures_util::FutureExt as _;
    use http::header::AUTHORIZATION;

    use super::*;
    use crate::token::TokenScope;

    fn gate(tokens: Vec<Token>) -> Gate {
        Gate::new(Access::Tokens(Tokens::new(tokens)))
    }

    #[test]
    fn only_one_bearer_token_counts() {
        const ABSENT: Option<&str> = Some("this needs `Authorization: Bearer TOKEN`, once");
        const WRONG: Option<&str> =
            Some("no such token: it is wrong, or it was revoked or is another one now");
        let cases: &[(&[&str], Option<&str>)] = &[
            (&["Bearer good"], None),
            (&["bEARER good"], None),
            (&[], ABSENT),
            (&[""], ABSENT),
            (&["Bearer"], ABSENT),
            (&["Bearer "], ABSENT),
            (&["Bearer goo"], WRONG),
            (&["Bearer good2"], WRONG),
            (&["Bearer  good"], WRONG),
            (&["Basic good"], ABSENT),
            (&["good"], ABSENT),
            (&["Bearer good", "Bearer good"], ABSENT),
        ];
        let gate = gate(vec![
            Token::admin("one", &"other".into()),
            Token::admin("two", &"good".into()),
            Token::admin("none", &"".into()),
        ]);
        for (given, refused) in cases {
            let mut headers = HeaderMap::new();
            for value in *given {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            let told = gate.identify(&headers).map(drop).map_err(|fault| fault.message().to_owned());
            assert_eq!(told.err().as_deref(), *refused, "{given:?}");
        }
    }

    #[test]
    fn no_tokens_admit_nobody() {
        let mut headers = HeaderMap::new();
        assert!(gate(Vec::new()).identify(&headers).is_err());
        headers.insert(AUTHORIZATION, "Bearer x".parse().unwrap());
        assert!(gate(Vec::new()).identify(&headers).is_err());
    }

    #[test]
    fn a_hash_that_nobody_filled_in_admits_nobody() {
        let unfilled = Token {
            name: "ci".to_owned(),
            sha256: [0; 32],
            scopes: vec![TokenScope::Admin],
            labels: BTreeMap::new(),
        };
        assert!(gate(vec![unfilled]).identify(&HeaderMap::new()).is_err());
    }

    #[test]
    fn what_a_token_opened_ends_when_any_of_it_is_another() {
        let token = |name: &str, text: &str| Token::admin(name, &text.into());
        let (one, two) = (token("one", "first"), token("two", "second"));
        let fewer = Token { scopes: vec![TokenScope::Observe], ..one.clone() };
        let labeled = Token { labels: BTreeMap::from([("team".to_owned(), "a".to_owned())]), ..one.clone() };
        let cases = [
            (vec![one.clone(), two.clone()], true),
            (vec![two.clone(), one.clone()], true),
            (vec![two], false),
            (vec![], false),
            (vec![token("one", "another")], false),
            (vec![token("other", "first")], false),
            (vec![fewer], false),
            (vec![labeled], false),
        ];
        for (then, goes_on) in cases {
            let tokens = Tokens::new(vec![one.clone()]);
            let shown = format!("{then:?}");
            tokens.replace(then);
            let ended = tokens.without(&one).now_or_never().is_some();
            assert_eq!((!ended, tokens.has(&one)), (goes_on, goes_on), "{shown}");
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let options = format!("{:?}", crate::HttpOptions::with_token(&"tell nobody".into()));
        assert!(options.contains(r#"Token { name: "token", scopes: [Admin], labels: {}, .. }"#), "{options}");
    }
}
