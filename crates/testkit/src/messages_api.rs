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
//! a [`Violation`]. An argument cannot hold `@@`; the JSON of `tool` can say it as `\u0040\u0040`.

mod answer;
pub(crate) mod prompt;
mod request;
mod scenario;
mod server;
mod violation;

use std::{collections::HashMap, time::Duration};

use tokio::{net::TcpListener, sync::watch, task::JoinSet, time::timeout};
use uuid::Uuid;

pub use self::{
    answer::{CACHE_CREATION_INPUT_TOKENS, CACHE_READ_INPUT_TOKENS, INPUT_TOKENS, OUTPUT_TOKENS},
    request::Received,
    violation::Violation,
};

/// How long a wait for a request lasts: a real client starts in less than 3 s, a busy machine with
/// many of them takes several times as long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running fake; dropping it ends it.
#[derive(Debug)]
pub struct MessagesApi {
    url: String,
    api_key: String,
    log: watch::Receiver<Log>,
    /// Only held: dropping the set ends the accept loop, and with it every connection.
    _server: JoinSet<()>,
}

impl MessagesApi {
    /// Starts a fake on a free port of the loopback interface, with an API key of its own.
    ///
    /// # Panics
    ///
    /// When the machine has no free loopback port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let api_key = format!("sk-ant-fake-{}", Uuid::new_v4().simple());
        let (log, seen) = watch::channel(Log::default());
        let mut server = JoinSet::new();
        server.spawn(server::serve(listener, api_key.clone(), log));
        Self { url: format!("http://{address}"), api_key, log: seen, _server: server }
    }

    /// The base URL, as `ANTHROPIC_BASE_URL` wants it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The only key that this fake accepts.
    pub fn api_key(&self) -> &str {
        &self.api_key
    }

    /// All requests so far, in the order in which their bodies were complete, without `HEAD /`: some
    /// clients begin with it to see whether anything is there.
    pub fn requests(&self) -> Vec<Received> {
        self.log.borrow().requests.clone()
    }

    /// What requests did that the vendor would refuse, in order.
    pub fn violations(&self) -> Vec<Violation> {
        self.log.borrow().violations.clone()
    }

    /// Waits until `count` requests have arrived, and returns the last of these.
    ///
    /// # Panics
    ///
    /// When they do not arrive within 30 s, or for a `count` of 0.
    pub async fn nth_request(&self, count: usize) -> Received {
        let index = count.checked_sub(1).expect("requests are counted from 1");
        self.wait_for(&format!("{count} requests"), |requests| requests.get(index)).await
    }

    /// Waits until a request has arrived that is `wanted`, and returns the first such.
    ///
    /// # Panics
    ///
    /// When none arrives within 30 s.
    pub async fn request_where(&self, wanted: impl Fn(&Received) -> bool) -> Received {
        self.wait_for("a certain request", |requests| requests.iter().find(|request| wanted(request))).await
    }

    async fn wait_for(&self, what: &str, find: impl Fn(&[Received]) -> Option<&Received>) -> Received {
        let mut log = self.log.clone();
        let waited = timeout(PATIENCE, log.wait_for(|log| find(&log.requests).is_some())).await;
        match waited {
            Ok(Ok(log)) => find(&log.requests).cloned().expect("the wait ended because it is there"),
            Ok(Err(_)) | Err(_) => panic!(
                "waited for {what}, saw {:?}, violations {:?}",
                self.requests().iter().map(Received::prompt).collect::<Vec<_>>(),
                self.violations()
            ),
        }
    }
}

/// What has arrived so far.
#[derive(Debug, Default)]
struct Log {
    requests: Vec<Received>,
    violations: Vec<Violation>,
    /// How often each prompt was asked, for scenarios that fail a number of times.
    attempts: HashMap<String, usize>,
}
