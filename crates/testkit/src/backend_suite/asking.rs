//! Checks of approvals.

use musher_backend::{Event, TurnEnd, Verdict};

use super::{HASTE, Session, Subject};

/// A turn that asks goes on only when it is allowed to, and then completes.
pub async fn a_turn_waits_for_its_approval(subject: &Subject) {
    let mut session = Session::start(subject).await;
    let input_id = session.input(&subject.prompts.ask).await;
    let (approval_id, request) = session.approval().await;
    assert!(!request.tool.is_empty(), "an approval names its tool: {request:?}");
    let goes_on = |event: &Event| matches!(event, Event::ToolResult { .. } | Event::TurnEnded(_));
    session.watch(HASTE, goes_on).await;
    session.decide(approval_id, Verdict::allow()).await;
    let turn = session.turn_end(input_id).await;
    assert!(matches!(turn.end, TurnEnd::Completed { .. }), "{turn:#?}");
}

/// A turn whose approval is denied goes on without what it had asked for.
pub async fn a_denied_approval_does_not_hold_the_turn(subject: &Subject) {
    let mut session = Session::start(subject).await;
    let input_id = session.input(&subject.prompts.ask).await;
    let (approval_id, request) = session.approval().await;
    session.decide(approval_id, Verdict::deny("not today")).await;
    let turn = session.turn_end(input_id).await;
    assert!(matches!(turn.end, TurnEnd::Completed { .. }), "{turn:#?}");
    let ran = |event: &Event| {
        matches!(event, Event::ToolResult { tool_call_id, output }
            if !output.is_error && request.tool_call_id.as_ref() == Some(tool_call_id))
    };
    assert!(!turn.events.iter().any(ran), "a denied tool does not run: {turn:#?}");
}

/// Two approvals of one turn are answered in reverse order.
pub async fn approvals_are_answered_in_any_order(subject: &Subject) {
    // Such a backend never has two open, and so no order to get wrong.
    let Some(ask_twice) = &subject.prompts.ask_twice else { return };
    let mut session = Session::start(subject).await;
    let input_id = session.input(ask_twice).await;
    let (first, _) = session.approval().await;
    let (second, _) = session.approval().await;
    session.decide(second, Verdict::allow()).await;
    session.decide(first, Verdict::allow()).await;
    let turn = session.turn_end(input_id).await;
    assert!(matches!(turn.end, TurnEnd::Completed { .. }), "{turn:#?}");
}
