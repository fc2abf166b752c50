//! Query strings, and the numbers in them that have bounds.

use std::time::Duration;

use http::Uri;
use musher_protocol::{ErrorCode, bounds::MAX_WAIT_SECS};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{fault::Fault, wording};

/// A page that names no size.
const DEFAULT_LIMIT: u64 = 256;
/// How long a request waits at most.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(MAX_WAIT_SECS);

/// The query of a route that has none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoQuery {}

/// Reads a query string. An unknown parameter is a fault, and named; so is one that comes twice and may not.
pub(crate) fn parse<T: DeserializeOwned>(uri: &Uri) -> Result<T, Fault> {
    let query = uri.query().unwrap_or_default();
    let query = serde_html_form::Deserializer::from_bytes(query.as_bytes());
    serde_path_to_error::deserialize(query).map_err(|error| {
        let (name, said) = (error.path().to_string(), error.inner().to_string());
        Fault::invalid_query(wording::parameter(&name, &said))
    })
}

/// A label as queries name it.
pub(crate) fn label(text: &str) -> Result<(String, String), Fault> {
    let (key, value) =
        text.split_once('=').ok_or_else(|| Fault::invalid_query("`label` is written `key=value`"))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// How many items a page holds.
pub(crate) fn limit(asked: Option<u64>, max: u64) -> Result<usize, Fault> {
    match asked {
        Some(0) => Err(Fault::invalid_query("`limit` is at least 1")),
        Some(limit) if limit > max => {
            Err(Fault::new(ErrorCode::LimitTooLarge, format!("`limit` is at most {max}")).over(max))
        }
        asked => Ok(usize::try_from(asked.unwrap_or(max.min(DEFAULT_LIMIT))).unwrap_or(usize::MAX)),
    }
}

/// How long a request waits.
pub(crate) fn wait(secs: Option<u64>) -> Result<Option<Duration>, Fault> {
    let wait = secs.map(Duration::from_secs);
    if wait.is_some_and(|wait| wait > MAX_WAIT) {
        return Err(Fault::invalid_query(format!("`wait` is at most {} seconds", MAX_WAIT.as_secs())));
    }
    Ok(wait)
}
