//! Checks of what a session reports.

use musher_backend::{Event, TurnEnd};

use super::{HASTE, Session, Subject, Turn, WAIT, laws};

/// The session's id is reported first, and nothing happens until it is durable.
pub async fn the_id_comes_before_work(subject: &Subject) {
    let (mut session, recorded) = Session::start_unrecorded(subject).await;
    let input_id = session.input(&subject.prompts.say).await;
    let is_work = |event: &Event| {
        laws::is_content(event) || matches!(event, Event::InputTaken { .. } | Event::TurnEnded(_))
    };
    session.watch(HASTE, is_work).await;
    recorded.send(()).expect("the session waits until its id is recorded");
    let turn = session.turn_end(input_id).await;
    assert!(matches!(turn.end, TurnEnd::Completed { .. }), "an early input is kept: {turn:#?}");
}

/// A turn proves that it has its input before it says or does anything.
pub async fn the_input_is_taken_first(subject: &Subject) {
    for turn in turns(subject).await {
        assert_eq!(laws::taken_first(&turn.input_id, &turn.events), Ok(()), "{turn:#?}");
    }
}

/// A turn has one end, also looking back from the session's.
pub async fn a_turn_ends_once(subject: &Subject) {
    let mut session = Session::start(subject).await;
    let mut events = session.completed_turn(&subject.prompts.say).await.events;
    let (_, late) = session.end(WAIT).await;
    events.extend(late);
    assert_eq!(laws::ended_once(&events), Ok(()), "{events:#?}");
    for turn in turns(subject).await {
        assert_eq!(laws::ended_once(&turn.events), Ok(()), "{turn:#?}");
    }
}

/// The deltas of a text, a thought or a call's arguments are the whole, piece by piece.
pub async fn deltas_add_up_to_the_whole(subject: &Subject) {
    for turn in turns(subject).await {
        assert_eq!(laws::deltas_add_up(&turn.events), Ok(()), "{turn:#?}");
    }
}

/// A block's number stands for one text of its turn.
pub async fn blocks_are_unique_in_a_turn(subject: &Subject) {
    for turn in turns(subject).await {
        assert_eq!(laws::blocks_unique(&turn.events), Ok(()), "{turn:#?}");
    }
}

/// Each call is whole before its result, and has one when its turn completes.
pub async fn tools_answer_their_calls(subject: &Subject) {
    for turn in turns(subject).await {
        assert_eq!(laws::calls_answered(&turn.events), Ok(()), "{turn:#?}");
    }
}

/// A turn that says something and a turn that calls a tool, of one session.
async fn turns(subject: &Subject) -> [Turn; 2] {
    let mut session = Session::start(subject).await;
    let said = session.completed_turn(&subject.prompts.say).await;
    let is_text = |event: &Event| matches!(event, Event::TextDone { text, .. } if !text.is_empty());
    assert!(said.events.iter().any(is_text), "the turn says a text: {said:#?}");
    let called = session.completed_turn(&subject.prompts.call_tool).await;
    let is_result = |event: &Event| matches!(event, Event::ToolResult { .. });
    assert!(called.events.iter().any(is_result), "the turn calls a tool: {called:#?}");
    [said, called]
}
