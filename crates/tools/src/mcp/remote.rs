//! A server at an address.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use http::{
    HeaderName, HeaderValue,
    header::{InvalidHeaderName, InvalidHeaderValue},
};
use reqwest::redirect::Policy;
use rmcp::transport::{
    StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_platform_verifier::BuilderVerifierExt;
use secrecy::{ExposeSecret, SecretString};

/// A name is resolved and a connection made within seconds, or not at all.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How an address begins that is spoken to under TLS.
const HTTPS: &str = "https:";

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
    #[error("set up TLS")]
    Tls(#[from] rustls::Error),
    #[error("set up HTTP")]
    Http(#[from] reqwest::Error),
}

/// A transport to an address. It starts the session anew, once, when the server has lost it (404), and bounds every
/// message at 16 MiB.
pub(super) fn transport(
    url: &str,
    headers: &BTreeMap<String, SecretString>,
) -> Result<StreamableHttpClientTransport<reqwest::Client>, Error> {
    let provider = Arc::new(ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    // A host without any certificates can reach an address that needs none.
    let needs_certificates = url.get(..HTTPS.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(HTTPS));
    let tls = if needs_certificates {
        tls.with_platform_verifier()?
    } else {
        tls.with_root_certificates(RootCertStore::empty())
    };
    let tls = tls.with_no_client_auth();
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(CONNECT_LIMIT)
        // What the headers hold is for this address and no other.
        .redirect(Policy::none())
        .build()?;
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
