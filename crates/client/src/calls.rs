//! Every route as a call.

use std::{ops::RangeInclusive, time::Duration};

use bytes::Bytes;
use musher_protocol::{
    Ack, AckReply, Approval, ApprovalId, ApprovalsReply, AttentionQuery, AttentionReply, BackendSummary,
    BackendsReply, CommandRequest, ConfigBundleAvailability, ConfigBundleAvailabilityReply,
    ConfigBundleQuery, ConfigBundleRef, ConfigBundleSummary, ConfigBundlesReply, CreateWorker, DecisionReply,
    DecisionRequest, DeleteWorkerQuery, DiagnosticsReply, DiffQuery, DiffReply, Digest, EventsQuery,
    EventsReply, IdempotencyKey, InputAck, InputAckReply, InputRequest, ListWorkersQuery, ObserveQuery,
    ProfileSummary, ProfilesReply, RaiseLimitsRequest, RuntimeDiagnostic, RuntimeReply, RuntimeSummary,
    StopRequest, StoreConfigBundle, TranscriptPage, TranscriptQuery, TranscriptReply, WorkerDetail, WorkerId,
    WorkerListReply, WorkerQuery, WorkerReply, WorkspaceDiff, route::RouteId,
};
use reqwest::header::{HeaderValue, RANGE};
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::{Client, Error, Events, Following, Socket, Start, events, request::Request, socket};

/// The longest grace that a stop may ask for, and what a session takes to end behind that.
const END_LIMIT: Duration = Duration::from_secs(120);
/// What a server takes at most for a diff, and to get to it.
const DIFF_LIMIT: Duration = Duration::from_secs(90);

/// What every call has in common: it fails as [`Error`] says, is repeated as [`Retry`](crate::Retry) says, and is given
/// up when its future is dropped, though what was sent may still be done.
impl Client {
    /// Whether the process lives.
    pub async fn livez(&self) -> Result<(), Error> {
        self.json::<IgnoredAny>(Request::of(RouteId::Livez, &[])).await.map(drop)
    }

    /// Whether the runtime takes work.
    pub async fn readyz(&self) -> Result<(), Error> {
        self.json::<IgnoredAny>(Request::of(RouteId::Readyz, &[])).await.map(drop)
    }

    /// What can be asked of the server, as OpenAPI 3.1.
    pub async fn openapi(&self) -> Result<Value, Error> {
        self.json(Request::of(RouteId::OpenApi, &[])).await
    }

    /// What workers and the server did, as figures in the OpenMetrics format.
    pub async fn metrics(&self) -> Result<String, Error> {
        let text = self.bytes(&Request::of(RouteId::Metrics, &[])).await?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// The runtime.
    pub async fn runtime(&self) -> Result<RuntimeSummary, Error> {
        self.json(Request::of(RouteId::Runtime, &[])).await.map(|reply: RuntimeReply| reply.runtime)
    }

    /// What executes workers here, and why not where it cannot.
    pub async fn backends(&self) -> Result<Vec<BackendSummary>, Error> {
        self.json(Request::of(RouteId::Backends, &[])).await.map(|reply: BackendsReply| reply.backends)
    }

    /// What workers can be created of here, and why not where that is so.
    pub async fn profiles(&self) -> Result<Vec<ProfileSummary>, Error> {
        self.json(Request::of(RouteId::Profiles, &[])).await.map(|reply: ProfilesReply| reply.profiles)
    }

    /// What the runtime itself has to report, the newest last.
    pub async fn diagnostics(&self) -> Result<Vec<RuntimeDiagnostic>, Error> {
        let reply = self.json(Request::of(RouteId::Diagnostics, &[])).await;
        reply.map(|reply: DiagnosticsReply| reply.diagnostics)
    }

    /// The config bundles, by id and revision.
    pub async fn config_bundles(&self) -> Result<Vec<ConfigBundleSummary>, Error> {
        let reply = self.json(Request::of(RouteId::ListConfigBundles, &[])).await;
        reply.map(|reply: ConfigBundlesReply| reply.bundles)
    }

    /// Stores a config bundle, as it is written here. One that is there already is answered as it was the first time.
    pub async fn store_config_bundle(
        &self,
        request: &StoreConfigBundle,
    ) -> Result<ConfigBundlesReply, Error> {
        self.json(Request::of(RouteId::StoreConfigBundle, &[]).body(request)).await
    }

    /// Which profiles of a config bundle can run, and what is missing for the others.
    pub async fn check_config_bundle(
        &self,
        bundle: &ConfigBundleRef,
    ) -> Result<ConfigBundleAvailability, Error> {
        let query = ConfigBundleQuery { digest: bundle.digest };
        let asked = Request::of(RouteId::CheckConfigBundle, &[bundle.id.as_str()]).query(&query);
        self.json(asked).await.map(|reply: ConfigBundleAvailabilityReply| reply.availability)
    }

    /// Deletes a revision of a config bundle. Workers keep the profile that they were created with.
    pub async fn delete_config_bundle(&self, bundle: &ConfigBundleRef) -> Result<(), Error> {
        let query = ConfigBundleQuery { digest: bundle.digest };
        let asked = Request::of(RouteId::DeleteConfigBundle, &[bundle.id.as_str()]).query(&query);
        self.bytes(&asked).await.map(drop)
    }

    /// What waits for a person, over all workers.
    pub async fn attention(&self, query: &AttentionQuery) -> Result<AttentionReply, Error> {
        let wait = query.after.map(|_after| query.wait.unwrap_or(60));
        self.json(waiting(Request::of(RouteId::Attention, &[]).query(query), wait)).await
    }

    /// A page of workers.
    pub async fn workers(&self, query: &ListWorkersQuery) -> Result<WorkerListReply, Error> {
        self.json(Request::of(RouteId::ListWorkers, &[]).query(query)).await
    }

    /// Creates a worker.
    pub async fn create_worker(&self, request: &CreateWorker) -> Result<WorkerDetail, Error> {
        let reply = self.json(Request::of(RouteId::CreateWorker, &[]).body(request)).await;
        reply.map(|reply: WorkerReply| reply.worker)
    }

    /// Creates a worker once, however often it is called with this key: a repetition is answered as the first call was, and
    /// refused with 409 `idempotency_in_flight` while that one is under way. So it finds out what became of a call that had
    /// no answer.
    pub async fn create_worker_once(
        &self,
        key: &IdempotencyKey,
        request: &CreateWorker,
    ) -> Result<WorkerDetail, Error> {
        let reply = self.json(Request::of(RouteId::CreateWorker, &[]).key(key).body(request)).await;
        reply.map(|reply: WorkerReply| reply.worker)
    }

    /// A worker, now or once it is in the state that is asked for; see [`Client::wait_for`] too.
    pub async fn worker(&self, worker: &WorkerId, query: &WorkerQuery) -> Result<WorkerDetail, Error> {
        let request = Request::of(RouteId::Worker, &[worker.as_str()]).query(query);
        self.json(waiting(request, query.wait)).await.map(|reply: WorkerReply| reply.worker)
    }

    /// Deletes a worker that has ended, with its log and all that belongs to it.
    pub async fn delete_worker(&self, worker: &WorkerId, query: &DeleteWorkerQuery) -> Result<(), Error> {
        self.bytes(&Request::of(RouteId::DeleteWorker, &[worker.as_str()]).query(query)).await.map(drop)
    }

    /// Says something to a worker. The ack follows when it is durable. Without an `input_id` of its own the input gets
    /// one here, so that it runs once however often it is sent.
    pub async fn send_input(&self, worker: &WorkerId, request: &InputRequest) -> Result<InputAck, Error> {
        let asked = Request::of(RouteId::SendInput, &[worker.as_str()]).input_id(request.input_id.as_ref());
        self.json(asked.body(request)).await.map(|reply: InputAckReply| reply.ack)
    }

    /// Ends the open turn and keeps the session.
    pub async fn interrupt(&self, worker: &WorkerId, request: &CommandRequest) -> Result<Ack, Error> {
        let asked = Request::of(RouteId::Interrupt, &[worker.as_str()]).body(request).waiting(END_LIMIT);
        self.json(asked).await.map(|reply: AckReply| reply.ack)
    }

    /// Ends a worker gracefully, and answers when no process of it is left.
    pub async fn stop(&self, worker: &WorkerId, request: &StopRequest) -> Result<Ack, Error> {
        let asked = Request::of(RouteId::Stop, &[worker.as_str()]).body(request).waiting(END_LIMIT);
        self.json(asked).await.map(|reply: AckReply| reply.ack)
    }

    /// Ends a worker at once, and answers when no process of it is left.
    pub async fn cancel(&self, worker: &WorkerId, request: &CommandRequest) -> Result<Ack, Error> {
        let asked = Request::of(RouteId::Cancel, &[worker.as_str()]).body(request).waiting(END_LIMIT);
        self.json(asked).await.map(|reply: AckReply| reply.ack)
    }

    /// What a worker waits for to be decided, oldest first.
    pub async fn approvals(&self, worker: &WorkerId) -> Result<Vec<Approval>, Error> {
        let reply = self.json(Request::of(RouteId::Approvals, &[worker.as_str()])).await;
        reply.map(|reply: ApprovalsReply| reply.approvals)
    }

    /// Decides an approval. The answer follows when the decision is durable. See [`Client::decide_by`] too.
    pub async fn decide(
        &self,
        worker: &WorkerId,
        approval: &ApprovalId,
        request: &DecisionRequest,
    ) -> Result<DecisionReply, Error> {
        let ids = [worker.as_str(), approval.as_str()];
        self.json(Request::of(RouteId::Decide, &ids).body(request)).await
    }

    /// Raises limits of a worker, which goes on where one of them had held it.
    pub async fn raise_limits(
        &self,
        worker: &WorkerId,
        request: &RaiseLimitsRequest,
    ) -> Result<WorkerDetail, Error> {
        let asked = Request::of(RouteId::RaiseLimits, &[worker.as_str()]).body(request);
        self.json(asked).await.map(|reply: WorkerReply| reply.worker)
    }

    /// A page of a transcript.
    pub async fn transcript(
        &self,
        worker: &WorkerId,
        query: &TranscriptQuery,
    ) -> Result<TranscriptPage, Error> {
        let asked = Request::of(RouteId::Transcript, &[worker.as_str()]).query(query);
        self.json(asked).await.map(|reply: TranscriptReply| reply.transcript)
    }

    /// What a worker changed in a directory since the commit that it began at.
    pub async fn diff(&self, worker: &WorkerId, query: &DiffQuery) -> Result<WorkspaceDiff, Error> {
        let asked = Request::of(RouteId::Diff, &[worker.as_str()]).query(query).waiting(DIFF_LIMIT);
        self.json(asked).await.map(|reply: DiffReply| reply.diff)
    }

    /// A large body, whole or these bytes of it.
    pub async fn blob(
        &self,
        worker: &WorkerId,
        digest: Digest,
        range: Option<RangeInclusive<u64>>,
    ) -> Result<Bytes, Error> {
        let mut asked = Request::of(RouteId::Blob, &[worker.as_str(), &digest.to_string()]);
        if let Some(range) = range {
            let range = format!("bytes={}-{}", range.start(), range.end());
            asked = asked.header(RANGE, HeaderValue::from_str(&range).expect("numbers are a header's value"));
        }
        self.bytes(&asked).await
    }

    /// A page of a log.
    pub async fn events(&self, worker: &WorkerId, query: &EventsQuery) -> Result<EventsReply, Error> {
        let asked = Request::of(RouteId::Events, &[worker.as_str()]).query(query);
        self.json(waiting(asked, query.wait)).await
    }

    /// A log as a stream that goes on by itself, from this place on. Nothing is sent before the stream is read.
    #[must_use]
    pub fn follow(&self, worker: &WorkerId, start: Start) -> Following {
        Following::new(self.clone(), worker.clone(), start)
    }

    /// One answer of server-sent events: from behind a cursor, or with a snapshot first. `None` where the cursor is that
    /// of a log's last event. It ends when its connection does; [`Client::follow`] goes on by itself.
    pub async fn open_events(&self, worker: &WorkerId, after: Option<&str>) -> Result<Option<Events>, Error> {
        events::open(self, worker, after).await
    }

    /// A worker's observation socket. It ends when its connection does.
    pub async fn observe(&self, worker: &WorkerId, query: &ObserveQuery) -> Result<Socket, Error> {
        socket::open(self, Request::of(RouteId::Observe, &[worker.as_str()]).query(query)).await
    }

    /// A socket for many workers. It ends when its connection does.
    pub async fn observe_many(&self) -> Result<Socket, Error> {
        socket::open(self, Request::of(RouteId::ObserveMany, &[])).await
    }
}

/// A request whose answer is waited for by the server, for as many seconds.
fn waiting(request: Request, wait: Option<u64>) -> Request {
    match wait {
        Some(seconds) => request.waiting(Duration::from_secs(seconds)),
        None => request,
    }
}
