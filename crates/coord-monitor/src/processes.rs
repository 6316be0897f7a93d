//! Which processes run now, as far as `process-lifecycle` tells.

use std::collections::BTreeMap;

use coord_bus::vocabulary::{ProcessLifecycle, ProcessState};

use crate::{ProcessMetrics, ProcessUsage};

/// The most processes that are watched at once; what is started beyond is counted and not shown.
pub const MAX_PROCESSES: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Processes {
    /// The process ids by name, with what was measured of them last.
    running: BTreeMap<String, (u32, Option<ProcessMetrics>)>,
    unwatched: u64,
}

impl Processes {
    pub(crate) fn observe(&mut self, event: &ProcessLifecycle) {
        match event.state {
            ProcessState::Started { pid } => {
                let is_known = self.running.contains_key(&event.process);
                if is_known || self.running.len() < MAX_PROCESSES {
                    self.running.insert(event.process.clone(), (pid, None));
                } else {
                    self.unwatched += 1;
                }
            }
            ProcessState::Exited(_) => {
                self.running.remove(&event.process);
            }
            _ => {}
        }
    }

    pub(crate) fn roots(&self) -> Vec<(String, u32)> {
        let running = self.running.iter();
        running
            .map(|(name, (pid, _))| (name.clone(), *pid))
            .collect()
    }

    /// Takes what was measured of the roots. Those of which nothing was measured have ended, even
    /// if that was missed.
    pub(crate) fn measured(&mut self, roots: &[(String, u32)], measured: Vec<ProcessMetrics>) {
        let mut measured: BTreeMap<_, _> = measured
            .into_iter()
            .map(|metrics| (metrics.process.clone(), metrics))
            .collect();
        for (name, pid) in roots {
            // What was started meanwhile under the same name is another.
            let Some((running, last)) = self.running.get_mut(name) else {
                continue;
            };
            if running == pid {
                *last = measured.remove(name);
                if last.is_none() {
                    self.running.remove(name);
                }
            }
        }
    }

    pub(crate) fn metrics(&self) -> Vec<ProcessMetrics> {
        let measured = self.running.values();
        measured
            .filter_map(|(_, metrics)| metrics.clone())
            .collect()
    }

    /// What all of them use.
    pub(crate) fn together(&self) -> ProcessUsage {
        let measured = self.running.values().filter_map(|(_, last)| last.as_ref());
        let nothing = ProcessUsage {
            memory_bytes: 0,
            cpu_percent: 0.0,
        };
        measured.fold(nothing, |sum, process| ProcessUsage {
            memory_bytes: sum.memory_bytes + process.memory_bytes,
            cpu_percent: sum.cpu_percent + process.cpu_percent,
        })
    }

    pub(crate) fn unwatched(&self) -> u64 {
        self.unwatched
    }

    pub(crate) fn reset(&mut self) {
        self.unwatched = 0;
    }
}
