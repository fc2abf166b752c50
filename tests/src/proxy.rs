//! A proxy between a client and a server that does on purpose what real ones do by their settings.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
};

use crate::torture::seed::Seed;

/// What a proxy with a buffer of usual size holds back.
const BUFFER: usize = 64 << 10;

/// What is wrong with a proxy.
#[derive(Clone, Copy, Debug)]
pub enum Vice {
    /// Nothing.
    None,
    /// The first so many connections are cut at a random byte of what the server sends, in order or not.
    Cuts {
        /// Where.
        seed: u64,
        /// Behind fewer bytes than this.
        below: u64,
        /// How many.
        n: usize,
    },
    /// Streams are collected before they are passed on.
    Buffers,
    /// Quiet connections are closed just before the server's sign of life would come; told by what comes, not by a clock,
    /// so that how fast the machine is does not matter.
    ClosesIdle,
    /// A wish for a socket is not passed on.
    StripsUpgrade,
    /// The answer to a create never comes: the connection is closed in its place.
    LosesCreation,
    /// The first create is answered by closing its connection; the server gets it later, before the next answer is passed on.
    DelaysCreation,
    /// No create is passed on: the connection is closed in its place.
    SwallowsCreation,
}

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    cuts: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

/// What its connections share.
#[derive(Clone)]
struct Habit {
    vice: Vice,
    cuts: Arc<AtomicUsize>,
    // One place of cutting after the other; held for one number.
    seed: Arc<Mutex<Seed>>,
    // The first create; held for one look.
    creation: Arc<Mutex<Creation>>,
}

/// Where the first create is.
#[derive(Debug, Default)]
enum Creation {
    #[default]
    Awaited,
    Held(Vec<u8>),
    PassedOn,
}

impl Proxy {
    /// A proxy before this port.
    pub async fn start(to: u16, vice: Vice) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cuts = Arc::new(AtomicUsize::new(0));
        let seed = match vice {
            Vice::Cuts { seed, .. } => seed,
            Vice::None
            | Vice::Buffers
            | Vice::ClosesIdle
            | Vice::StripsUpgrade
            | Vice::LosesCreation
            | Vice::DelaysCreation
            | Vice::SwallowsCreation => 0,
        };
        let habit = Habit {
            vice,
            cuts: Arc::clone(&cuts),
            seed: Arc::new(Mutex::new(Seed::new(seed))),
            creation: Arc::default(),
        };
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let (client, _) = accepted.unwrap();
                        connections.spawn(habit.clone().serve(client, to));
                    }
                    Some(ended) = connections.join_next() => ended.unwrap(),
                }
            }
        });
        Self { port, cuts, _serving: serving }
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How many connections it has cut.
    #[must_use]
    pub fn cuts(&self) -> usize {
        self.cuts.load(Ordering::Relaxed)
    }
}

impl Habit {
    async fn serve(self, client: TcpStream, to: u16) {
        // A server that is gone closes the connection, as a client would see it without a proxy.
        let Ok(server) = TcpStream::connect(("127.0.0.1", to)).await else { return };
        for socket in [&client, &server] {
            socket.set_nodelay(true).unwrap();
        }
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        // Whichever side ends, the other one does.
        tokio::select! {
            () = self.ask(from_client, to_server) => {}
            () = self.answer(from_server, to_client, to) => {}
        }
    }

    async fn ask(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            let mut bytes = buffer[..n].to_vec();
            if matches!(self.vice, Vice::StripsUpgrade) {
                strip(&mut bytes, b"\r\nupgrade: websocket");
            }
            if bytes.starts_with(b"POST /v1/workers ") && self.keeps(&mut from, &bytes).await {
                return;
            }
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    }

    /// Whether a create that begins like this is not passed on.
    async fn keeps(&self, from: &mut OwnedReadHalf, begin: &[u8]) -> bool {
        let is_delayed = match self.vice {
            Vice::SwallowsCreation => return true,
            Vice::DelaysCreation => matches!(*self.creation.lock().unwrap(), Creation::Awaited),
            Vice::None
            | Vice::Cuts { .. }
            | Vice::Buffers
            | Vice::ClosesIdle
            | Vice::StripsUpgrade
            | Vice::LosesCreation => false,
        };
        if is_delayed {
            let mut request = begin.to_vec();
            while !is_whole(&request) {
                let n = from.read_buf(&mut request).await.unwrap();
                assert_ne!(n, 0, "a whole request");
            }
            *self.creation.lock().unwrap() = Creation::Held(request);
        }
        is_delayed
    }

    /// Lets the server have the create that is held, and waits until it has answered.
    async fn pass_on(&self, to: u16) {
        let held = {
            let mut creation = self.creation.lock().unwrap();
            let Creation::Held(request) = &mut *creation else { return };
            let request = std::mem::take(request);
            *creation = Creation::PassedOn;
            request
        };
        let mut server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
        server.write_all(&held).await.unwrap();
        let mut answer = [0; 12];
        server.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    }

    async fn answer(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, server: u16) {
        let mut left = self.cut_after();
        let mut held: Option<Vec<u8>> = None;
        let mut buffer = vec![0; 64 << 10];
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            self.pass_on(server).await;
            let mut bytes = &buffer[..n];
            let is_closed = match self.vice {
                Vice::ClosesIdle => is_sign_of_life(bytes),
                Vice::LosesCreation => find(bytes, b"\r\nlocation: /v1/workers/").is_some(),
                Vice::None
                | Vice::Cuts { .. }
                | Vice::Buffers
                | Vice::StripsUpgrade
                | Vice::DelaysCreation
                | Vice::SwallowsCreation => false,
            };
            if is_closed {
                return;
            }
            if matches!(self.vice, Vice::Buffers) && (held.is_some() || is_stream(bytes)) {
                let held = held.get_or_insert_default();
                held.extend_from_slice(bytes);
                if held.len() < BUFFER {
                    continue;
                }
                let written = to.write_all(&std::mem::take(held)).await;
                if written.is_err() {
                    return;
                }
                continue;
            }
            if let Some(left) = &mut left {
                bytes = &bytes[..n.min(usize::try_from(*left).unwrap())];
                *left -= bytes.len() as u64;
            }
            if to.write_all(bytes).await.is_err() {
                return;
            }
            if left == Some(0) {
                self.cuts.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        if let Some(held) = held {
            // Whoever is gone by now has not waited for it.
            let _gone = to.write_all(&held).await;
        }
    }

    /// After how many bytes a new connection is cut.
    fn cut_after(&self) -> Option<u64> {
        match self.vice {
            Vice::Cuts { below, n, .. } if self.cuts.load(Ordering::Relaxed) < n => {
                Some(self.seed.lock().unwrap().below(below))
            }
            Vice::None
            | Vice::Cuts { .. }
            | Vice::Buffers
            | Vice::ClosesIdle
            | Vice::StripsUpgrade
            | Vice::LosesCreation
            | Vice::DelaysCreation
            | Vice::SwallowsCreation => None,
        }
    }
}

/// Whether this is a request with all of its JSON.
fn is_whole(request: &[u8]) -> bool {
    const END: &[u8] = b"\r\n\r\n";
    let body = find(request, END).map(|at| &request[at + END.len()..]);
    body.is_some_and(|body| serde_json::from_slice::<serde_json::Value>(body).is_ok())
}

/// Whether this is the beginning of a stream's answer.
fn is_stream(bytes: &[u8]) -> bool {
    find(bytes, b"content-type: text/event-stream").is_some()
}

/// Whether this is what a server says on a quiet connection: a stream's empty comment, or a socket's ping.
fn is_sign_of_life(bytes: &[u8]) -> bool {
    const PING: u8 = 0x89;
    bytes.first() == Some(&PING) || find(bytes, b"\r\n:\n\n").is_some()
}

fn strip(bytes: &mut Vec<u8>, words: &[u8]) {
    if let Some(at) = find(bytes, words) {
        bytes.drain(at..at + words.len());
    }
}

fn find(bytes: &[u8], words: &[u8]) -> Option<usize> {
    bytes.windows(words.len()).position(|part| part.eq_ignore_ascii_case(words))
}
