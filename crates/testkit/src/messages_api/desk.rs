//! Requests in, answers out: what the vendor does with a request, by its scenario.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{SystemTime, UNIX_EPOCH},
};

use musher_scripted::model_api::{self, Answer, Received};
use serde_json::json;
use uuid::Uuid;

use super::{
    answer::INPUT_TOKENS,
    prompt::Turn,
    request::{Reply, Route, check},
    scenario::Script,
    violation::Violation,
};

/// What the model does in a turn, by the requests with its prompt so far and the time in unix seconds.
pub(super) type Model = dyn Fn(&Turn, usize, u64) -> Result<Script, Violation> + Send + Sync;

/// Where requests are checked and answered.
pub(super) struct Desk {
    pub(super) api_key: String,
    pub(super) model: Box<Model>,
    /// How often each prompt was asked, for scenarios that fail a number of times. Locked to count one request.
    pub(super) attempts: Mutex<HashMap<String, usize>>,
}

/// How a request that the vendor would take is answered.
#[derive(Debug)]
enum Plan {
    Greet,
    Count,
    Play(Reply, Script),
}

impl Desk {
    pub(super) fn violations(&self, received: &Received) -> Vec<model_api::Violation> {
        // What the vendor would refuse does not hang on the attempt.
        self.plan(received, |_prompt| 1).err().iter().map(Violation::kept).collect()
    }

    pub(super) fn answer(&self, received: &Received) -> Answer {
        let model = received.body["model"].as_str().unwrap_or_default();
        match self.plan(received, |prompt| self.attempt(prompt)) {
            Ok(Plan::Greet) => Answer::page(200, ""),
            Ok(Plan::Count) => Answer::json(200, &json!({"input_tokens": INPUT_TOKENS})),
            Ok(Plan::Play(_, Script::Refuse(refusal))) => refusal.answer(),
            Ok(Plan::Play(_, Script::Silence)) => Answer::never(),
            Ok(Plan::Play(Reply::Whole, Script::Answer(answer))) => {
                Answer::json(200, &answer.whole(model, Uuid::new_v4()))
            }
            Ok(Plan::Play(Reply::Stream, Script::Answer(answer))) => answer.stream(model, Uuid::new_v4()),
            Err(violation) => violation.refusal().answer(),
        }
    }

    fn plan(&self, received: &Received, attempt: impl Fn(&str) -> usize) -> Result<Plan, Violation> {
        if is_greeting(received) {
            return Ok(Plan::Greet);
        }
        match check(received, &self.api_key)? {
            Route::CountTokens => Ok(Plan::Count),
            Route::Messages { reply } => {
                let turn = Turn::of(&received.body);
                Ok(Plan::Play(reply, (self.model)(&turn, attempt(&turn.prompt), unix_now())?))
            }
        }
    }

    fn attempt(&self, prompt: &str) -> usize {
        let mut attempts = self.attempts.lock().expect("nothing panics while it is locked");
        let attempt = attempts.entry(prompt.to_owned()).or_default();
        *attempt += 1;
        *attempt
    }
}

/// Some clients begin with it to see whether anything is there.
pub(super) fn is_greeting(received: &Received) -> bool {
    received.method == "HEAD" && received.path == "/"
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs()
}
