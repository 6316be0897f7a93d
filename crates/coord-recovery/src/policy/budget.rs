//! How many retries there may be at once, over all calls that share a budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::RecoveryError;

/// Bounds the retries, and the further attempts of hedges, that are under way at once, so that calls which fail together do not multiply
/// the load on what makes them fail: at most a share of the calls under way, [20
/// %](Self::DEFAULT_SHARE), but always [3](Self::DEFAULT_MINIMUM).
///
/// A retry is under way from the failure before it, its wait included, until its attempt is over.
/// One that the budget does not admit is not made: the failure is the outcome of the call. Retries
/// that were admitted go on when the calls beside them end.
///
/// Cheap to clone; clones are the same budget, for policies that call the same service.
///
/// ```
/// # fn main() -> Result<(), coord_recovery::RecoveryError> {
/// use coord_recovery::policy::{Policy, Retry, RetryBudget};
///
/// let budget = RetryBudget::default();
/// let read: Policy<String, std::io::Error> = Policy::builder("read")
///     .retry(Retry::exponential().budget(&budget))
///     .build()?;
/// let write: Policy<(), std::io::Error> = Policy::builder("write")
///     .retry(Retry::exponential().budget(&budget))
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct RetryBudget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Of 1.
    share: f64,
    minimum: u32,
    /// Calls under way in the upper half, retries in the lower.
    under_way: AtomicU64,
}

const ONE_CALL: u64 = 1 << 32;
const RETRIES: u64 = ONE_CALL - 1;

impl Default for RetryBudget {
    fn default() -> Self {
        Self::of(Self::DEFAULT_SHARE, Self::DEFAULT_MINIMUM)
    }
}

impl RetryBudget {
    /// The share of the calls under way that may be retries, where nothing else is said.
    pub const DEFAULT_SHARE: f64 = 0.2;
    /// How many retries there may be at once in any case, where nothing else is said.
    pub const DEFAULT_MINIMUM: u32 = 3;

    /// A budget of a share (0 to 1) of the calls under way, and so many in any case.
    ///
    /// # Errors
    ///
    /// [`RecoveryError::Setting`] when the share is not between 0 and 1.
    pub fn new(share: f64, minimum: u32) -> Result<Self, RecoveryError> {
        if !(0.0..=1.0).contains(&share) {
            return Err(RecoveryError::setting(
                "a retry budget",
                format!("its share is {share}, and has to be between 0 and 1"),
            ));
        }
        Ok(Self::of(share, minimum))
    }

    fn of(share: f64, minimum: u32) -> Self {
        Self {
            shared: Arc::new(Shared {
                share,
                minimum,
                under_way: AtomicU64::new(0),
            }),
        }
    }

    /// How many calls of policies with this budget are under way.
    pub fn calls(&self) -> u32 {
        let calls = self.shared.under_way.load(Ordering::Relaxed) / ONE_CALL;
        u32::try_from(calls).unwrap_or(u32::MAX)
    }

    /// How many of them are retries.
    pub fn retries(&self) -> u32 {
        let retries = self.shared.under_way.load(Ordering::Relaxed) & RETRIES;
        u32::try_from(retries).unwrap_or(u32::MAX)
    }

    pub(super) fn call(&self) -> BudgetedCall<'_> {
        let under_way = &self.shared.under_way;
        under_way.fetch_add(ONE_CALL, Ordering::Relaxed);
        BudgetedCall {
            budget: &self.shared,
            retries: 0,
        }
    }
}

impl Shared {
    fn admits(&self, under_way: u64) -> bool {
        let (calls, retries) = (under_way / ONE_CALL, under_way & RETRIES);
        let share = calls as f64 * self.share;
        retries < u64::from(self.minimum) || (retries + 1) as f64 <= share
    }
}

/// A call that is under way, and how many retries it has under way. Over when it is dropped.
pub(super) struct BudgetedCall<'b> {
    budget: &'b Shared,
    retries: u64,
}

impl BudgetedCall<'_> {
    /// Whether there may be a retry, once the attempt before it is over; if so it is under way.
    pub(super) fn retry(&mut self) -> bool {
        self.over(self.retries);
        self.retry_beside()
    }

    /// Whether there may be one more beside the attempts that are under way; if so it is, too.
    pub(super) fn retry_beside(&mut self) -> bool {
        let under_way = &self.budget.under_way;
        let admitted = under_way.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |under_way| {
            self.budget.admits(under_way).then_some(under_way + 1)
        });
        self.retries += u64::from(admitted.is_ok());
        admitted.is_ok()
    }

    /// So many of its retries are over.
    pub(super) fn over(&mut self, retries: u64) {
        if retries > 0 {
            self.retries -= retries;
            self.budget.under_way.fetch_sub(retries, Ordering::Relaxed);
        }
    }
}

impl Drop for BudgetedCall<'_> {
    fn drop(&mut self) {
        self.over(self.retries);
        self.budget.under_way.fetch_sub(ONE_CALL, Ordering::Relaxed);
    }
}
