//! Answers when all is well.

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde::Serialize;

/// 200 with this object.
pub(crate) fn json<T: Serialize>(value: &T) -> Response {
    raw(serde_json::to_vec(value).expect("a reply is JSON").into())
}

/// 200 with what is JSON already.
pub(crate) fn raw(json: Bytes) -> Response {
    let mut response = Response::new(Body::from(json));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// 200 with this text.
pub(crate) fn text(media_type: &'static str, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// 200 with `{}`: that there is an answer says all.
pub(crate) fn empty() -> Response {
    raw(Bytes::from_static(b"{}"))
}

/// 204.
pub(crate) fn nothing() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
