//! What an examination found.

use std::time::Duration;

use musher_client::Error;
use musher_protocol::ErrorCode;
use serde::Serialize;
use tokio::time::timeout;

use super::pace::ANSWER_LIMIT;
use crate::failure::Chain;

/// What was checked, in order.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Check>);

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Check {
    name: &'static str,
    result: Verdict,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Failed,
    Skipped,
}

/// What is wrong, where that can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Problem {
    NoAnswer,
    NotMusher,
    Token,
    Scope,
    Host,
    NoWorker,
    WorkerEnded,
    NothingSeen,
    NeverQuiet,
    ProxyBuffers,
    ProxyClosesIdle,
    ProxyStripsUpgrade,
    ProxyHidesCloseCodes,
    LogDiffers,
}

/// One check's outcome.
#[derive(Clone, Debug)]
pub(super) enum Finding {
    Good(String),
    Bad(Option<Problem>, String),
    /// It is no part of what was asked for. What was, and could not be looked at, is bad.
    Skipped(String),
}

impl Problem {
    fn advice(self) -> &'static str {
        match self {
            Self::NoAnswer => {
                "is the server running, and is this the address that it or its proxy listens on?"
            }
            Self::NotMusher => {
                "something else answers there: look at the address, and where the proxy sends it"
            }
            Self::Token => "give the token's file with --token-file or MUSHER_TOKEN_FILE",
            Self::Scope => {
                "the token needs the scope `observe`, and `drive` to create a worker with --profile"
            }
            Self::Host => "name this host in `server.allowed_hosts` of the server's config",
            Self::NoWorker => "name a worker that is there, or a profile of the server's that can run",
            Self::WorkerEnded => "name a worker that runs: streams of one that has ended end too",
            Self::NothingSeen => "name a worker that has said something, or a profile of the server's",
            Self::NeverQuiet => {
                "name a worker that has nothing to do: signs of life come through silence only"
            }
            Self::ProxyBuffers => {
                "a proxy buffers: nginx needs `proxy_buffering off`; others must not collect or compress `text/event-stream`"
            }
            Self::ProxyClosesIdle => {
                "a proxy closes idle connections: nginx needs `proxy_read_timeout` and `proxy_send_timeout` of 60s or more"
            }
            Self::ProxyStripsUpgrade => {
                "a proxy strips the upgrade: nginx needs `proxy_http_version 1.1`, `proxy_set_header Upgrade $http_upgrade` and \
                 `proxy_set_header Connection \"upgrade\"`"
            }
            Self::ProxyHidesCloseCodes => {
                "a proxy cuts sockets off where they were closed; clients cannot tell why"
            }
            Self::LogDiffers => {
                "report this with the server's log: a stream must be its pages, event by event"
            }
        }
    }
}

/// A call that is answered at once, or not at all. Why it fails is a finding.
pub(super) async fn answered<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Finding> {
    within(ANSWER_LIMIT, call).await
}

/// A call with a limit. Why it fails is a finding.
pub(super) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Finding> {
    match timeout(limit, call).await {
        Ok(answer) => answer.map_err(|error| Finding::of(&error)),
        Err(_late) => {
            Err(Finding::Bad(Some(Problem::NoAnswer), format!("no answer within {} s", limit.as_secs())))
        }
    }
}

impl Finding {
    /// What an error says about the way to the server.
    pub(super) fn of(error: &Error) -> Self {
        const NO_WORKER: &[ErrorCode] = &[
            ErrorCode::WorkerNotFound,
            ErrorCode::InvalidWorkerId,
            ErrorCode::InvalidProfileSelector,
            ErrorCode::WorkerExecutionUnavailable,
        ];
        let problem = match error.code() {
            Some(ErrorCode::Unauthorized) => Some(Problem::Token),
            Some(ErrorCode::Forbidden) => Some(Problem::Scope),
            Some(ErrorCode::MisdirectedHost) => Some(Problem::Host),
            Some(code) if NO_WORKER.contains(&code) => Some(Problem::NoWorker),
            Some(_) => None,
            None if matches!(error, Error::Broken(_) | Error::TimeUp(_)) => Some(Problem::NoAnswer),
            None => Some(Problem::NotMusher),
        };
        Self::Bad(problem, Chain(error).to_string())
    }

    /// The same as the reason why something stays.
    pub(super) fn of_what_stays(self, what: &str) -> Self {
        match self {
            Self::Bad(problem, why) => Self::Bad(problem, format!("{what}: {why}")),
            Self::Good(_) | Self::Skipped(_) => self,
        }
    }
}

impl Report {
    pub(super) fn note(&mut self, name: &'static str, finding: Finding) {
        let (result, message, problem) = match finding {
            Finding::Good(message) => (Verdict::Ok, message, None),
            Finding::Bad(problem, message) => (Verdict::Failed, message, problem),
            Finding::Skipped(message) => (Verdict::Skipped, message, None),
        };
        self.0.push(Check { name, result, message, problem, advice: problem.map(Problem::advice) });
    }

    pub(super) fn too_late(&mut self, limit: Duration) {
        let says = format!("not everything was looked at within {} s", limit.as_secs());
        self.note("to the end", Finding::Bad(None, says));
    }

    pub(super) fn interrupted(&mut self) {
        self.note(
            "to the end",
            Finding::Bad(None, "a signal came before everything was looked at".to_owned()),
        );
    }

    pub(super) fn is_good(&self) -> bool {
        self.0.iter().all(|check| check.result != Verdict::Failed)
    }

    /// A line a check, and one more for what to do.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for Check { name, result, message, advice, problem: _ } in &self.0 {
            let result = match result {
                Verdict::Ok => "ok",
                Verdict::Failed => "failed",
                Verdict::Skipped => "skipped",
            };
            text += &format!("{result:<8} {name:<22} {message}\n");
            if let Some(advice) = advice {
                text += &format!("{:31} → {advice}\n", "");
            }
        }
        text
    }

    pub(super) fn json(&self) -> String {
        let report = serde_json::json!({"ok": self.is_good(), "checks": self.0});
        format!("{report}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_failed_and_what_to_do() {
        let mut report = Report::default();
        report.note("reachable", Finding::Good("answers in 3 ms".to_owned()));
        report.note("latency", Finding::Skipped("no event came".to_owned()));
        assert!(report.is_good());
        report.note("token", Finding::Bad(Some(Problem::Token), "the token is missing".to_owned()));
        assert!(!report.is_good());
        assert_eq!(
            report.text(),
            "ok       reachable              answers in 3 ms\n\
             skipped  latency                no event came\n\
             failed   token                  the token is missing\n\
             \x20                               → give the token's file with --token-file or MUSHER_TOKEN_FILE\n"
        );
        assert_eq!(
            report.json(),
            "{\"checks\":[{\"message\":\"answers in 3 ms\",\"name\":\"reachable\",\"result\":\"ok\"},\
             {\"message\":\"no event came\",\"name\":\"latency\",\"result\":\"skipped\"},\
             {\"advice\":\"give the token's file with --token-file or MUSHER_TOKEN_FILE\",\"message\":\"the token is missing\",\
             \"name\":\"token\",\"problem\":\"token\",\"result\":\"failed\"}],\"ok\":false}\n"
        );
    }
}
