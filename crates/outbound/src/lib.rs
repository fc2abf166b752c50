//! How other people's servers are reached: vendors of models, MCP servers at an address.
//!
//! Invariant: what is sent goes to the address that was configured and no other; a redirect is an answer.
//! Invariant: a server proves itself by the machine's own certificates; a machine without any still reaches addresses
//! that need none.

use std::{sync::Arc, time::Duration};

use reqwest::{ClientBuilder, redirect::Policy};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_platform_verifier::BuilderVerifierExt as _;

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
    let provider = Arc::new(ring::default_provider());
    let tls = || ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let tls = match tls()?.with_platform_verifier() {
        Ok(verified) => verified.with_no_client_auth(),
        Err(error) => {
            // Whoever has only loopback servers needs none.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "no certificates, so no `https:` address"
            );
            tls()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
        }
    };
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls);
    Ok(client.connect_timeout(connect_limit).redirect(Policy::none()))
}
