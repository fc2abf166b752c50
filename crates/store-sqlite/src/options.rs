//! What a store is opened with.

/// How a store takes up memory and disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// How much of the disk is set aside, in bytes, so that what is under way can be ended when the disk is full.
    pub reserve_bytes: u64,
    /// How many reads run at the same time, each on a connection and a thread of its own; one at least.
    pub readers: usize,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        // 64 MiB: the endings of some ten thousand workers, a few kilobytes each.
        // Four readers: more than that wait for the disk or the processor anyway.
        Self { reserve_bytes: 64 << 20, readers: 4 }
    }
}
