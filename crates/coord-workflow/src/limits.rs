//! What the steps of all runs of an orchestrator share: places to run in, and named resources.
//!
//! A step is given all that it wants of the resources at once, so no two hold what the other waits
//! for. Each resource has a queue, and who stands in several is served when it is the first in all of
//! them and there is enough in each: nobody is passed by who came later. Places are for runs: the one
//! that has waited longest is given the next, for whichever step is its next.

mod pools;

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use coord_bus::text::nearest;

use crate::plan::Plan;
use crate::run::Shared;
use crate::{Fault, Faults};
use pools::{Pools, Ticket, Wants};

/// The limits of an orchestrator.
pub(crate) struct Limits {
    /// What there is of each resource, by name.
    resources: BTreeMap<String, u32>,
    has_places: bool,
    state: Mutex<State>,
}

struct State {
    pools: Pools<Waiter>,
    places_free: usize,
    /// The runs that wait for a place, the first to come first.
    runs: VecDeque<Weak<Shared>>,
}

/// A step that waits for resources.
struct Waiter {
    run: Weak<Shared>,
    step: usize,
}

/// What a run has to do with the limits of its orchestrator.
pub(crate) struct RunLimits {
    limits: Arc<Limits>,
    /// What each step wants of the resources; empty if none wants any.
    wants: Box<[Wants]>,
}

/// Permits of resources. Dropped, they go to who waits for them: never under the lock of a run.
pub(crate) struct Permits {
    limits: Arc<Limits>,
    wants: Wants,
}

/// A place for a step. Dropped, it goes to who waits for it: never under the lock of a run.
pub(crate) struct Place {
    limits: Option<Arc<Limits>>,
}

/// What came of asking for permits.
pub(crate) enum Asked {
    Given(Option<Permits>),
    Waits(Ticket),
}

impl Limits {
    pub(crate) fn new(places: Option<NonZeroUsize>, resources: BTreeMap<String, u32>) -> Arc<Self> {
        Arc::new(Self {
            has_places: places.is_some(),
            state: Mutex::new(State {
                pools: Pools::new(resources.values().copied()),
                places_free: places.map_or(0, usize::from),
                runs: VecDeque::new(),
            }),
            resources,
        })
    }

    /// What a run of this plan has to do with them: `None`, nothing.
    ///
    /// # Errors
    ///
    /// Every resource that is not there, or of which there is less than a step asks for.
    pub(crate) fn of_run(self: &Arc<Self>, plan: &Plan) -> Result<Option<RunLimits>, Faults> {
        let mut faults = Vec::new();
        let is_asked = plan.steps.iter().any(|step| !step.resources.is_empty());
        let mut all_wants = Vec::new();
        for (step, planned) in plan.steps.iter().enumerate().filter(|_| is_asked) {
            let mut wants = Vec::with_capacity(planned.resources.len());
            for (name, &asked) in &planned.resources {
                let mut pools = self.resources.iter().enumerate();
                match pools.find(|(_, (there, _))| *there == name) {
                    Some((pool, (_, &there))) if asked <= there => wants.push((pool, asked)),
                    Some((_, (_, &there))) => faults.push(Fault::TooMuchOfResource {
                        step,
                        id: planned.id.to_string(),
                        resource: name.clone(),
                        asked,
                        there,
                    }),
                    None => faults.push(Fault::UnknownResource {
                        step,
                        id: planned.id.to_string(),
                        resource: name.clone(),
                        nearest: nearest(name, self.resources.keys().map(String::as_str))
                            .map(str::to_owned),
                    }),
                }
            }
            all_wants.push(wants.into());
        }
        if !faults.is_empty() {
            return Err(Faults(faults));
        }
        Ok((is_asked || self.has_places).then(|| RunLimits {
            limits: Arc::clone(self),
            wants: all_wants.into(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands out what these come to; what a run does not want any more goes on to the next.
    fn hand_out(self: &Arc<Self>, granted: Vec<(Waiter, Wants)>) {
        let mut granted = VecDeque::from(granted);
        while let Some((waiter, wants)) = granted.pop_front() {
            let permits = Permits {
                limits: Arc::clone(self),
                wants,
            };
            let refused = match waiter.run.upgrade() {
                Some(run) => run.accept_permits(waiter.step, permits),
                None => Some(permits),
            };
            if let Some(mut refused) = refused {
                let wants = std::mem::take(&mut refused.wants);
                granted.extend(self.state().pools.give_back(&wants));
            }
        }
    }
}

impl RunLimits {
    /// Asks for what a step wants. Whoever has to wait is given it through
    /// [`Shared::accept_permits`].
    pub(crate) fn ask(&self, run: &Arc<Shared>, step: usize) -> Asked {
        let Some(wants) = self.wants.get(step).filter(|wants| !wants.is_empty()) else {
            return Asked::Given(None);
        };
        let waiter = Waiter {
            run: Arc::downgrade(run),
            step,
        };
        match self.limits.state().pools.ask(wants, waiter) {
            Some(ticket) => Asked::Waits(ticket),
            None => Asked::Given(Some(Permits {
                limits: Arc::clone(&self.limits),
                wants: Arc::clone(wants),
            })),
        }
    }

    /// Whether a step wants some of the resources.
    pub(crate) fn wants(&self, step: usize) -> bool {
        self.wants.get(step).is_some_and(|wants| !wants.is_empty())
    }

    /// Asks for a place. `None`: the run is given one through [`Shared::accept_place`].
    pub(crate) fn ask_place(&self, run: &Arc<Shared>) -> Option<Place> {
        if !self.limits.has_places {
            return Some(Place { limits: None });
        }
        let mut state = self.limits.state();
        if state.places_free == 0 {
            state.runs.push_back(Arc::downgrade(run));
            return None;
        }
        state.places_free -= 1;
        Some(Place {
            limits: Some(Arc::clone(&self.limits)),
        })
    }

    /// A step waits for nothing any more. Not to be called under the lock of its run.
    pub(crate) fn withdraw_one(&self, ticket: Ticket) {
        let granted = self.limits.state().pools.withdraw([ticket].into_iter());
        self.limits.hand_out(granted);
    }

    /// A run waits for nothing any more. Not to be called under its lock.
    pub(crate) fn withdraw(&self, run: &Shared, tickets: impl Iterator<Item = Ticket>) {
        let mut state = self.limits.state();
        state
            .runs
            .retain(|waiting| !std::ptr::eq(waiting.as_ptr(), run));
        let granted = state.pools.withdraw(tickets);
        drop(state);
        self.limits.hand_out(granted);
    }
}

impl Drop for Permits {
    fn drop(&mut self) {
        if !self.wants.is_empty() {
            let granted = self.limits.state().pools.give_back(&self.wants);
            self.limits.hand_out(granted);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(limits) = self.limits.take() else {
            return;
        };
        loop {
            let mut state = limits.state();
            let Some(run) = state.runs.pop_front() else {
                state.places_free += 1;
                return;
            };
            drop(state);
            let place = Place {
                limits: Some(Arc::clone(&limits)),
            };
            let refused = match run.upgrade() {
                Some(run) => run.accept_place(place),
                None => Some(place),
            };
            match refused {
                None => return,
                // It goes on to the next here, not by being dropped.
                Some(mut place) => place.limits = None,
            }
        }
    }
}
