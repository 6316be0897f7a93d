//! All that is watched, as plain data.

use std::collections::{BTreeMap, VecDeque};

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

/// How many states of processes that were attached wait to be told: where a topic is full, or nobody tells
/// because the pattern is disabled, the oldest are let go.
const MAX_UNTOLD: usize = 2 * MAX_WATCHED;

/// How much of the last line of a process is kept, in bytes.
const MAX_LAST_LINE: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Board {
    watched: BTreeMap<String, Watched>,
    meter: Meter,
    pub(super) unwatched: u64,
    /// What of those that were attached is to be told.
    untold: VecDeque<ProcessLifecycle>,
    /// How many were let go.
    pub(super) never_told: u64,
}

impl Board {
    pub(super) fn lifecycle(&mut self, event: &ProcessLifecycle) {
        match event.state {
            ProcessState::Attached { .. } => return,
            // How one that was attached has ended, this has found out and told itself; and one that is
            // not watched any more has no row to be made again for its end.
            ProcessState::Exited(_)
                if self
                    .watched
                    .get(&event.process)
                    .is_none_or(|one| one.attached) =>
            {
                return;
            }
            _ => {}
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
        self.will_tell(ProcessLifecycle {
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

    fn will_tell(&mut self, lifecycle: ProcessLifecycle) {
        if self.untold.len() == MAX_UNTOLD {
            self.untold.pop_front();
            self.never_told += 1;
        }
        self.untold.push_back(lifecycle);
    }

    /// What is to be told, in order.
    pub(super) fn take_untold(&mut self) -> VecDeque<ProcessLifecycle> {
        std::mem::take(&mut self.untold)
    }

    /// What could not be told of that, for the next time.
    pub(super) fn put_back(&mut self, untold: VecDeque<ProcessLifecycle>) {
        let newer = std::mem::replace(&mut self.untold, untold);
        newer.into_iter().for_each(|one| self.will_tell(one));
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
        let mut ended = Vec::new();
        for watched in self.watched.values_mut().filter(|one| one.is_running()) {
            let Some(root) = identified(watched, &census) else {
                continue;
            };
            let tree = census.tree(root, &mut watched.remembered);
            let reading = census.read(root, &tree);
            if watched.attached && matches!(reading.root, None | Some(Life::Zombie)) {
                let state = ProcessState::Exited(Exit::unknown());
                watched.end(Phase::Exited(Exit::unknown()), at);
                ended.push(ProcessLifecycle {
                    process: watched.name.clone(),
                    at,
                    state,
                });
                continue;
            }
            trees.push((watched.name.clone(), reading, tree));
        }
        ended.into_iter().for_each(|end| self.will_tell(end));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn exited(process: &str) -> ProcessLifecycle {
        ProcessLifecycle {
            process: process.to_owned(),
            at: Timestamp::UNIX_EPOCH,
            state: ProcessState::Exited(Exit::unknown()),
        }
    }

    #[test]
    fn the_end_of_an_earlier_process_is_not_that_of_the_one_attached_under_its_name() {
        let mut board = Board::default();
        let this = std::process::id();
        board.attach("it", this, Timestamp::UNIX_EPOCH).unwrap();
        board.lifecycle(&exited("it"));
        assert!(board.watched["it"].is_running());
        assert!(board.detach("it"));
        // Nor does it bring back a row that was taken away.
        board.lifecycle(&exited("it"));
        assert!(board.watched.is_empty());
    }

    #[test]
    fn what_cannot_be_told_is_bounded_and_keeps_its_order() {
        let mut board = Board::default();
        for number in 0..MAX_UNTOLD + 3 {
            board.will_tell(exited(&number.to_string()));
        }
        assert_eq!((board.untold.len(), board.never_told), (MAX_UNTOLD, 3));
        let mut untold = board.take_untold();
        assert_eq!(untold.pop_front().unwrap().process, "3");
        board.will_tell(exited("newer"));
        board.will_tell(exited("newest"));
        board.put_back(untold);
        assert_eq!((board.untold.len(), board.never_told), (MAX_UNTOLD, 4));
        assert_eq!(board.untold.back().unwrap().process, "newest");
        assert_eq!(board.untold.front().unwrap().process, "5");
    }
}
