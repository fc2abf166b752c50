//! What the tests of this crate stand on: a fake server that holds requests against the vendor's own schema, and tools.

pub(crate) mod tools;

use std::{sync::Arc, time::Duration};

use jsonschema::Validator;
use musher_backend::Launch;
use musher_gemini_api::{GeminiApi, GeminiOptions};
use musher_protocol::WorkerId;
use musher_scripted::model_api::{Answer, ModelApi, Received, Violation, generate};
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

/// A fake that holds every request against the vendor's schema.
pub(crate) async fn api(script: impl Fn(&Received, usize) -> Answer + Send + Sync + 'static) -> ModelApi {
    let validator = validator();
    let api = ModelApi::start(move |received| violations(received, &validator), script);
    api.await.expect("loopback has a free port")
}

/// What the vendor takes.
pub(crate) fn validator() -> Validator {
    let schema: Value = serde_json::from_str(include_str!("../schema/generate-content.json")).expect("JSON");
    jsonschema::validator_for(&schema).expect("the schema is one")
}

fn violations(received: &Received, validator: &Validator) -> Vec<Violation> {
    let mut violations = generate::violations(received, KEY);
    let errors = validator.iter_errors(&received.body);
    violations.extend(errors.map(|error| Violation::new(format!("{error} at {}", error.instance_path()))));
    if !received.path.contains("/gemini-3-pro:") {
        violations.push(Violation::new(format!("another model: {}", received.path)));
    }
    violations
}

/// The subject of tests at a fake, which lives as long.
pub(crate) fn subject(api: Arc<ModelApi>, prompts: Prompts) -> Subject {
    let mut options = GeminiOptions::new(ApiKey::new("GEMINI_API_KEY", KEY.to_owned().into()));
    options.base_url = api.url().to_owned();
    options.model = Some("gemini-3-pro".to_owned());
    options.pace = pace();
    let launch = move || {
        let _lives = &api;
        let mut launch = Launch::new(WorkerId::mint(), "/".into());
        launch.tools = tools::all();
        launch
    };
    Subject {
        backend: Arc::new(GeminiApi::new(options).expect("the machine can encrypt")),
        launch: Box::new(launch),
        footprint: Footprint::InProcess,
        prompts,
    }
}

pub(crate) async fn start(api: &Arc<ModelApi>) -> Session {
    Session::start(&subject(api.clone(), Prompts::default())).await
}
