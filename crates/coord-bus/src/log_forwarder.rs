//! Log events as events of `tracing`, for programs that log through it already.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_core::Stream;
use tracing::{Level, event};

use crate::vocabulary::{LOG_EVENTS, LogEvent, LogLevel};
use crate::{Bus, BusError, BusExt, Delivery, Overflow, Subscriber, TaskScope, text::Printable};

/// The target of all that is forwarded, for filters such as `coord::log_events=info`.
const TARGET: &str = "coord::log_events";

/// Forwards each event of the topic `log-events` to `tracing`, while it lives.
///
/// An event keeps its level and becomes one of the target `coord::log_events`, with the fields
/// `source` and `message`. Control characters in them, such as those that begin an escape sequence
/// of a terminal or a new line, become text (`\u{1b}`, `\n`): what a process prints cannot take
/// hold of the terminal of whoever reads the log, nor forge lines there.
///
/// It never holds up who publishes: once it is the topic's capacity behind, it loses the oldest
/// ([`Overflow::DropOldest`]), and says how many in a warning with the field `lost`.
///
/// When it is dropped, it forwards what was published before, on the thread that drops it, and
/// then no more. Over a bus that carries bytes, that is what has arrived. It also ends with its
/// topic.
///
/// Whoever makes log events out of `tracing` must leave its target out.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use coord_bus::{LocalBus, LogForwarder};
///
/// let bus = LocalBus::new();
/// let forwarder = LogForwarder::start(&bus)?;
/// // … the program runs.
/// drop(forwarder);
/// # Ok::<(), coord_bus::BusError>(()) }).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "it forwards while it lives"]
pub struct LogForwarder {
    tasks: TaskScope,
    events: Arc<Mutex<Subscriber<LogEvent>>>,
}

impl LogForwarder {
    /// Forwards what is published from now on, in a task on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// When the topic cannot be opened.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[track_caller]
    pub fn start(bus: &(impl Bus + ?Sized)) -> Result<Self, BusError> {
        let events = bus.subscribe_with(&LOG_EVENTS, Overflow::DropOldest)?;
        let events = Arc::new(Mutex::new(events));
        let tasks = TaskScope::new("log-forwarder");
        let shared = Arc::clone(&events);
        tasks.spawn("forward", poll_fn(move |cx| poll_forward(&shared, cx)));
        Ok(Self { tasks, events })
    }
}

impl Drop for LogForwarder {
    fn drop(&mut self) {
        self.tasks.abort();
        // The task holds this only while it is polled, and so never for long.
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.close();
        while let Ok(event) = events.try_recv() {
            forward(&event.into_delivery());
        }
    }
}

fn poll_forward(events: &Mutex<Subscriber<LogEvent>>, cx: &mut Context<'_>) -> Poll<()> {
    let mut events = events.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        match Pin::new(&mut *events).poll_next(cx) {
            Poll::Ready(Some(event)) => forward(&event),
            Poll::Ready(None) => return Poll::Ready(()),
            Poll::Pending => return Poll::Pending,
        }
    }
}

fn forward(event: &Delivery<LogEvent>) {
    let lost = event.lag() + event.undecodable();
    if lost > 0 {
        event!(
            target: TARGET,
            Level::WARN,
            lost,
            "log events were lost here: they came faster than they were forwarded, or were none"
        );
    }
    let (source, message) = (Printable(&event.source), Printable(&event.message));
    match event.level {
        LogLevel::Trace => event!(target: TARGET, Level::TRACE, %source, "{message}"),
        LogLevel::Debug => event!(target: TARGET, Level::DEBUG, %source, "{message}"),
        LogLevel::Info => event!(target: TARGET, Level::INFO, %source, "{message}"),
        LogLevel::Warn => event!(target: TARGET, Level::WARN, %source, "{message}"),
        LogLevel::Error => event!(target: TARGET, Level::ERROR, %source, "{message}"),
    }
}
