//! A look at a left-over write-ahead log before SQLite opens it.
//!
//! SQLite takes the first broken frame for the end of the log, whatever comes behind it. After a crash that is right:
//! the last commit was cut off. When later commits follow, it is damage, and to go on would drop what was
//! acknowledged. The format is that of <https://sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use crate::failure::WalDamage;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The least that a disk writes at once.
const SECTOR: u64 = 512;
/// The last bit says whether checksums read the words that they are over as big-endian.
const MAGIC: u32 = 0x377f_0682;

/// Looks for damage in the log at this path, which is not changed. A log that is not there has none.
pub(crate) fn look(path: &Path) -> io::Result<Option<WalDamage>> {
    match File::open(path) {
        Ok(file) => scan(BufReader::with_capacity(1 << 18, file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Damage in a log, as opposed to a torn end.
///
/// A commit is synced before the next one is begun, and SQLite syncs the header before the first frame. So a frame
/// is damaged when a frame of a later commit continues behind it, and a header is when anything is behind it. A frame
/// that one bit of its own header makes right again was whole once, too, where the header cannot be torn.
pub(crate) fn scan(mut log: impl Read) -> io::Result<Option<WalDamage>> {
    let mut header = [0; HEADER];
    if !fill(&mut log, &mut header)? {
        return Ok(None);
    }
    let Some(form) = Form::read(&header) else {
        let mut rest = [0; FRAME_HEADER];
        let has_frames = fill(&mut log, &mut rest)?;
        return Ok(has_frames.then_some(WalDamage::Header));
    };

    let mut frame = vec![0; FRAME_HEADER + form.page_size];
    let mut sum = form.sum;
    let mut broken = None;
    let mut behind_a_commit = false;
    for number in 1.. {
        if !fill(&mut log, &mut frame)? {
            break;
        }
        let fits = form.fits(&frame, sum);
        match broken {
            None if fits => {}
            None if form.is_in_one_sector(number) && form.was_whole(&frame, sum) => {
                return Ok(Some(WalDamage::Frame(number)));
            }
            None => broken = Some(number),
            Some(broken) if fits && behind_a_commit => return Ok(Some(WalDamage::Frame(broken))),
            Some(_) => {}
        }
        // Of the broken frame, only a header that cannot be torn is believed; of those behind it, only what fits the frame before.
        let is_believed =
            fits || broken == Some(number) && form.has_salt(&frame) && form.is_in_one_sector(number);
        behind_a_commit = is_believed && word(&frame, 4) != 0;
        sum = (word(&frame, 16), word(&frame, 20));
    }
    Ok(None)
}

/// What the header says of the frames.
#[derive(Debug)]
struct Form {
    page_size: usize,
    salt: (u32, u32),
    big_endian: bool,
    /// What the first frame's checksum continues.
    sum: Sum,
}

type Sum = (u32, u32);

impl Form {
    fn read(header: &[u8; HEADER]) -> Option<Self> {
        let magic = word(header, 0);
        let big_endian = magic & 1 == 1;
        let page_size = usize::try_from(word(header, 8)).ok()?;
        let sum = checksum(big_endian, &header[..24], (0, 0));
        let is_whole = magic & !1 == MAGIC
            && page_size.is_power_of_two()
            && (512..=65536).contains(&page_size)
            && sum == (word(header, 24), word(header, 28));
        let salt = (word(header, 16), word(header, 20));
        is_whole.then_some(Self { page_size, salt, big_endian, sum })
    }

    /// Whether the frame continues those up to this checksum.
    fn fits(&self, frame: &[u8], before: Sum) -> bool {
        self.has_salt(frame)
            && word(frame, 0) != 0
            && self.sum_of(frame, before) == (word(frame, 16), word(frame, 20))
    }

    fn has_salt(&self, frame: &[u8]) -> bool {
        (word(frame, 8), word(frame, 12)) == self.salt
    }

    fn sum_of(&self, frame: &[u8], before: Sum) -> Sum {
        let sum = checksum(self.big_endian, &frame[..8], before);
        checksum(self.big_endian, &frame[FRAME_HEADER..], sum)
    }

    /// Whether a disk writes the header of this frame, counted from 1, whole or not at all. One on an edge may have an
    /// older log's first words before the new rest, and they may differ in a single bit.
    fn is_in_one_sector(&self, number: u64) -> bool {
        let at = HEADER as u64 + (number - 1) * (FRAME_HEADER + self.page_size) as u64;
        at / SECTOR == (at + FRAME_HEADER as u64 - 1) / SECTOR
    }

    /// Whether the frame would fit if one bit of its header were another.
    fn was_whole(&self, frame: &[u8], before: Sum) -> bool {
        let page = &frame[FRAME_HEADER..];
        let differing = |words: [(u32, u32); 4]| words.map(|(a, b)| (a ^ b).count_ones()).iter().sum::<u32>();
        let (own, sum) = ((word(frame, 16), word(frame, 20)), self.sum_of(frame, before));
        let salt = (word(frame, 8), word(frame, 12));
        let words = [(salt.0, self.salt.0), (salt.1, self.salt.1), (own.0, sum.0), (own.1, sum.1)];
        if differing(words) == 1 {
            return true;
        }
        // The sum over the page is linear in the one that it continues, so it need not be computed for each bit.
        let nothing = vec![0; page.len()];
        let of = |bytes: &[u8], before| checksum(self.big_endian, bytes, before);
        let (a, b, c) = (of(&nothing, (1, 0)), of(&nothing, (0, 1)), of(page, (0, 0)));
        let continued = |(x, y): Sum| {
            let part =
                |a: u32, b: u32, c: u32| x.wrapping_mul(a).wrapping_add(y.wrapping_mul(b)).wrapping_add(c);
            (part(a.0, b.0, c.0), part(a.1, b.1, c.1))
        };
        let mut start: [u8; 8] = frame[..8].try_into().expect("a frame has a header");
        salt == self.salt
            && (0..start.len() * 8).any(|bit| {
                start[bit / 8] ^= 1 << (bit % 8);
                let fits = continued(of(&start, before)) == own;
                start[bit / 8] ^= 1 << (bit % 8);
                fits
            })
    }
}

fn checksum(big_endian: bool, bytes: &[u8], (mut a, mut b): Sum) -> Sum {
    let read = |bytes: &[u8]| {
        let bytes = bytes.try_into().expect("a word has four bytes");
        if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    };
    for pair in bytes.chunks_exact(8) {
        a = a.wrapping_add(read(&pair[..4])).wrapping_add(b);
        b = b.wrapping_add(read(&pair[4..])).wrapping_add(a);
    }
    (a, b)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("a word has four bytes"))
}

/// Reads so many bytes; `false` when the end comes before.
fn fill(log: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match log.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
