//! Bytes cut into lines. Pure: the same lines come out however the bytes are cut on the way.

/// The longest line. An answer of 1 MB comes as two lines of that length; a program that writes 16 times as
/// much without a line end is not the one we know, and its line must not fill the memory.
pub(crate) const MAX_LINE: usize = 16 * 1024 * 1024;

/// A line is longer than [`MAX_LINE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line is longer than {MAX_LINE} bytes")]
pub(crate) struct LineTooLong;

/// Cuts a stream of bytes at its line feeds.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    bytes: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// How far there is no line feed for certain.
    searched: usize,
}

impl Lines {
    /// Adds bytes behind those that are there.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the next line that is complete and not blank, without its line feed and one carriage return.
    ///
    /// # Errors
    ///
    /// When the line is too long, complete or not. Nothing can be taken after that.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, LineTooLong> {
        loop {
            let found = self.bytes[self.searched..].iter().position(|byte| *byte == b'\n');
            let end = found.map_or(self.bytes.len(), |at| self.searched + at);
            if end - self.start > MAX_LINE {
                return Err(LineTooLong);
            }
            self.searched = end;
            if found.is_none() {
                return Ok(None);
            }
            let line = self.start..end;
            self.searched = end + 1;
            self.start = end + 1;
            if !is_blank(&self.bytes[line.clone()]) {
                return Ok(Some(without_return(&self.bytes[line])));
            }
        }
    }

    /// What is left when no more bytes come: a last line without its line feed.
    pub(crate) fn rest(&self) -> Option<&[u8]> {
        let line = &self.bytes[self.start..];
        (!is_blank(line)).then(|| without_return(line))
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(chunks: &[&str], expected: &[&str], rest: Option<&str>) {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for chunk in chunks {
            lines.push(chunk.as_bytes());
            while let Some(line) = lines.next().unwrap() {
                found.push(String::from_utf8(line.to_vec()).unwrap());
            }
        }
        assert_eq!(found, expected, "{chunks:?}");
        assert_eq!(lines.rest().map(|line| std::str::from_utf8(line).unwrap()), rest, "{chunks:?}");
    }

    #[test]
    fn lines_end_at_a_line_feed_and_nowhere_else() {
        check(&["a\nb\n"], &["a", "b"], None);
        check(&["a", "b", "\n", "c"], &["ab"], Some("c"));
        check(&["a\r\nb\r\r\nc\rd\n"], &["a", "b\r", "c\rd"], None);
        check(&["\u{2028}\u{85}\n"], &["\u{2028}\u{85}"], None);
        check(&["\n\n  \n\r\na\n\n"], &["a"], None);
        check(&[], &[], None);
        check(&["a\r"], &[], Some("a"));
        check(&[" \t"], &[], None);
    }

    #[test]
    fn a_line_too_long_is_noticed_before_it_ends() {
        let mut lines = Lines::default();
        lines.push(&vec![b'x'; MAX_LINE]);
        assert_eq!(lines.next(), Ok(None));
        lines.push(b"\n");
        assert_eq!(lines.next().unwrap().map(<[u8]>::len), Some(MAX_LINE));
        lines.push(&vec![b'x'; MAX_LINE + 1]);
        assert_eq!(lines.next(), Err(LineTooLong));
    }
}
