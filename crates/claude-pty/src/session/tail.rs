//! The last words of a program that may say a lot.

/// A sentence or two, or the end of a stack trace; it becomes a part of a turn's error.
const TAIL: usize = 2048;

/// The end of what was written, as text.
#[derive(Debug, Default)]
pub(super) struct Tail {
    bytes: Vec<u8>,
}

impl Tail {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let surplus = self.bytes.len().saturating_sub(TAIL);
        self.bytes.drain(..surplus);
    }

    /// The text, without white space around it; none when there is nothing else. What is cut in the middle of
    /// a character loses it.
    pub(super) fn text(&self) -> Option<String> {
        let is_continuation = |byte: &u8| byte & 0b1100_0000 == 0b1000_0000;
        let cut = self.bytes.iter().take(3).take_while(|byte| is_continuation(byte)).count();
        let text = String::from_utf8_lossy(&self.bytes[cut..]);
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_end_whatever_comes_before_it() {
        for (written, expected) in [
            (vec![""], None),
            (vec![" \n", "\t"], None),
            (vec!["Error: ", "no\n"], Some("Error: no".to_owned())),
            (vec![&"é".repeat(TAIL), "end"], Some(format!("{}end", "é".repeat((TAIL - 3) / 2)))),
        ] {
            let mut tail = Tail::default();
            for text in written {
                tail.push(text.as_bytes());
            }
            assert_eq!(tail.text(), expected);
        }
    }
}
