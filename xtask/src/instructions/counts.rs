//! Counts of instructions by case, and how they compare with those of before.

use std::collections::BTreeMap;
use std::fmt::Write;

/// How much a count may differ from the one remembered, in per cent: another version of the
/// compiler or of the C library moves it by less.
const TOLERANCE_PERCENT: u64 = 5;

const HEADING: &str = "\
# Instructions that one time of each case takes: an event, or a subscriber. Of x86_64 Linux, counted by
# `cargo xtask instructions`, which writes them with `--accept`. The cases: `src/instructions.rs`.

";

/// The instructions that one time of each case takes.
#[derive(Debug, PartialEq)]
pub(super) struct Counts(pub(super) BTreeMap<String, u64>);

/// What came of a comparison: a line for each case, and how many of them are to be looked at.
pub(super) struct Comparison {
    pub(super) table: String,
    pub(super) faults: usize,
}

impl Counts {
    pub(super) fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text).map(Self)
    }

    pub(super) fn to_toml(&self) -> String {
        let line = |(case, count): (&String, &u64)| format!("{case} = {count}\n");
        HEADING.to_owned() + &self.0.iter().map(line).collect::<String>()
    }

    /// More than before is a fault, and so is a case that is only on one side. Fewer is good news,
    /// which is told so that it can be kept.
    pub(super) fn compare(&self, before: &Self) -> Comparison {
        let mut comparison = Comparison {
            table: String::new(),
            faults: 0,
        };
        for (case, count) in &self.0 {
            let (verdict, is_fault) = match before.0.get(case) {
                Some(before) => verdict(*count, *before),
                None => ("NEW: not remembered yet".to_owned(), true),
            };
            comparison.add(case, *count, &verdict, is_fault);
        }
        for (case, count) in &before.0 {
            if !self.0.contains_key(case) {
                comparison.add(
                    case,
                    *count,
                    "GONE: remembered, but there is no such case",
                    true,
                );
            }
        }
        comparison
    }
}

impl Comparison {
    fn add(&mut self, case: &str, count: u64, verdict: &str, is_fault: bool) {
        let _ = writeln!(self.table, "{case:<28}{count:>8}  {verdict}");
        self.faults += usize::from(is_fault);
    }
}

/// What to say of a count, and whether it is a fault.
fn verdict(count: u64, before: u64) -> (String, bool) {
    let percent = (count as f64 / before as f64 - 1.0) * 100.0;
    if count * 100 > before * (100 + TOLERANCE_PERCENT) {
        (format!("MORE: {percent:+.1} % over {before}"), true)
    } else if count * 100 < before * (100 - TOLERANCE_PERCENT) {
        let keep = "`cargo xtask instructions --accept` keeps it so";
        (
            format!("fewer: {percent:+.1} % under {before}; {keep}"),
            false,
        )
    } else {
        (format!("ok: {percent:+.1} %"), false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts<const N: usize>(counts: [(&str, u64); N]) -> Counts {
        Counts(counts.map(|(case, count)| (case.to_owned(), count)).into())
    }

    #[test]
    fn what_is_written_is_read_back() {
        let counts = counts([("publish", 311), ("subscribe", 2305)]);
        let text = counts.to_toml();
        assert!(
            text.ends_with("\n\npublish = 311\nsubscribe = 2305\n"),
            "{text}"
        );
        assert_eq!(Counts::parse(&text), Ok(counts));
    }

    #[test]
    fn a_count_within_the_tolerance_passes() {
        let comparison = counts([("a", 105), ("b", 95)]).compare(&counts([("a", 100), ("b", 100)]));
        assert_eq!(comparison.faults, 0, "{}", comparison.table);
    }

    #[test]
    fn more_is_a_fault_and_fewer_is_told() {
        let comparison = counts([("a", 106), ("b", 94)]).compare(&counts([("a", 100), ("b", 100)]));
        assert_eq!(comparison.faults, 1);
        let lines: Vec<_> = comparison.table.lines().collect();
        assert!(
            lines[0].ends_with("106  MORE: +6.0 % over 100"),
            "{lines:?}"
        );
        assert!(
            lines[1].contains("94  fewer: -6.0 % under 100; `cargo"),
            "{lines:?}"
        );
    }

    #[test]
    fn a_case_of_one_side_only_is_a_fault() {
        let comparison = counts([("new", 1)]).compare(&counts([("old", 2)]));
        assert_eq!(comparison.faults, 2);
        assert!(comparison.table.contains("NEW: "), "{}", comparison.table);
        assert!(comparison.table.contains("GONE: "), "{}", comparison.table);
    }

    #[test]
    fn a_count_that_was_nothing_may_not_become_something() {
        let comparison = counts([("a", 5)]).compare(&counts([("a", 0)]));
        assert_eq!(comparison.faults, 1);
    }
}
