//! A bus for tests: every event and every request becomes bytes, crosses a task boundary, and is made
//! again; on its way, faults happen that a test asked for.

mod link;
mod endpoint;
mod faults;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_core::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use endpoint::ByteEndpoint;
use faults::Tally;
pub use faults::{FaultCounts, Faults};
use link::ByteLink;

use crate::{
    AnyLog, Bus, BusError, Drained, Opening, Port, TaskScope, TopicStats, Watch, Watchers,
    Watching, time,
};

/// How many events of a topic, or questions, may be on their way: a few, so that a test can fill the way too.
const ON_THEIR_WAY_MAX: usize = 3;

/// A bus for tests of what must work on any bus: it behaves as one does that reaches other
/// processes, without one.
///
/// An event is serialised, waits for its turn on the way, is carried by a task to the far side,
/// and serialised back for each subscriber. `publish` resolves when the far side has it. So up to
/// the capacity of its topic plus four events may be accepted that nobody has received, and
/// `try_publish` succeeds before the event arrives. In-process topics are refused.
///
/// A question goes the same way, and its reply comes back as bytes too. So as many requests may be
/// accepted that nobody has taken: whoever asks more waits, or where it must not is refused.
///
/// Topics must be opened on a tokio runtime, whose tasks carry the events. Dropping the bus cuts
/// every way: what had not arrived is lost, publishers are refused, and subscribers get what had
/// arrived, then `None`. Whoever waits for a reply is told that the endpoint is closed.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use coord_bus::{BusExt, ByteBus, Topic};
///
/// const GREETING: Topic<String> = Topic::new("greeting");
///
/// let bus = ByteBus::new();
/// let mut greetings = bus.subscribe(&GREETING)?;
/// bus.publisher(&GREETING)?.publish("hello".to_owned()).await?;
/// assert_eq!(*greetings.recv().await.unwrap(), "hello");
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct ByteBus {
    topics: Mutex<Topics>,
    watchers: Watchers,
    carriers: TaskScope,
    faults: Faults,
    tally: Tally,
}

#[derive(Debug, Default)]
struct Topics {
    opened: BTreeMap<String, Opened>,
    closed: bool,
}

/// A topic or an endpoint, and what its first opening said of it: a log of which only the check is
/// used.
#[derive(Debug)]
struct Opened {
    first: AnyLog,
    port: Port,
}

impl ByteBus {
    /// A bus without topics.
    pub fn new() -> Self {
        Self::with_faults(Faults::seeded(0))
    }

    /// A bus without topics, on which these faults happen.
    pub fn with_faults(faults: Faults) -> Self {
        Self {
            topics: Mutex::default(),
            watchers: Watchers::new(),
            carriers: TaskScope::new("byte-bus"),
            faults,
            tally: Tally::default(),
        }
    }

    /// How many faults there have been. What a subscriber of a topic was to get is what was
    /// published, without those that were dropped, and with those that were duplicated once more.
    /// [`Bus::stats`] counts what arrived.
    pub fn faults(&self) -> FaultCounts {
        *self.tally.lock()
    }

    fn topics(&self) -> MutexGuard<'_, Topics> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ports(&self) -> Vec<Port> {
        let topics = self.topics();
        let opened = topics.opened.values();
        opened.map(|opened| opened.port.clone()).collect()
    }

    fn make_port(&self, topic: &Opening<'_>) -> Port {
        let (faults, tally, carriers) = (&self.faults, &self.tally, &self.carriers);
        match topic.is_endpoint() {
            true => Port::Endpoint(ByteEndpoint::open(topic, faults, tally, carriers)),
            false => Port::Link(ByteLink::open(topic, faults, tally, carriers)),
        }
    }
}

impl Default for ByteBus {
    fn default() -> Self {
        Self::new()
    }
}

impl Bus for ByteBus {
    fn open(&self, topic: &Opening<'_>) -> Result<Port, BusError> {
        let name = topic.name().to_owned();
        if !topic.crosses_processes() {
            return Err(BusError::InProcessOnly {
                topic: name,
                event: topic.type_name(),
            });
        }
        let mut topics = self.topics();
        if let Some(opened) = topics.opened.get(&name) {
            opened.first.check(topic)?;
            return Ok(opened.port.clone());
        }
        if topics.closed {
            return Err(BusError::Closed { topic: name });
        }
        let port = self.make_port(topic);
        let attached = self.watchers.opened(&name, &port)?;
        let opened = Opened {
            first: topic.make_log(),
            port: port.clone(),
        };
        topics.opened.insert(name, opened);
        drop(topics);
        drop(attached);
        Ok(port)
    }

    fn watch(&self, watch: Watch) -> Result<Watching, BusError> {
        let topics = self.topics();
        let opened = topics.opened.iter();
        let ports = opened.map(|(name, opened)| (&**name, opened.port.clone()));
        self.watchers.watch(watch, ports)
    }

    fn stats(&self) -> Vec<TopicStats> {
        self.ports().iter().map(Port::stats).collect()
    }

    fn close(&self) {
        self.topics().closed = true;
        self.ports().iter().for_each(Port::close);
        self.watchers.close();
    }

    fn is_closed(&self) -> bool {
        self.topics().closed
    }

    fn drain(&self, deadline: Duration) -> BoxFuture<'_, Drained> {
        Box::pin(async move {
            self.close();
            let before = self.stats();
            let all = async {
                for port in self.ports() {
                    port.drained().await;
                }
            };
            // In time or not: the counts say it.
            let _ = time::timeout(deadline, all).await;
            Drained::between(&before, self.stats())
        })
    }
}

/// The next parcel; `None` once the entrance is closed and nothing is left of what it accepted.
async fn next<P>(parcels: &mut mpsc::Receiver<P>, closed: &CancellationToken) -> Option<P> {
    if let Some(parcel) = closed.run_until_cancelled(parcels.recv()).await {
        return parcel;
    }
    parcels.close();
    parcels.recv().await
}
