//! What came of it all, and whether it was enough to have shown anything. Pure.

use musher_protocol::{Decision, Envelope, Payload, TurnOutcome};

use super::decided::{Answered, Fate};
use crate::torture::event::Event;

/// In fewer turns it may be that something never happens.
const ENOUGH_TURNS: u64 = 100;

/// Counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) events: u64,
    pub(super) completed: u64,
    pub(super) interrupted: u64,
    pub(super) failed: u64,
    pub(super) other: u64,
    pub(super) sessions: u64,
    /// Sessions whose program ran: it can be killed before it does, and then there is nothing to record.
    pub(super) ran: u64,
    pub(super) allowed: u64,
    pub(super) denied: u64,
    pub(super) expired: u64,
    pub(super) withdrawn: u64,
    /// What clients were told of their decisions.
    pub(super) made: u64,
    pub(super) repeated: u64,
    pub(super) refused: u64,
    /// What the harness did, which no log can count.
    pub(super) interrupts: u64,
    pub(super) kills: u64,
    pub(super) stops: u64,
    pub(super) cancels: u64,
    pub(super) hangs: u64,
    pub(super) left: u64,
    pub(super) files: u64,
}

impl Tally {
    /// Counts what a log has; what is no envelope is for others to complain about.
    pub(super) fn read(&mut self, events: &[Event]) {
        self.events += events.len() as u64;
        for event in events {
            let Ok(Envelope { payload, .. }) = serde_json::from_str(&event.envelope) else { continue };
            if let Payload::TurnFinished(finished) = payload {
                *match finished.outcome {
                    TurnOutcome::Completed => &mut self.completed,
                    TurnOutcome::Interrupted => &mut self.interrupted,
                    TurnOutcome::Failed => &mut self.failed,
                    TurnOutcome::Refused | TurnOutcome::LimitReached | TurnOutcome::Unknown => {
                        &mut self.other
                    }
                } += 1;
            } else if let Payload::SessionStarted { .. } = payload {
                self.sessions += 1;
            } else if let Payload::SessionEnded(ended) = payload {
                self.ran += u64::from(ended.exit_code.is_some() || ended.signal.is_some());
            } else if let Payload::ApprovalResolved { decision, .. } = payload {
                match decision {
                    Decision::Allow => self.allowed += 1,
                    Decision::Deny => self.denied += 1,
                    Decision::Expired => self.expired += 1,
                    Decision::Withdrawn => self.withdrawn += 1,
                    Decision::Unknown => {}
                }
            }
        }
    }

    /// Counts what clients were told.
    pub(super) fn answers(&mut self, answered: &[Answered]) {
        for fate in answered.iter().filter_map(Answered::fate) {
            *match fate {
                Fate::Made => &mut self.made,
                Fate::Repeated => &mut self.repeated,
                Fate::Refused => &mut self.refused,
            } += 1;
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        let Self { events, completed, interrupted, failed, other: others, sessions, allowed, denied, .. } =
            other;
        let Self { ran, expired, withdrawn, made, repeated, refused, .. } = other;
        let Self { interrupts, kills, stops, cancels, hangs, left, files, .. } = other;
        for (mine, theirs) in [
            (&mut self.events, events),
            (&mut self.completed, completed),
            (&mut self.interrupted, interrupted),
            (&mut self.failed, failed),
            (&mut self.other, others),
            (&mut self.sessions, sessions),
            (&mut self.ran, ran),
            (&mut self.allowed, allowed),
            (&mut self.denied, denied),
            (&mut self.expired, expired),
            (&mut self.withdrawn, withdrawn),
            (&mut self.made, made),
            (&mut self.repeated, repeated),
            (&mut self.refused, refused),
            (&mut self.interrupts, interrupts),
            (&mut self.kills, kills),
            (&mut self.stops, stops),
            (&mut self.cancels, cancels),
            (&mut self.hangs, hangs),
            (&mut self.left, left),
            (&mut self.files, files),
        ] {
            *mine += theirs;
        }
    }

    pub(super) fn figures(&self) -> [(&'static str, u64); 21] {
        [
            ("events in logs", self.events),
            ("sessions", self.sessions),
            ("sessions whose CLI ran", self.ran),
            ("turns completed", self.completed),
            ("turns interrupted", self.interrupted),
            ("turns failed", self.failed),
            ("turns ended otherwise", self.other),
            ("tools allowed", self.allowed),
            ("tools denied", self.denied),
            ("approvals expired", self.expired),
            ("approvals withdrawn", self.withdrawn),
            ("decisions made", self.made),
            ("decisions repeated", self.repeated),
            ("decisions refused", self.refused),
            ("interrupts sent", self.interrupts),
            ("CLIs killed", self.kills),
            ("workers stopped", self.stops),
            ("workers cancelled", self.cancels),
            ("hangs", self.hangs),
            ("processes left", self.left),
            ("files left", self.files),
        ]
    }

    /// What did not happen in enough turns, and without which they have shown nothing.
    pub(super) fn untried(&self) -> Vec<&'static str> {
        let turns = self.completed + self.interrupted + self.failed + self.other;
        let absent = [
            (self.completed, "no turn completed"),
            (self.interrupted, "no turn was interrupted"),
            (self.failed, "no turn failed"),
            (self.denied, "no tool was denied"),
            (self.expired, "no approval expired"),
            (self.withdrawn, "no approval was withdrawn"),
            (self.repeated, "no decision was made twice"),
            (self.refused, "no decision came too late"),
            (self.kills, "no CLI was killed"),
            (self.cancels, "no worker was cancelled"),
        ];
        if turns == 0 {
            return vec!["there was no turn"];
        }
        let is_absent = |(n, what): (u64, &'static str)| (n == 0 && turns >= ENOUGH_TURNS).then_some(what);
        absent.into_iter().filter_map(is_absent).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_in_which_nothing_could_go_wrong_have_shown_nothing() {
        let all = Tally { completed: 97, interrupted: 1, failed: 1, other: 1, ..Tally::default() };
        let tried = Tally {
            denied: 1,
            expired: 1,
            withdrawn: 1,
            repeated: 1,
            refused: 1,
            kills: 1,
            cancels: 1,
            ..all
        };
        let nothing = [
            "no tool was denied",
            "no approval expired",
            "no approval was withdrawn",
            "no decision was made twice",
            "no decision came too late",
            "no CLI was killed",
            "no worker was cancelled",
        ];
        let few = Tally { completed: 1, ..Tally::default() };
        for (tally, expected) in [
            (Tally::default(), vec!["there was no turn"]),
            (few, vec![]),
            (tried, vec![]),
            (all, nothing.to_vec()),
        ] {
            assert_eq!(tally.untried(), expected, "{tally:?}");
        }
    }

    #[test]
    fn a_sum_has_every_figure() {
        let mut one = Tally::default();
        let ones = [
            &mut one.events,
            &mut one.completed,
            &mut one.interrupted,
            &mut one.failed,
            &mut one.other,
            &mut one.sessions,
            &mut one.ran,
            &mut one.allowed,
            &mut one.denied,
            &mut one.expired,
            &mut one.withdrawn,
            &mut one.made,
            &mut one.repeated,
            &mut one.refused,
            &mut one.interrupts,
            &mut one.kills,
            &mut one.stops,
            &mut one.cancels,
            &mut one.hangs,
            &mut one.left,
            &mut one.files,
        ];
        ones.into_iter().for_each(|figure| *figure = 1);
        let mut two = one.clone();
        two.add(&one);
        assert!(two.figures().iter().all(|(_, n)| *n == 2), "{two:?}");
    }
}
