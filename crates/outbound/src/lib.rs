//! How other people's servers are reached: vendors of models, MCP servers at an address.
//!
//! Invariant: what is sent goes to the address that was configured, through the machine's own proxy where it has one; a
//! redirect is an answer.
//! Invariant: a server proves itself by the machine's own certificates; a machine without any still reaches addresses
//! that need none.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use reqwest::{ClientBuilder, redirect::Policy};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_platform_verifier::BuilderVerifierExt as _;

/// Read once: the machine's certificates are a few hundred, and sessions begin all the time.
static TLS: OnceLock<ClientConfig> = OnceLock::new();

/// The machine cannot encrypt.
#[derive(Debug, thiserror::Error)]
#[error("set up TLS")]
pub struct TlsError(#[from] rustls::Error);

/// The beginning of a client; connections that take longer than `connect_limit` are given up.
///
/// # Errors
///
/// When the encryption library refuses its own defaults.
pub fn client(connect_limit: Duration) -> Result<ClientBuilder, TlsError> {
    let tls = match TLS.get() {
        Some(known) => known,
        None => {
            let read = tls()?;
            TLS.get_or_init(|| read)
        }
    };
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls.clone());
    Ok(client.connect_timeout(connect_limit).redirect(Policy::none()))
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
