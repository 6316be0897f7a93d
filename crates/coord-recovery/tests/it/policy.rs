//! What a policy does, part by part and together.

mod retrying;
mod hedging;
mod composing;
mod limiting;
mod budgeting;
mod breaking;
mod breaker_model;
mod cancelling;
mod keyed;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use coord_recovery::policy::{Policy, PolicyBuilder};

/// The error of the operations here; they give the number of the attempt.
pub(crate) type Plan = Policy<u32, &'static str>;

pub(crate) fn plan() -> PolicyBuilder<u32, &'static str> {
    Policy::builder("plan")
}

/// How often something was done.
#[derive(Debug, Clone, Default)]
pub(crate) struct Count(Arc<AtomicU32>);

impl Count {
    pub(crate) fn up(&self) -> u32 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn raise(&self, to: u32) {
        self.0.fetch_max(to, Ordering::SeqCst);
    }

    pub(crate) fn down(&self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }

    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}
