use std::{
    fs,
    io::Write,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, symlink},
        net::UnixListener,
    },
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use musher_backend::{Cancellation, Tool, ToolOutput};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    arguments,
    bound::{CONTENT_LIMIT, WHOLE_LIMIT},
    directories::Directories,
    refusal::Refusal,
    scene::{Scene, call, eventually, soon},
    workspace::Workspace,
};

#[tokio::test]
async fn every_tool_says_what_it_takes_and_needs() {
    let scene = Scene::new().await;
    let mut specs: Vec<_> = scene.kit.tools.iter().map(|tool| tool.spec()).collect();
    specs.sort_by_key(|spec| &spec.name);
    let told: Vec<_> = specs
        .iter()
        .map(|spec| {
            let properties = spec.input_schema["properties"].as_object().unwrap().keys().cloned();
            let required = spec.input_schema["required"].as_array().map_or(0, Vec::len);
            let properties: Vec<_> = properties.collect();
            (
                spec.name.as_str(),
                properties.join(" "),
                required,
                spec.capability.to_string(),
                spec.is_read_only,
            )
        })
        .collect();
    let tool = |name, properties: &str, required, capability: &str, is_read_only| {
        (name, properties.to_owned(), required, capability.to_owned(), is_read_only)
    };
    assert_eq!(
        told,
        [
            tool("edit_file", "new old path replace_all", 3, "write", false),
            tool("list_directory", "path", 0, "read", true),
            tool("read_file", "limit offset path", 1, "read", true),
            tool("search", "glob path pattern", 1, "read", true),
            tool("shell", "command timeout_secs", 1, "shell", false),
            tool("write_file", "content path", 2, "write", false),
        ]
    );
    for spec in specs {
        assert_eq!(spec.input_schema["type"], "object", "{}", spec.name);
        assert_eq!(spec.input_schema["additionalProperties"], false, "{}", spec.name);
        assert!(!spec.input_schema.to_string().contains("$"), "{}: nothing is referred to", spec.name);
    }
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_named() {
    let scene = Scene::new().await;
    for (tool, input, told) in [
        ("read_file", json!({}), "the arguments do not fit the tool's schema: missing field `path`"),
        (
            "read_file",
            json!({"path": "a", "lines": 3}),
            "the arguments do not fit the tool's schema: unknown field `lines`, expected one of `path`, `offset`, `limit`",
        ),
        (
            "write_file",
            json!({"path": "a", "content": 3}),
            "the arguments do not fit the tool's schema: invalid type: integer `3`, expected a string",
        ),
        (
            "list_directory",
            json!("src"),
            "the arguments do not fit the tool's schema: invalid type: string \"src\", expected struct Arguments",
        ),
    ] {
        assert_eq!(scene.refused(tool, input).await, told);
    }
}

#[tokio::test]
async fn a_file_is_read_as_it_stands() {
    let scene = Scene::new().await;
    scene.write("a.txt", "one\r\ntwo\nthree");
    scene.write("src/empty", "");
    let root = scene.path("a.txt").display().to_string();
    for (input, text) in [
        (json!({"path": "a.txt"}), "one\r\ntwo\nthree"),
        (json!({"path": "./src/../a.txt"}), "one\r\ntwo\nthree"),
        (json!({"path": root}), "one\r\ntwo\nthree"),
        (json!({"path": "src/empty"}), ""),
        (json!({"path": "a.txt", "offset": 2}), "two\nthree"),
        (
            json!({"path": "a.txt", "offset": 0, "limit": 1}),
            "one\r\n[the file goes on; continue with offset 2]\n",
        ),
        (
            json!({"path": "a.txt", "offset": 2, "limit": 1}),
            "two\n[the file goes on; continue with offset 3]\n",
        ),
        (json!({"path": "a.txt", "offset": 3, "limit": 9}), "three"),
    ] {
        assert_eq!(scene.ok("read_file", input.clone()).await, text, "{input}");
    }
    let told = scene.refused("read_file", json!({"path": "a.txt", "offset": 4})).await;
    assert_eq!(told, "`a.txt` ends at line 3, before the offset 4");
}

#[tokio::test]
async fn a_long_file_is_read_in_pieces_that_miss_nothing() {
    let scene = Scene::new().await;
    let text: String = (1..=5000).map(|n| format!("line {n} äöü\n")).collect();
    scene.write("long", &text);
    let (mut read, mut offset) = (String::new(), 1);
    loop {
        let output = scene.call("read_file", json!({"path": "long", "offset": offset})).await;
        assert!(output.content.len() <= CONTENT_LIMIT + 100);
        if let Some(whole) = output.whole {
            assert!(text.ends_with(&whole), "for people there is all of it");
        }
        let Some((piece, note)) = output.content.split_once("[the file goes on; continue with offset ")
        else {
            read.push_str(&output.content);
            break;
        };
        read.push_str(piece);
        offset = note.trim_end_matches("]\n").parse().unwrap();
    }
    assert_eq!(read, text);
}

#[tokio::test]
async fn what_is_no_text_is_called_what_it_is() {
    let scene = Scene::new().await;
    scene.write("latin", b"caf\xe9 au lait\n");
    scene.write("binary", b"\x7fELF\0\0\0");
    scene.write("one-line", "x".repeat(CONTENT_LIMIT + 1));
    let latin = scene.ok("read_file", json!({"path": "latin"})).await;
    assert_eq!(latin, "caf\u{fffd} au lait\n[not UTF-8: what could not be read is shown as \u{fffd}]\n");
    let one_line = scene.ok("read_file", json!({"path": "one-line"})).await;
    assert!(
        one_line
            .ends_with("x\n[the line is longer than an answer may be; the shell can show the rest of it]\n")
    );
    for tool in ["read_file", "edit_file"] {
        let mut input = json!({"path": "binary"});
        if tool == "edit_file" {
            input = json!({"path": "binary", "old": "ELF", "new": "x"});
        }
        assert_eq!(scene.refused(tool, input).await, "`binary` is a binary file of 7 bytes");
    }
}

#[tokio::test]
async fn writing_makes_a_file_and_shows_what_changed() {
    let scene = Scene::new().await;
    let created = scene.call("write_file", json!({"path": "src/deep/a.txt", "content": "one\ntwo\n"})).await;
    assert_eq!(created.content, "created src/deep/a.txt (8 bytes)");
    assert_eq!(created.diff.unwrap(), "--- /dev/null\n+++ b/src/deep/a.txt\n@@ -0,0 +1,2 @@\n+one\n+two\n");

    let replaced = scene.call("write_file", json!({"path": "src/deep/a.txt", "content": "one\n2"})).await;
    assert_eq!(replaced.content, "replaced src/deep/a.txt (5 bytes)");
    let diff = "--- a/src/deep/a.txt\n+++ b/src/deep/a.txt\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n\\ No newline at end of file\n";
    assert_eq!(replaced.diff.unwrap(), diff);
    assert_eq!(scene.read("src/deep/a.txt"), "one\n2");
    assert_eq!(scene.files(), ["src/deep/a.txt"], "nothing is left beside it");

    let same = scene.call("write_file", json!({"path": "src/deep/a.txt", "content": "one\n2"})).await;
    assert_eq!((same.is_error, same.diff), (false, None));
}

#[tokio::test]
async fn an_edit_keeps_mode_links_and_line_endings() {
    let scene = Scene::new().await;
    scene.write("run.sh", "#!/bin/sh\r\necho one\r\n");
    fs::set_permissions(scene.path("run.sh"), fs::Permissions::from_mode(0o750)).unwrap();
    symlink("run.sh", scene.path("link")).unwrap();

    let edited =
        scene.call("edit_file", json!({"path": "link", "old": "one\n", "new": "two\nthree\n"})).await;
    assert_eq!(edited.content, "replaced once in link");
    assert_eq!(scene.read("run.sh"), "#!/bin/sh\r\necho two\r\nthree\r\n");
    assert_eq!(fs::metadata(scene.path("run.sh")).unwrap().mode() & 0o7777, 0o750);
    assert!(fs::symlink_metadata(scene.path("link")).unwrap().is_symlink(), "the link stays a link");

    scene.ok("write_file", json!({"path": "run.sh", "content": "a\nb\n"})).await;
    assert_eq!(scene.read("run.sh"), "a\r\nb\r\n");
    assert_eq!(fs::metadata(scene.path("run.sh")).unwrap().mode() & 0o7777, 0o750);
}

#[tokio::test]
async fn a_link_that_leads_nowhere_is_not_written_through() {
    let scene = Scene::new().await;
    symlink("nowhere", scene.path("link")).unwrap();
    let told = scene.refused("write_file", json!({"path": "link", "content": "x"})).await;
    assert_eq!(told, "`link` is a link that leads nowhere, not a file");
    assert_eq!(scene.files(), ["link"]);
}

#[tokio::test]
async fn an_edit_that_cannot_be_made_changes_nothing() {
    let scene = Scene::new().await;
    scene.write("a", "x = 1\nx = 1\n");
    let inode = fs::metadata(scene.path("a")).unwrap().ino();
    for (old, told) in [
        ("x = 2", "`old` is not in the file; it must match exactly, and the nearest line is 1: x = 1"),
        (
            "x",
            "`old` is in the file 2 times, on line 1, 2; add lines around it until it is there once, or set \
             `replace_all`",
        ),
    ] {
        assert_eq!(scene.refused("edit_file", json!({"path": "a", "old": old, "new": "y"})).await, told);
    }
    assert_eq!(
        (scene.read("a").as_str(), fs::metadata(scene.path("a")).unwrap().ino()),
        ("x = 1\nx = 1\n", inode)
    );
    let all = scene.ok("edit_file", json!({"path": "a", "old": "x", "new": "y", "replace_all": true})).await;
    assert_eq!((all.as_str(), scene.read("a").as_str()), ("replaced 2 times in a", "y = 1\ny = 1\n"));
}

#[tokio::test]
async fn edits_of_one_file_at_the_same_time_are_all_made() {
    let scene = Scene::new().await;
    let names: Vec<String> = (0..20).map(|n| format!("<{n}>")).collect();
    scene.write("a", names.join("\n"));
    let edits =
        names.iter().map(|name| scene.ok("edit_file", json!({"path": "a", "old": name, "new": "done"})));
    futures_util::future::join_all(edits).await;
    assert_eq!(scene.read("a"), ["done"; 20].join("\n"));
}

#[tokio::test]
async fn a_directory_is_listed_by_name_with_what_its_entries_are() {
    let scene = Scene::new().await;
    scene.write("b/c", "");
    scene.write("a.txt", "four");
    scene.write("two\nlines", "");
    symlink("/etc/passwd", scene.path("link")).unwrap();
    mknodat(CWD, scene.path("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let _listener = UnixListener::bind(scene.path("socket")).unwrap();
    fs::create_dir(scene.path("empty")).unwrap();
    for (input, listed) in [
        (
            json!({}),
            "a.txt (4 bytes)\nb/\nempty/\nfifo (FIFO)\nlink -> /etc/passwd\nsocket (socket)\ntwo\\nlines (0 bytes)",
        ),
        (json!({"path": "b"}), "c (0 bytes)"),
        (json!({"path": "empty/"}), "[the directory is empty]"),
    ] {
        assert_eq!(scene.ok("list_directory", input).await, listed);
    }
    assert_eq!(scene.refused("list_directory", json!({"path": "a.txt"})).await, "`a.txt` is not a directory");
}

#[tokio::test]
async fn a_search_finds_what_ripgrep_would() {
    let scene = Scene::new().await;
    scene.write("src/main.rs", "fn main() {\n    let x = 1;\n}\n");
    scene.write("src/lib.rs", "pub fn x() {}\n");
    scene.write("notes.md", "x marks the spot\r\n");
    scene.write("target/out.rs", "fn x() {}\n");
    scene.write("src/generated/kept.rs", "x\n");
    scene.write("src/generated/left.rs", "x\n");
    scene.write(".git/config", "x\n");
    scene.write(".github/ci.yml", "x: 1\n");
    scene.write(".gitignore", "/target\n");
    scene.write("src/.gitignore", "generated/*\n!kept.rs\n");
    scene.write("binary", b"x\n\0x\n");
    for (input, found) in [
        (
            json!({"pattern": r"\bx\b"}),
            ".github/ci.yml:1: x: 1\nnotes.md:1: x marks the spot\nsrc/generated/kept.rs:1: x\nsrc/lib.rs:1: pub fn x() {}\n\
             src/main.rs:2:     let x = 1;",
        ),
        (json!({"pattern": "^fn", "glob": "*.rs"}), "src/main.rs:1: fn main() {"),
        (
            json!({"pattern": "x", "glob": "src/*.rs"}),
            "src/lib.rs:1: pub fn x() {}\nsrc/main.rs:2:     let x = 1;",
        ),
        (json!({"pattern": "x", "path": "src/generated"}), "src/generated/kept.rs:1: x"),
        (json!({"pattern": "x", "path": "notes.md"}), "notes.md:1: x marks the spot"),
        (json!({"pattern": "(?i)MARKS"}), "notes.md:1: x marks the spot"),
        (json!({"pattern": "nowhere"}), "[no match]"),
    ] {
        assert_eq!(scene.ok("search", input.clone()).await, found, "{input}");
    }
    for (input, told) in [
        (json!({"pattern": "("}), "the pattern is not a regular expression: "),
        (json!({"pattern": r"\w{5}{500}{500}"}), "the pattern is not a regular expression: "),
        (json!({"pattern": "x", "glob": "["}), "the glob cannot be read: "),
        (
            json!({"pattern": "x", "path": "gone"}),
            "`gone` does not exist; paths are relative to the workspace",
        ),
    ] {
        let refused = scene.refused("search", input).await;
        assert!(refused.starts_with(told), "{refused}");
    }
}

#[tokio::test]
async fn a_search_is_bounded_whatever_it_finds() {
    let scene = Scene::new().await;
    scene.write("many", "x\n".repeat(3000));
    scene.write("wide", format!("x{}\n", "y".repeat(100_000)));
    let many = scene.ok("search", json!({"pattern": "x", "path": "many"})).await;
    let last = "[only the first 1000 matches are shown; narrow the pattern, path or glob]";
    assert_eq!((many.lines().count(), many.lines().last().unwrap()), (1001, last));
    let wide = scene.ok("search", json!({"pattern": "x", "path": "wide"})).await;
    assert_eq!(wide, format!("wide:1: x{}…", "y".repeat(399)));

    let mut deep = scene.path("deep");
    fs::create_dir(&deep).unwrap();
    for _ in 0..200 {
        deep.push("d");
        fs::create_dir(&deep).unwrap();
    }
    scene.write("deep/d/found", "x");
    let found = scene.ok("search", json!({"pattern": "x", "path": "deep"})).await;
    assert_eq!(
        found,
        "deep/d/found:1: x\n[1 files or directories could not be searched, or not to their end]"
    );
}

/// Paths that lead out of the workspace, in every way that a text or a link can.
const WAYS_OUT: [&str; 11] = [
    "../secret",
    "dir/../../secret",
    "/etc/passwd",
    "//etc/passwd",
    "link",
    "absolute-link",
    "link-to-directory/secret",
    "loop-out/secret",
    "dir/up/../secret",
    "/proc/self/root/etc/passwd",
    "nul\0",
];

#[tokio::test]
async fn nothing_leads_out_of_the_workspace() {
    let scene = Scene::new().await;
    let secret = scene.outside().join("secret");
    fs::write(&secret, "secret\n").unwrap();
    fs::create_dir(scene.path("dir")).unwrap();
    symlink("../secret", scene.path("link")).unwrap();
    symlink(&secret, scene.path("absolute-link")).unwrap();
    symlink("..", scene.path("link-to-directory")).unwrap();
    symlink("../..", scene.path("dir/up")).unwrap();
    symlink("dir/up", scene.path("loop-out")).unwrap();
    for path in WAYS_OUT {
        for (tool, input) in [
            ("read_file", json!({"path": path})),
            ("write_file", json!({"path": path, "content": "x"})),
            ("edit_file", json!({"path": path, "old": "secret", "new": "x"})),
            ("list_directory", json!({"path": path})),
            ("search", json!({"path": path, "pattern": "."})),
        ] {
            let told = scene.refused(tool, input).await;
            let outside = format!(
                "`{path}` is not in the workspace; paths are relative to it, or absolute in a further directory, and cannot lead out, also not through links"
            );
            assert_eq!(told, outside, "{tool} {path}");
        }
    }
    let found = scene.ok("search", json!({"pattern": "secret"})).await;
    assert_eq!(found, "[no match]", "links are not followed");
    assert_eq!(fs::read_to_string(&secret).unwrap(), "secret\n");
    assert_eq!(fs::read_dir(scene.outside()).unwrap().count(), 2, "the secret and the workspace");
}

#[tokio::test]
async fn a_directory_that_turns_into_a_link_meanwhile_leads_nowhere() {
    let scene = Scene::new().await;
    let elsewhere = scene.outside().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("file"), "secret").unwrap();
    scene.write("real/file", "public");
    symlink(&elsewhere, scene.path("trap")).unwrap();
    let (root, is_over) = (scene.path(""), Arc::new(AtomicBool::new(false)));
    let swapper = thread::spawn({
        let is_over = is_over.clone();
        move || {
            let mut n_swaps = 0_u32;
            let rename = |from: &str, to: &str| fs::rename(root.join(from), root.join(to));
            while !is_over.load(Ordering::Relaxed) {
                for name in ["real", "trap"] {
                    if rename(name, "d").is_err() {
                        // A write to `d/new` has just made the directory, as it should.
                        // It may be writing there still; then the next round removes it.
                        drop(fs::remove_dir_all(root.join("d")));
                        continue;
                    }
                    rename("d", name).unwrap();
                    n_swaps += 1;
                }
            }
            n_swaps
        }
    });
    for _ in 0..ROUNDS {
        for (tool, input) in [
            ("read_file", json!({"path": "d/file"})),
            ("edit_file", json!({"path": "d/file", "old": "secret", "new": "stolen"})),
            ("write_file", json!({"path": "d/new", "content": "x"})),
            ("search", json!({"pattern": "secret", "path": "d"})),
        ] {
            let output = scene.call(tool, input).await;
            assert!(
                output.content != "secret" && !output.content.ends_with(": secret"),
                "{tool}: {output:?}"
            );
        }
    }
    is_over.store(true, Ordering::Relaxed);
    assert!(swapper.join().unwrap() > ROUNDS, "the names changed all the time");
    assert_eq!(fs::read_to_string(elsewhere.join("file")).unwrap(), "secret");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 1, "nothing was written there");
}

/// Enough for each call to meet each of the names; a tool that opened by path would have been caught in the first ten.
const ROUNDS: u32 = 200;

#[tokio::test]
async fn what_is_no_file_is_refused_and_never_waited_for() {
    let scene = Scene::new().await;
    mknodat(CWD, scene.path("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let _listener = UnixListener::bind(scene.path("socket")).unwrap();
    fs::create_dir(scene.path("dir")).unwrap();
    symlink("fifo", scene.path("link")).unwrap();
    symlink("itself", scene.path("itself")).unwrap();
    for (path, told) in [
        ("fifo", "`fifo` is a FIFO, not a file"),
        ("link", "`link` is a FIFO, not a file"),
        ("socket", "`socket` is a socket, not a file"),
        ("dir", "`dir` is a directory; list_directory shows what is in it"),
    ] {
        for (tool, input) in [
            ("read_file", json!({"path": path})),
            ("write_file", json!({"path": path, "content": "x"})),
            ("edit_file", json!({"path": path, "old": "a", "new": "x"})),
        ] {
            assert_eq!(scene.refused(tool, input).await, told, "{tool}");
        }
    }
    // The kernel's zeros, where this user may make such a file.
    if mknodat(CWD, scene.path("zero"), FileType::CharacterDevice, Mode::RWXU, makedev(1, 5)).is_ok() {
        assert_eq!(
            scene.refused("read_file", json!({"path": "zero"})).await,
            "`zero` is a device, not a file"
        );
    }
    let told = scene.refused("read_file", json!({"path": "itself"})).await;
    assert!(told.starts_with("open `itself`: "), "{told}");
    assert_eq!(scene.ok("search", json!({"pattern": "."})).await, "[no match]");
}

#[tokio::test]
async fn huge_files_cost_no_more_than_large_ones() {
    let scene = Scene::new().await;
    scene.write("huge", "text\n".repeat(2000));
    let huge = fs::OpenOptions::new().append(true).open(scene.path("huge")).unwrap();
    huge.set_len(1 << 40).unwrap();
    let read = scene.call("read_file", json!({"path": "huge"})).await;
    assert!(read.content.starts_with("text\n") && read.content.len() <= CONTENT_LIMIT + 100);
    assert_eq!(read.whole.unwrap().len(), WHOLE_LIMIT);
    let limit = WHOLE_LIMIT;
    let told = format!(
        "`huge` has {} bytes, and {limit} is the most that can be edited; use the shell",
        1_u64 << 40
    );
    assert_eq!(scene.refused("edit_file", json!({"path": "huge", "old": "text", "new": "x"})).await, told);
    assert_eq!(scene.refused("write_file", json!({"path": "huge", "content": "x"})).await, told);
    assert_eq!(scene.ok("search", json!({"pattern": "t"})).await, "[no match]", "it is binary further on");
}

#[tokio::test]
async fn a_file_that_grows_has_an_end() {
    let scene = Scene::new().await;
    scene.write("log", "line\n");
    let (path, is_over) = (scene.path("log"), Arc::new(AtomicBool::new(false)));
    let writer = thread::spawn({
        let is_over = is_over.clone();
        move || {
            let mut log = fs::OpenOptions::new().append(true).open(path).unwrap();
            // Fast enough to stay ahead of any reader, bounded for the disk's sake.
            for _ in 0..4096 {
                log.write_all(&b"line\n".repeat(4096)).unwrap();
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
            }
        }
    });
    for (tool, input) in
        [("read_file", json!({"path": "log"})), ("search", json!({"pattern": "nowhere", "path": "log"}))]
    {
        scene.ok(tool, input).await;
    }
    is_over.store(true, Ordering::Relaxed);
    writer.join().unwrap();
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_written_is_left_alone() {
    let scene = Scene::new().await;
    scene.write("a", "one");
    let workspace = Workspace::open(scene.path(""), PathBuf::new()).unwrap();
    let place = workspace.place("a".as_ref());
    let (bytes, metadata) = workspace.read(&place, 100).unwrap();
    scene.write("a", "two, by somebody else");
    let old = super::replace::Old { bytes, metadata };
    let refused =
        super::replace::replace(&workspace, &place, Some(&old), b"three", String::new()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "`a` changed while it was written, by something else; nothing was replaced: read it again"
    );
    let refused = super::replace::replace(&workspace, &place, None, b"three", String::new()).unwrap_err();
    assert!(matches!(refused, Refusal::Changed { .. }), "{refused}");
    assert_eq!((scene.read("a").as_str(), scene.files()), ("two, by somebody else", vec!["a".to_owned()]));
}

#[tokio::test]
async fn work_that_is_no_longer_wanted_ends_before_its_next_step() {
    let scene = Scene::new().await;
    scene.write("a", "x");
    let directories = Directories::open(&scene.path(""), &[]).unwrap();
    let stop = super::Stop::default();
    stop.stop();
    for (work, input) in [
        (stopped(super::read::work), json!({"path": "a"})),
        (stopped(super::listing::work), json!({"path": "."})),
        (stopped(super::search::work), json!({"pattern": "x"})),
        (stopped(super::write::work), json!({"path": "a", "content": "y"})),
        (stopped(super::edit::work), json!({"path": "a", "old": "x", "new": "y"})),
    ] {
        let told = work(&directories, input, &stop).unwrap_err();
        assert!(matches!(told, Refusal::Stopped), "{told}");
    }
    assert_eq!(scene.read("a"), "x");
}

type Work = Box<dyn Fn(&Directories, Value, &super::Stop) -> Result<ToolOutput, Refusal>>;

fn stopped<A: DeserializeOwned + 'static>(
    work: fn(&Directories, A, &super::Stop) -> Result<ToolOutput, Refusal>,
) -> Work {
    Box::new(move |directories, input, stop| work(directories, arguments::parse(input)?, stop))
}

#[test]
fn what_a_search_found_before_it_was_stopped_is_told() {
    let told = super::search::told(vec!["a:1: x".to_owned()], 0, Err(Refusal::Stopped)).unwrap();
    assert_eq!(told.content, "a:1: x\n[the search was stopped before its end; narrow the path or glob]");
    assert!(super::search::told(Vec::new(), 0, Err(Refusal::Stopped)).is_err());
}

#[tokio::test]
async fn a_call_whose_caller_has_gone_ends_soon() {
    let scene = Scene::new().await;
    let (unwanted, cancellation) = Cancellation::pair();
    // Somebody else replaces a file, so this one has to wait, and does not wait for long.
    let directories = Arc::new(Directories::open(&scene.path(""), &[]).unwrap());
    let (held, holding) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let somebody = thread::spawn({
        let directories = directories.clone();
        move || {
            let _writing = directories.writing();
            held.send(()).unwrap();
            // Released by being dropped.
            assert!(released.recv().is_err());
        }
    });
    holding.recv().unwrap();
    let [write, _edit]: [Arc<dyn Tool>; 2] = super::writers(&directories).try_into().expect("two");
    drop(unwanted);
    let output = soon(write.call(call(json!({"path": "a", "content": "x"}), cancellation))).await;
    assert_eq!(
        output.content,
        "the call was canceled, and the file system does not answer; whether anything was changed is unknown"
    );
    drop(release);
    somebody.join().unwrap();
    // Whoever gets the right to write next comes after the call that was left behind, or before it.
    eventually("the call that was left behind has gone", || Arc::strong_count(&directories) == 3).await;
    assert_eq!(scene.files(), Vec::<String>::new(), "stopped as soon as it could go on");
}
