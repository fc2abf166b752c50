//! Whether stalled readers stalled so that the server could feel it.

use std::{fmt, fs};

use super::{
    record::{Log, Record},
    round::Round,
};

/// The least, the usual and the greatest send buffer of a TCP socket on this machine, in bytes.
const SEND_BUFFER: &str = "/proc/sys/net/ipv4/tcp_wmem";
/// Beside the kernel's buffer for the server: the small one of the reader, which the kernel doubles, and what a
/// server may keep for a reader. What is beyond it only the log can have.
const OTHER_BYTES: u64 = (8 << 10) + (super::MAX_KIB << 10);

/// How far the log was before each stalled reader, in bytes; `None` for one that never stalled.
#[derive(Debug)]
pub(super) struct Stalls(Vec<Option<u64>>);

impl Stalls {
    /// Looks where each of these readers stalled, in the round that it came in.
    pub(super) fn new<'a>(sleepy: impl Iterator<Item = &'a Record>, rounds: &[Round], log: &Log) -> Self {
        let ahead = |record: &Record| {
            let round = rounds.iter().find(|round| *round.behind.start() == record.after + 1)?;
            Some(log.bytes(record.stalled_at? + 1..=*round.behind.end()))
        };
        Self(sleepy.map(ahead).collect())
    }

    /// Why the server may not have felt all of them, when a kernel takes so many bytes of it for one reader.
    pub(super) fn untried(&self, kernel: u64) -> Option<String> {
        let needed = kernel + OTHER_BYTES;
        let all = self.0.len();
        let felt = self.0.iter().filter(|ahead| ahead.is_some_and(|ahead| ahead > needed)).count();
        if all == 0 {
            return Some("no reader was there to stall".to_owned());
        }
        (felt < all).then(|| {
            format!(
                "{} of {all} stalled readers did not stall with more than {needed} bytes before them, which is \
                 what buffers have room for; more --events may help",
                all - felt
            )
        })
    }
}

impl fmt::Display for Stalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = self.0.iter().map(|ahead| ahead.unwrap_or_default()).min().unwrap_or_default();
        write!(f, "{:.1}", least as f64 / f64::from(1 << 20))
    }
}

/// What the kernel takes of a server at most for a client that does not read.
pub(super) fn kernel_bytes() -> u64 {
    let text = fs::read_to_string(SEND_BUFFER).unwrap();
    let most = text.split_whitespace().nth(2).and_then(|most| most.parse().ok());
    most.unwrap_or_else(|| panic!("{SEND_BUFFER} has three numbers, not {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_before_whom_buffers_have_room_for_all_have_shown_nothing() {
        const KERNEL: u64 = 4 << 20;
        let enough = KERNEL + OTHER_BYTES + 1;
        let few = |n, all| {
            Some(format!(
                "{n} of {all} stalled readers did not stall with more than 4464640 bytes before them, which is what \
                 buffers have room for; more --events may help"
            ))
        };
        let cases = [
            (vec![Some(enough), Some(enough)], None),
            (vec![Some(enough), Some(enough - 1)], few(1, 2)),
            (vec![None, Some(0), Some(enough)], few(2, 3)),
            (vec![], Some("no reader was there to stall".to_owned())),
        ];
        for (ahead, expected) in cases {
            assert_eq!(Stalls(ahead.clone()).untried(KERNEL), expected, "{ahead:?}");
        }
    }
}
