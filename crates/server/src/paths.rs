//! Where files live: the XDG base directories.

use std::{env, path::PathBuf};

/// Neither the directory's own variable nor `HOME` is set.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("neither {variable} nor HOME is set, so there is no place for {what}; name one with {flag}")]
pub(crate) struct NoHome {
    variable: &'static str,
    what: &'static str,
    flag: &'static str,
}

/// The directory for what the server keeps from one start to the next.
pub(crate) fn state_dir() -> Result<PathBuf, NoHome> {
    let what = "the store and the admin token";
    let nowhere = NoHome { variable: "XDG_DATA_HOME", what, flag: "--store and --token-file" };
    base("XDG_DATA_HOME", ".local/share").map(|base| base.join("musher")).ok_or(nowhere)
}

/// The config file that is read when none is named, if it is there.
pub(crate) fn default_config() -> Option<PathBuf> {
    base("XDG_CONFIG_HOME", ".config")
        .map(|base| base.join("musher/musher.toml"))
        .filter(|file| file.exists())
}

/// The specification says that a relative path in such a variable counts as none.
fn base(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(below_home)))
}
