//! What only Linux has: `/proc` and process descriptors.

mod argument_space;
mod pidfd;
mod stat;
mod table;

#[cfg(test)]
pub(crate) use self::table::stat_of;
pub(crate) use self::{
    argument_space::{ArgumentSpace, Overflow},
    pidfd::signal,
    stat::{Identity, Stat},
    table::{Process, fd_path, processes},
};
