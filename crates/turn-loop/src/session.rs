//! One session: a turn for each input, over one conversation.

mod answering;
mod calling;
#[cfg(test)]
mod scene;
mod shortening;
mod turn;

use musher_backend::{
    BackendError, Capabilities, Command, Event, Launch, Link, LinkClosed, SessionOutcome, Wanted,
};
use musher_protocol::{SessionEnvironment, SessionId, WorkerId};
use uuid::Uuid;

pub use self::calling::TOOL_LIMIT;
use self::turn::After;
use crate::{
    Line, Model,
    conversation::{Conversation, Loaded},
    price::is_priced,
    roster::{Dropped, Roster},
    stage::{Cut, Stage},
};

/// What a backend brings to a session.
#[derive(Debug)]
pub struct Setup {
    /// The model, and its protocol.
    pub model: Box<dyn Model>,
    /// The way to it.
    pub line: Line,
    /// How many tokens it takes, where that is known; otherwise only its refusals tell.
    pub window: Option<u64>,
}

/// What every backend with this loop can do.
pub const CAPABILITIES: Capabilities = Capabilities {
    steer: true,
    resume: true,
    history: true,
    tools: true,
    roots: true,
    tool_limit: Some(TOOL_LIMIT),
};

/// The model of a session: the launch's, or the default of the backend of this name.
///
/// # Errors
///
/// When neither names one.
pub fn model_name(launch: &Launch, default: Option<&str>, backend: &str) -> Result<String, BackendError> {
    launch.model.as_deref().or(default).map(str::to_owned).ok_or_else(|| BackendError {
        code: "model_missing",
        message: format!("neither the profile nor the backend `{backend}` names a model"),
        source: None,
    })
}

/// What is missing for sessions of a backend of this name, by name: a model, or the price of it.
#[must_use]
pub fn missing(wanted: &Wanted<'_>, default: Option<&str>, backend: &str) -> Vec<String> {
    match wanted.model.or(default) {
        None => vec![format!("a model: neither the profile nor the backend `{backend}` names one")],
        Some(model) if wanted.cost_limit && !is_priced(model) => {
            vec![format!("a price of the model `{model}`, without which a limit of `cost_usd` cannot hold")]
        }
        Some(_) => Vec::new(),
    }
}

/// A session under way.
#[derive(Debug)]
struct Session {
    stage: Stage,
    model: Box<dyn Model>,
    line: Line,
    window: Option<u64>,
    instructions: Option<String>,
    /// What the first input is told with.
    preface: Option<String>,
    conversation: Conversation,
    roster: Roster,
    /// What holds the processes of its tools.
    sandbox: String,
    cache_key: String,
    /// How often in a row a shorter history was hardly shorter.
    vain_shortenings: u32,
}

/// Runs a session to its end.
///
/// # Errors
///
/// When it is to continue a session of another worker or backend.
pub async fn run(setup: Setup, launch: Launch, link: Link) -> Result<SessionOutcome, BackendError> {
    let (session_id, resumed) = session_id(&launch)?;
    // Closed: the runtime let go, so nobody reads this outcome, and there is nothing to clean up.
    let Ok(()) = link.session_started(session_id, resumed).await else {
        return Ok(SessionOutcome::aborted());
    };
    let (conversation, loaded) = Conversation::load(launch.history, &launch.kept, setup.model.scope());
    let (roster, dropped) = Roster::new(launch.tools);
    let mut session = Session {
        stage: Stage::new(link),
        model: setup.model,
        line: setup.line,
        window: setup.window,
        instructions: launch.instructions,
        preface: launch.preface,
        conversation,
        roster,
        sandbox: launch.sandbox.unwrap_or_else(|| "none".to_owned()),
        cache_key: launch.worker_id.to_string(),
        vain_shortenings: 0,
    };
    let greeted = session.greet(loaded, dropped).await;
    let Ok(()) = greeted else { return Ok(SessionOutcome::crashed()) };
    Ok(session.live().await.map_or_else(|_closed| SessionOutcome::crashed(), |()| SessionOutcome::ended()))
}

impl Session {
    /// Says what it runs with, and what of the past it could not take as it was.
    async fn greet(&self, loaded: Loaded, dropped: Vec<Dropped>) -> Result<(), Cut> {
        let tools = self.roster.specs().iter().map(|spec| spec.name.clone()).collect();
        let environment = SessionEnvironment {
            cli_version: None,
            model: Some(self.model.scope().model.clone()),
            permission_mode: None,
            tools,
            mcp_servers: Vec::new(),
            settings_sources: Vec::new(),
            env_keys: Vec::new(),
            sandbox: self.sandbox.clone(),
        };
        self.stage.emit(Event::Environment(environment)).await?;
        for Dropped { name, why } in dropped {
            self.stage.diagnose("tool.dropped", format!("the tool `{name}` is left out: {why}")).await?;
        }
        if loaded.orphans > 0 {
            let message = format!("{} tool calls of earlier sessions had no result", loaded.orphans);
            self.stage.diagnose("history.calls_closed", message).await?;
        }
        if loaded.foreign > 0 {
            let message = format!(
                "{} items of earlier sessions were made elsewhere; this model gets their words alone",
                loaded.foreign
            );
            self.stage.diagnose("history.opaque_dropped", message).await?;
        }
        if loaded.is_kept_unreadable {
            let message = "the kept history cannot be read; the log is used instead".to_owned();
            self.stage.diagnose("history.unreadable", message).await?;
        }
        Ok(())
    }

    /// A turn for each input, until the end.
    async fn live(&mut self) -> Result<(), LinkClosed> {
        loop {
            match self.stage.idle_command().await {
                Command::Input(input) => match self.turn(input).await? {
                    After::Idle => {}
                    After::Ended => return Ok(()),
                },
                Command::End { .. } => return Ok(()),
                // Late words to a turn that has just ended by itself. A steer among them was not taken, and comes again
                // as an input.
                Command::Steer(_) | Command::Interrupt | Command::Decision(_) => {}
            }
        }
    }
}

/// A new id, or that of the session to continue. All that was said is in the worker's log, so any session of the
/// worker can be continued, and none of another one.
fn session_id(launch: &Launch) -> Result<(SessionId, bool), BackendError> {
    match &launch.resume {
        None => Ok((mint(&launch.worker_id), false)),
        Some(resume) if is_of(&resume.session_id, &launch.worker_id) => Ok((resume.session_id.clone(), true)),
        Some(resume) => Err(BackendError {
            code: BackendError::RESUME_REFUSED,
            message: format!("session `{}` is none of this worker's", resume.session_id),
            source: None,
        }),
    }
}

fn mint(worker_id: &WorkerId) -> SessionId {
    format!("{worker_id}:{}", Uuid::new_v4().simple()).parse().expect("a worker's id and a UUID are short")
}

fn is_of(session_id: &SessionId, worker_id: &WorkerId) -> bool {
    session_id.as_str().strip_prefix(worker_id.as_str()).is_some_and(|rest| rest.starts_with(':'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use musher_backend::Resume;
    use serde_json::Map;

    use super::*;

    #[test]
    fn a_session_needs_a_model_and_one_whose_costs_are_limited_its_price() {
        let no_model = ["a model: neither the profile nor the backend `local` names one"];
        let no_price = ["a price of the model `qwen`, without which a limit of `cost_usd` cannot hold"];
        for (model, default, cost_limit, expected) in [
            (Some("qwen"), None, false, &[][..]),
            (Some("qwen"), Some("gpt-5"), true, &no_price),
            (None, Some("qwen"), true, &no_price),
            (None, Some("gpt-5-2025-08-07"), true, &[]),
            (Some("o3"), Some("qwen"), true, &[]),
            (None, None, false, &no_model),
            (None, None, true, &no_model),
        ] {
            let (capabilities, options) = (BTreeSet::new(), Map::new());
            let wanted = Wanted { model, cost_limit, ..Wanted::new(&capabilities, &options) };
            let found = missing(&wanted, default, "local");
            assert_eq!(found, expected, "{model:?} {default:?} {cost_limit}");
        }
    }

    #[test]
    fn any_session_of_the_worker_is_continued_and_no_other() {
        let mut launch = Launch::new("wrk_1".parse().unwrap(), "/".into());
        let (own, resumed) = session_id(&launch).unwrap();
        assert!(!resumed);
        launch.resume = Some(Resume { session_id: own.clone() });
        assert_eq!(session_id(&launch).unwrap(), (own, true));
        for other in ["wrk_12:0", "7d2c", "wrk_1"] {
            launch.resume = Some(Resume { session_id: other.parse().unwrap() });
            assert_eq!(session_id(&launch).unwrap_err().code, BackendError::RESUME_REFUSED, "{other}");
        }
    }
}
