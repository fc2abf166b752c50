//! Disk space set aside, so that what is under way can be ended when the disk is full.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::PathBuf,
};

use rustix::fs::{FallocateFlags, fallocate};

use crate::home::Home;

/// A file of allocated blocks that is given up when the disk is full.
#[derive(Debug)]
pub(crate) struct Reserve {
    path: PathBuf,
    bytes: u64,
}

impl Reserve {
    pub(crate) fn of(home: &Home, bytes: u64) -> Self {
        Self { path: home.reserve(), bytes }
    }

    /// Allocates what is missing, durably. When there is no space for all of it, nothing stays allocated: the last
    /// free blocks belong to those who have something to write.
    pub(crate) fn build(&self) -> io::Result<()> {
        let mut file = self.open()?;
        if is_allocated(&file, self.bytes)? {
            return Ok(());
        }
        let built = allocate(&mut file, self.bytes).and_then(|()| file.sync_all());
        if built.is_err() {
            self.release()?;
        }
        built
    }

    /// Gives the space up. When this returns, others can have it.
    pub(crate) fn release(&self) -> io::Result<()> {
        let file = self.open()?;
        file.set_len(0)?;
        // File systems with a journal hand out freed blocks only when that freed them is on the disk.
        file.sync_all()
    }

    fn open(&self) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&self.path)
    }
}

/// Whether the file has its blocks; a sparse file of that length has none.
fn is_allocated(file: &File, bytes: u64) -> io::Result<bool> {
    /// What `st_blocks` counts in, on every file system.
    const BLOCK: u64 = 512;
    let metadata = file.metadata()?;
    Ok(metadata.len() == bytes && metadata.blocks() * BLOCK >= bytes)
}

fn allocate(file: &mut File, bytes: u64) -> io::Result<()> {
    if bytes == 0 {
        return file.set_len(0);
    }
    match fallocate(&*file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => file.set_len(bytes),
        // File systems that cannot promise blocks get them written.
        Err(rustix::io::Errno::OPNOTSUPP) => write(file, bytes),
        Err(error) => Err(error.into()),
    }
}

fn write(file: &mut File, bytes: u64) -> io::Result<()> {
    const CHUNK: usize = 1 << 16;
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    // Not zeros, and no two blocks alike: a file system that compresses would allocate next to nothing for those.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut chunk = [0; CHUNK];
    let mut left = bytes;
    while left > 0 {
        for word in chunk.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        let length = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
        file.write_all(&chunk[..length])?;
        left -= length as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_has_real_blocks_gives_them_up_and_takes_them_again() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::take(dir.path()).unwrap();
        let reserve = Reserve::of(&home, 1 << 20);
        let blocks = || {
            let metadata = std::fs::metadata(home.reserve()).unwrap();
            (metadata.len(), metadata.blocks() * 512 >= metadata.len())
        };
        reserve.build().unwrap();
        assert_eq!(blocks(), (1 << 20, true));
        reserve.release().unwrap();
        assert_eq!(blocks(), (0, true));
        File::create(home.reserve()).unwrap().set_len(1 << 20).unwrap();
        reserve.build().unwrap();
        assert_eq!(blocks(), (1 << 20, true), "a sparse file was no reserve");
    }

    #[test]
    fn a_reserve_is_written_where_blocks_cannot_be_asked_for() {
        let mut file = tempfile::tempfile().unwrap();
        write(&mut file, 100_000).unwrap();
        assert!(is_allocated(&file, 100_000).unwrap());
    }
}
