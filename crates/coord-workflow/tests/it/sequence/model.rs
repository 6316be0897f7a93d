//! A run as a sequence: one event after another, in the order of their times, in one loop. It is slow,
//! and there is nothing in it that could go wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coord_workflow::{OnFailure, Status};

/// Times are in milliseconds.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    /// Which earlier steps it needs: by bit.
    pub(super) needs: u16,
    /// Of which earlier steps it needs any.
    pub(super) needs_any: u16,
    /// How long an attempt takes, and may take.
    pub(super) takes: u64,
    pub(super) timeout: u64,
    /// How long all attempts take at most, with the pauses between them.
    pub(super) total: u64,
    /// How many attempts fail before one succeeds, and how many there are.
    pub(super) failures: u32,
    pub(super) max_attempts: u32,
    pub(super) optional: bool,
    /// What its condition says.
    pub(super) runs: bool,
    /// It watches its token, and is done so long after it is told to stop.
    pub(super) polite: Option<u64>,
    /// What undoes it, if it can be undone.
    pub(super) undo: Option<Undo>,
    /// It only waits for a signal, which arrives then.
    pub(super) signal: Option<u64>,
}

/// What undoes a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Undo {
    /// How long an attempt takes, and may take.
    pub(super) takes: u64,
    pub(super) timeout: u64,
    /// How many attempts fail before one succeeds, and how many there are.
    pub(super) failures: u32,
    pub(super) max_attempts: u32,
}

impl Undo {
    /// How many attempts are made, how long each takes, and whether the last of them succeeds.
    fn comes_to(self) -> (u32, u64, bool) {
        match self.takes < self.timeout && self.failures < self.max_attempts {
            true => (self.failures + 1, self.takes, true),
            false => (self.max_attempts, self.takes.min(self.timeout), false),
        }
    }
}

/// What is the same for all steps.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) limit: usize,
    pub(super) cancel_at: u64,
    pub(super) timeout: u64,
    /// Between attempts.
    pub(super) pause: u64,
    pub(super) on_failure: OnFailure,
    /// From when until when it is paused, if it is.
    pub(super) halt: Option<(u64, u64)>,
    /// When it is told to skip which steps.
    pub(super) skips: Vec<(u64, usize)>,
    /// Whether it is kept: what may begin because of another step waits for the record of its end, which takes no
    /// time, and what could begin anyway does not.
    pub(super) is_kept: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Completed,
    Failed,
    Skipped,
    Cancelled,
}

/// What is to be found out of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) state: State,
    pub(super) attempts: u32,
    pub(super) started: Option<u64>,
    pub(super) duration: u64,
    /// Whether it was undone, if that was tried.
    pub(super) undone: Option<bool>,
}

/// What is to be found out of a run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Prediction {
    pub(super) status: Status,
    pub(super) duration: u64,
    pub(super) steps: Vec<Report>,
    /// The attempts at undoing steps, in their order.
    pub(super) undoing: Vec<(usize, u32)>,
}

#[derive(Debug, Clone, Copy)]
enum Event {
    /// A step is done with an attempt, well or not.
    Done(usize, bool),
    /// The pause after a failed attempt is over.
    Again(usize),
    /// The time of all attempts is over before there was a place for another.
    Late(usize),
    Stop(Status),
    /// No step begins from now on, or they do again.
    Pause(bool),
    Skip(usize),
    /// The signal arrives that this step waits for.
    Signal(usize),
}

struct Run<'s> {
    shapes: &'s [Shape],
    frame: &'s Frame,
    now: u64,
    /// What happens now.
    event: Option<Event>,
    events: BTreeMap<u64, Event>,
    /// Two things at the same time: what comes of it is not said.
    ambiguous: bool,
    reports: Vec<Option<Report>>,
    /// The steps whose end lets others begin.
    over: BTreeSet<usize>,
    attempts: Vec<u32>,
    started: Vec<Option<u64>>,
    /// The steps that could make another attempt, and have no place.
    again: BTreeSet<usize>,
    /// How long the last attempt at each may take.
    limits: Vec<u64>,
    under_way: Vec<usize>,
    completed: Vec<usize>,
    /// The steps whose failure is the run's.
    failed: Vec<usize>,
    stopped: Option<Status>,
    paused: bool,
    /// The steps that are to be skipped.
    asked: BTreeSet<usize>,
    /// The steps whose signals are there.
    signalled: BTreeSet<usize>,
}

/// What comes of a run; `None` if two things happen at the same time.
pub(super) fn predict(shapes: &[Shape], frame: &Frame) -> Option<Prediction> {
    let steps = shapes.len();
    let mut run = Run {
        shapes,
        frame,
        now: 0,
        event: None,
        events: BTreeMap::new(),
        ambiguous: false,
        reports: vec![None; steps],
        over: BTreeSet::new(),
        attempts: vec![0; steps],
        started: vec![None; steps],
        again: BTreeSet::new(),
        limits: vec![0; steps],
        under_way: Vec::new(),
        completed: Vec::new(),
        failed: Vec::new(),
        stopped: None,
        paused: false,
        asked: BTreeSet::new(),
        signalled: BTreeSet::new(),
    };
    run.is_told();
    run.begin_what_may();
    while run.reports.iter().any(Option::is_none)
        && !(run.stopped.is_some() && run.under_way.is_empty())
    {
        let (now, event) = run.events.pop_first()?;
        (run.now, run.event) = (now, Some(event));
        run.happens(event);
        run.begin_what_may();
        run.stop_if_only_blocked_are_left();
    }
    (!run.ambiguous).then(|| run.prediction())
}

impl Run<'_> {
    fn at(&mut self, time: u64, event: Event) {
        self.ambiguous |= self.events.insert(time, event).is_some();
    }

    /// What comes from outside.
    fn is_told(&mut self) {
        let frame = self.frame;
        self.at(frame.cancel_at, Event::Stop(Status::Cancelled));
        self.at(frame.timeout, Event::Stop(Status::TimedOut));
        if let Some((from, until)) = frame.halt {
            self.at(from, Event::Pause(true));
            self.at(until, Event::Pause(false));
        }
        for (at, step) in &frame.skips {
            self.at(*at, Event::Skip(*step));
        }
        for (step, shape) in self.shapes.iter().enumerate() {
            if let Some(at) = shape.signal {
                self.at(at, Event::Signal(step));
            }
        }
    }

    /// How many places are taken: what only waits takes none, for a signal or for another attempt.
    fn placed(&self) -> usize {
        let takes_place =
            |step: &&usize| self.shapes[**step].signal.is_none() && self.is_running(**step);
        self.under_way.iter().filter(takes_place).count()
    }

    fn begin_what_may(&mut self) {
        while self.stopped.is_none() {
            let has_room = self.placed() < self.frame.limit;
            let may_begin = |step: &usize| {
                let is_over = |need: usize| self.over.contains(&need);
                let needs = among(self.shapes[*step].needs, *step);
                let any: Vec<usize> = among(self.shapes[*step].needs_any, *step).collect();
                let completed = |need: &usize| is_over(*need) && self.completed.contains(need);
                let any = any.is_empty()
                    || any.iter().any(completed)
                    || any.iter().all(|need| is_over(*need));
                if !has_room && self.shapes[*step].signal.is_none() {
                    return false;
                }
                if self.again.contains(step) {
                    return true;
                }
                !self.paused
                    && self.reports[*step].is_none()
                    && !self.is_blocked(*step)
                    && !self.under_way.contains(step)
                    && needs.clone().all(is_over)
                    && any
            };
            let Some(step) = (0..self.shapes.len()).find(may_begin) else {
                match self.keep() {
                    true => continue,
                    false => break,
                }
            };
            if self.again.remove(&step) {
                let is_late = |event: &Event| matches!(event, Event::Late(other) if *other == step);
                self.events.retain(|_, event| !is_late(event));
                self.attempt(step);
                continue;
            }
            let mut any = among(self.shapes[step].needs_any, step).peekable();
            let has_any = any.peek().is_none() || any.any(|need| self.completed.contains(&need));
            if self.shapes[step].runs && has_any {
                self.under_way.push(step);
                self.started[step] = Some(self.now);
                self.attempt(step);
            } else {
                self.ends(step, State::Skipped);
            }
        }
        if let Some(Event::Again(step)) = self.event
            && self.again.contains(&step)
        {
            self.at(self.now + self.left(step), Event::Late(step));
        }
    }

    /// What has ended is kept, and lets others begin; whether there was something to keep.
    fn keep(&mut self) -> bool {
        let reports = self.reports.iter().enumerate();
        let ended = reports.filter_map(|(step, report)| report.as_ref().map(|_| step));
        let before = self.over.len();
        self.over.extend(ended);
        self.over.len() > before
    }

    /// Whether it does not begin, as something that it needs has failed, or is blocked itself.
    fn is_blocked(&self, step: usize) -> bool {
        if self.frame.on_failure != OnFailure::FinishBranches || self.reports[step].is_some() {
            return false;
        }
        let is_off = |need: usize| self.failed.contains(&need) || self.is_blocked(need);
        let any: Vec<usize> = among(self.shapes[step].needs_any, step).collect();
        let is_over = |need: usize| self.reports[need].is_some() || is_off(need);
        let none_is_left = !any.iter().any(|need| self.completed.contains(need))
            && any.iter().all(|need| is_over(*need));
        among(self.shapes[step].needs, step).any(is_off)
            || (none_is_left && any.iter().any(|need| is_off(*need)))
    }

    /// The run has failed once everything has come to its end that can.
    fn stop_if_only_blocked_are_left(&mut self) {
        let is_left = |step: usize| self.reports[step].is_none() && !self.is_blocked(step);
        if !self.failed.is_empty() && !(0..self.shapes.len()).any(is_left) {
            self.stopped.get_or_insert(Status::Failed);
        }
    }

    fn attempt(&mut self, step: usize) {
        self.attempts[step] += 1;
        let shape = &self.shapes[step];
        let limit = shape.timeout.min(self.left(step));
        self.limits[step] = limit;
        if let Some(at) = shape.signal {
            return self.wait(step, at);
        }
        let succeeds = self.attempts[step] > shape.failures;
        let (takes, succeeds) = match shape.polite {
            _ if shape.takes < limit => (shape.takes, succeeds),
            Some(wait) => (limit + wait, true),
            None => (limit, false),
        };
        self.ambiguous |= shape.takes == limit;
        self.at(self.now + takes, Event::Done(step, succeeds));
    }

    /// How much is left of the time of all attempts at a step that has begun.
    fn left(&self, step: usize) -> u64 {
        let gone_on = self.started[step].map_or(0, |started| self.now - started);
        self.shapes[step].total.saturating_sub(gone_on)
    }

    /// An attempt that waits for a signal: until it arrives, or for as long as it may.
    fn wait(&mut self, step: usize, arrives: u64) {
        let ends = self.now + self.limits[step];
        self.ambiguous |= arrives == ends;
        if self.signalled.contains(&step) {
            self.completes(step);
        } else if ends < arrives {
            self.at(ends, Event::Done(step, false));
        }
    }

    fn completes(&mut self, step: usize) {
        self.completed.push(step);
        self.ends(step, State::Completed);
    }

    /// Whether an attempt at a step is under way, rather than that the next one is waited for.
    fn is_running(&self, step: usize) -> bool {
        let again = |event: &Event| matches!(event, Event::Again(other) if *other == step);
        self.under_way.contains(&step)
            && !self.again.contains(&step)
            && !self.events.values().any(again)
    }

    /// One is to be skipped: at once, or when the attempt that is under way has failed.
    fn skip(&mut self, step: usize) {
        // There may be none of this number.
        let is_left = matches!(self.reports.get(step), Some(None));
        if !is_left || self.is_blocked(step) {
            return;
        }
        self.asked.insert(step);
        if self.shapes[step].signal.is_some() || !self.is_running(step) {
            let is_of_it = |event: &Event| matches!(event, Event::Again(other) | Event::Late(other) | Event::Done(other, _) if *other == step);
            self.events.retain(|_, event| !is_of_it(event));
            self.ends(step, State::Skipped);
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Pause(paused) => self.paused = paused,
            Event::Skip(step) => self.skip(step),
            Event::Signal(step) => {
                self.signalled.insert(step);
                if self.is_running(step) {
                    self.completes(step);
                }
            }
            Event::Done(step, true) => self.completes(step),
            Event::Done(step, false) if self.asked.contains(&step) => {
                self.ends(step, State::Skipped);
            }
            Event::Done(step, false)
                if self.attempts[step] < self.shapes[step].max_attempts
                    && self.frame.pause < self.left(step) =>
            {
                self.at(self.now + self.frame.pause, Event::Again(step));
            }
            Event::Done(step, false) => {
                self.ends(step, State::Failed);
                if !self.shapes[step].optional {
                    self.failed.push(step);
                    if self.frame.on_failure == OnFailure::FailFast {
                        self.stop(Status::Failed);
                    }
                }
            }
            Event::Again(step) if self.shapes[step].signal.is_some() => self.attempt(step),
            Event::Again(step) => drop(self.again.insert(step)),
            Event::Late(step) if self.again.remove(&step) => {
                self.attempts[step] += 1;
                self.happens(Event::Done(step, false));
            }
            Event::Late(_) => {}
            Event::Stop(status) => self.stop(status),
        }
    }

    fn stop(&mut self, status: Status) {
        if self.stopped.is_some() {
            return;
        }
        self.stopped = Some(status);
        let waits = |step: &usize| self.shapes[*step].signal.is_some();
        let waiting: Vec<_> = self.under_way.iter().copied().filter(waits).collect();
        for step in waiting {
            self.ends(step, State::Cancelled);
        }
        for (time, event) in std::mem::take(&mut self.events) {
            let (step, is_running) = match event {
                Event::Done(step, _) => (step, true),
                Event::Again(step) => (step, false),
                Event::Late(step) if self.again.contains(&step) => (step, false),
                _ => continue,
            };
            let shape = &self.shapes[step];
            if shape.signal.is_some() {
                continue;
            }
            match shape.polite {
                // It has been told already, by its own limit in time.
                Some(wait)
                    if is_running && time - self.now <= wait && shape.takes > self.limits[step] =>
                {
                    self.ambiguous = true;
                }
                Some(wait) if is_running => self.at(self.now + wait, Event::Done(step, true)),
                _ => self.ends(step, State::Cancelled),
            }
        }
    }

    fn ends(&mut self, step: usize, state: State) {
        self.under_way.retain(|other| *other != step);
        self.again.remove(&step);
        self.reports[step] = Some(Report {
            state,
            attempts: self.attempts[step],
            started: self.started[step],
            duration: self.started[step].map_or(0, |started| self.now - started),
            undone: None,
        });
        if !self.frame.is_kept {
            self.keep();
        }
    }

    fn prediction(mut self) -> Prediction {
        let status = self.stopped.unwrap_or(Status::Completed);
        let mut undoing = Vec::new();
        if status != Status::Completed {
            for step in std::mem::take(&mut self.completed).into_iter().rev() {
                undoing.extend(self.undo(step));
            }
        }
        let never = Report {
            state: State::Cancelled,
            attempts: 0,
            started: None,
            duration: 0,
            undone: None,
        };
        let reports = self.reports.into_iter();
        Prediction {
            status,
            duration: self.now,
            steps: reports
                .map(|report| report.unwrap_or(never.clone()))
                .collect(),
            undoing,
        }
    }

    /// Undoes a step, if it can be undone: with which attempts.
    fn undo(&mut self, step: usize) -> impl Iterator<Item = (usize, u32)> + use<> {
        let undo = self.shapes[step].undo.map(Undo::comes_to);
        let attempts = undo.map_or(0, |(attempts, takes, is_undone)| {
            self.now += u64::from(attempts) * takes + u64::from(attempts - 1) * self.frame.pause;
            if let Some(report) = &mut self.reports[step] {
                report.undone = Some(is_undone);
            }
            attempts
        });
        (1..=attempts).map(move |attempt| (step, attempt))
    }
}

/// The earlier steps that these bits name.
pub(super) fn among(bits: u16, step: usize) -> impl Iterator<Item = usize> + Clone {
    (0..step).filter(move |need| bits & (1 << need) != 0)
}

pub(super) fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}
