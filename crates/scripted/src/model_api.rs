//! A scripted model server: it speaks the protocols of model APIs, and a function says what.
//!
//! For demos, benchmarks, and tests of a client of such an API; Musher's own tests of its API backends stand on it. No
//! model runs, and every answer says so: its `model` is [`MODEL`].
//!
//! Whoever starts a server brings its script, a function from a request and its number to an [`Answer`], and what the
//! vendor would refuse, a function from a request to [`Violation`]s. A request that is refused gets no scripted answer
//! but a status that fails every client, and stays in [`ModelApi::violations`]: a test ends by asserting that there are
//! none.
//!
//! The words of three protocols are here, each with the same functions: `answer` and `begun` spell a [`Reply`], `turn`
//! reads where a conversation stands, and `violations` says what is wrong with any request:
//!
//! | Module | Protocol |
//! |---|---|
//! | [`responses`] | OpenAI's `POST /v1/responses` |
//! | [`chat`] | `POST /v1/chat/completions`, of OpenAI and most others |
//! | [`generate`] | Gemini's `POST …:streamGenerateContent?alt=sse` |
//!
//! Answers are streams; what a client asks for in one piece can be had from [`Answer::json`].
//!
//! Invariant: it listens on the loopback interface alone, and on a port that was free.
//! Invariant: connections, bodies, their times and what is remembered of them are bounded.
//! Invariant: a script is a function of what was asked: the same requests get the same answers.
//! Invariant: dropping a server ends its tasks and closes its connections.
//!
//! # Example
//!
//! A test of a client that shall come back when an answer breaks off:
//!
//! ```
//! use musher_scripted::model_api::{ModelApi, Reply, responses};
//! # use std::io;
//! # use tokio::{io::{AsyncReadExt as _, AsyncWriteExt as _}, net::TcpStream};
//! #
//! # async fn ask(base_url: &str, api_key: &str, words: &str) -> io::Result<String> {
//! #     let rest = base_url.strip_prefix("http://").and_then(|rest| rest.strip_suffix("/v1"));
//! #     let body = format!(r#"{{"stream": true, "input": [{{"role": "user", "content": "{words}"}}]}}"#);
//! #     let length = body.len();
//! #     let request = format!(
//! #         "POST /v1/responses HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
//! #          authorization: Bearer {api_key}\r\ncontent-length: {length}\r\n\r\n{body}"
//! #     );
//! #     let mut stream = TcpStream::connect(rest.expect("a base URL")).await?;
//! #     stream.write_all(request.as_bytes()).await?;
//! #     let mut answer = String::new();
//! #     stream.read_to_string(&mut answer).await?;
//! #     Ok(answer)
//! # }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> io::Result<()> {
//! let api = ModelApi::start(
//!     |request| responses::violations(request, "sk-test"),
//!     |request, number| match (responses::turn(request).prompt.as_str(), number) {
//!         ("hello", 0) => responses::begun(&Reply::text("good mor")).cut(),
//!         ("hello", _) => responses::answer(&Reply::text("good morning")),
//!         _ => responses::answer(&Reply::calls(&[("call_1", "read_file", r#"{"path": "a.txt"}"#)])),
//!     },
//! )
//! .await?;
//!
//! // `ask` stands for the client: it sends one request, and answers with all that comes.
//! let base_url = format!("{}/v1", api.url());
//! let broken = ask(&base_url, "sk-test", "hello").await?;
//! assert!(broken.contains(r#""delta":"mor""#) && !broken.contains("response.completed"));
//! let whole = ask(&base_url, "sk-test", "hello").await?;
//! assert!(whole.contains(r#""delta":"morning""#) && whole.contains("response.completed"));
//!
//! assert_eq!(api.requests().len(), 2);
//! assert_eq!(api.violations(), []);
//! # Ok(())
//! # }
//! ```

mod answer;
pub mod chat;
pub mod generate;
mod listening;
mod log;
mod pairing;
mod playback;
mod received;
mod reply;
pub mod responses;
mod server;
mod violation;

use std::{fmt, io, time::Duration};

use tokio::{net::TcpListener, sync::watch, task::JoinSet, time::timeout};

use self::log::Log;
pub use self::{
    answer::Answer,
    playback::Frame,
    received::{Received, Turn},
    reply::{Call, MODEL, Reply},
    violation::Violation,
};

/// How long a wait for something that a client does at once may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server; dropping it ends it.
#[derive(Debug)]
pub struct ModelApi {
    url: String,
    log: watch::Receiver<Log>,
    /// Only held: dropping the set ends the accept loop, and with it every connection.
    _server: JoinSet<()>,
}

/// What the vendor would refuse about a request.
type Check = dyn Fn(&Received) -> Vec<Violation> + Send + Sync;
/// How a request is answered, by its number, from 0.
type Script = dyn Fn(&Received, usize) -> Answer + Send + Sync;

/// What whoever starts a server brings.
struct Part {
    check: Box<Check>,
    script: Box<Script>,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").finish_non_exhaustive()
    }
}

impl ModelApi {
    /// Starts a server on a free port of the loopback interface.
    ///
    /// The first of a request's violations is also how it is refused. Requests are numbered from 0 in the order in
    /// which their bodies were complete, refused ones too.
    ///
    /// # Errors
    ///
    /// When the machine has no free loopback port.
    pub async fn start(
        check: impl Fn(&Received) -> Vec<Violation> + Send + Sync + 'static,
        script: impl Fn(&Received, usize) -> Answer + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (log, seen) = watch::channel(Log::default());
        let part = Part { check: Box::new(check), script: Box::new(script) };
        let mut server = JoinSet::new();
        server.spawn(server::serve(listener, part, log));
        Ok(Self { url: format!("http://{address}"), log: seen, _server: server })
    }

    /// The base URL, without a path.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// All requests so far, in the order of their numbers. When their bodies come to more than 256 MiB, the oldest are
    /// forgotten.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.log.borrow().requests().cloned().collect()
    }

    /// What requests did that the vendor would refuse, in order: the first thousand.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.log.borrow().violations().to_vec()
    }

    /// Waits until so many requests have come.
    ///
    /// # Panics
    ///
    /// When they do not come within 30 s.
    pub async fn requested(&self, n_requests: usize) {
        self.wait_for("requests", |log| log.n_requests() >= n_requests).await;
    }

    /// Waits until so many answers were abandoned: their connections are closed before their end.
    ///
    /// # Panics
    ///
    /// When that does not happen within 30 s.
    pub async fn abandoned(&self, n_answers: usize) {
        self.wait_for("abandoned answers", |log| log.n_abandoned() >= n_answers).await;
    }

    /// Waits until a request has come that is wanted, and answers with the first such.
    ///
    /// # Panics
    ///
    /// When none comes within 30 s.
    pub async fn request_where(&self, is_wanted: impl Fn(&Received) -> bool) -> Received {
        self.wait_for("a certain request", |log| log.requests().any(&is_wanted)).await;
        self.log.borrow().requests().find(|request| is_wanted(request)).cloned().expect("it has come")
    }

    async fn wait_for(&self, what: &str, wanted: impl FnMut(&Log) -> bool) {
        let mut log = self.log.clone();
        let waited = timeout(PATIENCE, log.wait_for(wanted)).await;
        let has_come = matches!(waited, Ok(Ok(_)));
        assert!(
            has_come,
            "waited for {what}, saw {:#?} and violations {:?}",
            self.requests(),
            self.violations()
        );
    }
}

#[cfg(test)]
mod tests;
