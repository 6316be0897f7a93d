//! An event in the hands of one member of a group.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::Group;
use crate::Meta;
use crate::link::Receipt;
use crate::received::Delivery;

/// An event that was handed to one member of a group. Derefs to the event.
///
/// Acknowledge it once it has been dealt with; dropped instead, it [comes
/// back](crate::GroupMember#what-comes-back).
#[must_use = "dropped, it is handed out again"]
pub struct Claim<E> {
    /// `None` once it is settled.
    delivery: Option<Delivery<E>>,
    pub(super) attempt: u32,
    /// How long it is not handed out after it is dropped.
    pub(super) returns_after: Duration,
    hold: Hold<E>,
}

pub(super) enum Hold<E> {
    Group(Arc<Group<E>>),
    Link(Option<Box<dyn Receipt>>),
}

impl<E> Claim<E> {
    pub(super) fn new(delivery: Delivery<E>, attempt: u32, hold: Hold<E>) -> Self {
        Self {
            delivery: Some(delivery),
            attempt,
            returns_after: Duration::ZERO,
            hold,
        }
    }

    /// It has been dealt with: nobody else gets it.
    pub fn acknowledge(mut self) {
        let _delivery = self.delivery.take();
        match &mut self.hold {
            Hold::Group(group) => group.acknowledge(),
            Hold::Link(receipt) => {
                if let Some(receipt) = receipt.take() {
                    receipt.acknowledge();
                }
            }
        }
    }

    /// It could not be dealt with: it is handed out again after this time, whatever the
    /// [`backoff`](crate::GroupMember::backoff) says. It counts as a delivery nevertheless.
    pub fn give_back(mut self, after: Duration) {
        self.returns_after = after;
    }

    /// The event, owned. Keeping it does not keep the claim.
    pub fn delivery(&self) -> &Delivery<E> {
        let delivery = self.delivery.as_ref();
        delivery.expect("it is there until the claim is dropped")
    }

    /// What is known of the event besides.
    pub fn meta(&self) -> Meta<'_> {
        self.delivery().meta()
    }

    /// How often it has been handed out: 1 for the first time.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
}

impl<E> Drop for Claim<E> {
    fn drop(&mut self) {
        let Some(delivery) = self.delivery.take() else {
            return;
        };
        match &mut self.hold {
            Hold::Group(group) => group.give_back(delivery, self.attempt, self.returns_after),
            Hold::Link(receipt) => {
                if let Some(receipt) = receipt.take() {
                    receipt.give_back(self.returns_after);
                }
            }
        }
    }
}

impl<E> Deref for Claim<E> {
    type Target = E;

    fn deref(&self) -> &E {
        self.delivery()
    }
}

impl<E: fmt::Debug> fmt::Debug for Claim<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Claim")
            .field("event", &**self)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}
