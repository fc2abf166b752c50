//! The routes: the one list that the router, the OpenAPI document and the clients are built from.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::{
    AckReply, ApprovalsReply, AttentionQuery, AttentionReply, BackendsReply, CommandRequest,
    ConfigBundleAvailabilityReply, ConfigBundleQuery, ConfigBundlesReply, CreateWorker, DecisionReply,
    DecisionRequest, DeleteWorkerQuery, DiagnosticsReply, DiffQuery, DiffReply, ErrorCode, EventsQuery,
    EventsReply, InputAckReply, InputRequest, ListWorkersQuery, ObserveQuery, ProfilesReply,
    RaiseLimitsRequest, RuntimeReply, StopRequest, StoreConfigBundle, TranscriptQuery, TranscriptReply,
    WorkerListReply, WorkerQuery, WorkerReply,
};

/// A route's name in code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteId {
    /// The process lives.
    Livez,
    /// The runtime takes work.
    Readyz,
    /// What can be asked of the server.
    OpenApi,
    /// Figures about the server and its runtime.
    Metrics,
    /// The runtime's summary.
    Runtime,
    /// The backends.
    Backends,
    /// The profiles.
    Profiles,
    /// What the runtime itself has to report.
    Diagnostics,
    /// The config bundles.
    ListConfigBundles,
    /// A new config bundle.
    StoreConfigBundle,
    /// What of a config bundle can run.
    CheckConfigBundle,
    /// The end of a revision of a config bundle.
    DeleteConfigBundle,
    /// What waits for a person.
    Attention,
    /// The list of workers.
    ListWorkers,
    /// A new worker.
    CreateWorker,
    /// A worker's detail.
    Worker,
    /// The end of a worker's log and all that belongs to it.
    DeleteWorker,
    /// An input.
    SendInput,
    /// An interrupt.
    Interrupt,
    /// A graceful end.
    Stop,
    /// An end at once.
    Cancel,
    /// What a worker waits for to be decided.
    Approvals,
    /// A decision about an approval.
    Decide,
    /// More of what a worker has used up.
    RaiseLimits,
    /// A page of a transcript.
    Transcript,
    /// What a worker changed in a directory.
    Diff,
    /// A large body.
    Blob,
    /// A page of events, or a stream of them.
    Events,
    /// The observation socket.
    Observe,
    /// The socket for many workers.
    ObserveMany,
}

/// The methods that routes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Reads.
    Get,
    /// Changes.
    Post,
    /// Removes.
    Delete,
}

/// What a token must be allowed to do for a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Look.
    Observe,
    /// Say something to workers and end them.
    Drive,
    /// Decide what workers ask.
    Approve,
    /// Everything.
    Admin,
}

/// A type of the wire, by its schema.
#[derive(Clone, Copy)]
pub struct WireType {
    /// Adds the type to a generator's definitions and answers with a reference to it.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

impl std::fmt::Debug for WireType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WireType")
    }
}

const fn wire<T: JsonSchema>() -> WireType {
    WireType { schema: |generator| generator.subschema_for::<T>() }
}

/// A request's body.
#[derive(Clone, Copy, Debug)]
pub enum RequestBody {
    /// There is none.
    None,
    /// It may be left out.
    Optional(WireType),
    /// It must be there.
    Required(WireType),
}

/// What a route answers with when all is well.
#[derive(Clone, Copy, Debug)]
pub enum ReplyBody {
    /// `{}`: that there is an answer says all.
    Empty,
    /// 204: there is nothing left to say.
    Nothing,
    /// A JSON object.
    Json(WireType),
    /// The description of all routes, as OpenAPI 3.1.
    OpenApi,
    /// Figures, as text of the OpenMetrics format.
    Metrics,
    /// Plain bytes, or the one range of them that was asked for.
    Bytes,
    /// A JSON object; or, where `Accept` names `text/event-stream`, a stream of [`crate::Envelope`]s whose ids are
    /// their cursors, which is 204 when it goes on behind the last event of a log.
    JsonOrStream(WireType),
    /// A WebSocket that sends [`crate::Frame`]s.
    Frames,
    /// A WebSocket that takes [`crate::StreamRequest`]s and sends [`crate::Frame`]s.
    Subscriptions,
}

/// A route.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Its name in code.
    pub id: RouteId,
    /// Its method.
    pub method: Method,
    /// Its path, `{…}` standing for one segment.
    pub path: &'static str,
    /// What a token must be allowed to do; `None` for probes, which need no token.
    pub scope: Option<Scope>,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Its query string.
    pub query: Option<WireType>,
    /// Its request body.
    pub request: RequestBody,
    /// Its answer.
    pub reply: ReplyBody,
    /// The errors that are its own, besides those of every route ([`COMMON_ERRORS`]).
    pub errors: &'static [ErrorCode],
}

/// Errors that every route may answer with.
pub const COMMON_ERRORS: &[ErrorCode] = &[
    ErrorCode::InvalidJson,
    ErrorCode::InvalidQuery,
    ErrorCode::Unauthorized,
    ErrorCode::Forbidden,
    ErrorCode::MethodNotAllowed,
    ErrorCode::MisdirectedHost,
    ErrorCode::PayloadTooLarge,
    ErrorCode::Overloaded,
    ErrorCode::Internal,
];

const LOOKUP: &[ErrorCode] = &[
    ErrorCode::InvalidWorkerId,
    ErrorCode::WorkerNotFound,
    ErrorCode::StoreIo,
    ErrorCode::StoreCorrupt,
    ErrorCode::StoreFull,
    ErrorCode::RuntimeStopped,
    ErrorCode::Draining,
];
const PAGE: &[ErrorCode] = &[
    ErrorCode::InvalidWorkerId,
    ErrorCode::WorkerNotFound,
    ErrorCode::LimitTooLarge,
    ErrorCode::StoreIo,
    ErrorCode::StoreCorrupt,
    ErrorCode::StoreFull,
    ErrorCode::RuntimeStopped,
    ErrorCode::Draining,
];
const LOG: &[ErrorCode] = &[
    ErrorCode::InvalidWorkerId,
    ErrorCode::WorkerNotFound,
    ErrorCode::LimitTooLarge,
    ErrorCode::CursorMalformed,
    ErrorCode::WrongRuntimeCursor,
    ErrorCode::CursorExpired,
    ErrorCode::StoreIo,
    ErrorCode::StoreCorrupt,
    ErrorCode::StoreFull,
    ErrorCode::RuntimeStopped,
    ErrorCode::Draining,
];
const BUNDLE: &[ErrorCode] = &[
    ErrorCode::ConfigBundleMissing,
    ErrorCode::ConfigBundleDigestMismatch,
    ErrorCode::StoreIo,
    ErrorCode::StoreCorrupt,
    ErrorCode::RuntimeStopped,
    ErrorCode::Draining,
];
const STORE_BUNDLE: &[ErrorCode] = &[
    ErrorCode::InvalidRequest,
    ErrorCode::InvalidProfileSelector,
    ErrorCode::ConfigBundleDigestMismatch,
    ErrorCode::UnsupportedConfigDeclaration,
    ErrorCode::IdempotencyMismatch,
    ErrorCode::IdempotencyInFlight,
    ErrorCode::ConfigBundleConflict,
    ErrorCode::RuntimeStopped,
    ErrorCode::Draining,
    ErrorCode::StoreIo,
    ErrorCode::StoreCorrupt,
    ErrorCode::StoreFull,
];
const CREATE: &[ErrorCode] = &[
    ErrorCode::InvalidRequest,
    ErrorCode::InvalidProfileSelector,
    ErrorCode::ConfigBundleMissing,
    ErrorCode::ConfigBundleDigestMismatch,
    ErrorCode::WorkerExecutionUnavailable,
    ErrorCode::IdempotencyMismatch,
    ErrorCode::IdempotencyInFlight,
    ErrorCode::RuntimeStopped,
    ErrorCode::Draining,
    ErrorCode::StoreIo,
    ErrorCode::StoreCorrupt,
    ErrorCode::StoreFull,
];
const INPUT: &[ErrorCode] = &[
    ErrorCode::InvalidRequest,
    ErrorCode::InvalidWorkerId,
    ErrorCode::WorkerNotFound,
    ErrorCode::WorkerExecutionUnavailable,
    ErrorCode::WorkerExecutionRejected,
    ErrorCode::IdempotencyMismatch,
    ErrorCode::RuntimeStopped,
    ErrorCode::Draining,
    ErrorCode::StoreIo,
    ErrorCode::StoreCorrupt,
    ErrorCode::StoreFull,
];
const DECIDE: &[ErrorCode] = &[
    ErrorCode::InvalidRequest,
    ErrorCode::InvalidWorkerId,
    ErrorCode::WorkerNotFound,
    ErrorCode::ApprovalNotFound,
    ErrorCode::ApprovalNotPending,
    ErrorCode::WorkerExecutionRejected,
    ErrorCode::IdempotencyMismatch,
    ErrorCode::IdempotencyInFlight,
    ErrorCode::RuntimeStopped,
    ErrorCode::Draining,
    ErrorCode::StoreIo,
    ErrorCode::StoreCorrupt,
    ErrorCode::StoreFull,
];
const RAISE: &[ErrorCode] = &[
    ErrorCode::InvalidRequest,
    ErrorCode::InvalidWorkerId,
    ErrorCode::WorkerNotFound,
    ErrorCode::IdempotencyMismatch,
    ErrorCode::IdempotencyInFlight,
    ErrorCode::RuntimeStopped,
    ErrorCode::Draining,
    ErrorCode::StoreIo,
    ErrorCode::StoreCorrupt,
    ErrorCode::StoreFull,
];
const END: &[ErrorCode] = &[
    ErrorCode::InvalidRequest,
    ErrorCode::InvalidWorkerId,
    ErrorCode::WorkerNotFound,
    ErrorCode::ProcessesSurvived,
    ErrorCode::IdempotencyMismatch,
    ErrorCode::IdempotencyInFlight,
    ErrorCode::RuntimeStopped,
    ErrorCode::Draining,
    ErrorCode::StoreIo,
    ErrorCode::StoreCorrupt,
    ErrorCode::StoreFull,
];

const fn get(id: RouteId, path: &'static str, summary: &'static str, reply: ReplyBody) -> Route {
    Route {
        id,
        method: Method::Get,
        path,
        scope: Some(Scope::Observe),
        summary,
        query: None,
        request: RequestBody::None,
        reply,
        errors: &[],
    }
}

const fn post(
    id: RouteId,
    path: &'static str,
    summary: &'static str,
    request: RequestBody,
    reply: ReplyBody,
    errors: &'static [ErrorCode],
) -> Route {
    Route {
        id,
        method: Method::Post,
        path,
        scope: Some(Scope::Drive),
        summary,
        query: None,
        request,
        reply,
        errors,
    }
}

/// Every route of a server of this version.
pub const ROUTES: &[Route] = &[
    Route {
        scope: None,
        ..get(RouteId::Livez, "/livez", "Answers as long as the process lives.", ReplyBody::Empty)
    },
    Route {
        scope: None,
        errors: &[ErrorCode::StoreIo, ErrorCode::Draining],
        ..get(RouteId::Readyz, "/readyz", "Answers 200 while the runtime takes work.", ReplyBody::Empty)
    },
    get(
        RouteId::OpenApi,
        "/openapi.json",
        "Describes every route of this server, as OpenAPI 3.1.",
        ReplyBody::OpenApi,
    ),
    Route {
        errors: &[ErrorCode::StoreIo],
        ..get(
            RouteId::Metrics,
            "/metrics",
            "Shows figures about the server and its runtime, for Prometheus.",
            ReplyBody::Metrics,
        )
    },
    Route {
        errors: &[ErrorCode::StoreIo],
        ..get(
            RouteId::Runtime,
            "/v1/runtime",
            "Shows the runtime, in constant time.",
            ReplyBody::Json(wire::<RuntimeReply>()),
        )
    },
    get(
        RouteId::Backends,
        "/v1/backends",
        "Lists backends, and what is missing where one cannot run here.",
        ReplyBody::Json(wire::<BackendsReply>()),
    ),
    get(
        RouteId::Profiles,
        "/v1/profiles",
        "Lists profiles, and what is missing where a worker of one cannot be created.",
        ReplyBody::Json(wire::<ProfilesReply>()),
    ),
    get(
        RouteId::Diagnostics,
        "/v1/diagnostics",
        "Shows what the runtime itself has to report, the newest last.",
        ReplyBody::Json(wire::<DiagnosticsReply>()),
    ),
    Route {
        errors: &[ErrorCode::StoreIo, ErrorCode::RuntimeStopped, ErrorCode::Draining],
        ..get(
            RouteId::ListConfigBundles,
            "/v1/config-bundles",
            "Lists config bundles, by id and revision.",
            ReplyBody::Json(wire::<ConfigBundlesReply>()),
        )
    },
    Route {
        scope: Some(Scope::Admin),
        ..post(
            RouteId::StoreConfigBundle,
            "/v1/config-bundles",
            "Stores a config bundle. One that is there already is answered as it was the first time.",
            RequestBody::Required(wire::<StoreConfigBundle>()),
            ReplyBody::Json(wire::<ConfigBundlesReply>()),
            STORE_BUNDLE,
        )
    },
    Route {
        query: Some(wire::<ConfigBundleQuery>()),
        errors: BUNDLE,
        ..get(
            RouteId::CheckConfigBundle,
            "/v1/config-bundles/{config_bundle_id}/availability",
            "Shows which profiles of a config bundle can run, and what is missing for the others.",
            ReplyBody::Json(wire::<ConfigBundleAvailabilityReply>()),
        )
    },
    Route {
        method: Method::Delete,
        scope: Some(Scope::Admin),
        query: Some(wire::<ConfigBundleQuery>()),
        errors: BUNDLE,
        ..get(
            RouteId::DeleteConfigBundle,
            "/v1/config-bundles/{config_bundle_id}",
            "Deletes a revision of a config bundle. Workers keep the profile that they were created with.",
            ReplyBody::Nothing,
        )
    },
    Route {
        query: Some(wire::<AttentionQuery>()),
        errors: &[ErrorCode::StoreIo, ErrorCode::RuntimeStopped, ErrorCode::Draining],
        ..get(
            RouteId::Attention,
            "/v1/attention",
            "Lists what waits for a person, over all workers; waits for another list when asked to.",
            ReplyBody::Json(wire::<AttentionReply>()),
        )
    },
    Route {
        query: Some(wire::<ListWorkersQuery>()),
        errors: &[ErrorCode::LimitTooLarge, ErrorCode::StoreIo],
        ..get(
            RouteId::ListWorkers,
            "/v1/workers",
            "Lists workers, oldest first.",
            ReplyBody::Json(wire::<WorkerListReply>()),
        )
    },
    post(
        RouteId::CreateWorker,
        "/v1/workers",
        "Creates a worker.",
        RequestBody::Required(wire::<CreateWorker>()),
        ReplyBody::Json(wire::<WorkerReply>()),
        CREATE,
    ),
    Route {
        query: Some(wire::<WorkerQuery>()),
        errors: LOOKUP,
        ..get(
            RouteId::Worker,
            "/v1/workers/{worker_id}",
            "Shows a worker; waits for a state when asked to.",
            ReplyBody::Json(wire::<WorkerReply>()),
        )
    },
    Route {
        method: Method::Delete,
        scope: Some(Scope::Drive),
        query: Some(wire::<DeleteWorkerQuery>()),
        errors: &[
            ErrorCode::InvalidWorkerId,
            ErrorCode::WorkerNotFound,
            ErrorCode::WorkerRunning,
            ErrorCode::WorkspaceDirty,
            ErrorCode::Draining,
            ErrorCode::StoreIo,
            ErrorCode::StoreCorrupt,
            ErrorCode::StoreFull,
        ],
        ..get(
            RouteId::DeleteWorker,
            "/v1/workers/{worker_id}",
            "Deletes a worker that has ended, with its log and all that belongs to it.",
            ReplyBody::Nothing,
        )
    },
    post(
        RouteId::SendInput,
        "/v1/workers/{worker_id}/input",
        "Says something to a worker. The ack follows when it is durable.",
        RequestBody::Required(wire::<InputRequest>()),
        ReplyBody::Json(wire::<InputAckReply>()),
        INPUT,
    ),
    post(
        RouteId::Interrupt,
        "/v1/workers/{worker_id}/interrupt",
        "Ends the open turn and keeps the session.",
        RequestBody::Optional(wire::<CommandRequest>()),
        ReplyBody::Json(wire::<AckReply>()),
        END,
    ),
    post(
        RouteId::Stop,
        "/v1/workers/{worker_id}/stop",
        "Ends a worker gracefully; answers when no process of it is left.",
        RequestBody::Optional(wire::<StopRequest>()),
        ReplyBody::Json(wire::<AckReply>()),
        END,
    ),
    post(
        RouteId::Cancel,
        "/v1/workers/{worker_id}/cancel",
        "Ends a worker at once; answers when no process of it is left.",
        RequestBody::Optional(wire::<CommandRequest>()),
        ReplyBody::Json(wire::<AckReply>()),
        END,
    ),
    Route {
        errors: &[
            ErrorCode::InvalidWorkerId,
            ErrorCode::WorkerNotFound,
            ErrorCode::StoreIo,
            ErrorCode::StoreCorrupt,
        ],
        ..get(
            RouteId::Approvals,
            "/v1/workers/{worker_id}/approvals",
            "Lists what a worker waits for to be decided, oldest first.",
            ReplyBody::Json(wire::<ApprovalsReply>()),
        )
    },
    Route {
        scope: Some(Scope::Approve),
        ..post(
            RouteId::Decide,
            "/v1/workers/{worker_id}/approvals/{approval_id}",
            "Decides an approval. The answer follows when the decision is durable.",
            RequestBody::Required(wire::<DecisionRequest>()),
            ReplyBody::Json(wire::<DecisionReply>()),
            DECIDE,
        )
    },
    Route {
        scope: Some(Scope::Admin),
        ..post(
            RouteId::RaiseLimits,
            "/v1/workers/{worker_id}/limits",
            "Raises limits of a worker, which goes on where one of them had held it.",
            RequestBody::Required(wire::<RaiseLimitsRequest>()),
            ReplyBody::Json(wire::<WorkerReply>()),
            RAISE,
        )
    },
    Route {
        query: Some(wire::<TranscriptQuery>()),
        errors: PAGE,
        ..get(
            RouteId::Transcript,
            "/v1/workers/{worker_id}/transcript",
            "Reads a page of a transcript.",
            ReplyBody::Json(wire::<TranscriptReply>()),
        )
    },
    Route {
        query: Some(wire::<DiffQuery>()),
        errors: &[
            ErrorCode::InvalidWorkerId,
            ErrorCode::WorkerNotFound,
            ErrorCode::WorkspaceNotVersioned,
            ErrorCode::WorkerExecutionUnavailable,
            ErrorCode::StoreIo,
            ErrorCode::StoreCorrupt,
            ErrorCode::StoreFull,
        ],
        ..get(
            RouteId::Diff,
            "/v1/workers/{worker_id}/diff",
            "Shows what a worker changed since the commit that it began at.",
            ReplyBody::Json(wire::<DiffReply>()),
        )
    },
    Route {
        errors: &[
            ErrorCode::InvalidWorkerId,
            ErrorCode::WorkerNotFound,
            ErrorCode::BlobNotFound,
            ErrorCode::RangeNotSatisfiable,
            ErrorCode::StoreIo,
            ErrorCode::StoreCorrupt,
        ],
        ..get(
            RouteId::Blob,
            "/v1/workers/{worker_id}/blobs/{digest}",
            "Reads a large body, whole or a range of it.",
            ReplyBody::Bytes,
        )
    },
    Route {
        query: Some(wire::<EventsQuery>()),
        errors: LOG,
        ..get(
            RouteId::Events,
            "/v1/workers/{worker_id}/events",
            "Reads a page of a log, or streams it.",
            ReplyBody::JsonOrStream(wire::<EventsReply>()),
        )
    },
    Route {
        query: Some(wire::<ObserveQuery>()),
        errors: &[
            ErrorCode::InvalidWorkerId,
            ErrorCode::WorkerNotFound,
            ErrorCode::InvalidRequest,
            ErrorCode::StoreIo,
            ErrorCode::StoreCorrupt,
            ErrorCode::StoreFull,
            ErrorCode::RuntimeStopped,
            ErrorCode::Draining,
        ],
        ..get(
            RouteId::Observe,
            "/v1/workers/{worker_id}/events/ws",
            "Streams a log: a snapshot, then every event behind it.",
            ReplyBody::Frames,
        )
    },
    Route {
        errors: &[ErrorCode::InvalidRequest, ErrorCode::Draining],
        ..get(
            RouteId::ObserveMany,
            "/v1/events/ws",
            "Streams what the client subscribes to: logs, and topics that are about all workers.",
            ReplyBody::Subscriptions,
        )
    },
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_route_has_its_own_name_and_place() {
        let ids: HashSet<_> = ROUTES.iter().map(|route| route.id).collect();
        let places: HashSet<_> = ROUTES.iter().map(|route| (route.method, route.path)).collect();
        assert_eq!((ids.len(), places.len()), (ROUTES.len(), ROUTES.len()));
    }
}
