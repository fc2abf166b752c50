//! Who asks: tokens, their scopes, and where a token may stand.

use musher_protocol::route::{ROUTES, Scope};

use crate::attack::{request::Request, tally::Tally, target::Target};

/// Every route with every token that lacks its scope.
pub(super) async fn without_scope(target: &Target, tally: &mut Tally) {
    let tokens =
        [(Scope::Observe, &target.observe), (Scope::Drive, &target.drive), (Scope::Approve, &target.approve)];
    for route in ROUTES {
        let Some(wanted) = route.scope else { continue };
        for (scope, token) in tokens {
            if scope != wanted {
                let answer = target.ask(Request::of(route, &target.theirs).bearer(token)).await;
                tally.case(format!("{:?} {} by {scope:?}", route.method, route.path), answer.status == 403);
            }
        }
    }
}

/// Every route without a token and with a wrong one, and one route with what only looks like one.
pub(super) async fn without_token(target: &Target, tally: &mut Tally) {
    for route in ROUTES.iter().filter(|route| route.scope.is_some()) {
        let request = Request::of(route, &target.theirs);
        let wrong = request.clone().bearer("0123456789abcdef0123456789abcdef");
        for (name, request) in [("none", request), ("wrong", wrong)] {
            let answer = target.ask(request).await;
            tally.case(format!("{:?} {} with {name}", route.method, route.path), answer.status == 401);
        }
    }
    let admin = target.admin_token();
    let admin = admin.trim();
    let forms = [
        format!("Basic {admin}"),
        admin.to_owned(),
        format!("Bearer {}", &admin[1..]),
        format!("Bearer {}", &admin[..admin.len() - 1]),
        format!("Bearer {admin}0"),
        format!("Bearer {}", admin.to_uppercase() + "0"),
        format!("Bearer  {admin}"),
        format!("Bearer\t{admin}"),
        format!("Bearer {admin},{admin}"),
        format!("Bearer \"{admin}\""),
        "Bearer".to_owned(),
        "Bearer null".to_owned(),
    ];
    for form in forms {
        let answer = target.ask(Request::get("/v1/runtime").with("Authorization", &form)).await;
        let shown = form.replace(admin, "TOKEN");
        tally.case(format!("authorization {shown:?}"), answer.is_refused());
    }
    let twice = Request::get("/v1/runtime").bearer(admin).bearer(admin);
    tally.case("two headers", target.ask(twice).await.status == 401);
}

/// A good token where none belongs: it neither works there nor ends up in the server's log.
pub(super) async fn elsewhere(target: &Target, tally: &mut Tally) {
    let admin = target.admin_token();
    let admin = admin.trim();
    let socket = format!("/v1/workers/{}/events/ws", target.theirs);
    let requests = [
        Request::get(format!("/v1/runtime?token={admin}")),
        Request::get(format!("/v1/runtime?access_token={admin}")),
        Request::get(format!("/v1/runtime?Authorization=Bearer%20{admin}")),
        Request::get(format!("{socket}?token={admin}")).upgrading(),
        Request::get(socket.clone()).upgrading().with("Sec-WebSocket-Protocol", format!("bearer, {admin}")),
        Request::get("/v1/runtime").with("Cookie", format!("token={admin}")),
        Request::get("/v1/runtime").with("X-Api-Key", admin),
        Request::get("/v1/runtime").with("Proxy-Authorization", format!("Bearer {admin}")),
        Request::get(format!("http://x:{admin}@localhost/v1/runtime")),
    ];
    for (n, request) in requests.into_iter().enumerate() {
        tally.case(format!("place {n}"), target.ask(request).await.is_refused());
    }
    let command = std::fs::read(format!("/proc/{}/cmdline", target.server.pid())).unwrap();
    let environment = std::fs::read(format!("/proc/{}/environ", target.server.pid())).unwrap();
    for (place, bytes) in [("arguments", command), ("environment", environment)] {
        tally.case(format!("the server's {place}"), !String::from_utf8_lossy(&bytes).contains(admin));
    }
    tally.case("the server's log", !target.server.said().contains(admin));
}

/// A decision by whoever drives or looks, and by whoever approves for others.
pub(super) async fn approving(target: &Target, tally: &mut Tally) {
    let path = format!("/v1/workers/{}/approvals/{}", target.theirs, target.approval);
    for (name, token) in [("observe", &target.observe), ("drive", &target.drive), ("ours", &target.ours)] {
        for body in
            [r#"{"decision":"allow"}"#, r#"{"decision":"allow","remember":"tool"}"#, r#"{"decision":"deny"}"#]
        {
            let answer = target.ask(Request::post(path.clone(), body).bearer(token)).await;
            tally.case(format!("{body} by {name}"), matches!(answer.status, 403 | 404));
        }
    }
}
