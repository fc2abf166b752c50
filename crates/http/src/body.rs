//! Bodies of requests: bounded in size and time, then JSON or a fault that names the place.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header::EXPECT};

use http_body_util::BodyExt as _;
use musher_core::{Wall, stands};
use musher_protocol::ErrorCode;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use serde_path_to_error::Segment;

use crate::{fault::Fault, options::Bounds, wording};

/// How much of a body that is too large is read and thrown away. Most clients write all of it before they read
/// the answer, and would only see a broken connection if the server hung up before.
const DISCARDED_BYTES: usize = 6 << 20;
/// Every place that a request really has is named by less; the names of others are the client's, of any length.
const MAX_POINTER_BYTES: usize = 256;
/// Longer than any connection lives.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Reads a body, whole.
pub(crate) async fn read(headers: &HeaderMap, body: Body, bounds: &Bounds) -> Result<Bytes, Fault> {
    let max = if stands(Wall::BodySize) { bounds.max_body_bytes } else { usize::MAX };
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    // A client that asks before it sends needs no patience.
    let patience = if headers.contains_key(EXPECT) { 0 } else { DISCARDED_BYTES };
    let reading = async {
        if announced > max.saturating_add(patience) {
            return Err(too_large(max));
        }
        collect(body, max, patience).await
    };
    let late = |_| {
        let secs = bounds.body_timeout.as_secs_f32();
        Fault::new(ErrorCode::InvalidJson, format!("the body took more than {secs} s to arrive"))
    };
    let limit = if stands(Wall::BodyTimeout) { bounds.body_timeout } else { NEVER };
    tokio::time::timeout(limit, reading).await.map_err(late)?
}

async fn collect(mut body: Body, max: usize, patience: usize) -> Result<Bytes, Fault> {
    let mut kept = BytesMut::new();
    let mut received = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            tracing::debug!(error = &error as &dyn std::error::Error, "read body");
            Fault::new(ErrorCode::InvalidJson, "the body broke off")
        })?;
        // Trailers have nothing to say here.
        let Ok(chunk) = frame.into_data() else { continue };
        received = received.saturating_add(chunk.len());
        if received <= max {
            kept.extend_from_slice(&chunk);
        } else if received <= max.saturating_add(patience) {
            kept = BytesMut::new();
        } else {
            break;
        }
    }
    if received > max { Err(too_large(max)) } else { Ok(kept.freeze()) }
}

fn too_large(max: usize) -> Fault {
    Fault::new(ErrorCode::PayloadTooLarge, format!("a body has at most {max} bytes")).over(max as u64)
}

/// Reads JSON: one object and nothing behind it.
pub(crate) fn parse<T: DeserializeOwned + Serialize>(body: &[u8]) -> Result<T, Fault> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Fault::new(ErrorCode::InvalidJson, "a JSON object is expected"));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let value: T = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = pointer(error.path());
        let message = wording::json(&error.inner().to_string());
        if field.is_empty() || field.len() > MAX_POINTER_BYTES {
            Fault::new(ErrorCode::InvalidJson, message)
        } else {
            Fault::new(ErrorCode::InvalidJson, format!("`{field}`: {message}")).at(field)
        }
    })?;
    json.end().map_err(|error| Fault::new(ErrorCode::InvalidJson, error.to_string()))?;
    // Structs can be read from arrays too, by position; that is no part of the wire. Only a second look at the body tells:
    // an enum with a tag (`intent`, `profile`) asks the parser for anything at all, as a field that takes any JSON does, and
    // reads its variant out of a buffer. A deserializer between the two, which would also be all of serde's traits over
    // again, could not tell an array in its place from one that is not. Most bodies have no array, and are read once.
    if !body.contains(&b'[') {
        return Ok(value);
    }
    let given: Value = serde_json::from_slice(body)
        .map_err(|error| Fault::new(ErrorCode::InvalidJson, error.to_string()))?;
    let meant = serde_json::to_value(&value).expect("a request is JSON");
    match misplaced_array(&given, &meant) {
        Some(place) => {
            let message = format!("`{place}`: invalid type: array, expected an object");
            Err(Fault::new(ErrorCode::InvalidJson, message).at(place))
        }
        None => Ok(value),
    }
}

/// The first array that was given where an object is meant, as a JSON pointer.
fn misplaced_array(given: &Value, meant: &Value) -> Option<String> {
    let within = |name: &str, given, meant| Some(format!("/{name}{}", misplaced_array(given, meant)?));
    match (given, meant) {
        (Value::Array(_), Value::Object(_)) => Some(String::new()),
        (Value::Array(given), Value::Array(meant)) => {
            let mut pairs = given.iter().zip(meant).enumerate();
            pairs.find_map(|(index, (given, meant))| within(&index.to_string(), given, meant))
        }
        (Value::Object(given), Value::Object(meant)) => {
            given.iter().find_map(|(name, given)| within(name, given, meant.get(name)?))
        }
        _ => None,
    }
}

/// A path as a JSON pointer.
fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        let name = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            // A variant's name is a value of the document, not a place in it.
            Segment::Enum { .. } | Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&name);
    }
    pointer
}

#[cfg(test)]
mod tests {
    use musher_protocol::CreateWorker;

    use super::*;

    #[test]
    fn faults_name_their_place() {
        let deep = format!(r#"{{"intent":{}"#, r#"{"purpose":"#.repeat(200));
        let cases: &[(&[u8], Option<&str>, &str)] = &[
            (b"", None, "a JSON object is expected"),
            (b" \n", None, "a JSON object is expected"),
            (b"{", None, "EOF while parsing an object at line 1 column 1"),
            (b"null", None, "a JSON object is expected"),
            (br#"[{"kind":"assistant"}]"#, None, "a JSON object is expected"),
            (b"{}", None, "missing field `intent` at line 1 column 2"),
            (
                br#"{"intent":{"kind":"task"}}"#,
                Some("/intent"),
                "`/intent`: missing field `objective` at line 1 column 26",
            ),
            (
                br#"{"intent":{"kind":"assistant"},"bogus":1}"#,
                Some("/bogus"),
                "`/bogus`: unknown field `bogus`, expected one of `intent`, `profile`, `config_bundle`, \
                 `requested_capabilities`, `workspace_refs`, `mount_refs`, `initial_input`, `limits`, `on_idle`, `resume`, `labels`, \
                 `display_name` at line 1 column 38",
            ),
            (
                br#"{"intent":{"kind":"assistant","bogus":1}}"#,
                Some("/intent"),
                "`/intent`: unknown field `bogus`, expected `purpose` at line 1 column 41",
            ),
            (
                br#"{"intent":{"kind":"assistant"},"intent":{"kind":"assistant"}}"#,
                None,
                "duplicate field `intent` at line 1 column 39",
            ),
            (
                br#"{"intent":{"kind":"assistant"},"workspace_refs":[{"name":"a","reference":7}]}"#,
                Some("/workspace_refs/0/reference"),
                "`/workspace_refs/0/reference`: invalid type: integer `7`, expected a string at line 1 column 74",
            ),
            (
                br#"{"intent":{"kind":"assistant"},"labels":{"a/b~c":1}}"#,
                Some("/labels/a~1b~0c"),
                "`/labels/a~1b~0c`: invalid type: integer `1`, expected a string at line 1 column 50",
            ),
            (
                b"{\"intent\":{\"kind\":\"assistant\"},\"display_name\":\"\xff\"}",
                Some("/display_name"),
                "`/display_name`: invalid unicode code point at line 1 column 48",
            ),
            (
                br#"{"intent":{"kind":"assistant"},"limits":[null,null,1.5]}"#,
                Some("/limits"),
                "`/limits`: invalid type: array, expected an object",
            ),
            (
                br#"{"intent":["assistant"]}"#,
                Some("/intent"),
                "`/intent`: invalid type: array, expected an object",
            ),
            (
                br#"{"intent":["task","x"]}"#,
                Some("/intent"),
                "`/intent`: invalid type: array, expected an object",
            ),
            (
                br#"{"intent":{"kind":"assistant"},"workspace_refs":[["a","b"]]}"#,
                Some("/workspace_refs/0"),
                "`/workspace_refs/0`: invalid type: array, expected an object",
            ),
            (br#"{"intent":{"kind":"assistant"}} {}"#, None, "trailing characters at line 1 column 33"),
            (deep.as_bytes(), None, "recursion limit exceeded at line 1 column 1397"),
        ];
        for (body, field, message) in cases {
            let refused = parse::<CreateWorker>(body).map(drop).map_err(|fault| format!("{fault:?}"));
            let mut expected = Fault::new(ErrorCode::InvalidJson, *message);
            if let Some(field) = field {
                expected = expected.at(*field);
            }
            assert_eq!(refused, Err(format!("{expected:?}")), "{}", String::from_utf8_lossy(body));
        }
    }
}
