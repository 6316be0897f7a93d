//! Flows between the topics of the shared vocabulary: what processes do becomes entries of the log
//! and notifications, what a person types is shown, and modules learn of their settings.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), coord_flow::FlowError> {
//! use std::sync::Arc;
//! use coord_bus::{LocalBus, time::SystemClock};
//! use coord_flow::{EventChoreographer, builtin};
//!
//! let choreographer = EventChoreographer::new(Arc::new(LocalBus::new()))?;
//! choreographer.add_event_flow(builtin::process_lifecycle_to_log())?;
//! choreographer.add_event_flow(builtin::process_output_to_log(Arc::new(SystemClock)))?;
//! choreographer.add_event_flow(builtin::process_crash_to_notification())?;
//! # Ok(())
//! # }
//! ```
//!
//! What one of them cannot handle is counted and told, and becomes no dead letter.

use std::collections::HashSet;
use std::sync::Arc;

use coord_bus::Topic;
use coord_bus::time::Clock;
use coord_bus::vocabulary::{
    CLI_COMMAND, CLI_PARSE, CONFIG_CHANGE, CliState, ConfigChange, LOG_EVENTS, LogEvent, LogLevel,
    NOTIFICATION, Notification, OutputStream, PROCESS_HEALTH, PROCESS_LIFECYCLE, PROCESS_OUTPUT,
    ProcessState, SERVICE_LIFECYCLE, ServiceState, Severity, SignalName, UI_UPDATE, UiChange,
    UiUpdate,
};

use crate::{EventFlow, OnFailure};

/// The most processes that are known to be stopping at once. Of more, the end is told as a crash:
/// a notification too many is better than one too few.
const STOPPING_MAX: usize = 4096;

/// How processes start and end, as entries of the log: `info`, but `warn` for a process that did
/// not exit with code 0, and `error` for one that did not start.
///
/// Whether an end was a crash is not told here: see [`process_crash_to_notification`].
pub fn process_lifecycle_to_log() -> EventFlow {
    EventFlow::from(&PROCESS_LIFECYCLE)
        .filter_map(|event| {
            let (level, message) = match &event.state {
                ProcessState::Started { pid } => {
                    (LogLevel::Info, format!("started as process {pid}"))
                }
                ProcessState::NotStarted { error } => {
                    (LogLevel::Error, format!("did not start: {error}"))
                }
                ProcessState::Stopping { signal } => {
                    let name = SignalName(*signal);
                    (LogLevel::Info, format!("asked to stop by {name}"))
                }
                ProcessState::Exited(exit) if exit.is_success() => {
                    (LogLevel::Info, exit.to_string())
                }
                ProcessState::Exited(exit) => (LogLevel::Warn, exit.to_string()),
                // A state that came into the vocabulary later.
                _ => return None,
            };
            Some(LogEvent {
                at: event.at,
                level,
                source: event.process.clone(),
                message,
            })
        })
        .to(&LOG_EVENTS)
        .named("process-lifecycle-to-log")
        .on_failure(OnFailure::Skip)
}

/// What processes print, as entries of the log: `info` from standard output, `warn` from standard
/// error. The source is the process, the time that of the clock.
///
/// Standard error is where programs complain; some print their progress there too, which who reads
/// the log can tell by its source.
pub fn process_output_to_log(clock: Arc<dyn Clock>) -> EventFlow {
    EventFlow::from(&PROCESS_OUTPUT)
        .map(move |event| LogEvent {
            at: clock.now(),
            level: match event.stream {
                OutputStream::Stdout => LogLevel::Info,
                OutputStream::Stderr => LogLevel::Warn,
            },
            source: event.process.clone(),
            message: event.line.clone(),
        })
        .to(&LOG_EVENTS)
        .named("process-output-to-log")
        .on_failure(OnFailure::Skip)
}

/// Whether processes are well, as entries of the log: `info` for one that is, `warn` for one that is
/// not.
pub fn process_health_to_log() -> EventFlow {
    EventFlow::from(&PROCESS_HEALTH)
        .map(|event| {
            let (level, is) = match event.healthy {
                true => (LogLevel::Info, "passed"),
                false => (LogLevel::Warn, "failed"),
            };
            LogEvent {
                at: event.at,
                level,
                source: event.process.clone(),
                message: format!("{} probe {is}: {}", event.probe, event.answer),
            }
        })
        .to(&LOG_EVENTS)
        .named("process-health-to-log")
        .on_failure(OnFailure::Skip)
}

/// How services get on, as entries of the log: `info`, but `warn` for one that lost what it needs or
/// ended unasked, and `error` for one that is not ready in time, unhealthy or failed.
pub fn service_lifecycle_to_log() -> EventFlow {
    EventFlow::from(&SERVICE_LIFECYCLE)
        .filter_map(|event| {
            let (level, message) = match &event.state {
                ServiceState::Starting => (LogLevel::Info, "starting".to_owned()),
                ServiceState::Ready { duration } => {
                    (LogLevel::Info, format!("ready after {duration:.1?}"))
                }
                ServiceState::NotReady { answer } => {
                    (LogLevel::Error, format!("did not become ready: {answer}"))
                }
                ServiceState::Unhealthy { answer } => {
                    (LogLevel::Error, format!("unhealthy: {answer}"))
                }
                ServiceState::Draining => (LogLevel::Info, "draining".to_owned()),
                ServiceState::DependencyLost { dependency, reason } => {
                    (LogLevel::Warn, format!("lost {dependency}: {reason}"))
                }
                ServiceState::DependencyBack { dependency } => {
                    (LogLevel::Info, format!("{dependency} is back"))
                }
                ServiceState::Failed { error } => (LogLevel::Error, format!("failed: {error}")),
                ServiceState::Ended { asked: true, .. } => (LogLevel::Info, "ended".to_owned()),
                ServiceState::Ended { exit, asked: false } => {
                    let how = exit.as_ref().map(|exit| format!(": {exit}"));
                    let how = how.unwrap_or_default();
                    (LogLevel::Warn, format!("ended unasked{how}"))
                }
                // A state that came into the vocabulary later.
                _ => return None,
            };
            Some(LogEvent {
                at: event.at,
                level,
                source: event.service.clone(),
                message,
            })
        })
        .to(&LOG_EVENTS)
        .named("service-lifecycle-to-log")
        .on_failure(OnFailure::Skip)
}

/// A notification of each process that crashes: it ends with anything but exit code 0, and was not
/// asked to stop before.
pub fn process_crash_to_notification() -> EventFlow {
    let mut stopping = HashSet::new();
    EventFlow::from(&PROCESS_LIFECYCLE)
        .filter_map(move |event| {
            let ProcessState::Exited(exit) = &event.state else {
                let is_stopping = matches!(event.state, ProcessState::Stopping { .. });
                if is_stopping && stopping.len() < STOPPING_MAX {
                    stopping.insert(event.process.clone());
                } else if !is_stopping {
                    // It is another of its name.
                    stopping.remove(&event.process);
                }
                return None;
            };
            if stopping.remove(&event.process) || exit.is_success() {
                return None;
            }
            Some(Notification {
                at: event.at,
                severity: Severity::Error,
                title: format!("{} crashed", event.process),
                message: exit.to_string(),
            })
        })
        .to(&NOTIFICATION)
        .named("process-crash-to-notification")
        .on_failure(OnFailure::Skip)
}

/// How commands get on, for the component `command.NAME` of a screen: a line of text.
pub fn cli_command_to_ui() -> EventFlow {
    EventFlow::from(&CLI_COMMAND)
        .filter_map(|event| {
            let text = match &event.state {
                CliState::Started => "running".to_owned(),
                CliState::Completed { duration } => format!("done in {duration:.1?}"),
                CliState::Failed { error, .. } => format!("failed: {error}"),
                CliState::Cancelled { .. } => "cancelled".to_owned(),
                // A state that came into the vocabulary later.
                _ => return None,
            };
            Some(UiUpdate {
                component: format!("command.{}", event.command),
                at: event.at,
                change: UiChange::Text { text },
            })
        })
        .to(&UI_UPDATE)
        .named("cli-command-to-ui")
        .on_failure(OnFailure::Skip)
}

/// What is wrong with the line that a person types, for the component `input` of a screen: the first
/// fault, with what may have been meant, or nothing.
pub fn cli_parse_to_ui() -> EventFlow {
    EventFlow::from(&CLI_PARSE)
        .map(|event| {
            let text = event
                .faults
                .first()
                .map(|fault| match fault.suggestions.first() {
                    Some(suggestion) => format!("{}: `{suggestion}`?", fault.message),
                    None => fault.message.clone(),
                });
            UiUpdate {
                component: "input".to_owned(),
                at: event.at,
                change: UiChange::Text {
                    text: text.unwrap_or_default(),
                },
            }
        })
        .to(&UI_UPDATE)
        .named("cli-parse-to-ui")
        .on_failure(OnFailure::Skip)
}

/// Changes of settings that concern a module, which is those of its section and of the sections in
/// that, to a topic of its own.
pub fn config_change_to_module(
    section: impl Into<String>,
    module: &Topic<ConfigChange>,
) -> EventFlow {
    let section = section.into();
    let name = format!("config-change-to-{section}");
    EventFlow::from(&CONFIG_CHANGE)
        .filter(move |change| change.concerns(&section))
        .to(module)
        .named(name)
        .on_failure(OnFailure::Skip)
}
