//! A run of which every step is over: it stays up for something, or has ended.

use std::sync::Arc;

use coord_bus::text::cut;

use super::{Course, Refused};
use crate::outcome::Status;
use crate::plan::Plan;

/// How many bytes of why a step failed are told of its run: in lists of runs it is a part of a line.
const LINE_MAX: usize = 500;

/// The first line of it, as far as that is told.
fn line_of(words: &str) -> String {
    let line = words.lines().next().unwrap_or_default();
    let told = cut(line, LINE_MAX);
    match told.len() < words.trim_end().len() {
        true => format!("{told}…"),
        false => told.to_owned(),
    }
}

impl Course {
    /// Whether its steps are over, and it stays for something.
    pub(crate) fn is_up(&self) -> bool {
        self.is_up && self.finished.is_none()
    }

    /// Why the run failed, if it did and that was no step; or was cancelled, if somebody said why.
    pub(crate) fn failed(&self) -> Option<&Arc<str>> {
        self.failed.as_ref()
    }

    /// Why the run failed, or was cancelled, as far as somebody said why.
    pub(crate) fn error(&self) -> Option<&Arc<str>> {
        let of_step = self.first_failed.as_ref().map(|(_, why)| why);
        let of_step = of_step.filter(|_| self.stopped == Some(Status::Failed));
        self.failed.as_ref().or(of_step)
    }

    /// The step because of which it failed, if that was one.
    pub(crate) fn failed_step(&self) -> Option<usize> {
        let (step, _) = self
            .first_failed
            .as_ref()
            .filter(|_| self.failed.is_none())?;
        (self.stopped == Some(Status::Failed)).then_some(*step)
    }

    /// Notes which step failed first, of those that may not.
    pub(super) fn note_failed(&mut self, plan: &Plan, step: usize, words: &str) {
        self.first_failed.get_or_insert_with(|| {
            let (id, words) = (&plan.steps[step].id, line_of(words));
            (step, format!("step `{id}` failed: {words}").into())
        });
    }

    /// How a run ends that has come this far, for such a reason if there is one.
    pub(crate) fn ends_as(&self, failed: Option<&str>) -> Status {
        let status = failed.map_or(Status::Completed, |_| Status::Failed);
        self.stopped.unwrap_or(status)
    }

    pub(super) fn admits_up(&self) -> Result<(), Refused> {
        if self.left > 0 {
            return Err(Refused::StepsLeft { left: self.left });
        }
        match self.stopped {
            Some(_) => Err(Refused::RunStopped),
            None => Ok(()),
        }
    }

    /// It has come to its end. What was done is not undone where it failed only now.
    pub(super) fn finish(&mut self, at: u64, failed: Option<Arc<str>>) {
        self.finished = Some(at);
        if failed.is_some() {
            self.stopped = Some(self.ends_as(failed.as_deref()));
            self.failed = failed;
        }
    }
}
