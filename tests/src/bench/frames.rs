//! WebSocket frames of a server, found in the bytes without looking at what they say.

use std::ops::Range;

/// A text frame that is whole.
const TEXT: u8 = 0x81;

/// Finds frames in a stream of bytes.
#[derive(Debug, Default)]
pub(super) struct Frames {
    buffer: Vec<u8>,
    /// How much of the buffer has been answered.
    passed: usize,
}

impl Frames {
    /// Takes what came.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.passed);
        self.passed = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next text frame, its header and what it says; `None` when more has to come.
    pub(super) fn next(&mut self) -> Option<(&[u8], &[u8])> {
        loop {
            let (body, opcode) = frame(&self.buffer[self.passed..])?;
            let at = self.passed;
            self.passed += body.end;
            if opcode == TEXT {
                let whole = &self.buffer[at..at + body.end];
                return Some((whole, &whole[body]));
            }
        }
    }
}

/// Where the body of the first frame is, once all of it is there.
fn frame(bytes: &[u8]) -> Option<(Range<usize>, u8)> {
    let (&opcode, &length) = (bytes.first()?, bytes.get(1)?);
    let (begin, length) = match length {
        126 => (4, u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?).into()),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)),
        short => (2, short.into()),
    };
    let end = begin + usize::try_from(length).ok()?;
    (bytes.len() >= end).then_some((begin..end, opcode))
}

/// The header of a text frame with a body of this length.
pub(super) fn header(length: usize) -> Vec<u8> {
    let mut header = vec![TEXT];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => header.push(short),
        (_, Ok(middle)) => {
            header.push(126);
            header.extend_from_slice(&middle.to_be_bytes());
        }
        _ => {
            header.push(127);
            header.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_any_length_come_out_whole_however_they_are_cut() {
        let bodies = [0, 1, 125, 126, 65_535, 65_536].map(|length| vec![b'x'; length]);
        let ping = [0x89, 1, b'p'];
        let stream: Vec<u8> =
            bodies.iter().flat_map(|body| [&header(body.len())[..], body, &ping].concat()).collect();
        for piece in [1, 7, 4096, stream.len()] {
            let (mut frames, mut found) = (Frames::default(), Vec::new());
            for bytes in stream.chunks(piece) {
                frames.push(bytes);
                while let Some((whole, body)) = frames.next() {
                    assert_eq!(whole.len(), header(body.len()).len() + body.len());
                    found.push(body.to_vec());
                }
            }
            assert_eq!(found, bodies, "cut into pieces of {piece}");
        }
    }
}
