//! Walls that a build for the attack harness alone can take down, one at a time: a harness that does not notice that
//! notices nothing. In every other build each of them stands, and the compiler leaves the question out.
//!
//! Invariant: only `--cfg musher_weakened` makes such a build. Features add up over a build, and anybody may ask for all of
//! them; a flag of the compiler's is given by who means it.

macro_rules! walls {
    ($($(#[$doc:meta])* $wall:ident = $name:literal),* $(,)?) => {
        /// A wall, by what it holds off.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Wall {
            $($(#[$doc])* $wall,)*
        }

        #[cfg(musher_weakened)]
        impl Wall {
            /// The wall that the attack harness calls so.
            fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$wall),)*
                    _ => None,
                }
            }
        }
    };
}

walls! {
    /// Requests that name a host which the server does not answer for.
    Host = "host",
    /// Pages of other origins.
    Origin = "origin",
    /// Bodies that are not said to be JSON.
    ContentType = "content_type",
    /// Answers that a browser could guess to be a page.
    Sniffing = "sniffing",
    /// Who has no token.
    Token = "token",
    /// Who has a token for something else.
    Scope = "scope",
    /// Who drives, and decides what its workers ask.
    ApproveScope = "approve_scope",
    /// Look-ups of workers of others.
    Labels = "labels",
    /// Workers of others in lists and feeds.
    LabelsInLists = "labels_in_lists",
    /// Labels of others on what is created.
    LabelsOfCreated = "labels_of_created",
    /// What concerns all workers, from who is there for some.
    LabelsOnAdminRoutes = "labels_on_admin_routes",
    /// What a token opened that is none any more.
    Revocation = "revocation",
    /// Heads that do not come.
    HeadTimeout = "head_timeout",
    /// Bodies that do not come.
    BodyTimeout = "body_timeout",
    /// Bodies that are too large.
    BodySize = "body_size",
    /// Messages on a socket that are too large.
    MessageSize = "message_size",
    /// Bundles under the digest of another.
    BundleDigest = "bundle_digest",
    /// Texts in bundles that are no names, lines or numbers.
    BundleContents = "bundle_contents",
    /// Cursors of another log.
    Cursor = "cursor",
    /// Names that steer a terminal.
    ControlCharacters = "control_characters",
    /// Ids of requests that do not belong into a log.
    RequestId = "request_id",
    /// Children of a workspace that are not directly below it.
    ChildName = "child_name",
    /// Links in a workspace that lead out of it.
    Link = "link",
    /// Mounts that a worker could change although they are read-only.
    ReadOnlyMount = "read_only_mount",
    /// What a repository's own config and hooks name, when git looks at it.
    Git = "git",
    /// Secrets in what a worker says.
    Redaction = "redaction",
    /// The server's variables in a child's environment.
    Environment = "environment",
    /// A listener that others reach, for any host.
    Bind = "bind",
    /// Files with tokens that others can read.
    FileMode = "file_mode",
}

/// Whether a wall stands.
#[cfg(not(musher_weakened))]
#[must_use]
pub const fn stands(_: Wall) -> bool {
    true
}

/// Whether a wall stands: all but the one that is down.
#[cfg(musher_weakened)]
#[must_use]
pub fn stands(wall: Wall) -> bool {
    wall_down() != Some(wall)
}

/// The wall that is down: the one that the variable `MUSHER_WEAKEN` names.
#[cfg(musher_weakened)]
#[must_use]
pub fn wall_down() -> Option<Wall> {
    Wall::named(std::env::var_os("MUSHER_WEAKEN")?.to_str()?)
}
