//! The place of lines of output: they do not say when they were printed, but after their process has
//! started, and before it has ended.

use std::collections::HashMap;

use coordination::bus::vocabulary::{ProcessLifecycle, ProcessOutput, ProcessState};

/// The processes that run, as far as it was told, and the lines of those that are to come.
#[derive(Default)]
pub(crate) struct Lines {
    /// The ids of processes, by their names.
    running: HashMap<String, u32>,
    /// In the order in which they came.
    early: Vec<ProcessOutput>,
}

impl Lines {
    /// Whether a line may be told. Otherwise it waits until its process has started, of which it
    /// is known that it has been published.
    pub(crate) fn admit(&mut self, line: &ProcessOutput) -> bool {
        let is_running = self.running.get(&line.process) == Some(&line.pid);
        if !is_running {
            self.early.push(line.clone());
        }
        is_running
    }

    /// What a process has printed before it was told that it started.
    pub(crate) fn after(&mut self, event: &ProcessLifecycle) -> Vec<ProcessOutput> {
        match event.state {
            ProcessState::Started { pid } => {
                self.running.insert(event.process.clone(), pid);
                let is_its =
                    |line: &ProcessOutput| line.pid == pid && line.process == event.process;
                let early = std::mem::take(&mut self.early).into_iter();
                let (its, others) = early.partition(is_its);
                self.early = others;
                its
            }
            ProcessState::Exited(_) => {
                self.running.remove(&event.process);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// What is left of processes of which nothing was told.
    pub(crate) fn rest(&mut self) -> Vec<ProcessOutput> {
        std::mem::take(&mut self.early)
    }
}
