//! Durable appends, as the store's own bench measured them right before.

use std::{fs, path::Path};

use serde::Deserialize;

use super::row::{Row, Target, Unit};

const PART: &str = "append";

/// One line of the store's bench.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Writing(Writing),
    /// A log, read by pages.
    Reading {
        read_events_per_s: f64,
    },
    /// How many syncs of the log a batch took; none where there is nothing to count them with.
    Syncs {
        syncs_per_batch: Option<f64>,
    },
}

/// So many writers, each of which waits for its ack.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Writing {
    writers: u64,
    events_per_s: f64,
    p50_us: f64,
    /// A write and `fdatasync` of 512 B, right before.
    limit_p50_us: f64,
}

/// Reads what the store's bench printed, all its rounds.
pub(super) fn read(file: &Path) -> Vec<Row> {
    rows(&fs::read_to_string(file).unwrap())
}

fn rows(text: &str) -> Vec<Row> {
    let lines = text.lines().filter(|line| line.starts_with('{'));
    let lines = lines.map(|line| serde_json::from_str(line).expect("a line of the store's bench"));
    let (mut writings, mut readings, mut syncs) = (Vec::<Writing>::new(), Vec::new(), None::<f64>);
    for line in lines {
        match line {
            Line::Writing(writing) => writings.push(writing),
            Line::Reading { read_events_per_s } => readings.push(read_events_per_s),
            // A count is not disturbed by anything, so that the worst one counts.
            Line::Syncs { syncs_per_batch } => {
                syncs = syncs.into_iter().chain(syncs_per_batch).reduce(f64::max)
            }
        }
    }
    let mut writers: Vec<_> = writings.iter().map(|writing| writing.writers).collect();
    writers.sort_unstable();
    writers.dedup();
    let mut rows: Vec<_> = writers.into_iter().map(|writers| of(&writings, writers)).collect();
    if let Some(syncs) = syncs {
        let row = Row::new(PART, "syncs of the log per committed batch", Unit::Count, vec![syncs]);
        rows.push(row.target(Target::Exactly(1.0)));
    }
    if !readings.is_empty() {
        rows.push(Row::new(PART, "events read from the store, pages of 1000", Unit::PerSecond, readings));
    }
    rows
}

/// Writings with as many writers are rounds of the same figure.
fn of(writings: &[Writing], writers: u64) -> Row {
    let rounds = || writings.iter().filter(|writing| writing.writers == writers);
    let sync = |writing: &Writing| writing.limit_p50_us / 1e6;
    if writers == 1 {
        let rounds = rounds().map(|writing| (writing.p50_us / 1e6, sync(writing))).collect();
        let name = "durable append, 1 writer, p50";
        return Row::beside(PART, name, Unit::Seconds, "fdatasync of 512 B, p50", rounds)
            .target(Target::OfLimitAtMost(1.4));
    }
    // With a sync for each event there would be so many.
    let rounds = rounds().map(|writing| (writing.events_per_s, 1.0 / sync(writing))).collect();
    let name = format!("durable appends, {writers} writers");
    let row = Row::beside(PART, name, Unit::PerSecond, "fdatasyncs of 512 B", rounds);
    match writers {
        64 => row.target(Target::AtLeast(60_000.0)),
        1000 => row.target(Target::AtLeast(100_000.0)),
        _ => row,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_as_many_writers_are_rounds_of_one_figure() {
        let text = r#"
    Finished `bench` profile
{"writers":64,"events_per_s":50000,"p50_us":9.0,"p99_us":1.0,"limit_p50_us":100.0,"ratio":1.0}
{"writers":1,"events_per_s":5,"p50_us":150.0,"p99_us":1.0,"limit_p50_us":100.0,"ratio":1.0}
{"read_events_per_s":900000,"page_p50_us":1.0}
{"batches":500,"syncs_of_the_log":500,"syncs_per_batch":1.000}
{"writers":64,"events_per_s":61000,"p50_us":9.0,"p99_us":1.0,"limit_p50_us":100.0,"ratio":1.0}
{"batches":500,"syncs_of_the_log":501,"syncs_per_batch":1.002}
{"syncs_per_batch":null,"why":"no strace"}
"#;
        let rows = rows(text);
        let shown: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.figure(), row.is_met())).collect();
        let expected = [
            ("durable append, 1 writer, p50", 150e-6, Some(false)),
            ("durable appends, 64 writers", 61_000.0, Some(true)),
            ("syncs of the log per committed batch", 1.002, Some(false)),
            ("events read from the store, pages of 1000", 900_000.0, None),
        ];
        assert_eq!(shown, expected);
    }
}
