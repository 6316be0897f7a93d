//! What the tests are made of: a bus of which single topics can be closed, topics, a clock.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::{self, ManualClock};
use coord_bus::{
    AnyLog, BoxFuture, Bus, BusError, BusExt, Drained, LocalBus, Opening, Port, Publisher,
    Subscriber, Timestamp, Topic, TopicStats, Watch, Watching,
};
use coord_flow::{EventChoreographer, FlowReport};

pub(crate) const NUMBERS: Topic<u64> = Topic::new("numbers").capacity(4);
pub(crate) const TENFOLD: Topic<u64> = Topic::new("tenfold").capacity(4);
pub(crate) const WORDS: Topic<String> = Topic::new("words").capacity(4);

pub(crate) const LONG: Duration = Duration::from_secs(1000);

/// Runs a test's future with time paused.
pub(crate) fn run<F: Future>(test: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(test)
}

/// Returns when nobody has anything to do: time is paused, and passes only then.
pub(crate) async fn idle() {
    time::sleep(Duration::from_millis(1)).await;
}

/// A bus in one process of which single topics can be closed.
#[derive(Default)]
pub(crate) struct StageBus {
    bus: LocalBus,
    logs: Mutex<HashMap<String, AnyLog>>,
}

impl StageBus {
    pub(crate) fn close_topic(&self, name: &str) {
        self.logs.lock().unwrap()[name].close();
    }
}

impl Bus for StageBus {
    fn open(&self, topic: &Opening<'_>) -> Result<Port, BusError> {
        let port = self.bus.open(topic)?;
        if let Port::Log(log) = &port {
            let mut logs = self.logs.lock().unwrap();
            logs.insert(topic.name().to_owned(), log.clone());
        }
        Ok(port)
    }

    fn watch(&self, watch: Watch) -> Result<Watching, BusError> {
        self.bus.watch(watch)
    }

    fn stats(&self) -> Vec<TopicStats> {
        self.bus.stats()
    }

    fn close(&self) {
        self.bus.close();
    }

    fn is_closed(&self) -> bool {
        self.bus.is_closed()
    }

    fn drain(&self, deadline: Duration) -> BoxFuture<'_, Drained> {
        self.bus.drain(deadline)
    }
}

pub(crate) struct Stage {
    pub(crate) bus: Arc<StageBus>,
    pub(crate) choreographer: EventChoreographer,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let bus = Arc::new(StageBus::default());
        let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
        let choreographer = EventChoreographer::with_clock(bus.clone(), clock).unwrap();
        Self { bus, choreographer }
    }

    pub(crate) fn publisher(&self) -> Publisher<u64> {
        self.bus.publisher(&NUMBERS).unwrap()
    }

    /// The one flow that there is.
    pub(crate) fn flow(&self) -> FlowReport {
        let mut flows = self.choreographer.event_flows();
        assert_eq!(flows.len(), 1);
        flows.remove(0)
    }
}

pub(crate) async fn publish(publisher: &Publisher<u64>, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        publisher.publish(number).await.unwrap();
    }
}

/// What a subscriber can get at once.
pub(crate) fn ready<E: Clone>(subscriber: &mut Subscriber<E>) -> Vec<E> {
    let mut events = Vec::new();
    while let Ok(event) = subscriber.try_recv() {
        events.push(event.event().clone());
    }
    events
}
