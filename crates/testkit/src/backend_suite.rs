//! What every backend must do, driven only through its link, as the runtime would.
//!
//! Invariant: nothing here knows a backend; a [`Subject`] brings what is particular.
//! Invariant: nothing here is about speed; every wait ends after [`WAIT`].
//!
//! [`backend_suite!`](crate::backend_suite!) writes one test for each check, so that a backend cannot leave one
//! out by accident:
//!
//! ```
//! use musher_testkit::backend_suite::Subject;
//!
//! fn subject() -> Subject {
//!     todo!("the backend, its launches and its prompts")
//! }
//!
//! musher_testkit::backend_suite!(subject());
//! ```
//!
//! A check gets a subject of its own and may start several sessions with it, one after the other. Approvals that
//! a check is not about are allowed.

mod asking;
mod ending;
mod interrupting;
mod laws;
mod line;
mod processes;
mod reporting;
mod session;

use std::{fmt, sync::Arc, time::Duration};

use musher_backend::{Backend, Launch};

pub use self::{
    asking::{
        a_denied_approval_does_not_hold_the_turn, a_turn_waits_for_its_approval,
        approvals_are_answered_in_any_order,
    },
    ending::{
        a_dropped_session_leaves_no_process, a_session_ends_when_the_runtime_is_gone,
        an_end_during_a_turn_keeps_the_grace, an_end_when_idle_is_a_good_one,
    },
    interrupting::{
        a_hanging_turn_can_be_interrupted, an_interrupt_keeps_the_session,
        an_interrupt_without_a_turn_is_harmless,
    },
    laws::Breach,
    line::line,
    reporting::{
        a_turn_ends_once, blocks_are_unique_in_a_turn, deltas_add_up_to_the_whole, the_id_comes_before_work,
        the_input_is_taken_first, tools_answer_their_calls,
    },
    session::{Session, Turn},
};

/// How long anything may take: long enough for a program's slowest start on a busy machine, and shorter than
/// a [`Prompts::run_long`].
pub const WAIT: Duration = Duration::from_secs(60);

/// Long enough for a backend that does not wait where it must to give itself away.
const HASTE: Duration = Duration::from_millis(300);

/// What the suite is run against.
pub struct Subject {
    /// The backend.
    pub backend: Arc<dyn Backend>,
    /// Makes a launch with a marker that nothing else on the machine has. What must live as long as the
    /// subject, such as a fake server or a directory, may live in here.
    pub launch: Box<dyn Fn() -> Launch + Send + Sync>,
    /// Whether its sessions have processes.
    pub footprint: Footprint,
    /// How to make it do things.
    pub prompts: Prompts,
}

/// Where a backend's sessions run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Footprint {
    /// In processes that carry the launch's marker. They are looked for in `/proc`, so only on Linux.
    Processes,
    /// In the runtime's own process.
    InProcess,
}

/// Inputs, each of which makes the backend do one thing. The default ones are for sessions that are told other things.
#[derive(Clone, Debug, Default)]
pub struct Prompts {
    /// Says a text of some words and completes.
    pub say: String,
    /// Calls at least one tool, waits for its result and completes.
    pub call_tool: String,
    /// Asks for one approval and completes, whatever the decision.
    pub ask: String,
    /// Asks for two approvals before either is decided and completes; none where the backend asks for one at a
    /// time.
    pub ask_twice: Option<String>,
    /// Begins to say or do something and goes on for much longer than [`WAIT`].
    pub run_long: String,
    /// Is taken up, or not even that, and then nothing comes for much longer than [`WAIT`].
    pub hang: String,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backend, launch: _, footprint, prompts } = self;
        f.debug_struct("Subject")
            .field("backend", backend)
            .field("footprint", footprint)
            .field("prompts", prompts)
            .finish_non_exhaustive()
    }
}

/// Writes a test for each check of the suite; the expression makes a fresh
/// [`Subject`](crate::backend_suite::Subject) for each, and may await.
#[macro_export]
macro_rules! backend_suite {
    ($subject:expr) => {
        $crate::backend_suite! { @checks $subject =>
            the_id_comes_before_work
            the_input_is_taken_first
            a_turn_ends_once
            deltas_add_up_to_the_whole
            blocks_are_unique_in_a_turn
            tools_answer_their_calls
            an_interrupt_keeps_the_session
            a_hanging_turn_can_be_interrupted
            an_interrupt_without_a_turn_is_harmless
            a_turn_waits_for_its_approval
            a_denied_approval_does_not_hold_the_turn
            approvals_are_answered_in_any_order
            an_end_when_idle_is_a_good_one
            an_end_during_a_turn_keeps_the_grace
            a_dropped_session_leaves_no_process
            a_session_ends_when_the_runtime_is_gone
        }
    };
    (@checks $subject:expr => $($check:ident)*) => {
        $(
            #[tokio::test]
            async fn $check() {
                let subject = $subject;
                $crate::backend_suite::$check(&subject).await;
            }
        )*
    };
}
