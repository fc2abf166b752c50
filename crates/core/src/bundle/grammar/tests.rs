use serde_json::{Value, json};

use super::*;

/// Everything that a bundle may have, each text as long and as odd as it may be.
fn full() -> Value {
    let longest = "a".repeat(128);
    json!({
        "metadata": {
            "id": longest, "revision": "2026-11-20:7", "workspace_id": "0", "created_at": "", "digest": "",
            "provenance": {"source": "control.plane", "detail": "build #7 (nightly): l'équipe, 二 & co. + more!?"},
        },
        "profiles": [
            {"selector": "coder", "label": "e".repeat(200), "spec": {
                "backend": "claude-pty", "model": "qwen/qwen3-coder:free", "instructions": "be brief:\n\t/etc is not yours",
                "settings_sources": ["user", "project"], "reasoning_effort": "x-high", "thinking_level": "low",
                "script": "echo",
            }},
            {"selector": "Coder"},
            {"selector": "c.o:d-e_r", "spec": {"backend": "b", "model": "sonnet[1m]"}},
        ],
        "declarations": [
            {"kind": "secret_ref", "name": "key", "reference": "_OPENAI_API_KEY_2"},
            {"kind": "workspace_grant", "name": "Key", "reference": "shop"},
            {"kind": "mount_grant", "name": "docs", "reference": "handbook"},
            {"kind": "mcp_server", "name": "tickets", "reference": "tickets"},
            {"kind": "backend", "name": "llm", "reference": "local-llm"},
        ],
    })
}

/// What the bundle is refused with when this stands at that place, or `fine`.
fn with(place: &str, value: impl Into<Value>) -> String {
    let mut bundle = full();
    *bundle.pointer_mut(place).unwrap_or_else(|| panic!("no place {place}")) = value.into();
    let bundle: ConfigBundle = serde_json::from_value(bundle).unwrap();
    check(&bundle).map_or_else(|error| error.to_string(), |()| "fine".to_owned())
}

#[test]
fn what_a_bundle_may_have_is_taken() {
    check(&serde_json::from_value(full()).unwrap()).unwrap();
}

#[test]
fn each_text_holds_what_its_place_allows() {
    const NAMES: [&str; 8] = [
        "/metadata/id",
        "/metadata/revision",
        "/metadata/workspace_id",
        "/metadata/provenance/source",
        "/profiles/0/spec/backend",
        "/profiles/0/spec/script",
        "/declarations/0/name",
        "/declarations/4/reference",
    ];
    let long = "a".repeat(129);
    let no_names = [
        "",
        ".",
        "..",
        "-flag",
        "_a",
        ":a",
        "a b",
        "a/b",
        "/etc/passwd",
        "~",
        "a\\b",
        "$HOME",
        "a=b",
        "é",
        "a\n",
        "a\0",
        &long,
    ];
    for place in NAMES {
        for text in no_names {
            assert_eq!(with(place, text), format!("`{place}`: {NAME}"), "{text:?}");
        }
        for text in ["a", "0", "a.b:c-d_e"] {
            assert_eq!(with(place, text), "fine", "{place} {text:?}");
        }
    }
    for text in no_names {
        assert_eq!(with("/profiles/1/selector", text), format!("`/profiles/1/selector`: {NAME}"), "{text:?}");
    }
    let long = "a".repeat(201);
    for place in ["/profiles/0/label", "/metadata/provenance/detail"] {
        for text in [
            "",
            " ",
            "/srv/shop",
            "unix:/run/x.sock",
            "a=b",
            "`id`",
            "$(id)",
            "<b>",
            "a\u{1b}[2J",
            "a\nb",
            "a\u{202e}b",
            "~",
            "\\",
            "\"",
            &long,
        ] {
            assert_eq!(with(place, text), format!("`{place}`: {LINE}"), "{text:?}");
        }
    }
    for text in ["", "sk-secret", "1A", "A B", "A-B", "A=B", "$A", "é", &long] {
        let place = "/declarations/0/reference";
        assert_eq!(with(place, text), format!("`{place}`: {VARIABLE}"), "{text:?}");
    }
    for text in
        ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/", "a/.b", "--help", "a b", "a;b", "a\n", &long]
    {
        let place = "/profiles/0/spec/model";
        assert_eq!(with(place, text), format!("`{place}`: {MODEL}"), "{text:?}");
    }
    for text in ["", "a\0b", "a\u{1b}b", "a\rb", &"a".repeat(32_769)] {
        let place = "/profiles/0/spec/instructions";
        assert_eq!(with(place, text), format!("`{place}`: {INSTRUCTIONS}"));
    }
    let place = "/profiles/0/spec/settings_sources/1";
    assert_eq!(with(place, "/etc"), format!("`{place}`: {NAME}"));
}

#[test]
fn names_come_once_and_kinds_are_known() {
    let twice = "another profile of the bundle has this selector";
    assert_eq!(with("/profiles/1/selector", "coder"), format!("`/profiles/1/selector`: {twice}"));
    let twice = "another declaration of the bundle has this name";
    assert_eq!(with("/declarations/1/name", "key"), format!("`/declarations/1/name`: {twice}"));
    let kinds = "there are `secret_ref`, `workspace_grant`, `mount_grant`, `mcp_server` and `backend`";
    for kind in ["volume", "unknown", "Backend", ""] {
        assert_eq!(with("/declarations/3/kind", kind), format!("`/declarations/3/kind`: {kinds}"));
    }
}

#[test]
fn a_bundle_has_so_many_profiles_and_declarations() {
    let profiles = |n: usize| (0..n).map(|n| json!({"selector": format!("p{n}")})).collect::<Vec<_>>();
    assert_eq!(with("/profiles", profiles(64)), "fine");
    assert_eq!(with("/profiles", profiles(65)), "`/profiles`: there are 65, and at most 64 are taken");
    let declaration = |n| json!({"kind": "backend", "name": format!("d{n}"), "reference": "b"});
    let declarations = |n: usize| (0..n).map(declaration).collect::<Vec<_>>();
    assert_eq!(with("/declarations", declarations(256)), "fine");
    let many = "`/declarations`: there are 257, and at most 256 are taken";
    assert_eq!(with("/declarations", declarations(257)), many);
}
