//! What a request fails with, and how that looks on the wire.

mod bundle;
mod runtime;

use std::time::Duration;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use musher_protocol::{Approval, Cursor, ErrorBody, ErrorCode, ErrorReply, RequestId};

use crate::reply;

/// A client that lost to many others may try again soon; one of them will be done.
const RETRY_OVERLOADED: HeaderValue = HeaderValue::from_static("1");
/// A server that ends is replaced, if at all, within seconds.
const RETRY_DRAINING: HeaderValue = HeaderValue::from_static("5");
/// Parsers quote what they refuse, whatever its length; people read the beginning.
const MAX_MESSAGE_BYTES: usize = 512;

/// Why a request is refused or failed. On its way to the client it gets the request's id and its body.
#[derive(Clone, Debug)]
pub(crate) struct Fault(Box<Parts>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    code: ErrorCode,
    message: String,
    field: Option<String>,
    missing: Vec<String>,
    limit: Option<u64>,
    oldest_cursor: Option<Cursor>,
    reason: Option<&'static str>,
    approval: Option<Box<Approval>>,
    /// Where it is known when to try again.
    retry_after: Option<Duration>,
    /// A header that belongs to the status.
    header: Option<(HeaderName, HeaderValue)>,
}

impl Fault {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > MAX_MESSAGE_BYTES {
            message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
            message.push('…');
        }
        Self(Box::new(Parts {
            code,
            message,
            field: None,
            missing: Vec::new(),
            limit: None,
            oldest_cursor: None,
            reason: None,
            approval: None,
            retry_after: None,
            header: None,
        }))
    }

    pub(crate) fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// The request makes no sense as it is.
    pub(crate) fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, message)
    }

    /// The query has an unknown parameter or a bad value.
    pub(crate) fn invalid_query(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidQuery, message)
    }

    /// Where the fault is, as a JSON pointer into the body.
    pub(crate) fn at(mut self, field: impl Into<String>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// The limit that the request went over.
    pub(crate) fn over(mut self, limit: u64) -> Self {
        self.0.limit = Some(limit);
        self
    }

    /// How long it takes until the request may be taken.
    pub(crate) fn after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// The approval that is not decided as it was asked to be.
    fn about(mut self, approval: Box<Approval>) -> Self {
        self.0.approval = Some(approval);
        self
    }

    /// The methods that the route has.
    pub(crate) fn allowing(mut self, methods: HeaderValue) -> Self {
        self.0.header = Some((header::ALLOW, methods));
        self
    }

    /// A range was asked for that begins behind the end of what has so many bytes.
    pub(crate) fn not_satisfiable(bytes: u64) -> Self {
        let mut fault =
            Self::new(ErrorCode::RangeNotSatisfiable, format!("the body has {bytes} bytes")).over(bytes);
        let value = HeaderValue::from_str(&format!("bytes */{bytes}")).expect("a number is a header's value");
        fault.0.header = Some((header::CONTENT_RANGE, value));
        fault
    }

    /// What it is, for a person.
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// The answer with its body.
    pub(crate) fn render(self, request_id: RequestId) -> Response {
        let Parts {
            code,
            message,
            field,
            missing,
            limit,
            oldest_cursor,
            reason,
            approval,
            retry_after,
            header,
        } = *self.0;
        let error = ErrorBody {
            code,
            message,
            request_id,
            retryable: code.is_retryable(),
            field,
            missing,
            limit,
            oldest_cursor,
            reason: reason.map(str::to_owned),
            approval,
        };
        let mut response = reply::json(&ErrorReply { error });
        *response.status_mut() = status(code);
        let headers = response.headers_mut();
        if code == ErrorCode::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some((name, value)) = header {
            headers.insert(name, value);
        }
        match code.status() {
            429 => {
                // A part of a second is none to the header; who comes too early only comes again.
                let known = retry_after.map(|wait| HeaderValue::from(wait.as_secs().max(1)));
                headers.insert(header::RETRY_AFTER, known.unwrap_or(RETRY_OVERLOADED))
            }
            503 => headers.insert(header::RETRY_AFTER, RETRY_DRAINING),
            _ => None,
        };
        response
    }
}

/// The fault travels beside an empty answer to the place that knows the request's id.
impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status(self.0.code);
        response.extensions_mut().insert(self);
        response
    }
}

fn status(code: ErrorCode) -> StatusCode {
    StatusCode::from_u16(code.status()).expect("every code's status is one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_cut() {
        let fault = Fault::invalid_query("é".repeat(300));
        assert_eq!(fault.0.message, format!("{}…", "é".repeat(256)));
    }

    #[test]
    fn every_code_has_a_status_of_http() {
        for code in ErrorCode::ALL {
            assert!(status(*code).is_client_error() || status(*code).is_server_error(), "{code:?}");
        }
    }
}
