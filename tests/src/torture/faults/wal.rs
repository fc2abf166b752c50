//! Where things are in SQLite's write-ahead log, to damage them on purpose.
//!
//! The format is that of <https://sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::ops::Range;

const HEADER: usize = 32;
/// A frame's own header, before its page.
pub(super) const FRAME_HEADER: usize = 24;

/// A page in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Its bytes in the file.
    pub(super) place: Range<usize>,
    /// Whether a commit ends with it.
    pub(super) is_commit: bool,
}

/// The frames of the log's current round, up to its last whole commit.
pub(super) fn frames(log: &[u8]) -> Vec<Frame> {
    let Some(header) = log.get(..HEADER) else { return Vec::new() };
    let page = usize::try_from(word(header, 8)).expect("32 bits fit");
    let salts = &header[16..24];
    let mut frames = Vec::new();
    let mut start = HEADER;
    while let Some(frame) = log.get(start..start + FRAME_HEADER + page) {
        // Frames of an earlier round may lie behind those of this one.
        if &frame[8..16] != salts {
            break;
        }
        frames.push(Frame { place: start..start + frame.len(), is_commit: word(frame, 4) != 0 });
        start += frame.len();
    }
    let whole = frames.iter().rposition(|frame| frame.is_commit).map_or(0, |last| last + 1);
    frames.truncate(whole);
    frames
}

/// Where the last commit begins in the file; its end when there is none.
pub(super) fn last_commit(frames: &[Frame]) -> usize {
    let before = frames.split_last().map_or(&[][..], |(_, before)| before);
    match before.iter().rfind(|frame| frame.is_commit) {
        Some(frame) => frame.place.end,
        None => HEADER,
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("a word has four bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(salt: u8, pages: u8) -> Vec<u8> {
        let mut frame = vec![0; FRAME_HEADER + 512];
        frame[7] = pages;
        frame[8..16].fill(salt);
        frame
    }

    #[test]
    fn frames_end_with_the_last_whole_commit_of_the_current_round() {
        let mut header = vec![0; HEADER];
        header[10] = 2;
        header[16..24].fill(7);
        let size = FRAME_HEADER + 512;
        let at = |n: usize| HEADER + n * size;
        let log = [header.clone(), frame(7, 1), frame(7, 0), frame(7, 2), frame(7, 0), frame(6, 2)].concat();
        let expected = [
            Frame { place: at(0)..at(1), is_commit: true },
            Frame { place: at(1)..at(2), is_commit: false },
            Frame { place: at(2)..at(3), is_commit: true },
        ];
        assert_eq!(frames(&log), expected);
        assert_eq!(last_commit(&frames(&log)), at(1));
        assert_eq!(last_commit(&expected[..1]), HEADER);
        assert_eq!((frames(&header), frames(&[])), (Vec::new(), Vec::new()));
    }
}
