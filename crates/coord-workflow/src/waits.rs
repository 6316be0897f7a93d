//! Steps that only wait: for a signal, for an event of a bus, or for a time.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coord_bus::{BoxFuture, Bus, BusExt, Event, Meta, Topic};
use futures_util::FutureExt;
use futures_util::future::join_all;
use serde_json::Value;
use tokio::sync::Notify;

use crate::plan::{Action, Output};
use crate::{AttemptError, RunId, StepError};

/// What a step waits for, if that is all it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wait {
    /// A signal of this name.
    Signal(Box<str>),
    /// An event of this topic.
    Event(Box<str>),
    /// So long, counted from its first start.
    Sleep(Duration),
}

impl Wait {
    /// The signal that it is for, if it is for one.
    pub(crate) fn signal(&self) -> Option<&str> {
        match self {
            Self::Signal(name) => Some(name),
            Self::Event(_) | Self::Sleep(_) => None,
        }
    }

    /// The topic of the event that it is for, if it is for one.
    pub(crate) fn topic(&self) -> Option<&str> {
        match self {
            Self::Event(topic) => Some(topic),
            Self::Signal(_) | Self::Sleep(_) => None,
        }
    }
}

/// An event, as the output of the step that waits for it; or why there will be none.
pub(crate) type Heard = Result<Output, StepError>;

/// Subscribes for a run, at once; what comes of that is the event.
pub(crate) type Listen = Box<dyn Fn(&RunId) -> BoxFuture<'static, Heard> + Send + Sync>;

/// The events that have come for steps of a run: one for each at most.
#[derive(Default)]
pub(crate) struct Events {
    heard: Mutex<HashMap<usize, Heard>>,
    came: Notify,
}

impl Events {
    fn heard(&self) -> MutexGuard<'_, HashMap<usize, Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the event of a step.
    async fn of(&self, step: usize) -> Heard {
        loop {
            let came = self.came.notified();
            if let Some(heard) = self.heard().get(&step) {
                return heard.clone();
            }
            came.await;
        }
    }

    /// Listens until there is an event for each of these steps.
    pub(crate) async fn listen(&self, steps: Vec<(usize, BoxFuture<'static, Heard>)>) {
        let listening = steps.into_iter().map(|(step, event)| async move {
            // After a panic of who looks at the events it is not polled again.
            let heard = AssertUnwindSafe(event).catch_unwind().await;
            let heard = heard.unwrap_or_else(|panic| Err(StepError::panicked(&*panic)));
            self.heard().insert(step, heard);
            self.came.notify_waiters();
        });
        join_all(listening).await;
    }
}

/// Listens for an event that is wanted.
pub(crate) fn listener<E: Event + Clone, B: Bus + Clone + 'static>(
    bus: &B,
    topic: &Topic<E>,
    is_wanted: impl Fn(&E, &Meta<'_>, &RunId) -> bool + Send + Sync + 'static,
) -> Listen {
    let (bus, topic, is_wanted) = (bus.clone(), topic.clone(), Arc::new(is_wanted));
    Box::new(move |run| {
        let subscribed = bus.subscribe(&topic);
        let (run, is_wanted) = (run.clone(), Arc::clone(&is_wanted));
        Box::pin(async move {
            let mut events = subscribed.map_err(|error| StepError::from(error).permanent())?;
            while let Some(received) = events.recv().await {
                if is_wanted(received.event(), &received.meta(), &run) {
                    return Ok(Arc::new(received.event().clone()) as Output);
                }
            }
            let topic = events.topic().to_owned();
            Err(StepError::from(AttemptError::TopicClosed { topic }).permanent())
        })
    })
}

/// Waits for the event of the step.
pub(crate) fn event() -> Action {
    Box::new(|start| {
        let (events, step) = (Arc::clone(start.events), start.step);
        Some(Box::pin(async move { events.of(step).await }))
    })
}

/// Waits for a signal; `read` makes the step's output of what goes with it.
pub(crate) fn signal(
    name: &str,
    read: impl Fn(&str, Arc<Value>) -> Result<Output, StepError> + Copy + Send + Sync + 'static,
) -> Action {
    let name: Arc<str> = name.into();
    Box::new(move |start| {
        let (signals, name) = (Arc::clone(start.signals), Arc::clone(&name));
        let step = start.step;
        Some(Box::pin(async move {
            read(&name, signals.next(&name, step).await)
        }))
    })
}

/// Waits for so long; `output` is what the step puts out then.
pub(crate) fn sleep(wait: Duration, output: fn() -> Output) -> Action {
    Box::new(move |start| {
        let (run, step) = (Arc::clone(start.shared), start.step);
        Some(Box::pin(async move {
            run.sleep(step, wait).await;
            Ok(output())
        }))
    })
}
