//! What a flow is made of: stages, each of which pulls from the one before it.
//!
//! The stages of a flow are one type and one call, as the adapters of an iterator are: nothing is
//! boxed, queued or scheduled between two of them.

mod aggregate;
mod change;
mod enrich;
mod flat_map;
mod merge;
mod source;
mod try_map;
mod zip;

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::mem;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::{Context, Poll};

use coord_bus::{Bus, BusError, Failure};

pub(crate) use aggregate::Aggregate;
pub(crate) use change::Change;
pub(crate) use enrich::Enrich;
pub(crate) use flat_map::FlatMap;
pub(crate) use merge::Merge;
pub(crate) use source::{All, And, ByRef, Keeps, Shared, Source};
pub(crate) use try_map::TryMap;
pub(crate) use zip::Zip;

use crate::course::{Course, SourceControl, add};
use crate::failure::Failures;
use crate::options::{OnFailure, RetryOptions};
use crate::origin::{Origin, Original};
use crate::report::FlowState;

/// What a flow pulls its items from: a source, or a stage after one. Only this crate has any.
pub trait Stage: Send + 'static {
    /// What comes out.
    type Out: Send + 'static;

    /// Whether it, or one before it, may hold an item while it takes the next from a source.
    const HOLDS: bool;

    /// The next that comes out. After [`Pulled::End`] it can be asked again: a source whose end was
    /// called off has more, and what had no partner may still get one.
    fn poll_next(&mut self, cx: &mut Context<'_>, way: &Way) -> Poll<Pulled<Self::Out>>;

    /// Goes on with what it holds, without taking or giving anything. Whoever waits and does not ask it for more
    /// calls this: a stage after it, or the flow for a sink.
    fn poll_progress(&mut self, cx: &mut Context<'_>, way: &Way);

    /// Whether nothing will come out any more, as the topics are closed that it comes from: an end
    /// that is called off meanwhile looks like this one otherwise.
    fn is_closed(&self) -> bool;

    /// Shows all sources before it, and where two flows go together; those that come first, first.
    fn visit(&mut self, visitor: &mut dyn FnMut(Part<'_>));
}

/// What comes out of a stage.
pub enum Pulled<T> {
    /// An item, and where it came from.
    Item(T, Origin),
    /// One that came to nothing.
    Failed(Box<Failed>),
    /// Nothing more, and nothing is held but what has no partner.
    End,
}

/// An item that came to nothing.
pub struct Failed {
    pub(crate) kind: &'static str,
    pub(crate) stage: Label,
    /// Unknown where a panic does not say.
    pub(crate) origin: Option<Origin>,
    pub(crate) failure: Failure,
    pub(crate) attempts: u32,
}

impl Failed {
    pub(crate) fn of(label: Label, origin: Origin, failure: Failure, attempts: u32) -> Box<Self> {
        Box::new(Self {
            kind: "failed",
            stage: label,
            origin: Some(origin),
            failure,
            attempts,
        })
    }
}

/// A stage's place in its flow, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) kind: &'static str,
    /// Counted from 1; 0 is the end of the flow.
    pub(crate) place: usize,
}

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            // The end.
            0 => formatter.write_str(self.kind),
            place => write!(formatter, "stage {place} ({})", self.kind),
        }
    }
}

/// What the stages of a running flow share.
pub struct Way {
    pub(crate) course: Arc<Course>,
    pub(crate) retry: RetryOptions,
    failures: Failures,
    /// Where the last panic happened.
    panicked: Cell<(Option<Label>, Option<Origin>)>,
}

impl Way {
    pub(crate) fn new(course: Arc<Course>, retry: RetryOptions, failures: Failures) -> Self {
        Self {
            course,
            retry,
            failures,
            panicked: Cell::default(),
        }
    }

    /// Calls what may panic, so that it is known what did.
    #[inline]
    pub(crate) fn watch<R>(
        &self,
        label: Option<Label>,
        origin: Option<&Origin>,
        call: impl FnOnce() -> R,
    ) -> R {
        let on_panic = OnPanic {
            way: self,
            label,
            origin,
        };
        let result = call();
        mem::forget(on_panic);
        result
    }

    /// Events of a source did not come, as it lost them.
    #[cold]
    pub(crate) fn lost(&self, source: &SourceControl, lag: u64) {
        add(&self.course.counts.lost, lag);
        source.lose(lag);
    }

    /// Events came and cannot be decoded, the last of them just before this sequence.
    #[cold]
    pub(crate) fn undecodable(&self, source: &SourceControl, events: u64, before: u64) {
        let counts = &self.course.counts;
        add(&counts.received, events);
        add(&counts.failed, events);
        let topic = source.topic();
        let events = match events {
            1 => "an event".to_owned(),
            events => format!("{events} events"),
        };
        let message = format!("{events} before {topic}#{before} cannot be decoded");
        self.failures.tell(&self.course, "undecodable", message);
    }

    /// Sees to it that what becomes of an item that failed is what is to.
    pub(crate) fn see_to(
        &self,
        then: OnFailure,
        failed: Box<Failed>,
        original: Option<Arc<dyn Original>>,
    ) -> impl Future<Output = ControlFlow<FlowState>> + Send + use<> {
        let (failures, course) = (self.failures.clone(), Arc::clone(&self.course));
        async move { failures.see_to(&course, then, failed, original).await }
    }

    /// The same, for nobody who may wait.
    pub(crate) fn see_to_now(
        &self,
        then: OnFailure,
        failed: &Failed,
        original: Option<&Arc<dyn Original>>,
    ) -> ControlFlow<FlowState> {
        self.failures
            .see_to_now(&self.course, then, failed, original)
    }

    /// Remembers where a panic is on its way out of, as far as no one further in knew.
    #[cold]
    #[inline(never)]
    fn panicked_at(&self, label: Option<Label>, origin: Option<&Origin>) {
        let (known, from) = self.panicked.take();
        let from = from.or_else(|| origin.cloned());
        self.panicked.set((known.or(label), from));
    }

    /// The failure that a panic is.
    #[cold]
    pub(crate) fn caught(&self, panic: &(dyn Any + Send)) -> Box<Failed> {
        let (label, origin) = self.panicked.take();
        Box::new(Failed {
            kind: "panic",
            // Known nowhere: it was on its way out.
            stage: label.unwrap_or(Label {
                kind: "to",
                place: 0,
            }),
            origin,
            failure: Failure::panicked(panic),
            attempts: 1,
        })
    }
}

/// Dropped only by a panic. The innermost one that knows something is right.
struct OnPanic<'a> {
    way: &'a Way,
    label: Option<Label>,
    origin: Option<&'a Origin>,
}

impl Drop for OnPanic<'_> {
    // Its parts are named only where there is a panic: taken whole, it would be written to memory
    // before every call.
    #[inline]
    fn drop(&mut self) {
        self.way.panicked_at(self.label, self.origin);
    }
}

/// What a flow takes along when another takes its place.
pub enum Part<'a> {
    /// A subscriber.
    Source(&'a mut dyn AnySource),
    /// What waits for its partner.
    Pair(&'a mut dyn AnyPair),
}

/// Where two flows go together, whatever their types.
pub trait AnyPair {
    /// Gives away what waits for its partner.
    fn take(&mut self) -> Option<Half>;

    /// Adopts what waits, if it is from the same topics, on the same side, and of the same type.
    fn adopt(&mut self, halves: &mut Vec<Half>);
}

/// What waits for its partner, on the way to another flow.
pub struct Half {
    pub(crate) is_left: bool,
    /// Where its side comes from.
    pub(crate) topics: Vec<String>,
    /// How many items wait.
    pub(crate) items: u64,
    /// These, each with its [`Origin`], in their order.
    pub(crate) waiting: Box<dyn Any + Send>,
}

/// A source of a flow, whatever its type.
pub trait AnySource {
    /// Its topic's name.
    fn topic(&self) -> &str;

    /// The topic of its dead letters.
    fn dead_letter_topic(&self) -> String;

    /// The topic of its faults.
    fn fault_topic(&self) -> String;

    /// Subscribes, unless it is to adopt the subscriber of another flow.
    ///
    /// # Errors
    ///
    /// When a topic cannot be opened.
    fn open(&mut self, opening: &mut Opening<'_>) -> Result<(), BusError>;

    /// Gives its subscriber away.
    fn take(&mut self) -> Option<Handed>;

    /// Adopts a subscriber of its topic, if it waits for one and there is one.
    fn adopt(&mut self, handed: &mut Vec<Handed>);

    /// The event, if it is its own and still at hand.
    fn original(&self, origin: &Origin) -> Option<Arc<dyn Original>>;
}

/// A source's subscriber on the way to another flow.
pub struct Handed {
    pub(crate) control: Arc<SourceControl>,
    /// A `Subscriber<E>`.
    pub(crate) subscriber: Box<dyn Any + Send>,
}

/// What sources are opened with.
pub struct Opening<'a> {
    pub(crate) bus: &'a dyn Bus,
    pub(crate) flow: Arc<str>,
    pub(crate) dead_letters: bool,
    /// Whether sources keep each event from the start.
    pub(crate) keep: bool,
    /// Sources whose subscribers will be handed on.
    pub(crate) handed: Vec<Arc<SourceControl>>,
    /// All sources that were opened.
    pub(crate) controls: Vec<Arc<SourceControl>>,
}
