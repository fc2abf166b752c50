//! How other people's servers are reached: vendors of models, MCP servers at an address.
//!
//! Invariant: what is sent goes to the address that was configured, through the machine's own proxy where it has one and
//! the address is another machine's; a redirect is an answer.
//! Invariant: a server proves itself by the machine's own certificates; a machine without any still reaches addresses
//! that need none.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use reqwest::{ClientBuilder, Url, redirect::Policy};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_platform_verifier::BuilderVerifierExt as _;

/// Read once: the machine's certificates are a few hundred, and sessions begin all the time.
static TLS: OnceLock<ClientConfig> = OnceLock::new();

/// The machine cannot encrypt.
#[derive(Debug, thiserror::Error)]
#[error("set up TLS")]
pub struct TlsError(#[from] rustls::Error);

/// The beginning of a client of the server at this address; connections that take longer than `connect_limit` are given
/// up.
///
/// # Errors
///
/// When the encryption library refuses its own defaults.
pub fn client(url: &str, connect_limit: Duration) -> Result<ClientBuilder, TlsError> {
    let tls = match TLS.get() {
        Some(known) => known,
        None => {
            let read = tls()?;
            TLS.get_or_init(|| read)
        }
    };
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls.clone());
    let client = client.connect_timeout(connect_limit).redirect(Policy::none());
    // A proxy's loopback is not ours: it would look for our servers on its own machine.
    Ok(if is_here(url) { client.no_proxy() } else { client })
}

/// Whether an address is on the machine itself.
fn is_here(url: &str) -> bool {
    let url = Url::parse(url).ok();
    let Some(host) = url.as_ref().and_then(Url::host_str) else { return false };
    // The URL's parser writes an address of IPv6 in brackets, and names in lower case.
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or(host == "localhost" || host.ends_with(".localhost"), |address| address.is_loopback())
}

fn tls() -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let tls = || ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    Ok(match tls()?.with_platform_verifier() {
        Ok(verified) => verified.with_no_client_auth(),
        Err(error) => {
            // Whoever has only loopback servers needs none.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "no certificates, so no `https:` address"
            );
            tls()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_machine_itself_needs_no_proxy() {
        for (url, expected) in [
            ("http://127.0.0.1:8000/v1", true),
            ("http://127.8.9.1", true),
            ("http://[::1]:8000/v1", true),
            ("http://LOCALHOST:8000", true),
            ("http://llm.localhost/", true),
            ("http://0.0.0.0:8000", false),
            ("http://10.0.0.7", false),
            ("https://localhost.example.org", false),
            ("https://api.openai.com/v1", false),
            ("no address", false),
        ] {
            assert_eq!(is_here(url), expected, "{url}");
        }
    }
}
