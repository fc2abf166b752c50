//! Checks of interrupts.

use std::time::Duration;

use musher_backend::{Event, TurnEnd};

use super::{HASTE, Session, Subject, WAIT, laws};

/// An interrupt ends a long turn, and the session goes on with the next input.
pub async fn an_interrupt_keeps_the_session(subject: &Subject) {
    let mut session = Session::start(subject).await;
    let input_id = session.input(&subject.prompts.run_long).await;
    session.content().await;
    session.interrupt().await;
    let turn = session.turn_end(input_id).await;
    assert_eq!(turn.end, TurnEnd::Interrupted, "{turn:#?}");
    session.completed_turn(&subject.prompts.say).await;
}

/// An interrupt ends a turn that says nothing at all, too, whether it comes at once or later.
pub async fn a_hanging_turn_can_be_interrupted(subject: &Subject) {
    let mut session = Session::start(subject).await;
    for later in [Duration::ZERO, HASTE] {
        let input_id = session.input(&subject.prompts.hang).await;
        session.watch(later, laws::is_content).await;
        session.interrupt().await;
        let turn = session.turn_end(input_id).await;
        assert_eq!(turn.end, TurnEnd::Interrupted, "{turn:#?}");
    }
    session.completed_turn(&subject.prompts.say).await;
}

/// An interrupt that comes when no turn is open, before the first one and just after one, means nothing.
pub async fn an_interrupt_without_a_turn_is_harmless(subject: &Subject) {
    let mut session = Session::start(subject).await;
    for _ in 0..2 {
        session.interrupt().await;
        session.completed_turn(&subject.prompts.say).await;
    }
    session.interrupt().await;
    let (outcome, late) = session.end(WAIT).await;
    assert!(outcome.exit_ok, "{outcome:?}");
    assert!(!late.iter().any(|event| matches!(event, Event::TurnEnded(_))), "{late:#?}");
}
