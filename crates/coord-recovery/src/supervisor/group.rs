//! What the children of one supervisor have to do with each other: who is restarted with whom, and
//! when all of them end.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::child::Shared;
use super::restarts::{Restarts, Waiting};
use super::{
    ChildEnd, ChildState, Children, DEFAULT_MAX_RESTARTS, DEFAULT_WITHIN, GaveUp, MAX_RESTARTS,
};

/// Who is restarted when a child is: OTP's strategies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// That child. The default, as in OTP.
    #[default]
    OneForOne,
    /// All children: the others are stopped, the last one started first, and all are started again
    /// in their order.
    OneForAll,
    /// That child and those that were started after it.
    RestForOne,
}

/// When a supervisor stops all its children by itself, because
/// [significant](super::ChildSpec::significant) ones have ended by themselves: OTP's. One that was given
/// up has ended by itself; one that was asked to stop has not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AutoShutdown {
    /// Never; there are no significant children. The default, as in OTP.
    #[default]
    Never,
    /// When any of them has.
    AnySignificant,
    /// When the last of them has.
    AllSignificant,
}

/// Why a supervisor has stopped all its children by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Closing {
    /// There were more restarts than its intensity allows; this child would have been the next.
    TooManyRestarts {
        /// The child.
        child: String,
    },
    /// Its significant children have ended; this one last.
    SignificantEnded {
        /// The child.
        child: String,
    },
}

impl fmt::Display for Strategy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::OneForOne => "one-for-one",
            Self::OneForAll => "one-for-all",
            Self::RestForOne => "rest-for-one",
        })
    }
}

/// How a supervisor deals with its children, as it is told when it is made.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rules {
    pub(super) strategy: Strategy,
    pub(super) auto_shutdown: AutoShutdown,
    /// Over all children, where it is given.
    pub(super) intensity: Option<(u32, Duration)>,
}

/// The children, and what holds for all of them.
pub(super) struct Group {
    pub(super) rules: Rules,
    children: Mutex<Children>,
    /// The restarts of all children, where they are counted together.
    restarts: Option<Restarts>,
    pub(super) closing: watch::Sender<Option<Closing>>,
    /// Wakes those who wait for one that is given up.
    losses: watch::Sender<()>,
}

impl Group {
    pub(super) fn new(rules: Rules) -> Self {
        let is_together = rules.strategy != Strategy::OneForOne || rules.intensity.is_some();
        let default = (DEFAULT_MAX_RESTARTS, DEFAULT_WITHIN);
        let (max, within) = rules.intensity.unwrap_or(default);
        let restarts = Restarts::new(Some(max.min(MAX_RESTARTS)), within);
        Self {
            rules,
            children: Mutex::default(),
            restarts: is_together.then_some(restarts),
            closing: watch::Sender::new(None),
            losses: watch::Sender::new(()),
        }
    }

    pub(super) fn children(&self) -> MutexGuard<'_, Children> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The restarts of all children, where they are counted together.
    pub(super) fn restarts(&self) -> Option<&Restarts> {
        self.restarts.as_ref()
    }

    /// Holds those that are restarted with a child, if there may be one more among these restarts; nothing
    /// comes of it where it is held itself, or is to stop. Otherwise, how many there were, and in which
    /// period.
    ///
    /// One decision for the whole group, so that of two that fail at once one is held, and no two wait for
    /// each other.
    pub(super) fn hold_siblings(
        &self,
        child: &Arc<Shared>,
        incarnation: u32,
        restarts: &Restarts,
    ) -> Result<Option<(HeldSiblings, Waiting)>, (u32, Duration)> {
        let children = self.children();
        let orders = child.orders();
        let is_group = self.rules.strategy != Strategy::OneForOne;
        if is_group && (orders.holders > 0 || orders.are_for(incarnation)) {
            return Ok(None);
        }
        let waiting = restarts.admit()?;
        let held = self.restarted_with(child, &children);
        held.all().for_each(|child| child.hold());
        Ok(Some((held, waiting)))
    }

    fn restarted_with(&self, child: &Arc<Shared>, children: &Children) -> HeldSiblings {
        let all = || children.list.iter().map(|child| Arc::clone(child.shared()));
        let place = all().position(|other| Arc::ptr_eq(&other, child));
        let place = place.unwrap_or(children.list.len());
        let after = all().skip(place + 1).collect();
        match self.rules.strategy {
            Strategy::OneForOne => HeldSiblings::default(),
            Strategy::OneForAll => HeldSiblings {
                before: all().take(place).collect(),
                after,
            },
            Strategy::RestForOne => HeldSiblings {
                before: VecDeque::new(),
                after,
            },
        }
    }

    /// The child that has to begin before one at this place does. Where each is restarted for itself, none.
    pub(super) fn begins_after(&self, place: usize, children: &Children) -> Option<Arc<Shared>> {
        if self.rules.strategy == Strategy::OneForOne {
            return None;
        }
        let before = children.list.get(place.checked_sub(1)?)?;
        Some(Arc::clone(before.shared()))
    }

    /// A child has ended, by itself or not.
    pub(super) fn ended(&self, child: &Shared, end: ChildEnd) {
        // In one go, so that it is started anew before or after that, and its loss is not told then.
        let mut children = self.children();
        if let ChildEnd::GaveUp(gave_up) = &end {
            children.lost.push_back(gave_up.clone());
            self.losses.send_replace(());
        }
        child.set(ChildState::Ended(end));
    }

    /// The next child that is given up and has not been told of.
    pub(super) async fn next_loss(&self) -> GaveUp {
        let mut losses = self.losses.subscribe();
        loop {
            if let Some(gave_up) = self.children().lost.pop_front() {
                return gave_up;
            }
            // The other end is held here, so this never fails.
            let _ = losses.changed().await;
        }
    }

    /// A child that was given up and not started anew, whether that was told or not.
    pub(super) fn lost(&self) -> Option<GaveUp> {
        let children = self.children();
        children.list.iter().find_map(|child| match child.state() {
            ChildState::Ended(ChildEnd::GaveUp(gave_up)) => Some(gave_up),
            _ => None,
        })
    }

    /// What follows from the end of a significant child that has ended by itself.
    pub(super) fn significant_ended(&self) -> bool {
        match self.rules.auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => true,
            AutoShutdown::AllSignificant => {
                let children = self.children();
                let mut others = children.list.iter();
                !others.any(|child| child.shared().is_significant() && !child.has_ended())
            }
        }
    }

    /// Stops all children but one, the last one started first, as far as they can be stopped; after this none
    /// can be started.
    pub(super) async fn close(&self, because_of: &Arc<Shared>, closing: Closing) {
        let mut others = {
            let mut children = self.children();
            children.closed = true;
            children.list.clone()
        };
        others.retain(|child| !Arc::ptr_eq(child.shared(), because_of));
        for child in others.iter().rev() {
            child.stop_unless_stuck().await;
        }
        self.closing.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(closing);
            is_first
        });
    }
}

/// Those that are restarted with a child, in order of start: they do not begin before they are released,
/// or this is dropped.
#[derive(Default)]
pub(super) struct HeldSiblings {
    before: VecDeque<Arc<Shared>>,
    after: VecDeque<Arc<Shared>>,
}

impl HeldSiblings {
    /// Stops them, the last one started first, each when the one before has stopped.
    pub(super) async fn stop(&self) {
        for child in self.all().rev() {
            child.stop_for_another();
            child.held().await;
        }
    }

    /// Lets those begin that were started before the one for which they are held, each when the one before
    /// has begun.
    pub(super) async fn release_those_before(&mut self) {
        release_in_turn(&mut self.before).await;
    }

    /// The same with those after it, once it has begun itself. Never ends, so that it can go on beside it.
    pub(super) async fn release_those_after(&mut self, child: &Shared) -> Infallible {
        if !self.after.is_empty() {
            child.begun().await;
            release_in_turn(&mut self.after).await;
        }
        pending().await
    }

    /// Lets all of them begin, in turn.
    pub(super) async fn release(mut self) {
        release_in_turn(&mut self.before).await;
        release_in_turn(&mut self.after).await;
    }

    fn all(&self) -> impl DoubleEndedIterator<Item = &Arc<Shared>> {
        self.before.iter().chain(&self.after)
    }
}

/// Takes one out as it is released: dropped half-way, the others are still held.
async fn release_in_turn(children: &mut VecDeque<Arc<Shared>>) {
    while let Some(child) = children.pop_front() {
        child.release();
        child.begun().await;
    }
}

impl Drop for HeldSiblings {
    fn drop(&mut self) {
        for child in self.all() {
            child.release();
        }
    }
}
