//! Server-sent events, from bytes.

/// A whole answer in one event, as vendors send it at a stream's end, fits well; an endless line does not.
const MAX_EVENT: usize = 16 << 20;

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SseEvent {
    /// Its type, where the stream names one. Vendors repeat it inside the text, and that one counts.
    pub name: String,
    /// Its text: all its `data` lines.
    pub text: String,
}

/// Turns bytes into events, however they are cut. Comments, ids and delays mean nothing here.
#[derive(Debug, Default)]
pub struct SseDecoder {
    line: Vec<u8>,
    event: SseEvent,
    has_text: bool,
    /// The last byte was a carriage return: a line feed behind it belongs to it.
    after_return: bool,
    /// A byte order mark can only come before the first line.
    has_begun: bool,
}

/// An event is larger than any that a vendor sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is larger than 16 MiB")]
pub struct EventTooLarge;

impl SseDecoder {
    /// Takes bytes and returns the events that they complete.
    ///
    /// # Errors
    ///
    /// When an event is larger than 16 MiB. The stream is of no use then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<SseEvent>, EventTooLarge> {
        let mut events = Vec::new();
        let mut rest = bytes;
        if self.after_return && !rest.is_empty() {
            self.after_return = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.extend(&rest[..end])?;
            events.extend(self.end_line());
            let is_return = rest[end] == b'\r';
            rest = &rest[end + 1..];
            if is_return {
                self.after_return = rest.is_empty();
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
        }
        self.extend(rest)?;
        Ok(events)
    }

    /// The event that the stream's end cut off behind its last line, if any: some servers forget the blank line.
    /// Whether it is whole, its text must show.
    #[must_use]
    pub fn finish(mut self) -> Option<SseEvent> {
        let last = if self.line.is_empty() { None } else { self.end_line() };
        last.or_else(|| self.dispatch())
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), EventTooLarge> {
        if self.line.len() + self.event.text.len() + bytes.len() > MAX_EVENT {
            return Err(EventTooLarge);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self) -> Option<SseEvent> {
        let bytes = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&bytes);
        let line = if self.has_begun { &line } else { line.strip_prefix('\u{feff}').unwrap_or(&line) };
        self.has_begun = true;
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if self.has_text {
                    self.event.text.push('\n');
                }
                self.event.text.push_str(value);
                self.has_text = true;
            }
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        let event = std::mem::take(&mut self.event);
        std::mem::take(&mut self.has_text).then_some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, text: &str) -> SseEvent {
        SseEvent { name: name.to_owned(), text: text.to_owned() }
    }

    /// The events of a stream, which must be the same wherever its bytes are cut.
    #[track_caller]
    fn check(stream: &str, expected: &[SseEvent]) {
        for size in [1, 2, 3, 7, stream.len()] {
            let mut decoder = SseDecoder::default();
            let mut events = Vec::new();
            for piece in stream.as_bytes().chunks(size) {
                events.extend(decoder.push(piece).unwrap());
            }
            events.extend(decoder.finish());
            assert_eq!(events, expected, "{stream:?} in pieces of {size}");
        }
    }

    #[test]
    fn lines_become_events() {
        check("data: a\n\ndata: b\n\n", &[event("", "a"), event("", "b")]);
        check("event: x\ndata: a\r\n\r\ndata:b\r\r", &[event("x", "a"), event("", "b")]);
        check("data: a\ndata:\ndata:  b\n\n", &[event("", "a\n\n b")]);
        check("\u{feff}data: é\u{10348}\n\n", &[event("", "é\u{10348}")]);
        check("data\n\n", &[event("", "")]);
    }

    #[test]
    fn comments_and_unknown_fields_are_no_events() {
        check(": keep-alive\n\n:\n\nretry: 5\nid: 7\n\nevent: ping\n\n", &[]);
        check(": OPENROUTER PROCESSING\n\ndata: a\n: in between\ndata: b\n\n", &[event("", "a\nb")]);
    }

    #[test]
    fn an_event_without_its_blank_line_comes_at_the_end() {
        check("data: a\n\ndata: b\n", &[event("", "a"), event("", "b")]);
        check("data: a\n\ndata: {\"cut", &[event("", "a"), event("", "{\"cut")]);
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut decoder = SseDecoder::default();
        let piece = vec![b'a'; 1 << 20];
        let refused = (0..=16).map(|_| decoder.push(&piece)).find(Result::is_err);
        assert_eq!(refused, Some(Err(EventTooLarge)));
    }
}
