//! Where in what was printed an attempt ended and the next began, and why.

use std::collections::HashMap;

use coordination::bus::vocabulary::{Exit, ProcessState, ServiceState, Transition};

use crate::kept_output::KeptEvent;
use crate::process_name::{is_hook, step_of};

/// What is known of the processes of a run, of each by its name.
#[derive(Default)]
pub(super) struct Marks {
    processes: HashMap<String, Known>,
}

/// Of a process that was started before.
#[derive(Default)]
struct Known {
    is_running: bool,
    /// Whether it was told to end, by the `coord` that drives the run.
    is_stopped: bool,
    exit: Option<Exit>,
    /// Why it has ended, or was made to.
    why: Option<String>,
    /// Which attempt at a step failed.
    attempt: Option<u32>,
    /// Whether the run was taken up since it has ended.
    is_taken_up: bool,
    /// Whether it was retried since then.
    is_retried: bool,
}

impl Known {
    /// Why it is started again.
    fn mark(&self) -> String {
        match (&self.why, self.attempt, self.exit) {
            (Some(why), Some(attempt), _) => {
                let next = attempt.saturating_add(1);
                format!("attempt {attempt} failed: {why}; attempt {next}")
            }
            (Some(why), None, _) => format!("{why}; started again"),
            (None, _, _) if self.is_stopped => "restarted".to_owned(),
            (None, _, Some(exit)) if self.is_retried => {
                format!("ended: {exit}; started again, as the run was retried")
            }
            (None, _, Some(exit)) if self.is_taken_up => {
                format!("ended: {exit}; started again, as the run was taken up")
            }
            (None, _, Some(exit)) => format!("ended: {exit}; started again"),
            (None, _, None) => "started again".to_owned(),
        }
    }
}

impl Marks {
    /// Takes what happened. What there is to say where a process is started again, and of which.
    pub(super) fn take(&mut self, told: &KeptEvent) -> Option<(String, String)> {
        match told {
            KeptEvent::Driven { retried, .. } => {
                for known in self.processes.values_mut() {
                    if std::mem::take(&mut known.is_running) {
                        known.why = Some("the run was interrupted".to_owned());
                    } else if std::mem::take(&mut known.is_stopped) {
                        known.why.get_or_insert_with(|| "stopped".to_owned());
                    }
                    known.is_taken_up = true;
                    known.is_retried |= retried;
                }
            }
            KeptEvent::WorkflowEvents(event) => {
                if let Transition::StepRetrying {
                    step,
                    attempt,
                    error,
                    ..
                } = &event.transition
                    && let Some(known) = self.processes.get_mut(step)
                {
                    known.why = Some(error.clone());
                    known.attempt = Some(*attempt);
                }
            }
            KeptEvent::ServiceLifecycle(event) => {
                let known = self.processes.get_mut(&event.service);
                match (&event.state, known) {
                    (ServiceState::NotReady { answer }, Some(known)) => {
                        known.why = Some(format!("did not become ready: {answer}"));
                    }
                    (ServiceState::Unhealthy { answer }, Some(known)) => {
                        known.why = Some(format!("is not well: {answer}"));
                    }
                    _ => {}
                }
            }
            KeptEvent::ProcessLifecycle(event) => {
                return self.process(&event.process, &event.state);
            }
            _ => {}
        }
        None
    }

    fn process(&mut self, process: &str, state: &ProcessState) -> Option<(String, String)> {
        // Hooks are one after the other, and none of them is another's next attempt.
        let is_known = self.processes.contains_key(process) && !is_hook(process);
        let known = self.processes.entry(process.to_owned()).or_default();
        match state {
            ProcessState::Started { .. } => {
                let mark = is_known.then(|| known.mark());
                *known = Known {
                    is_running: true,
                    ..Known::default()
                };
                return Some((process.to_owned(), mark?));
            }
            ProcessState::Stopping { .. } => known.is_stopped = true,
            ProcessState::Exited(exit) => {
                known.is_running = false;
                known.exit = Some(*exit);
            }
            _ => {}
        }
        None
    }
}

/// Whether a mark of this process is of what is asked for.
pub(super) fn is_of(process: &str, only: Option<&str>) -> bool {
    only.is_none_or(|only| only == process || only == step_of(process))
}
