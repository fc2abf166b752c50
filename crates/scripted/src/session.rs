//! One session: says what it is, then plays a turn for each input.

use musher_backend::{Command, Event, Link, LinkClosed, SessionOutcome};
use musher_protocol::{SessionEnvironment, SessionId};
use uuid::Uuid;

use crate::{
    Script,
    performance::{self, After},
};

/// What a killed process is reported with.
const SIGKILL: i32 = 9;

pub(crate) async fn run(script: &Script, link: &mut Link) -> Result<SessionOutcome, LinkClosed> {
    link.session_started(session_id(), false).await?;
    link.emit(Event::Environment(environment(script))).await?;
    link.emit(Event::Diagnostic {
        code: "backend.scripted".to_owned(),
        message: "this worker is scripted: no model runs".to_owned(),
    })
    .await?;
    loop {
        match link.next_command().await {
            Command::Input(input) => match performance::run(script, input, link).await? {
                After::Idle => {}
                After::Ended => return Ok(SessionOutcome::ended()),
                After::Crashed => {
                    return Ok(SessionOutcome { signal: Some(SIGKILL), ..SessionOutcome::crashed() });
                }
            },
            Command::End { .. } => return Ok(SessionOutcome::ended()),
            // Late words to a turn that has just ended by itself.
            Command::Steer(_) | Command::Interrupt | Command::Decision(_) => {}
        }
    }
}

fn session_id() -> SessionId {
    format!("scripted-{}", Uuid::new_v4()).parse().expect("a UUID is visible ASCII and short")
}

fn environment(script: &Script) -> SessionEnvironment {
    SessionEnvironment {
        cli_version: None,
        model: Some("scripted".to_owned()),
        permission_mode: None,
        tools: script.tools().into_iter().map(str::to_owned).collect(),
        mcp_servers: Vec::new(),
        settings_sources: Vec::new(),
        env_keys: Vec::new(),
        sandbox: "none".to_owned(),
    }
}
