//! The routes, each of which asks the runtime one thing.

mod approvals;
mod attention;
mod blobs;
mod bundles;
mod commands;
mod diff;
mod events;
mod observe;
mod workers;

use axum::response::Response;
use bytes::Bytes;
use musher_protocol::{BackendsReply, DiagnosticsReply, ProfilesReply, RuntimeReply, route::RouteId};

use crate::{call::Call, fault::Fault, metrics, reply};

/// The document of the very table that the router is built from, generated with the rest of the reference.
const OPEN_API: &[u8] = include_bytes!("../openapi.json");

/// Answers a request of this route.
pub(crate) async fn answer(route: RouteId, call: Call) -> Result<Response, Fault> {
    match route {
        RouteId::Livez => Ok(reply::empty()),
        RouteId::Readyz => ready(call).await,
        RouteId::OpenApi => Ok(reply::raw(Bytes::from_static(OPEN_API))),
        RouteId::Metrics => metrics(call).await,
        RouteId::Runtime => runtime(call).await,
        RouteId::Backends => Ok(backends(call).await),
        RouteId::Profiles => Ok(profiles(call).await),
        RouteId::Diagnostics => diagnostics(call).await,
        RouteId::ListConfigBundles => bundles::list(call).await,
        RouteId::StoreConfigBundle => bundles::store(call).await,
        RouteId::CheckConfigBundle => bundles::check(call).await,
        RouteId::DeleteConfigBundle => bundles::delete(call).await,
        RouteId::Attention => attention::list(call).await,
        RouteId::ListWorkers => workers::list(call).await,
        RouteId::CreateWorker => workers::create(call).await,
        RouteId::Worker => workers::show(call).await,
        RouteId::DeleteWorker => workers::delete(call).await,
        RouteId::SendInput => commands::send_input(call).await,
        RouteId::Interrupt => commands::interrupt(call).await,
        RouteId::Stop => commands::stop(call).await,
        RouteId::Cancel => commands::cancel(call).await,
        RouteId::Approvals => approvals::list(call).await,
        RouteId::Decide => approvals::decide(call).await,
        RouteId::RaiseLimits => commands::raise_limits(call).await,
        RouteId::Transcript => workers::transcript(call).await,
        RouteId::Diff => diff::diff(call).await,
        RouteId::Blob => blobs::blob(call).await,
        RouteId::Events => events::events(call).await,
        RouteId::Observe => observe::observe(call).await,
        RouteId::ObserveMany => observe::observe_many(call).await,
    }
}

async fn ready(call: Call) -> Result<Response, Fault> {
    call.runtime().readiness()?;
    // A store that cannot be read is of no use either.
    call.runtime().summary().await?;
    Ok(reply::empty())
}

async fn metrics(call: Call) -> Result<Response, Fault> {
    let figures = call.runtime().figures().await?;
    Ok(reply::text(metrics::MEDIA_TYPE, call.adapter.metrics.text(figures)))
}

async fn runtime(call: Call) -> Result<Response, Fault> {
    let runtime = call.runtime().summary().await?;
    Ok(reply::json(&RuntimeReply { runtime }))
}

async fn backends(call: Call) -> Response {
    reply::json(&BackendsReply { backends: call.runtime().list_backends().await })
}

async fn profiles(call: Call) -> Response {
    reply::json(&ProfilesReply { profiles: call.runtime().list_profiles().await })
}

async fn diagnostics(call: Call) -> Result<Response, Fault> {
    Ok(reply::json(&DiagnosticsReply { diagnostics: call.view.diagnostics().await? }))
}
