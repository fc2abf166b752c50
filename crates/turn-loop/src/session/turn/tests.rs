use musher_backend::{Link, Report, ToolOutput};
use musher_scripted::model_api::{Answer, ModelApi};
use serde_json::json;

use super::*;
use crate::session::scene;

#[tokio::test]
async fn a_turn_that_calls_tools_without_end_is_ended() {
    let call = json!({"call": "look"});
    let api = ModelApi::start(|_| Vec::new(), move |_, _| Answer::stream().event(&call)).await.unwrap();
    let (link, mut runtime) = Link::pair();
    let mut session = scene::session(link, api.url(), Vec::new());
    let mut turn = Turn::new(Input::user("go"));
    turn.rounds = MAX_ROUNDS;
    let end = session.play(&mut turn).await.unwrap();
    let expected = TurnEnd::Completed { stop_reason: StopReason::ToolLimit, vendor_stop_reason: None };
    assert_eq!(end, expected);
    drop(session);
    let mut told = None;
    while let Some(report) = runtime.reports.recv().await {
        if let Report::Event(Event::ToolResult { output, .. }) = report {
            told = Some(output);
        }
    }
    assert_eq!(told, Some(ToolOutput::error("not run: the turn has called tools too often")));
}
