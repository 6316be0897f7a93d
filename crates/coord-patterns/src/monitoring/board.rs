//! All that is watched, as plain data.

use std::collections::BTreeMap;

use coord_bus::Timestamp;
use coord_bus::time::Instant;
use coord_bus::vocabulary::{
    DashboardUpdate, Exit, Notification, ProcessHealth, ProcessLifecycle, ProcessOutput,
    ProcessState, ServiceLifecycle, ServiceState,
};

use super::census::{Census, Identity, Life, Meter, Reading};
use super::watched::{Phase, Watched};
use super::{MonitoringError, ProcessMonitoringConfig};
use crate::cut::cut;

/// How many processes are watched at once.
pub const MAX_WATCHED: usize = 256;

/// How much of the last line of a process is kept, in bytes.
const MAX_LAST_LINE: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Board {
    watched: BTreeMap<String, Watched>,
    meter: Meter,
    pub(super) unwatched: u64,
    /// What of those that were attached is to be told.
    pub(super) untold: Vec<ProcessLifecycle>,
}

impl Board {
    pub(super) fn lifecycle(&mut self, event: &ProcessLifecycle) {
        if matches!(event.state, ProcessState::Attached { .. }) {
            return;
        }
        match self.place(&event.process, event.at) {
            Some(watched) => watched.observe(&event.state, event.at),
            None => self.unwatched += 1,
        }
    }

    pub(super) fn output(&mut self, event: &ProcessOutput) {
        if let Some(watched) = self.watched.get_mut(&event.process) {
            watched.lines += u64::from(!event.continues);
            watched.last_line = Some(cut(&event.line, MAX_LAST_LINE).to_owned());
        }
    }

    pub(super) fn health(&mut self, event: &ProcessHealth) {
        if let Some(watched) = self.watched.get_mut(&event.process) {
            watched.health = Some((event.healthy, event.answer.clone()));
        }
    }

    pub(super) fn service(&mut self, event: &ServiceLifecycle) {
        let reason = match &event.state {
            ServiceState::NotReady { answer } => format!("not ready: {answer}"),
            ServiceState::Unhealthy { answer } => format!("unhealthy: {answer}"),
            _ => return,
        };
        if let Some(watched) = self.watched.get_mut(&event.service) {
            watched.reason = Some(reason);
        }
    }

    pub(super) fn attach(
        &mut self,
        name: &str,
        pid: u32,
        at: Timestamp,
    ) -> Result<(), MonitoringError> {
        let name = || name.to_owned();
        if let Some(other) = self.watched.get(&name()).and_then(|watched| watched.pid) {
            let name = name();
            return Err(MonitoringError::NameTaken { name, pid, other });
        }
        let Some(identity) = Census::take().living(pid) else {
            let name = name();
            return Err(MonitoringError::NoSuchProcess { name, pid });
        };
        let Some(watched) = self.place(&name(), at) else {
            return Err(MonitoringError::TooMany { name: name() });
        };
        watched.start(pid, Some(identity), at);
        self.untold.push(ProcessLifecycle {
            process: name(),
            at,
            state: ProcessState::Attached { pid },
        });
        Ok(())
    }

    pub(super) fn detach(&mut self, name: &str) -> bool {
        let is_attached = self.watched.get(name).is_some_and(|one| one.attached);
        is_attached && self.watched.remove(name).is_some()
    }

    /// The place of a process, made where there is none: for one that ended first, if need be.
    fn place(&mut self, name: &str, at: Timestamp) -> Option<&mut Watched> {
        if !self.watched.contains_key(name) && self.watched.len() >= MAX_WATCHED {
            let ended = self.watched.values().filter(|one| !one.is_running());
            let first = ended.min_by_key(|one| one.ended)?.name.clone();
            self.watched.remove(&first);
        }
        let place = self.watched.entry(name.to_owned());
        Some(place.or_insert_with(|| Watched::new(name, at)))
    }

    /// Reads what all that runs does and takes; the alerts that this opens and closes.
    pub(super) fn read(
        &mut self,
        config: &ProcessMonitoringConfig,
        at: Timestamp,
    ) -> Vec<Notification> {
        let now = Instant::now();
        if self.watched.values().any(Watched::is_running) {
            self.measure(at);
        } else {
            self.meter.read(&[]);
        }
        let mut notifications = Vec::new();
        for watched in self.watched.values_mut() {
            let reading = watched.is_running().then(|| watched.reading.clone());
            let times = (now, at);
            let alerts = &mut watched.alerts;
            notifications.extend(alerts.judge(&watched.name, reading.as_ref(), config, times));
        }
        notifications
    }

    fn measure(&mut self, at: Timestamp) {
        let census = Census::take();
        let mut trees: Vec<(String, Reading, Vec<sysinfo::Pid>)> = Vec::new();
        for watched in self.watched.values_mut().filter(|one| one.is_running()) {
            let Some(root) = identified(watched, &census) else {
                continue;
            };
            let tree = census.tree(root, &mut watched.remembered);
            let reading = census.read(root, &tree);
            if watched.attached && matches!(reading.root, None | Some(Life::Zombie)) {
                let state = ProcessState::Exited(Exit::unknown());
                watched.end(Phase::Exited(Exit::unknown()), at);
                self.untold.push(ProcessLifecycle {
                    process: watched.name.clone(),
                    at,
                    state,
                });
                continue;
            }
            trees.push((watched.name.clone(), reading, tree));
        }
        let pids: Vec<_> = trees
            .iter()
            .flat_map(|(_, _, tree)| tree)
            .copied()
            .collect();
        self.meter.read(&pids);
        for (name, mut reading, tree) in trees {
            self.meter.add(&tree, &mut reading);
            if let Some(watched) = self.watched.get_mut(&name) {
                watched.reading = reading;
            }
        }
    }

    pub(super) fn dashboard(&self, name: &str, at: Timestamp) -> DashboardUpdate {
        let mut alerts: Vec<_> = self
            .watched
            .values()
            .flat_map(|watched| watched.alerts.open().cloned())
            .collect();
        alerts.sort_by_key(|alert| alert.since);
        DashboardUpdate {
            dashboard: name.to_owned(),
            at,
            summary: self.summary(alerts.len()),
            rows: self
                .watched
                .values()
                .map(|watched| watched.row(at))
                .collect(),
            alerts,
        }
    }

    fn summary(&self, alerts: usize) -> String {
        let count = |is: fn(&Watched) -> bool| self.watched.values().filter(|one| is(one)).count();
        let suspended = count(|one| one.reading.root == Some(Life::Suspended));
        let ended = count(|one| matches!(one.phase, Phase::Exited(_)));
        let not_started = count(|one| one.phase == Phase::NotStarted);
        let unhealthy = count(|one| one.health.as_ref().is_some_and(|(good, _)| !good));
        let running = count(Watched::is_running) - suspended;
        let parts = [
            (suspended, "suspended"),
            (ended, "ended"),
            (not_started, "not started"),
            (unhealthy, "unhealthy"),
            (alerts, if alerts == 1 { "alert" } else { "alerts" }),
        ];
        let mut summary = format!("{running} running");
        for (count, what) in parts.into_iter().filter(|(count, _)| *count > 0) {
            summary.push_str(&format!(", {count} {what}"));
        }
        summary
    }
}

/// Who a process is: known from the first census in which its id is there.
fn identified(watched: &mut Watched, census: &Census) -> Option<Identity> {
    if watched.identity.is_none() {
        watched.identity = census.living(watched.pid?);
    }
    watched.identity
}
