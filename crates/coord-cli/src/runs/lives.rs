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

use crate::board::{Life, Lived, between};
use crate::kept_output::{EVENTS, Kept, KeptEvent, Merged};
use crate::screen::{BAD, GOOD};
use crate::spoken::Spoken;

/// The services of a run that were started.
#[derive(Default)]
pub(super) struct Lives(HashMap<String, Service>);

/// What is kept of one.
#[derive(Default)]
pub(super) struct Service {
    life: Life,
    starts: u32,
    is_ready: bool,
    /// Whether it is about to be started again.
    waits: bool,
    pub(super) failed: Option<String>,
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
    pub(super) fn of(&self, step: &StepView) -> Option<&Service> {
        let service = self.0.get(&step.id);
        service.filter(|_| step.phase == StepPhase::Completed)
    }

    /// All of them, for programs.
    pub(super) fn told<'l>(&'l self, view: &'l RunView) -> Vec<Lived<'l>> {
        let lives = view.steps.iter().filter_map(|step| {
            let service = self.of(step)?;
            let (state, error) = (service.state().1, service.failed.as_deref());
            let life = &service.life;
            life.told(view.started_at, &step.id, state, service.starts, error)
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
        for service in self.0.values_mut() {
            service.life.ended.get_or_insert(at);
        }
    }

    fn take(&mut self, event: &KeptEvent, last: Timestamp) {
        match event {
            KeptEvent::Driven { .. } => self.end(last),
            KeptEvent::ServiceLifecycle(event) => {
                let service = self.0.entry(event.service.clone()).or_default();
                match &event.state {
                    ServiceState::Starting => {
                        service.life.start(event.at);
                        service.starts += 1;
                        (service.is_ready, service.failed) = (false, None);
                        service.waits = false;
                    }
                    ServiceState::Ready { .. } => {
                        service.life.ready.get_or_insert(event.at);
                        service.is_ready = true;
                    }
                    ServiceState::Ended { exit, asked } => {
                        service.life.ended = Some(event.at);
                        let is_well = *asked || exit.is_some_and(Exit::is_success);
                        service.failed = exit.filter(|_| !is_well).map(|exit| exit.to_string());
                    }
                    _ => {}
                }
            }
            KeptEvent::ErrorRecovery(event) => {
                if let Some(service) = self.0.get_mut(&event.source) {
                    service.waits = matches!(event.progress, Recovery::Attempting { .. });
                }
                if let Recovery::GaveUp { reason, .. } = &event.progress
                    && let Some(service) = self.0.get_mut(&event.source)
                {
                    let exit = service.failed.take().map(|exit| format!("{exit}; "));
                    service.failed = Some(exit.unwrap_or_default() + reason);
                }
            }
            _ => {}
        }
    }
}

impl Service {
    /// What it is, where it has ended, and is not started again.
    pub(super) fn over(&self) -> Option<&'static str> {
        match self.life.ended.is_some() && !self.waits {
            true if self.failed.is_some() => Some("has failed"),
            true => Some("is stopped"),
            false => None,
        }
    }

    /// What became of it since it was started, in words.
    pub(super) fn became(&self) -> String {
        match (&self.failed, self.over()) {
            (Some(failed), Some(over)) => format!("{over}: {failed}"),
            (Some(failed), None) => format!("failed: {failed}; is started again"),
            (None, Some(over)) => over.to_owned(),
            (None, None) if self.is_ready => "is ready".to_owned(),
            (None, None) => "starts".to_owned(),
        }
    }

    pub(super) fn state(&self) -> (Style, &'static str) {
        match (&self.failed, self.life.ended) {
            (Some(_), _) => (BAD, "failed"),
            (None, Some(_)) => (GOOD, "stopped"),
            (None, None) if self.is_ready => (GOOD, "ready"),
            (None, None) => (Style::new(), "starting"),
        }
    }

    /// When it began and ended, if it has, counted from the beginning of the run.
    pub(super) fn moments(&self, view: &RunView) -> (Duration, Option<Duration>) {
        let since = |at| between(view.started_at, at);
        let began = self.life.began.map(since).unwrap_or_default();
        (began, self.life.ended.map(since))
    }

    pub(super) fn took(&self) -> String {
        let until = self.life.ended.unwrap_or_else(|| SystemClock.now());
        Spoken(self.life.until(until).unwrap_or_default()).to_string()
    }

    /// What there is to say of it beside that.
    pub(super) fn remarks(&self) -> Vec<String> {
        let mut remarks: Vec<String> = self.failed.clone().into_iter().collect();
        if let Some(within) = self.life.ready_in() {
            remarks.push(format!("ready in {}", Spoken(within)));
        }
        if self.starts > 1 {
            remarks.push(format!("started {} times", self.starts));
        }
        remarks
    }
}
