//! Words that steer a terminal, a log, a command line, or say what they must not.

use serde_json::json;

use crate::attack::{
    request::Request,
    tally::Tally,
    target::{CANARY, Target},
};

const HOSTILE: &[&str] = &[
    "\u{1b}[2J",
    "\u{1b}]0;title\u{7}",
    "\u{1b}]52;c;aWQ=\u{7}",
    "\u{1b}[201~",
    "\u{9b}31m",
    "a\nb",
    "a\r\nb",
    "\u{8}\u{8}",
    "\u{0}",
    "\u{1b}P+q\u{1b}\\",
];

/// In every name that stands in lists, logs and terminals.
pub(super) async fn escapes(target: &Target, tally: &mut Tally) {
    for words in HOSTILE {
        let body = |field: &str, value: serde_json::Value| {
            let mut body =
                json!({"intent": {"kind": "assistant"}, "profile": {"kind": "named", "value": "brief"}});
            body[field] = value;
            body.to_string()
        };
        let creates = [
            ("display_name", body("display_name", json!(words))),
            ("label", body("labels", json!({"x": words}))),
            ("label's key", body("labels", json!({(*words): "x"}))),
        ];
        for (place, body) in creates {
            let answer = target.ask_as_admin(Request::post("/v1/workers", body)).await;
            tally.case(format!("{place} {words:?}"), answer.is_refused());
        }
        for field in ["reason", "actor"] {
            let body = json!({ field: words }).to_string();
            let request = Request::post(format!("/v1/workers/{}/interrupt", target.mine), body);
            tally.case(format!("{field} {words:?}"), target.ask_as_admin(request).await.is_refused());
        }
    }
}

/// Lines that the server would seem to have written itself.
pub(super) async fn log(target: &Target, tally: &mut Tally) {
    const FORGED: &str = "forged-line";
    let paths = [
        format!("/v1/%0a{FORGED}"),
        format!("/v1/%0d%0a{FORGED}"),
        format!("/v1/workers/%1b[2J{FORGED}"),
        format!("/v1/runtime?%0a{FORGED}"),
    ];
    for path in paths {
        drop(target.ask_as_admin(Request::get(path.clone())).await);
        tally.case(path, is_whole(target, FORGED));
    }
    const FORGED_ID: &str = "forged-id";
    for id in [
        format!("x\u{1b}[2J{FORGED_ID}"),
        format!("x {FORGED_ID}"),
        "x".repeat(5000) + FORGED_ID,
        format!("é{FORGED_ID}"),
        "x".repeat(100) + FORGED_ID,
        format!("x:{FORGED_ID}"),
    ] {
        let answer = target.ask_as_admin(Request::get("/v1/runtime").with("X-Request-Id", &id)).await;
        let is_echoed = answer.head.contains(FORGED_ID) || target.server.said().contains(FORGED_ID);
        tally.case(format!("request id {:?}", &id.chars().take(8).collect::<String>()), !is_echoed);
    }
    tally.case("escape sequences", !target.server.said().contains('\u{1b}'));
}

/// Whether no line of the log begins with what somebody sent.
fn is_whole(target: &Target, forged: &str) -> bool {
    !target.server.said().lines().any(|line| line.starts_with(forged))
}

/// Names that a command line would take for options: they are refused, or stay names.
pub(super) async fn arguments(target: &Target, tally: &mut Tally) {
    for words in [
        "-c",
        "--dangerously-skip-permissions",
        "--upload-pack=id",
        "-oProxyCommand=id",
        "@/etc/passwd",
        "--help",
    ] {
        for (place, body) in [
            (
                "profile",
                json!({"intent": {"kind": "assistant"}, "profile": {"kind": "named", "value": words}}),
            ),
            (
                "workspace",
                json!({
                    "intent": {"kind": "assistant"}, "profile": {"kind": "named", "value": "brief"},
                    "workspace_refs": [{"name": "main", "reference": words}],
                }),
            ),
            (
                "workspace's child",
                json!({
                    "intent": {"kind": "assistant"}, "profile": {"kind": "named", "value": "brief"},
                    "workspace_refs": [{"name": "main", "reference": format!("tree/{words}")}],
                }),
            ),
        ] {
            let answer = target.ask_as_admin(Request::post("/v1/workers", body.to_string())).await;
            tally.case(format!("{place} {words}"), answer.is_refused());
        }
        // A prompt may be anything, and is never an argument.
        let body = json!({"intent": {"kind": "task", "objective": words}, "profile": {"kind": "named", "value": "brief"}});
        let worker = target.admin.create(&body).await;
        let here = format!("/v1/workers/{worker}");
        drop(target.admin.get(&format!("{here}?until=idle&wait=50")).await);
        let said = target.admin.get(&format!("{here}/transcript")).await.good().to_string();
        tally.case(format!("prompt {words}"), said.matches(words).count() >= 2);
    }
}

/// A worker that says a key of the server's.
pub(super) async fn secrets(target: &Target, tally: &mut Tally) {
    let body = json!({"intent": {"kind": "task", "objective": "leak"}, "profile": {"kind": "named", "value": "asks"}});
    let worker = target.admin.create(&body).await;
    let here = format!("/v1/workers/{worker}");
    drop(target.admin.get(&format!("{here}?until=idle&wait=50")).await);
    for path in ["", "/events", "/transcript", "/approvals"] {
        let shown = target.admin.get(&format!("{here}{path}")).await.good().to_string();
        tally.case(format!("reply of {path:?}"), !shown.contains(CANARY));
    }
    let deltas = target.admin.get(&format!("{here}/events?types=text_delta")).await.good();
    let text: String = deltas["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|event| event["payload"]["text"].as_str())
        .collect();
    tally.case("pieces together", !text.is_empty() && !text.contains(CANARY));
    for path in
        ["/v1/workers", "/v1/backends", "/v1/profiles", "/v1/diagnostics", "/metrics", "/openapi.json"]
    {
        let shown = target.ask_as_admin(Request::get(path)).await.body;
        tally.case(path, !shown.contains(CANARY) && !shown.contains(target.admin_token().trim()));
    }
    tally.case("the server's log", !target.server.said().contains(CANARY));
}
