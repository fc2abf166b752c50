//! The backend itself.

use std::sync::{Arc, atomic::AtomicBool};

use musher_backend::{
    Availability, Backend, BackendError, Capabilities, Launch, Link, SessionOutcome, Wanted, async_trait,
};
use musher_turn_loop::{CAPABILITIES, Line, LineError, Setup, missing, model_name, run, window};

use crate::{GeminiOptions, generate::Generate, options::Tuning};

/// The backend `gemini-api`.
#[derive(Clone, Debug)]
pub struct GeminiApi {
    options: GeminiOptions,
    line: Line,
    /// A model was found to show no thoughts; the same for all sessions.
    shows_no_thoughts: Arc<AtomicBool>,
}

impl GeminiApi {
    /// A backend that speaks to Gemini as the options say. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// When the machine's own settings for encryption or proxies cannot be used.
    pub fn new(options: GeminiOptions) -> Result<Self, LineError> {
        let line = Line::new(&options.base_url, options.pace)?;
        Ok(Self { options, line, shows_no_thoughts: Arc::default() })
    }
}

#[async_trait]
impl Backend for GeminiApi {
    fn kind(&self) -> &str {
        "gemini-api"
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    async fn availability(&self) -> Availability {
        let missing = self.options.api_key.missing();
        missing.map_or(Availability::Ready, |missing| Availability::Missing(vec![missing]))
    }

    fn missing(&self, wanted: &Wanted<'_>) -> Vec<String> {
        missing(wanted, self.options.model.as_deref(), &self.options.name)
    }

    async fn run(&self, launch: Launch, link: Link) -> Result<SessionOutcome, BackendError> {
        let tuning = Tuning::from_options(&launch.options)?;
        let name = model_name(&launch, self.options.model.as_deref(), &self.options.name)?;
        let window = self.options.window.or_else(|| window(&name));
        let model = Generate::new(&self.options, name, tuning, self.shows_no_thoughts.clone());
        run(Setup { model: Box::new(model), line: self.line.clone(), window }, launch, link).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use musher_turn_loop::ApiKey;
    use serde_json::Map;

    use super::*;

    #[test]
    fn the_model_of_a_profile_that_names_none_is_the_backends() {
        let missing = |default: Option<&str>| {
            let key = ApiKey::new("GEMINI_API_KEY", "key".to_owned().into());
            let model = default.map(str::to_owned);
            let backend = GeminiApi::new(GeminiOptions { model, ..GeminiOptions::new(key) }).unwrap();
            let (capabilities, options) = (BTreeSet::new(), Map::new());
            backend.missing(&Wanted { cost_limit: true, ..Wanted::new(&capabilities, &options) })
        };
        assert_eq!(missing(Some("gemini-2.5-flash")), Vec::<String>::new());
        let no_price = "a price of the model `gemini-x`, without which a limit of `cost_usd` cannot hold";
        assert_eq!(missing(Some("gemini-x")), [no_price]);
        assert_eq!(missing(None), ["a model: neither the profile nor the backend `gemini-api` names one"]);
    }
}
