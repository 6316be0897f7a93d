//! What is known of a run: a row for each step and service, fed by what the bus tells.
//!
//! Plain data, without a terminal: the screens draw it, the summary reads the last lines from it.

mod critical;
mod lived;
mod row;
mod scrollback;
mod tails;
mod why;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use coordination::bus::Timestamp;
use coordination::bus::time::{Clock, Instant, SystemClock};
use coordination::bus::vocabulary::{
    ErrorRecovery, Exit, ProcessHealth, ProcessLifecycle, ProcessOutput, ProcessState, Recovery,
    ServiceLifecycle, ServiceState, Transition, WorkflowEvent,
};

use coordination::workflow::{RunState, RunView};

use crate::file::{Resources, WorkflowFile};
use crate::labels::Labels;
use crate::process_name::{hook_name, is_item, item_place, step_of};
pub(crate) use lived::{Life, Lived, between};
use row::When;
pub(crate) use row::{Row, State};
pub(crate) use scrollback::{Bounds, Scrollback};
use tails::{Tail, Tails};

/// Why a service is not started: unlike a step it has no condition.
pub(crate) const UNNEEDED: &str = "no step that runs needs it";

/// Everything that is known of a run.
pub(crate) struct Board {
    pub(crate) workflow: String,
    /// Its file, where that is of a folder above and nobody has named it.
    pub(crate) above: Option<String>,
    /// The id of the run, once something has happened in it.
    pub(crate) run: String,
    /// How many steps run and services start at once at most.
    pub(crate) concurrency: usize,
    /// The steps and services, in the order of the file.
    pub(crate) rows: Vec<Row>,
    /// How many permits there are of each resource.
    resources: Resources,
    /// Whether no step begins until the run is continued.
    pub(crate) is_paused: bool,
    /// Whether all steps are over, and the run stays for its services.
    pub(crate) is_up: bool,
    /// Since when a hook of the run runs, if one does.
    hook: Option<Instant>,
    /// How the run's steps ended, once they have.
    pub(crate) outcome: Option<String>,
    pub(crate) started: Instant,
    /// How long it all took, once the steps have ended.
    pub(crate) took: Option<Duration>,
    /// How many lines all processes have printed.
    pub(crate) arrived: u64,
    /// What items are called.
    pub(crate) labels: Arc<Labels>,
    tails: Tails,
    places: HashMap<String, usize>,
    /// Whether the run goes on elsewhere: what happens is told later than it does.
    looks_on: bool,
}

impl Board {
    /// Nothing has happened yet. `bounds` are those of each row's output.
    pub(crate) fn new(file: &WorkflowFile, bounds: Bounds, labels: Arc<Labels>) -> Self {
        let ids = file.units.iter().map(|unit| unit.id.clone());
        let places: HashMap<String, usize> = ids.zip(0..).collect();
        let rows = file.units.iter().map(|unit| {
            let places = |ids: &[String]| -> Vec<usize> {
                ids.iter()
                    .filter_map(|id| places.get(id).copied())
                    .collect()
            };
            let (needs, needs_any) = (places(&unit.needs), places(&unit.needs_any));
            let mut row = Row::new(unit, needs, needs_any, bounds);
            row.at = format!("{}:{}", file.path(), file.place(unit));
            row
        });
        Self {
            workflow: file.name.clone(),
            above: file.is_above.then(|| file.path().to_owned()),
            run: String::new(),
            concurrency: file.concurrency.map_or(usize::MAX, usize::from),
            rows: rows.collect(),
            resources: file.resources.clone(),
            is_paused: false,
            is_up: false,
            hook: None,
            outcome: None,
            started: Instant::now(),
            took: None,
            arrived: 0,
            labels,
            tails: Tails::default(),
            places,
            looks_on: false,
        }
    }

    /// Where the steps are in a run that is taken up, or goes on elsewhere: nothing is told of what
    /// happened before.
    pub(crate) fn before(&mut self, run: &RunView) {
        self.looks_on = run.state == RunState::Running;
        let since = self.looks_on.then(|| {
            let since = SystemClock.now().duration_since(run.started_at);
            Duration::try_from(since).unwrap_or_default()
        });
        let began = since.and_then(|since| self.started.checked_sub(since));
        self.started = began.unwrap_or(self.started);
        for (row, step) in self.rows.iter_mut().zip(&run.steps) {
            let stays = !matches!(run.state, RunState::Finished(_));
            row.before(step, since, stays);
            if self.looks_on {
                row.started = step.started.map(|started| run.started_at + started);
            }
        }
    }

    /// The row of a process: of the step or service that it is of, or whose undoing or hook it is.
    pub(crate) fn place(&self, process: &str) -> Option<usize> {
        self.places.get(step_of(process)).copied()
    }

    /// Whether a step waits for its next attempt.
    pub(crate) fn retries(&self, step: &str) -> bool {
        let row = self.place(step).map(|place| &self.rows[place]);
        row.is_some_and(|row| matches!(row.state, State::Retrying { .. }))
    }

    /// Whether it is a service that has ended, in a run that goes on.
    pub(crate) fn may_start_again(&self, row: &Row) -> bool {
        let has_ended = matches!(row.state, State::Stopped | State::Failed);
        row.is_service && has_ended && self.outcome.is_none()
    }

    /// Whether something of the run is still to come: it has not ended, or services are still being stopped.
    pub(crate) fn runs_on(&self) -> bool {
        self.outcome.is_none() || self.rows.iter().any(|row| !row.state.is_over())
    }

    /// Whether a step of it is being undone.
    pub(crate) fn is_undoing(&self) -> bool {
        self.rows.iter().any(|row| row.undoing.is_some())
    }

    /// Since when a hook of the run runs, if one does.
    pub(crate) fn hook(&self) -> Option<Instant> {
        self.hook.filter(|_| self.outcome.is_none())
    }

    /// Whether a step or service is over.
    pub(crate) fn has_ended(&self, id: &str) -> bool {
        self.place(id)
            .is_some_and(|place| self.rows[place].state.is_over())
    }

    /// When something happened.
    fn when(&self, at: Timestamp) -> When {
        let now = Instant::now();
        // Less than nothing where the clock was set meanwhile.
        let ago = self.looks_on.then(|| SystemClock.now().duration_since(at));
        let ago = ago.and_then(|ago| Duration::try_from(ago).ok());
        let instant = ago.and_then(|ago| now.checked_sub(ago));
        When {
            at,
            instant: instant.unwrap_or(now),
        }
    }

    fn row(&mut self, process: &str) -> Option<&mut Row> {
        let place = self.place(process)?;
        self.rows.get_mut(place)
    }

    /// What a process printed last: the attempt, or the hooks, that failed, or else the last of them.
    pub(crate) fn tail(&self, process: &str, lines: usize) -> impl Iterator<Item = &str> {
        let tails = self.tails.of(process);
        tails.flat_map(move |tail| tail.last(lines))
    }

    /// How a process ended that did not end well, if it has.
    pub(crate) fn exit(&self, process: &str) -> Option<Exit> {
        self.tails.of(process).find_map(Tail::exit)
    }

    /// The processes for items of a step that did not end well, in the order of its list.
    pub(crate) fn unwell_items(&self, step: &str) -> Vec<&str> {
        let of = |process: &str| is_item(process) && step_of(process) == step;
        let mut items: Vec<&str> = self.tails.unwell(of).collect();
        items.sort_unstable_by_key(|process| item_place(process));
        items
    }

    pub(crate) fn output(&mut self, output: &ProcessOutput) {
        self.arrived += 1;
        let arrival = self.arrived;
        self.tails.print(output, arrival);
        if let Some(row) = self.row(&output.process) {
            row.print(output, arrival);
        }
    }

    /// A process printed so many lines more, which somebody else has let go already.
    pub(crate) fn skipped(&mut self, process: &str, lines: u64) {
        self.arrived += lines;
        if let Some(row) = self.row(process) {
            row.lines += lines;
        }
    }

    pub(crate) fn lifecycle(&mut self, event: &ProcessLifecycle) {
        self.tails.lifecycle(event);
        let at = self.when(event.at);
        if event.process == hook_name(None) {
            match event.state {
                ProcessState::Started { .. } => self.hook = Some(at.instant),
                ProcessState::NotStarted { .. } | ProcessState::Exited(_) => self.hook = None,
                _ => {}
            }
        }
        let Some(row) = self.row(&event.process) else {
            return;
        };
        match event.state {
            ProcessState::Started { pid } => row.begins(&event.process, pid, at),
            ProcessState::Stopping { .. } if row.has_process() && row.state.is_under_way() => {
                row.turn(at, State::Stopping);
            }
            ProcessState::NotStarted { .. } => row.is_without(&event.process),
            ProcessState::Exited(exit) => {
                row.is_without(&event.process);
                row.ended_with(&event.process, exit);
            }
            _ => {}
        }
    }

    pub(crate) fn is_service(&self, id: &str) -> bool {
        let mut rows = self.rows.iter();
        rows.any(|row| row.is_service && row.id == id)
    }

    pub(crate) fn health(&mut self, event: &ProcessHealth) {
        if let Some(row) = self.row(&event.process) {
            row.answer = Some(event.answer.clone());
        }
    }

    pub(crate) fn service(&mut self, event: &ServiceLifecycle) {
        let at = self.when(event.at);
        let Some(row) = self.row(&event.service) else {
            return;
        };
        match &event.state {
            ServiceState::Starting => {
                row.incarnation += 1;
                row.answer = None;
                row.turn(at, State::Starting);
            }
            ServiceState::Ready { .. } => {
                row.remark.clear();
                row.turn(at, State::Ready);
            }
            ServiceState::NotReady { answer } => {
                row.remark = format!("did not become ready: {answer}");
                row.turn(at, State::Stopping);
            }
            ServiceState::Unhealthy { answer } => {
                row.remark = format!("is not well: {answer}");
                row.turn(at, State::Stopping);
            }
            ServiceState::Ended { exit, asked } => {
                let is_well = *asked || exit.is_some_and(Exit::is_success);
                if let Some(exit) = exit.filter(|_| !*asked && row.state != State::Stopping) {
                    row.remark = exit.to_string();
                }
                let state = if is_well {
                    State::Stopped
                } else {
                    State::Failed
                };
                row.turn(at, state);
            }
            _ => {}
        }
    }

    pub(crate) fn recovery(&mut self, event: &ErrorRecovery) {
        let at = self.when(event.at);
        let Some(row) = self.row(&event.source) else {
            return;
        };
        match &event.progress {
            Recovery::Attempting { wait, .. } => {
                let until = at.after(*wait);
                row.turn(at, State::Restarting { until });
            }
            Recovery::GaveUp { reason, .. } => {
                row.remark.clone_from(reason);
                row.turn(at, State::Failed);
            }
            _ => {}
        }
    }

    pub(crate) fn workflow(&mut self, event: &WorkflowEvent) {
        if self.run.is_empty() {
            self.run.clone_from(&event.run);
        }
        match &event.transition {
            Transition::RunStarted { .. } => self.started = Instant::now(),
            Transition::RunUp => self.is_up = true,
            Transition::RunFinished { outcome, duration } => {
                self.is_up = false;
                self.outcome = Some(outcome.clone());
                self.took = Some(*duration);
            }
            transition => self.step(event.at, transition),
        }
    }

    fn step(&mut self, at: Timestamp, transition: &Transition) {
        let at = self.when(at);
        let Some(row) = transition.step().and_then(|step| self.row(step)) else {
            return;
        };
        match transition {
            // A service that is ready says so itself, and goes on.
            Transition::StepCompleted { .. } if row.is_service => {}
            Transition::StepStarted { attempt, .. } => {
                row.attempt = *attempt;
                row.exit = None;
                row.remark = row.waits.clone().unwrap_or_default();
                row.turn(
                    at,
                    if row.is_service {
                        State::Starting
                    } else {
                        State::Running
                    },
                );
            }
            Transition::PartCompleted { of, .. } => {
                let done = row.parts.map_or(0, |(done, _)| done);
                row.parts = Some(((done + 1).min(*of), *of));
            }
            Transition::StepRetrying { error, wait, .. } => {
                row.remark.clone_from(error);
                let until = at.after(*wait);
                row.turn(at, State::Retrying { until });
            }
            Transition::StepCompleted { duration, .. } => {
                row.remark.clear();
                row.turn(at, State::Done);
                row.took = Some(row.took_in_all(*duration));
            }
            Transition::StepFailed {
                error, duration, ..
            } => {
                row.remark.clone_from(error);
                row.turn(at, State::Failed);
                row.took = Some(row.took_in_all(*duration));
            }
            Transition::StepExhausted { error, .. } => {
                row.remark.clone_from(error);
                row.turn(at, State::Paused);
            }
            Transition::StepSkipped { .. } if row.is_service => {
                UNNEEDED.clone_into(&mut row.remark);
                row.turn(at, State::Skipped);
            }
            Transition::StepSkipped { reason, .. } => {
                row.remark.clone_from(reason);
                row.turn(at, State::Skipped);
            }
            // One that is up is stopped like any other, and says so.
            Transition::StepCancelled { .. } if row.is_service && row.incarnation > 0 => {}
            Transition::StepCancelled { .. } => {
                let state = if row.attempt == 0 {
                    State::NotRun
                } else {
                    State::Cancelled
                };
                row.turn(at, state);
            }
            Transition::CompensationStarted { .. } => {
                row.undoing = Some(at.instant);
                "is being undone".clone_into(&mut row.remark);
            }
            Transition::CompensationCompleted { .. } => {
                row.undoing = None;
                row.undone = Some(true);
                "undone".clone_into(&mut row.remark);
            }
            Transition::CompensationFailed { error, .. } => {
                row.undoing = None;
                row.undone = Some(false);
                row.remark = format!("not undone: {error}");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_happens_after_a_clock_was_set_back_counts_as_what_happened_before() {
        let file = b"[[service]]\nid = 'db'\nrun = 'x'\n[[step]]\nid = 'a'\nrun = 'x'\n";
        let file = WorkflowFile::parse(Path::new("a.toml"), file).expect("it is right");
        let labels = Arc::new(Labels::of(&file));
        let mut board = Board::new(&file, Bounds::NOTHING, labels);
        let at = |second| Timestamp::from_second(second).expect("it is a time");
        for (second, state) in [
            (100, ServiceState::Starting),
            (
                40,
                ServiceState::Ended {
                    exit: Some(Exit::code(7)),
                    asked: false,
                },
            ),
        ] {
            board.service(&ServiceLifecycle {
                service: "db".to_owned(),
                at: at(second),
                state,
            });
        }
        assert_eq!(board.rows[0].state, State::Failed);
        assert_eq!(board.rows[0].happened(), Some(at(40)));
    }
}
