//! Many topics at once: a [`Pattern`] of names, and how to subscribe to all that match it.

mod any_delivery;
mod subscriber;
mod watchers;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::topic::{TokensFault, tokens_fault};
use crate::{BusError, Overflow};

pub use any_delivery::AnyDelivery;
pub(crate) use any_delivery::{AnySource, Nothing, TypedSource, source_of_frames};
pub use subscriber::PatternSubscriber;
pub(crate) use watchers::Inbox;
pub use watchers::{Attached, Watch, Watchers, Watching};

/// Names of topics, by NATS's rules: tokens parted by dots, of which `*` stands for any one token,
/// and `>`, which must be the last, for one or more. Without a wildcard it is one name.
///
/// ```
/// use coord_bus::Pattern;
///
/// let one = Pattern::new("process.*")?;
/// assert!(one.matches("process.output") && !one.matches("process.output.raw"));
/// let more = Pattern::new("process.>")?;
/// assert!(more.matches("process.output.raw") && !more.matches("process"));
///
/// let wrong = Pattern::new("process.out*").unwrap_err().to_string();
/// assert!(wrong.contains("token 2, `out*`, has a `*` in it and is not `*`"));
/// # Ok::<(), coord_bus::BusError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// The pattern that this text is.
    ///
    /// # Errors
    ///
    /// [`BusError::InvalidPattern`] says what is wrong with it, and in which token.
    pub fn new(pattern: impl Into<String>) -> Result<Self, BusError> {
        let pattern = pattern.into();
        match pattern_fault(&pattern) {
            Some(fault) => Err(BusError::InvalidPattern { pattern, fault }),
            None => Ok(Self(pattern.into())),
        }
    }

    /// Whether a topic of this name matches.
    pub fn matches(&self, name: &str) -> bool {
        let mut tokens = name.split('.');
        for token in self.0.split('.') {
            match (token, tokens.next()) {
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (token, Some(same)) if token == same => {}
                _ => return false,
            }
        }
        tokens.next().is_none()
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Pattern {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl FromStr for Pattern {
    type Err = BusError;

    fn from_str(pattern: &str) -> Result<Self, BusError> {
        Self::new(pattern)
    }
}

/// What is wrong with a pattern, if anything is.
fn pattern_fault(pattern: &str) -> Option<String> {
    match tokens_fault(pattern) {
        Some(TokensFault::Empty) => return Some("it is empty".to_owned()),
        Some(TokensFault::TooLong) => return Some("it is longer than 255 bytes".to_owned()),
        Some(TokensFault::EmptyToken(count)) => return Some(format!("token {count} is empty")),
        Some(TokensFault::Blank(count)) => {
            let fault = format!("token {count} has white space or a control character in it");
            return Some(fault);
        }
        None => {}
    }
    let mut tokens = (1..).zip(pattern.split('.')).peekable();
    while let Some((count, token)) = tokens.next() {
        if token == ">" && tokens.peek().is_some() {
            return Some(format!("token {count} is `>`, which can only be the last"));
        }
        if token.len() > 1
            && let Some(at) = token.find(['*', '>'])
        {
            let wildcard = &token[at..=at];
            return Some(format!(
                "token {count}, `{token}`, has a `{wildcard}` in it and is not `{wildcard}` alone"
            ));
        }
    }
    None
}

/// How to subscribe to a pattern. The default loses nothing, and is named as the pattern.
///
/// ```
/// use coord_bus::{BusExt, LocalBus, Overflow, PatternOptions};
///
/// let bus = LocalBus::new();
/// let everything = bus.subscribe_pattern(">", PatternOptions::new().named("audit"))?;
/// let processes = bus.subscribe_pattern("process.>", Overflow::DropOldest)?;
/// # Ok::<(), coord_bus::BusError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct PatternOptions {
    pub(crate) overflow: Overflow,
    pub(crate) name: Option<Arc<str>>,
}

impl PatternOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// What happens on a topic on which it falls behind; [`Overflow::Block`] by default. Each
    /// topic counts for itself: `Latest`, for one, gives the newest event of each.
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// The name that [`stats`](crate::Bus::stats) and [`describe`](crate::BusExt::describe) show on
    /// each topic; by default the pattern.
    #[must_use]
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }
}

impl From<Overflow> for PatternOptions {
    fn from(overflow: Overflow) -> Self {
        Self::new().overflow(overflow)
    }
}
