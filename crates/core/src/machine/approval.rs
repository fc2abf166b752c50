//! Approvals: asked by the worker, answered by the profile or a person, denied when their time is up.

use musher_backend::{self as backend, ApprovalRequest, DecisionGiven, Verdict};
use musher_protocol::{
    Actor, Approval, ApprovalId, ApprovalKind, ApprovalState, Decision, Payload, Remember,
};

use super::{Answer, Refusal, Step, Token, later, turn::CUT_OFF_QUESTION};
use crate::{profile::ApprovalMode, redaction::Hidden};

/// A worker that has asked this often without an answer is out of hand; what it asks then is denied.
const MAX_OPEN: usize = 64;

impl Step<'_> {
    pub(super) fn approval_requested(&mut self, request: ApprovalRequest, hidden: Hidden, token: Token) {
        self.state.last_activity = self.now;
        let approval_id = ApprovalId::mint();
        let policy = self.state.spec.profile.approval;
        let Some(turn) = &self.state.fold.turn else {
            return self.asked_outside_turn(approval_id, &request, token);
        };
        let kind = request.kind;
        let approval = Approval {
            approval_id: approval_id.clone(),
            worker_id: self.state.fold.worker_ref.worker_id.clone(),
            turn_id: turn.id.clone(),
            tool_call_id: request.tool_call_id,
            kind,
            tool: request.tool,
            input: request.input,
            blob: None,
            redacted: hidden.is_redacted(),
            questions: request.questions,
            suggestions: request.suggestions,
            state: ApprovalState::Pending,
            requested_at: self.now,
            deadline_at: later(self.now, policy.deadline),
            decision: None,
            message: None,
            by: None,
        };
        let full = self.state.fold.approvals.len() >= MAX_OPEN;
        let ends = self.state.is_ending() || !self.state.is_live();
        let remembered = self.state.fold.remembers(&approval);
        self.state.hidden.insert(approval_id.clone(), hidden);
        self.record(Payload::ApprovalRequested(Box::new(approval)));
        self.answer(token, Ok(Answer::Approval(approval_id.clone())));
        let (verdict, rule) = match (policy.mode, kind) {
            // Nothing new begins after the intent to end is in the log.
            _ if ends => (Verdict::deny("the turn is being ended"), "ending"),
            _ if full => (Verdict::deny("too many approvals are open"), "bound"),
            _ if remembered => (Verdict::allow(), "remembered"),
            (ApprovalMode::Ask, _) => return,
            (ApprovalMode::Allow, ApprovalKind::Question) => {
                (Verdict::deny("nobody is here to answer; decide yourself"), "profile")
            }
            (ApprovalMode::Allow, ApprovalKind::Tool | ApprovalKind::Plan | ApprovalKind::Unknown) => {
                (Verdict::allow(), "profile")
            }
            (ApprovalMode::Deny, _) => {
                (Verdict::deny("the profile of this worker denies what needs leave"), "profile")
            }
        };
        self.decided(approval_id, verdict.clone(), verdict, None, None, Actor::rule(rule));
    }

    /// Work behind a turn's end asks: there is no turn that a person could be asked in, so the profile answers.
    fn asked_outside_turn(&mut self, approval_id: ApprovalId, request: &ApprovalRequest, token: Token) {
        let allows = self.state.spec.profile.approval.mode == ApprovalMode::Allow
            && request.kind != ApprovalKind::Question
            && !self.state.is_ending()
            && self.state.is_live();
        let (how, verdict) = if allows {
            ("allowed by the profile", Verdict::allow())
        } else {
            ("denied", Verdict::deny("no turn is open, so nobody can be asked"))
        };
        let message = format!("`{}` was asked for while no turn was open; it was {how}", request.tool);
        self.record(Payload::Diagnostic { code: "approval.outside_turn".to_owned(), message });
        self.answer(token, Ok(Answer::Approval(approval_id.clone())));
        self.give(approval_id, verdict);
    }

    pub(super) fn approval_withdrawn(&mut self, approval_id: ApprovalId) {
        self.state.last_activity = self.now;
        if self.state.fold.approvals.contains_key(&approval_id) {
            // A session that is ended with its runtime takes back what it asked, which is not the worker's own doing.
            let why = if self.state.is_cut_off() {
                CUT_OFF_QUESTION
            } else {
                "the worker no longer needs the answer"
            };
            self.resolve(approval_id, Decision::Withdrawn, why);
        }
    }

    pub(super) fn decide(
        &mut self,
        approval_id: &ApprovalId,
        verdict: Verdict,
        note: Option<String>,
        remember: Option<Remember>,
        by: Actor,
        token: Token,
    ) {
        let allows = matches!(verdict, Verdict::Allow { .. });
        let open = self.state.fold.approvals.contains_key(approval_id);
        if open && allows && self.state.store_full {
            return self.answer(token, Err(Refusal::StoreFull));
        }
        if !open || (allows && self.state.is_ending()) {
            return self.answer(token, Err(Refusal::ApprovalNotPending(approval_id.clone())));
        }
        let told =
            match self.state.hidden.get(approval_id).cloned().unwrap_or_default().uncover(verdict.clone()) {
                Ok(told) => told,
                Err(unclear) => return self.answer(token, Err(Refusal::UnclearMark(unclear))),
            };
        self.state.last_activity = self.now;
        self.decided(approval_id.clone(), verdict, told, note, remember, by);
        self.answer(token, Ok(Answer::Done { event_id: None }));
    }

    pub(super) fn expire_approvals(&mut self) {
        let open = self.state.fold.approvals.values();
        let expired: Vec<_> =
            open.filter(|open| open.deadline_at <= self.now).map(|open| open.approval_id.clone()).collect();
        for approval_id in expired {
            let message = "nobody decided in time";
            self.resolve(approval_id.clone(), Decision::Expired, message);
            self.give(approval_id, Verdict::deny(message));
            self.state.last_activity = self.now;
        }
    }

    /// Ends an approval that nobody decided.
    pub(super) fn resolve(&mut self, approval_id: ApprovalId, decision: Decision, message: &str) {
        self.state.hidden.remove(&approval_id);
        let by = Actor::rule(if decision == Decision::Expired { "deadline" } else { "worker" });
        self.record(Payload::ApprovalResolved {
            approval_id,
            decision,
            message: Some(message.to_owned()),
            updated_input: None,
            blob: None,
            answers: None,
            interrupt: false,
            remember: None,
            by,
        });
    }

    /// The log has what was said about what is shown, the worker is told what that means to it.
    fn decided(
        &mut self,
        approval_id: ApprovalId,
        said: Verdict,
        told: Verdict,
        note: Option<String>,
        remember: Option<Remember>,
        by: Actor,
    ) {
        let (decision, message, updated_input, answers, interrupt) = match said {
            Verdict::Allow { updated_input, answers } => {
                (Decision::Allow, note, updated_input, answers, false)
            }
            Verdict::Deny { message, interrupt } => (Decision::Deny, Some(message), None, None, interrupt),
        };
        self.record(Payload::ApprovalResolved {
            approval_id: approval_id.clone(),
            decision,
            message,
            updated_input,
            blob: None,
            answers,
            interrupt,
            remember,
            by,
        });
        self.state.hidden.remove(&approval_id);
        self.give(approval_id, told);
        if interrupt {
            self.end_turn();
        }
    }

    fn give(&mut self, approval_id: ApprovalId, verdict: Verdict) {
        if self.state.session.is_some() {
            self.tell(backend::Command::Decision(DecisionGiven { approval_id, verdict }));
        }
    }
}
