//! What surrounds every request: its id, the walls, and an answer even to a panic.

use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures_util::FutureExt as _;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS},
};
use musher_core::{Wall, stands};
use musher_protocol::{ErrorCode, RequestId};
use tracing::Instrument as _;

use crate::{fault::Fault, router::Adapter, walls};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A client's own id ends up in logs; nobody needs a longer one.
const MAX_REQUEST_ID: usize = 64;

/// Answers a request. What comes out has the headers that every answer has, and every fault its body.
pub(crate) async fn enclose(State(adapter): State<Arc<Adapter>>, request: Request, next: Next) -> Response {
    let request_id = given_id(request.headers()).unwrap_or_else(RequestId::mint);
    // The query is left out: a token that somebody put there by mistake must not reach the log.
    let span = tracing::info_span!(
        "request",
        %request_id,
        method = %request.method(),
        path = request.uri().path(),
    );
    async {
        let method = request.method().clone();
        let route = request.extensions().get::<MatchedPath>().cloned();
        let mut response = answer(&adapter, request, next).await;
        if let Some(fault) = response.extensions_mut().remove::<Fault>() {
            adapter.metrics.refused(fault.code());
            response = fault.render(request_id.clone());
        }
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if stands(Wall::Sniffing) {
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        let id = HeaderValue::from_str(request_id.as_str()).expect("a request's id is visible ASCII");
        headers.insert(X_REQUEST_ID, id);
        let route = route.as_ref().map(MatchedPath::as_str);
        adapter.metrics.answered(route, &method, response.status());
        tracing::debug!(status = response.status().as_u16(), "answered");
        response
    }
    .instrument(span)
    .await
}

async fn answer(adapter: &Adapter, request: Request, next: Next) -> Response {
    if let Err(fault) = walls::check(&request, &adapter.allowed_hosts) {
        return fault.into_response();
    }
    // A panic is a defect of one request. Nothing that it shares with others is left half-done: all that is
    // shared is behind the runtime's own calls.
    AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_panic| {
        tracing::error!("a request panicked");
        Fault::new(ErrorCode::Internal, "the server failed; its log says how").into_response()
    })
}

/// The client's id for the request, unless it could do harm in a log.
fn given_id(headers: &HeaderMap) -> Option<RequestId> {
    let text = headers.get(X_REQUEST_ID)?.to_str().ok()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let harmless = text.len() <= MAX_REQUEST_ID && text.bytes().all(plain);
    (harmless || !stands(Wall::RequestId)).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::to_bytes, middleware, routing::any};
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;
    use musher_core::{MemoryStore, Runtime};
    use musher_protocol::ErrorReply;

    use super::*;
    use crate::{HttpOptions, ending::Ending, metrics::Metrics};

    #[tokio::test]
    async fn a_panic_is_answered() {
        let runtime = Runtime::builder(MemoryStore::new()).start().await.unwrap();
        let adapter = Arc::new(Adapter::new(runtime, HttpOptions::open(), Ending::never(), Metrics::new()));
        let defect = any(async || -> Response { panic!("a defect, on purpose") });
        let router = Router::new().route("/", defect).layer(middleware::from_fn_with_state(adapter, enclose));
        let request = Request::builder().header("host", "localhost").header(X_REQUEST_ID, "my-1");
        let request = request.body(axum::body::Body::empty()).unwrap();
        let response = TowerToHyperService::new(router).call(request).await.unwrap();
        let body = to_bytes(response.into_body(), 1000).await.unwrap();
        let ErrorReply { error } = serde_json::from_slice(&body).unwrap();
        assert_eq!((error.code, error.request_id.as_str()), (ErrorCode::Internal, "my-1"));
    }

    #[test]
    fn only_harmless_ids_are_taken() {
        let long = "a".repeat(MAX_REQUEST_ID);
        let cases = [
            ("A.b_c-1", true),
            (long.as_str(), true),
            (&format!("{long}a"), false),
            ("", false),
            ("a b", false),
            ("a:b", false),
            ("a\u{e9}", false),
        ];
        for (text, taken) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(X_REQUEST_ID, HeaderValue::from_bytes(text.as_bytes()).unwrap());
            let expected = taken.then(|| text.parse().unwrap());
            assert_eq!(given_id(&headers), expected, "{text:?}");
        }
    }
}
