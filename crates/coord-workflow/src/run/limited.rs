//! Steps that wait for places and resources, which they share with the steps of other runs.
//!
//! A step that waits for permits has no future yet, and takes no room in its own run. One that takes no place
//! begins as soon as it has its permits, whatever places are taken. What a step is
//! given is kept in its future, and goes with that. What is given back may go to another run, whose
//! lock is taken for that: so nothing is given back under a lock.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use super::Shared;
use super::queue::{Job, Queue};
use crate::limits::{Asked, Permits, Place, RunLimits};

/// What the steps of a run that have not begun have been given, and wait for.
#[derive(Default)]
pub(super) struct Waits {
    /// Steps that wait for permits.
    tickets: HashMap<usize, u64>,
    /// Steps that have been given theirs, and begin before others.
    given: VecDeque<usize>,
    permits: HashMap<usize, Permits>,
    /// Whether the run waits for a place.
    for_place: bool,
    place: Option<Place>,
    /// What those have that are about to be polled for the first time.
    begun: HashMap<usize, Held>,
}

/// What a step under way has.
pub(super) struct Held {
    _permits: Option<Permits>,
    /// Not between two attempts.
    pub(super) place: Option<Place>,
}

/// What a step that does not begin after all waited for, and has no use for. Not to be dropped under
/// the lock.
#[derive(Default)]
pub(super) struct Withdrawn {
    ticket: Option<u64>,
    _permits: Option<Permits>,
    _place: Option<Place>,
}

/// What a run that is paused has no use for.
pub(super) struct GivenBack {
    _permits: HashMap<usize, Permits>,
    _place: Option<Place>,
}

impl Waits {
    /// Whether a step may begin, if there is room in its run.
    pub(super) fn has_given(&self) -> bool {
        !self.given.is_empty()
    }

    /// Whether a step has been given what it takes, or waits for that.
    pub(super) fn contains(&self, step: usize) -> bool {
        self.tickets.contains_key(&step) || self.given.contains(&step)
    }

    /// Whether a step waits for permits.
    pub(super) fn is_for_permits(&self, step: usize) -> bool {
        self.tickets.contains_key(&step)
    }

    /// Whether a step has been given what it takes.
    pub(super) fn has(&self, step: usize) -> bool {
        self.permits.contains_key(&step) || self.begun.contains_key(&step)
    }

    /// Whether no step that takes a place may begin, whatever it is.
    pub(super) fn is_for_place(&self) -> bool {
        self.for_place
    }
}

impl Queue {
    /// The next step to begin in a run that is limited with others.
    pub(super) fn next_limited(&mut self, run: &Arc<Shared>) -> Option<Job> {
        let limits = run.limits.as_ref()?;
        while self.may_begin() {
            self.put_first(limits);
            let given = match self.has_room() {
                true if self.is_paused() => self.given_again(),
                true => (!self.waits.given.is_empty()).then_some(0),
                false => self.given_free(),
            };
            let Some(given) = given else {
                let step = self.pop_ready()?;
                // What will only be skipped needs nothing for that, and what has begun has its permits.
                let needs_none = self.course.step(step).is_ruled_out() || self.rests(step);
                let asked = match needs_none {
                    true => Asked::Given(None),
                    false => limits.ask(run, step),
                };
                match asked {
                    Asked::Waits(ticket) => {
                        self.waits.tickets.insert(step, ticket);
                    }
                    Asked::Given(permits) => {
                        let permits = permits.map(|permits| (step, permits));
                        self.waits.permits.extend(permits);
                        self.waits.given.push_back(step);
                    }
                }
                continue;
            };
            let step = self.waits.given[given];
            let place = match run.plan.steps[step].takes_place() {
                true => {
                    let place = self.waits.place.take();
                    let Some(place) = place.or_else(|| limits.ask_place(run)) else {
                        self.waits.for_place = true;
                        continue;
                    };
                    Some(place)
                }
                false => None,
            };
            self.waits.given.remove(given);
            let held = Held {
                _permits: self.waits.permits.remove(&step),
                place,
            };
            self.waits.begun.insert(step, held);
            if self.rests(step) {
                self.tries_again(step);
                match self.next_woken() {
                    Some(job) => return Some(job),
                    None => continue,
                }
            }
            self.begins(&run.plan, step);
            return Some(Job::Begin(step));
        }
        None
    }

    /// While the next step, which takes nothing but a place, waited for that, an earlier one may have become ready that
    /// takes no more: it goes before it.
    fn put_first(&mut self, limits: &RunLimits) {
        let next = self.waits.given.front();
        let Some(next) = next.filter(|next| !self.waits.permits.contains_key(next)) else {
            return;
        };
        let first = self.ready.first().filter(|first| first < next);
        if let Some(first) = first.filter(|first| !limits.wants(*first) || self.rests(*first)) {
            self.ready.remove(first);
            self.waits.given.push_front(first);
        }
    }

    /// Where the first is of those that have been given what they take and take no place.
    pub(super) fn given_free(&self) -> Option<usize> {
        let mut given = self.waits.given.iter();
        given.position(|step| self.ready.is_free(*step))
    }

    /// The same of those that make another attempt.
    fn given_again(&self) -> Option<usize> {
        let mut given = self.waits.given.iter();
        given.position(|step| self.rests(*step))
    }

    /// Whether a step has been given what it takes, but for a place.
    fn wants_place(&self) -> bool {
        let mut given = self.waits.given.iter();
        match self.is_paused() {
            true => self.given_again().is_some(),
            false => given.any(|step| !self.ready.is_free(*step)),
        }
    }

    /// A step wants nothing any more.
    pub(super) fn withdraw(&mut self, step: usize) -> Withdrawn {
        self.waits.given.retain(|given| *given != step);
        let wants_place = self.wants_place();
        Withdrawn {
            ticket: self.waits.tickets.remove(&step),
            _permits: self.waits.permits.remove(&step),
            _place: self.waits.place.take_if(|_| !wants_place),
        }
    }

    /// What steps have been given that have not begun: they ask anew when they may begin. Not to be
    /// dropped under the lock.
    pub(super) fn give_back(&mut self) -> GivenBack {
        let given = std::mem::take(&mut self.waits.given);
        given.into_iter().for_each(|step| self.ready.insert(step));
        GivenBack {
            _permits: std::mem::take(&mut self.waits.permits),
            _place: self.waits.place.take(),
        }
    }

    /// Whether a step that waits for something may still be begun.
    fn goes_on(&self) -> bool {
        !(self.is_over() || self.course.stopped().is_some() || self.suspended)
    }
}

impl Shared {
    /// What a step that begins has been given.
    pub(super) fn take_held(&self, step: usize) -> Option<Held> {
        self.limits.as_ref()?;
        self.queue().waits.begun.remove(&step)
    }

    /// A step is given its permits; they come back if it does not want them any more.
    pub(crate) fn accept_permits(&self, step: usize, permits: Permits) -> Option<Permits> {
        let mut queue = self.queue();
        if queue.waits.tickets.remove(&step).is_none() {
            return Some(permits);
        }
        if !queue.goes_on() || queue.is_paused() {
            // It asks anew, if it may ever begin.
            queue.ready.insert(step);
            return Some(permits);
        }
        queue.waits.permits.insert(step, permits);
        queue.waits.given.push_back(step);
        let idle = queue.idle.pop();
        drop(queue);
        idle.into_iter().for_each(Waker::wake);
        None
    }

    /// The run is given a place; it comes back if it does not want it any more.
    pub(crate) fn accept_place(&self, place: Place) -> Option<Place> {
        let mut queue = self.queue();
        let waited = std::mem::replace(&mut queue.waits.for_place, false);
        if !waited || !queue.goes_on() {
            return Some(place);
        }
        // What it was for may have been skipped; what else may begin asks anew.
        let refused = match queue.wants_place() {
            true => {
                queue.waits.place = Some(place);
                None
            }
            false => Some(place),
        };
        let idle = queue.idle.pop();
        drop(queue);
        idle.into_iter().for_each(Waker::wake);
        refused
    }

    /// What a step waited for goes to others.
    pub(super) fn withdraw(&self, withdrawn: &Withdrawn) {
        if let (Some(limits), Some(ticket)) = (&self.limits, withdrawn.ticket) {
            limits.withdraw_one(ticket);
        }
    }

    /// Nothing more begins: what was waited for goes to others.
    pub(super) fn leave_limits(&self) {
        if let Some(limits) = &self.limits {
            let mut queue = self.queue();
            let begun = std::mem::take(&mut queue.waits.begun);
            let begun = Waits {
                begun,
                ..Waits::default()
            };
            let waits = std::mem::replace(&mut queue.waits, begun);
            drop(queue);
            limits.withdraw(self, waits.tickets.values().copied());
        }
    }
}
