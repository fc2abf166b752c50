//! The wire of Musher: what clients send and what the runtime answers, as plain types.
//!
//! Invariant: nothing here does I/O, knows a clock or depends on another crate of the project.
//! Invariant: requests refuse unknown fields; replies and events tolerate them, so that a client
//! keeps reading when a newer server says more.
//! Invariant: [`route::ROUTES`] is the only list of routes; the router, the OpenAPI document and
//! the clients are built from it.
//!
//! ```
//! use musher_protocol::{Frame, Payload};
//!
//! let line = r#"{"kind":"event","envelope":{"cursor":"wo_0000000000000007000000000000000100000002",
//!     "seq":1,"event_id":"evt_1","worker_id":"wrk_1","at":"2026-11-20T10:00:00Z",
//!     "payload":{"type":"text_delta","turn_id":"trn_1","block":0,"text":"hello"}}}"#;
//! let Frame::Event { envelope } = serde_json::from_str(line)? else { panic!("an event") };
//! assert_eq!(envelope.seq, 1);
//! assert!(matches!(envelope.payload, Payload::TextDelta { text, .. } if text == "hello"));
//! # Ok::<(), serde_json::Error>(())
//! ```

mod approval;
mod attention;
mod blob;
pub mod bounds;
mod bundle;
mod capability;
mod create;
mod cursor;
mod diff;
mod error;
mod event;
mod frame;
mod id;
mod input;
mod limits;
mod offer;
mod query;
pub mod route;
mod runtime;
mod session;
mod snapshot;
mod spec;
mod subscription;
mod transcript;
mod usage;
mod worker;

pub use self::{
    approval::{
        Answers, Approval, ApprovalKind, ApprovalState, ApprovalsReply, Decision, DecisionReply,
        DecisionRequest, Permission, Question, QuestionOption, Remember,
    },
    attention::{AttentionItem, AttentionKind, AttentionReply},
    blob::{BlobRef, Digest, DigestError},
    bundle::{
        ConfigBundle, ConfigBundleAvailability, ConfigBundleAvailabilityReply, ConfigBundleMetadata,
        ConfigBundleProfile, ConfigBundleProvenance, ConfigBundleQuery, ConfigBundleReadiness,
        ConfigBundleRef, ConfigBundleSummary, ConfigBundlesReply, ConfigDeclaration, ConfigDeclarationKind,
        DigestAlgorithm, StoreConfigBundle,
    },
    capability::{Capability, CapabilityError},
    create::{
        CapabilityRequest, CreateWorker, InitialInput, Intent, IntentKind, MountRef, OnIdle, ProfileSelector,
        ResumeRequest, WorkspaceRef,
    },
    cursor::{Cursor, CursorError},
    diff::{ChangedFile, DiffReply, FileChange, WorkspaceDiff},
    error::{ErrorBody, ErrorCode, ErrorReply},
    event::{
        Actor, Block, EndRequested, Envelope, LimitKind, Payload, Retrying, StopReason, TurnCause,
        TurnFinished, WorkerCreated, WorkerEnded,
    },
    frame::{Diagnostic, DiagnosticCode, Frame},
    id::{
        ApprovalId, AttentionId, ConfigBundleId, EventId, IdError, IdempotencyKey, InputId, RequestId,
        RuntimeId, SessionId, ToolCallId, TurnId, WorkerId,
    },
    input::{
        Ack, AckReply, CommandRequest, Delivery, InputAck, InputAckReply, InputKind, InputRequest,
        StopRequest,
    },
    limits::{RaiseLimitsRequest, WorkerLimits},
    offer::{
        ApprovalMode, BackendCapabilities, BackendSummary, BackendsReply, ProfileApproval, ProfileSummary,
        ProfilesReply, SandboxMode,
    },
    query::{
        AttentionQuery, DeleteWorkerQuery, DiffQuery, EventsQuery, ListWorkersQuery, ObserveQuery, Order,
        TranscriptQuery, Until, WorkerQuery,
    },
    runtime::{
        DiagnosticsReply, RuntimeDiagnostic, RuntimeLimits, RuntimeReply, RuntimeStatus, RuntimeSummary,
        StoreKind,
    },
    session::{McpServer, SessionEnded, SessionEnvironment, SessionStarted, Survivor},
    snapshot::{InFlight, InFlightKind, Snapshot},
    spec::{ApprovalSpec, ApproverSpec, OnRateLimit, OnRestart, ProfileSpec, SandboxSpec},
    subscription::{StreamRequest, Topic},
    transcript::{Role, TranscriptEntry, TranscriptPage, TranscriptReply},
    usage::{CostSource, Usage},
    worker::{
        Connection, EventsReply, Execution, Isolation, LastResult, Operation, Outcome, RunState, TurnError,
        TurnOutcome, WorkerDetail, WorkerListReply, WorkerMount, WorkerRef, WorkerReply, WorkerStatus,
        WorkerSummary, WorkerWorkspace,
    },
};
