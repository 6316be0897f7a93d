//! What went wrong and what was done about it, counted.

use std::collections::BTreeMap;

use coord_bus::vocabulary::{ErrorDetected, ErrorRecovery, Recovery, Severity};

use crate::durations::Durations;
use crate::{ErrorKind, ErrorMetrics, OTHER};

/// The most kinds of errors that have a row of their own; those beyond are counted in the row
/// [`OTHER`].
pub const MAX_ERROR_KINDS: usize = 100;

#[derive(Debug, Default)]
pub(crate) struct Errors {
    by_severity: BTreeMap<Severity, u64>,
    by_kind: BTreeMap<String, u64>,
    attempts: u64,
    recovered: u64,
    given_up: u64,
    recovery: Durations,
}

impl Errors {
    pub(crate) fn detected(&mut self, event: &ErrorDetected) {
        *self.by_severity.entry(event.severity).or_default() += 1;
        let is_new = !self.by_kind.contains_key(&event.kind);
        let kind = match is_new && self.by_kind.len() >= MAX_ERROR_KINDS {
            true => OTHER,
            false => &event.kind,
        };
        match self.by_kind.get_mut(kind) {
            Some(count) => *count += 1,
            None => {
                self.by_kind.insert(kind.to_owned(), 1);
            }
        }
    }

    pub(crate) fn recovery(&mut self, event: &ErrorRecovery) {
        match &event.progress {
            Recovery::Attempting { .. } => self.attempts += 1,
            Recovery::Recovered { duration, .. } => {
                self.recovered += 1;
                self.recovery.record(*duration);
            }
            Recovery::GaveUp { .. } => self.given_up += 1,
            // A progress that came into the vocabulary later.
            _ => {}
        }
    }

    pub(crate) fn metrics(&self) -> ErrorMetrics {
        let of = |severity| self.by_severity.get(&severity).copied().unwrap_or(0);
        let kinds = self.by_kind.iter().map(|(kind, count)| ErrorKind {
            kind: kind.clone(),
            count: *count,
        });
        let mut kinds: Vec<_> = kinds.collect();
        kinds.sort_by_key(|kind| std::cmp::Reverse(kind.count));
        ErrorMetrics {
            infos: of(Severity::Info),
            warnings: of(Severity::Warning),
            errors: of(Severity::Error),
            critical: of(Severity::Critical),
            kinds,
            attempts: self.attempts,
            recovered: self.recovered,
            given_up: self.given_up,
            time_to_recover: self.recovery.summary(),
        }
    }
}
