//! Long runs against the built binary that try to make it lose, double or reorder something.
//!
//! Each part drives real servers, remembers what they promised, and compares it with what is there afterwards.
//! What compares is pure and has tests of its own: a check that cannot find anything proves nothing.

pub mod event;
pub mod faults;
pub mod keys;
pub mod kill;
pub mod power;
pub mod readers;
pub mod report;
pub mod seed;
pub mod workers;
