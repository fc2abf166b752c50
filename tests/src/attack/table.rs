//! What came of a run: a line for each class or wall, and all that should not have been.

use std::fmt;

use super::tally::Tally;

/// A table and its verdict.
#[derive(Debug)]
pub struct Table {
    head: [&'static str; 4],
    rows: Vec<[String; 4]>,
    findings: Vec<String>,
    is_markdown: bool,
}

impl Table {
    /// What classes came to, each behind what proves that it notices.
    pub(super) fn of_classes(tallies: &[(String, Tally)]) -> Self {
        let mut table = Self::new(["class", "tried", "blocked", "notices without"]);
        let (mut tried, mut blocked) = (0, 0);
        for (proof, Tally { class, tried: cases, through }) in tallies {
            table.findings.extend(through.iter().map(|case| format!("{class}: {case}")));
            (tried, blocked) = (tried + cases, blocked + cases - through.len());
            table.row([class, &cases.to_string(), &(cases - through.len()).to_string(), proof]);
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
        if self.is_markdown {
            writeln!(f, "| {} |\n|---|---|---|---|", self.head.join(" | "))?;
            for row in &self.rows {
                writeln!(f, "| {} |", row.join(" | "))?;
            }
        } else {
            self.aligned(f)?;
        }
        for finding in &self.findings {
            writeln!(f, "! {finding}")?;
        }
        Ok(())
    }
}

impl Table {
    fn aligned(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = self.head.map(str::to_owned);
        let all = || std::iter::once(&head).chain(&self.rows);
        let width = |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let (first, second, third) = (width(0), width(1), width(2));
        for [one, two, three, four] in all() {
            let line = format!("{one:first$}  {two:>second$}  {three:>third$}  {four}");
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gets_through_is_a_finding() {
        let tally = |class, through: &[&str]| Tally {
            class,
            tried: 3,
            through: through.iter().map(|case| (*case).to_owned()).collect(),
        };
        let tallies = |through| [("`moat`".to_owned(), tally("one", through))];
        assert!(Table::of_classes(&tallies(&[])).is_clean());
        let table = Table::of_classes(&tallies(&["a", "b"]));
        let expected = "class      tried  blocked  notices without
one            3        1  `moat`
1 classes      3        1
! one: a
! one: b
";
        assert_eq!((table.is_clean(), table.to_string().as_str()), (false, expected));
    }
}
