//! What a caller sees of a runtime. Who holds a token with labels lives in a runtime that has only the workers with those
//! labels: every look-up, list and feed goes through here, and nothing else decides who sees what.
//!
//! Numbers over all workers, and what every worker may be made of (backends, profiles, config bundles), are everybody's.

use std::{collections::BTreeMap, time::Duration};

use musher_core::{
    AttentionFilter, CatalogChange, CatalogFeed, Error, Observation, ReadError, Runtime, StoreError, Wall,
    WorkerFilter, stands,
};
use musher_protocol::{AttentionReply, Cursor, Digest, ErrorCode, RuntimeDiagnostic, WorkerId};

use crate::{fault::Fault, token::Caller};

/// A runtime as one caller sees it.
#[derive(Clone, Debug)]
pub(crate) struct View {
    runtime: Runtime,
    /// What a worker must carry to be seen.
    labels: BTreeMap<String, String>,
}

impl View {
    pub(crate) fn of(runtime: &Runtime, caller: &Caller) -> Self {
        Self { runtime: runtime.clone(), labels: caller.labels().clone() }
    }

    /// Requires that a worker is seen. One that is not is as unknown as one that never was.
    pub(crate) async fn require(&self, worker: &WorkerId) -> Result<(), Error> {
        // What is there is found out by what is asked of it.
        if self.labels.is_empty() || !stands(Wall::Labels) {
            return Ok(());
        }
        let unknown = || Error::WorkerNotFound(worker.clone());
        match self.runtime.worker_labels(worker).await {
            Ok(labels) if self.sees(&labels) => Ok(()),
            Ok(_) => Err(unknown()),
            // Whose it is cannot be told.
            Err(Error::Store(error)) if matches!(*error, StoreError::Corrupt { .. }) => Err(unknown()),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn observe(
        &self,
        worker: &WorkerId,
        cursor: Option<Cursor>,
    ) -> Result<Observation, ReadError> {
        self.require(worker).await?;
        self.runtime.observe_worker(worker, cursor).await
    }

    /// Refuses to look for labels that what is seen cannot carry. An empty list would say that there is nothing.
    pub(crate) fn check_labels(&self, asked: &[(String, String)]) -> Result<(), Fault> {
        let is_another_s =
            |(key, value): &(String, String)| self.labels.get(key).is_some_and(|ours| ours != value);
        if asked.iter().any(is_another_s) && stands(Wall::LabelsInLists) {
            return Err(not_of_the_token());
        }
        Ok(())
    }

    /// What was asked for, of what is seen.
    pub(crate) fn narrow(&self, wanted: WorkerFilter) -> WorkerFilter {
        let labels = wanted.labels.into_iter().chain(self.listed()).collect();
        WorkerFilter { labels, ..wanted }
    }

    /// Puts the caller's labels on what it creates.
    pub(crate) fn mark(&self, labels: &mut BTreeMap<String, String>) -> Result<(), Fault> {
        for (key, value) in &self.labels {
            match labels.get(key) {
                Some(asked) if asked != value && stands(Wall::LabelsOfCreated) => {
                    return Err(not_of_the_token().at("/labels"));
                }
                Some(_) => {}
                None => drop(labels.insert(key.clone(), value.clone())),
            }
        }
        Ok(())
    }

    pub(crate) async fn attention(&self, wanted: AttentionFilter) -> Result<AttentionReply, Error> {
        self.runtime.attention(&self.narrow_attention(wanted)).await
    }

    pub(crate) async fn wait_attention(
        &self,
        wanted: AttentionFilter,
        seen: Digest,
        at_most: Duration,
    ) -> Result<AttentionReply, Error> {
        self.runtime.wait_attention(&self.narrow_attention(wanted), seen, at_most).await
    }

    fn narrow_attention(&self, wanted: AttentionFilter) -> AttentionFilter {
        let labels = wanted.labels.into_iter().chain(self.listed()).collect();
        AttentionFilter { labels, ..wanted }
    }

    pub(crate) fn watch_catalog(&self) -> CatalogFeed {
        self.runtime.watch_catalog()
    }

    /// Whether a change of the catalog is of a worker that is seen.
    pub(crate) fn sees_change(&self, change: &CatalogChange) -> bool {
        match change {
            CatalogChange::Worker(worker) => self.sees(&worker.labels),
            CatalogChange::Deleted { labels, .. } => self.sees(labels),
        }
    }

    /// The runtime's own diagnostics, and those of workers that are seen.
    pub(crate) async fn diagnostics(&self) -> Result<Vec<RuntimeDiagnostic>, Error> {
        let mut seen = Vec::new();
        for diagnostic in self.runtime.diagnostics() {
            let is_seen = match &diagnostic.worker_id {
                None => Ok(()),
                Some(worker) => self.require(worker).await,
            };
            match is_seen {
                Ok(()) => seen.push(diagnostic),
                Err(Error::WorkerNotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(seen)
    }

    /// The runtime itself, for what is not of any worker.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The labels of what lists hold.
    fn listed(&self) -> BTreeMap<String, String> {
        if stands(Wall::LabelsInLists) { self.labels.clone() } else { BTreeMap::new() }
    }

    fn sees(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

fn not_of_the_token() -> Fault {
    Fault::new(ErrorCode::Forbidden, "the label is not that of the token")
}
