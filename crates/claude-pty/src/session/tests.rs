use musher_backend::{Launch, Report};

use super::*;
use crate::ClaudeOptions;

#[tokio::test]
async fn a_program_that_says_nothing_is_ended() {
    let options = ClaudeOptions { program: "/bin/cat".to_owned(), ..ClaudeOptions::default() };
    let launch = Launch::new("wrk_1".parse().unwrap(), "/".into());
    let mut invocation = Invocation::new(&options, &launch).unwrap();
    // Like this it is a program that reads and reads.
    invocation.command.args = vec!["/dev/null".into(), "/dev/tty".into()];
    let limits = Limits { start: Duration::from_millis(50), exit: Duration::from_secs(1) };
    let (link, mut runtime) = Link::pair();
    let runtime = async {
        while let Some(report) = runtime.reports.recv().await {
            if let Report::SessionStarted { recorded, .. } = report {
                recorded.send(()).unwrap();
            }
        }
    };
    let (ended, ()) = tokio::join!(run(invocation, None, None, link, limits), runtime);
    let error = ended.unwrap_err();
    assert_eq!(
        (error.code, error.to_string().as_str()),
        ("claude_silent", "Claude Code did not answer within 0 s")
    );
}
