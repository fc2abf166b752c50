//! The router in a server of one's own.

use std::time::Duration;

use axum::Router;
use musher_core::MemoryStore;
use musher_http::{Bounds, HttpOptions, router};
use musher_protocol::{Cursor, ErrorCode};
use tokio::{io::AsyncReadExt as _, net::TcpListener, task::JoinSet};

use crate::{
    client::{Ask, Client},
    observe::upgrade,
    world::{ROOT, World, options, runtime, within},
};

#[tokio::test]
async fn the_router_brings_its_walls_and_tokens_along() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let runtime = runtime(MemoryStore::new()).await;
    let app = Router::new().nest("/musher", router(runtime, options()));
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, app).await });

    let client = Client::new(address, Some(ROOT));
    client.get("/musher/v1/runtime").await.ok().assert_guarded();
    assert_eq!(client.get("/musher/v1/workers/wrk_1").await.error(), ErrorCode::WorkerNotFound);
    assert_eq!(client.get("/musher/nowhere").await.error(), ErrorCode::RouteNotFound);
    let misdirected = Ask::get("/musher/livez").with("host", "evil.example");
    assert_eq!(client.ask(misdirected).await.error(), ErrorCode::MisdirectedHost);
    let nobody = Client::new(address, None);
    assert_eq!(nobody.get("/musher/v1/runtime").await.error(), ErrorCode::Unauthorized);
}

#[tokio::test]
async fn an_observer_that_takes_nothing_is_cut_by_the_router_itself() {
    let world = World::new().await;
    let worker = world.worker_id().await;
    world.say_much(&worker).await;
    let bounds = Bounds { max_streams: 1, write_timeout: Duration::from_millis(200), ..Bounds::default() };
    let app = router(world.runtime.clone(), HttpOptions { bounds, ..options() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(listener.local_addr().unwrap(), Some(ROOT));
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, app).await });

    let request = upgrade(&worker, &format!("?cursor={}", Cursor::new(&worker, 0, 0)));
    let status = async |request: &[u8]| {
        let mut socket = client.send_raw(request).await;
        let mut line = [0; 12];
        within(socket.read_exact(&mut line)).await.unwrap();
        (line, socket)
    };
    let (line, takes_nothing) = status(&request).await;
    assert_eq!(&line, b"HTTP/1.1 101");
    // There is one slot for observers: it is free again once the first has been cut.
    within(async { while status(&request).await.0 == *b"HTTP/1.1 429" {} }).await;
    drop(takes_nothing);
    world.end().await;
}
