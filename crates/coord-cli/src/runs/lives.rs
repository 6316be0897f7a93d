//! How long services lived, how often they were started, and how they ended: as was kept of it meanwhile. In
//! the journal a service is a step, which is done once the service is ready.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use anstyle::Style;
use coordination::bus::Timestamp;
use coordination::bus::time::{Clock, SystemClock};
use coordination::bus::vocabulary::{Exit, Recovery, ServiceState};
use coordination::workflow::{RunState, RunView, StepPhase, StepView};
use serde::Serialize;

use crate::kept_output::{EVENTS, Kept, KeptEvent, Merged};
use crate::screen::{BAD, GOOD};
use crate::spoken::Spoken;

/// The services of a run that were started.
#[derive(Default)]
pub(super) struct Lives(HashMap<String, Life>);

/// From when a service was started first until it has ended.
pub(super) struct Life {
    began: Timestamp,
    ended: Option<Timestamp>,
    starts: u32,
    is_ready: bool,
    /// Whether it is about to be started again.
    waits: bool,
    pub(super) failed: Option<String>,
}

/// How a service that was ready lived, for programs: times are in seconds since the beginning of the run.
#[derive(Serialize)]
pub(super) struct Lived<'l> {
    id: &'l str,
    state: &'static str,
    started: f64,
    /// Nothing while it runs.
    ended: Option<f64>,
    starts: u32,
    error: Option<&'l str>,
}

impl Lives {
    pub(super) fn read(kept: &Kept, view: &RunView) -> io::Result<Self> {
        let mut lives = Self::default();
        let mut last = view.started_at;
        let mut events = Merged::new(kept.clone(), Some(EVENTS.to_owned()));
        events.take(true, Timestamp::MAX, |_, record| {
            if let Some(event) = KeptEvent::read(&record) {
                lives.take(&event, last);
                last = last.max(event.at());
            }
            Ok(())
        })?;
        if view.state != RunState::Running {
            lives.end(last);
        }
        Ok(lives)
    }

    /// That of a step that has started a service which was ready.
    pub(super) fn of(&self, step: &StepView) -> Option<&Life> {
        let life = self.0.get(&step.id);
        life.filter(|_| step.phase == StepPhase::Completed)
    }

    /// All of them, for programs.
    pub(super) fn told<'l>(&'l self, view: &'l RunView) -> Vec<Lived<'l>> {
        let lives = view.steps.iter().filter_map(|step| {
            let life = self.of(step)?;
            let (began, ended) = life.moments(view);
            Some(Lived {
                id: &step.id,
                state: life.state().1,
                started: began.as_secs_f64(),
                ended: ended.map(|ended| ended.as_secs_f64()),
                starts: life.starts,
                error: life.failed.as_deref(),
            })
        });
        lives.collect()
    }

    /// Where a step is; a service that has failed since it was ready has failed.
    pub(super) fn phase(&self, step: &StepView) -> StepPhase {
        let has_failed = self.of(step).is_some_and(|life| life.failed.is_some());
        match has_failed {
            true => StepPhase::Failed,
            false => step.phase,
        }
    }

    /// Nothing of what ran before does any more.
    fn end(&mut self, at: Timestamp) {
        for life in self.0.values_mut() {
            life.ended.get_or_insert(at);
        }
    }

    fn take(&mut self, event: &KeptEvent, last: Timestamp) {
        match event {
            KeptEvent::Driven { .. } => self.end(last),
            KeptEvent::ServiceLifecycle(event) => {
                let life = self.0.entry(event.service.clone()).or_insert(Life {
                    began: event.at,
                    ended: None,
                    starts: 0,
                    is_ready: false,
                    waits: false,
                    failed: None,
                });
                match &event.state {
                    ServiceState::Starting => {
                        life.starts += 1;
                        (life.ended, life.is_ready, life.failed) = (None, false, None);
                        life.waits = false;
                    }
                    ServiceState::Ready { .. } => life.is_ready = true,
                    ServiceState::Ended { exit, asked } => {
                        life.ended = Some(event.at);
                        let is_well = *asked || exit.is_some_and(Exit::is_success);
                        life.failed = exit.filter(|_| !is_well).map(|exit| exit.to_string());
                    }
                    _ => {}
                }
            }
            KeptEvent::ErrorRecovery(event) => {
                if let Some(life) = self.0.get_mut(&event.source) {
                    life.waits = matches!(event.progress, Recovery::Attempting { .. });
                }
                if let Recovery::GaveUp { reason, .. } = &event.progress
                    && let Some(life) = self.0.get_mut(&event.source)
                {
                    let exit = life.failed.take().map(|exit| format!("{exit}; "));
                    life.failed = Some(exit.unwrap_or_default() + reason);
                }
            }
            _ => {}
        }
    }
}

impl Life {
    /// What it is, where it has ended, and is not started again.
    pub(super) fn over(&self) -> Option<&'static str> {
        match self.ended.is_some() && !self.waits {
            true if self.failed.is_some() => Some("has failed"),
            true => Some("is stopped"),
            false => None,
        }
    }

    pub(super) fn state(&self) -> (Style, &'static str) {
        match (&self.failed, self.ended) {
            (Some(_), _) => (BAD, "failed"),
            (None, Some(_)) => (GOOD, "stopped"),
            (None, None) if self.is_ready => (GOOD, "ready"),
            (None, None) => (Style::new(), "starting"),
        }
    }

    /// When it began and ended, if it has, counted from the beginning of the run.
    pub(super) fn moments(&self, view: &RunView) -> (Duration, Option<Duration>) {
        let since = |at: Timestamp| at.duration_since(view.started_at);
        let since = |at| Duration::try_from(since(at)).unwrap_or_default();
        (since(self.began), self.ended.map(since))
    }

    pub(super) fn took(&self) -> String {
        let until = self.ended.unwrap_or_else(|| SystemClock.now());
        let took = until.duration_since(self.began);
        Spoken(took.try_into().unwrap_or_default()).to_string()
    }

    /// What there is to say of it beside that.
    pub(super) fn remarks(&self, step: &StepView) -> Vec<String> {
        let mut remarks: Vec<String> = self.failed.clone().into_iter().collect();
        if let Some((began, ready)) = step.started.zip(step.ended) {
            let within = Spoken(ready.saturating_sub(began));
            remarks.push(format!("ready in {within}"));
        }
        if self.starts > 1 {
            remarks.push(format!("started {} times", self.starts));
        }
        remarks
    }
}
