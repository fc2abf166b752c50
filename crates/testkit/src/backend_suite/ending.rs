//! Checks of how sessions end.

use std::time::Duration;

use musher_backend::{Event, TurnEnd};
use tokio::time::Instant;

use super::{Session, Subject};

/// What the runtime gives by default.
const GRACE: Duration = Duration::from_secs(10);
/// What it adds before it drops the future; no more, for a stop must not hang.
const MARGIN: Duration = Duration::from_secs(5);

/// An idle session ends as it should, before its first turn and after one, and leaves nothing.
pub async fn an_end_when_idle_is_a_good_one(subject: &Subject) {
    for n_turns in 0..2 {
        let mut session = Session::start(subject).await;
        for _ in 0..n_turns {
            session.completed_turn(&subject.prompts.say).await;
        }
        let (outcome, late) = session.end(GRACE).await;
        assert!(outcome.exit_ok && !outcome.aborted, "{outcome:?}");
        assert!(
            !late.iter().any(|event| matches!(event, Event::TurnEnded(_))),
            "no turn was open: {late:#?}"
        );
    }
}

/// A session whose turn is open ends within the grace, and says at most once that the turn was interrupted.
pub async fn an_end_during_a_turn_keeps_the_grace(subject: &Subject) {
    for prompt in [&subject.prompts.run_long, &subject.prompts.hang] {
        let mut session = Session::start(subject).await;
        session.input(prompt).await;
        if prompt == &subject.prompts.run_long {
            session.content().await;
        }
        let asked_at = Instant::now();
        let (outcome, events) = session.end(GRACE).await;
        assert!(asked_at.elapsed() < GRACE + MARGIN, "the session took {:?} to end", asked_at.elapsed());
        assert!(!outcome.aborted, "the session had been established: {outcome:?}");
        let ends = events
            .iter()
            .filter_map(|event| if let Event::TurnEnded(end) = event { Some(end.clone()) } else { None });
        let ends: Vec<_> = ends.collect();
        assert!(ends.is_empty() || ends == [TurnEnd::Interrupted], "{ends:?}");
    }
}

/// Dropping the session's future, the last resort, ends its processes at once.
pub async fn a_dropped_session_leaves_no_process(subject: &Subject) {
    let mut session = Session::start(subject).await;
    session.input(&subject.prompts.run_long).await;
    session.content().await;
    session.assert_marked().await;
    session.drop_future().await;
}

/// A session whose runtime is gone ends by itself, idle or not, and leaves nothing.
pub async fn a_session_ends_when_the_runtime_is_gone(subject: &Subject) {
    let session = Session::start(subject).await;
    session.let_go().await;
    let mut session = Session::start(subject).await;
    session.input(&subject.prompts.run_long).await;
    session.content().await;
    session.let_go().await;
}
