//! What a worker changed.

use axum::response::Response;
use musher_protocol::{DiffQuery, DiffReply};

use crate::{call::Call, fault::Fault, reply};

pub(super) async fn diff(call: Call) -> Result<Response, Fault> {
    let DiffQuery { workspace } = call.query()?;
    let worker = call.worker().await?;
    let diff = call.runtime().worker_diff(&worker, workspace.as_deref()).await?;
    Ok(reply::json(&DiffReply { diff }))
}
