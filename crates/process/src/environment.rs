//! A child's environment, built from empty.

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    fmt,
    os::unix::ffi::OsStrExt,
};

use crate::Error;

/// What every program may know about its host: where things are, who it is, how people write here.
const BASE: [&str; 8] = ["PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "SHELL", "TERM"];

/// Variables that a shell or portable-pty adds by itself.
const ADDED: [&str; 4] = ["PWD", "OLDPWD", "SHELL", "_"];

/// The variables that a child starts with, and no others but its marker.
///
/// `Debug` shows names only: values may be secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<String, OsString>,
}

impl Environment {
    /// No variable at all.
    pub fn empty() -> Environment {
        Environment { variables: BTreeMap::new() }
    }

    /// Copies PATH, HOME, USER, LANG, LC_*, TZ, TMPDIR, SHELL and TERM from the host, where it has them.
    pub fn base() -> Environment {
        Environment::base_of(env::vars_os())
    }

    fn base_of(host: impl Iterator<Item = (OsString, OsString)>) -> Environment {
        let variables = host
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| {
                BASE.contains(&name.as_str()) || (name.starts_with("LC_") && Self::is_portable(name))
            })
            .collect();
        Environment { variables }
    }

    /// Sets a variable, in place of an earlier value.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidVariable`] unless the name is portable ([`Environment::is_portable`]) and the value holds no NUL.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) -> Result<(), Error> {
        let value = value.into();
        if !Self::is_portable(name) || value.as_bytes().contains(&0) {
            return Err(Error::InvalidVariable { name: name.to_owned() });
        }
        self.variables.insert(name.to_owned(), value);
        Ok(())
    }

    /// Copies a variable from the host and says whether the host has it; otherwise nothing changes.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidVariable`], as [`Environment::set`].
    pub fn pass(&mut self, name: &str) -> Result<bool, Error> {
        if !Self::is_portable(name) {
            return Err(Error::InvalidVariable { name: name.to_owned() });
        }
        match env::var_os(name) {
            Some(value) => self.set(name, value).map(|()| true),
            None => Ok(false),
        }
    }

    /// Whether a variable may have this name: ASCII letters, digits and `_`, not beginning with a digit. A shell between us
    /// and a program may drop any other.
    pub fn is_portable(name: &str) -> bool {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(name).map(OsString::as_os_str)
    }

    /// The names of all variables, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, &OsStr)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_os_str()))
    }

    /// The names of variables that are not among these, and come with a shell: it must unset them before it becomes
    /// a program.
    pub(crate) fn uninvited(&self) -> Vec<&'static str> {
        ADDED.into_iter().filter(|name| self.get(name).is_none()).collect()
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_leaves_everything_unnamed_behind() {
        let host =
            ["PATH", "LC_ALL", "LC_TIME", "LANG", "OPENAI_API_KEY", "LD_PRELOAD", "LCX", "MUSHER_MARKER"];
        let base = Environment::base_of(host.iter().map(|name| (name.into(), "value".into())));
        assert_eq!(base.names().collect::<Vec<_>>(), ["LANG", "LC_ALL", "LC_TIME", "PATH"]);
    }

    #[test]
    fn debug_shows_no_value() {
        let mut environment = Environment::empty();
        environment.set("API_KEY", "hunter2").unwrap();
        assert_eq!(format!("{environment:?}"), r#"{"API_KEY"}"#);
    }

    #[test]
    fn passing_copies_only_what_the_host_has() {
        let mut environment = Environment::empty();
        let passed =
            (environment.pass("PATH").unwrap(), environment.pass("MUSHER_NO_SUCH_VARIABLE").unwrap());
        assert_eq!(passed, (true, false));
        assert_eq!(environment.names().collect::<Vec<_>>(), ["PATH"]);
    }

    #[test]
    fn names_and_values_that_would_not_arrive_are_refused() {
        let mut environment = Environment::empty();
        for (name, value) in [("", "v"), ("A=B", "v"), ("A-B", "v"), ("1A", "v"), ("Ä", "v"), ("A", "v\0w")]
        {
            let refused = environment.set(name, value).unwrap_err();
            assert!(matches!(refused, Error::InvalidVariable { .. }), "{name:?}");
        }
        assert_eq!(environment.names().count(), 0);
    }
}
