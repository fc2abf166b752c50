//! The link as an open turn uses it: every wait may be cut.

use std::time::Duration;

use musher_backend::{ApprovalRequest, Command, Event, Input, Link, LinkClosed};
use musher_protocol::{ApprovalId, TurnError};
use tokio::time::sleep;

/// Why a turn does not come to its end.
pub(crate) enum Cut {
    /// The runtime asked for it; the session stays.
    Interrupted,
    /// The session is to end.
    Ended,
    /// The runtime has ended the turn while it waited for a rate limit, and begins another.
    Replaced(Input),
    /// The script says that it fails.
    Failed(TurnError),
    /// The script says that its session breaks off.
    Crashed,
    /// Nobody is there any more.
    Closed(LinkClosed),
}

impl From<LinkClosed> for Cut {
    fn from(closed: LinkClosed) -> Self {
        Self::Closed(closed)
    }
}

pub(crate) struct Stage<'a> {
    link: &'a mut Link,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(link: &'a mut Link) -> Self {
        Self { link }
    }

    pub(crate) async fn emit(&self, event: Event) -> Result<(), Cut> {
        Ok(self.link.emit(event).await?)
    }

    /// Asks all of these, and returns when each is decided. What was decided shows in the runtime's own event.
    pub(crate) async fn ask(&mut self, requests: &[ApprovalRequest]) -> Result<(), Cut> {
        let mut open = Vec::with_capacity(requests.len());
        for request in requests {
            open.push(self.link.request_approval(request.clone()).await?);
        }
        let decided = self.decisions(&mut open).await;
        // Only a turn that was cut leaves any, and then nobody needs their answers.
        for approval_id in open {
            self.link.withdraw_approval(approval_id).await?;
        }
        decided
    }

    /// Lets time pass, unless the turn is cut. No time at all still obeys what has been asked already.
    pub(crate) async fn pause(&mut self, time: Duration) -> Result<(), Cut> {
        let over = async {
            // A sleep of nothing would wait for the timer's next tick, which is an age between two words.
            if !time.is_zero() {
                sleep(time).await;
            }
        };
        tokio::pin!(over);
        loop {
            tokio::select! {
                biased;
                command = self.command() => { command?; }
                () = &mut over => return Ok(()),
            }
        }
    }

    /// The next command that does not cut the turn. Cancel safe, as [`Link::next_command`] is.
    ///
    /// Callers let go of one that they do not wait for: the runtime steers no scripted worker and sends no
    /// input into an open turn that is not rate limited.
    pub(crate) async fn command(&mut self) -> Result<Command, Cut> {
        match self.link.next_command().await {
            Command::Interrupt => Err(Cut::Interrupted),
            Command::End { .. } => Err(Cut::Ended),
            command @ (Command::Input(_) | Command::Steer(_) | Command::Decision(_)) => Ok(command),
        }
    }

    async fn decisions(&mut self, open: &mut Vec<ApprovalId>) -> Result<(), Cut> {
        while !open.is_empty() {
            if let Command::Decision(given) = self.command().await? {
                open.retain(|approval_id| *approval_id != given.approval_id);
            }
        }
        Ok(())
    }
}
