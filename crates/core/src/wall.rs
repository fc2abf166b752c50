//! Walls that a build for the attack harness alone can take down, one at a time: a harness that does not notice that
//! notices nothing. In every other build each of them stands, and the compiler leaves the question out.

/// A wall, by what it holds off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wall {
    /// Requests that name a host which the server does not answer for.
    Host,
    /// Pages of other origins.
    Origin,
    /// Bodies that are not said to be JSON.
    ContentType,
    /// Answers that a browser could guess to be a page.
    Sniffing,
    /// Who has no token.
    Token,
    /// Who has a token for something else.
    Scope,
    /// Who drives, and decides what its workers ask.
    ApproveScope,
    /// Look-ups of workers of others.
    Labels,
    /// Workers of others in lists and feeds.
    LabelsInLists,
    /// Labels of others on what is created.
    LabelsOfCreated,
    /// What a token opened that is none any more.
    Revocation,
    /// Heads that do not come.
    HeadTimeout,
    /// Bodies that do not come.
    BodyTimeout,
    /// Bodies that are too large.
    BodySize,
    /// Messages on a socket that are too large.
    MessageSize,
    /// Bundles under the digest of another.
    BundleDigest,
    /// Cursors of another log.
    Cursor,
    /// Names that steer a terminal.
    ControlCharacters,
    /// Links in a workspace that lead out of it.
    Link,
    /// Secrets in what a worker says.
    Redaction,
    /// The server's variables in a child's environment.
    Environment,
    /// A listener that others reach, for any host.
    Bind,
    /// Files with tokens that others can read.
    FileMode,
}

/// Whether a wall stands.
#[cfg(not(feature = "weakened"))]
#[must_use]
pub const fn stands(_: Wall) -> bool {
    true
}

/// Whether a wall stands: all but the one that the variable `MUSHER_WEAKEN` names.
#[cfg(feature = "weakened")]
#[must_use]
pub fn stands(wall: Wall) -> bool {
    let name = match wall {
        Wall::Host => "host",
        Wall::Origin => "origin",
        Wall::ContentType => "content_type",
        Wall::Sniffing => "sniffing",
        Wall::Token => "token",
        Wall::Scope => "scope",
        Wall::ApproveScope => "approve_scope",
        Wall::Labels => "labels",
        Wall::LabelsInLists => "labels_in_lists",
        Wall::LabelsOfCreated => "labels_of_created",
        Wall::Revocation => "revocation",
        Wall::HeadTimeout => "head_timeout",
        Wall::BodyTimeout => "body_timeout",
        Wall::BodySize => "body_size",
        Wall::MessageSize => "message_size",
        Wall::BundleDigest => "bundle_digest",
        Wall::Cursor => "cursor",
        Wall::ControlCharacters => "control_characters",
        Wall::Link => "link",
        Wall::Redaction => "redaction",
        Wall::Environment => "environment",
        Wall::Bind => "bind",
        Wall::FileMode => "file_mode",
    };
    std::env::var_os("MUSHER_WEAKEN").is_none_or(|down| down != name)
}
