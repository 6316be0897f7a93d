//! What is known of one step or service.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use coordination::bus::Timestamp;
use coordination::bus::time::Instant;
use coordination::bus::vocabulary::{Exit, ProcessOutput};

use coordination::workflow::{Progress, StepPhase, StepView};

use super::lived::Life;
use super::scrollback::{Bounds, Scrollback};
use crate::file::{Items, Resources, Unit};
use crate::process_name::{is_hook, is_item, step_of, undo_name};

/// One step or service.
pub(crate) struct Row {
    pub(crate) id: String,
    /// Where the file has it.
    pub(crate) at: String,
    pub(crate) is_service: bool,
    pub(crate) optional: bool,
    /// What it needs, as places among the rows.
    pub(crate) needs: Vec<usize>,
    /// What it needs any of.
    pub(crate) needs_any: Vec<usize>,
    /// What it takes of the resources of the file.
    pub(crate) resources: Resources,
    pub(crate) state: State,
    /// When its state began, or its work if that is what its state is about.
    pub(crate) since: Instant,
    /// When it was started last.
    pub(crate) started: Option<Timestamp>,
    /// When it was started first, while somebody looked.
    pub(crate) began: Option<Instant>,
    /// When what needs it could begin: a service was ready first, a step over.
    pub(crate) released: Option<Instant>,
    /// When it was over, if it is.
    pub(crate) ended: Option<Instant>,
    /// When a service began and ended, while somebody looked.
    pub(crate) life: Life,
    /// How long it took, once it has ended.
    pub(crate) took: Option<Duration>,
    pub(crate) attempt: u32,
    pub(crate) attempts_max: u32,
    /// How often a service was started.
    pub(crate) incarnation: u32,
    /// The process that runs.
    pub(crate) pid: Option<u32>,
    /// How its last process ended; of items, one that failed.
    pub(crate) exit: Option<Exit>,
    /// What its probe was answered last.
    pub(crate) answer: Option<String>,
    /// What there is to say of its state.
    pub(crate) remark: String,
    /// Since when it is being undone, if it is.
    pub(crate) undoing: Option<Instant>,
    /// Since when a hook of it runs, if one does.
    pub(crate) hook: Option<Instant>,
    /// How many items of its list are done, of how many, as far as that is known.
    pub(crate) parts: Option<(usize, usize)>,
    /// The processes that run for items of its list.
    pub(crate) items: BTreeSet<String>,
    /// Whether it was undone, once that has been tried.
    pub(crate) undone: Option<bool>,
    /// What it waits for, where that is all it does.
    pub(crate) waits: Option<String>,
    /// The signal for which it waits, where that is all it does.
    pub(crate) signal: Option<String>,
    pub(crate) output: Scrollback,
    /// How many lines it has printed, also those that are not kept.
    pub(crate) lines: u64,
    /// When it printed its last line.
    pub(crate) printed: Option<Instant>,
    /// The process that printed it, and for which attempt.
    printer: Option<(u32, u32)>,
    /// The name of the process that printed the last line that was not its own.
    other: Option<Arc<str>>,
    /// When its state began, if anything has happened.
    turned: Option<Timestamp>,
}

/// When something happened, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct When {
    pub(super) at: Timestamp,
    pub(super) instant: Instant,
}

impl When {
    /// So long after it; at once, where that is longer than any clock goes on, as nobody waits for so long.
    pub(super) fn after(self, wait: Duration) -> Instant {
        self.instant.checked_add(wait).unwrap_or(self.instant)
    }
}

/// Where a step or a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// For what it needs, or for a place.
    Waiting,
    /// A step, under way.
    Running,
    /// A step that has failed, and is tried again.
    Retrying { until: Instant },
    /// A step of which every attempt has failed: the run is to be continued.
    Paused,
    /// A service that is not ready yet.
    Starting,
    /// A service that can do its work.
    Ready,
    /// A service that has failed, and is started again.
    Restarting { until: Instant },
    /// It was asked to stop.
    Stopping,
    /// A step that succeeded.
    Done,
    /// It failed for good.
    Failed,
    /// A service that was stopped, or ended well.
    Stopped,
    /// A step that is not to run.
    Skipped,
    /// It was stopped, because the run ends.
    Cancelled,
    /// It never began.
    NotRun,
}

impl State {
    /// Whether a process of it may be running.
    pub(crate) fn is_under_way(self) -> bool {
        matches!(
            self,
            Self::Running | Self::Starting | Self::Ready | Self::Stopping
        )
    }

    /// Whether nothing more happens to it by itself.
    pub(crate) fn is_over(self) -> bool {
        matches!(
            self,
            Self::Done
                | Self::Failed
                | Self::Stopped
                | Self::Skipped
                | Self::Cancelled
                | Self::NotRun
        )
    }

    /// In a word or two.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Retrying { .. } => "retrying",
            Self::Paused => "paused",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Restarting { .. } => "restarting",
            Self::Stopping => "stopping",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
            Self::NotRun => "not run",
        }
    }
}

impl Row {
    /// A process of it begins: its own, one for an item, a hook, or what undoes it.
    pub(super) fn begins(&mut self, process: &str, pid: u32, at: When) {
        // Of a run that goes on elsewhere the ids of processes may not be known, and are 0.
        let pid = (pid > 0).then_some(pid);
        match is_item(process) {
            true if pid.is_some() => drop(self.items.insert(process.to_owned())),
            true => {}
            false => self.pid = pid,
        }
        if is_hook(process) {
            self.hook = Some(at.instant);
        }
        // Who looks on sees only when its process began, not when the undoing did.
        let is_earlier = |since: &&mut Instant| at.instant < **since;
        if process == undo_name(&self.id)
            && let Some(since) = self.undoing.as_mut().filter(is_earlier)
        {
            *since = at.instant;
        }
        // A step that is restarted goes on with the same attempt, of which nobody tells.
        if self.state == State::Stopping && !self.is_service {
            self.turn(at, State::Running);
        }
    }

    /// A process of it is gone, or never was.
    pub(super) fn is_without(&mut self, process: &str) {
        match is_item(process) {
            true => drop(self.items.remove(process)),
            false => self.pid = None,
        }
        if is_hook(process) {
            self.hook = None;
        }
    }

    /// Whether a process of it runs.
    pub(super) fn has_process(&self) -> bool {
        self.pid.is_some() || !self.items.is_empty()
    }

    /// A process of it has ended.
    pub(super) fn ended_with(&mut self, process: &str, exit: Exit) {
        let has_failed = self.exit.is_some_and(|exit| !exit.is_success());
        // What undoes it, and hooks, are no process of the step itself.
        if process == self.id || is_item(process) && step_of(process) == self.id && !has_failed {
            self.exit = Some(exit);
        }
    }

    /// Of a unit that needs all of `needs`, and any of `needs_any`.
    pub(super) fn new(
        unit: &Unit,
        needs: Vec<usize>,
        needs_any: Vec<usize>,
        bounds: Bounds,
    ) -> Self {
        let step = unit.step();
        let retry = step.and_then(|step| step.retry);
        Self {
            id: unit.id.clone(),
            at: String::new(),
            is_service: step.is_none(),
            optional: step.is_some_and(|step| step.optional),
            needs,
            needs_any,
            resources: step.map_or_else(Resources::new, |step| step.resources.clone()),
            state: State::Waiting,
            since: Instant::now(),
            started: None,
            began: None,
            released: None,
            ended: None,
            life: Life::default(),
            took: None,
            attempt: 0,
            attempts_max: retry.map_or(1, |retry| retry.max_attempts.get()),
            incarnation: 0,
            pid: None,
            exit: None,
            answer: None,
            remark: String::new(),
            undoing: None,
            hook: None,
            parts: unit.each().and_then(|each| match &each.items {
                Items::Listed(items) => Some((0, items.len())),
                _ => None,
            }),
            items: BTreeSet::new(),
            undone: None,
            waits: unit.waits(),
            signal: unit.signal().map(str::to_owned),
            output: Scrollback::new(bounds),
            lines: 0,
            printed: None,
            printer: None,
            other: None,
            turned: None,
        }
    }

    /// What became of it before the run was taken up; what is to be done again is told. In a run that had not
    /// finished what is over `stays` so. Where somebody looks on while the run goes on elsewhere,
    /// `since` so long, also what is under way.
    pub(super) fn before(&mut self, step: &StepView, since: Option<Duration>, stays: bool) {
        if let Some(Progress::Items { done, of }) = step.progress {
            self.parts = Some((done, of));
        }
        self.state = match (step.phase, since) {
            // Of a service that was ready nothing runs any more.
            (StepPhase::Completed, _) if self.is_service => State::Stopped,
            (StepPhase::Completed, _) => State::Done,
            (StepPhase::Skipped, _) => State::Skipped,
            (StepPhase::Running, Some(_)) => State::Running,
            (StepPhase::Exhausted, _) if stays => State::Paused,
            (StepPhase::Failed, _) if stays => State::Failed,
            (StepPhase::Undone | StepPhase::NotUndone, _) if stays => State::Done,
            (StepPhase::Cancelled, _) if stays && step.attempts == 0 => State::NotRun,
            (StepPhase::Cancelled, _) if stays => State::Cancelled,
            (StepPhase::Retrying, Some(since)) => State::Retrying {
                until: self.since + step.ended.unwrap_or_default().saturating_sub(since),
            },
            _ => return,
        };
        self.undone = match step.phase {
            StepPhase::Undone => Some(true),
            StepPhase::NotUndone => Some(false),
            _ => None,
        };
        self.attempt = step.attempts;
        self.remark = match (self.undone, &step.error) {
            (Some(true), _) => "undone".to_owned(),
            (Some(false), Some(error)) => format!("not undone: {error}"),
            (_, error) => error.clone().unwrap_or_default(),
        };
        let ended = step.ended.zip(step.started);
        let ended = ended.filter(|_| !self.is_service && self.state.is_over());
        self.took = ended.map(|(ended, started)| ended.saturating_sub(started));
        if self.state == State::Running
            && let Some(waits) = &self.waits
        {
            self.remark.clone_from(waits);
        }
        let now = self.since;
        self.undoing = step
            .is_being_undone
            .then_some(now)
            .filter(|_| since.is_some());
        // Times of a run that goes on, from its beginning on.
        let at = |offset: Option<Duration>| now.checked_sub(since?.saturating_sub(offset?));
        self.began = at(step.started);
        self.ended = at(step.ended).filter(|_| self.state.is_over());
        self.released = at(step.ended).filter(|_| step.phase.is_over());
        self.since = self.began.unwrap_or(now);
    }

    /// When it was started last, or, once it has failed, when it did; as far as somebody looked.
    pub(crate) fn happened(&self) -> Option<Timestamp> {
        match self.state {
            State::Failed => self.turned,
            _ => self.started,
        }
    }

    /// Enters a state.
    pub(super) fn turn(&mut self, when: When, state: State) {
        let When { at, instant: now } = when;
        self.turned = Some(at);
        if matches!(state, State::Running | State::Starting) {
            self.started = Some(at);
            self.began.get_or_insert(now);
        }
        match state {
            State::Starting => self.life.start(at),
            State::Ready => _ = self.life.ready.get_or_insert(at),
            _ if state.is_over() => self.life.ended = Some(at),
            _ => {}
        }
        self.ended = state.is_over().then_some(now);
        if state == State::Ready || state.is_over() && !self.is_service {
            self.released.get_or_insert(now);
        }
        // What is being stopped is still at what it was at.
        let begins = !matches!(state, State::Stopping) && !state.is_over();
        if state.is_over() && self.took.is_none() {
            let began = self.began.filter(|_| self.is_service);
            self.took = (self.attempt > 0).then(|| now - began.unwrap_or(self.since));
        }
        if begins {
            // Another attempt is more of the same, as the summary has it.
            let first = self.began.filter(|_| !self.is_service && self.attempt > 0);
            self.since = first.unwrap_or(now);
            self.took = None;
        }
        self.state = state;
    }

    pub(super) fn print(&mut self, output: &ProcessOutput, arrival: u64) {
        let printer = (output.pid, output.attempt);
        let again = self.printer.replace(printer);
        let is_another = again.is_some_and(|again| again != printer);
        // Items of a list print side by side.
        if is_another && !is_item(&output.process) {
            self.output.part();
        }
        self.printed = Some(Instant::now());
        self.lines += 1;
        let by = self.other(&output.process);
        self.output.push(&output.line, arrival, by);
    }

    /// The name of a process of an item, a hook or what undoes it.
    fn other(&mut self, process: &str) -> Option<Arc<str>> {
        if process == self.id {
            return None;
        }
        if self.other.as_deref() != Some(process) {
            self.other = Some(process.into());
        }
        self.other.clone()
    }

    /// How long a step took that is over: all its attempts, with the waits between them.
    pub(super) fn took_in_all(&self, last: Duration) -> Duration {
        let began = self.began.filter(|_| self.attempt > 1);
        began.map_or(last, |began| began.elapsed().max(last))
    }

    /// Where it is, in a word or two.
    pub(crate) fn word(&self) -> &'static str {
        match (self.undoing, self.undone) {
            (Some(_), _) => "undoing",
            (None, Some(true)) => "undone",
            (None, Some(false)) => "not undone",
            (None, None) => self.state.name(),
        }
    }

    /// How long it has been in its state, or took.
    pub(crate) fn elapsed(&self) -> Option<Duration> {
        if let Some(since) = self.undoing {
            return Some(since.elapsed());
        }
        match self.state {
            State::Waiting | State::Skipped | State::NotRun => None,
            state if state.is_over() => self.took,
            _ => Some(self.since.elapsed()),
        }
    }
}
