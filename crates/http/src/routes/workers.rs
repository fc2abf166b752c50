//! Workers: the list, one, a new one, and what was said.

use axum::response::Response;
use http::{HeaderValue, header::LOCATION};
use musher_core::{Start, UnsavedWork, WorkerFilter, WorkerPage};
use musher_protocol::{
    CreateWorker, DeleteWorkerQuery, ListWorkersQuery, RunState, TranscriptQuery, TranscriptReply,
    TurnOutcome, WorkerListReply, WorkerQuery, WorkerReply, WorkerStatus, bounds::MAX_LISTED, route::Scope,
};

use crate::{
    call::Call,
    fault::Fault,
    key,
    query::{self, MAX_WAIT},
    reply,
};

pub(super) async fn list(call: Call) -> Result<Response, Fault> {
    let ListWorkersQuery { status, run_state, outcome, label, updated_after, order, limit, after } =
        call.query()?;
    if status == Some(WorkerStatus::Unknown) {
        return Err(Fault::invalid_query("`status` is `running`, `stopped` or `cancelled`"));
    }
    if run_state == Some(RunState::Unknown) {
        let message = "`run_state` is `unconnected`, `idle`, `busy`, `waiting`, `background`, `parked`, `errored` or \
                       `stopped`";
        return Err(Fault::invalid_query(message));
    }
    if outcome == Some(TurnOutcome::Unknown) {
        let message = "`outcome` is `completed`, `interrupted`, `failed`, `refused` or `limit_reached`";
        return Err(Fault::invalid_query(message));
    }
    let labels = label.iter().map(|label| query::label(label)).collect::<Result<Vec<_>, _>>()?;
    call.view.check_labels(&labels)?;
    let limit = query::limit(limit, MAX_LISTED)?;
    let wanted = call.view.narrow(WorkerFilter { status, run_state, outcome, labels, updated_after });
    let runtime = call.runtime();
    let WorkerPage { workers, next } =
        runtime.list_workers(&wanted, order.unwrap_or_default(), after.as_ref(), limit).await?;
    Ok(reply::json(&WorkerListReply { workers, next: next.map(|next| next.to_string()) }))
}

pub(super) async fn create(mut call: Call) -> Result<Response, Fault> {
    let mut request: CreateWorker = call.json().await?;
    let options = call.options(None)?;
    call.view.mark(&mut request.labels)?;
    let answered = call.runtime().create_worker_with(request, options).await?;
    let location = format!("/v1/workers/{}", answered.reply.worker_id);
    let mut response = key::answered(&answered.map(|worker| WorkerReply { worker }));
    let location = HeaderValue::from_str(&location).expect("an id is visible ASCII");
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

pub(super) async fn delete(call: Call) -> Result<Response, Fault> {
    key::refuse(&call.head.headers)?;
    let DeleteWorkerQuery { discard } = call.query()?;
    let unsaved = if discard {
        call.caller.check(Scope::Admin)?;
        UnsavedWork::Discard
    } else {
        UnsavedWork::Keep
    };
    let id = call.worker().await?;
    call.runtime().delete_worker(&id, unsaved).await?;
    Ok(reply::nothing())
}

pub(super) async fn show(call: Call) -> Result<Response, Fault> {
    let WorkerQuery { until, wait } = call.query()?;
    let wait = query::wait(wait)?;
    let id = call.worker().await?;
    let runtime = call.runtime();
    let worker = match (until, wait) {
        (None, None) => runtime.worker_detail(&id).await?,
        (None, Some(_)) => return Err(Fault::invalid_query("`wait` needs `until`")),
        (Some(until), wait) => tokio::select! {
            worker = runtime.wait_worker(&id, until, wait.unwrap_or(MAX_WAIT)) => worker?,
            cut = call.cut() => {
                cut.check()?;
                runtime.worker_detail(&id).await?
            }
        },
    };
    Ok(reply::json(&WorkerReply { worker }))
}

pub(super) async fn transcript(call: Call) -> Result<Response, Fault> {
    let TranscriptQuery { start, limit } = call.query()?;
    let runtime = call.runtime();
    let limit = query::limit(limit, runtime.limits().max_transcript_projection_items)?;
    let start = start.unwrap_or(0);
    let behind = u64::try_from(start).map(Start::Behind);
    let start = behind.unwrap_or_else(|_negative| Start::BeforeEnd(start.unsigned_abs()));
    let transcript = runtime.transcript_projection(&call.worker().await?, start, limit).await?;
    Ok(reply::json(&TranscriptReply { transcript }))
}
