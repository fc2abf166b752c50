//! A server at an address.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use http::{
    HeaderName, HeaderValue,
    header::{InvalidHeaderName, InvalidHeaderValue},
};
use rmcp::transport::{
    StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig,
};
use secrecy::{ExposeSecret, SecretString};

/// A name is resolved and a connection made within seconds, or not at all.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Why a connection cannot even be tried.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("name the header `{name}`")]
    HeaderName {
        name: String,
        #[source]
        source: InvalidHeaderName,
    },
    #[error("send the header `{name}`")]
    HeaderValue {
        name: String,
        #[source]
        source: InvalidHeaderValue,
    },
    #[error(transparent)]
    Tls(#[from] musher_outbound::TlsError),
    #[error("set up HTTP")]
    Http(#[from] reqwest::Error),
}

/// A transport to an address. It starts the session anew, once, when the server has lost it (404), and bounds every
/// message at 16 MiB.
pub(super) fn transport(
    url: &str,
    headers: &BTreeMap<String, SecretString>,
) -> Result<StreamableHttpClientTransport<reqwest::Client>, Error> {
    let client = musher_outbound::client(url, CONNECT_LIMIT)?.build()?;
    let mut config = StreamableHttpClientTransportConfig::with_uri(url).custom_headers(sent(headers)?);
    config.reinit_on_expired_session = true;
    Ok(StreamableHttpClientTransport::with_client(client, config))
}

fn sent(headers: &BTreeMap<String, SecretString>) -> Result<HashMap<HeaderName, HeaderValue>, Error> {
    let header = |(name, value): (&String, &SecretString)| {
        let known = name.parse().map_err(|source| Error::HeaderName { name: name.clone(), source })?;
        let mut value = HeaderValue::from_str(value.expose_secret())
            .map_err(|source| Error::HeaderValue { name: name.clone(), source })?;
        value.set_sensitive(true);
        Ok((known, value))
    };
    headers.iter().map(header).collect()
}
