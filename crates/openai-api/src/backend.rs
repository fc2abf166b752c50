//! The backend itself.

use std::sync::Arc;

use musher_backend::{
    Availability, Backend, BackendError, Capabilities, Launch, Link, SessionOutcome, async_trait,
};
use musher_turn_loop::{Line, LineError, Model, Setup, TOOL_LIMIT, run, window};

use crate::{Dialect, OpenAiOptions, chat::Chat, endpoint::Endpoint, options::Tuning, responses::Responses};

/// The backend `openai-api`.
#[derive(Clone, Debug)]
pub struct OpenAiApi {
    options: OpenAiOptions,
    endpoint: Arc<Endpoint>,
    line: Line,
}

impl OpenAiApi {
    /// A backend that speaks to a server as the options say. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// When the machine's own settings for encryption or proxies cannot be used.
    pub fn new(options: OpenAiOptions) -> Result<Self, LineError> {
        let line = Line::new(options.pace)?;
        let endpoint = Arc::new(Endpoint::new(&options.base_url, options.api_key.clone()));
        Ok(Self { options, endpoint, line })
    }
}

#[async_trait]
impl Backend for OpenAiApi {
    fn kind(&self) -> &str {
        &self.options.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { steer: true, resume: true, history: true, tools: true, tool_limit: Some(TOOL_LIMIT) }
    }

    async fn availability(&self) -> Availability {
        let missing = self.options.api_key.as_ref().and_then(|key| key.missing());
        missing.map_or(Availability::Ready, |missing| Availability::Missing(vec![missing]))
    }

    async fn run(&self, launch: Launch, link: Link) -> Result<SessionOutcome, BackendError> {
        let tuning = Tuning::from_options(&launch.options)?;
        let name = launch.model.clone().or_else(|| self.options.model.clone());
        let name = name.ok_or_else(|| BackendError {
            code: "model_missing",
            message: format!("neither the profile nor the backend `{}` names a model", self.options.name),
            source: None,
        })?;
        let window = self.options.window.or_else(|| window(&name));
        let model: Box<dyn Model> = match self.options.dialect {
            Dialect::Responses => Box::new(Responses::new(self.endpoint.clone(), name, tuning)),
            Dialect::Chat => Box::new(Chat::new(self.endpoint.clone(), name, tuning)),
        };
        run(Setup { model, line: self.line.clone(), window }, launch, link).await
    }
}
