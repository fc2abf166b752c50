//! Who may do what, on every route.

use musher_http::HttpOptions;
use musher_protocol::{
    ErrorCode,
    route::{Method, ROUTES, Route, Scope},
};
use serde_json::json;

use crate::{
    client::{Ask, Client, Reply},
    world::{APPROVES, DRIVES, LOOKS, ROOT, World},
};

fn ask(route: &Route) -> Ask {
    let path = route
        .path
        .replace("{worker_id}", "wrk_1")
        .replace("{digest}", &"ab".repeat(32))
        .replace("{approval_id}", "apr_1")
        .replace("{config_bundle_id}", "team-a");
    match route.method {
        Method::Get => Ask::get(path),
        // No route takes this, so whoever is let in gets no further than the body.
        Method::Post => Ask::post(path, "[]"),
        Method::Delete => Ask::delete(path),
    }
}

fn is_let_in(reply: &Reply) -> bool {
    !matches!(reply.status, 401 | 403)
}

#[tokio::test]
async fn every_route_asks_for_its_scope() {
    let world = World::new().await;
    let tokens: [(Option<&str>, &[Scope]); 8] = [
        (None, &[]),
        (Some(""), &[]),
        (Some("wrong"), &[]),
        (Some("root-tokenx"), &[]),
        (Some(LOOKS), &[Scope::Observe]),
        (Some(DRIVES), &[Scope::Drive]),
        (Some(APPROVES), &[Scope::Approve]),
        (Some(ROOT), &[Scope::Observe, Scope::Drive, Scope::Approve, Scope::Admin]),
    ];
    for (token, scopes) in tokens {
        let client = Client::new(world.address, token);
        for route in ROUTES {
            let reply = client.ask(ask(route)).await;
            let expected = route.scope.is_none_or(|scope| scopes.contains(&scope));
            assert_eq!(is_let_in(&reply), expected, "{token:?} {route:?}: {}", reply.body);
            if !expected {
                let code = if scopes.is_empty() { ErrorCode::Unauthorized } else { ErrorCode::Forbidden };
                assert_eq!(reply.error(), code, "{token:?} {route:?}");
            }
        }
    }
    world.end().await;
}

#[tokio::test]
async fn a_token_works_in_the_header_only() {
    let world = World::new().await;
    let nobody = Client::new(world.address, None);
    for target in ["/v1/runtime?token=root-token", "/v1/runtime?access_token=root-token"] {
        assert_eq!(nobody.get(target).await.error(), ErrorCode::Unauthorized);
    }
    let cookie = Ask::get("/v1/runtime").with("cookie", "token=root-token");
    assert_eq!(nobody.ask(cookie).await.error(), ErrorCode::Unauthorized);
    let twice = Ask::get("/v1/runtime").with("authorization", "Bearer root-token");
    assert_eq!(world.client().ask(twice.clone()).await.error(), ErrorCode::Unauthorized);
    nobody.ask(twice).await.ok();
    world.end().await;
}

#[tokio::test]
async fn commands_are_signed_with_the_token_s_name() {
    let world = World::new().await;
    let worker = world.worker_id().await;
    let drives = Client::new(world.address, Some(DRIVES));
    drives
        .post(&format!("/v1/workers/{worker}/stop"), &json!({"actor": "ann", "reason": "enough"}))
        .await
        .ok();
    let events =
        world.client().get(&format!("/v1/workers/{worker}/events?types=stop_requested")).await.json();
    assert_eq!(
        events["events"][0]["payload"],
        json!({"type": "stop_requested", "reason": "enough", "by": {"token": "drives", "actor": "ann"}})
    );
    world.end().await;
}

#[tokio::test]
async fn an_open_server_asks_nobody() {
    let world = World::over(World::new().await.runtime.clone(), HttpOptions::open()).await;
    let nobody = Client::new(world.address, None);
    for route in ROUTES {
        assert!(is_let_in(&nobody.ask(ask(route)).await), "{route:?}");
    }
    world.end().await;
}
