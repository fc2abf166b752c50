//! Readers who stop reading: what one costs, and what the others feel.

use clap::Parser;

use super::{
    Plan,
    row::{Row, Target, Unit},
};
use crate::torture::{readers, report::Report};

pub(super) const PART: &str = "readers";
const STALLED: u64 = 50;

/// The torture's own arguments.
#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    arguments: readers::Arguments,
}

/// Lets the torture measure it, which also checks that every reader gets exactly the log; what it finds it says.
pub(super) async fn run(plan: &Plan) -> Vec<Row> {
    let Line { arguments } = line(plan);
    let report = readers::run(arguments).await;
    if !report.is_clean() {
        eprint!("{report}");
    }
    let kib = number(&report, "KiB per stalled reader", None);
    let p99 = |when, round| number(&report, &format!("delays {when}, round {round}"), Some("p99 ")) / 1e3;
    let delays = (1..=plan.rounds).map(|round| (p99("beside", round), p99("alone", round))).collect();
    vec![
        Row::new(PART, format!("memory of a stalled reader, {STALLED} of them"), Unit::Kib, vec![kib])
            .target(Target::AtMost(256.0)),
        Row::beside(
            PART,
            format!("p99 of the others' delay, beside {STALLED} stalled readers"),
            Unit::Seconds,
            "without them",
            delays,
        )
        .target(Target::OfLimitAtMost(2.0)),
    ]
}

fn line(plan: &Plan) -> Line {
    let (rounds, events, stalled) = (plan.rounds, plan.pick(50_000, 10_000), STALLED);
    let words =
        format!("readers --store {} --rounds {rounds} --events {events} --stalled {stalled}", plan.store);
    Line::parse_from(words.split(' '))
}

/// The number that a figure of the torture begins with, or that follows the last such words in it.
fn number(report: &Report, name: &str, behind: Option<&str>) -> f64 {
    let found = || {
        let value = report.value(name)?;
        let at = behind.map_or(Some(0), |words| Some(value.rfind(words)? + words.len()))?;
        value[at..].split([' ', ',']).next()?.parse().ok()
    };
    found().unwrap_or_else(|| panic!("the torture has a number for `{name}`, not {:?}", report.value(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_begins_a_figure_or_follows_words_in_it() {
        let mut report = Report::new("readers");
        report.row("KiB per stalled reader", "78, at most 256");
        report.row("delays beside, round 1", "p50 1.886 ms, p99 31.547 ms of 2320, 1.40 times as late");
        assert_eq!(number(&report, "KiB per stalled reader", None), 78.0);
        assert_eq!(number(&report, "delays beside, round 1", Some("p99 ")), 31.547);
    }
}
