//! Observation sockets.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use musher_protocol::{Frame, StreamRequest};
use reqwest::{
    StatusCode, Upgraded,
    header::{
        CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
    },
};
use tokio::time::timeout;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        error::ProtocolError,
        handshake::{client::generate_key, derive_accept_key},
        protocol::{Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use crate::{Client, Error, decoder::MAX_BLOCK, request::Request};

/// A server goes over to a socket at once.
const BEGIN_LIMIT: Duration = Duration::from_secs(30);

/// A socket that observes. It is read frame by frame, and nothing is read ahead but what the connection holds.
#[derive(Debug)]
pub struct Socket {
    socket: WebSocketStream<Upgraded>,
}

/// What a socket says.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// A frame.
    Frame(Box<Frame>),
    /// A sign of life, every 20 s. It is answered by itself.
    Ping,
}

/// Why a socket says nothing more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketEnd {
    /// It was closed in order.
    #[error("the socket was closed with {0}")]
    Closed(u16),
    /// The connection broke.
    #[error("the socket broke")]
    Broken(#[source] tungstenite::Error),
    /// What came is no frame of Musher's.
    #[error("read a frame")]
    Unreadable(#[source] serde_json::Error),
}

pub(crate) async fn open(client: &Client, request: Request) -> Result<Socket, Error> {
    let key = generate_key();
    let request = request
        .header(CONNECTION, HeaderValue::from_static("Upgrade"))
        .header(UPGRADE, HeaderValue::from_static("websocket"))
        .header(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
        .header(SEC_WEBSOCKET_KEY, HeaderValue::from_str(&key).expect("base64 is a header's value"));
    let begun = timeout(BEGIN_LIMIT, async {
        let response = client.open(&request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::Foreign { status: response.status().as_u16(), retry_after: None });
        }
        if response.headers().get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes)
            != Some(derive_accept_key(key.as_bytes()).as_bytes())
        {
            let mismatch = ProtocolError::SecWebSocketAcceptKeyMismatch;
            return Err(Error::Handshake(tungstenite::Error::Protocol(mismatch)));
        }
        let upgraded = response.upgrade().await.map_err(Error::Broken)?;
        // What is written are requests of some bytes, so only what is read needs a bound.
        let config =
            WebSocketConfig::default().max_message_size(Some(MAX_BLOCK)).max_frame_size(Some(MAX_BLOCK));
        Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await)
    });
    let socket = begun.await.map_err(|_too_late| Error::TimeUp(BEGIN_LIMIT))??;
    Ok(Socket { socket })
}

impl Socket {
    /// The next frame. When dropped early, nothing is lost.
    ///
    /// # Errors
    ///
    /// At the socket's end, which has its reason in the code and mostly in a diagnostic before it.
    pub async fn next(&mut self) -> Result<Frame, SocketEnd> {
        loop {
            match self.said().await? {
                Said::Frame(frame) => return Ok(*frame),
                Said::Ping => {}
            }
        }
    }

    /// The next frame or sign of life. When dropped early, nothing is lost.
    ///
    /// # Errors
    ///
    /// As [`Socket::next`].
    pub async fn said(&mut self) -> Result<Said, SocketEnd> {
        loop {
            let message = match self.socket.next().await {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Err(SocketEnd::Broken(error)),
                None => return Err(SocketEnd::Broken(tungstenite::Error::ConnectionClosed)),
            };
            match message {
                Message::Text(text) => {
                    let frame = serde_json::from_str(&text).map_err(SocketEnd::Unreadable)?;
                    return Ok(Said::Frame(Box::new(frame)));
                }
                Message::Ping(_) => return Ok(Said::Ping),
                Message::Close(close) => {
                    let code = close.map_or(CloseCode::Status, |close| close.code);
                    return Err(SocketEnd::Closed(code.into()));
                }
                Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {}
            }
        }
    }

    /// Says something on a socket for many workers. One of a single worker ends with that.
    ///
    /// # Errors
    ///
    /// When the connection broke.
    pub async fn send(&mut self, request: &StreamRequest) -> Result<(), SocketEnd> {
        let text = serde_json::to_string(request).expect("a request of the wire is JSON");
        self.socket.send(Message::text(text)).await.map_err(SocketEnd::Broken)
    }
}
