//! Work that goes on behind a turn's end, on the newest and the oldest version.

mod marked;
#[macro_use]
mod stage;

use musher_backend::{Command, Event, Launch, TurnEnd};
use tokio::time::{Instant, timeout_at};

use self::{
    marked::marked,
    stage::{LATEST, OLD, Run, Stage, run::PATIENCE},
};

/// A command in the background that ends when a file appears.
const WAITING: &str =
    r#"@@tool:Bash|{"command":"until [ -e go ]; do sleep 0.05; done","run_in_background":true}@@"#;
const SUBAGENT: &str =
    r#"@@tool:Task|{"description":"d","prompt":"sub prompt","subagent_type":"general-purpose"}@@"#;
/// One that needs leave for what it does.
const ASKING_SUBAGENT: &str = concat!(
    r#"@@tool:Task|{"description":"d","prompt":"\u0040\u0040bash:touch made\u0040\u0040","#,
    r#""subagent_type":"general-purpose"}@@"#
);

async fn a_task_that_outlives_its_turn_is_told_and_wakes_the_model_when_it_ends(variable: &str) {
    let stage = Stage::of(variable).await;
    let mut run = Run::start(stage.options(), Launch { background: true, ..stage.launch() });
    let events = run.completed(WAITING).await;
    assert_eq!(tasks(&events), [1], "{events:#?}");
    // The worker takes inputs meanwhile.
    let events = run.completed("hello").await;
    assert_eq!(tasks(&events), [] as [u32; 0], "{events:#?}");

    std::fs::write(stage.work.path().join("go"), "").expect("a file of ours");
    let woken = run.until(|event| matches!(event, Event::TurnStarted)).await;
    assert_eq!(tasks(&woken), [0], "{woken:#?}");
    let events = run.until(|event| matches!(event, Event::WokenEnded(_))).await;
    assert!(matches!(events.last(), Some(Event::WokenEnded(TurnEnd::Completed { .. }))), "{events:#?}");
    assert!(run.end(PATIENCE).await.exit_ok);
    assert_eq!(stage.api.violations(), []);
}

async fn an_end_with_a_task_in_the_background_leaves_nothing(variable: &str) {
    let stage = Stage::of(variable).await;
    let launch = Launch { background: true, ..stage.launch() };
    let marker = launch.marker.clone();
    let mut run = Run::start(stage.options(), launch);
    run.completed(WAITING).await;
    assert!(!marked(&marker).is_empty());
    run.end(PATIENCE).await;
    assert_eq!(marked(&marker), []);
}

async fn without_leave_nothing_outlives_its_turn(variable: &str) {
    let stage = Stage::of(variable).await;
    std::fs::write(stage.work.path().join("go"), "").expect("a file of ours");
    for prompt in [WAITING, SUBAGENT] {
        let mut run = Run::start(stage.options(), stage.launch());
        let events = run.completed(prompt).await;
        assert_eq!(tasks(&events), [] as [u32; 0], "{events:#?}");
        let results = events.iter().filter(|event| matches!(event, Event::ToolResult { .. })).count();
        assert_eq!(results, 1, "the call has its result within the turn: {events:#?}");
        run.completed("hello").await;
        assert!(run.end(PATIENCE).await.exit_ok);
    }
}

async fn what_a_subagent_wakes_is_a_turn_of_its_own(variable: &str) {
    let stage = Stage::of(variable).await;
    let mut run = Run::start(stage.options(), Launch { background: true, ..stage.launch() });
    let mut events = run.completed(SUBAGENT).await;
    // Old versions wait for a subagent.
    if !tasks(&events).is_empty() {
        events.extend(run.until(|event| matches!(event, Event::WokenEnded(_))).await);
    }
    events.extend(run.completed("hello").await);
    run.tell(Command::End { grace: PATIENCE }).await;
    let (rest, outcome) = run.rest().await;
    events.extend(rest);
    assert!(outcome.expect("an outcome").exit_ok);
    let begun = events.iter().filter(|event| matches!(event, Event::TurnStarted)).count();
    let ends: Vec<_> = events
        .iter()
        .filter_map(|event| if let Event::WokenEnded(end) = event { Some(end) } else { None })
        .collect();
    assert_eq!((begun, begun), (ends.len(), usize::from(variable == LATEST)), "{events:#?}");
    assert!(ends.iter().all(|end| matches!(end, TurnEnd::Completed { .. })), "{events:#?}");
    assert_eq!(stage.api.violations(), []);
}

async fn a_long_command_in_the_foreground_is_no_task_of_the_background(variable: &str) {
    let stage = Stage::of(variable).await;
    let mut run = Run::start(stage.options(), Launch { background: true, ..stage.launch() });
    // Longer than the three seconds after which the program calls it a task.
    let events = run.completed("@@bash:true; python3 -c 'import time; time.sleep(4)'@@").await;
    assert_eq!(tasks(&events), [] as [u32; 0], "{events:#?}");
    assert!(run.end(PATIENCE).await.exit_ok);
}

/// The numbers of tasks that were told.
fn tasks(events: &[Event]) -> Vec<u32> {
    events
        .iter()
        .filter_map(|event| if let Event::Background { tasks } = event { Some(*tasks) } else { None })
        .collect()
}

/// Waits until a question is open, and answers all that are.
async fn answer_held(run: &mut Run) {
    let deadline = Instant::now() + PATIENCE;
    while run.held.is_empty() {
        let report = timeout_at(deadline, run.runtime.reports.recv()).await.expect("something is asked");
        run.read(report.expect("the session goes on")).await;
    }
    for approval_id in std::mem::take(&mut run.held) {
        run.decide(approval_id).await;
    }
}

/// Old versions wait for their subagents, so none asks behind a turn.
#[tokio::test]
async fn what_a_subagent_asks_is_open_behind_its_turn() {
    let stage = Stage::of(LATEST).await;
    let mut run = Run::start(stage.options(), Launch { background: true, ..stage.launch() });
    run.holds_answers = true;
    run.say(ASKING_SUBAGENT).await;
    let mut events = run.until(|event| matches!(event, Event::TurnEnded(_))).await;
    assert!(matches!(events.last(), Some(Event::TurnEnded(TurnEnd::Completed { .. }))), "{events:#?}");
    let made = stage.work.path().join("made");
    assert!(!made.exists());
    answer_held(&mut run).await;
    events.extend(run.until(|event| matches!(event, Event::WokenEnded(_))).await);
    assert!(matches!(events.last(), Some(Event::WokenEnded(TurnEnd::Completed { .. }))), "{events:#?}");
    assert!(made.exists(), "the answer arrived: {events:#?}");
    assert!(run.end(PATIENCE).await.exit_ok);
}

on_both_versions! {
    a_task_that_outlives_its_turn_is_told_and_wakes_the_model_when_it_ends
    an_end_with_a_task_in_the_background_leaves_nothing
    without_leave_nothing_outlives_its_turn
    a_long_command_in_the_foreground_is_no_task_of_the_background
    what_a_subagent_wakes_is_a_turn_of_its_own
}
