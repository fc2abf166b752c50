//! One turn at a fake that plays a script.

use std::sync::Arc;

use musher_openai_api::Dialect;
use musher_scripted::model_api::{Answer, ModelApi, Received};
use musher_testkit::backend_suite::Turn;

use super::{Scene, api, line, script::text};

pub(crate) const RESPONSES: Dialect = Dialect::Responses;

/// One turn of a session at a fake that plays this script.
pub(crate) async fn play(
    scene: Scene,
    script: impl Fn(&Received, usize) -> Answer + Send + Sync + 'static,
) -> (Turn, Arc<ModelApi>) {
    let api = Arc::new(api(scene.dialect, script).await);
    let mut session = scene.start(&api).await;
    let turn = session.turn("go").await;
    assert_eq!(api.violations(), []);
    (turn, api)
}

/// Plays answers in their order, and says `fine` after the last.
pub(crate) fn in_order(answers: Vec<Answer>) -> impl Fn(&Received, usize) -> Answer + Send + Sync + 'static {
    move |_, number| answers.get(number).cloned().unwrap_or_else(|| text(RESPONSES, "fine"))
}

#[track_caller]
pub(crate) fn check(turn: &Turn, expected: &str) {
    assert_eq!(line(&turn.events), expected);
}
