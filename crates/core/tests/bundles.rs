//! Config bundles: stored once, checked against what is here, and workers that outlive them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use musher_core::{Builder, BundleError, Error, MemoryStore, Profile, Runtime, SpecError};
use musher_protocol::{
    Actor, Capability, CapabilityRequest, ConfigBundleRef, ConfigBundleSummary, ConfigDeclarationKind,
    CreateWorker, Intent, ProfileSelector, ProfileSpec, WorkerDetail,
};
use musher_scripted::Scripted;
use serde::Deserialize;
use serde_json::{Value, json};

fn builder() -> Builder {
    Runtime::builder(MemoryStore::new())
        .backend("scripted", Scripted)
        .profile("echo", Profile::of("scripted"))
        .profile_specs(profile)
        .grant(ConfigDeclarationKind::SecretRef, "SCRIPT_KEY")
        .workspace("shop", std::env::temp_dir())
}

async fn runtime() -> Runtime {
    builder().start().await.unwrap()
}

/// As much of a spec as these tests need.
fn profile(spec: &ProfileSpec) -> Result<Profile, SpecError> {
    if spec.grace_secs == Some(0) {
        return Err(SpecError::Wrong { key: "grace_secs".to_owned(), message: "no grace".to_owned() });
    }
    let capabilities = spec.capabilities.clone().unwrap_or_default();
    Ok(Profile { capabilities, ..Profile::of(&spec.backend) })
}

fn bundle(revision: &str) -> Value {
    json!({
        "metadata": {
            "id": "team-a", "revision": revision, "workspace_id": "w", "created_at": "2026-11-20T10:00:00Z",
            "provenance": {"source": "git"},
        },
        "profiles": [
            {"selector": "reader", "spec": {"backend": "scripted", "capabilities": ["read"]}},
            {"selector": "echo"},
        ],
        "declarations": [
            {"kind": "secret_ref", "name": "key", "reference": "SCRIPT_KEY"},
            {"kind": "workspace_grant", "name": "code", "reference": "shop"},
            {"kind": "backend", "name": "script", "reference": "scripted"},
        ],
    })
}

async fn store(runtime: &Runtime, bundle: &Value) -> Result<ConfigBundleSummary, Error> {
    runtime.store_config_bundle(&bundle.to_string()).await
}

fn reference(summary: &ConfigBundleSummary) -> ConfigBundleRef {
    ConfigBundleRef { id: summary.id.clone(), digest: summary.digest }
}

fn named(selector: &str) -> ProfileSelector {
    ProfileSelector::Named { value: selector.to_owned() }
}

async fn create(
    runtime: &Runtime,
    bundle: &ConfigBundleRef,
    profile: ProfileSelector,
) -> Result<WorkerDetail, Error> {
    let request = CreateWorker {
        profile,
        config_bundle: Some(bundle.clone()),
        ..CreateWorker::new(Intent::Assistant { purpose: None })
    };
    runtime.create_worker(request, Actor::rule("test")).await
}

/// How a call that must fail for its bundle does.
fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> BundleError {
    match result {
        Err(Error::Bundle(error)) => *error,
        other => panic!("not refused for its bundle: {other:?}"),
    }
}

#[tokio::test]
async fn digests_are_those_of_another_implementation() {
    #[derive(Deserialize)]
    struct Case {
        what: String,
        bundle: String,
        digest: String,
    }
    // Computed by the package `rfc8785` of Python.
    let cases: Vec<Case> = serde_json::from_str(include_str!("bundles/digests.json")).unwrap();
    for Case { what, bundle, digest } in cases {
        let summary = runtime().await.store_config_bundle(&bundle).await.unwrap();
        assert_eq!(summary.digest.to_string(), digest, "{what}");
    }
}

#[tokio::test]
async fn a_revision_stays_what_it_was_and_stands_beside_others() {
    let runtime = runtime().await;
    let first = store(&runtime, &bundle("1")).await.unwrap();
    assert_eq!(store(&runtime, &bundle("1")).await.unwrap(), first, "the same again");
    let mut other = bundle("1");
    other["profiles"][1]["label"] = "Echo".into();
    let told = refusal(store(&runtime, &other).await).to_string();
    let stored = first.digest;
    assert_eq!(told, format!("config bundle `team-a` has a revision `1` already, with the digest {stored}"));
    let second = store(&runtime, &bundle("2")).await.unwrap();
    assert_eq!(runtime.list_config_bundles().await.unwrap(), [first.clone(), second.clone()]);

    runtime.delete_config_bundle(&reference(&first)).await.unwrap();
    let told = refusal(runtime.delete_config_bundle(&reference(&first)).await).to_string();
    assert_eq!(told, format!("no revision of config bundle `team-a` has the digest {stored}"));
    runtime.delete_config_bundle(&reference(&second)).await.unwrap();
    let told = refusal(runtime.check_config_bundle(&reference(&second)).await).to_string();
    assert_eq!(told, "no config bundle `team-a`");
    assert_eq!(runtime.list_config_bundles().await.unwrap(), []);
}

#[tokio::test]
async fn a_spec_that_makes_no_sense_is_not_stored() {
    let runtime = runtime().await;
    let mut wrong = bundle("1");
    wrong["profiles"][0]["spec"]["grace_secs"] = 0.into();
    let told = refusal(store(&runtime, &wrong).await).to_string();
    assert_eq!(told, "`/profiles/0/spec/grace_secs`: no grace");
    let alone = Runtime::builder(MemoryStore::new()).start().await.unwrap();
    let told = refusal(store(&alone, &bundle("1")).await).to_string();
    assert_eq!(told, "`/profiles/0/spec`: this runtime has profiles of its own only: leave the spec out");
    assert_eq!(runtime.list_config_bundles().await.unwrap(), []);
}

/// What is missing for each profile of a bundle.
async fn missing(runtime: &Runtime, bundle: &ConfigBundleRef) -> Vec<(String, Vec<String>)> {
    let availability = runtime.check_config_bundle(bundle).await.unwrap();
    assert_eq!((&availability.reference, &reference(&availability.summary)), (bundle, bundle));
    let profiles = availability.profiles.into_iter();
    let profiles = profiles.map(|profile| {
        assert_eq!(profile.ready, profile.missing.is_empty());
        (profile.selector, profile.missing)
    });
    profiles.collect()
}

#[tokio::test]
async fn what_is_missing_is_told_by_name_and_a_create_says_the_same() {
    let runtime = runtime().await;
    let ready = reference(&store(&runtime, &bundle("1")).await.unwrap());
    let none = Vec::<String>::new();
    assert_eq!(
        missing(&runtime, &ready).await,
        [("reader".to_owned(), none.clone()), ("echo".to_owned(), none)]
    );

    let mut lacking = bundle("2");
    lacking["profiles"] = json!([
        {"selector": "echo"},
        {"selector": "nobody"},
        {"selector": "remote", "spec": {"backend": "elsewhere"}},
    ]);
    lacking["declarations"] = json!([
        {"kind": "secret_ref", "name": "key", "reference": "ghp_0123456789"},
        {"kind": "workspace_grant", "name": "code", "reference": "nowhere"},
        {"kind": "mount_grant", "name": "docs", "reference": "handbook"},
        {"kind": "mcp_server", "name": "tickets", "reference": "tickets"},
        {"kind": "backend", "name": "llm", "reference": "scripted"},
    ]);
    let lacking = reference(&store(&runtime, &lacking).await.unwrap());
    let declared =
        ["secret_ref `key`", "workspace_grant `code`", "mount_grant `docs`", "mcp_server `tickets`"];
    let found = missing(&runtime, &lacking).await;
    let expected = [
        ("echo".to_owned(), owned(declared)),
        ("nobody".to_owned(), owned(declared.into_iter().chain(["profile `nobody`"]))),
        ("remote".to_owned(), owned(declared.into_iter().chain(["backend `elsewhere`"]))),
    ];
    assert_eq!(found, expected);
    for (selector, expected) in found {
        let refused = refusal(create(&runtime, &lacking, named(&selector)).await);
        let BundleError::Unavailable { missing, .. } = refused else { panic!("{refused:?}") };
        assert_eq!(missing, expected);
    }
}

fn owned<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    texts.into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_bundle_gives_its_own_profiles_and_no_others() {
    let runtime = builder().profile("plain", Profile::of("scripted")).start().await.unwrap();
    let stored = store(&runtime, &bundle("1")).await.unwrap();
    let bundle = reference(&stored);
    let worker = create(&runtime, &bundle, named("reader")).await.unwrap();
    assert_eq!(worker.capabilities, [Capability::Read]);
    assert_eq!((worker.profile.as_str(), worker.config_bundle.as_ref()), ("reader", Some(&bundle)));
    // One without a spec is the runtime's own.
    let worker = create(&runtime, &bundle, named("echo")).await.unwrap();
    assert_eq!((worker.capabilities.len(), worker.config_bundle.as_ref()), (4, Some(&bundle)));

    let told = refusal(create(&runtime, &bundle, named("plain")).await).to_string();
    assert_eq!(told, "config bundle `team-a` declares no profile `plain`");
    for selector in
        [ProfileSelector::RuntimeDefault {}, ProfileSelector::Builtin { value: "coder".to_owned() }]
    {
        let refused = refusal(create(&runtime, &bundle, selector).await);
        assert!(matches!(refused, BundleError::NotNamed), "{refused:?}");
    }
    let request = CreateWorker {
        requested_capabilities: Some(vec![CapabilityRequest { name: "shell".to_owned(), reason: None }]),
        profile: named("reader"),
        config_bundle: Some(bundle.clone()),
        ..CreateWorker::new(Intent::Assistant { purpose: None })
    };
    let refused = runtime.create_worker(request, Actor::rule("test")).await;
    assert!(matches!(refused, Err(Error::Forbidden { .. })), "{refused:?}");

    let nobody = ConfigBundleRef { id: "nobody".parse().unwrap(), ..bundle.clone() };
    assert!(matches!(refusal(create(&runtime, &nobody, named("echo")).await), BundleError::Missing(_)));
    let other = ConfigBundleRef { digest: musher_protocol::Digest([7; 32]), ..bundle };
    let refused = refusal(create(&runtime, &other, named("echo")).await);
    assert!(matches!(refused, BundleError::NoRevision { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_worker_keeps_its_profile_when_its_bundle_is_gone() {
    let runtime = runtime().await;
    let bundle = reference(&store(&runtime, &bundle("1")).await.unwrap());
    let worker = create(&runtime, &bundle, named("reader")).await.unwrap();
    runtime.delete_config_bundle(&bundle).await.unwrap();
    let kept = runtime.worker_detail(&worker.worker_id).await.unwrap();
    assert_eq!(kept, worker);
}

#[tokio::test]
async fn so_many_bundles_are_stored_and_no_more() {
    let runtime = runtime().await;
    for n in 0..1024 {
        store(&runtime, &bundle(&n.to_string())).await.unwrap();
    }
    let told = refusal(store(&runtime, &bundle("one-more")).await).to_string();
    let limit = "1024 revisions of config bundles are stored already, which is the limit; delete some";
    assert_eq!(told, limit);
    store(&runtime, &bundle("7")).await.unwrap();
}
