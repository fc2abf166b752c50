//! What is asked in SQL: the examples of the documentation, and what is refused.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use musher_core::{Commit, Store};
use musher_store_sqlite::{QueryError, QueryLimits, Rows, SqliteStore, Value, query};
use serde_json::json;

use crate::{entry, log::Log, open};

const DOCUMENT: &str = include_str!("../../../../docs/operating.md");

/// A worker that has had a turn with a tool, which failed.
async fn lived(store: &SqliteStore) -> Log {
    let mut log = Log::new();
    store.append(log.first()).await.unwrap();
    let began = Timestamp::now();
    let usage = json!({ "input_tokens": 1200, "output_tokens": 30, "cache_creation_input_tokens": null,
        "cache_read_input_tokens": 1000, "reasoning_tokens": null, "total_cost_usd": 0.25 });
    let mut increment = usage.clone();
    increment["type"] = json!("usage");
    increment["turn_id"] = json!("trn_1");
    let payloads = [
        json!({ "type": "turn_started", "turn_id": "trn_1", "input_ids": ["inp_1"], "cause": "input" }),
        json!({ "type": "tool_call_started", "turn_id": "trn_1", "tool_call_id": "toolu_1", "name": "Bash" }),
        json!({ "type": "tool_call_done", "tool_call_id": "toolu_1", "name": "Bash", "input": { "command": "ls" } }),
        json!({ "type": "tool_result", "tool_call_id": "toolu_1", "content": "a\nb", "is_error": false }),
        increment,
        json!({ "type": "turn_finished", "turn_id": "trn_1", "outcome": "failed", "usage": usage,
            "error": { "code": "provider_error", "message": "overloaded" } }),
    ];
    let types =
        ["turn_started", "tool_call_started", "tool_call_done", "tool_result", "usage", "turn_finished"];
    let times = (0..).map(|n| began + Duration::from_millis(500 * n));
    let events = types.into_iter().zip(payloads).zip(times);
    let commit = log.commit(events.map(|((name, payload), at)| (name, Bytes::from(payload.to_string()), at)));
    let entry = entry(&commit, "assistant", "There are two files.");
    store.append(Commit { entries: vec![entry], ..commit }).await.unwrap();
    log
}

fn ask(dir: &Path, sql: &str) -> Rows {
    query(dir, sql, QueryLimits::default()).unwrap_or_else(|error| panic!("{sql}: {error:?}"))
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[tokio::test]
async fn every_example_of_the_documentation_answers_and_reads_no_whole_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    lived(&store).await;
    let examples: Vec<_> = DOCUMENT
        .split("```sql\n")
        .skip(1)
        .map(|rest| rest.split_once("```").expect("the end of the block").0)
        .collect();
    assert!(examples.len() >= 6, "{} examples", examples.len());
    for example in examples {
        // While the server runs, and without it.
        assert!(!ask(dir.path(), example).rows.is_empty(), "{example}");
        let plan = ask(dir.path(), &format!("EXPLAIN QUERY PLAN {example}"));
        for step in plan.rows {
            let Some(Value::Text(step)) = step.last() else { panic!("{step:?}") };
            // Only the catalog of workers may be read from one end to the other.
            let is_whole = step.strip_prefix("SCAN ").is_some_and(|rest| {
                !rest.starts_with("w ") && rest != "w" && rest != "workers" && !rest.starts_with('(')
            });
            assert!(!is_whole, "{step} in {example}");
        }
    }
    drop(store);
    assert_eq!(ask(dir.path(), "SELECT count(*) FROM events").rows, [[Value::Integer(7)]]);
}

#[tokio::test]
async fn the_views_show_what_happened_and_nothing_of_the_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (log, gone) = (lived(&store).await, lived(&store).await);
    store.delete(&gone.worker).await.unwrap();
    let worker = text(log.worker.as_str());

    let answer = ask(
        dir.path(),
        "SELECT worker_id, status, run_state, profile, backend, display_name, labels, events FROM workers",
    );
    let row = [
        worker.clone(),
        text("running"),
        text("unconnected"),
        text("default"),
        text("scripted"),
        text("Ada"),
        text(r#"{"team":"blue"}"#),
        Value::Integer(7),
    ];
    assert_eq!(answer.rows, [row]);
    let answer = ask(
        dir.path(),
        "SELECT worker_id, turn_id, seconds, cause, outcome, error, cost_usd, input_tokens, text FROM turns",
    );
    let row = [
        worker.clone(),
        text("trn_1"),
        Value::Real(2.5),
        text("input"),
        text("failed"),
        text("provider_error"),
        Value::Real(0.25),
        Value::Integer(1200),
        text("There are two files."),
    ];
    assert_eq!(answer.rows, [row]);
    let answer = ask(
        dir.path(),
        "SELECT worker_id, turn_id, tool_call_id, name, input, seconds, is_error, result FROM tool_calls",
    );
    let row = [
        worker.clone(),
        text("trn_1"),
        text("toolu_1"),
        text("Bash"),
        text(r#"{"command":"ls"}"#),
        Value::Real(0.5),
        Value::Integer(0),
        text("a\nb"),
    ];
    assert_eq!(answer.rows, [row]);
    let answer =
        ask(dir.path(), "SELECT worker_id, sequence, role, content, turn_id, partial FROM transcript");
    let row = [
        worker.clone(),
        Value::Integer(1),
        text("assistant"),
        text("There are two files."),
        text("trn_1"),
        Value::Integer(0),
    ];
    assert_eq!(answer.rows, [row]);
    let answer = ask(dir.path(), "SELECT worker_id, seq, type FROM events WHERE seq = 2");
    assert_eq!(answer.rows, [[worker, Value::Integer(2), text("turn_started")]]);
    let written = store.events(&log.worker, 1, musher_core::Most { events: 1, bytes: 1 }).await.unwrap();
    let at = format!("{:.6}", written[0].at);
    assert_eq!(ask(dir.path(), "SELECT at FROM events WHERE seq = 2").rows, [[text(&at)]]);
}

#[test]
fn what_does_not_only_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let path = dir.path().join("other.db");
    let attach = format!("ATTACH '{}' AS other", path.display());
    let into = format!("VACUUM INTO '{}'", path.display());
    for sql in [
        "DELETE FROM stored_event",
        "INSERT INTO stored_runtime VALUES (2, NULL, NULL, 0, 0, 0)",
        "UPDATE stored_worker SET epoch = 9 RETURNING epoch",
        "CREATE TABLE a (b)",
        "CREATE TEMP TABLE a (b)",
        "DROP VIEW workers",
        &attach,
        &into,
        "DETACH main",
        "VACUUM",
        "REINDEX",
        "ANALYZE",
        "BEGIN IMMEDIATE",
        "SAVEPOINT a",
        "PRAGMA user_version = 7",
        "PRAGMA query_only = 0",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA journal_mode = DELETE",
        "SELECT 1; SELECT 2",
        "",
    ] {
        let error = query(dir.path(), sql, QueryLimits::default()).unwrap_err();
        assert!(matches!(error, QueryError::Forbidden), "{sql}: {error:?}");
    }
    let error = query(dir.path(), "SELECT load_extension('a')", QueryLimits::default()).unwrap_err();
    assert!(matches!(error, QueryError::Sqlite(_)), "{error:?}");
    assert!(!path.exists());
    let answer = ask(dir.path(), "SELECT name FROM pragma_table_info('workers') LIMIT 1");
    assert_eq!(answer.rows, [[text("worker_id")]]);
}

#[test]
fn rows_bytes_and_time_are_bounded() {
    const ENDLESS: &str = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT n FROM n";
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let limits = QueryLimits { rows: 3, bytes: 1 << 20, time: Duration::from_secs(60) };
    let answer = query(dir.path(), ENDLESS, limits).unwrap();
    assert_eq!((answer.rows.len(), answer.has_more), (3, true));
    let sum = format!("SELECT sum(n) FROM ({ENDLESS})");
    let short = QueryLimits { time: Duration::from_millis(100), ..limits };
    let error = query(dir.path(), &sum, short).unwrap_err();
    assert!(matches!(error, QueryError::Time(_)), "{error:?}");
    for large in ["SELECT zeroblob(2000000)", "SELECT zeroblob(1000000), zeroblob(1000000)"] {
        let error = query(dir.path(), large, limits).unwrap_err();
        assert!(matches!(error, QueryError::Bytes(_)), "{large}: {error:?}");
    }
    let error = query(dir.path(), "SELECT wrong FROM workers", limits).unwrap_err();
    assert!(matches!(error, QueryError::Sqlite(_)), "{error:?}");
    let error = query(&dir.path().join("none"), "SELECT 1", limits).unwrap_err();
    assert!(matches!(error, QueryError::NoStore(_)), "{error:?}");
}

#[tokio::test]
async fn a_question_leaves_the_files_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    lived(&store).await;
    drop(store);
    let files = || ["musher.db", "musher.db-wal"].map(|name| std::fs::read(dir.path().join(name)).unwrap());
    let before = files();
    assert!(!before[1].is_empty(), "there is something to merge");
    ask(dir.path(), "SELECT * FROM events");
    assert!(before == files());
}
