//! The other end of a socket.

use std::{sync::Arc, time::Duration};

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use futures_util::SinkExt as _;
use musher_core::Frame;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use crate::{farewell::Farewell, metrics::Metrics, options::Bounds};

/// The peer is gone, or takes nothing any more: there is nobody to say anything to.
pub(super) struct Gone;

/// The other end of a socket.
pub(super) struct Peer {
    socket: WebSocket,
    pings: Interval,
    /// When it last showed that it is there.
    heard: Instant,
    peer_timeout: Duration,
    write_timeout: Duration,
    metrics: Arc<Metrics>,
}

/// What a peer says.
pub(super) enum Said {
    Text(Utf8Bytes),
    Binary,
    /// A message that is too long, or what is no WebSocket at all: nothing can be heard behind it. Where the connection
    /// itself has failed, saying so fails too.
    Nonsense,
    Goodbye,
}

impl Peer {
    pub(super) fn new(socket: WebSocket, bounds: &Bounds, metrics: Arc<Metrics>) -> Self {
        let Bounds { ping_interval, peer_timeout, write_timeout, .. } = *bounds;
        let mut pings = interval_at(Instant::now() + ping_interval, ping_interval);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { socket, pings, heard: Instant::now(), peer_timeout, write_timeout, metrics }
    }

    /// Waits until the peer says something, and asks it now and then whether it is there. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Said, Gone> {
        loop {
            tokio::select! {
                // What a peer has said is heard before its silence is judged.
                biased;
                received = self.socket.recv() => match received {
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => self.heard = Instant::now(),
                    Some(Ok(Message::Close(_))) => return Ok(Said::Goodbye),
                    Some(Ok(Message::Text(text))) => {
                        self.heard = Instant::now();
                        return Ok(Said::Text(text));
                    }
                    Some(Ok(Message::Binary(_))) => {
                        self.heard = Instant::now();
                        return Ok(Said::Binary);
                    }
                    Some(Err(_)) => return Ok(Said::Nonsense),
                    None => return Err(Gone),
                },
                _ = self.pings.tick() => {
                    if self.heard.elapsed() >= self.peer_timeout {
                        return Err(Gone);
                    }
                    // What a dropped call has begun to send goes out with what is sent next.
                    self.send([Message::Ping(Bytes::new())]).await?;
                }
            }
        }
    }

    /// Sends messages with one flush for all of them, which is what makes a busy log cheap. The time limit is for
    /// each time that the peer has to take something.
    pub(super) async fn send(&mut self, messages: impl IntoIterator<Item = Message>) -> Result<(), Gone> {
        let metrics = self.metrics.clone();
        let taken = |result| match result {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Gone),
            Err(_it_took_nothing) => {
                metrics.cut();
                Err(Gone)
            }
        };
        for message in messages {
            taken(timeout(self.write_timeout, self.socket.feed(message)).await)?;
        }
        taken(timeout(self.write_timeout, self.socket.flush()).await)
    }

    /// Says why the socket ends, and waits until the peer has closed its side too.
    pub(super) async fn close(&mut self, farewell: Farewell) {
        for message in farewell.into_messages() {
            if self.socket.feed(message).await.is_err() {
                return;
            }
        }
        if self.socket.flush().await.is_ok() {
            while let Some(Ok(_late)) = self.socket.recv().await {}
        }
    }
}

/// A frame of a log as a message.
pub(super) fn message(frame: &Frame) -> Message {
    Message::Text(Utf8Bytes::try_from(frame.text()).expect("a frame is JSON text"))
}
