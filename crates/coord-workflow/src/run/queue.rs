//! What is to be done next in a run: plain data under one lock, with no waiting in it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use coord_bus::BoxFuture;

use super::Shared;
use crate::outcome::{SkipReason, Status, StepReport, StepState};
use crate::plan::{Output, Plan};

/// A step under way.
pub(super) type Running = BoxFuture<'static, Ended>;

/// How a step came to its end.
pub(super) struct Ended {
    pub(super) state: StepState,
    pub(super) output: Option<Output>,
    pub(super) attempts: u32,
    /// From the beginning of the run.
    pub(super) started: Duration,
    pub(super) duration: Duration,
}

/// Where a step is.
enum Phase {
    /// It waits for this many steps, or for its turn.
    Waiting(usize),
    /// Somebody polls it; `woken` meanwhile or not.
    Polled { woken: bool },
    /// It waits for its waker.
    Parked(Running),
    /// It was woken, and waits for somebody to poll it.
    Woken(Running),
    /// It has come to its end.
    Ended(Ended),
    /// It never began, because the run ended.
    NeverStarted,
}

/// What to do next.
pub(super) enum Job {
    /// Begin this step.
    Begin(usize),
    /// Go on with this one.
    Resume(usize, Running),
}

pub(super) struct Queue {
    phases: Vec<Phase>,
    ready: VecDeque<usize>,
    woken: VecDeque<usize>,
    /// Steps that have begun and not ended.
    under_way: usize,
    limit: usize,
    /// Steps that have not come to their end.
    left: usize,
    /// In the order in which they completed.
    completed: Vec<usize>,
    /// Set when no further step may begin.
    stopped: Option<Status>,
    /// Set when the run was aborted: nothing in it is polled any more.
    abandoned: bool,
    /// The driver and its helpers, as far as they have nothing to do.
    pub(super) idle: Vec<Waker>,
    pub(super) helpers: usize,
}

impl Queue {
    pub(super) fn new(plan: &Plan, limit: usize) -> Self {
        let needs = plan.steps.iter().map(|step| step.needs.len());
        let ready = needs.clone().enumerate().filter(|(_, needs)| *needs == 0);
        Self {
            ready: ready.map(|(step, _)| step).collect(),
            phases: needs.map(Phase::Waiting).collect(),
            woken: VecDeque::new(),
            under_way: 0,
            limit,
            left: plan.steps.len(),
            completed: Vec::new(),
            stopped: None,
            abandoned: false,
            idle: Vec::new(),
            helpers: 0,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.abandoned || self.left == 0 || (self.stopped.is_some() && self.under_way == 0)
    }

    /// How the run ends, once it is over.
    pub(super) fn status(&self) -> Status {
        self.stopped.unwrap_or(Status::Completed)
    }

    /// What to do next, and whether somebody else could do something, too.
    pub(super) fn next_and_more(&mut self) -> Option<(Job, bool)> {
        let job = self.next()?;
        Some((job, !self.woken.is_empty() || self.may_begin()))
    }

    fn may_begin(&self) -> bool {
        !self.ready.is_empty() && self.under_way < self.limit && self.stopped.is_none()
    }

    /// What has been woken goes before what has not begun: it may hold what others wait for.
    fn next(&mut self) -> Option<Job> {
        if let Some(step) = self.woken.pop_front() {
            let polled = Phase::Polled { woken: false };
            if let Phase::Woken(running) = std::mem::replace(&mut self.phases[step], polled) {
                return Some(Job::Resume(step, running));
            }
        }
        if !self.may_begin() {
            return None;
        }
        let step = self.ready.pop_front()?;
        self.phases[step] = Phase::Polled { woken: false };
        self.under_way += 1;
        Some(Job::Begin(step))
    }

    /// A step that was polled is not done. It comes back, to be dropped, when nobody will poll it
    /// again.
    pub(super) fn park(&mut self, step: usize, running: Running) -> Option<Running> {
        if self.abandoned {
            return Some(running);
        }
        let woken = matches!(self.phases[step], Phase::Polled { woken: true });
        self.phases[step] = if woken {
            self.woken.push_back(step);
            Phase::Woken(running)
        } else {
            Phase::Parked(running)
        };
        None
    }

    /// A step was woken. Whether somebody should be, to poll it.
    pub(super) fn wake(&mut self, step: usize) -> bool {
        let phase = &mut self.phases[step];
        match std::mem::replace(phase, Phase::NeverStarted) {
            Phase::Parked(running) => {
                *phase = Phase::Woken(running);
                self.woken.push_back(step);
                true
            }
            Phase::Polled { .. } => {
                *phase = Phase::Polled { woken: true };
                false
            }
            other => {
                *phase = other;
                false
            }
        }
    }

    /// A step has come to its end: those that waited only for it may begin. Whether the run is
    /// to be stopped for it.
    pub(super) fn end(&mut self, plan: &Plan, step: usize, ended: Ended) -> bool {
        self.under_way -= 1;
        self.left -= 1;
        let mut stops = false;
        match &ended.state {
            StepState::Completed => self.completed.push(step),
            StepState::Failed(_) if !plan.steps[step].optional => {
                stops = self.stopped.is_none();
                self.stopped.get_or_insert(Status::Failed);
            }
            // It may notice before the driver does.
            StepState::Cancelled => {
                self.stopped.get_or_insert(Status::Cancelled);
            }
            _ => {}
        }
        self.phases[step] = Phase::Ended(ended);
        for &next in plan.needed_by(step) {
            if let Phase::Waiting(needs) = &mut self.phases[next] {
                *needs -= 1;
                if *needs == 0 {
                    self.ready.push_back(next);
                }
            }
        }
        stops
    }

    /// No further step begins. Whether that is new.
    pub(super) fn stop(&mut self, status: Status) -> bool {
        if self.stopped.is_some() || self.left == 0 {
            return false;
        }
        self.stopped = Some(status);
        true
    }

    /// The steps that never began, known once the run is over.
    pub(super) fn never_started(&mut self) -> Vec<usize> {
        let mut never = Vec::new();
        for (step, phase) in self.phases.iter_mut().enumerate() {
            if matches!(phase, Phase::Waiting(_)) {
                *phase = Phase::NeverStarted;
                never.push(step);
            }
        }
        self.left -= never.len();
        never
    }

    /// The completed steps, in the order in which they completed.
    pub(super) fn completed(&self) -> &[usize] {
        &self.completed
    }

    pub(super) fn reports(&self, plan: &Plan) -> Vec<StepReport> {
        let steps = plan.steps.iter().zip(&self.phases);
        let report = steps.map(|(step, phase)| {
            let mut report = StepReport {
                id: step.id.to_string(),
                state: StepState::Cancelled,
                optional: step.optional,
                attempts: 0,
                started: None,
                duration: Duration::ZERO,
                compensation: None,
            };
            if let Phase::Ended(ended) = phase {
                report.state = ended.state.clone();
                report.attempts = ended.attempts;
                report.started = (ended.attempts > 0).then_some(ended.started);
                report.duration = ended.duration;
            }
            report
        });
        report.collect()
    }
}

/// Why a step is skipped for want of an input, if it is.
pub(super) fn missing_input(run: &Shared, step: usize) -> Option<SkipReason> {
    let missing = run.plan.steps[step]
        .inputs
        .iter()
        .find(|input| run.slots.outputs[**input].get().is_none())?;
    Some(SkipReason::MissingInput(run.step_id(*missing)))
}

/// When a run is aborted, drops what was under way: steps hold their run, and the run its steps.
pub(super) struct Unfinished(pub(super) Arc<Shared>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.abandoned = true;
        let phases = queue.phases.iter_mut();
        let under_way = phases.filter(|phase| matches!(phase, Phase::Parked(_) | Phase::Woken(_)));
        let dropped: Vec<_> = under_way
            .map(|phase| std::mem::replace(phase, Phase::NeverStarted))
            .collect();
        let idle = std::mem::take(&mut queue.idle);
        drop(queue);
        drop(dropped);
        idle.into_iter().for_each(Waker::wake);
    }
}
