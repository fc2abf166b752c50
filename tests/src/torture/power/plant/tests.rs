use super::*;
use crate::torture::power::trace::tests::{lost, sample};

fn breaks(change: impl FnOnce(&mut Vec<Step>)) -> Vec<String> {
    let mut steps = sample();
    change(&mut steps);
    steps.sort_by_key(|step| step.span.end);
    lost(&steps).into_iter().collect()
}

/// Lets the words of this many steps be said before the sync in front of them.
fn hasten_words(steps: &mut [Step]) {
    for step in steps {
        if matches!(step.act, Act::Send { .. }) {
            // The sync in front took the two lines before.
            step.span = Span { start: step.span.start - 3, end: step.span.end - 3 };
        }
    }
}

#[test]
fn each_planted_bug_loses_what_it_must() {
    for plant in PLANTS {
        let (lost, expected): (_, &[&str]) = match plant.how {
            How::Trace(change) => (
                breaks(change),
                match plant.name {
                    "no wal sync" => &["A", "B", "C"],
                    "no database sync" => &["A", "B"],
                    "no directory sync" => &["A", "B", "C"],
                    "wal sync too early" => &["A", "B", "C"],
                    other => panic!("{other}: what must it lose?"),
                },
            ),
            How::SkippedSyncs => {
                (breaks(|steps| steps.retain(|step| !matches!(step.act, Act::Sync { .. }))), &["A", "B", "C"])
            }
            How::Build(_) => (breaks(|steps| hasten_words(steps)), &["A", "B", "C"]),
        };
        assert_eq!(lost, expected, "{}", plant.name);
    }
}
