//! The link as an open turn uses it: whatever it waits for, it hears the runtime.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::{Pin, pin},
    time::Duration,
};

use musher_backend::{ApprovalRequest, Command, Event, Input, Link, LinkClosed, Verdict};
use musher_protocol::ApprovalId;
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// More than anybody says to a running turn; what comes beyond is not taken, and gets a turn of its own.
const MAX_STEERS: usize = 64;

/// A wait that a server asked for may be longer than the runtime bears silence.
const REST: Duration = Duration::from_secs(30);

/// Why a turn does not come to its end.
#[derive(Debug)]
pub(crate) enum Cut {
    /// The runtime asked for it; the session stays.
    Interrupted,
    /// The session is to end, with this much time for it.
    Ended(Duration),
    /// Nobody is there any more.
    Closed(LinkClosed),
}

impl From<LinkClosed> for Cut {
    fn from(closed: LinkClosed) -> Self {
        Self::Closed(closed)
    }
}

#[derive(Debug)]
pub(crate) struct Stage {
    link: Link,
    steers: VecDeque<Input>,
    decisions: BTreeMap<ApprovalId, Verdict>,
    /// An input that came while a rate limit was waited for.
    next_input: Option<Input>,
}

impl Stage {
    pub(crate) fn new(link: Link) -> Self {
        Self { link, steers: VecDeque::new(), decisions: BTreeMap::new(), next_input: None }
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// The next command, for a session without an open turn.
    pub(crate) async fn idle_command(&mut self) -> Command {
        match self.next_input.take() {
            Some(input) => Command::Input(input),
            None => self.link.next_command().await,
        }
    }

    /// Forgets what belonged to the turn that has ended. Steers that are left were not taken, and come again.
    pub(crate) fn clear(&mut self) {
        self.steers.clear();
        self.decisions.clear();
    }

    pub(crate) async fn emit(&self, event: Event) -> Result<(), Cut> {
        Ok(self.link.emit(event).await?)
    }

    pub(crate) async fn emit_with(&self, event: Event, private: Value) -> Result<(), Cut> {
        Ok(self.link.emit_with(event, private).await?)
    }

    pub(crate) async fn diagnose(&self, code: &str, message: String) -> Result<(), Cut> {
        self.emit(Event::Diagnostic { code: code.to_owned(), message }).await
    }

    pub(crate) async fn ask(&self, request: ApprovalRequest) -> Result<ApprovalId, Cut> {
        Ok(self.link.request_approval(request).await?)
    }

    pub(crate) async fn withdraw(&self, approval_id: ApprovalId) -> Result<(), Cut> {
        Ok(self.link.withdraw_approval(approval_id).await?)
    }

    /// Does something, unless the turn is cut: then it is dropped.
    pub(crate) async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Cut> {
        self.during_pinned(pin!(work)).await
    }

    /// Does something, unless the turn is cut: then it is left to the caller.
    pub(crate) async fn during_pinned<T>(
        &mut self,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, Cut> {
        loop {
            tokio::select! {
                biased;
                command = self.link.next_command() => self.hear(command).await?,
                done = work.as_mut() => return Ok(done),
            }
        }
    }

    /// Lets time pass, unless the turn is cut, and says now and then that this is meant.
    pub(crate) async fn rest(&mut self, time: Duration) -> Result<(), Cut> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.during(sleep(left.min(REST))).await?;
            if left > REST {
                self.emit(Event::Alive).await?;
            }
        }
    }

    /// Waits until this question is decided.
    pub(crate) async fn decision(&mut self, approval_id: &ApprovalId) -> Result<Verdict, Cut> {
        loop {
            if let Some(verdict) = self.decisions.remove(approval_id) {
                return Ok(verdict);
            }
            let command = self.link.next_command().await;
            self.hear(command).await?;
        }
    }

    /// Waits for the input that goes on behind a rate limit, or that begins another turn.
    pub(crate) async fn input(&mut self) -> Result<Input, Cut> {
        loop {
            if let Some(input) = self.next_input.take() {
                return Ok(input);
            }
            let command = self.link.next_command().await;
            self.hear(command).await?;
        }
    }

    /// What was said to the running turn since it was last asked for.
    pub(crate) fn take_steers(&mut self) -> Vec<Input> {
        self.steers.drain(..).collect()
    }

    pub(crate) fn has_steers(&self) -> bool {
        !self.steers.is_empty()
    }

    /// Puts an input back that begins another turn.
    pub(crate) fn put_back(&mut self, input: Input) {
        self.next_input = Some(input);
    }

    async fn hear(&mut self, command: Command) -> Result<(), Cut> {
        match command {
            Command::Interrupt => Err(Cut::Interrupted),
            Command::End { grace } => Err(Cut::Ended(grace)),
            Command::Decision(given) => {
                self.decisions.insert(given.approval_id, given.verdict);
                Ok(())
            }
            Command::Input(input) => {
                self.next_input = Some(input);
                Ok(())
            }
            Command::Steer(input) if self.steers.len() < MAX_STEERS => {
                self.steers.push_back(input);
                Ok(())
            }
            Command::Steer(input) => {
                let message = format!(
                    "input {} came behind {MAX_STEERS} others; it waits for the turn's end",
                    input.input_id
                );
                self.diagnose("steer.not_taken", message).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use musher_backend::{DecisionGiven, Report};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_long_rest_shows_signs_of_life() {
        let (link, mut runtime) = Link::pair();
        let before = Instant::now();
        Stage::new(link).rest(Duration::from_secs(100)).await.unwrap();
        assert_eq!(before.elapsed(), Duration::from_secs(100));
        let mut n_signs = 0;
        while let Some(report) = runtime.reports.recv().await {
            assert!(matches!(report, Report::Event(Event::Alive)), "{report:?}");
            n_signs += 1;
        }
        assert_eq!(n_signs, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_is_waited_for_the_runtime_is_heard() {
        let (link, mut runtime) = Link::pair();
        let mut stage = Stage::new(link);
        let approval_id = ApprovalId::mint();
        let given = DecisionGiven { approval_id: approval_id.clone(), verdict: Verdict::allow() };
        for command in [Command::Decision(given), Command::Steer(Input::user("a")), Command::Interrupt] {
            runtime.commands.send(command).await.unwrap();
        }
        let cut = stage.rest(Duration::from_secs(100)).await;
        assert!(matches!(cut, Err(Cut::Interrupted)), "{cut:?}");
        assert_eq!(stage.decision(&approval_id).await.unwrap(), Verdict::allow());
        assert_eq!(stage.take_steers().len(), 1);
        for n in 0..=MAX_STEERS {
            runtime.commands.send(Command::Steer(Input::user(&n.to_string()))).await.unwrap();
        }
        runtime.commands.send(Command::End { grace: Duration::ZERO }).await.unwrap();
        let cut = stage.rest(Duration::from_secs(100)).await;
        assert!(matches!(cut, Err(Cut::Ended(Duration::ZERO))), "{cut:?}");
        assert_eq!(stage.take_steers().len(), MAX_STEERS);
        let Some(Report::Event(Event::Diagnostic { code, .. })) = runtime.reports.recv().await else {
            panic!("one too many is told")
        };
        assert_eq!(code, "steer.not_taken");
    }
}
