//! A scripted fake of the Anthropic Messages API, for tests that run a real client of it.
//!
//! The prompt says what the model does: the last marker `@@name@@` or `@@name:argument@@` in the
//! last text of the user. So a scenario survives retries, concurrency and a resumed session, and
//! the fake needs no set-up. What a client puts beside the user's text by itself, such as a
//! `<system-reminder>`, does not count.
//!
//! A *step* is the number of assistant messages after that text: a scenario with a tool asks for
//! it in step 0 and ends with the text `FAKE-DONE name step=N` once it has the result.
//!
//! | Marker | Answer |
//! |---|---|
//! | none | the text `FAKE-OK: ` and the first 40 characters of the prompt |
//! | `text:TEXT` | this text |
//! | `think` | a thinking block, then a text |
//! | `bash:COMMAND` | a text and the tool `Bash` |
//! | `write:PATH`, `read:PATH`, `edit:PATH` | the tool `Write`, `Read`, `Edit` |
//! | `two` | a text and two calls of `Bash` in one message |
//! | `loop` | `Bash`, again in every step |
//! | `tool:NAME\|JSON` | the tool NAME with this input |
//! | `tools:JSON` | calls in one message, `[["NAME", {…}], …]` |
//! | `slow:N,MS` | N words, with MS milliseconds after each |
//! | `giant:BYTES` | one text of this length |
//! | `utf8` | characters of up to four bytes, split at odd places |
//! | `status:CODE[,N[,SECS]]` | this HTTP error, with `retry-after: SECS`; only N times, then a text |
//! | `limit:KIND[,N[,SECS]]` | a spent limit (429) of KIND `five_hour`, `seven_day`, …, which resets in SECS |
//! | `disconnect1` | the connection ends in mid-stream, once |
//! | `sseerror1` | an `error` event in mid-stream, once |
//! | `hang` | no answer, ever |
//! | `hangmid` | the first word, then nothing |
//! | `maxtokens`, `refusal` | a message that ends with this stop reason, in every step |
//! | `empty` | a message without content, in every step |
//!
//! "Once" and "N times" count requests with the same prompt. A marker that is not in the table is
//! a violation. An argument cannot hold `@@`; the JSON of `tool` can say it as `\u0040\u0040`.

mod answer;
mod desk;
pub(crate) mod prompt;
mod request;
mod scenario;
mod violation;

use std::sync::Arc;

use musher_scripted::model_api::{self, ModelApi, Received, Reply, Violation};
use uuid::Uuid;

pub use self::answer::{CACHE_CREATION_INPUT_TOKENS, CACHE_READ_INPUT_TOKENS, INPUT_TOKENS, OUTPUT_TOKENS};
use self::{
    answer::Answer,
    desk::{Desk, Model, is_greeting},
    prompt::Turn,
    scenario::{Script, script},
};

/// A running fake; dropping it ends it.
#[derive(Debug)]
pub struct MessagesApi {
    api: ModelApi,
    api_key: String,
}

/// The last text of the user in a request, as the model sees it.
pub fn prompt(request: &Received) -> String {
    Turn::of(&request.body).prompt
}

impl MessagesApi {
    /// Starts a fake on a free port of the loopback interface, with an API key of its own.
    ///
    /// # Panics
    ///
    /// When the machine has no free loopback port.
    pub async fn start() -> Self {
        Self::of(Box::new(script)).await
    }

    /// The same with a model of one's own: what it says to a prompt and to what tools said since, whatever markers there
    /// are. It has to be a function of these.
    ///
    /// # Panics
    ///
    /// When the machine has no free loopback port.
    pub async fn start_with(model: impl Fn(&model_api::Turn) -> Reply + Send + Sync + 'static) -> Self {
        Self::of(Box::new(move |turn, _attempt, _now| {
            let Turn { prompt, step: _, results } = turn.clone();
            Ok(Script::Answer(Answer::spelling(&model(&model_api::Turn { prompt, results }))))
        }))
        .await
    }

    async fn of(model: Box<Model>) -> Self {
        let api_key = format!("sk-ant-fake-{}", Uuid::new_v4().simple());
        let desk = Arc::new(Desk { api_key: api_key.clone(), model, attempts: Default::default() });
        let checks = desk.clone();
        let api = ModelApi::start(
            move |request| checks.violations(request),
            move |request, _| desk.answer(request),
        );
        Self { api: api.await.expect("loopback has a free port"), api_key }
    }

    /// The base URL, as `ANTHROPIC_BASE_URL` wants it.
    pub fn url(&self) -> &str {
        self.api.url()
    }

    /// The only key that this fake accepts.
    pub fn api_key(&self) -> &str {
        &self.api_key
    }

    /// All requests so far, in the order in which their bodies were complete, without `HEAD /`: some
    /// clients begin with it to see whether anything is there.
    pub fn requests(&self) -> Vec<Received> {
        self.api.requests().into_iter().filter(|request| !is_greeting(request)).collect()
    }

    /// What requests did that the vendor would refuse, in order.
    pub fn violations(&self) -> Vec<Violation> {
        self.api.violations()
    }

    /// Waits until a request has arrived that is `wanted`, and returns the first such.
    ///
    /// # Panics
    ///
    /// When none arrives within 30 s.
    pub async fn request_where(&self, wanted: impl Fn(&Received) -> bool) -> Received {
        self.api.request_where(|request| !is_greeting(request) && wanted(request)).await
    }
}
