//! One process that is watched, as far as it is known.

use std::collections::HashSet;
use std::time::Duration;

use coord_bus::Timestamp;
use coord_bus::vocabulary::{DashboardRow, Exit, ProcessState};

use super::alerts::Alerts;
use super::census::{Identity, Life, Reading, living};

/// How many others of its name that run beside one are known; beyond that the first is forgotten.
const MAX_OTHERS: usize = 64;

/// A process by its name, through all of its lives.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) name: String,
    pub(super) phase: Phase,
    /// Whether it was started elsewhere: nobody tells how it ends.
    pub(super) attached: bool,
    /// Its id, and who that is, once a census has said so.
    pub(super) pid: Option<u32>,
    /// The ids of those that were started under its name before it, and have not ended.
    others: Vec<u32>,
    pub(super) identity: Option<Identity>,
    pub(super) remembered: HashSet<Identity>,
    pub(super) reading: Reading,
    pub(super) alerts: Alerts,
    since: Timestamp,
    /// When the one before it was started, of whose end it is the restart.
    before: Option<Timestamp>,
    pub(super) ended: Option<Timestamp>,
    pub(super) health: Option<(bool, String)>,
    /// Why it is being stopped, if somebody said so.
    reason: Option<String>,
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
            others: Vec::new(),
            identity: None,
            remembered: HashSet::new(),
            reading: Reading::default(),
            alerts: Alerts::default(),
            since: at,
            before: None,
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
            ProcessState::Exited(exit) => self.exited(*exit, at),
            _ => {}
        }
    }

    /// One of its name has ended. Which one is not told: where there were several, those that live are asked.
    pub(super) fn exited(&mut self, exit: Exit, at: Timestamp) {
        if self.others.is_empty() {
            return self.end(Phase::Exited(exit), at);
        }
        let lives = |pid: &u32| living(*pid).is_some();
        self.others.retain(lives);
        if self.pid.as_ref().is_some_and(lives) {
            return;
        }
        match self.others.pop() {
            Some(other) => self.is_now(other, None),
            None => self.end(Phase::Exited(exit), at),
        }
    }

    /// Why it is not well, as somebody said at that time: of this one, or of the one before it.
    pub(super) fn blame(&mut self, reason: String, at: Timestamp) {
        if at >= self.since {
            self.reason = Some(reason);
        } else if self.before.is_some_and(|before| at >= before) {
            self.restart_reason = Some(reason);
        }
    }

    /// From here on the row is of this process.
    fn is_now(&mut self, pid: u32, identity: Option<Identity>) {
        self.phase = Phase::Running;
        self.attached = identity.is_some();
        self.pid = Some(pid);
        self.identity = identity;
        self.remembered.clear();
        self.reading = Reading::default();
    }

    pub(super) fn start(&mut self, pid: u32, identity: Option<Identity>, at: Timestamp) {
        let lives = |pid: &u32| living(*pid).is_some();
        if let Some(other) = self.pid.filter(lives).filter(|_| !self.attached) {
            // It runs beside that one, and is the one that is shown.
            if self.others.len() == MAX_OTHERS {
                self.others.remove(0);
            }
            self.others.push(other);
        } else if self.pid.is_some() || matches!(self.phase, Phase::Exited(_)) {
            self.restarts += 1;
            let ended = match &self.phase {
                Phase::Exited(exit) => exit.to_string(),
                _ => "its end was not told".to_owned(),
            };
            self.restart_reason = Some(self.reason.take().unwrap_or(ended));
            self.before = Some(self.since);
        }
        self.is_now(pid, identity);
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
        self.others.clear();
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
