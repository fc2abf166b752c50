//! Workers with further directories, behind the built binary.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fs, path::Path};

use musher_e2e::{Home, Obedient, call, shell, turn};
use serde_json::{Value, json};

/// A home in which there are two workspaces and two mounts, with these lines in the profile.
fn home(api: &Obedient, around: &Path, profile: &str) -> Home {
    for name in ["shop/docs", "api", "handbook", "cache"] {
        fs::create_dir_all(around.join(name)).unwrap();
    }
    fs::write(around.join("handbook/page"), "one rule\n").unwrap();
    let lines = format!(
        r#"
        approval = {{ mode = "allow" }}
        {profile}
        [workspaces.shop]
        path = "{around}/shop"
        [workspaces.api]
        path = "{around}/api"
        [mounts.handbook]
        path = "{around}/handbook"
        [mounts.docs]
        path = "{around}/shop/docs"
        [mounts.cache]
        path = "{around}/cache"
        writable = true
        "#,
        around = around.display(),
    );
    api.home(&lines)
}

fn named(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"name": name, "reference": name})).collect()
}

fn request(workspaces: &[&str], mounts: &[&str]) -> Value {
    json!({
        "intent": {"kind": "assistant"},
        "profile": {"kind": "named", "value": "coder"},
        "workspace_refs": named(workspaces),
        "mount_refs": named(mounts),
    })
}

#[tokio::test]
async fn a_model_is_told_of_its_directories_and_changes_only_those_that_it_may() {
    let (api, around) = (Obedient::start().await, tempfile::tempdir().unwrap());
    let home = home(&api, around.path(), "");
    let server = home.start().await;
    let client = server.client();
    let worker = client.post("/v1/workers", &request(&["shop", "api"], &["handbook", "cache"])).await.good();
    let worker = &worker["worker"];
    let expected = json!([
        {"name": "handbook", "reference": "handbook", "writable": false},
        {"name": "cache", "reference": "cache", "writable": true},
    ]);
    assert_eq!(worker["mounts"], expected);
    let id = worker["worker_id"].as_str().unwrap();
    let path = |name: &str| around.path().join(name).display().to_string();

    let read = turn(&client, id, &call("read_file", &json!({"path": path("handbook/page")}))).await;
    assert_eq!(read, "one rule\n");
    let instructions = api.requests()[0].body["messages"][0]["content"].as_str().unwrap().to_owned();
    for line in [
        format!("- api: {}\n", path("api")),
        format!("- handbook: {} (read-only)\n", path("handbook")),
        format!("- cache: {}\n", path("cache")),
    ] {
        assert!(instructions.contains(&line), "{line} in {instructions}");
    }

    let write = |name: &str| call("write_file", &json!({"path": path(name), "content": "x"}));
    let refused = turn(&client, id, &write("handbook/page")).await;
    assert!(refused.contains("is in a directory that is read-only"), "{refused}");
    for name in ["api/new", "cache/new"] {
        turn(&client, id, &write(name)).await;
        assert_eq!(fs::read_to_string(around.path().join(name)).unwrap(), "x");
        turn(&client, id, &shell(&format!("echo y > {}", path(name)))).await;
        assert_eq!(fs::read_to_string(around.path().join(name)).unwrap(), "y\n");
    }

    // The same after a crash.
    server.kill().await;
    let server = home.start().await;
    let client = server.client();
    let shown = client.get(&format!("/v1/workers/{id}")).await.good()["worker"]["mounts"].clone();
    assert_eq!(shown, expected);
    let refused = turn(&client, id, &shell(&format!("echo y > {}", path("handbook/page")))).await;
    assert!(refused.contains("Permission denied"), "{refused}");
    assert_eq!(fs::read_to_string(around.path().join("handbook/page")).unwrap(), "one rule\n");
}

#[tokio::test]
async fn what_cannot_be_had_or_kept_is_refused_by_name() {
    let (api, around) = (Obedient::start().await, tempfile::tempdir().unwrap());
    let home = home(&api, around.path(), "sandbox = \"none\"");
    let server = home.start().await;
    let client = server.client();
    let (unknown, unavailable) = ((400, "invalid_request"), (409, "worker_execution_unavailable"));
    let outside = "a place outside of the directories that the worker may change, for it is read-only";
    let sandbox =
        "a sandbox for `shell`, for some mounts are read-only: the profile's is `none`, which holds nothing";
    let without_shell = |mut request: Value| {
        request["requested_capabilities"] = json!([{"name": "read"}, {"name": "write"}]);
        request
    };
    for (request, expected, field, missing) in [
        (request(&["shop"], &["attic"]), unknown, json!("/mount_refs"), Value::Null),
        (request(&["shop"], &["/etc"]), unknown, json!("/mount_refs"), Value::Null),
        (request(&["shop"], &["handbook"]), unavailable, Value::Null, json!([sandbox])),
        (without_shell(request(&["shop"], &["docs"])), unavailable, json!("/mount_refs"), json!([outside])),
    ] {
        let refused = client.post("/v1/workers", &request).await;
        let error = &refused.body["error"];
        assert_eq!(refused.error(), expected, "{error}");
        assert_eq!((&error["field"], &error["missing"]), (&field, &missing), "{error}");
    }
    client.create(&without_shell(request(&["shop"], &["handbook"]))).await;
    client.create(&request(&["shop"], &["cache"])).await;
}

#[tokio::test]
async fn a_directory_that_claude_code_could_not_keep_is_refused_before_there_is_a_worker() {
    let around = tempfile::tempdir().unwrap();
    for name in ["shop", "drafts [old] (2*)"] {
        fs::create_dir(around.path().join(name)).unwrap();
    }
    let config = format!(
        r#"
        [backends.claude-pty]
        program = "/bin/sh"
        [profiles.coder]
        backend = "claude-pty"
        [workspaces.shop]
        path = "{around}/shop"
        [mounts.drafts]
        path = "{around}/drafts [old] (2*)"
        [mounts.cache]
        path = "{around}/drafts [old] (2*)"
        writable = true
        "#,
        around = around.path().display(),
    );
    let home = Home::new(&config);
    let server = home.start().await;
    let client = server.client();
    let wanted = |mount: &str| {
        let capabilities = json!({"requested_capabilities": [{"name": "read"}]});
        let mut wanted = request(&["shop"], &[mount]);
        wanted.as_object_mut().unwrap().extend(capabilities.as_object().unwrap().clone());
        wanted
    };
    let refused = client.post("/v1/workers", &wanted("drafts")).await;
    let error = &refused.body["error"];
    let missing = "a path without `*`, `?`, `[`, `]`, `(`, `)` and `\\`, which mean something else in Claude Code's rule that it is read-only";
    assert_eq!(refused.error(), (409, "worker_execution_unavailable"), "{error}");
    assert_eq!(
        (&error["field"], &error["missing"], &error["message"]),
        (
            &json!("/mount_refs"),
            &json!([missing]),
            &json!(format!("mount `drafts` cannot be had; missing: {missing}"))
        )
    );
    // A rule is needed for what is read-only alone.
    client.create(&wanted("cache")).await;
    let workers = client.get("/v1/workers").await.good()["workers"].clone();
    assert_eq!(workers.as_array().map(Vec::len), Some(1));
}
