//! Large bodies, as plain bytes: what is in them came from models and tools, and no browser may take it for a page.

use axum::{body::Body, response::Response};
use http::{
    HeaderValue, StatusCode,
    header::{ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE},
};
use musher_protocol::ErrorCode;

use crate::{
    call::Call,
    fault::Fault,
    range::{self, Wanted},
};

pub(super) async fn blob(call: Call) -> Result<Response, Fault> {
    let worker = call.worker().await?;
    let runtime = call.runtime();
    let Some(digest) = call.digest() else {
        runtime.worker_detail(&worker).await?;
        return Err(Fault::new(ErrorCode::BlobNotFound, "a body's name is 64 lower hex digits"));
    };
    let body = runtime.blob(&worker, digest).await?;
    let bytes = body.len();
    let mut response = match range::wanted(&call.head.method, &call.head.headers, bytes) {
        Wanted::Whole => Response::new(Body::from(body)),
        Wanted::Part(range) => {
            let (first, end) = (range.start, range.end);
            let mut response = Response::new(Body::from(body.slice(range)));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let place = HeaderValue::from_str(&format!("bytes {first}-{}/{bytes}", end - 1));
            response.headers_mut().insert(CONTENT_RANGE, place.expect("numbers are a header's value"));
            response
        }
        Wanted::Beyond => return Err(Fault::not_satisfiable(bytes as u64)),
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    Ok(response)
}
