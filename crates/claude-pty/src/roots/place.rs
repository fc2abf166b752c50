//! Where a path leads, whether or not there is anything yet.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// As many links as Linux follows in one path.
const MAX_LINKS: usize = 40;

/// The place that a write to this absolute path changes: without links, also without those that lead nowhere yet, and
/// with what does not exist left as it is written. Blocks.
///
/// # Errors
///
/// When a part of the path cannot be looked at, or links lead in a circle.
pub(super) fn of(path: &Path) -> io::Result<PathBuf> {
    let mut known = path.to_owned();
    let mut rest = PathBuf::new();
    let mut n_links = 0;
    loop {
        match known.canonicalize() {
            Ok(place) => return Ok(if rest.as_os_str().is_empty() { place } else { place.join(rest) }),
            Err(error) if is_absence(&error) => {
                let (Some(parent), Some(name)) = (known.parent(), known.file_name()) else {
                    return Err(error);
                };
                match fs::read_link(&known) {
                    Ok(target) => {
                        n_links += 1;
                        if n_links > MAX_LINKS {
                            return Err(error);
                        }
                        // Relative ones start where the link is.
                        known = parent.canonicalize()?.join(target);
                    }
                    // It is no link, or nothing at all.
                    Err(_) => {
                        rest = if rest.as_os_str().is_empty() {
                            name.into()
                        } else {
                            Path::new(name).join(rest)
                        };
                        known = parent.to_owned();
                    }
                }
            }
            Err(error) => return Err(error),
        }
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_path_leads_where_its_links_lead_whether_or_not_anything_is_there() {
        let around = tempfile::tempdir().unwrap();
        let around = around.path().canonicalize().unwrap();
        fs::create_dir_all(around.join("kept/deep")).unwrap();
        fs::create_dir(around.join("own")).unwrap();
        fs::write(around.join("kept/file"), "").unwrap();
        for (link, target) in [
            ("own/to-dir", around.join("kept")),
            ("own/to-file", around.join("kept/file")),
            ("own/to-nothing", around.join("kept/new")),
            ("own/relative", "../kept/new".into()),
            ("own/below-nothing", around.join("nowhere/../kept/new")),
            ("own/chain", "to-nothing".into()),
            ("own/circle", "circle".into()),
        ] {
            symlink(target, around.join(link)).unwrap();
        }
        for (path, expected) in [
            ("own/new", Some("own/new")),
            ("own/a/b/new", Some("own/a/b/new")),
            ("own/to-dir/file", Some("kept/file")),
            ("own/to-dir/a/b", Some("kept/a/b")),
            ("own/to-dir/deep", Some("kept/deep")),
            ("own/to-file", Some("kept/file")),
            ("own/to-file/below", Some("kept/file/below")),
            ("own/to-nothing", Some("kept/new")),
            ("own/relative", Some("kept/new")),
            ("own/chain", Some("kept/new")),
            // Nobody can say what this becomes when somebody makes `nowhere`.
            ("own/below-nothing", None),
            ("own/circle", None),
            ("own/circle/new", None),
        ] {
            let place = of(&around.join(path)).ok();
            assert_eq!(place, expected.map(|expected| around.join(expected)), "{path}");
        }
    }
}
