//! What a part says in the end: figures in a table, and all that was found to be wrong.

use std::fmt;

/// As many findings as a person reads; the number of all is said in any case.
const SHOWN: usize = 50;

/// The figures and the findings of one part.
#[derive(Debug)]
pub struct Report {
    title: String,
    rows: Vec<(String, String)>,
    findings: Vec<String>,
}

impl Report {
    /// A report without figures; the title names the part and how to run it again.
    #[must_use]
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), rows: Vec::new(), findings: Vec::new() }
    }

    /// Adds a figure.
    pub fn row(&mut self, name: &str, value: impl fmt::Display) {
        self.rows.push((name.to_owned(), value.to_string()));
    }

    /// A figure, as it is shown.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.rows.iter().find(|(row, _)| row == name).map(|(_, value)| value.as_str())
    }

    /// Adds something that is wrong; one is enough for the part to have failed.
    pub fn finding(&mut self, finding: impl fmt::Display) {
        self.findings.push(finding.to_string());
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        let width = self.rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        for (name, value) in &self.rows {
            writeln!(f, "  {name:width$}  {value}")?;
        }
        for finding in self.findings.iter().take(SHOWN) {
            writeln!(f, "  ! {finding}")?;
        }
        match (self.findings.len(), self.findings.len().saturating_sub(SHOWN)) {
            (0, _) => writeln!(f, "  nothing found"),
            (all, 0) => writeln!(f, "  {all} found"),
            (all, more) => writeln!(f, "  {all} found, {more} of them not shown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_in_columns_and_every_finding_counts() {
        let mut report = Report::new("kill --rounds 5 --seed 7");
        report.row("rounds", 5);
        report.row("inputs acked", 120);
        let clean = "kill --rounds 5 --seed 7\n  rounds        5\n  inputs acked  120\n  nothing found\n";
        assert_eq!((report.is_clean(), report.to_string().as_str()), (true, clean));
        for n in 0..=SHOWN {
            report.finding(format!("lost {n}"));
        }
        let text = report.to_string();
        let last: Vec<_> = text.lines().rev().take(2).collect();
        assert!(!report.is_clean());
        assert_eq!(last, ["  51 found, 1 of them not shown", "  ! lost 49"]);
    }
}
