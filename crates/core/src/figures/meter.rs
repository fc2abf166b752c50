//! What the events of a worker's log count for.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use jiff::Timestamp;
use musher_protocol::{CostSource, Decision, Payload, TurnOutcome, Usage, WorkerId};

use super::{Figures, MAX_MODELS, OTHER, Source, TURN_SECONDS, Tally, WAIT_SECONDS, worker_state};
use crate::{
    fold::{Decided, Fold},
    profile::Profile,
};

/// Counts what a worker's log says.
#[derive(Debug)]
pub(crate) struct Meter {
    figures: Arc<Figures>,
    source: Arc<Source>,
}

/// What an event counts for.
#[derive(Debug, PartialEq)]
enum Seen {
    /// A session came to be, or did not.
    Begun(&'static str),
    /// A turn ended.
    Turn { outcome: &'static str, took: Duration },
    /// An approval ended.
    Approval { decision: &'static str, took: Duration },
    /// Something was used.
    Used(Usage),
}

impl Meter {
    pub(crate) fn new(figures: &Arc<Figures>, profile: &Profile) -> Self {
        let source = Source {
            backend: profile.backend.as_str().into(),
            model: profile.model.clone().unwrap_or_else(|| "default".to_owned()),
        };
        Self { figures: Arc::clone(figures), source: Arc::new(source) }
    }

    /// An event that is durable, before the fold knows it.
    pub(crate) fn event(&self, before: &Fold, event: Decided<'_>) {
        self.figures.events.fetch_add(1, Ordering::Relaxed);
        if let Some(seen) = seen(before, event) {
            self.figures.tally().add(&self.source, seen);
        }
    }

    /// A worker was created and is this.
    pub(crate) fn created(&self, worker: &WorkerId, fold: &Fold) {
        let state = worker_state(fold.status, &fold.execution);
        self.figures.census.created(worker, &self.source.backend, state);
    }

    /// A worker of an earlier life was read.
    pub(crate) fn found(&self, worker: &WorkerId, fold: &Fold) {
        let state = worker_state(fold.status, &fold.execution);
        self.figures.census.found(worker, &self.source.backend, state);
    }

    /// A worker that was counted is something else now.
    pub(crate) fn changed(&self, before: &'static str, fold: &Fold) {
        self.figures.census.changed(&self.source.backend, before, worker_state(fold.status, &fold.execution));
    }

    /// A commit took this long.
    pub(crate) fn committed(&self, took: Duration) {
        self.figures.committed(took);
    }
}

/// What an event counts for, by what was known before it.
fn seen(before: &Fold, event: Decided<'_>) -> Option<Seen> {
    let used = || event.payload.increment().map(Seen::Used);
    begun(event.payload).or_else(|| turn(before, event)).or_else(|| approval(before, event)).or_else(used)
}

fn begun(payload: &Payload) -> Option<Seen> {
    if let Payload::SessionStarted(_) = payload {
        return Some(Seen::Begun("established"));
    }
    let Payload::SessionEnded(ended) = payload else { return None };
    ended.aborted.then_some(Seen::Begun("aborted"))
}

fn turn(before: &Fold, event: Decided<'_>) -> Option<Seen> {
    let Payload::TurnFinished(finished) = event.payload else { return None };
    let outcome = match finished.outcome {
        TurnOutcome::Completed => "completed",
        TurnOutcome::Interrupted => "interrupted",
        TurnOutcome::Failed => "failed",
        TurnOutcome::Refused => "refused",
        TurnOutcome::LimitReached => "limit_reached",
        TurnOutcome::Unknown => "unknown",
    };
    Some(Seen::Turn { outcome, took: since(before.turn.as_ref()?.started_at?, event.at) })
}

fn approval(before: &Fold, event: Decided<'_>) -> Option<Seen> {
    let Payload::ApprovalResolved { approval_id, decision, .. } = event.payload else { return None };
    let decision = match decision {
        Decision::Allow => "allow",
        Decision::Deny => "deny",
        Decision::Expired => "expired",
        Decision::Withdrawn => "withdrawn",
        Decision::Unknown => "unknown",
    };
    Some(Seen::Approval { decision, took: since(before.approvals.get(approval_id)?.requested_at, event.at) })
}

/// A clock that was put back makes nothing shorter than nothing.
fn since(begin: Timestamp, end: Timestamp) -> Duration {
    Duration::try_from(end.duration_since(begin)).unwrap_or_default()
}

impl Tally {
    fn add(&mut self, source: &Arc<Source>, seen: Seen) {
        match seen {
            Seen::Begun(outcome) => *self.starts.entry((source.backend.clone(), outcome)).or_default() += 1,
            Seen::Turn { outcome, took } => {
                let turns = self.turns.entry((source.backend.clone(), outcome)).or_default();
                turns.observe(TURN_SECONDS, took.as_secs_f64());
            }
            Seen::Approval { decision, took } => {
                self.waits.entry(decision).or_default().observe(WAIT_SECONDS, took.as_secs_f64());
            }
            Seen::Used(usage) => self.spend(source, &usage),
        }
    }

    fn spend(&mut self, source: &Arc<Source>, usage: &Usage) {
        let is_known = self.spent.contains_key(source) || self.spent.len() < MAX_MODELS;
        let source = if is_known {
            Arc::clone(source)
        } else {
            Arc::new(Source { backend: OTHER.into(), model: OTHER.to_owned() })
        };
        let spent = self.spent.entry(source).or_default();
        let tokens = [
            ("input", usage.input_tokens),
            ("output", usage.output_tokens),
            ("cache_creation_input", usage.cache_creation_input_tokens),
            ("cache_read_input", usage.cache_read_input_tokens),
            ("reasoning", usage.reasoning_tokens),
        ];
        for (kind, n) in tokens {
            if let Some(n) = n {
                *spent.tokens.entry(kind).or_default() += n;
            }
        }
        if let Some(cost) = usage.total_cost_usd {
            let from = match usage.cost_source {
                Some(CostSource::Reported) => "reported",
                Some(CostSource::Estimated) => "estimated",
                Some(CostSource::Unknown) | None => "unknown",
            };
            *spent.dollars.entry(from).or_default() += cost;
        }
    }
}

#[cfg(test)]
mod tests {
    use musher_protocol::WorkerRef;
    use serde_json::json;

    use super::*;
    use crate::figures::{Figure, FigureValue};

    /// What was counted, without what was never seen.
    fn counted(figures: &Figures) -> Vec<String> {
        let shown = |Figure { name, values, .. }: Figure| {
            values.into_iter().map(move |(labels, value)| {
                let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
                let value = match value {
                    FigureValue::Number(n) => n.to_string(),
                    FigureValue::Histogram(seen) => format!("{} in {} s", seen.count(), seen.sum),
                };
                format!("{name} {} {value}", labels.join(" "))
            })
        };
        let all = figures.read().into_iter().flat_map(shown);
        all.filter(|line| !line.starts_with("event")).collect()
    }

    /// Counts events, each a second after the one before.
    fn count(figures: &Arc<Figures>, profile: &Profile, payloads: &[serde_json::Value]) {
        let meter = Meter::new(figures, profile);
        let worker_ref = json!({ "runtime_id": "rt_1", "worker_id": "wrk_1" });
        let worker_ref: WorkerRef = serde_json::from_value(worker_ref).unwrap();
        let mut fold = Fold::new(worker_ref, Timestamp::UNIX_EPOCH);
        for (n, payload) in (1..).zip(payloads) {
            let payload: Payload = serde_json::from_value(payload.clone()).unwrap();
            let event_id = musher_protocol::EventId::mint();
            let at = Timestamp::from_second(n).unwrap();
            let event = Decided { event_id: &event_id, at, payload: &payload };
            meter.event(&fold, event);
            fold.apply(event);
        }
    }

    fn usage(cost: Option<f64>) -> serde_json::Value {
        json!({
            "type": "usage", "turn_id": "t", "input_tokens": 10, "output_tokens": 3,
            "cache_creation_input_tokens": null, "cache_read_input_tokens": 4, "reasoning_tokens": 0,
            "total_cost_usd": cost, "cost_source": cost.map(|_| "estimated"),
        })
    }

    #[test]
    fn a_log_counts_for_sessions_turns_approvals_tokens_and_costs() {
        let figures = Arc::<Figures>::default();
        let profile = Profile { model: Some("m".to_owned()), ..Profile::of("b") };
        let asked = json!({
            "type": "approval_requested", "approval_id": "a", "worker_id": "wrk_1", "turn_id": "t", "kind": "tool",
            "tool": "shell", "input": {}, "state": "pending", "requested_at": "1970-01-01T00:00:03Z",
            "deadline_at": "1970-01-01T00:10:00Z",
        });
        let resolved = json!({
            "type": "approval_resolved", "approval_id": "a", "decision": "allow", "by": { "token": "t" },
        });
        let finished = json!({
            "type": "turn_finished", "turn_id": "t", "outcome": "completed", "text": "done",
            "usage": Usage::zero(), "tool_may_have_run": false,
        });
        let log = [
            json!({
                "type": "session_started", "session_id": "s", "backend": "b", "resumed": false, "node": "n",
            }),
            json!({ "type": "turn_started", "turn_id": "t", "input_ids": [], "cause": "input" }),
            asked,
            usage(Some(0.5)),
            usage(None),
            resolved,
            finished,
            json!({
                "type": "session_ended", "exit_ok": false, "aborted": true, "rate_limited": false,
                "usage": Usage::zero(), "survivors": [],
            }),
        ];
        count(&figures, &profile, &log);
        let expected = [
            "worker_starts backend=b outcome=aborted 1",
            "worker_starts backend=b outcome=established 1",
            "turn_duration backend=b outcome=completed 1 in 5 s",
            "approval_wait decision=allow 1 in 3 s",
            "tokens backend=b model=m type=cache_read_input 8",
            "tokens backend=b model=m type=input 20",
            "tokens backend=b model=m type=output 6",
            "tokens backend=b model=m type=reasoning 0",
            "cost backend=b model=m source=estimated 0.5",
        ];
        assert_eq!(counted(&figures), expected);
        assert_eq!(figures.events.load(Ordering::Relaxed), 8);
    }

    #[test]
    fn models_beyond_the_bound_are_counted_together() {
        let figures = Arc::<Figures>::default();
        for n in 0..MAX_MODELS + 3 {
            let profile = Profile { model: Some(format!("m{n}")), ..Profile::of("b") };
            count(&figures, &profile, &[usage(None)]);
        }
        let lines = counted(&figures);
        assert_eq!(lines.len(), (MAX_MODELS + 1) * 4);
        assert!(lines.contains(&"tokens backend=other model=other type=input 30".to_owned()), "{lines:?}");
    }
}
