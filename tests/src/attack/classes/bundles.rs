//! Config bundles that are not what they say, and bundles that say what none may.

use serde_json::{Value, json};

use crate::attack::{
    request::Request,
    tally::Tally,
    target::{CANARY, Target},
};

const BUNDLES: &str = "/v1/config-bundles";

fn bundle(revision: &str, digest: Option<&str>, profile: &Value, declarations: &Value) -> Value {
    let mut metadata = json!({
        "id": "forged", "revision": revision, "workspace_id": "w", "created_at": "2026-11-20T10:00:00Z",
        "provenance": {"source": "attack"},
    });
    if let Some(digest) = digest {
        metadata["digest"] = json!(digest);
    }
    json!({"bundle": {"metadata": metadata, "profiles": [profile], "declarations": declarations}})
}

async fn store(target: &Target, bundle: &Value) -> u16 {
    target.ask_as_admin(Request::post(BUNDLES, bundle.to_string())).await.status
}

/// A content under the name of another.
pub(super) async fn digests(target: &Target, tally: &mut Tally) {
    let (brief, asks) = (json!({"selector": "brief"}), json!({"selector": "asks"}));
    let none = json!([]);
    let stored =
        target.ask_as_admin(Request::post(BUNDLES, bundle("1", None, &brief, &none).to_string())).await;
    let digest = stored.json()["bundles"][0]["digest"].as_str().expect("a digest").to_owned();
    for (what, revision, given) in [
        ("another content under a digest", "2", digest.as_str()),
        ("a digest of nothing", "2", &"0".repeat(64)),
        ("a digest in capitals", "1", &digest.to_uppercase()),
        ("half a digest", "1", &digest[..32]),
        ("no text", "1", ""),
        ("a digest with its algorithm", "1", &format!("sha256:{digest}")),
    ] {
        let profile = if revision == "1" { &brief } else { &asks };
        let status = store(target, &bundle(revision, Some(given), profile, &none)).await;
        tally.case(what, status == 400);
    }
    let changed = store(target, &bundle("1", None, &asks, &none)).await;
    tally.case("another content under a revision", changed == 409);
    let twice = bundle("3", None, &brief, &none).to_string().replacen(
        "\"selector\"",
        "\"selector\":\"asks\",\"selector\"",
        1,
    );
    let twice = target.ask_as_admin(Request::post(BUNDLES, twice)).await;
    tally.case("a member twice", twice.status == 400);

    for (what, given) in [("a digest of nothing", "0".repeat(64)), ("half a digest", digest[..32].to_owned())]
    {
        let body = json!({
            "intent": {"kind": "assistant"}, "profile": {"kind": "named", "value": "brief"},
            "config_bundle": {"id": "forged", "digest": given},
        });
        let created = target.ask_as_admin(Request::post("/v1/workers", body.to_string())).await;
        tally.case(format!("a create by {what}"), created.is_refused());
        let path = format!("{BUNDLES}/forged/availability?digest={given}");
        tally.case(format!("a look by {what}"), target.ask_as_admin(Request::get(path)).await.is_refused());
        let removed = Request::new("DELETE", format!("{BUNDLES}/forged?digest={given}"));
        tally.case(format!("a removal by {what}"), target.ask_as_admin(removed).await.is_refused());
    }
    let looked = format!("{BUNDLES}/forged/availability?digest={digest}");
    let kept = target.ask_as_admin(Request::get(looked)).await;
    tally.case("what was stored first is there", kept.status == 200);
}

/// Programs, paths, addresses and secrets in a bundle.
pub(super) async fn contents(target: &Target, tally: &mut Tally) {
    let none = json!([]);
    for (what, spec) in [
        ("a program", json!({"backend": "scripted", "program": "/bin/sh"})),
        ("an environment", json!({"backend": "scripted", "env": {"A": "b"}})),
        ("a variable", json!({"backend": "scripted", "pass_env": ["HOME"]})),
        ("a script's path", json!({"backend": "scripted", "script": "../asks.json"})),
        ("an address", json!({"backend": "openai-api", "base_url": "http://127.0.0.1:1"})),
        ("a key", json!({"backend": "openai-api", "api_key": CANARY})),
    ] {
        let profile = json!({"selector": "p", "spec": spec});
        tally.case(
            format!("{what} in a profile"),
            store(target, &bundle("c", None, &profile, &none)).await == 400,
        );
    }
    for reference in
        ["/etc/passwd", "../token", "http://169.254.169.254/", "unix:/run/x", "a b", "$(id)", "\u{1b}[2J", ""]
    {
        let declarations = json!([{"kind": "workspace_grant", "name": "w", "reference": reference}]);
        let brief = json!({"selector": "brief"});
        let status = store(target, &bundle("d", None, &brief, &declarations)).await;
        tally.case(format!("a reference {reference:?}"), status == 400);
    }
    let declarations = json!([{"kind": "file", "name": "f", "reference": "token"}]);
    let status = store(target, &bundle("e", None, &json!({"selector": "brief"}), &declarations)).await;
    tally.case("a kind of its own", status == 400);
}
