//! What came of a run: a line for each class or wall, and all that should not have been.

use std::fmt;

use super::{known, tally::Tally};

/// A table and its verdict.
#[derive(Debug)]
pub struct Table {
    head: [&'static str; 4],
    rows: Vec<[String; 4]>,
    findings: Vec<String>,
    is_markdown: bool,
}

impl Table {
    /// What classes came to.
    pub(super) fn of_classes(tallies: &[Tally]) -> Self {
        let mut table = Self::new(["class", "tried", "blocked", "not blocked, and why"]);
        let (mut tried, mut blocked) = (0, 0);
        for Tally { class, tried: cases, through } in tallies {
            let mut reasons: Vec<_> = through.iter().filter_map(|case| known::reason(class, case)).collect();
            reasons.dedup();
            let new = through.iter().filter(|case| known::reason(class, case).is_none());
            table.findings.extend(new.map(|case| format!("{class}: {case}")));
            (tried, blocked) = (tried + cases, blocked + cases - through.len());
            table.row([class, &cases.to_string(), &(cases - through.len()).to_string(), &reasons.join("; ")]);
        }
        table.row([&format!("{} classes", tallies.len()), &tried.to_string(), &blocked.to_string(), ""]);
        table
    }

    pub(super) fn new(head: [&'static str; 4]) -> Self {
        Self { head, rows: Vec::new(), findings: Vec::new(), is_markdown: false }
    }

    pub(super) fn row(&mut self, cells: [&str; 4]) {
        self.rows.push(cells.map(str::to_owned));
    }

    pub(super) fn finding(&mut self, finding: impl Into<String>) {
        self.findings.push(finding.into());
    }

    pub(super) fn markdown(self, is_markdown: bool) -> Self {
        Self { is_markdown, ..self }
    }

    /// Whether nothing is that should not be.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = self.head.map(str::to_owned);
        if self.is_markdown {
            writeln!(f, "| {} |\n|---|---|---|---|", head.join(" | "))?;
            for row in &self.rows {
                writeln!(f, "| {} |", row.join(" | "))?;
            }
            return Ok(());
        }
        let all = || std::iter::once(&head).chain(&self.rows);
        let width = |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let (first, second, third) = (width(0), width(1), width(2));
        for [one, two, three, four] in all() {
            let line = format!("{one:first$}  {two:>second$}  {three:>third$}  {four}");
            writeln!(f, "{}", line.trim_end())?;
        }
        for finding in &self.findings {
            writeln!(f, "! {finding}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gets_through_and_is_not_known_is_a_finding() {
        let tally = |class, through: &[&str]| Tally {
            class,
            tried: 3,
            through: through.iter().map(|case| (*case).to_owned()).collect(),
        };
        let class = known::KNOWN[2].class;
        let clean = Table::of_classes(&[tally("one", &[]), tally(class, &[known::KNOWN[2].case])]);
        assert!(clean.is_clean() && clean.to_string().contains(known::KNOWN[2].reason), "{clean}");
        let table = Table::of_classes(&[tally("one", &["a", "b"])]);
        let expected = "class      tried  blocked  not blocked, and why
one            3        1
1 classes      3        1
! one: a
! one: b
";
        assert_eq!((table.is_clean(), table.to_string().as_str()), (false, expected));
    }
}
