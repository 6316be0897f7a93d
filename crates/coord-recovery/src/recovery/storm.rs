//! When matches become an error: so many within so long, and then not again for a while.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use coord_bus::time::Instant;

use super::OTHER;

/// The most matches within a period that a pattern can wait for, since the time of each is kept. A
/// larger number is taken for this.
pub const MAX_MATCHES: u32 = 1000;

/// How many groups a pattern tells apart at once; those beyond are one.
pub(super) const MAX_GROUPS: usize = 1000;

/// How many characters of what an event says is its group tell groups apart: more is longer than any key,
/// and the names of all groups are kept.
pub(super) const GROUP_MAX: usize = 1000;

/// How often a pattern has to match, by the group of what it matches.
#[derive(Debug)]
pub(super) struct Storm {
    pub(super) needed: u32,
    pub(super) within: Duration,
    pub(super) cooldown: Duration,
    groups: HashMap<String, Group>,
}

#[derive(Debug, Default)]
struct Group {
    /// At most as many as are needed.
    recent: VecDeque<Instant>,
    /// When it last was an error.
    told: Option<Instant>,
    /// Since the last error.
    held_back: u64,
}

impl Default for Storm {
    /// Each match is an error.
    fn default() -> Self {
        Self {
            needed: 1,
            within: Duration::ZERO,
            cooldown: Duration::ZERO,
            groups: HashMap::new(),
        }
    }
}

impl Storm {
    /// Whether one more match is an error; if so, how many before it, since the last one, were none.
    pub(super) fn admit(&mut self, group: &str, now: Instant) -> Option<u64> {
        if self.needed <= 1 && self.cooldown.is_zero() {
            return Some(0);
        }
        let (needed, within, cooldown) = (self.needed as usize, self.within, self.cooldown);
        let group = self.group(group, now);
        if group.is_quiet(now, cooldown) {
            group.held_back += 1;
            return None;
        }
        group.recent.push_back(now);
        group.forget(now, within);
        if group.recent.len() < needed {
            group.held_back += 1;
            return None;
        }
        group.recent.clear();
        group.told = Some(now);
        Some(std::mem::take(&mut group.held_back))
    }

    fn group(&mut self, name: &str, now: Instant) -> &mut Group {
        let is_new = !self.groups.contains_key(name);
        if is_new && self.groups.len() >= MAX_GROUPS {
            let (within, cooldown) = (self.within, self.cooldown);
            self.groups.retain(|_, group| {
                group.forget(now, within);
                group.is_quiet(now, cooldown) || !group.recent.is_empty()
            });
        }
        let name = match is_new && self.groups.len() >= MAX_GROUPS {
            true => OTHER,
            false => name,
        };
        self.groups.entry(name.to_owned()).or_default()
    }
}

impl Group {
    /// Whether it was an error less than this long ago.
    fn is_quiet(&self, now: Instant, cooldown: Duration) -> bool {
        self.told
            .is_some_and(|told| now.duration_since(told) < cooldown)
    }

    /// What is further back than the period counts no more.
    fn forget(&mut self, now: Instant, within: Duration) {
        while (self.recent.front()).is_some_and(|then| now.duration_since(*then) > within) {
            self.recent.pop_front();
        }
    }
}
