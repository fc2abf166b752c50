//! What a server makes of a damaged store.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde_json::{Value, json};

use crate::{
    Answer, Client, Finished, Home,
    torture::{
        faults::home,
        power::{
            disk::{Entry, Image},
            recording::{image, lay_out},
            replay::log_of,
        },
    },
};

/// What may come of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// Everything is served as it was, or the damage is named.
    RightOrNamed,
    /// As well, the end may be gone: nobody can tell a damaged end of a log from one that was never written.
    RightOrShorter,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Everything is served as it was.
    Unharmed,
    /// So many workers say that they are damaged, the others are served as they were.
    Named(usize),
    /// The end is gone, of so many workers, and cursors behind it are refused.
    Shorter(usize),
    /// The server does not start, says why and what to do, and has changed nothing.
    Refused,
    /// Anything else.
    Wrong(String),
}

/// Says how often there was which verdict.
pub(super) fn count(verdicts: &[Verdict]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for verdict in verdicts {
        let name = match verdict {
            Verdict::Unharmed => "unharmed",
            Verdict::Named(1) => "one worker named",
            Verdict::Named(_) => "several workers named",
            Verdict::Shorter(_) => "shorter",
            Verdict::Refused => "refused",
            Verdict::Wrong(_) => "WRONG",
        };
        *counts.entry(name).or_default() += 1;
    }
    counts.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}

/// Starts the real server on a damaged store, whose workers had these logs.
pub(super) async fn judge(
    damaged: &Image,
    logs: &BTreeMap<String, Vec<Value>>,
    expected: Expected,
) -> Verdict {
    let home = home();
    lay_out(damaged, home.path()).unwrap();
    let server = match home.try_start().await {
        Ok(server) => server,
        Err(finished) => return refused(&home, damaged, &finished),
    };
    let client = server.client();
    let (mut named, mut shorter, mut wrong) = (0, 0, Vec::new());
    let mut healthy = None;
    for (worker, log) in logs {
        match look(&client, worker, log).await {
            Look::Same => healthy = Some((worker, log)),
            Look::Named => named += 1,
            Look::Shorter(_) if expected == Expected::RightOrShorter => shorter += 1,
            Look::Shorter(why) | Look::Wrong(why) => wrong.push(format!("{worker}: {why}")),
        }
    }
    if let Some((worker, log)) = healthy
        && log.last().is_some_and(|event| event["payload"]["type"] != "worker_stopped")
    {
        let said = json!({"kind": "user", "content": "are you well?"});
        match client.try_post(&format!("/v1/workers/{worker}/input"), &said).await {
            Ok(answer) if answer.status == 200 || is_named(&answer) => {}
            other => wrong.push(format!("{worker} is not damaged, and an input gets {other:?}")),
        }
    }
    server.kill().await;
    match (wrong.is_empty(), named, shorter) {
        (false, ..) => Verdict::Wrong(wrong.join("; ")),
        (true, 0, 0) => Verdict::Unharmed,
        (true, 0, shorter) => Verdict::Shorter(shorter),
        (true, named, _) => Verdict::Named(named),
    }
}

fn refused(home: &Home, damaged: &Image, finished: &Finished) -> Verdict {
    if finished.code != Some(1) || !finished.stderr.contains("copy") {
        return Verdict::Wrong(format!(
            "a refusal must end with 1 and say how to go on with a copy: {finished:?}"
        ));
    }
    let after = image(home.path()).unwrap();
    let is_content = |path: &Path| path.ends_with("musher.db") || path.ends_with("musher.db-wal");
    let changed = damaged.iter().filter(|(path, _)| is_content(path)).find(|(path, entry)| {
        let after = after.get(*path);
        match (entry, after) {
            (Entry::File(before), Some(Entry::File(after))) => before != after,
            (Entry::File(_) | Entry::Directory, _) => true,
        }
    });
    match changed {
        None => Verdict::Refused,
        Some((path, _)) => Verdict::Wrong(format!("refused, but {} was changed", path.display())),
    }
}

/// One worker of a damaged store.
#[derive(Debug)]
enum Look {
    Same,
    Named,
    /// How it is shorter.
    Shorter(String),
    Wrong(String),
}

async fn look(client: &Client, worker: &str, log: &[Value]) -> Look {
    let answer = match client.try_get(&format!("/v1/workers/{worker}")).await {
        Ok(answer) => answer,
        Err(broken) => return Look::Wrong(format!("no answer: {broken:?}")),
    };
    match log_of(client, worker).await {
        _ if is_named(&answer) => Look::Named,
        Err(refused) if refused.contains("store_corrupt") => Look::Named,
        _ if answer.status == 404 => Look::Shorter("it was there, and nobody knows it".to_owned()),
        Err(refused) => Look::Wrong(refused),
        Ok(_) if answer.status != 200 => Look::Wrong(format!("{} {}", answer.status, answer.body)),
        Ok(served) => compare(client, worker, log, &served).await,
    }
}

fn is_named(answer: &Answer) -> bool {
    answer.error() == (500, "store_corrupt")
}

async fn compare(client: &Client, worker: &str, log: &[Value], served: &[Value]) -> Look {
    let same = log.iter().zip(served).take_while(|(was, is)| was == is).count();
    if same == log.len() {
        // A start may add how a session ended.
        return Look::Same;
    }
    let known: BTreeSet<&str> = log.iter().filter_map(|event| event["event_id"].as_str()).collect();
    let is_known = |event: &&Value| event["event_id"].as_str().is_some_and(|id| known.contains(id));
    if let Some(is) = served[same..].iter().find(is_known) {
        return Look::Wrong(format!("served {is} behind {same} good events, where {} was", log[same]));
    }
    let cursor = log.last().and_then(|event| event["cursor"].as_str()).unwrap_or_default();
    match client.try_get(&format!("/v1/workers/{worker}/events?after={cursor}")).await {
        Ok(answer) if answer.status == 400 || answer.status == 410 => Look::Shorter(format!(
            "{same} of {} events are left, and it is not said that there were more",
            log.len()
        )),
        other => Look::Wrong(format!("a cursor behind the end gets {other:?}")),
    }
}
