//! The alerts that are open, and who is told when one opens or closes.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use coord_bus::time::{Clock, Instant};
use coord_bus::vocabulary::{AlertState, PERFORMANCE_ALERT, PerformanceAlert, Severity};
use coord_bus::{Bus, BusError, BusExt, Publisher, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Threshold;
use crate::panics::Panics;
use crate::threshold::Standing;
use crate::windows::Seen;

/// Something is beyond its limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Alert {
    /// The name of its threshold.
    pub alert: String,
    /// How bad it is.
    pub severity: Severity,
    /// When it opened.
    pub since: Timestamp,
    /// What was measured last; `None` once nothing was.
    pub value: Option<f64>,
    /// The limit.
    pub limit: f64,
}

/// Holds what is measured against its limits.
#[derive(Debug)]
pub(crate) struct Alerts {
    watches: Mutex<Vec<Watch>>,
    events: Publisher<PerformanceAlert>,
}

#[derive(Debug)]
struct Watch {
    threshold: Threshold,
    standing: Standing,
    open: Option<Alert>,
    /// Whether readers of the bus know it to be open.
    is_told: bool,
}

impl Alerts {
    pub(crate) fn new(bus: &dyn Bus, thresholds: Vec<Threshold>) -> Result<Self, BusError> {
        let watches = thresholds.into_iter().map(|threshold| Watch {
            threshold,
            standing: Standing::Within,
            open: None,
            is_told: false,
        });
        Ok(Self {
            watches: Mutex::new(watches.collect()),
            events: bus.publisher(&PERFORMANCE_ALERT)?,
        })
    }

    /// Those that are open, in the order of their thresholds.
    pub(crate) fn open(&self) -> Vec<Alert> {
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches
            .iter()
            .filter_map(|watch| watch.open.clone())
            .collect()
    }

    /// The windows that thresholds are about.
    pub(crate) fn windows(&self) -> Vec<Duration> {
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.iter().map(|watch| watch.threshold.window).collect()
    }

    /// Looks at all of them, and tells what is new. What was told is given back.
    pub(crate) fn see(
        &self,
        seen: &Seen,
        now: Instant,
        clock: &dyn Clock,
        panics: &Panics,
    ) -> Vec<PerformanceAlert> {
        let thresholds: Vec<_> = {
            let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
            watches
                .iter()
                .map(|watch| watch.threshold.clone())
                .collect()
        };
        // Not under the lock: it is not ours, what measures.
        let measured = thresholds.iter().map(|threshold| {
            let metrics = seen.over(threshold.window)?;
            let name = || format!("threshold `{}`", threshold.name);
            panics.catch(name, || threshold.measure(metrics))?
        });
        let values: Vec<_> = measured.collect();
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        let told = watches.iter_mut().zip(values).filter_map(|(watch, value)| {
            watch.see(value, now, clock.now());
            watch.tell(value, clock.now(), &self.events)
        });
        told.collect()
    }
}

impl Watch {
    fn see(&mut self, value: Option<f64>, now: Instant, at: Timestamp) {
        match self.standing.see(&self.threshold, value, now) {
            Some(AlertState::Opened) => {
                self.open = Some(Alert {
                    alert: self.threshold.name.clone(),
                    severity: self.threshold.severity,
                    since: at,
                    value,
                    limit: self.threshold.limit,
                });
            }
            Some(AlertState::Closed) => self.open = None,
            None => {
                if let Some(open) = &mut self.open {
                    open.value = value;
                }
            }
        }
    }

    /// Tells the readers if it is not as they know it. Where the topic is full, that is tried again
    /// the next time: so they see an alert open and close in turn, or not at all.
    fn tell(
        &mut self,
        value: Option<f64>,
        at: Timestamp,
        events: &Publisher<PerformanceAlert>,
    ) -> Option<PerformanceAlert> {
        if self.is_told == self.open.is_some() {
            return None;
        }
        let event = PerformanceAlert {
            alert: self.threshold.name.clone(),
            state: match self.open {
                Some(_) => AlertState::Opened,
                None => AlertState::Closed,
            },
            severity: self.threshold.severity,
            value,
            limit: self.threshold.limit,
            at,
        };
        events.try_publish(event.clone()).ok()?;
        self.is_told = self.open.is_some();
        Some(event)
    }
}
