//! Questions that a good server always answers.

use serde_json::Value;

use super::ledger::Listed;
use crate::{Answer, Broken, Client, torture::event::Event};

/// The body of a good answer.
pub(in crate::torture) async fn good(client: &Client, path: &str) -> Result<Value, String> {
    match client.try_get(path).await {
        Ok(Answer { status: 200, body }) => Ok(body),
        other => Err(format!("GET {path} is answered with 200, not so: {other:?}")),
    }
}

/// All workers, as the server lists them.
pub(super) async fn list(client: &Client) -> Result<Vec<Listed>, String> {
    let mut listed = Vec::new();
    let mut after = String::new();
    loop {
        let page = good(client, &format!("/v1/workers?limit=1000{after}")).await?;
        let workers = page["workers"].as_array().into_iter().flatten();
        for summary in workers {
            listed.push(Listed::read(summary).ok_or_else(|| format!("this is no worker: {summary}"))?);
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return Ok(listed),
        }
    }
}

/// The rest of a log, as it is now.
pub(in crate::torture) async fn tail(
    client: &Client,
    worker: &str,
    cursor: Option<&str>,
) -> Result<Vec<Event>, String> {
    let mut events = Vec::new();
    let mut after = cursor.map(|cursor| format!("?after={cursor}")).unwrap_or_default();
    loop {
        let path = format!("/v1/workers/{worker}/events{after}");
        let page = client.try_page(&path).await;
        let page =
            page.map_err(|Broken(answer)| format!("GET {path} is answered with a page, not so: {answer}"))?;
        events.extend(page.events);
        if !page.has_more {
            return Ok(events);
        }
        after = format!("?after={}", page.next);
    }
}
