//! One process that is watched, as far as it is known.

use std::collections::HashSet;
use std::time::Duration;

use coord_bus::Timestamp;
use coord_bus::vocabulary::{DashboardRow, Exit, ProcessState};

use super::alerts::Alerts;
use super::census::{Identity, Life, Reading};

/// A process by its name, through all of its lives.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) name: String,
    pub(super) phase: Phase,
    /// Whether it was started elsewhere: nobody tells how it ends.
    pub(super) attached: bool,
    /// Its id, and who that is, once a census has said so.
    pub(super) pid: Option<u32>,
    pub(super) identity: Option<Identity>,
    pub(super) remembered: HashSet<Identity>,
    pub(super) reading: Reading,
    pub(super) alerts: Alerts,
    since: Timestamp,
    pub(super) ended: Option<Timestamp>,
    pub(super) health: Option<(bool, String)>,
    /// Why it is being stopped, if somebody said so.
    pub(super) reason: Option<String>,
    restarts: u64,
    restart_reason: Option<String>,
    pub(super) lines: u64,
    pub(super) last_line: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Phase {
    Running,
    Stopping,
    NotStarted,
    Exited(Exit),
}

impl Watched {
    pub(super) fn new(name: &str, at: Timestamp) -> Self {
        Self {
            name: name.to_owned(),
            phase: Phase::NotStarted,
            attached: false,
            pid: None,
            identity: None,
            remembered: HashSet::new(),
            reading: Reading::default(),
            alerts: Alerts::default(),
            since: at,
            ended: Some(at),
            health: None,
            reason: None,
            restarts: 0,
            restart_reason: None,
            lines: 0,
            last_line: None,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Stopping)
    }

    pub(super) fn observe(&mut self, state: &ProcessState, at: Timestamp) {
        match state {
            ProcessState::Started { pid } => self.start(*pid, None, at),
            ProcessState::Stopping { .. } if self.is_running() => self.phase = Phase::Stopping,
            ProcessState::NotStarted { error } => {
                self.end(Phase::NotStarted, at);
                self.last_line = Some(error.clone());
            }
            ProcessState::Exited(exit) => self.end(Phase::Exited(*exit), at),
            _ => {}
        }
    }

    pub(super) fn start(&mut self, pid: u32, identity: Option<Identity>, at: Timestamp) {
        if self.pid.is_some() || matches!(self.phase, Phase::Exited(_)) {
            self.restarts += 1;
            let ended = match &self.phase {
                Phase::Exited(exit) => exit.to_string(),
                _ => "its end was not told".to_owned(),
            };
            self.restart_reason = Some(self.reason.take().unwrap_or(ended));
        }
        self.phase = Phase::Running;
        self.attached = identity.is_some();
        self.pid = Some(pid);
        self.identity = identity;
        self.remembered.clear();
        self.health = None;
        self.reason = None;
        self.since = at;
        self.ended = None;
    }

    pub(super) fn end(&mut self, phase: Phase, at: Timestamp) {
        self.phase = phase;
        self.ended = Some(at);
        self.identity = None;
        self.reading = Reading::default();
        self.pid = None;
    }

    pub(super) fn row(&self, now: Timestamp) -> DashboardRow {
        let until = self.ended.unwrap_or(now);
        let uptime = until.duration_since(self.since);
        DashboardRow {
            name: self.name.clone(),
            state: self.state(),
            pid: self.pid,
            health: self.health.clone(),
            uptime: Duration::try_from(uptime).unwrap_or_default(),
            processes: self.reading.processes,
            suspended: self.reading.suspended,
            zombies: self.reading.zombies,
            cpu_percent: self.reading.cpu_percent,
            memory_bytes: self.reading.memory_bytes,
            restarts: self.restarts,
            restart_reason: self.restart_reason.clone(),
            lines: self.lines,
            last_line: self.last_line.clone(),
        }
    }

    fn state(&self) -> String {
        match (&self.phase, self.reading.root) {
            (Phase::Exited(exit), _) => exit.to_string(),
            (Phase::NotStarted, _) => "not started".to_owned(),
            (_, Some(Life::Suspended)) => "suspended".to_owned(),
            (_, Some(Life::Zombie)) => "zombie".to_owned(),
            (Phase::Stopping, _) => "stopping".to_owned(),
            (Phase::Running, _) => "running".to_owned(),
        }
    }
}
