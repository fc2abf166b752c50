//! One figure, with the limit that was taken beside it and what it should be.

use std::fmt;

use serde_json::{Value, json};

/// What the division of two counts may be off by.
const EXACT: f64 = 1e-9;

/// What is counted, and so how it is written and which of two is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds; fewer are better.
    Seconds,
    /// So many a second; more are better.
    PerSecond,
    /// Bytes a second; more are better.
    BytesPerSecond,
    /// Memory; less is better.
    Kib,
    /// A number of something; less is better.
    Count,
}

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// The figure, at most.
    AtMost(f64),
    /// The figure, at least.
    AtLeast(f64),
    /// The figure, exactly: for what is counted, and nothing disturbs.
    Exactly(f64),
    /// The figure as a part of its limit, at most.
    OfLimitAtMost(f64),
    /// The figure as a part of its limit, at least.
    OfLimitAtLeast(f64),
}

/// What one round measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Round {
    /// The figure.
    pub figure: f64,
    /// What bounds it, measured right before or after.
    pub limit: Option<f64>,
}

/// A figure over all its rounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The part that measured it.
    pub part: String,
    /// What was measured, with the numbers that it depends on.
    pub name: String,
    /// What is counted.
    pub unit: Unit,
    /// At least one.
    pub rounds: Vec<Round>,
    /// What the limit is.
    pub limit: Option<String>,
    /// What the figure should be, where somebody said so.
    pub target: Option<Target>,
}

impl Unit {
    /// The better of the two.
    fn better(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Seconds | Self::Kib | Self::Count => a.min(b),
            Self::PerSecond | Self::BytesPerSecond => a.max(b),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::PerSecond => "1/s",
            Self::BytesPerSecond => "B/s",
            Self::Kib => "KiB",
            Self::Count => "1",
        }
    }

    /// For people.
    fn show(self, figure: f64) -> String {
        match self {
            Self::Seconds if figure < 1e-5 => format!("{:.2} µs", figure * 1e6),
            Self::Seconds if figure < 1e-3 => format!("{:.0} µs", figure * 1e6),
            Self::Seconds if figure < 1.0 => format!("{:.1} ms", figure * 1e3),
            Self::Seconds => format!("{figure:.2} s"),
            Self::PerSecond if figure >= 1e6 => format!("{:.2} M/s", figure / 1e6),
            Self::PerSecond if figure >= 1e4 => format!("{:.0} k/s", figure / 1e3),
            Self::PerSecond if figure >= 1e3 => format!("{:.1} k/s", figure / 1e3),
            Self::PerSecond => format!("{figure:.0}/s"),
            Self::BytesPerSecond => format!("{:.0} MB/s", figure / 1e6),
            Self::Kib if figure >= 4096.0 => format!("{:.1} MiB", figure / 1024.0),
            Self::Kib => format!("{figure:.0} KiB"),
            Self::Count => format!("{figure:.3}"),
        }
    }
}

impl Row {
    /// A row of rounds without a limit.
    #[must_use]
    pub fn new(part: &str, name: impl Into<String>, unit: Unit, figures: Vec<f64>) -> Self {
        let rounds = figures.into_iter().map(|figure| Round { figure, limit: None }).collect();
        Self { part: part.to_owned(), name: name.into(), unit, rounds, limit: None, target: None }
    }

    /// A row of rounds with the limit of each.
    #[must_use]
    pub fn beside(
        part: &str,
        name: impl Into<String>,
        unit: Unit,
        limit: impl Into<String>,
        rounds: Vec<(f64, f64)>,
    ) -> Self {
        let rounds = rounds.into_iter().map(|(figure, limit)| Round { figure, limit: Some(limit) }).collect();
        Self {
            part: part.to_owned(),
            name: name.into(),
            unit,
            rounds,
            limit: Some(limit.into()),
            target: None,
        }
    }

    /// Says what the figure should be.
    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// The best figure of all rounds: what disturbs a round makes it worse, never better.
    #[must_use]
    pub fn figure(&self) -> f64 {
        self.best(self.rounds.iter().map(|round| round.figure)).expect("a row has rounds")
    }

    /// The best limit of all rounds, for the same reason.
    #[must_use]
    pub fn limit(&self) -> Option<f64> {
        self.best(self.rounds.iter().filter_map(|round| round.limit))
    }

    /// The figure as a part of its limit.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        self.limit().map(|limit| self.figure() / limit)
    }

    /// Whether the target is met; `None` without one.
    #[must_use]
    pub fn is_met(&self) -> Option<bool> {
        match self.target? {
            Target::AtMost(most) => Some(self.figure() <= most),
            Target::AtLeast(least) => Some(self.figure() >= least),
            Target::Exactly(value) => Some((self.figure() - value).abs() < EXACT),
            Target::OfLimitAtMost(most) => self.ratio().map(|ratio| ratio <= most),
            Target::OfLimitAtLeast(least) => self.ratio().map(|ratio| ratio >= least),
        }
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let rounds: Vec<_> =
            self.rounds.iter().map(|round| json!({"figure": round.figure, "limit": round.limit})).collect();
        let (of, value) = self.target.map(Target::parts).unzip();
        json!({
            "part": self.part, "name": self.name, "unit": self.unit.name(),
            "figure": self.figure(), "limit": self.limit(), "limit_is": self.limit, "ratio": self.ratio(),
            "target_is": of, "target": value, "is_met": self.is_met(), "rounds": rounds,
        })
    }

    /// The cells of a table: name, figure, rounds, limit, ratio, target, met.
    #[must_use]
    pub fn cells(&self) -> [String; 7] {
        let show = |figure| self.unit.show(figure);
        let figures = || self.rounds.iter().map(|round| round.figure);
        let (low, high) = (figures().fold(f64::INFINITY, f64::min), figures().fold(0.0, f64::max));
        let limit = self.limit().zip(self.limit.as_ref());
        [
            self.name.clone(),
            show(self.figure()),
            format!("{} – {} ({})", show(low), show(high), self.rounds.len()),
            limit.map_or_else(String::new, |(figure, what)| format!("{} {what}", show(figure))),
            self.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            self.target.map_or_else(String::new, |target| target.show(self.unit)),
            self.is_met().map_or("", |met| if met { "yes" } else { "**no**" }).to_owned(),
        ]
    }

    fn best(&self, figures: impl Iterator<Item = f64>) -> Option<f64> {
        figures.reduce(|a, b| self.unit.better(a, b))
    }
}

impl Target {
    fn parts(self) -> (&'static str, f64) {
        match self {
            Self::AtMost(value) => ("figure_at_most", value),
            Self::AtLeast(value) => ("figure_at_least", value),
            Self::Exactly(value) => ("figure_exactly", value),
            Self::OfLimitAtMost(value) => ("ratio_at_most", value),
            Self::OfLimitAtLeast(value) => ("ratio_at_least", value),
        }
    }

    fn show(self, unit: Unit) -> String {
        match self {
            Self::AtMost(value) => format!("≤ {}", unit.show(value)),
            Self::AtLeast(value) => format!("≥ {}", unit.show(value)),
            Self::Exactly(value) => format!("= {}", unit.show(value)),
            Self::OfLimitAtMost(value) => format!("≤ {value}× limit"),
            Self::OfLimitAtLeast(value) => format!("≥ {value}× limit"),
        }
    }
}

/// Rows as a Markdown table.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a>(pub &'a [Row]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["What", "Figure", "Rounds", "Limit", "Ratio", "Target", "Met"].map(str::to_owned);
        let lines: Vec<_> = [head].into_iter().chain(self.0.iter().map(Row::cells)).collect();
        let width =
            |column: usize| lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 7] = std::array::from_fn(width);
        for (index, cells) in lines.iter().enumerate() {
            for (cell, width) in cells.iter().zip(widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")?;
            if index == 0 {
                widths.iter().try_for_each(|width| write!(f, "|{}", "-".repeat(width + 2)))?;
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
