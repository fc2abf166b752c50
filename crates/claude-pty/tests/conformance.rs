//! The real Claude Code passes the suite that every backend must pass, on the newest and the oldest version; and so
//! does the fake, or it would not be one.

#[expect(unused_macros, unused_imports, dead_code, reason = "other tests use the rest of the stage")]
mod stage;

use std::sync::Arc;

use musher_claude_pty::ClaudePty;
use musher_testkit::backend_suite::{Footprint, Prompts, Subject};

use self::stage::Stage;

/// Two tools that need leave, which the real program asks about at the same time.
const TWICE: &str = r#"@@tools:[["WebFetch",{"url":"http://one.invalid/","prompt":"what?"}],["WebFetch",{"url":"http://two.invalid/","prompt":"what?"}]]@@"#;

async fn subject(variable: &str, ask_twice: Option<&str>) -> Subject {
    let stage = Stage::of(variable).await;
    Subject {
        backend: Arc::new(ClaudePty::new(stage.options())),
        launch: Box::new(move || stage.launch()),
        footprint: Footprint::Processes,
        prompts: Prompts {
            say: "say some words".to_owned(),
            call_tool: "@@bash:echo hi@@".to_owned(),
            ask: "@@bash:touch made@@".to_owned(),
            ask_twice: ask_twice.map(str::to_owned),
            run_long: "@@slow:5000,50@@".to_owned(),
            hang: "@@hang@@".to_owned(),
        },
    }
}

mod latest {
    use super::{TWICE, stage::LATEST, subject};

    musher_testkit::backend_suite!(subject(LATEST, Some(TWICE)).await);
}

mod old {
    use super::{TWICE, stage::OLD, subject};

    musher_testkit::backend_suite!(subject(OLD, Some(TWICE)).await);
}

mod fake {
    use musher_testkit::fake_claude::PROGRAM;

    use super::subject;

    // It calls one tool at a time.
    musher_testkit::backend_suite!(subject(PROGRAM, None).await);
}
