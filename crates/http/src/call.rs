//! One request that passed the walls and the gate, and the ways to read it.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{RawPathParams, rejection::RawPathParamsRejection},
};
use bytes::Bytes;
use http::request;
use musher_protocol::{ApprovalId, Digest, ErrorCode, WorkerId};
use serde::de::DeserializeOwned;

use crate::{body, fault::Fault, query, router::Adapter, token::Caller};

/// One request that passed the walls and the gate.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) adapter: Arc<Adapter>,
    pub(crate) caller: Caller,
    pub(crate) head: request::Parts,
    pub(crate) path: Result<RawPathParams, RawPathParamsRejection>,
    pub(crate) body: Body,
}

impl Call {
    /// The query string.
    pub(crate) fn query<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        query::parse(&self.head.uri)
    }

    /// The worker that the path names, be it there or not.
    pub(crate) fn worker(&self) -> Result<WorkerId, Fault> {
        self.segment("worker_id").and_then(|text| text.parse().ok()).ok_or_else(invalid_worker_id)
    }

    /// The large body that the path names, be it there or not; `None` when it can name none.
    pub(crate) fn digest(&self) -> Option<Digest> {
        self.segment("digest")?.parse().ok()
    }

    /// The approval that the path names, be it there or not; `None` when it can name none.
    pub(crate) fn approval(&self) -> Option<ApprovalId> {
        self.segment("approval_id")?.parse().ok()
    }

    fn segment(&self, wanted: &str) -> Option<&str> {
        // A path whose escapes are no UTF-8 names nothing either.
        let mut params = self.path.as_ref().ok()?.iter();
        params.find(|(name, _)| *name == wanted).map(|(_, segment)| segment)
    }

    /// The body, which has to be there.
    pub(crate) async fn json<T: DeserializeOwned>(&mut self) -> Result<T, Fault> {
        body::parse(&self.body().await?)
    }

    /// The body, which may be left out.
    pub(crate) async fn json_or_default<T: DeserializeOwned + Default>(&mut self) -> Result<T, Fault> {
        let body = self.body().await?;
        if body.is_empty() { Ok(T::default()) } else { body::parse(&body) }
    }

    async fn body(&mut self) -> Result<Bytes, Fault> {
        let body = std::mem::take(&mut self.body);
        body::read(&self.head.headers, body, &self.adapter.bounds).await
    }
}

pub(crate) fn invalid_worker_id() -> Fault {
    let message = "a worker's id is 1 to 128 letters, digits and . _ : -";
    Fault::new(ErrorCode::InvalidWorkerId, message)
}
