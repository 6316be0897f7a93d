//! The rows that share a metric. An exporter forgets no label, so there is a limit to those that it
//! ever gets; and what a row that is gone had last would stay, so it becomes nothing.

use std::collections::{BTreeMap, BTreeSet};

/// Whose labels an exporter has got.
#[derive(Debug)]
pub(super) struct Family<L> {
    max: usize,
    known: BTreeSet<L>,
    /// Where those beyond the limit are summed up; they are left out where there is none.
    other: Option<L>,
}

impl<L: Ord + Clone> Family<L> {
    pub(super) fn new(max: usize, other: Option<L>) -> Self {
        Self {
            max,
            known: BTreeSet::new(),
            other,
        }
    }

    /// The labels under which this row goes.
    pub(super) fn label(&mut self, label: L) -> Option<L> {
        if self.known.contains(&label) {
            return Some(label);
        }
        let label = match self.known.len() < self.max {
            true => label,
            false => self.other.clone()?,
        };
        self.known.insert(label.clone());
        Some(label)
    }

    /// All rows that there ever were: those that are gone have nothing.
    pub(super) fn rows<R: Default>(
        &mut self,
        rows: impl Iterator<Item = (L, R)>,
        merge: impl Fn(&mut R, &R),
    ) -> BTreeMap<L, R> {
        let mut all = BTreeMap::new();
        for (label, row) in rows {
            if let Some(label) = self.label(label) {
                merge(all.entry(label).or_default(), &row);
            }
        }
        for known in &self.known {
            if !all.contains_key(known) {
                all.insert(known.clone(), R::default());
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(sum: &mut u64, more: &u64) {
        *sum += more;
    }

    #[test]
    fn a_row_that_is_gone_becomes_nothing_and_keeps_its_place() {
        let mut family = Family::new(2, Some("other"));
        let rows = family.rows([("a", 1), ("b", 2)].into_iter(), add);
        assert_eq!(rows, BTreeMap::from([("a", 1), ("b", 2)]));
        let rows = family.rows([("b", 3), ("c", 4), ("d", 5)].into_iter(), add);
        assert_eq!(rows, BTreeMap::from([("a", 0), ("b", 3), ("other", 9)]));
        let rows = family.rows([("a", 6)].into_iter(), add);
        assert_eq!(rows, BTreeMap::from([("a", 6), ("b", 0), ("other", 0)]));
    }

    #[test]
    fn what_cannot_be_summed_up_is_left_out_beyond_the_limit() {
        let mut family = Family::new(1, None);
        let rows = family.rows([("a", 1), ("b", 2)].into_iter(), add);
        assert_eq!(rows, BTreeMap::from([("a", 1)]));
    }
}
