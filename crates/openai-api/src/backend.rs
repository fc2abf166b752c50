//! The backend itself.

use std::sync::Arc;

use musher_backend::{
    Availability, Backend, BackendError, Capabilities, Launch, Link, SessionOutcome, Wanted, async_trait,
};
use musher_turn_loop::{CAPABILITIES, Line, LineError, Model, Setup, missing, model_name, run, window};

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
        let line = Line::new(&options.base_url, options.pace)?;
        let endpoint = Arc::new(Endpoint::new(&options.base_url, options.api_key.clone()));
        Ok(Self { options, endpoint, line })
    }
}

#[async_trait]
impl Backend for OpenAiApi {
    fn kind(&self) -> &str {
        "openai-api"
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    async fn availability(&self) -> Availability {
        let missing = self.options.api_key.as_ref().and_then(|key| key.missing());
        missing.map_or(Availability::Ready, |missing| Availability::Missing(vec![missing]))
    }

    fn missing(&self, wanted: &Wanted<'_>) -> Vec<String> {
        missing(wanted, self.options.model.as_deref(), &self.options.name)
    }

    async fn run(&self, launch: Launch, link: Link) -> Result<SessionOutcome, BackendError> {
        let tuning = Tuning::from_options(&launch.options)?;
        let name = model_name(&launch, self.options.model.as_deref(), &self.options.name)?;
        let window = self.options.window.or_else(|| window(&name));
        let model: Box<dyn Model> = match self.options.dialect {
            Dialect::Responses => Box::new(Responses::new(self.endpoint.clone(), name, tuning)),
            Dialect::Chat => Box::new(Chat::new(self.endpoint.clone(), name, tuning)),
        };
        run(Setup { model, line: self.line.clone(), window }, launch, link).await
    }
}
