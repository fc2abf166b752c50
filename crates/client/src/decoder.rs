//! Server-sent events, from bytes as they come.

use bytes::{Buf as _, BytesMut};

/// Fields of an event are 64 kB at most, six times as much where all of one is escaped, and an event has a few; the
/// largest line that a server sends is far below this.
pub(crate) const MAX_BLOCK: usize = 4 << 20;

/// What a stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// An event's text.
    Event(String),
    /// For people, and a sign that there is somebody.
    Comment(String),
}

/// A line or an event is larger than any that a server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// Turns bytes into events, however they are cut. Ids, types and delays mean nothing here: an envelope has its own
/// cursor, and when to come back is the client's affair.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    bytes: BytesMut,
    /// How much of `bytes` is known to have no line's end.
    looked_at: usize,
    event: Option<String>,
}

impl Decoder {
    /// Takes what came. Whatever it completes has to be taken with [`Decoder::next`] before more is given.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// What is whole by now.
    pub(crate) fn next(&mut self) -> Result<Option<Item>, TooLarge> {
        while let Some(end) = self.bytes[self.looked_at..].iter().position(|byte| *byte == b'\n') {
            let line = self.bytes.split_to(self.looked_at + end);
            self.bytes.advance(1);
            self.looked_at = 0;
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            if let Some(item) = self.take(&String::from_utf8_lossy(line))? {
                return Ok(Some(item));
            }
        }
        self.looked_at = self.bytes.len();
        if self.looked_at > MAX_BLOCK { Err(TooLarge) } else { Ok(None) }
    }

    fn take(&mut self, line: &str) -> Result<Option<Item>, TooLarge> {
        if line.is_empty() {
            return Ok(self.event.take().map(Item::Event));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match (field, &mut self.event) {
            ("", _) => return Ok(Some(Item::Comment(value.to_owned()))),
            ("data", None) => self.event = Some(value.to_owned()),
            ("data", Some(text)) => {
                if text.len() + value.len() > MAX_BLOCK {
                    return Err(TooLarge);
                }
                text.push('\n');
                text.push_str(value);
            }
            _ => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &[u8], piece: usize) -> Vec<Item> {
        let mut decoder = Decoder::default();
        let mut items = Vec::new();
        for bytes in text.chunks(piece) {
            decoder.push(bytes);
            while let Some(item) = decoder.next().unwrap() {
                items.push(item);
            }
        }
        items
    }

    #[test]
    fn what_is_said_does_not_depend_on_how_it_is_cut() {
        let text = "retry: 2000\n\nid: wo_1\ndata: {\"a\":\"é\"}\n\n:\n\n: {\"code\":1}\r\n\r\ndata\ndata: two\ndata:three\n\n\
                    event: other\nid: wo_2\n\ndata: cut off";
        let event = |text: &str| Item::Event(text.to_owned());
        let comment = |text: &str| Item::Comment(text.to_owned());
        let expected = [event("{\"a\":\"é\"}"), comment(""), comment("{\"code\":1}"), event("\ntwo\nthree")];
        for piece in 1..text.len() {
            assert_eq!(decode(text.as_bytes(), piece), expected, "{piece}");
        }
    }

    #[test]
    fn neither_a_line_nor_an_event_grows_without_end() {
        let mut decoder = Decoder::default();
        decoder.push(&vec![b'x'; MAX_BLOCK + 1]);
        assert_eq!(decoder.next(), Err(TooLarge));
        let mut decoder = Decoder::default();
        let line = [b"data: ".as_slice(), &vec![b'x'; MAX_BLOCK / 2], b"\n"].concat();
        decoder.push(&line.repeat(3));
        assert_eq!(decoder.next(), Err(TooLarge));
    }
}
