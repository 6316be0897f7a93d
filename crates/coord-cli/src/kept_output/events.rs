//! What happened to processes and services, beside what they printed: for whoever looks on from elsewhere,
//! and for the marks between attempts. Each event is a line of the files of [`EVENTS`], as JSON.

use coordination::bus::Timestamp;
use coordination::bus::vocabulary::{
    ErrorRecovery, Notification, OutputStream, ProcessHealth, ProcessLifecycle, ProcessOutput,
    ProcessState, Recovery, ServiceLifecycle, ServiceState, Transition, WorkflowEvent,
};
use serde::{Deserialize, Serialize};

use super::record::{Record, safe};
use crate::happenings::Happening;

/// What the files of events are called, as if they were those of a process. No step has such an id.
pub(crate) const EVENTS: &str = "run events";

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "topic", content = "event", rename_all = "kebab-case")]
pub(crate) enum KeptEvent {
    /// A `coord` drives the run from now on: nothing of what ran before does any more.
    Driven {
        at: Timestamp,
        /// Whether it had ended before, and is done again.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        retried: bool,
    },
    ServiceLifecycle(ServiceLifecycle),
    ProcessLifecycle(ProcessLifecycle),
    ProcessHealth(ProcessHealth),
    ErrorRecovery(ErrorRecovery),
    Notification(Notification),
    /// That an attempt has failed. Everything else of steps is in the journal.
    WorkflowEvents(WorkflowEvent),
}

impl KeptEvent {
    /// What is kept of what happens.
    pub(super) fn of(happening: &Happening) -> Option<Self> {
        Some(match happening {
            Happening::Service(event) => Self::ServiceLifecycle((**event).clone()),
            Happening::Process(event) => Self::ProcessLifecycle((**event).clone()),
            Happening::Health(event) => Self::ProcessHealth((**event).clone()),
            Happening::Recovery(event) => Self::ErrorRecovery((**event).clone()),
            Happening::Notification(event) => Self::Notification((**event).clone()),
            Happening::Workflow(event) => match event.transition {
                Transition::StepRetrying { .. } => Self::WorkflowEvents((**event).clone()),
                _ => return None,
            },
            // What is done about one is told, too.
            Happening::Error(_) => return None,
        })
    }

    pub(crate) fn at(&self) -> Timestamp {
        match self {
            Self::Driven { at, .. } => *at,
            Self::ServiceLifecycle(event) => event.at,
            Self::ProcessLifecycle(event) => event.at,
            Self::ProcessHealth(event) => event.at,
            Self::ErrorRecovery(event) => event.at,
            Self::Notification(event) => event.at,
            Self::WorkflowEvents(event) => event.at,
        }
    }

    /// The process or service that it is about.
    pub(crate) fn of_what(&self) -> Option<&str> {
        Some(match self {
            Self::ServiceLifecycle(event) => &event.service,
            Self::ProcessLifecycle(event) => &event.process,
            Self::ProcessHealth(event) => &event.process,
            Self::ErrorRecovery(event) => &event.source,
            Self::WorkflowEvents(event) => event.transition.step()?,
            Self::Driven { .. } | Self::Notification(_) => return None,
        })
    }

    /// As a line that is kept.
    pub(super) fn line(&self) -> Option<ProcessOutput> {
        Some(ProcessOutput {
            process: EVENTS.to_owned(),
            pid: 0,
            attempt: 1,
            stream: OutputStream::Stdout,
            line: serde_json::to_string(self).ok()?,
            continues: false,
        })
    }

    /// What a line says, with nothing in it for a terminal to obey. `None`: it is of a later version, or
    /// somebody else wrote it.
    pub(crate) fn read(record: &Record) -> Option<Self> {
        let mut told: Self = serde_json::from_str(&record.line).ok()?;
        for text in told.texts() {
            *text = safe(text);
        }
        Some(told)
    }

    fn texts(&mut self) -> Vec<&mut String> {
        match self {
            Self::Driven { .. } => Vec::new(),
            Self::ServiceLifecycle(event) => {
                let mut texts = vec![&mut event.service];
                match &mut event.state {
                    ServiceState::NotReady { answer } | ServiceState::Unhealthy { answer } => {
                        texts.push(answer);
                    }
                    _ => {}
                }
                texts
            }
            Self::ProcessLifecycle(event) => {
                let mut texts = vec![&mut event.process];
                if let ProcessState::NotStarted { error } = &mut event.state {
                    texts.push(error);
                }
                texts
            }
            Self::ProcessHealth(event) => vec![&mut event.process, &mut event.answer],
            Self::ErrorRecovery(event) => {
                let mut texts = vec![&mut event.source, &mut event.strategy];
                if let Recovery::GaveUp { reason, .. } = &mut event.progress {
                    texts.push(reason);
                }
                texts
            }
            Self::Notification(event) => vec![&mut event.title, &mut event.message],
            Self::WorkflowEvents(event) => match &mut event.transition {
                Transition::StepRetrying { step, error, .. } => vec![step, error],
                _ => Vec::new(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(line: &str) -> Record {
        Record {
            at: Timestamp::UNIX_EPOCH,
            stream: OutputStream::Stdout,
            attempt: 1,
            line: line.to_owned(),
            continues: false,
            is_after_gap: false,
        }
    }

    #[test]
    fn what_happened_is_read_as_it_was_written_but_for_what_a_terminal_obeys() {
        let told = |answer: &str| {
            KeptEvent::ServiceLifecycle(ServiceLifecycle {
                service: "api".to_owned(),
                at: Timestamp::UNIX_EPOCH,
                state: ServiceState::Unhealthy {
                    answer: answer.to_owned(),
                },
            })
        };
        let read = |told: &KeptEvent| KeptEvent::read(&record(&told.line().unwrap().line)).unwrap();
        assert_eq!(read(&told("HTTP 500")), told("HTTP 500"));
        assert_eq!(
            read(&told("a\u{1b}[2J\u{202e}b\u{7}")),
            told("a\u{fffd}[2Jb")
        );
        let driven = KeptEvent::Driven {
            at: Timestamp::UNIX_EPOCH,
            retried: true,
        };
        assert_eq!(read(&driven), driven);
        assert_eq!(KeptEvent::read(&record("{\"topic\":\"of-later\"}")), None);
    }
}
