//! One request that passed the walls and the gate, and the ways to read it.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{RawPathParams, rejection::RawPathParamsRejection},
};
use bytes::Bytes;
use http::request;
use musher_core::{CommandOptions, Runtime};
use musher_protocol::{ApprovalId, ConfigBundleId, Digest, ErrorCode, WorkerId};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    body,
    fault::Fault,
    key, query,
    router::{Adapter, Cut},
    token::Caller,
    view::View,
};

/// One request that passed the walls and the gate.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) adapter: Arc<Adapter>,
    pub(crate) caller: Caller,
    pub(crate) view: View,
    pub(crate) head: request::Parts,
    pub(crate) path: Result<RawPathParams, RawPathParamsRejection>,
    pub(crate) body: Body,
}

impl Call {
    /// The query string.
    pub(crate) fn query<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        query::parse(&self.head.uri)
    }

    /// The worker that the path names, be it there or not; none that the caller does not see.
    pub(crate) fn worker(&self) -> impl Future<Output = Result<WorkerId, Fault>> + Send + use<> {
        let named =
            self.segment("worker_id").and_then(|text| text.parse().ok()).ok_or_else(invalid_worker_id);
        let view = self.view.clone();
        async move {
            let worker = named?;
            view.require(&worker).await?;
            Ok(worker)
        }
    }

    /// The runtime, for what is asked of a worker that was found.
    pub(crate) fn runtime(&self) -> &Runtime {
        self.view.runtime()
    }

    /// Wakes when the caller should not wait for anything any more.
    pub(crate) fn cut(&self) -> impl Future<Output = Cut> + Send + use<> {
        let (adapter, caller) = (Arc::clone(&self.adapter), self.caller.clone());
        async move { adapter.cut(&caller).await }
    }

    /// The large body that the path names, be it there or not; `None` when it can name none.
    pub(crate) fn digest(&self) -> Option<Digest> {
        self.segment("digest")?.parse().ok()
    }

    /// The approval that the path names, be it there or not; `None` when it can name none.
    pub(crate) fn approval(&self) -> Option<ApprovalId> {
        self.segment("approval_id")?.parse().ok()
    }

    /// Who asks for something, and under which key.
    pub(crate) fn options(&self, actor: Option<String>) -> Result<CommandOptions, Fault> {
        let idempotency_key = key::given(&self.head.headers)?;
        Ok(CommandOptions { by: self.caller.actor(actor), idempotency_key })
    }

    /// The config bundle that the path names, be it there or not; `None` when it can name none.
    pub(crate) fn bundle(&self) -> Option<ConfigBundleId> {
        self.segment("config_bundle_id")?.parse().ok()
    }

    fn segment(&self, wanted: &str) -> Option<&str> {
        // A path whose escapes are no UTF-8 names nothing either.
        let mut params = self.path.as_ref().ok()?.iter();
        params.find(|(name, _)| *name == wanted).map(|(_, segment)| segment)
    }

    /// The body, which has to be there.
    pub(crate) async fn json<T: DeserializeOwned + Serialize>(&mut self) -> Result<T, Fault> {
        body::parse(&self.body().await?)
    }

    /// The body, which may be left out.
    pub(crate) async fn json_or_default<T: DeserializeOwned + Serialize + Default>(
        &mut self,
    ) -> Result<T, Fault> {
        let body = self.body().await?;
        if body.is_empty() { Ok(T::default()) } else { body::parse(&body) }
    }

    /// The body's bytes.
    pub(crate) async fn body(&mut self) -> Result<Bytes, Fault> {
        let body = std::mem::take(&mut self.body);
        let body = body::read(&self.head.headers, body, &self.adapter.bounds).await?;
        // It may have taken its time to come.
        self.caller.check_still()?;
        Ok(body)
    }
}

pub(crate) fn invalid_worker_id() -> Fault {
    let message = "a worker's id is 1 to 128 letters, digits and . _ : -";
    Fault::new(ErrorCode::InvalidWorkerId, message)
}
