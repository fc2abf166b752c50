//! From the list of routes to a router.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    extract::{RawPathParams, Request, State, rejection::RawPathParamsRejection},
    middleware,
    response::Response,
    routing::any,
};
use http::HeaderValue;
use musher_core::Runtime;
use musher_protocol::{
    ErrorCode,
    route::{Method, ROUTES, Route},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    call::{Call, invalid_worker_id},
    enclose::enclose,
    ending::Ending,
    fault::Fault,
    host::AllowedHost,
    metrics::{Metrics, Subscriber, Transport},
    options::{Bounds, HttpOptions},
    query::{self, NoQuery},
    routes,
    token::{self, Caller},
    tokens::Gate,
    view::View,
};

/// The runtime's routes, for a server of one's own.
///
/// Everything that a single request needs is in it: walls, tokens, bodies with their bounds, error bodies, and
/// the bounds of sockets that observe. What concerns a connection is not: the server around it must limit
/// connections, the time for a head, and the time that a client may take nothing of what is written to it, be it a
/// page or a stream. [`serve`](crate::serve) does. Streams and sockets end when the runtime ends.
pub fn router(runtime: Runtime, options: HttpOptions) -> Router {
    build(runtime, options, Ending::never(), Metrics::new())
}

/// Why nothing should be waited for any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The runtime or the server begins to end.
    Leaving,
    /// The caller's token is none any more.
    Revoked,
}

/// A runtime behind HTTP: what all its requests share.
#[derive(Debug)]
pub(crate) struct Adapter {
    pub(crate) runtime: Runtime,
    pub(crate) gate: Gate,
    pub(crate) allowed_hosts: Vec<AllowedHost>,
    pub(crate) bounds: Bounds,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) ending: Ending,
    pub(crate) metrics: Arc<Metrics>,
}

/// A place among the streams, taken for as long as this lives.
#[derive(Debug)]
pub(crate) struct StreamSlot {
    _slot: OwnedSemaphorePermit,
    _counted: Subscriber,
}

impl Adapter {
    pub(crate) fn new(runtime: Runtime, options: HttpOptions, ending: Ending, metrics: Arc<Metrics>) -> Self {
        let HttpOptions { listen: _, access, allowed_hosts, bounds } = options;
        let streams = Arc::new(Semaphore::new(bounds.max_streams as usize));
        Self { runtime, gate: Gate::new(access), allowed_hosts, bounds, streams, ending, metrics }
    }

    /// A place among the streams.
    pub(crate) fn stream_slot(&self, transport: Transport) -> Result<StreamSlot, Fault> {
        let slot = self.streams.clone().try_acquire_owned().map_err(|_none_is_free| {
            let limit = u64::from(self.bounds.max_streams);
            let message = format!("{limit} streams are open already, which is the limit");
            Fault::new(ErrorCode::Overloaded, message).over(limit)
        })?;
        Ok(StreamSlot { _slot: slot, _counted: self.metrics.subscriber(transport) })
    }

    /// Wakes when this caller should not wait for anything any more.
    pub(crate) async fn cut(&self, caller: &Caller) -> Cut {
        tokio::select! {
            () = self.runtime.draining() => Cut::Leaving,
            () = self.ending.begun() => Cut::Leaving,
            () = caller.revoked() => Cut::Revoked,
        }
    }
}

impl Cut {
    /// A fault where there is no answer to what was waited for.
    pub(crate) fn check(self) -> Result<(), Fault> {
        match self {
            Self::Leaving => Ok(()),
            Self::Revoked => Err(token::revoked()),
        }
    }
}

pub(crate) fn build(runtime: Runtime, options: HttpOptions, ending: Ending, metrics: Arc<Metrics>) -> Router {
    let adapter = Arc::new(Adapter::new(runtime, options, ending, metrics));
    let mut places = BTreeMap::<&str, Vec<&'static Route>>::new();
    for route in ROUTES {
        places.entry(route.path).or_default().push(route);
    }
    let mut router = Router::new();
    for (path, methods) in places {
        let methods: Arc<[_]> = methods.into();
        let answer = move |State(adapter), path, request| dispatch(adapter, methods, path, request);
        router = router.route(path, any(answer));
    }
    router
        .fallback(nowhere)
        .layer(middleware::from_fn_with_state(adapter.clone(), enclose))
        .with_state(adapter)
}

/// Answers a request for a path that exists, with the methods that it has.
async fn dispatch(
    adapter: Arc<Adapter>,
    methods: Arc<[&'static Route]>,
    path: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
) -> Result<Response, Fault> {
    let (head, body) = request.into_parts();
    let is_probe = methods.iter().all(|route| route.scope.is_none());
    let caller = if is_probe { Caller::Anonymous } else { adapter.gate.identify(&head.headers)? };
    let Some(route) = methods.iter().find(|route| is_for(route.method, &head.method)) else {
        return Err(method_not_allowed(&methods));
    };
    caller.check_route(route)?;
    if route.query.is_none() {
        let NoQuery {} = query::parse(&head.uri)?;
    }
    let view = View::of(&adapter.runtime, &caller);
    routes::answer(route.id, Call { adapter, caller, view, head, path, body }).await
}

/// Answers a request for a path that does not exist.
async fn nowhere(State(adapter): State<Arc<Adapter>>, request: Request) -> Result<Response, Fault> {
    adapter.gate.identify(request.headers())?;
    if ROUTES.iter().any(|route| names_nobody(route.path, request.uri().path())) {
        return Err(invalid_worker_id());
    }
    Err(Fault::new(ErrorCode::RouteNotFound, "no such route"))
}

/// Whether the path is that of a route with an empty worker's id in it, which matches no route.
fn names_nobody(route: &str, path: &str) -> bool {
    let pairs = || route.split('/').zip(path.split('/'));
    route.split('/').count() == path.split('/').count()
        && pairs().any(|pair| pair == ("{worker_id}", ""))
        && pairs().all(|(wanted, given)| wanted == given || wanted.starts_with('{'))
}

fn is_for(wanted: Method, given: &http::Method) -> bool {
    match wanted {
        // The server leaves the body of an answer to HEAD out.
        Method::Get => *given == http::Method::GET || *given == http::Method::HEAD,
        Method::Post => *given == http::Method::POST,
        Method::Delete => *given == http::Method::DELETE,
    }
}

fn method_not_allowed(methods: &[&'static Route]) -> Fault {
    let names = |route: &&Route| match route.method {
        Method::Get => "GET, HEAD",
        Method::Post => "POST",
        Method::Delete => "DELETE",
    };
    let names = methods.iter().map(names).collect::<Vec<_>>().join(", ");
    let message = format!("this route has {names}");
    let allow = HeaderValue::from_str(&names).expect("names of methods are a header's value");
    Fault::new(ErrorCode::MethodNotAllowed, message).allowing(allow)
}
