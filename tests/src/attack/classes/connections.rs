//! Connections that cost their server more than their client.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::attack::{request::Request, tally::Tally, target::Target};

/// Clients of each kind at the same time.
const CLIENTS: usize = 40;
/// A head has 20 s and a body 30 s; then the server hangs up. As much again is for a machine that has much to do.
const HANGS_UP: Duration = Duration::from_secs(60);
/// What an honest client has meanwhile: it does not wait until others are hung up on.
const HONEST: Duration = Duration::from_secs(15);

pub(super) async fn slow(target: &Target, tally: &mut Tally) {
    let admin = target.admin_token();
    let head = format!(
        "POST /v1/workers/{}/input HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n",
        target.mine,
        admin.trim()
    );
    let kinds = [
        ("silent", String::new()),
        ("half a line", "GET /v1/run".to_owned()),
        ("half a head", format!("{head}X: ")),
        ("no body", format!("{head}Content-Length: 100\r\n\r\n")),
        ("half a body", format!("{head}Content-Length: 100\r\n\r\n{{\"kind\":")),
        ("half a chunk", format!("{head}Transfer-Encoding: chunked\r\n\r\n64\r\n{{")),
    ];
    let names = kinds.each_ref().map(|(name, _)| *name);
    let port = target.server.port();
    let mut sockets = JoinSet::new();
    for (name, bytes) in kinds {
        for _ in 0..CLIENTS {
            let bytes = bytes.clone();
            sockets.spawn(async move {
                let Ok(mut socket) = TcpStream::connect(("127.0.0.1", port)).await else {
                    return (name, true);
                };
                let _cut = socket.write_all(bytes.as_bytes()).await;
                let mut heard = Vec::new();
                (name, timeout(HANGS_UP, socket.read_to_end(&mut heard)).await.is_ok())
            });
        }
    }
    let begun = Instant::now();
    let honest = target.ask_as_admin(Request::get("/v1/runtime")).await;
    tally.case("an honest client meanwhile", honest.status == 200 && begun.elapsed() < HONEST);
    let mut left = Vec::new();
    while let Some(ended) = sockets.join_next().await {
        let (name, is_over) = ended.unwrap();
        if !is_over {
            left.push(name);
        }
    }
    for name in names {
        tally.case(name, !left.contains(&name));
    }
    // A reset in the middle of everything, many times.
    for _ in 0..100 {
        let Ok(mut socket) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
        let _cut = socket.write_all(head.as_bytes()).await;
        let _reset = socket.set_zero_linger();
    }
    tally.case("resets", target.ask_as_admin(Request::get("/v1/runtime")).await.status == 200);
}
