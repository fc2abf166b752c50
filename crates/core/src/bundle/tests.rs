use serde_json::{Value, json};

use super::*;

fn full() -> Value {
    json!({
        "metadata": {
            "id": "team-a", "revision": "7", "workspace_id": "shop", "created_at": "2026-11-20T10:00:00+01:00",
            "provenance": {"source": "git"},
        },
        "profiles": [{"selector": "coder"}],
        "declarations": [],
    })
}

fn read(bundle: &Value) -> Result<Bundle, BundleError> {
    Bundle::read(&bundle.to_string())
}

fn with(place: &str, value: impl Into<Value>) -> Value {
    let (parent, key) = place.rsplit_once('/').unwrap();
    let mut bundle = full();
    let parent = bundle.pointer_mut(parent).unwrap();
    match key.parse::<usize>() {
        Ok(index) => parent[index] = value.into(),
        Err(_name) => parent[key] = value.into(),
    }
    bundle
}

#[test]
fn a_digest_may_be_left_out_and_must_be_right_when_it_is_there() {
    let bundle = read(&full()).unwrap();
    let digest = bundle.summary.digest;
    let named = read(&with("/metadata/digest", digest.to_string())).unwrap();
    assert_eq!((named.summary, named.canonical), (bundle.summary, bundle.canonical));
    let forged = read(&with("/metadata/digest", "ab".repeat(32))).unwrap_err().to_string();
    let told = format!("the digest of config bundle `team-a` is {digest}, not the one that it names");
    assert_eq!(forged, told);
}

#[test]
fn a_digest_is_over_everything_else() {
    let digest = read(&full()).unwrap().summary.digest;
    for (place, value) in [
        ("/metadata/id", json!("team-b")),
        ("/metadata/revision", json!("8")),
        ("/metadata/workspace_id", json!("shops")),
        // The same moment in other words is other content.
        ("/metadata/created_at", json!("2026-11-20T09:00:00Z")),
        ("/metadata/provenance/detail", Value::Null),
        ("/profiles/0/label", json!("Coder")),
        ("/profiles/0/spec", json!({"backend": "b"})),
        ("/declarations", json!([{"kind": "backend", "name": "a", "reference": "a"}])),
    ] {
        assert_ne!(read(&with(place, value)).unwrap().summary.digest, digest, "{place}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (bundle, expected) in [
        (
            with("/metadata/digest", "AB".repeat(32)),
            "`/metadata/digest`: not a digest: expected 64 lower hex digits",
        ),
        (with("/metadata/digest", ""), "`/metadata/digest`: not a digest: expected 64 lower hex digits"),
        (
            with("/metadata/created_at", "today"),
            "`/metadata/created_at`: a time as RFC 3339 has it is expected",
        ),
        (with("/metadata/signature", "x"), "read the config bundle: unknown field `signature`"),
        (
            with("/profiles/0/spec", json!({"backend": "b", "env": {}})),
            "read the config bundle: unknown field `env`",
        ),
        (
            with("/profiles/0/spec", json!({"backend": "b", "limits": {"turns": 1u64 << 53}})),
            "read the config bundle: a number is beyond",
        ),
        (
            with("/profiles/0/spec", json!({"backend": "b", "program": "x"})),
            "read the config bundle: unknown field `program`",
        ),
        (
            with("/metadata/provenance/detail", "x".repeat(MAX_BUNDLE_BYTES)),
            "a config bundle has at most 262144 bytes",
        ),
    ] {
        let error = read(&bundle).unwrap_err();
        let source =
            std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        let told = format!("{error}{source}");
        assert!(told.starts_with(expected), "{told}\n  is not\n{expected}");
    }
}

#[test]
fn an_object_is_written_as_one() {
    let approval = json!({"backend": "b", "approval": {"mode": {"ask": null}}});
    let limits = json!({"backend": "b", "limits": [1, 2, 3, 4, 5, 6, 7, 8]});
    let Value::Object(members) = full() else { panic!("an object") };
    for bundle in [
        Value::Array(["metadata", "profiles", "declarations"].map(|name| members[name].clone()).into()),
        with("/metadata/provenance", json!(["git", null])),
        with("/profiles/0", json!(["coder", null, null])),
        with("/profiles/0/spec", approval),
        with("/profiles/0/spec", limits),
        with("/declarations", json!([["backend", "a", "b"]])),
    ] {
        let error = read(&bundle).unwrap_err();
        let BundleError::Json(error) = error else { panic!("{error:?} of {bundle}") };
        let told = "an object, a list or a text stands where another of them belongs";
        assert_eq!(error.to_string(), told, "{bundle}");
    }
}

#[test]
fn what_is_stored_reads_as_what_was_sent() {
    let sent = read(&full()).unwrap();
    let stored = sent.to_store();
    assert!(stored.is_intact());
    let again = Bundle::stored(stored).unwrap();
    // The digest is of the summary then.
    assert_eq!((again.summary, again.content), (sent.summary, sent.content));
}
