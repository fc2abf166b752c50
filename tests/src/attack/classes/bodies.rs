//! Bodies that are more than they seem, or more than fits.

use crate::attack::{request::Request, tally::Tally, target::Target};

/// JSON that costs its reader more than its writer.
pub(super) async fn json(target: &Target, tally: &mut Tally) {
    let intent = r#""intent":{"kind":"assistant"},"profile":{"kind":"named","value":"brief"}"#;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("depth of arrays", "[".repeat(100_000).into()),
        ("depth of objects", r#"{"a":"#.repeat(100_000).into()),
        ("depth in a field", format!(r#"{{{intent},"labels":{}"#, r#"{"a":"#.repeat(5000)).into()),
        ("same key twice", format!(r#"{{{intent},{intent}}}"#).into()),
        (
            "a million keys",
            format!("{{{}\"x\":1}}", (0..100_000).map(|n| format!("\"{n}\":1,")).collect::<String>()).into(),
        ),
        ("huge number", format!(r#"{{{intent},"limits":{{"turns":{}}}}}"#, "9".repeat(400)).into()),
        ("negative limit", format!(r#"{{{intent},"limits":{{"turns":-1}}}}"#).into()),
        ("fraction", format!(r#"{{{intent},"limits":{{"turns":1.5}}}}"#).into()),
        ("not a number", format!(r#"{{{intent},"limits":{{"cost_usd":NaN}}}}"#).into()),
        ("infinity", format!(r#"{{{intent},"limits":{{"cost_usd":1e999}}}}"#).into()),
        ("invalid UTF-8", [b"{\"display_name\":\"\xff\xfe\",".as_slice(), intent.as_bytes(), b"}"].concat()),
        ("lone surrogate", format!(r#"{{{intent},"display_name":"\ud800"}}"#).into()),
        ("trailing bytes", format!("{{{intent}}} {{}}").into()),
        ("array for an object", b"[{\"kind\":\"assistant\"}]".to_vec()),
        ("comment", format!("{{/**/{intent}}}").into()),
        ("trailing comma", format!("{{{intent},}}").into()),
        ("byte order mark", format!("\u{feff}{{{intent}}}").into()),
        ("prototype", format!(r#"{{{intent},"__proto__":{{"admin":true}}}}"#).into()),
        (
            "more labels than a worker has",
            format!(
                r#"{{{intent},"labels":{{{}}}}}"#,
                (0..1000).map(|n| format!(r#""k{n}":"v""#)).collect::<Vec<_>>().join(",")
            )
            .into(),
        ),
        ("nothing", Vec::new()),
        ("null", b"null".to_vec()),
    ];
    for (name, body) in cases {
        let answer = target.ask_as_admin(Request::post("/v1/workers", body)).await;
        tally.case(name, answer.is_refused());
    }
}

/// More than the server takes, in every part of a request.
pub(super) async fn oversized(target: &Target, tally: &mut Tally) {
    let large = format!(r#"{{"kind":"user","content":"{}"}}"#, "x".repeat(3 << 20));
    let input = format!("/v1/workers/{}/input", target.mine);
    let whole = Request::post(input.clone(), large.clone());
    tally.case("body", target.ask_as_admin(whole).await.status == 413);
    let chunks = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    let chunked = Request::post(input.clone(), chunks).with("Transfer-Encoding", "chunked");
    tally.case("body in chunks", target.ask_as_admin(chunked).await.status == 413);
    let announced = Request::post(input.clone(), "{}").with("Content-Length", "99999999999");
    tally.case("announced body", target.ask_as_admin(announced).await.status == 413);
    let bomb = Request::post(input, "{}").with("Content-Encoding", "gzip");
    tally.case("compressed body", target.ask_as_admin(bomb).await.is_refused());
    let header = Request::get("/v1/runtime").with("X", "x".repeat(1 << 20));
    tally.case("header", target.ask_as_admin(header).await.is_refused());
    let headers =
        (0..1000).fold(Request::get("/v1/runtime"), |request, n| request.with(&format!("X-{n}"), "x"));
    tally.case("headers", target.ask_as_admin(headers).await.is_refused());
    let target_line = Request::get(format!("/v1/runtime?{}", "x".repeat(1 << 20)));
    tally.case("target", target.ask_as_admin(target_line).await.is_refused());
    let token = Request::get("/v1/runtime").bearer(&"x".repeat(30_000));
    tally.case("token", target.ask(token).await.is_refused());
    for query in [
        "limit=1000000",
        "limit=-1",
        "limit=0",
        "wait=100000&after=x",
        "tail=99999999999999999999",
        "types=x",
    ] {
        let answer =
            target.ask_as_admin(Request::get(format!("/v1/workers/{}/events?{query}", target.mine))).await;
        tally.case(format!("page with {query}"), answer.is_refused());
    }
}
