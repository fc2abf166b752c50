//! A client of one server.

use std::{fmt, sync::Arc};

use reqwest::header::HeaderValue;

use crate::{Builder, Reconnect, Retry, SetupError};

/// A client of one server. Clones share their connections.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
    pub(crate) keys: Keys,
}

/// Which requests get a key that is made here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    EveryPost,
    None,
}

pub(crate) struct Shared {
    pub(crate) http: reqwest::Client,
    /// What comes before each path.
    pub(crate) base: String,
    /// Marked as sensitive, so that nothing shows it.
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) retry: Retry,
    pub(crate) reconnect: Reconnect,
}

impl Client {
    /// A client of the server at `http://HOST:PORT`, `https://HOST` or `unix:PATH`.
    #[must_use]
    pub fn builder(url: impl Into<String>) -> Builder {
        Builder::new(url)
    }

    /// A client of the server at `MUSHER_URL`, with the token in the file `MUSHER_TOKEN_FILE` where there is one.
    ///
    /// # Errors
    ///
    /// When the variables do not say where the server is, or what they say cannot be used.
    pub fn from_env() -> Result<Self, SetupError> {
        Builder::from_env()?.build()
    }

    pub(crate) fn of(shared: Arc<Shared>) -> Self {
        Self { shared, keys: Keys::EveryPost }
    }

    /// The same client, whose calls have no `Idempotency-Key`: for a token of which the server remembers no more keys, and
    /// for what does no harm when it is done twice. What may have been done already is not repeated then. A key of the
    /// caller's is sent all the same, and an input with an id of its own is known by that.
    #[must_use]
    pub fn without_keys(&self) -> Self {
        Self { shared: self.shared.clone(), keys: Keys::None }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.shared.base).finish_non_exhaustive()
    }
}
