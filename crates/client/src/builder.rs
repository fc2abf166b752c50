//! How a client is made.

use std::{env, ffi::OsString, path::PathBuf, sync::Arc, time::Duration};

use reqwest::{header::HeaderValue, redirect::Policy};

use crate::{Client, Reconnect, Retry, TokenError, address::Address, client::Shared, tls, token};

const URL: &str = "MUSHER_URL";
const TOKEN_FILE: &str = "MUSHER_TOKEN_FILE";

/// A server that is there answers a connection at once, also over the longest way.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A client that is being made.
#[derive(Debug)]
pub struct Builder {
    url: String,
    token: Option<Result<HeaderValue, TokenError>>,
    retry: Retry,
    reconnect: Reconnect,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// `MUSHER_URL` is not set, or is no text.
    #[error("`MUSHER_URL` does not say where the server is")]
    NoUrl,
    /// The address is none. It is not repeated here, for somebody may have put a password into it.
    #[error(
        "an address is `http://HOST:PORT`, `https://HOST` or `unix:PATH`, without name, password and query"
    )]
    Address,
    /// The token cannot be used.
    #[error("take the token")]
    Token(#[from] TokenError),
    /// The machine cannot encrypt, or has no certificates.
    #[error("set up TLS")]
    Tls(#[from] rustls::Error),
    /// The HTTP library does not start.
    #[error("set up HTTP")]
    Http(#[source] reqwest::Error),
}

impl Builder {
    pub(crate) fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), token: None, retry: Retry::default(), reconnect: Reconnect::default() }
    }

    /// What the environment says: `MUSHER_URL` and `MUSHER_TOKEN_FILE`, which may be absent.
    pub(crate) fn from_env() -> Result<Self, SetupError> {
        let url = env::var(URL).map_err(|_absent_or_no_text| SetupError::NoUrl)?;
        Ok(Self::from_variables(url, env::var_os(TOKEN_FILE)))
    }

    fn from_variables(url: String, token_file: Option<OsString>) -> Self {
        let builder = Self::new(url);
        match token_file {
            Some(path) => builder.token_file(path),
            None => builder,
        }
    }

    /// The token's text. Spaces around it are not of it.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        Self { token: Some(token::authorization(token)), ..self }
    }

    /// The file that holds the token; it is read now.
    #[must_use]
    pub fn token_file(self, path: impl Into<PathBuf>) -> Self {
        let token = token::read(&path.into()).and_then(|text| token::authorization(&text));
        Self { token: Some(token), ..self }
    }

    /// How often and how long calls are repeated.
    #[must_use]
    pub fn retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// How streams come back.
    #[must_use]
    pub fn reconnect(self, reconnect: Reconnect) -> Self {
        Self { reconnect, ..self }
    }

    /// Makes the client. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// When address or token are none, or the machine cannot encrypt.
    pub fn build(self) -> Result<Client, SetupError> {
        let address = Address::parse(&self.url).ok_or(SetupError::Address)?;
        let authorization = self.token.transpose()?;
        let mut http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::config(address.is_encrypted)?)
            .connect_timeout(CONNECT_LIMIT)
            // Sockets begin as HTTP/1, and a token goes to the address that it was given for.
            .http1_only()
            .redirect(Policy::none());
        if address.is_here {
            http = http.no_proxy();
        }
        #[cfg(unix)]
        if let Some(path) = address.unix {
            http = http.unix_socket(path);
        }
        let http = http.build().map_err(SetupError::Http)?;
        let (retry, reconnect) = (self.retry, self.reconnect);
        Ok(Client::of(Arc::new(Shared { http, base: address.base, authorization, retry, reconnect })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "s3cret";

    #[test]
    fn nothing_that_is_shown_has_the_token() {
        let builder = Builder::new("http://127.0.0.1:1").token(SECRET);
        let shown = format!("{builder:?}");
        let client = builder.build().unwrap();
        assert!(!format!("{shown} {client:?}").contains(SECRET), "{shown} {client:?}");
    }

    #[test]
    fn an_address_that_is_none_is_not_repeated() {
        let error = Builder::new("http://ann:s3cret@127.0.0.1").build().unwrap_err();
        assert!(matches!(error, SetupError::Address), "{error:?}");
        assert!(!format!("{error} {error:?}").contains(SECRET), "{error}");
    }

    #[test]
    fn a_token_file_that_is_named_has_to_be_there() {
        let named = Some("/no/such/token".into());
        let error = Builder::from_variables("http://127.0.0.1:1".to_owned(), named).build().unwrap_err();
        let SetupError::Token(TokenError::File { path, .. }) = error else { panic!("{error:?}") };
        assert_eq!(path.to_str(), Some("/no/such/token"));
        assert!(Builder::from_variables("http://127.0.0.1:1".to_owned(), None).build().is_ok());
    }
}
