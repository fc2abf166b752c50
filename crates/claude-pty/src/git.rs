//! What git finds in the program's environment.
//!
//! The program runs git by itself: for the state of its directory when it starts, and to make working trees for
//! subagents. A repository's config and attributes name programs for git to run, so without this a worker that has no
//! shell would have one of the repository's, or of its own, for it may write those files.

use std::collections::BTreeSet;

use musher_protocol::Capability;

/// No repository anywhere: git reads no config but its user's. Where the program finds a repository for git itself, as
/// the newest version does, at least none of what runs most easily does.
const NOTHING_OF_A_REPOSITORY: [(&str, &str); 8] = [
    // The places in which a config names programs cannot be listed, and a filter has whatever name it likes.
    ("GIT_DIR", "/dev/null"),
    ("GIT_CONFIG_COUNT", "3"),
    ("GIT_CONFIG_KEY_0", "core.fsmonitor"),
    ("GIT_CONFIG_VALUE_0", "false"),
    ("GIT_CONFIG_KEY_1", "core.hooksPath"),
    ("GIT_CONFIG_VALUE_1", "/dev/null"),
    // Files that are no repository of anybody's, laid out like one.
    ("GIT_CONFIG_KEY_2", "safe.bareRepository"),
    ("GIT_CONFIG_VALUE_2", "explicit"),
];

/// The variables of a worker that may do this. One with a shell can run all there is anyway, and its git works as its
/// user's does.
pub(crate) fn variables(capabilities: &BTreeSet<Capability>) -> &'static [(&'static str, &'static str)] {
    if capabilities.contains(&Capability::Shell) { &[] } else { &NOTHING_OF_A_REPOSITORY }
}
