//! Observation sockets that take bytes as fast as they come.

use std::{ops::ControlFlow, time::Instant};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{mpsc, watch},
    task::JoinSet,
};

use super::{connection::Address, frames::Frames};

/// What one read takes at most.
const READ: usize = 64 << 10;

/// A socket whose frames are looked at.
#[derive(Debug)]
pub(super) struct Observer {
    stream: TcpStream,
    frames: Frames,
    buffer: Vec<u8>,
}

/// Sockets whose bytes are only counted.
#[derive(Debug)]
pub(super) struct Crowd {
    goal: watch::Sender<Option<Goal>>,
    done: mpsc::Receiver<()>,
    sockets: JoinSet<()>,
}

/// How many bytes since its beginning a socket should have; each goal has its own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Goal {
    number: u64,
    bytes: u64,
}

impl Observer {
    /// Observes a peer that sends frames, and will get what it sends next.
    pub(super) async fn of_peer(address: &Address) -> Self {
        let mut observer = Self::of(address.connect().await);
        observer.first().await;
        observer
    }

    fn of(stream: TcpStream) -> Self {
        Self { stream, frames: Frames::default(), buffer: vec![0; READ] }
    }

    /// Observes a worker with this query; the snapshot is the first frame.
    pub(super) async fn open(address: &Address, worker: &str, query: &str) -> Self {
        let Address { port, token } = address;
        let mut stream = address.connect().await;
        let request = format!(
            "GET /v1/workers/{worker}/events/ws{query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        let end = loop {
            assert_ne!(stream.read_buf(&mut head).await.unwrap(), 0, "an answer");
            if let Some(at) = head.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
        };
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        let mut observer = Self::of(stream);
        observer.frames.push(&head[end..]);
        observer
    }

    /// Looks at each frame, header included, and at what it says, until it is told to break.
    pub(super) async fn read(&mut self, mut look: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>) {
        loop {
            while let Some((whole, body)) = self.frames.next() {
                if look(whole, body).is_break() {
                    return;
                }
            }
            let n = self.stream.read(&mut self.buffer).await.unwrap();
            assert_ne!(n, 0, "a frame");
            self.frames.push(&self.buffer[..n]);
        }
    }

    /// Looks at each frame of a turn, up to the worker's new state, which is the last thing that a turn leaves.
    pub(super) async fn turn(&mut self, mut look: impl FnMut(&[u8], &[u8])) {
        let mut is_over = false;
        self.read(|whole, body| {
            look(whole, body);
            is_over |= says(body, br#""type":"turn_finished""#);
            if is_over && says(body, br#""type":"status""#) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .await;
    }

    /// Reads the snapshot, or whatever is first.
    pub(super) async fn first(&mut self) {
        self.read(|_, _| ControlFlow::Break(())).await;
    }

    /// Reads up to the event with this number.
    pub(super) async fn until(&mut self, seq: u64) {
        let seq = format!(r#","seq":{seq},"#);
        self.read(|_, body| {
            if says(body, seq.as_bytes()) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .await;
    }

    /// The socket, for somebody who only counts; nothing may be under way.
    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }
}

/// Whether these bytes are in a body.
pub(super) fn says(body: &[u8], what: &[u8]) -> bool {
    body.windows(what.len()).any(|window| window == what)
}

impl Crowd {
    /// Counts on all of these from now on.
    pub(super) fn new(streams: Vec<TcpStream>) -> Self {
        let goal = watch::Sender::new(None);
        // Each socket says once of each goal that it is there.
        let (says, done) = mpsc::channel(streams.len().max(1));
        let mut sockets = JoinSet::new();
        for stream in streams {
            sockets.spawn(count(stream, goal.subscribe(), says.clone()));
        }
        Self { goal, done, sockets }
    }

    /// Waits until every socket has so many bytes since its beginning, and answers when that was.
    pub(super) async fn reach(&mut self, bytes: u64) -> Instant {
        let number = self.goal.borrow().map_or(0, |goal| goal.number + 1);
        self.goal.send_replace(Some(Goal { number, bytes }));
        for _ in 0..self.sockets.len() {
            tokio::select! {
                said = self.done.recv() => said.expect("sockets count until they are dropped"),
                ended = self.sockets.join_next() => panic!("a socket ended: {ended:?}"),
            }
        }
        Instant::now()
    }
}

async fn count(mut stream: TcpStream, mut goal: watch::Receiver<Option<Goal>>, says: mpsc::Sender<()>) {
    let (mut buffer, mut bytes, mut reached) = (vec![0; READ], 0, None);
    loop {
        tokio::select! {
            n = stream.read(&mut buffer) => match n {
                Ok(n @ 1..) => bytes += n as u64,
                // Whoever waits for a goal is told by the task's end.
                Ok(0) | Err(_) => return,
            },
            changed = goal.changed() => if changed.is_err() { return },
        }
        let wanted = *goal.borrow();
        if let Some(wanted) = wanted.filter(|wanted| bytes >= wanted.bytes && reached != Some(wanted.number))
        {
            reached = Some(wanted.number);
            if says.send(()).await.is_err() {
                return;
            }
        }
    }
}
