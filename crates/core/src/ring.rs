//! The newest frames of a worker, for readers who are close.

use std::collections::VecDeque;

use crate::frame::Frame;

/// Enough for a reader who looks a few times a second at a fast model; who is further behind reads the store.
const MAX_FRAMES: usize = 1024;
/// A worker's share of memory, also when its frames are large.
const MAX_BYTES: usize = 1 << 20;

/// The newest frames of a worker.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    frames: VecDeque<Frame>,
    bytes: usize,
}

impl Ring {
    pub(crate) fn push(&mut self, frame: Frame) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
        while self.frames.len() > MAX_FRAMES || (self.bytes > MAX_BYTES && self.frames.len() > 1) {
            let oldest = self.frames.pop_front().expect("a full ring is not empty");
            self.bytes -= oldest.len();
        }
    }

    /// The frames behind `after`, oldest first, as many as `max_bytes` holds and one at least; `None` when the
    /// ring does not reach back that far.
    pub(crate) fn behind(&self, after: u64, max_bytes: usize) -> Option<Vec<Frame>> {
        let first = self.frames.front()?.seq();
        let passed = usize::try_from((after + 1).checked_sub(first)?).ok()?;
        let mut bytes = 0;
        let near = self.frames.iter().skip(passed).take_while(|frame| {
            let fits = bytes == 0 || bytes + frame.len() <= max_bytes;
            bytes += frame.len();
            fits
        });
        Some(near.cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use musher_protocol::{EventId, Payload, WorkerId};

    use super::*;
    use crate::frame::seal;

    fn ring(frames: u64, text: usize) -> Ring {
        let worker: WorkerId = "wrk_1".parse().unwrap();
        let mut ring = Ring::default();
        for seq in 1..=frames {
            let payload = Payload::Diagnostic { code: "x".into(), message: "y".repeat(text) };
            ring.push(Frame::of(&worker, &seal(seq, EventId::mint(), jiff::Timestamp::UNIX_EPOCH, &payload)));
        }
        ring
    }

    fn seqs(frames: Option<Vec<Frame>>) -> Option<Vec<u64>> {
        frames.map(|frames| frames.iter().map(Frame::seq).collect())
    }

    #[test]
    fn answers_what_is_behind_a_place_or_that_it_does_not_reach_back() {
        assert_eq!(seqs(Ring::default().behind(0, 100)), None);
        assert_eq!(seqs(ring(3, 1).behind(0, 1 << 20)), Some(vec![1, 2, 3]));
        assert_eq!(seqs(ring(3, 1).behind(2, 1 << 20)), Some(vec![3]));
        assert_eq!(seqs(ring(3, 1).behind(3, 1 << 20)), Some(vec![]));
        assert_eq!(seqs(ring(3, 1).behind(0, 1)), Some(vec![1]), "one frame at least");
        let full = ring(MAX_FRAMES as u64 + 2, 1);
        assert_eq!(seqs(full.behind(1, 1)), None);
        assert_eq!(seqs(full.behind(2, 1)), Some(vec![3]));
    }

    #[test]
    fn large_frames_push_out_older_ones() {
        let ring = ring(10, MAX_BYTES / 4);
        assert!(ring.bytes <= MAX_BYTES);
        assert_eq!(seqs(ring.behind(9, MAX_BYTES)), Some(vec![10]));
    }
}
