//! What the tests of this crate stand on: a fake server that holds requests against OpenAI's own schema, and tools.

pub(crate) mod play;
pub(crate) mod script;
pub(crate) mod tools;

use std::{sync::Arc, time::Duration};

use jsonschema::Validator;
use musher_backend::{Launch, TurnEnd};
use musher_openai_api::{Dialect, OpenAiApi, OpenAiOptions};
use musher_protocol::WorkerId;
use musher_scripted::model_api::{Answer, ModelApi, Received, Violation, chat, responses};
pub(crate) use musher_testkit::backend_suite::line;
use musher_testkit::backend_suite::{Footprint, Prompts, Session, Subject};
use musher_turn_loop::{ApiKey, Pace};
use serde_json::Value;

/// The only key that the fake accepts.
pub(crate) const KEY: &str = "sk-test-0123456789abcdef";

/// Waits that a test does not sit out; silence is long, for a busy machine is silent, too.
pub(crate) fn pace() -> Pace {
    Pace { backoff: Duration::from_millis(1), silence: Duration::from_secs(120), ..Pace::default() }
}

/// A fake of this dialect that holds every request against the vendor's schema.
pub(crate) async fn api(
    dialect: Dialect,
    script: impl Fn(&Received, usize) -> Answer + Send + Sync + 'static,
) -> ModelApi {
    let validator = validator(dialect);
    let api = ModelApi::start(move |received| violations(received, dialect, &validator), script);
    api.await.expect("loopback has a free port")
}

/// What the vendor takes in this dialect.
pub(crate) fn validator(dialect: Dialect) -> Validator {
    let schema = match dialect {
        Dialect::Responses => include_str!("../schema/responses.json"),
        Dialect::Chat => include_str!("../schema/chat.json"),
    };
    let schema: Value = serde_json::from_str(schema).expect("the schema is JSON");
    jsonschema::validator_for(&schema).expect("the schema is one")
}

fn violations(received: &Received, dialect: Dialect, validator: &Validator) -> Vec<Violation> {
    let mut violations = match dialect {
        Dialect::Responses => responses::violations(received, KEY),
        Dialect::Chat => chat::violations(received, KEY),
    };
    let errors = validator.iter_errors(&received.body);
    violations.extend(errors.map(|error| Violation::new(format!("{error} at {}", error.instance_path()))));
    violations
}

/// How a session is started, as far as tests differ in it.
pub(crate) struct Scene {
    pub(crate) dialect: Dialect,
    pub(crate) pace: Pace,
    pub(crate) window: Option<u64>,
    pub(crate) launch: Box<dyn Fn(&mut Launch) + Send + Sync>,
}

impl Scene {
    pub(crate) fn of(dialect: Dialect) -> Self {
        Self { dialect, pace: pace(), window: None, launch: Box::new(|_| {}) }
    }

    pub(crate) fn responses() -> Self {
        Self::of(Dialect::Responses)
    }

    pub(crate) fn chat() -> Self {
        Self::of(Dialect::Chat)
    }

    /// The subject of this scene at a fake, which lives as long.
    pub(crate) fn subject(self, api: Arc<ModelApi>, prompts: Prompts) -> Subject {
        let mut options = OpenAiOptions::new(&format!("{}/v1", api.url()));
        options.dialect = self.dialect;
        options.api_key = Some(ApiKey::new("OPENAI_API_KEY", KEY.to_owned().into()));
        options.model = Some("gpt-5".to_owned());
        options.pace = self.pace;
        options.window = self.window;
        let change = self.launch;
        let launch = move || {
            let _lives = &api;
            let mut launch = Launch::new(WorkerId::mint(), "/".into());
            launch.tools = tools::all();
            change(&mut launch);
            launch
        };
        Subject {
            backend: Arc::new(OpenAiApi::new(options).expect("the machine can encrypt")),
            launch: Box::new(launch),
            footprint: Footprint::InProcess,
            prompts,
        }
    }

    /// The subject without prompts that stand for anything.
    pub(crate) fn silent_subject(self, api: &Arc<ModelApi>) -> Subject {
        self.subject(api.clone(), Prompts::default())
    }

    pub(crate) async fn start(self, api: &Arc<ModelApi>) -> Session {
        Session::start(&self.silent_subject(api)).await
    }
}

/// The message of a turn's failure.
pub(crate) fn message(end: &TurnEnd) -> &str {
    match end {
        TurnEnd::Failed(error) => &error.message,
        TurnEnd::Completed { .. } | TurnEnd::Interrupted | TurnEnd::Refused { .. } => {
            panic!("no failure: {end:?}")
        }
    }
}
