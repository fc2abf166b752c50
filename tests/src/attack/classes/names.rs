//! Names that lead elsewhere than they say.

use crate::attack::{request::Request, tally::Tally, target::Target};

const NAMES: &[&str] = &[
    "..",
    "../..",
    "..%2f..",
    "%2e%2e",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%5c..",
    "..%c0%af..",
    "%00",
    "wrk_1%00",
    "%ff",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "file:%2f%2f%2fetc%2fpasswd",
    "~root",
    "$HOME",
    "`id`",
    "$(id)",
    "'%20OR%201=1",
    "\u{2025}",
    "%e2%80%a5",
    "wrk_1;ls",
    "con",
    "*",
    "%0d%0aX:1",
    "%1b%5b2J",
    "-rf",
    "--help",
    ".git",
    "%2e",
    "proc%2fself",
];

/// In every place of a path that takes a name, and in every field that names something of the server's.
pub(super) async fn traversal(target: &Target, tally: &mut Tally) {
    let worker = format!("/v1/workers/{}", target.mine);
    for name in NAMES {
        for path in [
            format!("/v1/workers/{name}"),
            format!("/v1/workers/{name}/events"),
            format!("{worker}/blobs/{name}"),
            format!("{worker}/approvals/{name}"),
        ] {
            let answer = if path.contains("approvals") {
                target.ask_as_admin(Request::post(path.clone(), r#"{"decision":"deny"}"#)).await
            } else {
                target.ask_as_admin(Request::get(path.clone())).await
            };
            tally.case(path, answer.is_refused() && !answer.body.contains("root:"));
        }
    }
    for name in [
        "..",
        "../repo",
        "tree/..",
        "tree/../..",
        "/etc",
        "tree//etc",
        "tree/child/../..",
        "tree/./child",
        "tree/",
        "tree/\0",
    ] {
        let answer = create(target, &workspace(name)).await;
        tally.case(format!("workspace {name:?}"), answer);
    }
    for field in ["profile", "backend"] {
        let body = r#"{"intent":{"kind":"assistant"},"profile":{"kind":"named","value":"../asks"}}"#;
        tally.case(format!("a {field} elsewhere"), create(target, body).await);
    }
}

/// Links in a workspace whose children may be named.
pub(super) async fn links(target: &Target, tally: &mut Tally) {
    for name in ["tree/link", "tree/up", "tree/link/ssh", "tree/up/repo", "tree/child/../link"] {
        tally.case(name, create(target, &workspace(name)).await);
    }
}

/// Mounts by what is no name of one, and one that would not stay read-only.
pub(super) async fn mounts(target: &Target, tally: &mut Tally) {
    for name in [
        "/etc",
        "../handbook",
        "handbook/..",
        "handbook/",
        "./handbook",
        "tree",
        "tree/child",
        "",
        "handbook\0",
    ] {
        tally.case(name, create(target, &mount("repo", name)).await);
    }
    // It is in the workspace, where the worker may change what it likes.
    tally.case("a part of the workspace", create(target, &mount("tree", "part")).await);
}

/// What only the server's config may say.
pub(super) async fn programs(target: &Target, tally: &mut Tally) {
    for field in [
        r#""program":"/bin/sh""#,
        r#""command":["sh","-c","id"]"#,
        r#""cwd":"/""#,
        r#""working_dir":"/etc""#,
        r#""path":"/etc""#,
        r#""env":{"LD_PRELOAD":"x"}"#,
        r#""pass_env":["HOME"]"#,
        r#""script":"/etc/passwd""#,
        r#""setup":"id""#,
        r#""backend":"scripted""#,
        r#""base_url":"http://169.254.169.254""#,
        r#""mcp":{"x":{"command":"sh"}}"#,
        r#""sandbox":"none""#,
        r#""approval":{"mode":"allow"}"#,
        r#""worker_id":"wrk_mine""#,
        r#""requested_capabilities":[{"name":"root"}]"#,
        r#""requested_capabilities":[{"name":"mcp:../../x"}]"#,
        r#""limits":{"turns":0}"#,
        r#""resume":{"session_id":"../../x"}"#,
    ] {
        let body = format!(
            r#"{{"intent":{{"kind":"assistant"}},"profile":{{"kind":"named","value":"brief"}},{field}}}"#
        );
        tally.case(field, create(target, &body).await);
    }
}

fn workspace(name: &str) -> String {
    let body = serde_json::json!({
        "intent": {"kind": "assistant"},
        "profile": {"kind": "named", "value": "brief"},
        "workspace_refs": [{"name": "main", "reference": name}],
    });
    body.to_string()
}

fn mount(workspace: &str, name: &str) -> String {
    let body = serde_json::json!({
        "intent": {"kind": "assistant"},
        "profile": {"kind": "named", "value": "brief"},
        "workspace_refs": [{"name": "main", "reference": workspace}],
        "mount_refs": [{"name": "docs", "reference": name}],
    });
    body.to_string()
}

/// Whether a create is refused.
async fn create(target: &Target, body: &str) -> bool {
    target.ask_as_admin(Request::post("/v1/workers", body)).await.is_refused()
}
