//! What gets through and is known to, with the reason. It stays in the table.

/// A case that gets through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) class: &'static str,
    /// What its name begins with.
    pub(super) case: &'static str,
    pub(super) reason: &'static str,
}

/// Why one reader and another may take the same request for two.
const BOTH: &str = "a request with a length and chunks is read by its chunks, as RFC 9112 allows, and not refused: \
    put no proxy in front that reads it by its length";

pub(super) const KNOWN: &[Known] = &[
    Known { class: "header smuggling", case: "length and chunks", reason: BOTH },
    Known { class: "header smuggling", case: "chunks and length", reason: BOTH },
    Known {
        class: "files of the server's user",
        case: "reads the admin's token",
        reason: "a worker's commands run as the server's user and can read what that user can, the admin's token too; \
            no sandbox holds off reading",
    },
];

/// Why a case is known to get through.
pub(super) fn reason(class: &str, case: &str) -> Option<&'static str> {
    KNOWN.iter().find(|known| known.class == class && case.starts_with(known.case)).map(|known| known.reason)
}
