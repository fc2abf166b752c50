use musher_backend::{Input, Link, Report, ToolSpec, async_trait};
use musher_protocol::Capability;
use serde_json::json;

use super::*;
use crate::session::scene;

/// A tool that neither ends nor hears that it should.
#[derive(Debug)]
struct Stuck(ToolSpec);

#[async_trait]
impl Tool for Stuck {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    async fn call(&self, _: ToolCall) -> ToolOutput {
        std::future::pending().await
    }
}

fn session(link: Link) -> Session {
    let spec = ToolSpec {
        name: "stuck".to_owned(),
        description: String::new(),
        input_schema: json!({"type": "object"}),
        capability: Capability::Read,
        is_read_only: true,
        limit: Duration::from_secs(60),
    };
    scene::session(link, "http://nobody", vec![Arc::new(Stuck(spec))])
}

fn calls() -> Vec<Pending> {
    vec![Pending::new("a".parse().unwrap(), "stuck".to_owned(), "{}".to_owned())]
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_is_dropped_behind_its_limit_and_the_turn_goes_on() {
    let (link, mut runtime) = Link::pair();
    let mut session = session(link);
    let mut turn = Turn::new(Input::user("go"));
    let before = Instant::now();
    session.run_calls(&mut turn, calls()).await.unwrap();
    assert_eq!(before.elapsed(), Duration::from_secs(65));
    let expected = Event::ToolResult {
        tool_call_id: "a".parse().unwrap(),
        output: ToolOutput::error("the tool did not end within its limit; side effects unknown"),
    };
    let report = runtime.reports.recv().await;
    assert!(matches!(&report, Some(Report::Event(event)) if *event == expected), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_does_not_hear_is_waited_for_a_moment_and_its_end_is_unknown() {
    let (link, runtime) = Link::pair();
    let mut session = session(link);
    let mut turn = Turn::new(Input::user("go"));
    runtime.commands.send(musher_backend::Command::Interrupt).await.unwrap();
    let before = Instant::now();
    let halted = session.run_calls(&mut turn, calls()).await;
    assert!(matches!(halted, Err(Halt::Cut(Cut::Interrupted))), "{halted:?}");
    assert_eq!(before.elapsed(), STOP_LIMIT);
    assert_eq!(session.conversation.items(), [unknown("a".parse().unwrap(), "stuck".to_owned())]);
}
