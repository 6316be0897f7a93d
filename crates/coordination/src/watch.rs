//! Health that does not flap: a status holds before it counts.

use std::collections::VecDeque;
use std::time::Duration;

use coord_bus::time::{self, Interval, MissedTickBehavior};

use crate::{CoordinationModule, HealthStatus, SystemHealth};

/// The most samples that a status may have to hold for.
const SAMPLES_MAX: usize = 1000;

/// How often a [`HealthWatch`] looks, and how long a status has to hold: as the probes of Kubernetes are
/// set, but that what is well again has to show it as often as what is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthOptions {
    /// From one look to the next; 1 s by default, and 1 ms at least.
    pub interval: Duration,
    /// For how many looks in a row the module has to be worse, before it is said to be; 3 by default,
    /// from 1 to 1,000.
    pub failure_threshold: usize,
    /// For how many looks in a row it has to be better, before it is said to be; 3 by default, from 1
    /// to 1,000.
    pub success_threshold: usize,
}

impl Default for HealthOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            failure_threshold: 3,
            success_threshold: 3,
        }
    }
}

/// The status changed, and held: from [`HealthWatch::changed`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HealthChange {
    /// What it was until now.
    pub from: HealthStatus,
    /// What it is now.
    pub to: HealthStatus,
    /// All of it at the look that decided. The status of that look alone may be worse than `to`, where
    /// the module got worse on the way, or better.
    pub health: SystemHealth,
}

/// The health of a module with hysteresis: a status counts when it has held for some looks in a row.
/// What comes and goes between them is left out: see [`CoordinationModule::watch_health`].
///
/// Nothing runs but while [`changed`](Self::changed) is awaited.
#[derive(Debug)]
pub struct HealthWatch<'m> {
    module: &'m CoordinationModule,
    looks: Interval,
    settling: Settling,
}

impl HealthWatch<'_> {
    /// The status that counts now; [`Healthy`](HealthStatus::Healthy) before the first look.
    pub fn status(&self) -> HealthStatus {
        self.settling.settled.unwrap_or(HealthStatus::Healthy)
    }

    /// Waits until another status counts. The first look counts at once: where the module is not
    /// healthy then, that is the first change.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, no look is lost: the next call goes on counting.
    pub async fn changed(&mut self) -> HealthChange {
        loop {
            self.looks.tick().await;
            let health = self.module.system_health();
            let from = self.status();
            let to = self.settling.look(health.status);
            if to != from {
                return HealthChange { from, to, health };
            }
        }
    }
}

impl CoordinationModule {
    /// Watches how the module is, and tells a status that holds. [`system_health`](Self::system_health)
    /// is one moment, in which a queue is full that is read in the next.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::Arc;
    ///
    /// use coordination::bus::{Bus, LocalBus};
    /// use coordination::{CoordinationConfig, CoordinationModule, HealthOptions, HealthStatus};
    ///
    /// let bus = Arc::new(LocalBus::new());
    /// let module = CoordinationModule::start(bus.clone(), CoordinationConfig::default())?;
    /// let mut health = module.watch_health(HealthOptions::default());
    /// # let _open = coordination::bus::BusExt::subscribe(&*bus, &coordination::bus::Topic::<u8>::new("open"))?;
    /// bus.close();
    /// let change = health.changed().await;
    /// assert_eq!(change.to, HealthStatus::Unhealthy);
    /// assert_eq!(change.health.reasons, ["the bus is closed"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn watch_health(&self, options: HealthOptions) -> HealthWatch<'_> {
        let mut looks = time::interval(options.interval.max(Duration::from_millis(1)));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        HealthWatch {
            module: self,
            looks,
            settling: Settling::new(options.failure_threshold, options.success_threshold),
        }
    }
}

/// What a status that flaps settles to: plain data.
#[derive(Debug)]
struct Settling {
    settled: Option<HealthStatus>,
    failures: usize,
    successes: usize,
    /// The last looks, the newest first.
    looks: VecDeque<HealthStatus>,
}

impl Settling {
    fn new(failures: usize, successes: usize) -> Self {
        Self {
            settled: None,
            failures: failures.clamp(1, SAMPLES_MAX),
            successes: successes.clamp(1, SAMPLES_MAX),
            looks: VecDeque::new(),
        }
    }

    fn look(&mut self, status: HealthStatus) -> HealthStatus {
        self.looks.push_front(status);
        self.looks.truncate(self.failures.max(self.successes));
        let mut settled = self.settled.unwrap_or(status);
        // As bad as all of the last looks were at least, and as good.
        let at_least = |looks: usize| self.looks.iter().take(looks);
        if self.looks.len() >= self.failures {
            let mildest = at_least(self.failures).min().copied();
            settled = settled.max(mildest.unwrap_or(settled));
        }
        if self.looks.len() >= self.successes {
            let worst = at_least(self.successes).max().copied();
            settled = settled.min(worst.unwrap_or(settled));
        }
        self.settled = Some(settled);
        settled
    }
}

#[cfg(test)]
mod tests {
    use HealthStatus::{Degraded, Healthy, Unhealthy};
    use proptest::prelude::*;

    use super::*;

    fn settle(failures: usize, successes: usize, looks: &[HealthStatus]) -> Vec<HealthStatus> {
        let mut settling = Settling::new(failures, successes);
        looks.iter().map(|look| settling.look(*look)).collect()
    }

    #[test]
    fn a_status_counts_when_it_has_held() {
        let looks = [
            Healthy, Degraded, Degraded, Degraded, Healthy, Healthy, Healthy,
        ];
        assert_eq!(
            settle(3, 2, &looks),
            [
                Healthy, Healthy, Healthy, Degraded, Degraded, Healthy, Healthy
            ]
        );
    }

    #[test]
    fn what_gets_worse_while_it_is_bad_is_bad_already() {
        let looks = [Healthy, Degraded, Unhealthy, Degraded, Unhealthy, Unhealthy];
        assert_eq!(
            settle(3, 3, &looks),
            [Healthy, Healthy, Healthy, Degraded, Degraded, Degraded]
        );
    }

    #[test]
    fn what_flaps_settles_to_nothing_new() {
        let looks: Vec<_> = (0..100)
            .map(|look| if look % 2 == 0 { Healthy } else { Unhealthy })
            .collect();
        assert!(
            settle(2, 2, &looks)
                .iter()
                .all(|settled| *settled == Healthy)
        );
    }

    proptest! {
        /// Whatever is seen: it gets worse only after so many looks that were all worse, and better
        /// only after so many that were all better; and then it does.
        #[test]
        fn it_changes_exactly_when_so_many_looks_agree(
            failures in 1..5usize,
            successes in 1..5usize,
            looks in prop::collection::vec(prop::sample::select(vec![Healthy, Degraded, Unhealthy]), 1..60),
        ) {
            let settled = settle(failures, successes, &looks);
            prop_assert_eq!(settled[0], looks[0]);
            for now in 1..looks.len() {
                let (before, after) = (settled[now - 1], settled[now]);
                let last = |count: usize| (now + 1 >= count).then(|| &looks[now + 1 - count..=now]);
                let worse = last(failures).is_some_and(|last| last.iter().all(|look| *look > before));
                let better = last(successes).is_some_and(|last| last.iter().all(|look| *look < before));
                prop_assert_eq!(after > before, worse);
                prop_assert_eq!(after < before, better);
            }
        }
    }
}
