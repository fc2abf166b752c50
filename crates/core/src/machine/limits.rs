//! Limits: what is used up, when time is, and what happens then.

use std::time::Duration;

use jiff::Timestamp;
use musher_protocol::{Actor, Intent, LimitKind, Payload, RunState, WorkerLimits};

use super::{Answer, Refusal, State, Step, Token, later, turn::Finish};
use crate::profile::Limits;

/// What tasks get to end by themselves when their time behind a turn's end is up.
const BACKGROUND_GRACE: Duration = Duration::from_secs(5);

impl State {
    /// What holds now: the profile's limits, and what was raised since.
    pub(super) fn limits(&self) -> Limits {
        self.spec.profile.limits.with(&self.fold.raised)
    }

    /// The limit over the worker's life that is used up: nothing new begins.
    pub(super) fn spent(&self, now: Timestamp) -> Option<LimitKind> {
        let turns = self.limits().turns;
        let by_time = || self.is_time_over(now).then_some(LimitKind::WallSecs);
        let by_turns = || turns.is_some_and(|most| self.fold.turns >= most).then_some(LimitKind::Turns);
        self.overspent().or_else(by_time).or_else(by_turns)
    }

    /// The limit of what the vendor counts that is used up.
    fn overspent(&self) -> Option<LimitKind> {
        let (limits, usage) = (self.limits(), &self.fold.usage);
        let tokens = self.fold.known_tokens();
        let cost_usd = usage.total_cost_usd.or(usage.known_cost_usd).unwrap_or_default();
        if limits.tokens.is_some_and(|most| tokens >= most) {
            Some(LimitKind::Tokens)
        } else if limits.cost_usd.is_some_and(|most| cost_usd >= most) {
            Some(LimitKind::CostUsd)
        } else {
            None
        }
    }

    fn is_time_over(&self, now: Timestamp) -> bool {
        let is_over = |wall| self.fold.ran >= wall;
        self.wall_at().map_or_else(|| self.limits().wall.is_some_and(is_over), |at| at <= now)
    }

    /// When the worker's time is over, while it passes: a task's since it was given, that of others while they run.
    fn wall_at(&self) -> Option<Timestamp> {
        let wall = self.limits().wall?;
        match (&self.spec.intent, self.fold.running_since) {
            (Intent::Task { .. }, _) => Some(later(self.fold.created_at, wall)),
            (_, Some(since)) => Some(later(since, wall.saturating_sub(self.fold.ran))),
            (_, None) => None,
        }
    }

    /// When the open turn, or what the last one left running, has to be ended for its time.
    pub(super) fn time_is_up_at(&self) -> Option<Timestamp> {
        let runs = self.fold.turn.as_ref().is_some_and(|turn| turn.limit.is_none());
        let wall = self.wall_at().filter(|_| runs);
        wall.into_iter().chain(self.background_at()).min().filter(|_| !self.is_ending())
    }

    /// When the tasks that a turn left running have lived on for as long as they may.
    fn background_at(&self) -> Option<Timestamp> {
        let execution = &self.fold.execution;
        let lives_on = execution.run_state == RunState::Background && self.is_live();
        let limit = self.limits().background.filter(|_| lives_on)?;
        Some(later(execution.since_at, limit))
    }
}

impl Step<'_> {
    /// Raises limits; what waits for that begins.
    pub(super) fn raise_limits(&mut self, limits: WorkerLimits, by: Actor, token: Token) {
        let answer = match self.refused_raise(&limits) {
            Some(refusal) => Err(refusal),
            None => {
                let event_id = Some(self.record(Payload::LimitsRaised { limits, by }));
                self.begin_turn();
                Ok(Answer::Done { event_id })
            }
        };
        self.answer(token, answer);
    }

    fn refused_raise(&self, limits: &WorkerLimits) -> Option<Refusal> {
        let state = &self.state;
        if state.fold.status.is_terminal() || state.end.is_some() {
            return Some(Refusal::NotRunning);
        }
        if state.draining {
            return Some(Refusal::Draining);
        }
        let present = state.limits().shown();
        let pairs = limits.places().into_iter().zip(present.places());
        let lowers = |wanted: f64, present: Option<f64>| present.is_none_or(|present| wanted < present);
        for ((place, wanted), (_, present)) in pairs {
            if wanted.is_some_and(|wanted| lowers(wanted, present)) {
                return Some(Refusal::LowersLimit { place, present });
            }
        }
        state.store_full.then_some(Refusal::StoreFull)
    }

    /// Ends the turn for a limit, once.
    pub(super) fn limit_reached(&mut self, which: LimitKind) {
        self.record(Payload::LimitReached { which });
        self.end_turn();
        // A parked turn has nobody to ask.
        if self.state.parked.is_some() {
            self.finish_turn(Finish::interrupted());
        }
    }

    /// The vendor counted something.
    pub(super) fn check_usage(&mut self) {
        let may_end = !self.state.is_ending() && self.state.fold.turn.is_some();
        if let Some(which) = self.state.overspent().filter(|_| may_end) {
            self.limit_reached(which);
        }
    }

    /// The model called a tool.
    pub(super) fn check_tool_rounds(&mut self) {
        let most = self.state.limits().tool_rounds;
        let rounds = self.state.fold.turn.as_ref().map_or(0, |turn| turn.tool_rounds);
        if most.is_some_and(|most| rounds > most) && !self.state.is_ending() {
            self.limit_reached(LimitKind::ToolRounds);
        }
    }

    /// Work that woke by itself began a turn, which no input could have begun.
    pub(super) fn check_woken(&mut self) {
        let limits = self.state.limits();
        let too_many = limits.turns.is_some_and(|most| self.state.fold.turns > most);
        match self.state.spent(self.now) {
            Some(LimitKind::Turns) if !too_many => {}
            Some(which) if !self.state.is_ending() => self.limit_reached(which),
            Some(_) | None => {}
        }
    }

    pub(super) fn time_is_up(&mut self) {
        if self.state.fold.turn.is_some() {
            return self.limit_reached(LimitKind::WallSecs);
        }
        let message = "the tasks that the last turn left running were ended: their time was up".to_owned();
        self.record(Payload::Diagnostic { code: "background.limit".to_owned(), message });
        self.end_session(BACKGROUND_GRACE);
    }
}
