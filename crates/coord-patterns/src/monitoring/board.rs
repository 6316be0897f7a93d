//! All that is watched, as plain data.

use std::collections::{BTreeMap, VecDeque};

use coord_bus::time::Instant;
use coord_bus::vocabulary::{
    DashboardUpdate, Exit, Notification, ProcessHealth, ProcessLifecycle, ProcessOutput,
    ProcessState, ServiceLifecycle, ServiceState,
};
use coord_bus::{Timestamp, text::cut};

use super::census::{Answer, Asked, Life, living};
use super::watched::{Phase, Watched};
use super::{MonitoringError, ProcessMonitoringConfig};

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
    pub(super) unwatched: u64,
    /// What of those that were attached is to be told.
    untold: VecDeque<ProcessLifecycle>,
    /// How many were let go.
    pub(super) never_told: u64,
    /// The end of alerts on what is not watched any more, until the next reading.
    closed: Vec<Notification>,
}

impl Board {
    pub(super) fn lifecycle(&mut self, event: &ProcessLifecycle) {
        let watched = match event.state {
            ProcessState::Attached { .. } => return,
            ProcessState::Started { .. } | ProcessState::NotStarted { .. } => {
                self.place(&event.process, event.at)
            }
            // What runs from before this was enabled has no row, and none is made for its end. And how one
            // that was attached has ended, this has found out and told itself.
            _ => match self.watched.get_mut(&event.process) {
                Some(watched) if !(watched.attached && is_exit(&event.state)) => Some(watched),
                _ => return,
            },
        };
        match watched {
            Some(watched) => watched.observe(&event.state, event.at),
            None => self.unwatched += 1,
        }
    }

    /// What it has missed: the end of those that have gone while nobody was told.
    pub(super) fn resume(&mut self, at: Timestamp) {
        let mut ended = Vec::new();
        for watched in self.watched.values_mut() {
            let Some(pid) = watched.pid else {
                continue;
            };
            let there = living(pid);
            if there.is_some() && (watched.identity.is_none() || watched.identity == there) {
                continue;
            }
            if watched.attached {
                ended.push(watched.name.clone());
            }
            watched.exited(Exit::unknown(), at);
        }
        for process in ended {
            let state = ProcessState::Exited(Exit::unknown());
            self.will_tell(ProcessLifecycle { process, at, state });
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
            watched.blame(reason, event.at);
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
        let Some(identity) = living(pid) else {
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

    pub(super) fn detach(&mut self, name: &str, at: Timestamp) -> bool {
        let is_attached = self.watched.get(name).is_some_and(|one| one.attached);
        is_attached && self.remove(name, at)
    }

    /// Takes a row away, and closes its alerts.
    fn remove(&mut self, name: &str, at: Timestamp) -> bool {
        let Some(mut watched) = self.watched.remove(name) else {
            return false;
        };
        let why = match watched.is_running() {
            true => "it is not watched any more",
            false => "the process has ended",
        };
        self.closed.extend(watched.alerts.close(name, why, at));
        true
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
            self.remove(&first, at);
        }
        let place = self.watched.entry(name.to_owned());
        Some(place.or_insert_with(|| Watched::new(name, at)))
    }

    /// Those that run, of which it is to be asked how they do.
    pub(super) fn asks(&self) -> Vec<Asked> {
        let running = self.watched.values().filter(|one| one.is_running());
        let asked = running.filter_map(|watched| {
            Some(Asked {
                name: watched.name.clone(),
                pid: watched.pid?,
                identity: watched.identity,
                remembered: watched.remembered.clone(),
            })
        });
        asked.collect()
    }

    /// Takes in how all that runs does; the alerts that this opens and closes.
    pub(super) fn take_in(
        &mut self,
        answers: Vec<Answer>,
        config: &ProcessMonitoringConfig,
        at: Timestamp,
    ) -> Vec<Notification> {
        let now = Instant::now();
        answers
            .into_iter()
            .for_each(|answer| self.answer(answer, at));
        let mut notifications = std::mem::take(&mut self.closed);
        for watched in self.watched.values_mut() {
            let reading = watched.is_running().then(|| watched.reading.clone());
            let times = (now, at);
            let alerts = &mut watched.alerts;
            notifications.extend(alerts.judge(&watched.name, reading.as_ref(), config, times));
        }
        notifications
    }

    fn answer(&mut self, answer: Answer, at: Timestamp) {
        let Some(watched) = self.watched.get_mut(&answer.asked.name) else {
            return;
        };
        // What has ended since it was asked for, or begun anew, is not what was read.
        let known = (watched.pid, watched.identity);
        if known != (Some(answer.asked.pid), answer.asked.identity) {
            return;
        }
        if watched.attached && matches!(answer.reading.root, None | Some(Life::Zombie)) {
            watched.end(Phase::Exited(Exit::unknown()), at);
            self.will_tell(ProcessLifecycle {
                process: answer.asked.name,
                at,
                state: ProcessState::Exited(Exit::unknown()),
            });
            return;
        }
        watched.identity = Some(answer.identity);
        watched.remembered = answer.remembered;
        watched.reading = answer.reading;
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

fn is_exit(state: &ProcessState) -> bool {
    matches!(state, ProcessState::Exited(_))
}

#[cfg(test)]
mod tests {
    use super::super::census::{Meter, survey};
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
        assert!(board.detach("it", Timestamp::UNIX_EPOCH));
        // Nor does it bring back a row that was taken away.
        board.lifecycle(&exited("it"));
        assert!(board.watched.is_empty());
    }

    #[test]
    fn what_was_read_of_a_process_is_not_said_of_the_one_that_has_begun_meanwhile() {
        let mut board = Board::default();
        let started = |pid| ProcessLifecycle {
            process: "it".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            state: ProcessState::Started { pid },
        };
        let this = std::process::id();
        board.lifecycle(&started(this));
        let asked = board.asks();
        let mut meter = Meter::default();
        let answers = survey(&mut meter, asked.clone());
        assert!(answers[0].reading.memory_bytes > 0);
        board.lifecycle(&exited("it"));
        board.lifecycle(&started(1));
        let config = ProcessMonitoringConfig::default();
        board.take_in(answers, &config, Timestamp::UNIX_EPOCH);
        let row = &board.dashboard("it", Timestamp::UNIX_EPOCH).rows[0];
        assert_eq!((row.pid, row.memory_bytes), (Some(1), 0));
        // And of one that goes on, it is.
        board.lifecycle(&started(this));
        let answers = survey(&mut meter, asked);
        board.take_in(answers, &config, Timestamp::UNIX_EPOCH);
        let row = &board.dashboard("it", Timestamp::UNIX_EPOCH).rows[0];
        assert!(row.memory_bytes > 0);
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

    /// What is told of a process so many seconds after 1970.
    fn told(second: i64, state: ProcessState) -> ProcessLifecycle {
        ProcessLifecycle {
            process: "it".to_owned(),
            at: Timestamp::from_second(second).unwrap(),
            state,
        }
    }

    fn unwell(second: i64, answer: &str) -> ServiceLifecycle {
        ServiceLifecycle {
            service: "it".to_owned(),
            at: Timestamp::from_second(second).unwrap(),
            state: ServiceState::Unhealthy {
                answer: answer.to_owned(),
            },
        }
    }

    #[test]
    fn what_began_before_it_could_be_seen_has_no_row_for_its_end() {
        let mut board = Board::default();
        let stopping = ProcessState::Stopping { signal: 15 };
        board.lifecycle(&told(1, stopping));
        board.lifecycle(&exited("it"));
        assert!(board.watched.is_empty());
        assert_eq!(board.unwatched, 0);
    }

    #[test]
    fn why_a_service_was_not_well_is_the_reason_of_the_restart_after_it_whenever_that_is_read() {
        let pid = std::process::id();
        let started = |second| told(second, ProcessState::Started { pid });
        let ended = |second| told(second, ProcessState::Exited(Exit::unknown()));
        let reason = |board: &Board| {
            board.watched["it"]
                .row(Timestamp::UNIX_EPOCH)
                .restart_reason
        };
        let mut board = Board::default();
        board.lifecycle(&started(10));
        board.lifecycle(&ended(20));
        board.lifecycle(&started(30));
        // Of the first one, and read when there was the second already.
        board.service(&unwell(19, "a fever"));
        assert_eq!(reason(&board).unwrap(), "unhealthy: a fever");
        // Of one before both: of no restart that is shown.
        board.service(&unwell(9, "a cold"));
        assert_eq!(reason(&board).unwrap(), "unhealthy: a fever");
        board.lifecycle(&ended(40));
        board.lifecycle(&started(50));
        assert_eq!(reason(&board).unwrap(), "ended in an unknown way");
        board.service(&unwell(59, "a cough"));
        board.lifecycle(&ended(60));
        board.lifecycle(&started(70));
        assert_eq!(reason(&board).unwrap(), "unhealthy: a cough");
    }

    #[test]
    fn one_that_is_detached_closes_its_alert() {
        let mut threshold = super::super::Threshold::above(0.0);
        threshold.hold = std::time::Duration::ZERO;
        let config = ProcessMonitoringConfig {
            processes: Some(threshold),
            ..ProcessMonitoringConfig::default()
        };
        let (mut board, now) = (Board::default(), Timestamp::UNIX_EPOCH);
        board.attach("it", std::process::id(), now).unwrap();
        let answers = survey(&mut Meter::default(), board.asks());
        assert_eq!(board.take_in(answers, &config, now).len(), 1);
        assert!(board.detach("it", now));
        let closed = board.take_in(Vec::new(), &config, now);
        assert_eq!(closed.len(), 1);
        assert_eq!(closed[0].title, "number of processes of it");
        assert_eq!(closed[0].message, "over: it is not watched any more");
        assert!(board.take_in(Vec::new(), &config, now).is_empty());
    }
}
