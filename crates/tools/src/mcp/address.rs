//! What errors of servers say, fit for a log and a model.

use std::{error::Error, fmt};

use musher_backend::Chain;
use reqwest::Url;

use super::{McpServer, Source};
use crate::bound::brief;

/// A server says what it likes, up to a whole message; its beginning says what is wrong.
const TOLD_LIMIT: usize = 2 << 10;

/// A server's address as errors spell it. Nobody sees it: a key may be in its query.
#[derive(Clone, Default)]
pub(super) struct Address(Vec<String>);

impl Address {
    /// The address of a server that has one.
    pub(super) fn of(source: &Source) -> Self {
        let Source::Server(McpServer::Url { url, .. }) = source else { return Self::default() };
        let parsed = Url::parse(url).map(String::from);
        Self(parsed.into_iter().chain([url.clone()]).filter(|url| !url.is_empty()).collect())
    }

    /// An error and its causes, bounded and without the address.
    pub(super) fn told(&self, error: &dyn Error) -> String {
        let told =
            self.0.iter().fold(Chain(error).to_string(), |text, url| text.replace(url, "[its address]"));
        brief(&told, TOLD_LIMIT)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address")
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io, time::Duration};

    use super::*;

    fn source() -> Source {
        let url = "http://127.0.0.1:1?key=secret-secret".to_owned();
        Source::Server(McpServer::Url { url, headers: BTreeMap::new() })
    }

    #[tokio::test]
    async fn an_address_is_in_no_error() {
        let Source::Server(McpServer::Url { url, .. }) = source() else { panic!("an address") };
        let client = musher_outbound::client(&url, Duration::from_secs(10)).unwrap().build().unwrap();
        let error = client.get(url).send().await.unwrap_err();
        assert!(error.to_string().contains("secret-secret"), "it would be told: {error}");
        let told = Address::of(&source()).told(&error);
        assert!(told.contains("[its address]") && !told.contains("secret-secret"), "{told}");
        assert!(!format!("{:?}", source()).contains("secret-secret"));
    }

    #[test]
    fn what_a_server_says_is_bounded() {
        let error = io::Error::other("x".repeat(TOLD_LIMIT + 1));
        assert_eq!(Address::default().told(&error).len(), TOLD_LIMIT + "…".len());
    }
}
