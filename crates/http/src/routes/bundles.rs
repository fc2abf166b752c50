//! Config bundles: the list, a new one, what of one can run, and the end of one.

use axum::response::Response;
use musher_protocol::{
    ConfigBundleAvailabilityReply, ConfigBundleQuery, ConfigBundleRef, ConfigBundlesReply, ErrorCode,
    StoreConfigBundle,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{body, call::Call, fault::Fault, key, reply};

/// The bundle as it was sent, which its digest is over.
#[derive(Deserialize)]
struct Sent<'a> {
    #[serde(borrow)]
    bundle: &'a RawValue,
}

pub(super) async fn list(call: Call) -> Result<Response, Fault> {
    let bundles = call.runtime().list_config_bundles().await?;
    Ok(reply::json(&ConfigBundlesReply { bundles }))
}

pub(super) async fn store(mut call: Call) -> Result<Response, Fault> {
    let body = call.body().await?;
    // The runtime reads it again, for it takes no one's word for what the digest is over; here faults get their places.
    let StoreConfigBundle { bundle: _ } = body::parse(&body)?;
    let options = call.options(None)?;
    let Sent { bundle } = serde_json::from_slice(&body)
        .map_err(|error| Fault::new(ErrorCode::InvalidJson, error.to_string()))?;
    let stored = call.runtime().store_config_bundle_with(bundle.get(), options).await?;
    Ok(key::answered(&stored.map(|summary| ConfigBundlesReply { bundles: vec![summary] })))
}

pub(super) async fn check(call: Call) -> Result<Response, Fault> {
    let reference = reference(&call)?;
    let availability = call.runtime().check_config_bundle(&reference).await?;
    Ok(reply::json(&ConfigBundleAvailabilityReply { availability }))
}

pub(super) async fn delete(call: Call) -> Result<Response, Fault> {
    key::refuse(&call.head.headers)?;
    call.runtime().delete_config_bundle(&reference(&call)?).await?;
    Ok(reply::nothing())
}

/// The revision that is meant.
fn reference(call: &Call) -> Result<ConfigBundleRef, Fault> {
    let ConfigBundleQuery { digest } = call.query()?;
    let id = call.bundle().ok_or_else(|| {
        let message = "a config bundle's id is 1 to 128 letters, digits and . _ : -";
        Fault::new(ErrorCode::ConfigBundleMissing, message)
    })?;
    Ok(ConfigBundleRef { id, digest })
}
