//! What only Linux has: `/proc`, process descriptors and control groups.

mod argument_space;
mod cgroup;
mod pidfd;
mod stat;
mod table;

#[cfg(test)]
pub(crate) use self::table::stat_of;
pub(crate) use self::{
    argument_space::{ArgumentSpace, Overflow},
    cgroup::Cgroups,
    pidfd::signal,
    stat::{Identity, Stat},
    table::{Process, fd_path, processes},
};
