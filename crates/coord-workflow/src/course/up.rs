//! A run of which every step is over: it stays up for something, or has ended.

use std::sync::Arc;

use super::{Course, Refused};
use crate::outcome::Status;

impl Course {
    /// Whether its steps are over, and it stays for something.
    pub(crate) fn is_up(&self) -> bool {
        self.is_up && self.finished.is_none()
    }

    /// Why the run failed, if it did and that was no step; or was cancelled, if somebody said why.
    pub(crate) fn failed(&self) -> Option<&Arc<str>> {
        self.failed.as_ref()
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
