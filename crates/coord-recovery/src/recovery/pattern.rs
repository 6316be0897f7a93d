//! What an error looks like: a predicate over the events of one topic.

use std::fmt;
use std::sync::Arc;

use coord_bus::vocabulary::{Severity, Transition, WORKFLOW_EVENTS, WorkflowEvent};
use coord_bus::{
    BoxFuture, Bus, BusError, BusExt, CancellationToken, Event, Overflow, Received, Subscriber,
    Topic,
};
use tokio::select;

use super::LAST_MAX;
use super::desk::{Desk, PUBLISHER};

/// What an error looks like on one topic.
///
/// A match is published to `error-detected`, with the pattern's name as its kind.
///
/// ```
/// use coord_bus::vocabulary::{PROCESS_LIFECYCLE, ProcessLifecycle, ProcessState};
/// use coord_recovery::{ErrorPattern, Matched};
///
/// let killed = ErrorPattern::on(&PROCESS_LIFECYCLE, "killed", |event: &ProcessLifecycle| {
///     match event.state {
///         ProcessState::Exited(exit) if exit.signal == Some(9) => {
///             Some(Matched::new(&event.process, exit.to_string()))
///         }
///         _ => None,
///     }
/// });
/// assert_eq!(killed.name(), "killed");
/// ```
pub struct ErrorPattern {
    name: Arc<str>,
    open: Open,
}

/// Subscribes to the pattern's topic; what comes back reads it to its end.
type Open = Box<dyn FnOnce(&dyn Bus, Found) -> Result<BoxFuture<'static, ()>, BusError> + Send>;

/// Where matches go, and until when.
struct Found {
    pattern: Arc<str>,
    desk: Arc<Desk>,
    stop: CancellationToken,
}

/// What a pattern has found in an event.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Matched {
    /// Who has the error: a task, a step, a process, a module.
    pub source: String,
    /// What went wrong.
    pub message: String,
    /// How bad it is; [`Severity::Error`] where nothing else is said.
    pub severity: Severity,
}

impl Matched {
    /// An error of this source.
    pub fn new(source: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            message: message.into(),
            severity: Severity::Error,
        }
    }

    /// With another severity.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}

impl ErrorPattern {
    /// Looks at each event of a topic. `matches` is called in the pattern's own task, and should be
    /// quick; one that panics ends its pattern, and the panic is published.
    ///
    /// What a manager itself has published is not looked at, so that a pattern on `error-detected`
    /// does not match its own matches.
    pub fn on<E: Event>(
        topic: &Topic<E>,
        name: impl Into<Arc<str>>,
        matches: impl Fn(&E) -> Option<Matched> + Send + Sync + 'static,
    ) -> Self {
        let topic = topic.clone();
        Self {
            name: name.into(),
            open: Box::new(move |bus, found| {
                let events = bus.subscribe_with(&topic, Overflow::DropOldest)?;
                Ok(Box::pin(look(events, matches, found)))
            }),
        }
    }

    /// Steps of workflows that fail, with `WORKFLOW/STEP` as the source: for good
    /// ([`Severity::Error`]), for good but [optional](coord_bus::vocabulary::Transition::StepFailed)
    /// ([`Severity::Warning`]), or to be retried ([`Severity::Info`]). Its name is `failing-steps`.
    pub fn failing_steps() -> Self {
        Self::on(&WORKFLOW_EVENTS, "failing-steps", failing_step)
    }

    /// The pattern's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn open(
        self,
        bus: &dyn Bus,
        desk: Arc<Desk>,
        stop: CancellationToken,
    ) -> Result<BoxFuture<'static, ()>, BusError> {
        let pattern = self.name;
        let found = Found {
            pattern,
            desk,
            stop,
        };
        (self.open)(bus, found)
    }
}

/// Looks until it is to stop, and then at what is left.
async fn look<E: Event>(
    mut events: Subscriber<E>,
    matches: impl Fn(&E) -> Option<Matched>,
    found: Found,
) {
    loop {
        let event = select! {
            biased;
            () = found.stop.cancelled() => break,
            event = events.recv() => event,
        };
        let Some(event) = event else { return };
        if let Some(matched) = found.look_at(&event, &matches) {
            found.desk.detected(&found.pattern, matched).await;
        }
    }
    for _ in 0..LAST_MAX {
        let Ok(event) = events.try_recv() else { return };
        if let Some(matched) = found.look_at(&event, &matches) {
            found.desk.detected(&found.pattern, matched).await;
        }
    }
}

impl Found {
    fn look_at<E: Event>(
        &self,
        event: &Received<'_, E>,
        matches: impl Fn(&E) -> Option<Matched>,
    ) -> Option<Matched> {
        self.desk.missed(event.lag());
        if event.meta().source() == Some(PUBLISHER) {
            return None;
        }
        matches(event)
    }
}

fn failing_step(event: &WorkflowEvent) -> Option<Matched> {
    let (step, message, severity) = match &event.transition {
        Transition::StepFailed {
            step,
            error,
            optional,
            ..
        } => {
            let severity = if *optional {
                Severity::Warning
            } else {
                Severity::Error
            };
            (step, error.clone(), severity)
        }
        Transition::StepRetrying {
            step,
            attempt,
            error,
            ..
        } => {
            let message = format!("attempt {attempt} failed: {error}");
            (step, message, Severity::Info)
        }
        _ => return None,
    };
    let source = format!("{}/{step}", event.workflow);
    Some(Matched::new(source, message).severity(severity))
}

impl fmt::Debug for ErrorPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ErrorPattern")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
