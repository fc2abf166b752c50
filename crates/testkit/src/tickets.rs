//! An MCP server on stdin and stdout: the binary `musher-tickets`.
//!
//! | Tool | What it does |
//! |---|---|
//! | `create` | says `ticket N: TITLE` of its argument `title` |
//! | `variables` | says the names of the variables that it was started with, in order, with commas |
//! | `secret` | says the value of its variable `TICKETS_TOKEN` |
//! | `hang` | never answers, and says nothing more to anybody |
//!
//! | Variable | What it does |
//! |---|---|
//! | `TICKETS_AFTER` | it speaks only when somebody opens the named pipe of this path for writing |
//! | `TICKETS_WRONG` | it has a tool besides whose schema is not an object's |

use std::{
    env,
    fs::File,
    io::{self, BufRead as _, Write as _},
    process::ExitCode,
    thread,
};

use serde_json::{Value, json};

/// The variable that names the binary to tests.
pub const PROGRAM: &str = "MUSHER_TEST_TICKETS";

/// The protocol that it speaks, and both versions of Claude Code, too.
const PROTOCOL: &str = "2025-06-18";

/// What the binary is.
#[must_use]
pub fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("musher-tickets: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    if let Some(pipe) = env::var_os("TICKETS_AFTER") {
        drop(File::open(pipe)?);
    }
    let mut n_created = 0;
    for line in io::stdin().lock().lines() {
        let asked: Value = serde_json::from_str(&line?)?;
        // What has no id wants no answer.
        let Some(id) = asked.get("id") else { continue };
        let answer = match asked["method"].as_str().unwrap_or_default() {
            "initialize" => Ok(json!({
                "protocolVersion": PROTOCOL, "capabilities": { "tools": {} },
                "serverInfo": { "name": "tickets", "version": "1" },
            })),
            "tools/list" => Ok(json!({ "tools": tools() })),
            "tools/call" => call(&asked["params"], &mut n_created)
                .map(|said| json!({ "content": [{ "type": "text", "text": said }] })),
            "ping" => Ok(json!({})),
            _ => Err(json!({ "code": -32601, "message": "no such method" })),
        };
        let (key, said) = answer.map_or_else(|error| ("error", error), |result| ("result", result));
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{}", json!({ "jsonrpc": "2.0", "id": id, key: said }))?;
        stdout.flush()?;
    }
    Ok(())
}

fn tools() -> Vec<Value> {
    let plain = || json!({ "type": "object" });
    let titled = json!({ "type": "object", "properties": { "title": { "type": "string" } } });
    let wrong = env::var_os("TICKETS_WRONG").map(|_| ("wrong", json!({ "type": "array" })));
    let right = [("create", titled), ("variables", plain()), ("secret", plain()), ("hang", plain())];
    let tool = |(name, schema)| json!({ "name": name, "description": "A tool.", "inputSchema": schema });
    right.into_iter().chain(wrong).map(tool).collect()
}

fn call(params: &Value, n_created: &mut u64) -> Result<String, Value> {
    match params["name"].as_str().unwrap_or_default() {
        "create" => {
            *n_created += 1;
            Ok(format!("ticket {n_created}: {}", params["arguments"]["title"].as_str().unwrap_or_default()))
        }
        "variables" => {
            let mut names: Vec<_> =
                env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
            names.sort();
            Ok(names.join(","))
        }
        "secret" => Ok(env::var("TICKETS_TOKEN").unwrap_or_default()),
        "hang" => loop {
            thread::park();
        },
        _ => Err(json!({ "code": -32602, "message": "no such ticket" })),
    }
}
