//! Bare programs that bound what a server can do: they move the same bytes and do nothing else.
//!
//! Each runs in a process of its own, as the server does. It says its port on stdout, does its work once for each
//! line on stdin, and ends when stdin does.

use std::{
    ffi::OsStr,
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use musher_protocol::Frame;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::{broadcast, watch},
    task::JoinSet,
};

use super::{
    connection::Address,
    frames::{Frames, header},
};

/// What a connection that gets frames begins with: a text frame that says nothing. Who has it gets what is sent next.
const HELLO: [u8; 2] = [0x81, 0];
/// What one write holds, as in the server.
const WRITE: usize = 64 << 10;

/// What a peer does.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    way: Way,
    /// The bytes that it sends: frames, or an answer.
    bytes: PathBuf,
    /// How often it sends them at a time.
    #[arg(long, default_value_t = 1)]
    times: u64,
}

/// How the bytes go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Way {
    /// To each connection in writes as large as the server's.
    Batches,
    /// Each frame is serialized for each connection and written alone.
    Naive,
    /// As the answer to each request.
    Answers,
}

/// A peer that runs.
#[derive(Debug)]
pub(super) struct Peer {
    process: Child,
    stdin: ChildStdin,
    _stdout: BufReader<ChildStdout>,
    port: u16,
}

impl Peer {
    /// Starts one.
    pub(super) async fn start(way: Way, bytes: &Path, times: u64) -> Self {
        let way = clap::ValueEnum::to_possible_value(&way).expect("no way is hidden");
        let times = times.to_string();
        Self::spawn(&[
            "peer".as_ref(),
            way.get_name().as_ref(),
            bytes.as_ref(),
            "--times".as_ref(),
            times.as_ref(),
        ])
        .await
    }

    /// Starts this program with these words; it says its port first.
    pub(super) async fn spawn(words: &[&OsStr]) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (stdin, stdout) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let (mut stdout, mut line) = (BufReader::new(stdout), String::new());
        stdout.read_line(&mut line).await.unwrap();
        Self { process, stdin, _stdout: stdout, port: line.trim().parse().expect("a port") }
    }

    /// Where it is; it lets everybody in.
    pub(super) fn address(&self) -> Address {
        Address { port: self.port, token: "none".to_owned() }
    }

    pub(super) fn pid(&self) -> i32 {
        i32::try_from(self.process.id().expect("it ends with its stdin")).unwrap()
    }

    /// Lets it send, to everybody who is connected.
    pub(super) async fn send(&mut self) {
        self.stdin.write_all(b"\n").await.unwrap();
    }
}

/// Is a peer until stdin ends.
pub async fn run(arguments: Arguments) {
    let Arguments { way, bytes, times } = arguments;
    let bytes: Arc<[u8]> = std::fs::read(bytes).unwrap().into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    say_port(listener.local_addr().unwrap().port());
    let frames: Vec<Arc<Frame>> = if way == Way::Naive { parse(&bytes) } else { Vec::new() };
    let (says, _) = broadcast::channel::<Arc<Frame>>(frames.len().max(1));
    let orders = watch::Sender::new(0_u64);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.unwrap();
                stream.set_nodelay(true).unwrap();
                match way {
                    Way::Batches => connections.spawn(batches(stream, bytes.clone(), times, orders.subscribe())),
                    Way::Naive => connections.spawn(naive(stream, says.subscribe())),
                    Way::Answers => connections.spawn(answers(stream, bytes.clone())),
                };
            }
            Some(_gone) = connections.join_next() => {}
            line = lines.next_line() => {
                if line.unwrap().is_none() {
                    return;
                }
                orders.send_modify(|orders| *orders += 1);
                for frame in &frames {
                    // With nobody connected there is nobody to send to.
                    let _heard = says.send(frame.clone());
                }
            }
        }
    }
}

/// Tells whoever has started this program where it is.
pub(super) fn say_port(port: u16) {
    println!("{port}");
    std::io::stdout().flush().unwrap();
}

async fn batches(mut stream: TcpStream, bytes: Arc<[u8]>, times: u64, mut orders: watch::Receiver<u64>) {
    let mut sent = *orders.borrow_and_update();
    stream.write_all(&HELLO).await.unwrap();
    while orders.changed().await.is_ok() {
        let wanted = *orders.borrow_and_update();
        for _ in 0..(wanted - sent) * times {
            for batch in bytes.chunks(WRITE) {
                // Who has seen enough is gone.
                if stream.write_all(batch).await.is_err() {
                    return;
                }
            }
        }
        sent = wanted;
    }
}

async fn naive(mut stream: TcpStream, mut frames: broadcast::Receiver<Arc<Frame>>) {
    stream.write_all(&HELLO).await.unwrap();
    while let Ok(frame) = frames.recv().await {
        let body = serde_json::to_vec(&*frame).expect("a frame is JSON");
        let mut bytes = header(body.len());
        bytes.extend_from_slice(&body);
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// Answers each request with the same bytes, and looks for nothing but its end.
async fn answers(mut stream: TcpStream, answer: Arc<[u8]>) {
    let (mut buffer, mut have) = (vec![0; WRITE], 0);
    loop {
        match stream.read(&mut buffer[have..]).await {
            Ok(n @ 1..) => have += n,
            Ok(0) | Err(_) => return,
        }
        if let Some(end) = request_end(&buffer[..have])
            && have >= end
        {
            buffer.copy_within(end..have, 0);
            have -= end;
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
    }
}

/// Where the first request ends, once its head is there.
fn request_end(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    Some(head + 4 + length.map_or(0, |length| length.parse().expect("a number")))
}

fn parse(bytes: &[u8]) -> Vec<Arc<Frame>> {
    let (mut frames, mut parsed) = (Frames::default(), Vec::new());
    frames.push(bytes);
    while let Some((_, body)) = frames.next() {
        parsed.push(Arc::new(serde_json::from_slice(body).expect("a frame of the server")));
    }
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_behind_its_body() {
        let cases = [
            ("GET / HTTP/1.1\r\nhost: a\r\n", None),
            ("GET / HTTP/1.1\r\nhost: a\r\n\r\nGET", Some(27)),
            ("POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nhe", Some(43)),
        ];
        for (request, expected) in cases {
            assert_eq!(request_end(request.as_bytes()), expected, "{request}");
        }
    }
}
