//! What is stored, as replies show it.

use musher_protocol::{TranscriptPage, WorkerDetail, WorkerRef, WorkerSummary};

use crate::store::{TranscriptSlice, WorkerRow};

pub(crate) fn detail(row: &WorkerRow, worker_ref: WorkerRef) -> WorkerDetail {
    let (spec, facts) = (&row.spec, &row.facts);
    WorkerDetail {
        worker_id: worker_ref.worker_id.clone(),
        worker_ref,
        display_name: spec.display_name.clone(),
        labels: spec.labels.clone(),
        intent: spec.intent.clone(),
        intent_kind: spec.intent.kind(),
        profile: spec.profile_name.clone(),
        config_bundle: spec.config_bundle.clone(),
        backend: spec.profile.backend.clone(),
        capabilities: spec.capabilities.iter().cloned().collect(),
        limits: spec.profile.limits.with(&facts.raised).shown(),
        workspaces: spec.workspaces.clone(),
        mounts: spec.mounts.iter().map(|mount| mount.shown.clone()).collect(),
        status: facts.status,
        execution: facts.execution.clone(),
        session_id: facts.session_id.clone(),
        node: facts.node.clone(),
        transcript_len: facts.transcript_len,
        queued_inputs: facts.queued_inputs,
        open_approvals: facts.approvals.len() as u64,
        usage: facts.usage.clone(),
        outcome: facts.outcome.clone(),
        cursor: row.head.cursor(&row.worker_id),
        last_event_id: row.last_event_id.clone(),
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

pub(crate) fn summary(row: &WorkerRow, worker_ref: WorkerRef) -> WorkerSummary {
    let WorkerDetail {
        worker_ref,
        worker_id,
        display_name,
        labels,
        intent: _,
        intent_kind,
        profile,
        config_bundle: _,
        backend,
        capabilities: _,
        limits: _,
        workspaces: _,
        mounts: _,
        status,
        execution,
        session_id: _,
        node: _,
        transcript_len,
        queued_inputs,
        open_approvals,
        usage,
        outcome,
        cursor,
        last_event_id,
        created_at,
        updated_at,
    } = detail(row, worker_ref);
    WorkerSummary {
        worker_ref,
        worker_id,
        display_name,
        labels,
        intent_kind,
        profile,
        backend,
        status,
        execution,
        transcript_len,
        queued_inputs,
        open_approvals,
        usage,
        outcome,
        cursor,
        last_event_id,
        created_at,
        updated_at,
    }
}

pub(crate) fn transcript(slice: TranscriptSlice, worker_ref: WorkerRef, limit: usize) -> TranscriptPage {
    let end = slice.start + slice.entries.len() as u64;
    TranscriptPage {
        cursor: slice.head.cursor(&worker_ref.worker_id),
        worker_ref,
        start: slice.start,
        limit: limit as u64,
        total_items: slice.total,
        items: slice.entries,
        next_start: (end < slice.total).then_some(end),
    }
}
