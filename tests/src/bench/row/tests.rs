use super::*;

fn seconds(rounds: &[(f64, f64)], target: Target) -> Row {
    Row::beside("p", "n", Unit::Seconds, "of a sync", rounds.to_vec()).target(target)
}

#[test]
fn the_best_figure_is_compared_with_the_best_limit() {
    let row = |target| seconds(&[(0.004, 0.001), (0.002, 0.004), (0.003, 0.002)], target);
    let (of, at) = (Target::OfLimitAtMost, Target::AtMost);
    let met = [of(2.0), of(1.9), at(0.002), at(0.001)].map(|target| row(target).is_met());
    assert_eq!(met, [Some(true), Some(false), Some(true), Some(false)]);
    assert_eq!((row(of(2.0)).figure(), row(of(2.0)).ratio()), (0.002, Some(2.0)));
    let rate = Row::beside("p", "n", Unit::PerSecond, "loop", vec![(5.0, 10.0), (6.0, 12.0)]);
    let met = |target| rate.clone().target(target).is_met();
    assert_eq!(met(Target::OfLimitAtLeast(0.5)), Some(true));
    assert_eq!((met(Target::AtLeast(6.1)), rate.is_met()), (Some(false), None));
    assert_eq!([Target::Exactly(6.0), Target::Exactly(5.999)].map(met), [Some(true), Some(false)]);
}

#[test]
fn a_table_has_a_line_for_each_row() {
    let rows = [
        seconds(&[(0.000_2, 0.000_1), (0.001_5, 0.000_1)], Target::OfLimitAtMost(1.4)),
        Row::new("p", "memory", Unit::Kib, vec![7680.0]).target(Target::AtMost(20480.0)),
    ];
    let expected = "\
| What   | Figure  | Rounds               | Limit            | Ratio | Target       | Met    |
|--------|---------|----------------------|------------------|-------|--------------|--------|
| n      | 200 µs  | 200 µs – 1.5 ms (2)  | 100 µs of a sync | 2.00  | ≤ 1.4× limit | **no** |
| memory | 7.5 MiB | 7.5 MiB – 7.5 MiB (1) |                  |       | ≤ 20.0 MiB   | yes    |
";
    let squeezed = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| line.replace('-', "").split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    };
    assert_eq!(squeezed(&Table(&rows).to_string()), squeezed(expected));
}

#[test]
fn a_program_gets_every_round() {
    let row = seconds(&[(0.5, 0.25)], Target::OfLimitAtMost(1.4));
    let expected = json!({
        "part": "p", "name": "n", "unit": "s", "figure": 0.5, "limit": 0.25, "limit_is": "of a sync", "ratio": 2.0,
        "target_is": "ratio_at_most", "target": 1.4, "is_met": false,
        "rounds": [{"figure": 0.5, "limit": 0.25}],
    });
    assert_eq!(row.json(), expected);
}

#[test]
fn figures_are_written_for_people() {
    let cases = [
        (Unit::Seconds, 0.000_123, "123 µs"),
        (Unit::Seconds, 0.000_000_17, "0.17 µs"),
        (Unit::Seconds, 0.012_34, "12.3 ms"),
        (Unit::Seconds, 1.5, "1.50 s"),
        (Unit::PerSecond, 999.0, "999/s"),
        (Unit::PerSecond, 6_500.0, "6.5 k/s"),
        (Unit::PerSecond, 123_456.0, "123 k/s"),
        (Unit::PerSecond, 4_910_000.0, "4.91 M/s"),
        (Unit::BytesPerSecond, 1_500_000_000.0, "1500 MB/s"),
        (Unit::Kib, 180.0, "180 KiB"),
        (Unit::Count, 1.0, "1.000"),
    ];
    for (unit, figure, expected) in cases {
        assert_eq!(unit.show(figure), expected);
    }
}
