//! What becomes of what a token opened when it is a token no more.

use futures_util::SinkExt as _;
use musher_core::MemoryStore;
use musher_http::{Access, HttpOptions, Token, TokenScope, Tokens};
use musher_protocol::{DiagnosticCode, ErrorCode, Frame};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    client::{Ask, Client, receive},
    observe::Observer,
    world::{ROOT, World, named, options, runtime, within},
};

const OLD: &str = "old-token";

/// The world, and its tokens with and without the old one.
async fn world() -> (World, Tokens, [Vec<Token>; 2]) {
    let root = Token::admin("root", &ROOT.into());
    let old = named("old", OLD, &[TokenScope::Observe, TokenScope::Drive]);
    let sets = [vec![root.clone(), old], vec![root]];
    let tokens = Tokens::new(sets[0].clone());
    let options = HttpOptions { access: Access::Tokens(tokens.clone()), ..options() };
    (World::over(runtime(MemoryStore::new()).await, options).await, tokens, sets)
}

#[tokio::test]
async fn sockets_are_closed_and_say_why() {
    let (world, tokens, [with, without]) = world().await;
    let worker = world.worker_id().await;
    let mut one = Observer::with(&world, &format!("/v1/workers/{worker}/events/ws"), OLD).await;
    let mut many = Observer::with(&world, "/v1/events/ws", OLD).await;
    let mut root_s = Observer::with(&world, &format!("/v1/workers/{worker}/events/ws"), ROOT).await;
    let subscribe = format!(r#"{{"kind":"subscribe","worker_id":"{worker}"}}"#);
    within(many.0.send(Message::text(subscribe))).await.expect("a server that reads");
    for socket in [&mut one, &mut many, &mut root_s] {
        assert!(matches!(socket.next().await, Ok(Frame::Event { .. })));
    }
    tokens.replace(with);
    tokens.replace(without);
    for socket in [&mut one, &mut many] {
        let Ok(Frame::Diagnostic { diagnostic }) = socket.next().await else { panic!("last words") };
        assert_eq!(diagnostic.code, DiagnosticCode::Unauthorized);
        assert_eq!(socket.next().await, Err(4401));
    }
    // Who holds another token notices nothing.
    world.say(&worker, "hello").await;
    assert!(matches!(root_s.next().await, Ok(Frame::Event { .. })));
    drop(root_s);
    world.end().await;
}

#[tokio::test]
async fn streams_and_waits_over_http_end() {
    let (world, tokens, [_, without]) = world().await;
    let worker = world.worker_id().await;
    let client = Client::new(world.address, Some(OLD));
    let head = client.get(&format!("/v1/workers/{worker}/events?tail=1")).await.json();
    let (at, next) = (format!("/v1/workers/{worker}"), head["next"].as_str().expect("a cursor"));
    let attention = client.get("/v1/attention").await.json();
    let seen = attention["next"].as_str().expect("a token");
    let sse = Ask::get(format!("{at}/events")).with("accept", "text/event-stream");
    let mut stream = client.send(sse).await;
    let mut waits = Vec::new();
    for path in [
        format!("{at}?until=terminal&wait=60"),
        format!("{at}/events?after={next}&wait=60"),
        format!("/v1/attention?after={seen}&wait=60"),
    ] {
        waits.push(client.send(Ask::get(path)).await);
    }
    // A body that was still on its way when the token went.
    let slow = format!(
        "POST {at}/input HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {OLD}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: 31\r\n\r\n"
    );
    let mut slow = client.send_raw(slow.as_bytes()).await;
    // By then all that was sent before has been seen.
    assert_eq!(client.get(&at).await.status, 200);
    tokens.replace(without);
    for mut wait in waits {
        assert_eq!(receive(&mut wait).await.error(), ErrorCode::Unauthorized);
    }
    let stream = receive(&mut stream).await;
    assert!(stream.body.contains(r#": {"code":"runtime.unauthorized""#), "{}", stream.body);
    within(tokio::io::AsyncWriteExt::write_all(&mut slow, br#"{"kind":"user","content":"late"}"#))
        .await
        .expect("a server that reads");
    assert_eq!(receive(&mut slow).await.error(), ErrorCode::Unauthorized);
    assert_eq!(client.get(&at).await.error(), ErrorCode::Unauthorized);
    world.end().await;
}
