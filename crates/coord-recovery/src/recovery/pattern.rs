//! What an error looks like: a predicate over the events of one topic, or a condition over many.

use std::fmt::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::Instant;
use coord_bus::vocabulary::{Severity, Transition, WORKFLOW_EVENTS, WorkflowEvent};
use coord_bus::{
    AnyDelivery, BoxFuture, Bus, BusError, BusExt, CancellationToken, Cause, Event, Overflow,
    Pattern, PatternSubscriber, Received, Subscriber, Topic, panic_message, text::shortened,
};
use serde_json::Value;
use tokio::select;

use super::condition::{find, message};
use super::desk::{Desk, PUBLISHER};
use super::storm::{GROUP_MAX, Storm};
use super::{Condition, LAST_MAX, MAX_MATCHES, NAME_MAX, RecoveryStrategy, SCOPE};

/// What an error looks like: on one topic by a function, or on all topics that match a pattern of
/// names by a [`Condition`].
///
/// A match is published to `error-detected`, with the pattern's name as its kind: each one, or where
/// there is a [`window`](Self::window) or a [`cooldown`](Self::cooldown), one for many.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use coord_bus::Pattern;
/// use coord_bus::vocabulary::{PROCESS_LIFECYCLE, ProcessLifecycle, ProcessState, Severity};
/// use coord_recovery::{Condition, ErrorPattern, Matched, RecoveryStrategy, Test};
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
///
/// let overloaded = ErrorPattern::matching(
///     Pattern::new("http.>")?,
///     "overloaded",
///     Condition::code(Test::at_least(500.0)),
/// )
/// .source_field("host")
/// .severity(Severity::Critical)
/// .window(10, Duration::from_secs(60))
/// .cooldown(Duration::from_secs(300))
/// .strategy(RecoveryStrategy::NotifyAndContinue);
/// # Ok(())
/// # }
/// ```
pub struct ErrorPattern {
    name: Arc<str>,
    look: Look,
    severity: Option<Severity>,
    storm: Storm,
    pub(super) strategy: Option<RecoveryStrategy>,
}

enum Look {
    At(Open),
    Over(Box<Over>),
}

/// Subscribes to the pattern's topic; what comes back reads it to its end.
type Open = Box<dyn FnOnce(&dyn Bus, Found) -> Result<BoxFuture<'static, ()>, BusError> + Send>;

/// Where matches go, until when, and how many of them are an error.
struct Found {
    pattern: Arc<str>,
    severity: Option<Severity>,
    storm: Storm,
    desk: Arc<Desk>,
    stop: CancellationToken,
}

/// What is looked for in events of any type.
struct Over {
    topics: Pattern,
    condition: Condition,
    source_field: Option<String>,
    group_field: Option<String>,
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
    /// Which matches count together, where they are counted; the source where nothing is said.
    pub group: Option<String>,
}

impl Matched {
    /// An error of this source.
    pub fn new(source: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            message: message.into(),
            severity: Severity::Error,
            group: None,
        }
    }

    /// Counted together with the others of this group.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
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
    /// quick. Where it panics, that is published as an error of the kind `panic` with the pattern as its
    /// source, and the pattern goes on with the next event.
    ///
    /// What a manager itself has published is not looked at, so that a pattern on `error-detected`
    /// does not match its own matches.
    pub fn on<E: Event>(
        topic: &Topic<E>,
        name: impl Into<Arc<str>>,
        matches: impl Fn(&E) -> Option<Matched> + Send + Sync + 'static,
    ) -> Self {
        let topic = topic.clone();
        let open: Open = Box::new(move |bus, found| {
            let events = bus.subscribe_with(&topic, Overflow::DropOldest)?;
            Ok(Box::pin(look(At { events, matches }, found)))
        });
        Self::looking(name.into(), Look::At(open))
    }

    /// Looks at each event of each topic that matches, whatever its type, as JSON. An event of a
    /// topic without a serialised form is not looked at, and counted as
    /// [`missed`](super::ErrorStatistics::missed).
    ///
    /// The source of what is found is the event's field `source`, at most 100 characters of it, or the
    /// topic where there is none; the message is its `message`, `error` or `reason`, or the topic.
    pub fn matching(topics: Pattern, name: impl Into<Arc<str>>, condition: Condition) -> Self {
        let over = Over {
            topics,
            condition,
            source_field: None,
            group_field: None,
        };
        Self::looking(name.into(), Look::Over(Box::new(over)))
    }

    fn looking(name: Arc<str>, look: Look) -> Self {
        Self {
            name,
            look,
            severity: None,
            storm: Storm::default(),
            strategy: None,
        }
    }

    /// Of what [`matching`](Self::matching) finds, the source is in this field. Of what
    /// [`on`](Self::on) finds, the function says it, and this changes nothing.
    #[must_use]
    pub fn source_field(mut self, path: impl Into<String>) -> Self {
        if let Look::Over(over) = &mut self.look {
            over.source_field = Some(path.into());
        }
        self
    }

    /// What [`matching`](Self::matching) finds is counted by what is in this field, of which the first
    /// 1000 characters tell groups apart; by its source otherwise. What [`on`](Self::on) finds, by its [group](Matched::group).
    #[must_use]
    pub fn group_by(mut self, path: impl Into<String>) -> Self {
        if let Look::Over(over) = &mut self.look {
            over.group_field = Some(path.into());
        }
        self
    }

    /// How bad it is, whatever the match says.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = Some(severity);
        self
    }

    /// Only so many matches of a group within this period are an error; each one by default. At most
    /// [`MAX_MATCHES`](super::MAX_MATCHES). The matches of an error do not count for the next one.
    #[must_use]
    pub fn window(mut self, matches: u32, within: Duration) -> Self {
        self.storm.needed = matches.clamp(1, MAX_MATCHES);
        self.storm.within = within;
        self
    }

    /// After an error, matches of its group are no other for so long; nothing by default. They are
    /// counted, and the next error says how many there were.
    #[must_use]
    pub fn cooldown(mut self, cooldown: Duration) -> Self {
        self.storm.cooldown = cooldown;
        self
    }

    /// What is done about it: registered with the pattern, in the place of an earlier strategy for
    /// its name.
    #[must_use]
    pub fn strategy(mut self, strategy: RecoveryStrategy) -> Self {
        self.strategy = Some(strategy);
        self
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

    /// What it compares a number with that no number can be compared with.
    pub(super) fn not_finite(&self) -> Option<f64> {
        match &self.look {
            Look::At(_) => None,
            Look::Over(over) => over.condition.not_finite(),
        }
    }

    pub(super) fn open(
        self,
        bus: &dyn Bus,
        desk: Arc<Desk>,
        stop: CancellationToken,
    ) -> Result<BoxFuture<'static, ()>, BusError> {
        let found = Found {
            pattern: self.name,
            severity: self.severity,
            storm: self.storm,
            desk,
            stop,
        };
        match self.look {
            Look::At(open) => open(bus, found),
            Look::Over(over) => {
                let events = bus.subscribe_pattern(over.topics.as_str(), Overflow::DropOldest)?;
                Ok(Box::pin(look(
                    Many {
                        events,
                        over: *over,
                    },
                    found,
                )))
            }
        }
    }
}

/// What an event is to a pattern: nothing, or this.
type Seen = Option<(Cause, Sign)>;

enum Sign {
    Matched(Matched),
    /// To look at it was a panic, which said this.
    Panicked(String),
}

/// What a pattern looks at: the events of one topic, or those of many.
trait Sight: Send {
    /// What the next event is; `None` when there will be no more.
    fn next(&mut self, desk: &Desk) -> impl Future<Output = Option<Seen>> + Send;

    /// The same, of an event that is there already.
    fn at_hand(&mut self, desk: &Desk) -> Option<Seen>;
}

/// Looks until it is to stop, and then at what is left.
async fn look(mut sight: impl Sight, mut found: Found) {
    let (desk, stop) = (Arc::clone(&found.desk), found.stop.clone());
    loop {
        let seen = select! {
            biased;
            () = stop.cancelled() => break,
            seen = sight.next(&desk) => seen,
        };
        let Some(seen) = seen else { return };
        found.detected(seen);
    }
    for _ in 0..LAST_MAX {
        let Some(seen) = sight.at_hand(&desk) else {
            return;
        };
        found.detected(seen);
    }
}

/// The events of one topic, by a function.
struct At<E: Event, F> {
    events: Subscriber<E>,
    matches: F,
}

impl<E: Event, F: Fn(&E) -> Option<Matched> + Send + Sync> Sight for At<E, F> {
    async fn next(&mut self, desk: &Desk) -> Option<Seen> {
        let event = self.events.recv().await?;
        Some(in_event(&event, &self.matches, desk))
    }

    fn at_hand(&mut self, desk: &Desk) -> Option<Seen> {
        let event = self.events.try_recv().ok()?;
        Some(in_event(&event, &self.matches, desk))
    }
}

fn in_event<E: Event>(
    event: &Received<'_, E>,
    matches: impl Fn(&E) -> Option<Matched>,
    desk: &Desk,
) -> Seen {
    desk.missed(event.lag());
    if event.meta().source() == Some(PUBLISHER) {
        return None;
    }
    // What the function changes of its own before it panics is its own affair.
    let sign = match catch_unwind(AssertUnwindSafe(|| matches(event))) {
        Ok(matched) => Sign::Matched(matched?),
        Err(panic) => Sign::Panicked(panic_message(&*panic).to_owned()),
    };
    Some((event.meta().cause(), sign))
}

/// The events of many topics, by a condition.
struct Many {
    events: PatternSubscriber,
    over: Over,
}

impl Sight for Many {
    async fn next(&mut self, desk: &Desk) -> Option<Seen> {
        let event = self.events.recv().await?;
        Some(self.over.in_event(&event, desk))
    }

    fn at_hand(&mut self, desk: &Desk) -> Option<Seen> {
        let event = self.events.try_recv().ok()?;
        Some(self.over.in_event(&event, desk))
    }
}

impl Over {
    fn in_event(&self, event: &AnyDelivery, desk: &Desk) -> Seen {
        desk.missed(event.lag());
        if event.meta().source() == Some(PUBLISHER) {
            return None;
        }
        let Some(value) =
            (event.to_json().ok()).and_then(|json| serde_json::from_slice(&json).ok())
        else {
            desk.missed(1);
            return None;
        };
        let matched = self.matched(event.topic(), &value)?;
        Some((event.meta().cause(), Sign::Matched(matched)))
    }

    fn matched(&self, topic: &str, event: &Value) -> Option<Matched> {
        if !self.condition.holds(event) {
            return None;
        }
        let field = |path: &str, characters| {
            find(event, path).map(|value| shortened(&in_words(value), characters).into_owned())
        };
        let source = field(self.source_field.as_deref().unwrap_or("source"), NAME_MAX);
        let message = message(event).unwrap_or(topic);
        let matched = Matched::new(source.unwrap_or_else(|| topic.to_owned()), message);
        let group = self
            .group_field
            .as_ref()
            .map(|path| field(path, GROUP_MAX).unwrap_or_default());
        Some(Matched { group, ..matched })
    }
}

fn in_words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Found {
    /// Tells a match, if it is one and there were enough of them, and a panic.
    fn detected(&mut self, seen: Seen) {
        let Some((cause, sign)) = seen else { return };
        let mut matched = match sign {
            Sign::Matched(matched) => matched,
            Sign::Panicked(message) => {
                let matched = Matched::new(format!("{SCOPE}/pattern/{}", self.pattern), message);
                return self.desk.detected("panic", matched, Some(&cause));
            }
        };
        let group = matched.group.as_ref().unwrap_or(&matched.source);
        let Some(before) = self.storm.admit(group, Instant::now()) else {
            self.desk.statistics().held_back += 1;
            return;
        };
        if before > 0 {
            let _ = write!(matched.message, " (and {before} more before)");
        }
        if let Some(severity) = self.severity {
            matched.severity = severity;
        }
        self.desk.detected(&self.pattern, matched, Some(&cause));
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
