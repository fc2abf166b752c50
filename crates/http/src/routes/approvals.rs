//! What workers ask, and what is decided about it.

use axum::response::Response;
use musher_protocol::{ApprovalsReply, DecisionRequest, ErrorCode};

use crate::{call::Call, fault::Fault, key, reply};

pub(super) async fn list(call: Call) -> Result<Response, Fault> {
    let approvals = call.runtime().approvals(&call.worker().await?).await?;
    Ok(reply::json(&ApprovalsReply { approvals }))
}

pub(super) async fn decide(mut call: Call) -> Result<Response, Fault> {
    let mut request: DecisionRequest = call.json().await?;
    let options = call.options(request.actor.take())?;
    let worker = call.worker().await?;
    let runtime = call.runtime();
    let Some(approval) = call.approval() else {
        runtime.worker_detail(&worker).await?;
        let message = "an approval's name is 1 to 128 letters, digits and . _ : -";
        return Err(Fault::new(ErrorCode::ApprovalNotFound, message));
    };
    let answered = runtime.decide_with(&worker, &approval, request, options).await?;
    Ok(key::answered(&answered))
}
