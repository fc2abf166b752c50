use super::*;
use crate::Owner;

fn worker(owner: &str, worker: &str) -> Marker {
    Marker::new(Owner::new(owner).unwrap(), worker).unwrap()
}

#[test]
fn a_group_is_found_where_it_is_mounted() {
    let v1 = "30 23 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu";
    let whole = "29 23 0:25 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";
    let part = "29 23 0:25 /box /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
    let spaced = r"29 23 0:25 / /my\040groups rw - cgroup2 cgroup2 rw";
    let own = "9:cpu:/\n0::/box/service\n";
    for (mounts, membership, found) in [
        (format!("{v1}\n{whole}"), own, Some("/sys/fs/cgroup/box/service")),
        (part.to_owned(), own, Some("/sys/fs/cgroup/service")),
        (part.to_owned(), "0::/other", None),
        (whole.to_owned(), "0::/", Some("/sys/fs/cgroup")),
        (whole.to_owned(), "9:cpu:/", None),
        (v1.to_owned(), own, None),
        (spaced.to_owned(), own, None),
        (String::new(), own, None),
    ] {
        assert_eq!(own_directory(&mounts, membership), found.map(PathBuf::from), "{mounts} {membership}");
    }
}

#[test]
fn a_member_is_told_by_the_name_of_a_group_above_it() {
    let of_part = Scope::Worker(worker("life", "wrk_1").part("p1").unwrap());
    let of_worker = Scope::Worker(worker("life", "wrk_1"));
    let of_owner = Scope::Owner(Owner::new("life").unwrap());
    for (path, by_part, by_worker, by_owner) in [
        ("/musher-life.wrk_1", false, true, true),
        ("/user.slice/musher-life.wrk_1/made/below", false, true, true),
        ("/musher-life.wrk_1.p1", true, true, true),
        ("/musher-life.wrk_1.p1/made/below", true, true, true),
        ("/musher-life.wrk_1.p12", false, true, true),
        ("/musher-life.wrk_1.p2", false, true, true),
        ("/musher-life.wrk_2.p1", false, false, true),
        ("/musher-life.wrk_2", false, false, true),
        ("/musher-life.wrk_11", false, false, true),
        ("/musher-life2.wrk_1", false, false, false),
        ("/my-musher-life.wrk_1", false, false, false),
        ("/", false, false, false),
    ] {
        let membership = format!("4:pids:/musher-life.wrk_1\n0::{path}\n");
        let found = [&of_part, &of_worker, &of_owner].map(|scope| covers(scope, membership.as_bytes()));
        assert_eq!(found, [by_part, by_worker, by_owner], "{path}");
    }
    assert!(!covers(&of_owner, b"4:pids:/musher-life.wrk_1\n"), "version 1 says nothing");
}

#[test]
fn no_text_makes_a_name_of_somebody_else() {
    for (owner, text, expected) in [
        ("life", "wrk_1", "musher-life.wrk_1"),
        ("a.b", "c", "musher-a%2eb.c"),
        ("a", "b.c", "musher-a.b%2ec"),
        ("two\nlines", "a b", "musher-two%0alines.a%20b"),
        ("100%", "..", "musher-100%25.%2e%2e"),
    ] {
        assert_eq!(name(&worker(owner, text)), expected);
    }
    assert_eq!(name(&worker("a", "b").part("c.d e").unwrap()), "musher-a.b.c%2ed%20e");
}

#[test]
fn only_a_group_of_processes_that_may_be_changed_is_used() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().to_owned();
    assert_eq!(Cgroups::delegated_at(root.clone()), None, "it has no list of processes");
    fs::write(root.join("cgroup.procs"), "").unwrap();
    for (kind, used) in [(None, true), (Some("domain\n"), true), (Some("threaded\n"), false)] {
        if let Some(kind) = kind {
            fs::write(root.join("cgroup.type"), kind).unwrap();
        }
        assert_eq!(Cgroups::delegated_at(root.clone()).is_some(), used, "{kind:?}");
    }
    assert_eq!(Cgroups::delegated_at(root.join("gone")), None);
}

#[test]
fn groups_go_with_what_was_made_below_them_and_no_others() {
    let directory = tempfile::tempdir().unwrap();
    let groups = Cgroups { root: directory.path().to_owned() };
    for (owner, text) in [("life", "one"), ("life", "two"), ("other", "one")] {
        let marker = worker(owner, text);
        groups.make(&marker).unwrap();
        groups.make(&marker).unwrap();
        fs::create_dir_all(groups.group(&marker).join("made/below")).unwrap();
    }
    let one = worker("life", "one");
    for part in ["p1", "p2", "p12"] {
        groups.make(&one.part(part).unwrap()).unwrap();
    }
    let names = || {
        let mut names: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    groups.remove(&Scope::Worker(one.part("p1").unwrap())).unwrap();
    let but_one = ["musher-life.one", "musher-life.one.p12", "musher-life.one.p2"];
    assert_eq!(names(), [&but_one[..], &["musher-life.two", "musher-other.one"]].concat());
    groups.remove(&Scope::Worker(one)).unwrap();
    assert_eq!(names(), ["musher-life.two", "musher-other.one"]);
    groups.remove(&Scope::Owner(Owner::new("life").unwrap())).unwrap();
    groups.remove(&Scope::Owner(Owner::new("life").unwrap())).unwrap();
    assert_eq!(names(), ["musher-other.one"]);
}

/// Groups of one life, made of plain directories and files.
fn groups_in(directory: &Path, n: usize) -> (Cgroups, Vec<PathBuf>) {
    let groups = Cgroups { root: directory.to_owned() };
    let made = (0..n).map(|number| {
        let marker = worker("life", &number.to_string());
        groups.make(&marker).unwrap();
        groups.group(&marker)
    });
    let made = made.collect();
    (groups, made)
}

#[test]
fn a_group_that_cannot_be_killed_keeps_no_other_one_alive() {
    let directory = tempfile::tempdir().unwrap();
    let (groups, made) = groups_in(directory.path(), 9);
    let (stubborn, rest) = made.split_at(3);
    let (without, others) = rest.split_at(3);
    for group in stubborn {
        fs::create_dir(group.join("cgroup.kill")).unwrap();
    }
    for group in others {
        fs::write(group.join("cgroup.kill"), "").unwrap();
    }
    let killed = groups.kill(&Scope::Owner(Owner::new("life").unwrap()));
    assert_eq!(killed.unwrap_err().kind(), io::ErrorKind::IsADirectory);
    let written = |group: &PathBuf| fs::read_to_string(group.join("cgroup.kill")).ok();
    assert_eq!(others.iter().map(written).collect::<Vec<_>>(), vec![Some("1".to_owned()); 3]);
    assert_eq!(without.iter().map(written).collect::<Vec<_>>(), vec![None; 3], "only the kernel makes it");
}

#[test]
fn a_group_that_cannot_be_removed_keeps_no_other_one() {
    let directory = tempfile::tempdir().unwrap();
    let (groups, made) = groups_in(directory.path(), 6);
    let (kept, others) = made.split_at(3);
    for group in kept {
        fs::create_dir_all(group.join("made")).unwrap();
        fs::write(group.join("file"), "").unwrap();
    }
    let removed = groups.remove(&Scope::Owner(Owner::new("life").unwrap()));
    assert_eq!(removed.unwrap_err().kind(), io::ErrorKind::DirectoryNotEmpty);
    assert!(kept.iter().all(|group| group.exists() && !group.join("made").exists()));
    assert!(!others.iter().any(|group| group.exists()));
}
