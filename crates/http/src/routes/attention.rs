//! What waits for a person.

use axum::response::Response;
use musher_core::AttentionFilter;
use musher_protocol::{AttentionKind, AttentionQuery};

use crate::{
    call::Call,
    fault::Fault,
    query::{self, MAX_WAIT},
    reply,
};

pub(super) async fn list(call: Call) -> Result<Response, Fault> {
    let AttentionQuery { kind, label, after, wait } = call.query()?;
    if kind == Some(AttentionKind::Unknown) {
        return Err(Fault::invalid_query("`kind` is `approval`, `question`, `login`, `parked` or `stuck`"));
    }
    let labels = label.iter().map(|label| query::label(label)).collect::<Result<Vec<_>, _>>()?;
    let view = &call.view;
    view.check_labels(&labels)?;
    let wait = query::wait(wait)?;
    let wanted = AttentionFilter { kind, labels };
    let list = match (after, wait) {
        (None, None) => view.attention(wanted).await?,
        (None, Some(_)) => return Err(Fault::invalid_query("`wait` needs `after`")),
        (Some(seen), wait) => tokio::select! {
            list = view.wait_attention(wanted.clone(), seen, wait.unwrap_or(MAX_WAIT)) => list?,
            cut = call.cut() => {
                cut.check()?;
                view.attention(wanted).await?
            }
        },
    };
    Ok(reply::json(&list))
}
