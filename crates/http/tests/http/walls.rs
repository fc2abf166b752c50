//! The walls, on every route and before it.

use musher_http::HttpOptions;
use musher_protocol::{
    ErrorCode,
    route::{Method, ROUTES},
};

use crate::{
    client::{Ask, Client, receive},
    world::{ROOT, World, options},
};

/// Every route of the table, and paths that are none.
fn everywhere() -> Vec<Ask> {
    let routes = ROUTES.iter().map(|route| {
        let path = route.path.replace("{worker_id}", "wrk_1").replace("{digest}", &"ab".repeat(32));
        match route.method {
            Method::Get => Ask::get(path),
            Method::Post => Ask::post(path, "{}"),
            Method::Delete => Ask::delete(path),
        }
    });
    let socket = Ask::get("/v1/workers/wrk_1/events/ws")
        .with("upgrade", "websocket")
        .with("sec-websocket-version", "13")
        .with("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let none = [socket, Ask::get("/nowhere"), Ask { method: "OPTIONS", ..Ask::get("/v1/workers") }];
    routes.chain(none).collect()
}

#[tokio::test]
async fn every_route_has_every_wall() {
    let world = World::new().await;
    // With the best of tokens and with none: the walls come first.
    for client in [world.client(), Client::new(world.address, None)] {
        for ask in everywhere() {
            let what = format!("{ask:?}");
            for host in ["evil.example", "127.0.0.1.evil.example", "[::ffff:127.0.0.1]", "localhost:x", ""] {
                let reply = client.ask(ask.clone().with("host", host)).await;
                assert_eq!(reply.error(), ErrorCode::MisdirectedHost, "{host:?}: {what}");
            }
            for origin in ["null", "http://localhost", "https://evil.example", ""] {
                let reply = client.ask(ask.clone().with("origin", origin)).await;
                assert_eq!(reply.error(), ErrorCode::Forbidden, "{origin:?}: {what}");
            }
            let with_body = Ask { body: b"{}".to_vec(), ..ask };
            for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
                let ask = with_body.clone().without("content-type").with("content-type", media_type);
                let reply = client.ask(ask).await;
                assert_eq!(reply.error(), ErrorCode::InvalidJson, "{media_type:?}: {what}");
            }
        }
    }
    world.end().await;
}

#[tokio::test]
async fn good_requests_pass_the_walls() {
    let hosts = ["runtime.internal", "[2001:db8::7]:8443"].map(|host| host.parse().unwrap());
    let world = World::over(
        World::new().await.runtime.clone(),
        HttpOptions { allowed_hosts: hosts.into(), ..options() },
    )
    .await;
    for host in
        ["localhost", "LOCALHOST.:1", "127.0.0.1:80", "[::1]", "runtime.internal:9", "[2001:db8::7]:8443"]
    {
        let reply = world.client().ask(Ask::get("/v1/runtime").with("host", host)).await.ok();
        reply.assert_guarded();
    }
    for media_type in ["application/json", "Application/JSON; charset=utf-8", "application/json ;x=y"] {
        let ask = Ask::post("/v1/workers", r#"{"intent":{"kind":"assistant"}}"#);
        world.client().ask(ask.without("content-type").with("content-type", media_type)).await.ok();
    }
    world.client().get("/livez").await.ok();
    world.end().await;
}

#[tokio::test]
async fn a_request_names_one_host() {
    let world = World::new().await;
    let cases = [
        ("GET /livez HTTP/1.1\r\nhost: localhost\r\n", 200),
        ("GET http://localhost/livez HTTP/1.1\r\nhost: localhost\r\n", 200),
        ("GET http://LOCALHOST./livez HTTP/1.1\r\nhost: localhost\r\n", 200),
        ("GET /livez HTTP/1.1\r\n", 421),
        ("GET /livez HTTP/1.0\r\n", 421),
        ("GET /livez HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n", 421),
        ("GET /livez HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n", 421),
        ("GET /livez HTTP/1.1\r\nhost: evil.example\r\nhost: localhost\r\n", 421),
        ("GET http://evil.example/livez HTTP/1.1\r\nhost: localhost\r\n", 421),
        ("GET http://localhost/livez HTTP/1.1\r\nhost: evil.example\r\n", 421),
        ("GET http://localhost:1/livez HTTP/1.1\r\nhost: localhost:2\r\n", 421),
        ("GET http://user@localhost/livez HTTP/1.1\r\nhost: localhost\r\n", 421),
        ("GET http://localhost/livez HTTP/1.1\r\n", 421),
    ];
    for (head, expected) in cases {
        let request = format!("{head}authorization: Bearer {ROOT}\r\nconnection: close\r\n\r\n");
        let mut socket = world.client().send_raw(request.as_bytes()).await;
        let reply = receive(&mut socket).await;
        assert_eq!(reply.status, expected, "{head}");
        reply.assert_guarded();
    }
    world.end().await;
}
