//! Config bundles over the wire.

use musher_protocol::{ConfigBundleAvailabilityReply, ConfigBundlesReply, Digest, ErrorCode};
use serde_json::{Value, json};

use crate::{
    client::{Ask, Client, Reply},
    world::{DRIVES, LOOKS, World},
};

fn bundle() -> Value {
    json!({
        "metadata": {
            "id": "team-a", "revision": "1", "workspace_id": "w", "created_at": "2026-11-20T10:00:00Z",
            "provenance": {"source": "git"},
        },
        "profiles": [{"selector": "narrow"}],
        "declarations": [{"kind": "backend", "name": "script", "reference": "scripted"}],
    })
}

fn post(bundle: &Value) -> Ask {
    Ask::post("/v1/config-bundles", json!({ "bundle": bundle }).to_string())
}

/// The bundle itself, as this revision.
pub(crate) fn revision(revision: &str) -> String {
    let mut bundle = bundle();
    bundle["metadata"]["revision"] = revision.into();
    bundle.to_string()
}

/// A request that stores a bundle.
pub(crate) fn good() -> Ask {
    post(&bundle())
}

/// The same, with this at that place.
pub(crate) fn with(place: &str, value: impl Into<Value>) -> Ask {
    let (parent, key) = place.rsplit_once('/').expect("a place");
    let mut bundle = bundle();
    bundle.pointer_mut(parent).expect("a place that is there")[key] = value.into();
    post(&bundle)
}

/// Stores the bundle, and answers with its digest.
pub(crate) async fn stored(world: &World) -> String {
    let reply: ConfigBundlesReply = world.client().ask(good()).await.read();
    reply.bundles[0].digest.to_string()
}

#[tokio::test]
async fn a_bundle_is_stored_listed_looked_at_and_deleted() {
    let world = World::new().await;
    let client = world.client();
    assert_eq!(client.get("/v1/config-bundles").await.ok().json(), json!({"bundles": []}));
    let first = client.ask(good()).await.ok();
    let digest = first.json()["bundles"][0]["digest"].as_str().expect("a digest").to_owned();
    let summary = json!({
        "id": "team-a", "digest": digest, "digest_algorithm": "sha256-jcs", "revision": "1",
        "profile_count": 1, "declaration_count": 1, "created_at": "2026-11-20T10:00:00Z",
    });
    assert_eq!(first.json(), json!({"bundles": [summary]}));
    // As a person writes it, and with its digest: still the same.
    let pretty = serde_json::to_string_pretty(&json!({"bundle": bundle()})).expect("JSON");
    for again in [good(), Ask::post("/v1/config-bundles", pretty), with("/metadata/digest", digest.as_str())]
    {
        assert_eq!(client.ask(again).await.ok().body, first.body);
    }
    assert_eq!(client.get("/v1/config-bundles").await.ok().json(), json!({"bundles": [summary]}));

    let here = format!("/v1/config-bundles/team-a/availability?digest={digest}");
    let ready = json!([{"selector": "narrow", "ready": true, "missing": []}]);
    let reference = json!({"id": "team-a", "digest": digest});
    let availability = json!({"reference": reference, "summary": summary, "profiles": ready});
    assert_eq!(client.get(&here).await.ok().json(), json!({"availability": availability}));

    let named = json!({"kind": "named", "value": "narrow"});
    let create = json!({"intent": {"kind": "assistant"}, "profile": named, "config_bundle": reference});
    let worker = client.post("/v1/workers", &create).await.ok().json()["worker"].clone();
    assert_eq!((&worker["config_bundle"], &worker["profile"]), (&reference, &json!("narrow")));

    let gone = Ask::delete(format!("/v1/config-bundles/team-a?digest={digest}"));
    let reply = client.ask(gone.clone()).await;
    assert_eq!((reply.status, reply.body.as_str()), (204, ""));
    assert_eq!(client.ask(gone).await.error(), ErrorCode::ConfigBundleMissing);
    assert_eq!(client.post("/v1/workers", &create).await.error(), ErrorCode::ConfigBundleMissing);
    let id = worker["worker_id"].as_str().expect("an id");
    assert_eq!(client.get(&format!("/v1/workers/{id}")).await.ok().json()["worker"], worker);
    world.end().await;
}

#[tokio::test]
async fn a_bundle_is_stored_once_under_its_key() {
    let world = World::new().await;
    let client = world.client();
    let keyed = |ask: Ask| ask.with("idempotency-key", "sync-7");
    let first = client.ask(keyed(good())).await.ok();
    assert_eq!(first.header("idempotency-replayed"), None);
    let digest = first.json()["bundles"][0]["digest"].as_str().expect("a digest").to_owned();
    let gone = client.ask(Ask::delete(format!("/v1/config-bundles/team-a?digest={digest}"))).await;
    assert_eq!(gone.status, 204);
    let again = client.ask(keyed(good())).await.ok();
    assert_eq!((&again.body, again.header("idempotency-replayed")), (&first.body, Some("true")));
    assert_eq!(client.get("/v1/config-bundles").await.ok().json(), json!({"bundles": []}));
    let other = client.ask(keyed(with("/metadata/revision", "2"))).await;
    assert_eq!(other.error(), ErrorCode::IdempotencyMismatch);
    world.end().await;
}

#[tokio::test]
async fn only_an_admin_changes_bundles_and_who_may_look_sees_them() {
    let world = World::new().await;
    let digest = stored(&world).await;
    let [looks, drives] = [LOOKS, DRIVES].map(|token| Client::new(world.address, Some(token)));
    looks.get("/v1/config-bundles").await.ok();
    let availability = format!("/v1/config-bundles/team-a/availability?digest={digest}");
    let _read: ConfigBundleAvailabilityReply = looks.get(&availability).await.read();
    let delete = || Ask::delete(format!("/v1/config-bundles/team-a?digest={digest}"));
    for client in [&looks, &drives] {
        assert_eq!(client.ask(good()).await.error(), ErrorCode::Forbidden);
        assert_eq!(client.ask(delete()).await.error(), ErrorCode::Forbidden);
    }
    assert_eq!(drives.get("/v1/config-bundles").await.error(), ErrorCode::Forbidden);
    world.end().await;
}

/// Code, place and message of an error.
fn told(reply: &Reply) -> (ErrorCode, String, String) {
    let text = |key: &str| reply.json()["error"][key].as_str().unwrap_or_default().to_owned();
    (reply.error(), text("field"), text("message"))
}

#[tokio::test]
async fn what_is_refused_is_named_by_its_place_and_not_shown() {
    let world = World::new().await;
    let client = world.client();
    use ErrorCode as Code;
    let raw = |bundle: &str| Ask::post("/v1/config-bundles", format!(r#"{{"bundle":{bundle}}}"#));
    let text = bundle().to_string();
    let twice = text.replacen(r#""revision":"1""#, r#""revision":"1","revision":"1""#, 1);
    let large = r#"{"backend":"scripted","limits":{"turns":9007199254740992}}"#;
    let large =
        text.replacen(r#"{"selector":"narrow"}"#, &format!(r#"{{"selector":"narrow","spec":{large}}}"#), 1);
    for (ask, code, field, message) in [
        (raw("[]"), Code::InvalidJson, "/bundle", "invalid length 0"),
        (raw("null"), Code::InvalidJson, "/bundle", "invalid type: null"),
        (raw(&twice), Code::InvalidJson, "/bundle/metadata", "duplicate field `revision`"),
        (raw(&large), Code::InvalidJson, "/bundle", "a number is beyond 2^53 - 1"),
        (raw(&format!("{text},\"more\":1")), Code::InvalidJson, "/more", "unknown field `more`"),
        (with("/more", 1), Code::InvalidJson, "/bundle/more", "unknown field `more`"),
        (
            with("/declarations/0/value", "sk-hidden"),
            Code::InvalidJson,
            "/bundle/declarations/0/value",
            "unknown field `value`",
        ),
        (
            with("/profiles/0/spec", json!({"backend": "scripted", "program": "sk-hidden"})),
            Code::InvalidJson,
            "/bundle/profiles/0/spec/program",
            "unknown field `program`",
        ),
        (
            with("/profiles/0/spec", json!({"backend": "scripted"})),
            Code::InvalidRequest,
            "/bundle/profiles/0/spec",
            "this runtime has profiles of its own only",
        ),
        (with("/metadata/id", "/sk-hidden"), Code::InvalidRequest, "/bundle/metadata/id", "1 to 128 letters"),
        (
            with("/metadata/digest", "sk-hidden"),
            Code::InvalidRequest,
            "/bundle/metadata/digest",
            "not a digest",
        ),
        (
            with("/metadata/created_at", "sk-hidden"),
            Code::InvalidRequest,
            "/bundle/metadata/created_at",
            "a time as RFC 3339",
        ),
        (
            with("/profiles/0/label", "/run/sk-hidden.sock"),
            Code::InvalidRequest,
            "/bundle/profiles/0/label",
            "a line of 1 to 200 bytes",
        ),
        (
            with("/profiles/0/selector", "sk hidden"),
            Code::InvalidProfileSelector,
            "/bundle/profiles/0/selector",
            "1 to 128 letters",
        ),
        (
            with("/declarations/0/reference", "sk/hidden"),
            Code::InvalidRequest,
            "/bundle/declarations/0/reference",
            "1 to 128 letters",
        ),
        (
            with("/declarations/0/kind", "sk-hidden"),
            Code::UnsupportedConfigDeclaration,
            "/bundle/declarations/0/kind",
            "there are `secret_ref`",
        ),
        (
            with("/metadata/digest", Digest([7; 32]).to_string()),
            Code::ConfigBundleDigestMismatch,
            "/bundle/metadata/digest",
            "the digest of config bundle `team-a` is",
        ),
    ] {
        let reply = client.ask(ask).await;
        let (told_code, told_field, told_message) = told(&reply);
        assert_eq!((told_code, told_field.as_str()), (code, field), "{}", reply.body);
        assert!(told_message.contains(message), "{told_message}\n  has no\n{message}");
        assert!(!reply.body.contains("hidden"), "{}", reply.body);
    }
    assert_eq!(client.get("/v1/config-bundles").await.ok().json(), json!({"bundles": []}));
    world.end().await;
}
