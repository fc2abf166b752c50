//! What a server is told: where, for whom, and within which bounds.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use secrecy::SecretString;

use crate::{host::AllowedHost, token::Token, tokens::Tokens};

/// How a runtime is served. Who may ask is for the caller to decide, so there is no default of the whole.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Where [`HttpServer::bind`](crate::HttpServer::bind) listens; `127.0.0.1:0` unless set. Not used when a
    /// listener is given.
    pub listen: SocketAddr,
    /// Who may ask.
    pub access: Access,
    /// Names that the server answers for, besides `127.0.0.1`, `[::1]` and `localhost` with any port.
    pub allowed_hosts: Vec<AllowedHost>,
    /// How much a client may hold, and for how long.
    pub bounds: Bounds,
}

/// Who may ask.
#[derive(Clone, Debug)]
pub enum Access {
    /// **Everybody who reaches the socket may do everything**, which includes every program and every user of
    /// this machine, and the workers themselves. Only for tests, and behind something that authenticates.
    Open,
    /// Whoever holds one of these tokens, within its scopes. With no tokens: nobody.
    Tokens(Tokens),
}

/// How much a client may hold, and for how long.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Open connections, sockets that observe included. One more waits unaccepted, in the kernel's own bounded
    /// queue: a refusal in HTTP would need the very connection that there is no room for.
    pub max_connections: u32,
    /// Streams: sockets that observe, and answers that go on. Less than the connections, so that observers never lock
    /// out those who drive; one more is answered 429.
    pub max_streams: u32,
    /// Workers that one socket may subscribe to. One more is told so, and the socket goes on.
    pub max_subscriptions: u32,
    /// For the head of a request to arrive; also how long a connection may idle between two requests.
    pub head_timeout: Duration,
    /// For the body of a request to arrive; also how long is listened to a client that was hung up on.
    pub body_timeout: Duration,
    /// For a client to take any more of what is written to it.
    pub write_timeout: Duration,
    /// Largest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// Time after which a stream that has nothing to say says that it is there; must not be zero.
    pub heartbeat_interval: Duration,
    /// Time between two pings of a socket that observes; must not be zero.
    pub ping_interval: Duration,
    /// How long the peer of such a socket may be silent.
    pub peer_timeout: Duration,
    /// For such a socket to be closed by both sides; and how long a client that was hung up on may be silent until its
    /// connection is gone.
    pub close_timeout: Duration,
    /// For requests and sockets to end once the server is to end; then they are cut.
    pub shutdown_timeout: Duration,
}

impl HttpOptions {
    /// Without authentication; see [`Access::Open`] for what that means.
    #[must_use]
    pub fn open() -> Self {
        Self::with_access(Access::Open)
    }

    /// One token, which may do everything. Only its hash is kept.
    #[must_use]
    pub fn with_token(token: &SecretString) -> Self {
        Self::with_tokens(vec![Token::admin("token", token)])
    }

    /// These tokens, for as long as the server runs.
    #[must_use]
    pub fn with_tokens(tokens: Vec<Token>) -> Self {
        Self::with_access(Access::Tokens(Tokens::new(tokens)))
    }

    /// For whom it says.
    #[must_use]
    pub fn with_access(access: Access) -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { listen, access, allowed_hosts: Vec::new(), bounds: Bounds::default() }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            // An idle connection costs some 20 KiB, so this is under 100 MiB.
            max_connections: 4096,
            max_streams: 3072,
            // As many as a page of workers has; each costs some hundred bytes.
            max_subscriptions: 1000,
            // A head fits into one packet; whoever needs longer for it is broken or hostile. Not less, for it
            // also closes the idle connections of a client's pool.
            head_timeout: Duration::from_secs(20),
            // 2 MiB in this time is a slow mobile line.
            body_timeout: Duration::from_secs(30),
            // As long as a peer may be silent: a laptop that changes its network comes back in this time.
            write_timeout: Duration::from_secs(60),
            // More than a model takes at once.
            max_body_bytes: 2 << 20,
            // Under the 30 s after which the shortest-lived proxies and NATs forget a connection.
            ping_interval: Duration::from_secs(20),
            peer_timeout: Duration::from_secs(60),
            // Under those 30 s too.
            heartbeat_interval: Duration::from_secs(15),
            // Some round trips; nothing is lost when it is cut short.
            close_timeout: Duration::from_secs(5),
            // With the sessions' own 20 s this stays within the 30 s that service supervisors give.
            shutdown_timeout: Duration::from_secs(8),
        }
    }
}
