//! The patterns of a registry as plain data: who is there, who claims what, and who wants whom.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::Location;
use std::sync::Arc;

use serde::Serialize;

use super::{Claim, Pattern, PatternError, PatternHandle, PatternState};

/// How many patterns a registry has at most.
pub const MAX_PATTERNS: usize = 256;

/// A pattern as a registry lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PatternInfo {
    /// Its name.
    pub name: String,
    /// How it does.
    pub state: PatternState,
    /// What it has counted.
    pub statistics: BTreeMap<String, u64>,
    /// What it claims, in words.
    pub claims: Vec<String>,
    /// Its members, if it is a bundle.
    pub members: Vec<String>,
    /// Who wants it enabled: itself, if it was enabled by its own name, and bundles.
    pub wanted_by: Vec<String>,
    /// Where it was registered.
    pub registered_at: String,
}

pub(super) struct Entry {
    pub(super) what: What,
    pub(super) place: &'static Location<'static>,
    pub(super) handle: PatternHandle,
    pub(super) wanted_by: BTreeSet<String>,
}

/// One pattern, or a bundle of several.
#[derive(Clone)]
pub(super) enum What {
    One(Arc<dyn Pattern>),
    Bundle(Arc<[String]>),
}

#[derive(Default)]
pub(super) struct Table(BTreeMap<String, Entry>);

impl Table {
    pub(super) fn insert(
        &mut self,
        name: &str,
        what: What,
        place: &'static Location<'static>,
    ) -> Result<(), PatternError> {
        let pattern = name.to_owned();
        if let Some(Entry { place: first, .. }) = self.0.get(name) {
            return Err(PatternError::NameTaken {
                pattern,
                place,
                first,
            });
        }
        if self.0.len() >= MAX_PATTERNS {
            let limit = MAX_PATTERNS;
            return Err(PatternError::TooMany { pattern, limit });
        }
        let entry = Entry {
            what,
            place,
            handle: PatternHandle::new(name),
            wanted_by: BTreeSet::new(),
        };
        self.0.insert(pattern, entry);
        Ok(())
    }

    /// Takes a pattern out that nobody wants enabled and no bundle has as a member.
    pub(super) fn remove(&mut self, name: &str) -> Result<(), PatternError> {
        let entry = self.get(name)?;
        let bundle = self.0.iter().find(|(_, entry)| match &entry.what {
            What::One(_) => false,
            What::Bundle(members) => members.iter().any(|member| member == name),
        });
        let pattern = name.to_owned();
        if let Some((bundle, Entry { place, .. })) = bundle {
            return Err(PatternError::Needed {
                pattern,
                bundle: bundle.clone(),
                place,
            });
        }
        // Members may be wanted by a bundle that was not enabled to the end.
        let mut entries = self.0.values();
        if entry.is_enabled()
            || entry.holds()
            || entries.any(|entry| entry.wanted_by.contains(name))
        {
            return Err(PatternError::StillEnabled { pattern });
        }
        self.0.remove(name);
        Ok(())
    }

    pub(super) fn get(&self, name: &str) -> Result<&Entry, PatternError> {
        self.0.get(name).ok_or_else(|| self.unknown(name))
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Entry> {
        self.0.get_mut(name)
    }

    fn unknown(&self, name: &str) -> PatternError {
        let names = self.0.keys().map(String::as_str);
        PatternError::Unknown {
            pattern: name.to_owned(),
            nearest: coord_bus::text::nearest(name, names).map(str::to_owned),
        }
    }

    /// What is to be enabled for a pattern: it, or the members of the bundle, and theirs, each
    /// after those that come before it and before the bundle itself.
    pub(super) fn order(&self, name: &str) -> Result<Vec<String>, PatternError> {
        let mut order = Vec::new();
        self.walk(name, &mut order)?;
        Ok(order)
    }

    fn walk(&self, name: &str, order: &mut Vec<String>) -> Result<(), PatternError> {
        // Members are there before their bundle is, so this ends.
        if let What::Bundle(members) = &self.get(name)?.what {
            for member in members.iter() {
                self.walk(member, order)?;
            }
        }
        if !order.iter().any(|one| one == name) {
            order.push(name.to_owned());
        }
        Ok(())
    }

    /// That nobody who is enabled claims what this one does.
    pub(super) fn check_claims(&self, name: &str) -> Result<(), PatternError> {
        let entry = self.get(name)?;
        let What::One(pattern) = &entry.what else {
            return Ok(());
        };
        for claim in pattern.claims() {
            let owner = self.0.iter().find(|(other, entry)| {
                *other != name && entry.holds() && entry.claims().contains(&claim)
            });
            if let Some((owner, owner_entry)) = owner {
                return Err(PatternError::Conflict {
                    pattern: name.to_owned(),
                    place: entry.place,
                    claim,
                    owner: owner.clone(),
                    owner_place: owner_entry.place,
                });
            }
        }
        Ok(())
    }

    /// Those that nobody wants any more and that are not disabled.
    pub(super) fn unwanted(&self) -> Vec<String> {
        let unwanted = self.0.iter().filter(|(_, entry)| {
            entry.wanted_by.is_empty() && entry.handle.state() != PatternState::Disabled
        });
        unwanted.map(|(name, _)| name.clone()).collect()
    }

    /// Those that are not disabled, with their handles.
    pub(super) fn running(&self) -> Vec<(String, PatternHandle)> {
        let running = self.0.iter().filter(|(_, entry)| entry.holds());
        running
            .map(|(name, entry)| (name.clone(), entry.handle.clone()))
            .collect()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    pub(super) fn list(&self) -> Vec<PatternInfo> {
        let infos = self.0.iter().map(|(name, entry)| PatternInfo {
            name: name.clone(),
            state: self.state(entry),
            statistics: entry.handle.statistics(),
            claims: entry.claims().iter().map(Claim::to_string).collect(),
            members: match &entry.what {
                What::One(_) => Vec::new(),
                What::Bundle(members) => members.to_vec(),
            },
            wanted_by: entry.wanted_by.iter().cloned().collect(),
            registered_at: entry.place.to_string(),
        });
        infos.collect()
    }

    /// A bundle is as the worst of its members.
    pub(super) fn state(&self, entry: &Entry) -> PatternState {
        let What::Bundle(members) = &entry.what else {
            return entry.handle.state();
        };
        if !entry.is_enabled() {
            return PatternState::Disabled;
        }
        let states = members.iter().filter_map(|name| {
            let member = self.0.get(name)?;
            Some((name, self.state(member)))
        });
        let worst = states.max_by_key(|(_, state)| match state {
            PatternState::Running => 0,
            PatternState::Starting | PatternState::Stopping => 1,
            PatternState::Degraded { .. } => 2,
            PatternState::Disabled => 3,
            PatternState::Failed { .. } => 4,
        });
        match worst {
            None => PatternState::Running,
            Some((name, PatternState::Degraded { reason })) => PatternState::Degraded {
                reason: format!("{name}: {reason}"),
            },
            Some((name, PatternState::Failed { reason })) => PatternState::Failed {
                reason: format!("{name}: {reason}"),
            },
            Some((name, PatternState::Disabled)) => PatternState::Degraded {
                reason: format!("{name} was stopped"),
            },
            Some((_, state)) => state,
        }
    }
}

impl Entry {
    pub(super) fn is_enabled(&self) -> bool {
        !self.wanted_by.is_empty()
    }

    /// Whether what it claims is its own: also while it is being stopped, and no more once it was
    /// stopped by its handle, though somebody may want it enabled.
    fn holds(&self) -> bool {
        self.handle.state() != PatternState::Disabled
    }

    fn claims(&self) -> Vec<Claim> {
        match &self.what {
            What::One(pattern) => pattern.claims(),
            What::Bundle(_) => Vec::new(),
        }
    }
}
