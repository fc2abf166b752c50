//! How a running server hears of other tokens.

use std::{convert::Infallible, time::Duration};

use musher_core::Runtime;
use musher_http::Tokens;
use tokio::time::{MissedTickBehavior, interval};

use super::{Known, Sources, TokensError};
use crate::failure::Chain;

/// How often the files are read. They are small, and what a file system says of when a file changed is too coarse to
/// trust; what was opened with a revoked token has ended within some seconds.
const LOOK: Duration = Duration::from_secs(1);

/// Takes tokens as their files say, for as long as it is polled. Where they cannot be read, those of before hold: nobody
/// gains anything by a broken file, and nobody is locked out.
pub(crate) async fn follow(
    sources: Sources,
    tokens: Tokens,
    mut known: Known,
    runtime: Runtime,
) -> Infallible {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tell_not_taken(&runtime, &known.not_taken, &[]);
    let mut fault = None;
    loop {
        looks.tick().await;
        let sources = sources.clone();
        let read = tokio::task::spawn_blocking(move || sources.read()).await;
        match read.expect("reading files does not panic") {
            Ok(now) => {
                if fault.take().is_some() {
                    tracing::info!("tokens can be read again");
                }
                if now.tokens != known.tokens {
                    let names = now.tokens.iter().map(|token| token.name.as_str()).collect::<Vec<_>>();
                    tracing::info!(tokens = names.join(", "), "other tokens from now on");
                    tokens.replace(now.tokens.clone());
                }
                tell_not_taken(&runtime, &now.not_taken, &known.not_taken);
                known = now;
            }
            Err(error) => {
                let said = Chain(&error).to_string();
                // Once for each fault, and not each second.
                if fault.as_ref() != Some(&said) {
                    tracing::error!(error = said, "tokens cannot be read");
                    runtime.report("tokens.not_read", what(&error));
                    fault = Some(said);
                }
            }
        }
    }
}

/// Tells of each token that is not taken, once.
fn tell_not_taken(runtime: &Runtime, names: &[String], told: &[String]) {
    for name in names.iter().filter(|name| !told.contains(name)) {
        tracing::error!(
            token = name,
            "the tokens file has a token with the name of the admin's or one of the config"
        );
        let message = format!(
            "the tokens file has a token `{name}`, which is the admin's name or one of the config: it is not taken; \
             revoke it and make one with another name"
        );
        runtime.report("tokens.not_taken", message);
    }
}

/// What clients may know of it.
fn what(error: &TokensError) -> String {
    let what = match error {
        TokensError::Admin(_) => "the file of the admin's token cannot be used",
        TokensError::File(_) => "the tokens file cannot be used",
        TokensError::SameName(_) | TokensError::SameText(..) => "two tokens are the same",
    };
    format!("{what}; the tokens of before hold, and the server's log says more")
}
