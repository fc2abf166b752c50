//! What `SECURITY.md` says was tried is what is tried.

use std::{collections::BTreeSet, fs, path::Path};

use super::{
    classes::CLASSES,
    weakened::{WALLS, proof},
};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// Two columns of the table whose first one has this head.
fn columns(text: &str, head: &str, second: usize) -> Vec<(String, String)> {
    let start = format!("| {head} |");
    let lines = text.lines().skip_while(|line| !line.starts_with(&start)).skip(2);
    let rows = lines.take_while(|line| line.starts_with('|')).map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        (cells[1].to_owned(), cells[second].to_owned())
    });
    rows.collect()
}

#[test]
fn the_table_of_classes_has_all_of_them() {
    let sum = (format!("{} classes", CLASSES.len()), String::new());
    let classes = CLASSES.iter().map(|class| (class.name.to_owned(), proof(class)));
    let expected: Vec<_> = classes.chain([sum]).collect();
    assert_eq!(columns(&read("SECURITY.md"), "class", 4), expected);
}

#[test]
fn the_table_of_walls_has_all_of_them() {
    let expected: Vec<_> =
        WALLS.iter().map(|(wall, class)| (format!("`{wall}`"), (*class).to_owned())).collect();
    assert_eq!(columns(&read("SECURITY.md"), "wall taken down", 4), expected);
}

#[test]
fn each_wall_of_the_build_is_taken_down() {
    let code = read("crates/core/src/wall.rs");
    let named = code.lines().filter_map(|line| line.split_once(" = \"")?.1.strip_suffix("\","));
    let taken: BTreeSet<_> = WALLS.iter().map(|(wall, _)| *wall).collect();
    assert_eq!(named.collect::<BTreeSet<_>>(), taken);
}

#[test]
fn each_class_has_a_wall_or_says_why_it_has_none() {
    for class in CLASSES {
        let is_proven = WALLS.iter().any(|(_, name)| *name == class.name);
        assert_eq!(is_proven, class.without_wall.is_none(), "{}", class.name);
    }
    for (wall, name) in WALLS {
        assert!(CLASSES.iter().any(|class| class.name == *name), "{wall} is for a class that is not");
    }
}
