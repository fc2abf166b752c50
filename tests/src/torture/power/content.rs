//! What is in a file, with holes.

use std::{collections::BTreeMap, fs::File, io, ops::Range, os::unix::fs::FileExt as _};

/// The smallest unit that a disk writes whole, in bytes.
pub(super) const SECTOR: usize = 512;

/// The bytes of a file. Sectors of zeros take no room: a store may keep a large empty file in reserve.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::torture) struct Content {
    size: u64,
    sectors: BTreeMap<u64, Vec<u8>>,
}

impl Content {
    /// How long the file is.
    pub(in crate::torture) fn size(&self) -> u64 {
        self.size
    }

    /// Puts bytes at a place, and makes the file longer where it has to.
    pub(in crate::torture) fn write(&mut self, at: u64, bytes: &[u8]) {
        for piece in pieces(at, bytes.len()) {
            let place = at + piece.start as u64;
            let start = usize::try_from(place % SECTOR as u64).expect("it is below a sector");
            let sector = self.sectors.entry(place / SECTOR as u64).or_insert_with(|| vec![0; SECTOR]);
            sector[start..start + piece.len()].copy_from_slice(&bytes[piece]);
            if sector.iter().all(|byte| *byte == 0) {
                self.sectors.remove(&(place / SECTOR as u64));
            }
        }
        self.size = self.size.max(at + bytes.len() as u64);
    }

    /// Cuts the file, or makes it longer with zeros.
    pub(in crate::torture) fn resize(&mut self, size: u64) {
        if size < self.size {
            let behind = self.sectors.split_off(&(size / SECTOR as u64));
            let edge = behind.get(&(size / SECTOR as u64)).cloned();
            let kept = usize::try_from(size % SECTOR as u64).expect("it is below a sector");
            if let Some(edge) = edge {
                self.write(size - kept as u64, &edge[..kept]);
            }
        }
        self.size = size;
    }

    /// All bytes, holes as zeros.
    pub(in crate::torture) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.size).expect("a file of a test fits into memory")];
        for (sector, part) in &self.sectors {
            let start = usize::try_from(*sector).expect("a file of a test fits into memory") * SECTOR;
            let end = bytes.len().min(start + SECTOR);
            bytes[start..end].copy_from_slice(&part[..end - start]);
        }
        bytes
    }

    /// Writes it into a new file.
    pub(super) fn store(&self, file: &File) -> io::Result<()> {
        for (sector, part) in &self.sectors {
            file.write_all_at(part, sector * SECTOR as u64)?;
        }
        file.set_len(self.size)
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        let mut content = Self::default();
        content.write(0, bytes);
        content
    }
}

/// Where a write is cut by the edges of sectors, as ranges of its bytes.
pub(super) fn pieces(at: u64, length: usize) -> impl Iterator<Item = Range<usize>> {
    let offset = usize::try_from(at % SECTOR as u64).expect("it is below a sector");
    let count = if length == 0 { 0 } else { (offset + length).div_ceil(SECTOR) };
    (0..count).map(move |n| (n * SECTOR).saturating_sub(offset)..((n + 1) * SECTOR - offset).min(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_falls_into_pieces_at_the_edges_of_sectors() {
        /// A place, a length, and where the pieces begin and end.
        type Case<'a> = (u64, usize, &'a [(usize, usize)]);
        let cases: [Case<'_>; 5] = [
            (0, 0, &[]),
            (0, 512, &[(0, 512)]),
            (500, 12, &[(0, 12)]),
            (500, 13, &[(0, 12), (12, 13)]),
            (1000, 1100, &[(0, 24), (24, 536), (536, 1048), (1048, 1100)]),
        ];
        for (at, length, expected) in cases {
            let pieces: Vec<_> = pieces(at, length).map(|piece| (piece.start, piece.end)).collect();
            assert_eq!(pieces, expected, "{length} at {at}");
        }
    }

    #[test]
    fn content_is_what_the_same_writes_make_of_a_vector() {
        let mut content = Content::default();
        let mut model: Vec<u8> = Vec::new();
        let writes: [(usize, Vec<u8>); 4] =
            [(1000, vec![1; 1100]), (0, vec![2; 3]), (1020, vec![0; 600]), (3000, vec![])];
        for (at, bytes) in writes {
            content.write(at as u64, &bytes);
            model.resize(model.len().max(at + bytes.len()), 0);
            model[at..at + bytes.len()].copy_from_slice(&bytes);
            assert_eq!(content.bytes(), model);
        }
        for size in [2000, 1700, 1700, 2100, 1001, 5, 0, 10] {
            content.resize(size as u64);
            model.resize(size, 0);
            assert_eq!(content.bytes(), model);
        }
        let file = tempfile::tempfile().unwrap();
        Content::from(&b"abc"[..]).store(&file).unwrap();
        let mut read = [0; 3];
        file.read_exact_at(&mut read, 0).unwrap();
        assert_eq!(&read, b"abc");
    }
}
