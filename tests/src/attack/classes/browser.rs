//! What a page in somebody's browser can send, with everything but a token of its own.

use musher_protocol::route::{Method, ROUTES};

use crate::attack::{request::Request, tally::Tally, target::Target};

/// A page whose own name leads to this machine.
pub(super) async fn rebinding(target: &Target, tally: &mut Tally) {
    for route in ROUTES {
        for host in ["evil.example", "localhost.evil.example:7717"] {
            let request = Request::of(route, &target.theirs).with("Host", host);
            let answer = target.ask_as_admin(request).await;
            tally.case(format!("{:?} {} for {host}", route.method, route.path), answer.status == 421);
        }
    }
    for host in [
        "",
        "localhost.",
        "localhost..",
        "localhos",
        "127.0.0.1.nip.io",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0.0.0.0",
        "[::]",
        "[::ffff:127.0.0.1]",
        "localhost:x",
        "localhost@evil.example",
        "evil.example#localhost",
        "l\u{f6}calhost",
        "localhost,evil.example",
    ] {
        let answer = target.ask_as_admin(Request::get("/v1/runtime").with("Host", host)).await;
        // The dot of the root is the same name.
        let is_same = host == "localhost." && answer.status == 200;
        tally.case(format!("host {host:?}"), is_same || answer.is_refused());
    }
    let twice = Request::get("/v1/runtime").with("Host", "localhost").with("Host", "evil.example");
    tally.case("two hosts", target.ask_as_admin(twice).await.is_refused());
    let absolute = Request::get("http://evil.example/v1/runtime").with("Host", "localhost");
    tally.case("absolute form", target.ask_as_admin(absolute).await.is_refused());
    let none = "GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n";
    tally.case("no host", target.hear(none.as_bytes()).await.is_refused());
    let old = "GET /livez HTTP/1.0\r\n\r\n";
    tally.case("no host, as of old", target.hear(old.as_bytes()).await.is_refused());
}

/// Any origin, on every route.
pub(super) async fn cross_site(target: &Target, tally: &mut Tally) {
    for route in ROUTES {
        for origin in ["https://evil.example", "null"] {
            let request = Request::of(route, &target.theirs).with("Origin", origin);
            let answer = target.ask_as_admin(request).await;
            tally.case(format!("{:?} {} from {origin}", route.method, route.path), answer.status == 403);
        }
    }
    for origin in ["http://localhost", "http://127.0.0.1:7717", "", "file://", "chrome-extension://x"] {
        let answer = target.ask_as_admin(Request::get("/v1/runtime").with("Origin", origin)).await;
        tally.case(format!("origin {origin:?}"), answer.status == 403);
    }
}

/// The same for what is no request to a browser: sockets ask nobody before.
pub(super) async fn cross_site_socket(target: &Target, tally: &mut Tally) {
    let one = format!("/v1/workers/{}/events/ws", target.theirs);
    for path in [one.as_str(), "/v1/events/ws"] {
        for origin in ["https://evil.example", "null", "http://localhost", ""] {
            let request = Request::get(path).upgrading().with("Origin", origin);
            let answer = target.ask_as_admin(request).await;
            tally.case(format!("{path} from {origin:?}"), answer.status == 403);
        }
        let request = Request::get(path).upgrading();
        tally.case(format!("{path} without a token"), target.ask(request).await.status == 401);
        let request = Request::get(path).upgrading().with("Host", "evil.example");
        tally.case(format!("{path} for another host"), target.ask_as_admin(request).await.status == 421);
    }
}

/// No answer lets a page of another origin read it.
pub(super) async fn cors(target: &Target, tally: &mut Tally) {
    for route in ROUTES {
        let preflight = Request::of(route, &target.theirs);
        let preflight = preflight
            .with("Origin", "https://evil.example")
            .with("Access-Control-Request-Method", "POST")
            .with("Access-Control-Request-Headers", "authorization");
        let answer = target.ask_as_admin(preflight).await;
        tally.case(format!("{:?} {}", route.method, route.path), !answer.head.contains("access-control-"));
    }
    for (name, request) in [
        ("plain", Request::get("/v1/runtime")),
        ("preflight", Request::new("OPTIONS", "/v1/workers")),
        ("preflight of all", Request::new("OPTIONS", "*")),
        ("unknown", Request::get("/v1/nowhere")),
    ] {
        let answer = target.ask_as_admin(request).await;
        tally.case(name, answer.status != 0 && !answer.head.contains("access-control-"));
    }
}

/// Bodies that a page may send without asking.
pub(super) async fn forms(target: &Target, tally: &mut Tally) {
    let types = [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain; application/json",
        "application/jsonp",
        "",
    ];
    for route in ROUTES.iter().filter(|route| route.method == Method::Post) {
        for media_type in types {
            let request = Request::of(route, &target.theirs).without("Content-Type");
            let request = request.with("Content-Type", media_type);
            let answer = target.ask_as_admin(request).await;
            tally.case(format!("{} as {media_type:?}", route.path), answer.status == 400);
        }
    }
    let body = r#"{"intent":{"kind":"assistant"},"profile":{"kind":"named","value":"brief"}}"#;
    let without = Request::post("/v1/workers", body).without("Content-Type");
    tally.case("no type", target.ask_as_admin(without).await.status == 400);
    let twice = Request::post("/v1/workers", body).with("Content-Type", "text/plain");
    tally.case("two types", target.ask_as_admin(twice).await.status == 400);
}

/// No answer may be kept by a cache, or guessed to be a page.
pub(super) async fn sniffing(target: &Target, tally: &mut Tally) {
    for route in ROUTES.iter().filter(|route| route.method == Method::Get && !route.path.ends_with("/ws")) {
        let answer = target.ask_as_admin(Request::of(route, &target.mine)).await;
        let is_guarded = answer.head.contains("x-content-type-options: nosniff")
            && answer.head.contains("cache-control: no-store")
            && !answer.head.contains("text/html");
        tally.case(route.path, is_guarded);
    }
}

/// Methods that no route has, and headers that would make one of another.
pub(super) async fn methods(target: &Target, tally: &mut Tally) {
    let worker = format!("/v1/workers/{}", target.mine);
    for method in ["PUT", "PATCH", "TRACE", "PROPFIND", "DEBUG", "get"] {
        let answer = target.ask_as_admin(Request::new(method, worker.clone())).await;
        tally.case(method, answer.is_refused());
    }
    let tunnel = target.ask_as_admin(Request::new("CONNECT", "127.0.0.1:22")).await;
    tally.case("CONNECT", tunnel.is_refused());
    for name in ["X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"] {
        let request = Request::post(format!("{worker}/interrupt"), "{}").with(name, "DELETE");
        drop(target.ask_as_admin(request).await);
        tally.case(name, target.ask_as_admin(Request::get(worker.clone())).await.status == 200);
    }
}
