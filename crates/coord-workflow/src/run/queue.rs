//! What is to be done next in a run: plain data under one lock, with no waiting in it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::thread;

use coord_bus::BoxFuture;
use tokio::sync::Notify;

use super::backoffs::Rest;
use super::limited::{Waits, Withdrawn};
use super::pauses::Pauses;
use super::ready::Ready;
use super::recorder::Recorder;
use super::{End, Shared};
use crate::course::{Course, Fact, Phase, Record};
use crate::outcome::{Outcome, Status};
use crate::plan::{Output, Plan};
use crate::signals::SignalNumber;

/// A step under way that has had to wait. What it comes to is the fact that ends it.
pub(super) struct Running {
    pub(super) future: BoxFuture<'static, Fact>,
    /// What wakes it.
    pub(super) waker: Waker,
}

/// Where the future of a step is.
enum Task {
    /// There is none.
    Off,
    /// Somebody polls it; `woken` meanwhile or not.
    Polled { woken: bool },
    /// It waits for its waker.
    Parked(Running),
    /// It was woken, and waits for somebody to poll it.
    Woken(Running),
}

/// What to do next.
pub(super) enum Job {
    /// Call the function of this step, whose first attempt has started.
    Call(usize),
    /// Begin this step, which takes more than a call.
    Begin(usize),
    /// Go on with this one.
    Resume(usize, Running),
}

impl Job {
    #[inline]
    pub(super) fn step(&self) -> usize {
        match self {
            Self::Call(step) | Self::Begin(step) | Self::Resume(step, _) => *step,
        }
    }
}

pub(super) struct Queue {
    pub(super) course: Course,
    /// By step; empty while none has had to wait.
    tasks: Vec<Task>,
    pub(super) ready: Ready,
    pub(super) waits: Waits,
    woken: VecDeque<usize>,
    /// Steps between two attempts that take a place.
    pub(super) rests: BTreeMap<usize, Rest>,
    /// Steps that have begun and not ended.
    under_way: usize,
    /// How many of them take a place.
    pub(super) placed: usize,
    limit: usize,
    /// Set when the run was aborted: nothing in it is polled any more.
    abandoned: bool,
    /// Set when the run is to be left as it is: nothing begins, and what is stopped for it has not
    /// ended.
    pub(super) suspended: bool,
    /// Set when all is done but for the hook of the run: nothing that it is told changes how it ends.
    pub(super) is_done: bool,
    /// Whether no step is to begin.
    pauses: Arc<Pauses>,
    /// What came of the run, once it has come to its end: it has the course then.
    pub(super) outcome: Option<Arc<Outcome>>,
    /// How the run is to end, and why, if somebody says so.
    pub(super) wanted: Option<(Status, Arc<str>)>,
    /// In a run that is kept: what is to be written, and what waits for it.
    pub(super) recorder: Option<Box<Recorder>>,
    /// In a run that is the work of a step: rung where it may stand still, or go on.
    pub(super) stillness: Option<Arc<Notify>>,
    /// The driver and its helpers, as far as they have nothing to do.
    pub(super) idle: Vec<Waker>,
    pub(super) helpers: usize,
    /// How many of them stand by, …
    pub(super) standing_by: usize,
    /// … until a while after this: when somebody last called for help.
    pub(super) called: u64,
}

impl Queue {
    /// Of a run that has come this far.
    pub(super) fn new(
        plan: &Plan,
        course: Course,
        limit: usize,
        recorder: Option<Recorder>,
        pauses: Arc<Pauses>,
    ) -> Self {
        let mut ready = Ready::new(&plan.steps);
        course.may_begin().for_each(|step| ready.insert(step));
        Self {
            course,
            suspended: false,
            is_done: false,
            pauses,
            outcome: None,
            wanted: None,
            recorder: recorder.map(Box::new),
            tasks: Vec::new(),
            ready,
            waits: Waits::default(),
            woken: VecDeque::new(),
            rests: BTreeMap::new(),
            under_way: 0,
            placed: 0,
            limit,
            abandoned: false,
            stillness: None,
            idle: Vec::new(),
            helpers: 0,
            standing_by: 0,
            called: 0,
        }
    }

    /// Whether nothing more is to be done for the steps of the run.
    pub(super) fn is_over(&self) -> bool {
        let ends = self.course.stopped().is_some() || self.suspended;
        (ends && self.under_way == 0) || self.abandoned || self.course.left() == 0
    }

    /// Whether the run has come to its end.
    pub(super) fn has_finished(&self) -> bool {
        self.outcome.is_some() || self.course.is_finished()
    }

    /// How the run ends that somebody wants to end.
    pub(super) fn wanted_end(&self) -> Status {
        let wanted = self.wanted.as_ref();
        wanted.map_or(Status::Cancelled, |(status, _)| *status)
    }

    /// Why the run has failed, if that is no step: here, or before it was taken up.
    pub(super) fn failed(&self) -> Option<Arc<str>> {
        let why = self.wanted_as(Status::Failed);
        why.or_else(|| self.course.failed().cloned())
    }

    /// Whether somebody could do something.
    pub(super) fn has_next(&self) -> bool {
        !self.woken.is_empty() || self.may_begin()
    }

    /// Whether nothing goes on, and nothing can before more is kept.
    pub(super) fn waits_for_records(&self) -> bool {
        self.under_way == 0 && !self.has_next()
    }

    pub(super) fn may_begin(&self) -> bool {
        let is_there = match self.has_room() {
            true => !self.ready.is_empty() || self.waits.has_given(),
            // What takes no place needs none.
            false => self.ready.first_free().is_some() || self.given_free().is_some(),
        };
        is_there
            // Else the outcome has the course, and here is one without steps.
            && self.outcome.is_none()
            && self.course.stopped().is_none()
            && !self.suspended
            && (!self.is_paused() || self.may_try_again())
    }

    /// Whether a step that takes a place may begin.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.placed < self.limit && !self.waits.is_for_place()
    }

    /// The earliest step that there is room for.
    #[inline]
    pub(super) fn pop_ready(&mut self) -> Option<usize> {
        match self.has_room() {
            true if !self.rests.is_empty() && self.is_paused() => {
                let step = self.first_ready_again(|queue, step| queue.ready.contains(step))?;
                self.ready.remove(step);
                Some(step)
            }
            true => self.ready.pop(),
            false => self.ready.pop_free(),
        }
    }

    /// What to do next. What has been woken goes before what has not begun: it may hold what
    /// others wait for. A step that nobody is to be told of, `quiet`, starts at once.
    #[inline]
    pub(super) fn next(&mut self, run: &Arc<Shared>, now: u64, quiet: bool) -> Option<Job> {
        if let Some(job) = self.next_woken() {
            return Some(job);
        }
        if run.limits.is_some() {
            return self.next_limited(run);
        }
        if !self.may_begin() {
            return None;
        }
        let plan = &*run.plan;
        let step = self.pop_ready()?;
        let record = self.course.step(step);
        let has_begun = record.has_begun();
        if has_begun && self.rests(step) {
            return self.next_beside(step, run, now, quiet);
        }
        let is_plain = plan.steps[step].when.is_none() && !record.is_ruled_out() && !has_begun;
        let planned = &plan.steps[step];
        let is_plain =
            is_plain && !run.is_careful && planned.hook.is_none() && planned.child.is_none();
        // What is not to begin yet waits like a step.
        let is_plain = is_plain && self.recorder.as_deref().is_none_or(Recorder::is_ours);
        self.begins(plan, step);
        if !quiet || !is_plain {
            return Some(Job::Begin(step));
        }
        self.apply(
            plan,
            Fact::Started {
                step,
                attempt: 1,
                at: now,
            },
        );
        Some(Job::Call(step))
    }

    /// A step makes its next attempt, and this is what to do beside that. By itself, as one that calls itself would not
    /// become a part of who asks.
    #[cold]
    #[inline(never)]
    fn next_beside(
        &mut self,
        step: usize,
        run: &Arc<Shared>,
        now: u64,
        quiet: bool,
    ) -> Option<Job> {
        self.tries_again(step);
        self.next(run, now, quiet)
    }

    /// What was woken first, to go on with.
    #[inline]
    pub(super) fn next_woken(&mut self) -> Option<Job> {
        let step = self.woken.pop_front()?;
        let polled = Task::Polled { woken: false };
        match std::mem::replace(&mut self.tasks[step], polled) {
            Task::Woken(running) => Some(Job::Resume(step, running)),
            _ => None,
        }
    }

    /// A step begins.
    #[inline]
    pub(super) fn begins(&mut self, plan: &Plan, step: usize) {
        self.under_way += 1;
        self.placed += usize::from(plan.steps[step].takes_place());
    }

    /// A step is not under way any more.
    #[inline]
    fn leaves(&mut self, plan: &Plan, step: usize) {
        self.under_way -= 1;
        self.placed -= usize::from(plan.steps[step].takes_place());
    }

    /// Something has happened: what may begin because of it is ready.
    #[inline(always)]
    pub(super) fn apply(&mut self, plan: &Plan, fact: Fact) {
        debug_assert_eq!(self.course.admits(plan, &fact), Ok(()), "{fact:?}");
        let may_turn = matches!(
            fact,
            Fact::Exhausted { .. }
                | Fact::Continued { .. }
                | Fact::Child { .. }
                | Fact::Skipped { .. }
                | Fact::Failed { .. }
                | Fact::Stopped { .. }
        );
        let ready = &mut self.ready;
        match &mut self.recorder {
            None => self.course.apply(plan, fact, |step| ready.insert(step)),
            Some(recorder) => {
                recorder.push(plan, &fact, &self.course);
                self.course.apply(plan, fact, |step| recorder.hold(step));
            }
        }
        // Who waits for it is a step of the run around it, whose lock is taken after this one and never before.
        if may_turn && let Some(stillness) = &self.stillness {
            stillness.notify_one();
        }
    }

    /// Records up to this one are kept: what waited only for that may begin.
    pub(super) fn kept(&mut self, until: u64) {
        let ready = &mut self.ready;
        if let Some(recorder) = &mut self.recorder {
            recorder.kept(until, |step| ready.insert(step));
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.pauses.is_paused()
    }

    /// Nothing begins any more, and what is under way is to stop: the run is left as it is.
    pub(super) fn suspend(&mut self) {
        self.suspended = true;
    }

    /// Whether the run is left as it is. One that was stopped before, or meanwhile, comes to its end where
    /// nothing of it is left.
    pub(super) fn is_suspended(&self) -> bool {
        let is_left = |record: &Record| record.phase == Phase::Running;
        let goes_on = self.course.stopped().is_none();
        self.suspended
            && self.course.left() > 0
            && (goes_on || self.course.steps().iter().any(is_left))
    }

    /// Whether a step that is stopped now has not come to its end, and goes on when the run is taken up.
    pub(super) fn leaves_stopped(&self, plan: &Plan, step: usize) -> bool {
        // Where the run was to end, the one that is the work of a step may not have, nor be undone.
        let goes_on = self.course.stopped().is_none() || plan.steps[step].runs_workflow();
        self.suspended && self.course.left() > 0 && goes_on
    }

    /// A step is done, now. Its fact is made here, where it is applied: to hand it on would cost as much
    /// as the lock.
    #[inline(always)]
    pub(super) fn complete(
        &mut self,
        plan: &Plan,
        step: usize,
        (output, kept): (Output, Option<Box<str>>),
        signal: Option<SignalNumber>,
        at: u64,
    ) {
        self.leaves(plan, step);
        if self.recorder.is_none() {
            let ready = &mut self.ready;
            let ready = |step| ready.insert(step);
            return self.course.complete(plan, step, output, at, ready);
        }
        let fact = Fact::Completed {
            step,
            output,
            kept,
            print: None,
            signal,
            at,
        };
        self.apply(plan, fact);
    }

    /// A step has come to its end. Whether the run is stopped for it.
    pub(super) fn end(&mut self, plan: &Plan, step: usize, fact: Fact) -> bool {
        self.leaves(plan, step);
        if let Some(task) = self.tasks.get_mut(step) {
            // It may be tried anew, and then waits like any other.
            *task = Task::Off;
        }
        let was_stopped = self.course.stopped().is_some();
        if let Fact::Cancelled { .. } = fact {
            if self.leaves_stopped(plan, step) {
                return false;
            }
            if !was_stopped {
                // It has noticed before the driver did.
                let stopped = self.stopped(self.wanted_end());
                self.apply(plan, stopped);
            }
        }
        self.apply(plan, fact);
        !was_stopped && self.course.stopped().is_some()
    }

    /// Whether a step can be skipped at once, as nothing of it is under way.
    pub(super) fn can_skip(&self, plan: &Plan, step: usize) -> bool {
        let asked = Fact::Skipped {
            step,
            at: 0,
            asked: true,
        };
        let ends = self.suspended || self.course.stopped().is_some();
        // There is none any more once the run has its outcome.
        let is_there = step < self.course.steps().len();
        if ends || !is_there || self.course.admits(plan, &asked).is_err() {
            return false;
        }
        let record = self.course.step(step);
        // A run that was the work of it, in a process that is gone, is ended first, and its hook is called: when
        // it begins.
        let planned = &plan.steps[step];
        let ends_itself = record.has_begun() && (planned.runs_workflow() || planned.hook.is_some());
        match record.phase {
            Phase::Exhausted => true,
            Phase::Waiting | Phase::Pausing if !ends_itself && !self.rests(step) => {
                let recorder = self.recorder.as_ref();
                record.waits_for_others()
                    || self.ready.contains(step)
                    || self.waits.contains(step)
                    || recorder.is_some_and(|recorder| recorder.holds(step))
            }
            _ => false,
        }
    }

    /// Skips one that can be; what it waited for comes back.
    pub(super) fn skip(&mut self, plan: &Plan, step: usize, at: u64) -> Withdrawn {
        self.ready.remove(step);
        if let Some(recorder) = &mut self.recorder {
            recorder.let_go(step);
        }
        let withdrawn = self.withdraw(step);
        let asked = true;
        self.apply(plan, Fact::Skipped { step, at, asked });
        withdrawn
    }

    /// No further step begins. Whether that is new.
    pub(super) fn stop(&mut self, plan: &Plan, status: Status) -> bool {
        let fact = self.stopped(status);
        let is_new = !self.suspended && self.course.admits(plan, &fact).is_ok();
        if is_new {
            self.apply(plan, fact);
        }
        is_new
    }

    fn stopped(&self, status: Status) -> Fact {
        let failed = self.wanted_as(status);
        Fact::Stopped { status, failed }
    }

    /// Why somebody wants the run to end like this, if somebody does and says so.
    pub(super) fn wanted_as(&self, status: Status) -> Option<Arc<str>> {
        let wanted = self.wanted.as_ref();
        let wanted = wanted.filter(|(wanted, _)| *wanted == status);
        wanted.map(|(_, why)| Arc::clone(why))
    }

    /// The steps that have not begun.
    pub(super) fn waiting(&self) -> Vec<usize> {
        let steps = self.course.steps().iter().enumerate();
        // One whose next attempt was to be made by who took the run up has not begun here either.
        let waiting = steps.filter(|(_, record)| {
            let phase = record.phase;
            matches!(phase, Phase::Waiting | Phase::Pausing | Phase::Exhausted)
        });
        waiting.map(|(step, _)| step).collect()
    }

    /// The steps that have what they take, and whether that is a place, too: those under way, and those
    /// that have been given their permits and are about to begin.
    pub(super) fn held(&self, plan: &Plan) -> Vec<(usize, bool)> {
        let steps = self.course.steps().iter().enumerate();
        let held = steps.filter_map(|(step, record)| {
            let task = self.tasks.get(step);
            let is_under_way = match record.phase {
                Phase::Running => true,
                // Its condition is asked, or it waits for its next attempt.
                Phase::Waiting | Phase::Pausing => !matches!(task, None | Some(Task::Off)),
                _ => return None,
            };
            let has = is_under_way || self.waits.has(step);
            let has_place = is_under_way && !self.has_no_place(step);
            has.then(|| (step, has_place && plan.steps[step].takes_place()))
        });
        held.collect()
    }

    fn task(&mut self, step: usize) -> &mut Task {
        if self.tasks.is_empty() {
            let steps = self.course.steps().len();
            self.tasks.resize_with(steps, || Task::Off);
        }
        &mut self.tasks[step]
    }

    /// A step is going to be polled with its waker, for the first time.
    pub(super) fn poll_first(&mut self, step: usize) {
        *self.task(step) = Task::Polled { woken: false };
    }

    /// A step that was polled is not done. It comes back, to be dropped, when nobody will poll it
    /// again.
    pub(super) fn park(&mut self, step: usize, running: Running) -> Option<Running> {
        if self.abandoned {
            return Some(running);
        }
        let task = self.task(step);
        if let Task::Polled { woken: true } = task {
            *task = Task::Woken(running);
            self.woken.push_back(step);
        } else {
            *task = Task::Parked(running);
        }
        None
    }

    /// A step was woken. Whether somebody should be, to poll it.
    pub(super) fn wake(&mut self, step: usize) -> bool {
        // There is none any more once the run has ended.
        let Some(task) = self.tasks.get_mut(step) else {
            return false;
        };
        match std::mem::replace(task, Task::Polled { woken: true }) {
            Task::Parked(running) => {
                *task = Task::Woken(running);
                self.woken.push_back(step);
                true
            }
            Task::Polled { .. } => false,
            other => {
                *task = other;
                false
            }
        }
    }
}

/// When a run is aborted, or its driver panics, drops what was under way: steps hold their run, and the run its steps.
pub(super) struct Unfinished(pub(super) Arc<Shared>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.abandoned = true;
        let dropped = std::mem::take(&mut queue.tasks);
        let mut idle = std::mem::take(&mut queue.idle);
        if let Some(recorder) = &mut queue.recorder {
            idle.extend(recorder.end(match thread::panicking() {
                true => End::Panicked,
                false => End::Aborted,
            }));
        }
        drop(queue);
        drop(dropped);
        self.0.leave_limits();
        idle.into_iter().for_each(Waker::wake);
    }
}
