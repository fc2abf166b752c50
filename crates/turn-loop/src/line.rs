//! The line to a vendor: one request out, the bytes of one answer in. Dropping either closes the connection.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use musher_backend::{BackendError, Chain};
use reqwest::{
    Client, Response,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, timeout};

use crate::{
    Failure, Pace,
    model::{Call, Refusal},
};

/// An error page that is longer tells nothing more.
const MAX_REFUSAL: usize = 64 << 10;
/// Shorter than any key, longer than any word.
const MIN_SECRET: usize = 8;

/// A way to a vendor that all sessions of a backend share: its connections, and what they learned of its limits.
#[derive(Clone, Debug)]
pub struct Line {
    client: Client,
    pace: Pace,
    /// Until when the vendor does not want to be asked. Only set and read, never held.
    quiet_until: Arc<Mutex<Option<Instant>>>,
}

/// There is no line: the machine's own settings for encryption or proxies cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The machine cannot encrypt.
    #[error(transparent)]
    Tls(#[from] musher_outbound::TlsError),
    /// Its settings of proxies, or others, cannot be used.
    #[error("prepare connections to the provider")]
    Http(#[from] reqwest::Error),
}

/// An answer on its way.
#[derive(Debug)]
pub(crate) struct Exchange {
    response: Response,
    silence: Duration,
    secrets: Vec<SecretString>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// No response came.
    Failed(Failure),
    /// A response came that is no answer.
    Refused(Box<Refusal>),
}

impl Line {
    /// A line to the server at this address; nothing is connected yet.
    ///
    /// # Errors
    ///
    /// When the machine's settings cannot be used.
    pub fn new(base_url: &str, pace: Pace) -> Result<Self, LineError> {
        let client = musher_outbound::client(base_url, pace.connect)?
            .user_agent(concat!("musher/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, pace, quiet_until: Arc::default() })
    }

    pub(crate) fn pace(&self) -> Pace {
        self.pace
    }

    /// How long the vendor wants to be left alone, whichever session it told.
    pub(crate) fn quiet(&self) -> Duration {
        let until = *self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.map(|until| until.saturating_duration_since(Instant::now())).unwrap_or_default()
    }

    /// The vendor wants to be left alone.
    pub(crate) fn be_quiet(&self, time: Duration) {
        let Some(until) = Instant::now().checked_add(time) else { return };
        let mut known = self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
        *known = (*known).max(Some(until));
    }

    /// Sends a request and waits for the start of the answer.
    pub(crate) async fn open(&self, call: Call) -> Result<Exchange, NoAnswer> {
        let Call { url, headers, body } = call;
        let fields = fields(&headers).map_err(NoAnswer::Failed)?;
        let secrets: Vec<_> = headers.into_iter().map(|(_, value)| value).collect();
        let request = self.client.post(url).headers(fields).body(body.to_string());
        let sent = timeout(self.pace.silence, request.send()).await;
        let response = match sent {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(NoAnswer::Failed(Failure::unanswered(chain(error)))),
            Err(_late) => {
                let message =
                    format!("the provider did not answer within {} s", self.pace.silence.as_secs_f32());
                return Err(NoAnswer::Failed(Failure::unanswered(message)));
            }
        };
        let mut exchange = Exchange { response, silence: self.pace.silence, secrets };
        if exchange.is_answer() { Ok(exchange) } else { Err(exchange.refusal().await) }
    }
}

impl Exchange {
    /// An answer on its way from nowhere, for tests whose clock stands still.
    #[cfg(test)]
    pub(crate) fn of(response: Response, silence: Duration) -> Self {
        Self { response, silence, secrets: Vec::new() }
    }

    /// The next bytes; none when the stream has ended in order.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        match timeout(self.silence, self.response.chunk()).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) => Err(Failure::broken(format!("the answer broke off: {}", chain(error)))),
            Err(_late) => {
                let seconds = self.silence.as_secs_f32();
                Err(Failure::broken(format!("the provider sent nothing for {seconds} s")))
            }
        }
    }

    /// Takes what must not be seen out of a text of the vendor's.
    pub(crate) fn without_secrets(&self, text: String) -> String {
        without_secrets(text, &self.secrets)
    }

    /// Whether a stream of events follows. A proxy may say 200 and send its own page, or an error.
    fn is_answer(&self) -> bool {
        let kind = self.response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_other = |kind: &str| kind.contains("json") || kind.contains("html");
        self.response.status().as_u16() == 200 && !kind.is_some_and(is_other)
    }

    async fn refusal(&mut self) -> NoAnswer {
        let (status, at) = (self.response.status().as_u16(), Timestamp::now());
        let text = |(name, value): (&HeaderName, &HeaderValue)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        };
        let headers = self.response.headers().iter().filter_map(text).collect();
        let mut body = BytesMut::new();
        // The status says enough; what the body adds is worth one wait, not a failure of its own.
        while body.len() < MAX_REFUSAL
            && let Ok(Some(more)) = self.next().await
        {
            body.extend_from_slice(&more[..more.len().min(MAX_REFUSAL - body.len())]);
        }
        let body = self.without_secrets(String::from_utf8_lossy(&body).into_owned());
        NoAnswer::Refused(Box::new(Refusal { status, headers, body, at }))
    }
}

fn fields(headers: &[(&'static str, SecretString)]) -> Result<HeaderMap, Failure> {
    let mut fields = HeaderMap::new();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    fields.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    for (name, value) in headers {
        let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_unusable| Failure {
            kind: crate::FailureKind::Final,
            code: BackendError::AUTHENTICATION_FAILED.to_owned(),
            message: format!("the value for the header `{name}` holds characters that no header takes"),
        })?;
        value.set_sensitive(true);
        fields.insert(HeaderName::from_static(name), value);
    }
    Ok(fields)
}

/// Some servers repeat the key that they refuse.
fn without_secrets(mut text: String, secrets: &[SecretString]) -> String {
    for secret in secrets {
        let secret = secret.expose_secret();
        let value = secret.strip_prefix("Bearer ").unwrap_or(secret);
        if value.len() >= MIN_SECRET && text.contains(value) {
            text = text.replace(value, "[key]");
        }
    }
    text
}

/// What went wrong, with its causes; the address is in the config.
fn chain(error: reqwest::Error) -> String {
    Chain(&error.without_url()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_a_server_repeats_is_taken_out() {
        let secrets = ["Bearer sk-0123456789".to_owned().into(), "short".to_owned().into()];
        let text = "no such key: sk-0123456789, in short".to_owned();
        assert_eq!(without_secrets(text, &secrets), "no such key: [key], in short");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_one_session_was_told_holds_for_all() {
        let line = Line::new("https://vendor.example", Pace::default()).unwrap();
        let other = line.clone();
        line.be_quiet(Duration::from_secs(20));
        line.be_quiet(Duration::from_secs(5));
        assert_eq!(other.quiet(), Duration::from_secs(20));
        tokio::time::advance(Duration::from_secs(21)).await;
        assert_eq!(other.quiet(), Duration::ZERO);
    }
}
