use serde_json::json;

use super::*;
use crate::torture::power::strace::Span;

fn send(line: usize, socket: &str, bytes: &[u8]) -> Step {
    let act = Act::Send { socket: socket.to_owned(), bytes: bytes.to_vec() };
    Step { span: Span { start: line, end: line + 1 }, act }
}

fn frame(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    let mut bytes = match length {
        0..=125 => vec![0x81, length],
        _ => vec![0x81, 126, 0, length],
    };
    bytes.extend(text.as_bytes());
    bytes
}

#[test]
fn replies_and_frames_are_said_when_their_last_byte_is() {
    let long = format!(r#"{{"kind":"event","text":"{}"}}"#, "x".repeat(150));
    let steps = [
        send(1, "a", b"HTTP/1.1 200 OK\r\nContent-Le"),
        send(2, "pipe", b"\x01"),
        send(3, "a", b"ngth: 9\r\n\r\n{\"ack\""),
        send(4, "b", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"),
        send(5, "a", b":1}HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}"),
        send(6, "b", &[frame(r#"{"kind":"event"}"#), frame(&long)[..40].to_vec()].concat()),
        send(7, "a", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n{\"wo\r\n"),
        send(8, "a", b"8\r\nrker\":2}\r\n0\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"),
        send(9, "b", &[&frame(&long)[40..], &[0x89, 0]].concat()),
        send(10, "a", b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n"),
        Step { span: Span { start: 11, end: 11 }, act: Act::Hangup { socket: "b".to_owned() } },
        send(12, "b", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"),
    ];
    let expected = [
        (5, Message::Reply(json!({"ack": 1}))),
        (6, Message::Frame(json!({"kind": "event"}))),
        (8, Message::Reply(json!({"worker": 2}))),
        (9, Message::Frame(serde_json::from_str(&long).unwrap())),
        (12, Message::Reply(json!({}))),
    ]
    .map(|(line, message)| Said { line, message });
    assert_eq!(said(&steps).unwrap(), expected);
}

#[test]
fn what_cannot_be_read_is_refused() {
    let upgraded = |frame: &[u8]| [b"HTTP/1.1 101 S\r\n\r\n", frame].concat();
    let cases = [
        b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{,".to_vec(),
        upgraded(&[0x81, 0x80 | 2, 0, 0, 0, 0, b'{', b'}']),
        upgraded(&[0x01, 1, b'{']),
        upgraded(&[0xc1, 1, b'{']),
        upgraded(&[0x81, 1, b'{']),
    ];
    for bytes in cases {
        let refused = said(&[send(3, "a", &bytes)]).unwrap_err();
        assert_eq!(refused.line, 3, "{}", String::from_utf8_lossy(&bytes));
    }
}
