//! A run of which every step is over: it stays up for something, or has ended.

use std::sync::Arc;

use super::{Course, Refused};
use crate::outcome::Status;

impl Course {
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
            self.stopped.get_or_insert(Status::Failed);
        }
        self.failed = failed;
    }
}
