//! The scripted backend passes the suite that every backend must pass.

use std::sync::Arc;

use musher_backend::Launch;
use musher_protocol::WorkerId;
use musher_scripted::Scripted;
use musher_testkit::backend_suite::{Footprint, Prompts, Subject};
use serde_json::json;

fn subject() -> Subject {
    let script = json!({
        "turns": [
            {"match": "^call", "steps": [
                {"thinking": "a file, perhaps"},
                {"tool_call": {"name": "list_directory", "input": {"path": "."}, "result": "README.md", "takes_ms": 1}},
                {"text": "there is one file"},
            ]},
            {"match": "^ask once", "steps": [{"approval": {"tool": "shell", "input": {}}}, {"text": "done"}]},
            {"match": "^ask twice", "steps": [{"approval": [
                {"tool": "shell", "input": {"command": "one"}},
                {"tool": "shell", "input": {"command": "two"}},
            ]}]},
            {"match": "^run long", "steps": [{"text": "one two", "word_delay_ms": 3_600_000}]},
            {"match": "^hang", "steps": [{"hang": true}]},
        ],
        "otherwise": "echo",
    });
    let launch = move || {
        let mut launch = Launch::new(WorkerId::mint(), "/".into());
        launch.options.insert("script".to_owned(), script.clone());
        launch
    };
    Subject {
        backend: Arc::new(Scripted),
        launch: Box::new(launch),
        footprint: Footprint::InProcess,
        prompts: Prompts {
            say: "say these words".to_owned(),
            call_tool: "call".to_owned(),
            ask: "ask once".to_owned(),
            ask_twice: Some("ask twice".to_owned()),
            run_long: "run long".to_owned(),
            hang: "hang".to_owned(),
        },
    }
}

musher_testkit::backend_suite!(subject());
