//! The `Idempotency-Key` header.

use http::{HeaderMap, HeaderName};
use musher_protocol::InputId;

use crate::fault::Fault;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The request's key, which is an input's id.
pub(crate) fn given(headers: &HeaderMap) -> Result<Option<InputId>, Fault> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).into_iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let key = key.to_str().ok().and_then(|text| text.parse().ok());
    if key.is_none() || keys.next().is_some() {
        return Err(Fault::invalid_request(
            "an `Idempotency-Key` is 1 to 255 visible ASCII characters, once",
        ));
    }
    Ok(key)
}

/// Refuses a key where it would not be honored.
pub(crate) fn refuse(headers: &HeaderMap) -> Result<(), Fault> {
    if headers.contains_key(IDEMPOTENCY_KEY) {
        return Err(Fault::invalid_request("`Idempotency-Key` is served on `/input` only for now"));
    }
    Ok(())
}
