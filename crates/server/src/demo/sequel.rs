//! What to try next: commands that work here.

use std::path::Path;

use musher_protocol::ProfileSummary;

use crate::{
    compose::profiles,
    config::{BackendOptions, Config},
    failure::Failure,
};

/// A word for a shell that needs no quotes.
const PLAIN: &str = "-_./:=@%+,";

/// What is told of a config.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Offer {
    /// A profile that runs no model.
    scripted: Option<String>,
    /// The default profile, where it can run here.
    default: Option<String>,
}

impl Offer {
    /// Looks which of a config's profiles can run here.
    pub(super) async fn of(config: &Config) -> Result<Self, Failure> {
        let profiles = profiles(config).await?;
        let is_scripted = |profile: &&ProfileSummary| {
            matches!(config.backends.get(&profile.backend), Some(BackendOptions::Scripted))
        };
        let mut ready = profiles.iter().filter(|profile| profile.ready);
        let default = ready.clone().find(|profile| profile.default);
        let name = |profile: &ProfileSummary| profile.name.clone();
        Ok(Self { scripted: ready.find(is_scripted).map(name), default: default.map(name) })
    }

    /// The commands, each with what it is for, as this program was called and with the config that was named.
    pub(super) fn commands(&self, program: &str, config: Option<&Path>) -> String {
        let program = quoted(program);
        let flag =
            config.map_or_else(String::new, |file| format!(" --config {}", quoted(&file.to_string_lossy())));
        let mut commands = Vec::new();
        if let Some(profile) = &self.scripted {
            let profile = quoted(profile);
            commands.push((
                format!(r#"{program} run{flag} --profile {profile} "hello from the sled""#),
                "a worker that says what it is told".to_owned(),
            ));
        }
        if let Some(profile) = &self.default {
            commands.push((
                format!(r#"{program} run{flag} "what is in this directory?""#),
                format!("the profile `{profile}`, with a model that costs what it costs"),
            ));
        }
        commands
            .push((format!("{program} serve{flag}"), "workers over HTTP, with logs that last".to_owned()));
        let width = commands.iter().map(|(command, _)| command.chars().count()).max().unwrap_or(0);
        commands.iter().map(|(command, what)| format!("  {command:width$}   {what}\n")).collect()
    }
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || PLAIN.contains(char);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_works_is_offered_as_it_was_called() {
        let name = |name: &str| Some(name.to_owned());
        let all = Offer { scripted: name("echo"), default: name("coder") };
        assert_eq!(
            all.commands("musher", None),
            "  musher run --profile echo \"hello from the sled\"   a worker that says what it is told\n  \
             musher run \"what is in this directory?\"           the profile `coder`, with a model that costs what it costs\n  \
             musher serve                                      workers over HTTP, with logs that last\n"
        );
        let none = Offer { scripted: None, default: None };
        assert_eq!(
            none.commands("./my musher", Some(Path::new("it's.toml"))),
            "  './my musher' serve --config 'it'\\''s.toml'   workers over HTTP, with logs that last\n"
        );
    }

    #[tokio::test]
    async fn a_profile_that_cannot_run_here_is_not_offered() {
        let mut config = Config::load(None).unwrap();
        config.default_profile = "echo".to_owned();
        let echo = || Some("echo".to_owned());
        assert_eq!(Offer::of(&config).await.unwrap(), Offer { scripted: echo(), default: echo() });
        let api = config.profiles.get_mut("coder").unwrap();
        api.backend = "gemini-api".to_owned();
        config.default_profile = "coder".to_owned();
        // Without a model there is no turn, whether or not there is a key.
        assert_eq!(Offer::of(&config).await.unwrap(), Offer { scripted: echo(), default: None });
    }
}
