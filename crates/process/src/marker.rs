//! The variable by which a worker's processes are found again.

use std::{fmt, str::FromStr};

use crate::Error;

/// The life of one server that owns workers: the first half of every [`Marker`] it gives out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner(String);

impl Owner {
    /// Takes a text that no other server life uses, such as a fresh UUID.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidMarker`] when it is empty or holds `/` or NUL.
    pub fn new(text: impl Into<String>) -> Result<Owner, Error> {
        Ok(Owner(checked("owner", text.into())?))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Identifies the processes of one worker, or a part of them: the value of `MUSHER_MARKER` in their environment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Marker {
    owner: Owner,
    worker: String,
    part: Option<String>,
}

impl Marker {
    /// The variable's name.
    pub const VARIABLE: &str = "MUSHER_MARKER";

    /// Takes the owner and a text that names one of its workers.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidMarker`] when `worker` is empty or holds `/` or NUL.
    pub fn new(owner: Owner, worker: impl Into<String>) -> Result<Marker, Error> {
        Ok(Marker { owner, worker: checked("worker", worker.into())?, part: None })
    }

    /// Marks a part of the worker's processes: what is found by the worker's own marker includes them, what is found
    /// by this one is them alone. So one command of several that run beside each other can be ended with its tree.
    /// Where the worker has a control group, the part has one of its own beside it. A part of a part is that part.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidMarker`] when `part` is empty or holds `/` or NUL.
    pub fn part(&self, part: impl Into<String>) -> Result<Marker, Error> {
        Ok(Marker { part: Some(checked("part", part.into())?), ..self.clone() })
    }

    /// The server life that the worker belongs to.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The worker.
    pub fn worker(&self) -> &str {
        &self.worker
    }

    /// The part, where it marks one.
    pub(crate) fn part_name(&self) -> Option<&str> {
        self.part.as_deref()
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.worker)?;
        match &self.part {
            Some(part) => write!(f, "/{part}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Marker {
    type Err = Error;

    /// Reads what `Display` writes: the owner, `/`, the worker, and `/` and the part where it has one.
    fn from_str(text: &str) -> Result<Marker, Error> {
        let (owner, rest) = text.split_once('/').unwrap_or((text, ""));
        let (worker, part) = rest.split_once('/').map_or((rest, None), |(worker, part)| (worker, Some(part)));
        let marker = Marker::new(Owner::new(owner)?, worker)?;
        part.map_or_else(|| Ok(marker.clone()), |part| marker.part(part))
    }
}

/// Whose processes are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those of every worker of one server life.
    Owner(Owner),
    /// Those of one worker; with a part's marker that part alone.
    Worker(Marker),
}

impl Scope {
    /// Whether an environment, as `/proc/PID/environ` shows it, carries a marker of this scope.
    pub(crate) fn covers(&self, environ: &[u8]) -> bool {
        environ
            .split(|&byte| byte == 0)
            .filter_map(|variable| variable.strip_prefix(Marker::VARIABLE.as_bytes())?.strip_prefix(b"="))
            .any(|value| match self {
                Scope::Owner(owner) => {
                    value.strip_prefix(owner.0.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"))
                }
                Scope::Worker(marker) => value
                    .strip_prefix(marker.to_string().as_bytes())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/")),
            })
    }
}

fn checked(part: &'static str, text: String) -> Result<String, Error> {
    if text.is_empty() || text.contains(['/', '\0']) {
        return Err(Error::InvalidMarker { part, text });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_covers_exactly_its_markers() {
        let owner = Owner::new("life").unwrap();
        let worker = Marker::new(owner.clone(), "w1").unwrap();
        let scopes =
            [Scope::Owner(owner), Scope::Worker(worker.clone()), Scope::Worker(worker.part("p1").unwrap())];
        for (environ, by_owner, by_worker, by_part) in [
            ("MUSHER_MARKER=life/w1\0", true, true, false),
            ("PATH=/bin\0MUSHER_MARKER=life/w1\0HOME=/\0", true, true, false),
            ("MUSHER_MARKER=life/w1/p1\0", true, true, true),
            ("MUSHER_MARKER=life/w1/p12\0", true, true, false),
            ("MUSHER_MARKER=life/w12/p1\0", true, false, false),
            ("MUSHER_MARKER=life/w12\0", true, false, false),
            ("MUSHER_MARKER=life2/w1\0", false, false, false),
            ("MUSHER_MARKER=life\0", false, false, false),
            ("XMUSHER_MARKER=life/w1\0", false, false, false),
            ("X=MUSHER_MARKER=life/w1\0", false, false, false),
            ("MUSHER_MARKERS=life/w1\0", false, false, false),
            ("", false, false, false),
        ] {
            let covered = scopes.each_ref().map(|scope| scope.covers(environ.as_bytes()));
            assert_eq!(covered, [by_owner, by_worker, by_part], "{environ:?}");
        }
    }

    #[test]
    fn a_marker_is_read_as_it_is_written() {
        let marker = Marker::new(Owner::new("life").unwrap(), "w1").unwrap();
        for marker in [marker.part("p1").unwrap(), marker] {
            assert_eq!(marker.to_string().parse::<Marker>().unwrap(), marker);
        }
        for (text, refused) in [
            ("", "owner"),
            ("/w1", "owner"),
            ("life", "worker"),
            ("life/", "worker"),
            ("a/b/", "part"),
            ("a/b/c/d", "part"),
        ] {
            let error = text.parse::<Marker>().unwrap_err();
            assert!(
                matches!(error, Error::InvalidMarker { part, .. } if part == refused),
                "{text:?}: {error}"
            );
        }
    }

    #[test]
    fn a_part_that_could_be_mistaken_is_refused() {
        for text in ["", "a/b", "/", "a\0"] {
            let refused = Owner::new(text).unwrap_err();
            assert!(matches!(refused, Error::InvalidMarker { part: "owner", .. }), "{text:?}: {refused}");
            let refused = Marker::new(Owner::new("o").unwrap(), text).unwrap_err();
            assert!(matches!(refused, Error::InvalidMarker { part: "worker", .. }), "{text:?}: {refused}");
        }
    }
}
