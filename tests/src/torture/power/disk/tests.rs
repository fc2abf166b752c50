use super::*;
use crate::torture::{
    power::step::{Act, Opened},
    seed::Seed,
};

fn opened(path: &str) -> Opened {
    Opened { number: 3, path: path.into(), removed: false }
}

fn create(path: &str) -> Act {
    Act::Open { path: path.into(), number: 3, create: true, truncate: false, append: false }
}

fn write(path: &str, at: u64, text: &str) -> Act {
    Act::Write { file: opened(path), at: Some(at), bytes: text.as_bytes().to_vec() }
}

fn append(path: &str, text: &str) -> Act {
    Act::Write { file: opened(path), at: None, bytes: text.as_bytes().to_vec() }
}

fn size(path: &str, bytes: u64) -> Act {
    Act::Size { file: opened(path), bytes }
}

fn sync(path: &str) -> Act {
    Act::Sync { file: opened(path) }
}

fn rename(from: &str, to: &str) -> Act {
    Act::Rename { from: from.into(), to: to.into() }
}

fn remove(path: &str) -> Act {
    Act::Remove { path: path.into() }
}

/// One act a line, from line 10 on, each returned before the next began.
fn disk(acts: Vec<Act>) -> Disk {
    let step = |(line, act)| Step { span: Span { start: line, end: line }, act };
    let steps: Vec<_> = (10..).zip(acts).map(step).collect();
    Disk::new(&Image::from([("old".into(), Entry::File(Content::from(&b"old"[..])))]), &steps).unwrap()
}

fn shown(image: &Image) -> String {
    let line = |(path, entry): (&PathBuf, &Entry)| match entry {
        Entry::Directory => format!("{}/", path.display()),
        Entry::File(content) => {
            let text: String = String::from_utf8(content.bytes()).unwrap().replace('\0', "-");
            format!("{}={text}", path.display())
        }
    };
    image.iter().map(line).collect::<Vec<_>>().join(" ")
}

/// Every state that a loss behind the last act may leave, in order of their texts.
fn states(disk: &Disk, line: usize) -> Vec<String> {
    let state = |seed| shown(&disk.after_loss(line, &mut Fate::new(Seed::new(seed))));
    let all: std::collections::BTreeSet<_> = (0..600).map(state).collect();
    all.into_iter().collect()
}

#[test]
fn what_survives_is_all_that_was_synced_and_any_part_of_the_rest() {
    let cases: [(&str, Vec<Act>, &[&str]); 12] = [
        (
            "a file without a synced directory",
            vec![create("a"), write("a", 0, "x"), sync("a")],
            &["a=x old=old", "old=old"],
        ),
        (
            "a file without a sync",
            vec![create("a"), sync(""), write("a", 0, "x")],
            &["a= old=old", "a=x old=old"],
        ),
        ("all synced", vec![create("a"), write("a", 0, "x"), sync("a"), sync("")], &["a=x old=old"]),
        (
            "a write behind a sync",
            vec![write("old", 0, "X"), sync("old"), write("old", 1, "Y")],
            &["old=XYd", "old=Xld"],
        ),
        (
            "two writes in any order",
            vec![write("old", 0, "X"), write("old", 4, "Y")],
            &["old=Xld", "old=Xld-Y", "old=old", "old=old-Y"],
        ),
        (
            "a cut and a write",
            vec![size("old", 0), write("old", 1, "Y")],
            &["old=", "old=-Y", "old=oYd", "old=old"],
        ),
        ("a synced cut", vec![size("old", 1), sync("old")], &["old=o"]),
        (
            "room",
            vec![
                Act::Room { file: opened("old"), end: 5 },
                sync("old"),
                Act::Room { file: opened("old"), end: 2 },
            ],
            &["old=old--"],
        ),
        (
            "a file replaced as it should be",
            vec![
                create("new"),
                append("new", "n"),
                append("new", "ew"),
                sync("new"),
                rename("new", "old"),
                sync(""),
            ],
            &["old=new"],
        ),
        (
            "a file replaced without a sync of the directory",
            vec![create("new"), append("new", "new"), sync("new"), sync(""), rename("new", "old")],
            &["new=new old=old", "old=new"],
        ),
        ("a name that goes", vec![remove("old")], &["", "old=old"]),
        (
            "a file in a directory whose own name is not synced",
            vec![Act::MakeDirectory { path: "d".into() }, create("d/a"), sync("d")],
            &["d/ d/a= old=old", "old=old"],
        ),
    ];
    for (name, acts, expected) in cases {
        let line = 10 + acts.len();
        assert_eq!(states(&disk(acts), line), expected, "{name}");
    }
}

#[test]
fn only_what_had_begun_is_there_and_only_returned_syncs_count() {
    let acts = || vec![write("old", 0, "X"), sync("old"), write("old", 1, "Y"), sync("old")];
    let expected: [(usize, &[&str]); 5] = [
        (9, &["old=old"]),
        (10, &["old=Xld", "old=old"]),
        (11, &["old=Xld"]),
        (12, &["old=XYd", "old=Xld"]),
        (13, &["old=XYd"]),
    ];
    for (line, states_there) in expected {
        assert_eq!(states(&disk(acts()), line), states_there, "behind line {line}");
    }
}

#[test]
fn a_sync_covers_only_writes_that_had_returned_when_it_began() {
    let step = |start, end, act| Step { span: Span { start, end }, act };
    let cases = [
        ("before", 10, 11, &["old=Xld"][..]),
        ("begun before, returned while it ran", 10, 13, &["old=Xld", "old=old"]),
        ("inside", 13, 14, &["old=Xld", "old=old"]),
        ("never returned", 10, crate::torture::power::strace::NEVER, &["old=Xld", "old=old"]),
    ];
    for (name, start, end, expected) in cases {
        let mut steps = vec![step(start, end, write("old", 0, "X")), step(12, 15, sync("old"))];
        steps.sort_by_key(|step| step.span.end);
        let base = Image::from([("old".into(), Entry::File(Content::from(&b"old"[..])))]);
        let disk = Disk::new(&base, &steps).unwrap();
        assert_eq!(states(&disk, 15), expected, "{name}");
    }
}

#[test]
fn a_large_write_tears_at_sectors() {
    let text = format!("{}{}", "a".repeat(512), "b".repeat(10));
    let disk = disk(vec![create("t"), sync(""), write("t", 0, &text)]);
    let lengths: Vec<_> = states(&disk, 20)
        .iter()
        .map(|state| (state.matches('a').count(), state.matches('b').count()))
        .collect();
    assert_eq!(lengths, [(0, 0), (0, 10), (512, 0), (512, 10)]);
}

#[test]
fn a_trace_that_does_not_begin_at_the_beginning_is_refused() {
    let not_created =
        Act::Open { path: "a".into(), number: 3, create: false, truncate: false, append: false };
    for act in [sync("a"), remove("a"), rename("a", "b"), create("d/a"), not_created, append("old", "x")] {
        let step = Step { span: Span { start: 7, end: 7 }, act };
        let base = Image::from([("old".into(), Entry::File(Content::default()))]);
        assert_eq!(Disk::new(&base, std::slice::from_ref(&step)).unwrap_err().line, 7, "{step:?}");
    }
}
