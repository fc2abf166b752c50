//! Connections: slow ones, greedy ones, too many, and the end of the server.

use std::time::Duration;

use musher_core::MemoryStore;
use musher_http::{Bounds, HttpOptions};
use musher_protocol::ErrorCode;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::{
    client::{Ask, Client, read_to_end, receive},
    world::{ROOT, World, options, runtime, within},
};

/// Short enough to wait for.
const SHORT: Duration = Duration::from_millis(200);

async fn bounded(bounds: Bounds) -> World {
    World::over(runtime(MemoryStore::new()).await, HttpOptions { bounds, ..options() }).await
}

/// The head of a request with a body that follows by hand.
fn head(length: &str) -> Vec<u8> {
    format!(
        "POST /v1/workers HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {ROOT}\r\n\
         content-type: application/json\r\n{length}\r\nconnection: close\r\n\r\n"
    )
    .into_bytes()
}

#[tokio::test]
async fn whoever_is_slow_with_a_head_is_hung_up_on() {
    let world = bounded(Bounds { head_timeout: SHORT, ..Bounds::default() }).await;
    for sent in ["", "GET /livez HTTP/1.1\r\nhost: lo", "GET /livez HTTP/1.1\r\nhost: localhost\r\n"] {
        let mut socket = world.client().send_raw(sent.as_bytes()).await;
        assert_eq!(read_to_end(&mut socket).await.unwrap(), b"", "{sent:?}");
    }
    // Also between two requests.
    let mut socket = world.client().send_raw(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(receive(&mut socket).await.ok().body, "{}");
    world.end().await;
}

#[tokio::test]
async fn whoever_is_slow_with_a_body_is_told_so() {
    let world = bounded(Bounds { body_timeout: SHORT, ..Bounds::default() }).await;
    for length in ["content-length: 10", "transfer-encoding: chunked"] {
        let mut socket = world.client().send_raw(&head(length)).await;
        assert_eq!(receive(&mut socket).await.error(), ErrorCode::InvalidJson, "{length}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_body_is_bounded_whatever_it_says_of_its_length() {
    let world = World::new().await;
    // Most clients write all of it before they read.
    let huge = vec![b' '; 7 << 20];
    let reply = world.client().ask(Ask::post("/v1/workers", huge.clone())).await;
    assert_eq!(reply.error(), ErrorCode::PayloadTooLarge);

    let mut chunked = format!("{:x}\r\n", huge.len()).into_bytes();
    chunked.extend(huge);
    chunked.extend(b"\r\n0\r\n\r\n");
    let ask = Ask::post("/v1/workers", chunked).with("transfer-encoding", "chunked");
    let reply = world.client().ask(ask).await;
    assert_eq!(reply.error(), ErrorCode::PayloadTooLarge);
    assert_eq!(reply.json()["error"]["limit"], 2 << 20);

    // Announced only: nobody has to send it first.
    for length in ["content-length: 1099511627776", "content-length: 2097153\r\nexpect: 100-continue"] {
        let mut socket = world.client().send_raw(&head(length)).await;
        assert_eq!(receive(&mut socket).await.error(), ErrorCode::PayloadTooLarge, "{length}");
    }
    world.end().await;
}

#[tokio::test]
async fn an_endless_body_is_cut_off() {
    let world = World::new().await;
    let mut socket = world.client().send_raw(&head("transfer-encoding: chunked")).await;
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    // The server stops to take it; which of the two then fails first is the kernel's business.
    let sent = within(async { while socket.write_all(&chunk).await.is_ok() {} });
    sent.await;
    world.client().get("/livez").await.ok();
    world.end().await;
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let world = World::new().await;
    let request = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(2)
        + "GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let mut socket = world.client().send_raw(request.as_bytes()).await;
    let answers = String::from_utf8(read_to_end(&mut socket).await.unwrap()).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 3, "{answers}");
    world.end().await;
}

#[tokio::test]
async fn heads_are_bounded() {
    let world = World::new().await;
    let long = format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "a".repeat(6 << 20));
    let many = format!("GET /livez HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x: 1\r\n".repeat(80));
    for head in [long, many] {
        let mut socket = world.client().send_raw(head.as_bytes()).await;
        let answer = read_to_end(&mut socket).await.expect("an answer");
        assert!(answer.starts_with(b"HTTP/1.1 431 "), "{answer:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn whoever_writes_on_hears_why_it_was_refused() {
    let world = World::new().await;
    // None of this is read before it is refused, and it is more than the kernel holds for a reader.
    let body = vec![b' '; 6 << 20];
    let unknown = Client::new(world.address, Some("unknown"));
    assert_eq!(unknown.ask(Ask::post("/v1/workers", body.clone())).await.error(), ErrorCode::Unauthorized);
    let nowhere = Ask::post("/v1/nowhere", body).with("transfer-encoding", "none");
    assert_eq!(world.client().ask(nowhere).await.status, 400);
    world.end().await;
}

#[tokio::test]
async fn whoever_never_stops_writing_gives_its_slot_back() {
    // Each of the two bounds alone: this client is never silent.
    let (long, enough) = (Duration::from_secs(600), 1 << 30);
    for bounds in [
        Bounds { body_timeout: SHORT, max_body_bytes: enough, ..Bounds::default() },
        Bounds { body_timeout: long, max_body_bytes: 1000, ..Bounds::default() },
    ] {
        let world = bounded(Bounds { max_connections: 1, close_timeout: long, ..bounds }).await;
        let mut drips =
            world.client().send_raw(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        let dripping = async { while drips.write_all(&[b'x'; 100]).await.is_ok() {} };
        let waits = world.client();
        // The only slot: this is answered once the other has lost it.
        let (answered, ()) = tokio::join!(waits.get("/livez"), within(dripping));
        answered.ok();
        world.end().await;
    }
}

#[tokio::test]
async fn whoever_stays_without_a_word_gives_its_slot_back() {
    let world = bounded(Bounds { max_connections: 1, close_timeout: SHORT, ..Bounds::default() }).await;
    let stays = world.client().send(Ask::get("/livez")).await;
    // The only slot: this is answered once the other is no longer waited for.
    world.client().get("/livez").await.ok();
    drop(stays);
    world.end().await;
}

#[tokio::test]
async fn one_connection_too_many_waits_for_its_slot() {
    let world = bounded(Bounds { max_connections: 1, ..Bounds::default() }).await;
    let holds = world.client().send_raw(b"").await;
    let waits = world.client();
    let mut answered = Box::pin(waits.get("/livez"));
    let early = tokio::time::timeout(SHORT, &mut answered).await;
    assert!(early.is_err(), "answered without a slot: {early:?}");
    drop(holds);
    answered.await.ok();
    world.end().await;
}

#[tokio::test]
async fn half_closed_connections_give_their_slot_back() {
    let world = bounded(Bounds { max_connections: 1, ..Bounds::default() }).await;
    let mut half = world.client().send_raw(b"GET /livez HTTP/1.1\r\n").await;
    half.shutdown().await.unwrap();
    world.client().get("/livez").await.ok();
    drop(half);
    world.end().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_hung_up_on() {
    let world = bounded(Bounds { max_connections: 1, write_timeout: SHORT, ..Bounds::default() }).await;
    let worker = world.worker_id().await;
    world.say_much(&worker).await;
    let takes_nothing = world.client().send(Ask::get(format!("/v1/workers/{worker}/events"))).await;
    // The only slot: this is answered once the other is cut.
    world.client().get("/livez").await.ok();
    drop(takes_nothing);
    world.end().await;
}

#[tokio::test]
async fn the_end_lets_go_of_idle_connections_and_takes_no_new_ones() {
    let long = Duration::from_secs(600);
    let mut world = bounded(Bounds { shutdown_timeout: long, head_timeout: long, ..Bounds::default() }).await;
    let mut idle = world.client().send_raw(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let half = world.client().send_raw(b"GET /livez HTTP/1.1\r\n").await;
    world.client().get("/livez").await.ok();
    world.begin_end();
    assert_eq!(receive(&mut idle).await.ok().body, "{}");
    let refused = TcpStream::connect(world.address).await;
    assert!(refused.is_err(), "{refused:?}");
    drop(half);
    world.end().await;
}

#[tokio::test]
async fn the_end_does_not_wait_for_those_who_never_end() {
    let world = bounded(Bounds { shutdown_timeout: SHORT, ..Bounds::default() }).await;
    let worker = world.worker_id().await;
    world.say(&worker, "hello").await;
    let idle = world.client().send_raw(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let mut half = world.client().send_raw(b"POST /v1/workers HTTP/1.1\r\n").await;
    world.client().get("/livez").await.ok();
    world.end().await;
    assert_eq!(read_to_end(&mut half).await.unwrap_or_default(), b"");
    drop(idle);
}
