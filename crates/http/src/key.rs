//! The `Idempotency-Key` header.

use std::str::FromStr;

use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue};
use musher_core::Answered;
use serde::Serialize;

use crate::{fault::Fault, reply};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer was given before.
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The request's key: an input's id where something is said to a worker.
pub(crate) fn given<K: FromStr>(headers: &HeaderMap) -> Result<Option<K>, Fault> {
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

/// Refuses a key where it would mean nothing.
pub(crate) fn refuse(headers: &HeaderMap) -> Result<(), Fault> {
    if headers.contains_key(IDEMPOTENCY_KEY) {
        return Err(Fault::invalid_request("an `Idempotency-Key` goes with a POST"));
    }
    Ok(())
}

/// 200 with this, and whether it was said before.
pub(crate) fn answered<T: Serialize>(answered: &Answered<T>) -> Response {
    let mut response = reply::json(&answered.reply);
    if answered.is_replayed {
        response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}
