//! What a worker is told. The runtime goes on with it also when the client, and with it the request, is gone.

use std::time::Duration;

use axum::response::Response;
use musher_protocol::{
    AckReply, CommandRequest, InputAckReply, InputRequest, RaiseLimitsRequest, StopRequest, WorkerReply,
    bounds::MAX_GRACE_SECS,
};

use crate::{call::Call, fault::Fault, key, reply};

pub(super) async fn send_input(mut call: Call) -> Result<Response, Fault> {
    let mut request: InputRequest = call.json().await?;
    let key = key::given(&call.head.headers)?;
    match (&request.input_id, key) {
        (Some(input_id), Some(key)) if *input_id != key => {
            let message = "`input_id` and `Idempotency-Key` name the same thing; they differ";
            return Err(Fault::invalid_request(message).at("/input_id"));
        }
        (None, key) => request.input_id = key,
        (Some(_), _) => {}
    }
    let worker = call.worker().await?;
    let ack = call.runtime().send_input(&worker, request, call.caller.actor(None)).await?;
    Ok(reply::json(&InputAckReply { ack }))
}

pub(super) async fn interrupt(mut call: Call) -> Result<Response, Fault> {
    let CommandRequest { reason, actor } = call.json_or_default().await?;
    let options = call.options(actor)?;
    let worker = call.worker().await?;
    let answered = call.runtime().interrupt_worker_with(&worker, reason, options).await?;
    Ok(key::answered(&answered.map(|ack| AckReply { ack })))
}

pub(super) async fn stop(mut call: Call) -> Result<Response, Fault> {
    let StopRequest { reason, actor, grace_secs } = call.json_or_default().await?;
    let options = call.options(actor)?;
    if grace_secs.is_some_and(|secs| secs > MAX_GRACE_SECS) {
        let message = format!("`grace_secs` is at most {MAX_GRACE_SECS}");
        return Err(Fault::invalid_request(message).at("/grace_secs"));
    }
    let grace = grace_secs.map(|secs| Duration::from_secs(secs.into()));
    let worker = call.worker().await?;
    let answered = call.runtime().stop_worker_with(&worker, grace, reason, options).await?;
    Ok(key::answered(&answered.map(|ack| AckReply { ack })))
}

pub(super) async fn cancel(mut call: Call) -> Result<Response, Fault> {
    let CommandRequest { reason, actor } = call.json_or_default().await?;
    let options = call.options(actor)?;
    let worker = call.worker().await?;
    let answered = call.runtime().cancel_worker_with(&worker, reason, options).await?;
    Ok(key::answered(&answered.map(|ack| AckReply { ack })))
}

pub(super) async fn raise_limits(mut call: Call) -> Result<Response, Fault> {
    let RaiseLimitsRequest { limits, actor } = call.json().await?;
    let options = call.options(actor)?;
    let worker = call.worker().await?;
    let answered = call.runtime().raise_limits_with(&worker, limits, options).await?;
    Ok(key::answered(&answered.map(|worker| WorkerReply { worker })))
}
