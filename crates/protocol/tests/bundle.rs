//! Config bundles, as they are written and read.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use musher_protocol::{
    ApprovalSpec, ApproverSpec, ConfigBundle, ConfigBundleAvailability, ConfigBundleAvailabilityReply,
    ConfigBundleMetadata, ConfigBundleProfile, ConfigBundleProvenance, ConfigBundleReadiness,
    ConfigBundleRef, ConfigBundleSummary, ConfigBundlesReply, ConfigDeclaration, ConfigDeclarationKind,
    Digest, DigestAlgorithm, OnRateLimit, OnRestart, ProfileSpec, SandboxSpec, StoreConfigBundle,
    WorkerLimits,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Holds a value against its snapshot, written and read.
fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(name: &str, value: &T) {
    insta::assert_json_snapshot!(name, value);
    let json = serde_json::to_value(value).unwrap();
    assert_eq!(&serde_json::from_value::<T>(json).unwrap(), value);
}

fn spec() -> ProfileSpec {
    ProfileSpec {
        backend: "local".into(),
        model: Some("qwen".into()),
        instructions: Some("be brief".into()),
        approval: Some(ApprovalSpec { mode: ApproverSpec::Ask, deadline_secs: Some(600) }),
        capabilities: Some(["read", "mcp:tickets"].map(|name| name.parse().unwrap()).into()),
        limits: Some(WorkerLimits { turns: Some(50), cost_usd: Some(0.5), ..WorkerLimits::default() }),
        on_rate_limit: Some(OnRateLimit::Park),
        park_max_secs: Some(60),
        on_restart: Some(OnRestart::Wait),
        sandbox: Some(SandboxSpec::Landlock),
        grace_secs: Some(5),
        settings_sources: Some(vec!["user".into()]),
        reasoning_effort: Some("low".into()),
        thinking_level: Some("high".into()),
        max_output_tokens: Some(1000),
        script: Some("echo".into()),
        word_delay_ms: Some(1),
    }
}

fn bundle() -> ConfigBundle {
    let declaration =
        |kind: ConfigDeclarationKind| ConfigDeclaration { kind, name: "a".into(), reference: "B".into() };
    ConfigBundle {
        metadata: ConfigBundleMetadata {
            id: "team-a".into(),
            digest: Some("ab".repeat(32)),
            revision: "7".into(),
            workspace_id: "shop".into(),
            created_at: "2026-11-20T10:00:00Z".into(),
            provenance: ConfigBundleProvenance { source: "git".into(), detail: Some("a build".into()) },
        },
        profiles: vec![
            ConfigBundleProfile { selector: "coder".into(), label: Some("Coder".into()), spec: Some(spec()) },
            ConfigBundleProfile { selector: "echo".into(), label: None, spec: None },
        ],
        declarations: ConfigDeclarationKind::ALL.map(declaration).into(),
    }
}

fn summary() -> ConfigBundleSummary {
    ConfigBundleSummary {
        id: "team-a".parse().unwrap(),
        digest: Digest([0xab; 32]),
        digest_algorithm: DigestAlgorithm::Sha256Jcs,
        revision: "7".parse().unwrap(),
        profile_count: 2,
        declaration_count: 5,
        created_at: "2026-11-20T10:00:00Z".parse().unwrap(),
    }
}

#[test]
fn bundles_are_as_the_wire_has_them() {
    check("store_config_bundle", &StoreConfigBundle { bundle: bundle() });
    check("config_bundles", &ConfigBundlesReply { bundles: vec![summary()] });
    let ConfigBundleSummary { id, digest, .. } = summary();
    let ready = ConfigBundleReadiness { selector: "coder".into(), ready: true, missing: Vec::new() };
    let missing = vec!["secret_ref `key`".to_owned()];
    let not_ready = ConfigBundleReadiness { selector: "echo".into(), ready: false, missing };
    let availability = ConfigBundleAvailability {
        reference: ConfigBundleRef { id, digest },
        summary: summary(),
        profiles: vec![ready, not_ready],
    };
    check("config_bundle_availability", &ConfigBundleAvailabilityReply { availability });
}

#[test]
fn what_a_bundle_may_not_have_is_named() {
    let refused = |place: &str, key: &str| {
        let mut value = json!({"bundle": bundle()});
        value.pointer_mut(place).unwrap()[key] = json!(1);
        let error = serde_json::from_value::<StoreConfigBundle>(value).unwrap_err().to_string();
        assert!(error.starts_with(&format!("unknown field `{key}`")), "{place}: {error}");
    };
    for place in [
        "",
        "/bundle",
        "/bundle/metadata",
        "/bundle/metadata/provenance",
        "/bundle/profiles/0",
        "/bundle/profiles/0/spec",
        "/bundle/profiles/0/spec/approval",
        "/bundle/profiles/0/spec/limits",
        "/bundle/declarations/0",
    ] {
        for key in ["path", "env", "program", "value", "secret", "socket"] {
            refused(place, key);
        }
    }
}

#[test]
fn a_kind_that_is_not_known_is_read_as_that() {
    let declaration: ConfigDeclaration =
        serde_json::from_value(json!({"kind": "volume", "name": "a", "reference": "b"})).unwrap();
    assert_eq!(declaration.kind, ConfigDeclarationKind::Unknown);
}

#[test]
fn a_reference_is_written_as_an_id_and_a_digest() {
    let digest = "ab".repeat(32);
    let read = |id: &str, digest: &str| {
        serde_json::from_value::<ConfigBundleRef>(json!({"id": id, "digest": digest}))
            .map_err(|e| e.to_string())
    };
    assert_eq!(read("team-a", &digest).unwrap().digest, Digest([0xab; 32]));
    for (id, digest, told) in [
        ("", digest.as_str(), "an id must not be empty"),
        (".a", &digest, "an id begins with a letter or a digit"),
        ("-a", &digest, "an id begins with a letter or a digit"),
        ("a/b", &digest, "an id holds only letters, digits and . _ : -"),
        ("a", "AB", "not a digest: expected 64 lower hex digits"),
    ] {
        assert_eq!(read(id, digest), Err(told.to_owned()), "{id}");
    }
    let more: Result<ConfigBundleRef, _> = serde_json::from_value::<ConfigBundleRef>(
        json!({"id": "a", "digest": digest, "revision": 1}) as Value,
    );
    assert!(more.is_err());
}
