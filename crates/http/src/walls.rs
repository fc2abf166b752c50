//! The walls against browsers: they stand before every route and need no token to hold.

use axum::{body::HttpBody as _, extract::Request};
use http::{
    HeaderMap, HeaderValue, Version,
    header::{CONTENT_TYPE, HOST, ORIGIN},
};

use musher_core::{Wall, stands};
use musher_protocol::ErrorCode;

use crate::{
    fault::Fault,
    host::{AllowedHost, Host},
};

/// Refuses what a page of another origin could make a browser send.
pub(crate) fn check(request: &Request, allowed: &[AllowedHost]) -> Result<(), Fault> {
    let host = host(request).filter(|host| host.is_answered(allowed));
    if host.is_none() && stands(Wall::Host) {
        let message = "this server does not answer for the host that the request names";
        return Err(Fault::new(ErrorCode::MisdirectedHost, message));
    }
    if request.headers().contains_key(ORIGIN) && stands(Wall::Origin) {
        let message = "a request with an `Origin` comes from a page, and pages are not served";
        return Err(Fault::new(ErrorCode::Forbidden, message));
    }
    if !request.body().is_end_stream() && !is_json(request.headers()) && stands(Wall::ContentType) {
        let message = "a body needs `Content-Type: application/json`";
        return Err(Fault::new(ErrorCode::InvalidJson, message));
    }
    Ok(())
}

/// The one host that the request names; where it names two, they have to agree.
fn host(request: &Request) -> Option<Host> {
    let mut headers = request.headers().get_all(HOST).into_iter();
    let target = request.uri().authority().map(|authority| authority.as_str().parse::<Host>().ok());
    match (headers.next(), headers.next(), target) {
        (Some(header), None, None) => read(header),
        (Some(header), None, Some(target)) => read(header).filter(|host| target.as_ref() == Some(host)),
        // From HTTP/2 on the target has it.
        (None, _, Some(target)) if request.version() >= Version::HTTP_2 => target,
        (None, _, _) | (Some(_), Some(_), _) => None,
    }
}

fn read(header: &HeaderValue) -> Option<Host> {
    header.to_str().ok()?.parse().ok()
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).into_iter();
    let (Some(only), None) = (types.next(), types.next()) else { return false };
    let media_type = only.as_bytes().split(|&b| b == b';').next().unwrap_or_default();
    media_type.trim_ascii().eq_ignore_ascii_case(b"application/json")
}
