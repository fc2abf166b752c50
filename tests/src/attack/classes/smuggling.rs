//! Requests that two readers would understand differently.

use crate::attack::{answer::Answer, tally::Tally, target::Target};

/// Each ends in a second request that must not be answered as one.
pub(super) async fn smuggling(target: &Target, tally: &mut Tally) {
    let admin = target.admin_token();
    let auth = format!("Host: localhost\r\nAuthorization: Bearer {}\r\n", admin.trim());
    let hidden = format!("GET /v1/workers HTTP/1.1\r\n{auth}\r\n");
    let json = "Content-Type: application/json\r\n";
    let post = |framing: &str, body: &str| {
        format!(
            "POST /v1/workers/{}/interrupt HTTP/1.1\r\n{auth}{json}{framing}\r\n{body}{hidden}",
            target.mine
        )
    };
    let plain = target.hear(post("Content-Length: 2\r\n", "{}").as_bytes()).await;
    assert!(plain.has_second_done(), "a second request is not heard where there is one: {plain:?}");
    for (name, framing) in [
        ("length and chunks", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"),
        ("chunks and length", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"),
    ] {
        let answer = target.hear(post(framing, "0\r\n\r\n").as_bytes()).await;
        tally.case(name, is_one_refusal(&answer) || is_one_and_over(&answer));
    }
    let cases = [
        ("two lengths", post("Content-Length: 2\r\nContent-Length: 90\r\n", "{}")),
        ("two lengths in one", post("Content-Length: 2, 90\r\n", "{}")),
        ("negative length", post("Content-Length: -2\r\n", "{}")),
        ("signed length", post("Content-Length: +2\r\n", "{}")),
        ("hexadecimal length", post("Content-Length: 0x2\r\n", "{}")),
        ("overflowing length", post("Content-Length: 18446744073709551618\r\n", "{}")),
        ("unknown coding", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n")),
        ("chunked, then identity", post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n")),
        ("two codings", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n")),
        ("coding behind a tab", post("Transfer-Encoding:\x0bchunked\r\n", "0\r\n\r\n")),
        ("space before the colon", post("Content-Length : 2\r\n", "{}")),
        ("folded header", post("X: a\r\n b\r\nContent-Length: 2\r\n", "{}")),
        ("bare line feed", post("X: a\nContent-Length: 90\r\n", "")),
        ("zero byte", post("X: a\0b\r\nContent-Length: 2\r\n", "{}")),
        ("bare carriage return", post("X: a\rContent-Length: 90\r\n", "")),
        ("overflowing chunk", post("Transfer-Encoding: chunked\r\n", "ffffffffffffffff1\r\n{}\r\n0\r\n\r\n")),
        ("negative chunk", post("Transfer-Encoding: chunked\r\n", "-1\r\n{}\r\n0\r\n\r\n")),
        (
            "endless extension",
            post(
                "Transfer-Encoding: chunked\r\n",
                &format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(200_000)),
            ),
        ),
        ("no version", format!("GET /v1/workers\r\n{auth}\r\n")),
        ("another version", format!("GET /v1/workers HTTP/3.0\r\n{auth}\r\n")),
        ("HTTP/2 without asking", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
    ];
    for (name, bytes) in cases {
        let answer = target.hear(bytes.as_bytes()).await;
        tally.case(name, is_one_refusal(&answer));
    }
}

/// It was refused, or cut, and nothing that is behind it was done: what is left of a body is at most another thing to refuse.
fn is_one_refusal(answer: &Answer) -> bool {
    (answer.is_refused() || answer.is_cut()) && !answer.has_second_done()
}

/// It was answered, and the connection ended with that: whatever another reader takes for a second request is none. That is
/// what RFC 9112, 6.1, asks for where a length and chunks contradict each other.
fn is_one_and_over(answer: &Answer) -> bool {
    answer.status == 200 && !answer.has_second() && answer.is_over
}
