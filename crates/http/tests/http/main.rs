//! The adapter over real sockets and a real runtime.

mod access;
mod approvals;
mod attention;
mod blobs;
mod bundles;
mod commands;
mod connections;
mod embedded;
mod errors;
mod keys;
mod labels;
mod many;
mod observe;
mod offering;
mod pages;
mod revoked;
mod sse;
mod survivors;
mod walls;

mod client;
mod store;
mod world;
