//! What an operator decides, and what a backend brings.

use std::{env, fmt, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};

/// A key for a vendor. Nobody sees its value: not in logs, errors or events, and not in `Debug`.
#[derive(Clone)]
pub struct ApiKey {
    /// As it stands between backticks.
    name: String,
    value: Option<SecretString>,
}

impl ApiKey {
    /// A key that is at hand, under the name that people know it by.
    #[must_use]
    pub fn new(name: &str, value: SecretString) -> Self {
        Self { name: name.to_owned(), value: Some(value) }
    }

    /// The key in the first of these environment variables that holds one, read now.
    #[must_use]
    pub fn from_environment(names: &[&str]) -> Self {
        let found = names.iter().find_map(|name| {
            let value = env::var(name).ok().filter(|value| !value.trim().is_empty())?;
            Some(Self::new(name, value.trim().to_owned().into()))
        });
        found.unwrap_or_else(|| Self { name: names.join("` or `"), value: None })
    }

    /// What is missing, for a person.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        self.value.is_none().then(|| format!("variable `{}`", self.name))
    }

    /// The key, and the name that people know it by, when it is there.
    #[must_use]
    pub fn named(&self) -> Option<(&str, &SecretString)> {
        self.value.as_ref().map(|value| (self.name.as_str(), value))
    }

    /// The value for a request's header.
    #[must_use]
    pub fn header(&self, prefix: &str) -> Option<SecretString> {
        let value = self.value.as_ref()?;
        Some(format!("{prefix}{}", value.expose_secret()).into())
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value } = self;
        f.debug_struct("ApiKey").field("name", name).field("is_there", &value.is_some()).finish()
    }
}

/// How long a model call may be silent, and how it is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Until a connection is there.
    pub connect: Duration,
    /// Between two bytes of an answer, comments included, and until the first.
    pub silence: Duration,
    /// Between two pieces of an answer: a server may send comments while its model hangs.
    pub progress: Duration,
    /// The first wait before a repetition; it doubles.
    pub backoff: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            // Half a minute or more without a byte is usual while a model reasons; two minutes are not.
            silence: Duration::from_secs(120),
            progress: Duration::from_secs(600),
            backoff: Duration::from_millis(200),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_and_never_shown() {
        let key = ApiKey::new("OPENAI_API_KEY", "sk-secret".to_owned().into());
        assert_eq!(format!("{key:?}"), r#"ApiKey { name: "OPENAI_API_KEY", is_there: true }"#);
        assert_eq!(key.missing(), None);
        let header = key.header("Bearer ").unwrap();
        assert_eq!(header.expose_secret(), "Bearer sk-secret");
        let absent = ApiKey::from_environment(&["MUSHER_NO_SUCH_KEY", "MUSHER_NOR_THIS"]);
        assert_eq!(absent.missing().as_deref(), Some("variable `MUSHER_NO_SUCH_KEY` or `MUSHER_NOR_THIS`"));
        assert!(absent.header("").is_none());
    }
}
