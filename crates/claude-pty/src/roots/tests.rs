use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
};

use super::*;

fn root(path: &str, access: Access) -> Root {
    Root { path: path.into(), access }
}

fn kept(path: &str) -> Root {
    root(path, Access::ReadOnly)
}

fn changed(path: &str) -> Root {
    root(path, Access::ReadWrite)
}

fn launch(working_dir: &str, roots: Vec<Root>) -> Launch {
    Launch { roots, ..Launch::new("wrk_1".parse().unwrap(), working_dir.into()) }
}

fn roots(working_dir: &str, further: Vec<Root>) -> Roots {
    Roots::of(&launch(working_dir, further)).unwrap()
}

#[test]
fn each_directory_is_given_and_each_that_is_read_only_has_a_rule() {
    for (further, expected) in [
        (vec![], vec![]),
        (vec![changed("/cache")], vec!["--add-dir=/cache"]),
        (
            vec![kept("/srv/hand, {book}"), changed("/cache"), kept("/docs")],
            vec![
                "--add-dir=/srv/hand, {book}",
                "--add-dir=/cache",
                "--add-dir=/docs",
                r#"--settings={"permissions":{"deny":["Edit(//srv/hand, {book}/**)","Edit(//docs/**)"]}}"#,
            ],
        ),
        // A rule would hold for the part that may be changed, too.
        (vec![kept("/home")], vec!["--add-dir=/home"]),
        (vec![kept("/docs"), changed("/docs/draft")], vec!["--add-dir=/docs", "--add-dir=/docs/draft"]),
    ] {
        assert_eq!(roots("/home/work", further.clone()).arguments(), expected, "{further:?}");
    }
}

#[test]
fn a_path_that_means_something_else_to_the_program_is_refused() {
    let unnamed = PathBuf::from(OsStr::from_bytes(b"/srv/\xff"));
    for (root, expected) in [
        (kept("/srv/hand book"), None),
        (kept("/srv/a, {b}!#\"'$HOME"), None),
        (kept("/srv/äöü"), None),
        (kept("/srv/a)b"), Some(NO_RULE)),
        (kept("/srv/a*"), Some(NO_RULE)),
        (kept("/srv/a?b"), Some(NO_RULE)),
        (kept("/srv/[a]"), Some(NO_RULE)),
        (kept("/srv/a\\b"), Some(NO_RULE)),
        (kept("/srv/a\nb"), Some(NOT_WHOLE)),
        (kept("/srv/a "), Some(NOT_WHOLE)),
        (changed("/srv/[a]*(b)"), None),
        (changed("/srv/a "), Some(NOT_WHOLE)),
        (changed("/srv/a\tb"), Some(NOT_WHOLE)),
        (Root { path: unnamed, access: Access::ReadWrite }, Some(NO_TEXT)),
    ] {
        assert_eq!(lacking(&root), expected, "{root:?}");
        // The session looks itself, too, and shows no path.
        let refused = Roots::of(&launch("/work", vec![changed("/srv/a"), root.clone()])).err();
        let refused = refused.map(|error| (error.code, error.message));
        let message = |lacking| {
            format!("give Claude Code one of the worker's further directories, which lacks {lacking}")
        };
        assert_eq!(refused, expected.map(|lacking| ("launch_invalid", message(lacking))), "{root:?}");
    }
}

#[test]
fn the_nearest_directory_decides_about_a_change() {
    let roots = roots("/home/work", vec![kept("/home"), kept("/docs"), changed("/docs/draft")]);
    let read_only = |path: &str| Some(Refusal::ReadOnly(path.into()));
    for (place, expected) in [
        ("/home/work/a", None),
        ("/home/work/.github/a", None),
        ("/home/work/.git", Some(Refusal::Git)),
        ("/home/work/sub/.GIT/config", Some(Refusal::Git)),
        ("/home/a", read_only("/home")),
        ("/home/workshop/a", read_only("/home")),
        ("/docs/a", read_only("/docs")),
        ("/docs", read_only("/docs")),
        ("/docs/draft/a", None),
        ("/docs/drafts", read_only("/docs")),
        ("/etc/passwd", Some(Refusal::Outside(vec!["/docs/draft".into(), "/home/work".into()]))),
    ] {
        assert_eq!(roots.judge(Path::new("/home/work"), Path::new(place)), expected, "{place}");
    }
}

#[tokio::test]
async fn a_tool_that_would_change_what_is_read_only_is_refused_wherever_its_path_seems_to_lead() {
    let around = tempfile::tempdir().unwrap();
    let around = around.path().canonicalize().unwrap();
    let around_text = around.to_str().unwrap();
    for directory in ["work", "docs", "cache"] {
        fs::create_dir(around.join(directory)).unwrap();
    }
    symlink(around.join("docs"), around.join("work/link")).unwrap();
    // The working directory itself is reached through a link.
    symlink(around.join("work"), around.join("here")).unwrap();
    let in_them = |path: &str| format!("{around_text}/{path}");
    let further = vec![kept(&in_them("docs")), changed(&in_them("cache"))];
    let held = roots(&in_them("here"), further.clone());
    let read_only = format!("`{}` is read-only: no file in it may be changed", in_them("docs"));
    let outside = format!("files may be changed in `{}` and `{}` only", in_them("cache"), in_them("work"));
    let unclear = "name the file by its absolute path, without `..`";
    let file = |key: &str, path: String| json!({ key: path });
    for (tool, input, expected) in [
        ("Write", file("file_path", in_them("work/a")), None),
        ("Write", file("file_path", in_them("here/a")), None),
        ("Edit", file("file_path", in_them("cache/a/b")), None),
        ("Write", file("file_path", in_them("docs/a")), Some(read_only.as_str())),
        ("Write", file("file_path", format!("/{around_text}//docs/./a")), Some(&read_only)),
        ("MultiEdit", file("file_path", in_them("work/link/a")), Some(&read_only)),
        ("NotebookEdit", file("notebook_path", in_them("here/link/a.ipynb")), Some(&read_only)),
        ("Write", file("file_path", in_them("other")), Some(&outside)),
        ("Write", file("file_path", in_them("work/../docs/a")), Some(unclear)),
        ("Write", file("file_path", "docs/a".to_owned()), Some(unclear)),
        ("Write", file("file_path", "~/a".to_owned()), Some(unclear)),
        ("Write", file("file_path", format!("{} ", in_them("work/a"))), Some(unclear)),
        ("Write", json!({ "file_path": 1 }), Some(unclear)),
        ("Write", json!({}), Some(unclear)),
        (
            "Write",
            json!({ "file_path": in_them("work/a"), "notebook_path": in_them("docs/a") }),
            Some(&read_only),
        ),
        // No worker like this has a shell.
        ("Bash", json!({ "command": "ls" }), Some(unclear)),
        ("Read", file("file_path", in_them("docs/a")), None),
        ("Grep", json!({ "path": in_them("docs") }), None),
    ] {
        assert_eq!(held.refusal(tool, &input).await.as_deref(), expected, "{tool} {input}");
        // Where nothing is read-only it is for others to decide.
        let free = roots(&in_them("work"), vec![changed(&in_them("docs"))]);
        assert_eq!(free.refusal(tool, &input).await, None, "{tool} {input}");
    }
}
