//! The load on topics: who publishes, a flow that fails and panics, readers of all kinds, streams.

use std::pin::pin;

use coordination::bus::{BusExt, Failure, Overflow, Subscriber};
use coordination::flow::EventFlow;
use coordination::optimize::per_second;
use fastrand::Rng;
use tokio_stream::StreamExt;

use super::world::{CHAOS, Count, Load, NUMBERS, PACED, RESULTS, World, a_while};

const FLOW: &str = "chaos";

/// What the test has counted of the events.
#[derive(Debug, Clone, Default)]
pub(crate) struct Events {
    pub(crate) published: Count,
    made: Count,
    failed: Count,
    panicked: Count,
    batched: Count,
    paced: Count,
    heard: Count,
    read: Count,
    oldest: Count,
    latest: Count,
}

impl World {
    /// Begins to publish, and to read what comes of it.
    pub(crate) fn load_events(&self) -> Events {
        let counts = Events::default();
        self.add_flow(&counts);
        self.read_all(&counts);
        let publisher = self.bus.publisher(&NUMBERS).expect("it is open");
        let (load, published) = (self.load.clone(), counts.published.clone());
        let mut random = self.chance();
        self.scope.spawn("publish", async move {
            let mut number = 0;
            while load.goes_on().await {
                publisher.publish(number).await.expect("the bus is open");
                published.one();
                number += 1;
                a_while(&mut random, 40).await;
            }
        });
        counts
    }

    fn add_flow(&self, counts: &Events) {
        let of_flow = counts.clone();
        let make = move |number: &u64| {
            if number % 17 == 3 {
                of_flow.failed.one();
                return Err(Failure::message("it is not liked"));
            }
            if number % 97 == 5 {
                of_flow.panicked.one();
                panic!("at {number}, {CHAOS}");
            }
            of_flow.made.one();
            Ok(number * 2)
        };
        let flow = EventFlow::from(&NUMBERS).try_map(make).to(&RESULTS);
        let choreographer = self.module.choreographer().expect("it is on");
        let added = choreographer.add_event_flow(flow.named(FLOW));
        added.expect("the name is free");
    }

    fn read_all(&self, counts: &Events) {
        let (bus, load) = (&self.bus, &self.load);
        let numbers = bus.subscribe(&NUMBERS).expect("it is open");
        let results = bus.subscribe(&RESULTS).expect("it is open");
        let paced = bus.subscribe(&PACED).expect("it is open");
        let oldest = bus.subscribe_with(&RESULTS, Overflow::DropOldest);
        let latest = bus.subscribe_with(&RESULTS, Overflow::Latest);
        let (oldest, latest) = (oldest.expect("it is open"), latest.expect("it is open"));
        let optimizer = self.module.optimizer().expect("it is on");
        let pace = per_second(5);
        optimizer
            .configure_buffer_size(&NUMBERS, 8)
            .expect("it is a size");
        optimizer
            .configure_rate_limit(&NUMBERS, pace)
            .expect("it is a rate");
        let into = optimizer.optimize_into(&NUMBERS, &PACED, &self.scope);
        into.expect("the topics are open");
        let batches = optimizer.subscribe(&NUMBERS).expect("it is open");

        let readers = [
            ("numbers", numbers, 0, &counts.heard),
            ("paced", paced, 10, &counts.paced),
            ("oldest", oldest, 300, &counts.oldest),
            ("latest", latest, 300, &counts.latest),
        ];
        for (name, subscriber, up_to, count) in readers {
            let reader = reader(subscriber, self.chance(), up_to, count.clone(), None);
            self.scope.spawn(name, reader);
        }
        let count = counts.read.clone();
        let results = reader(results, self.chance(), 30, count, Some(load.clone()));
        self.scope.spawn("results", results);
        let batched = counts.batched.clone();
        self.scope.spawn("batches", async move {
            let mut batches = pin!(batches);
            while let Some(batch) = batches.next().await {
                (0..batch.len()).for_each(|_| batched.one());
            }
        });
    }

    /// That every event is accounted for, by the counts of the test and by those of the parts.
    pub(crate) fn check_events(&self, counts: &Events) {
        for topic in self.bus.stats() {
            assert!(topic.ledger.is_balanced(), "{topic:?}");
            for subscriber in &topic.subscribers {
                assert!(subscriber.ledger.is_balanced(), "{topic:?}");
            }
        }
        let choreographer = self.module.choreographer().expect("it is on");
        let flows = choreographer.event_flows();
        for flow in &flows {
            assert!(flow.stats.is_balanced(), "{flow:?}");
        }
        let flow = flows.iter().find(|flow| flow.name == FLOW);
        let stats = flow.expect("it was added").stats;
        let failed = counts.failed.get() + counts.panicked.get();
        assert!(counts.failed.get() > 0 && counts.panicked.get() > 0);
        assert_eq!((stats.published, stats.failed), (counts.made.get(), failed));
        assert_eq!(stats.received, counts.made.get() + failed);
        assert_eq!((stats.held, stats.lost), (0, 0), "{stats:?}");

        let (dropped, doubled) = self.faults();
        let arrived = |published: u64, received: u64| {
            let least = published.saturating_sub(dropped);
            assert!(
                (least..=published + doubled).contains(&received),
                "{received} of {published}, {dropped} dropped, {doubled} doubled"
            );
        };
        arrived(counts.published.get(), counts.heard.get());
        assert_eq!(counts.heard.get(), stats.received);
        arrived(counts.made.get(), counts.read.get());
        arrived(counts.heard.get(), counts.paced.get());
        self.check_stream(counts);
    }

    fn check_stream(&self, counts: &Events) {
        let optimizer = self.module.optimizer().expect("it is on");
        let streams = optimizer.statistics();
        let stream = streams.iter().find(|stream| stream.topic == NUMBERS.name());
        let ledger = stream.expect("it was subscribed to").ledger;
        assert!(ledger.is_balanced(), "{ledger:?}");
        // Two streams have read the same: this one, and the one into the other topic.
        assert_eq!(ledger.received, 2 * counts.heard.get(), "{ledger:?}");
        assert_eq!(ledger.dropped.total(), 0, "{ledger:?}");
        let given_out = counts.batched.get() + counts.heard.get();
        assert_eq!(ledger.given_out, given_out, "{ledger:?}");
    }

    /// That those who may lose events were given what the topic says, of all that there was.
    pub(crate) fn check_lossy(&self, counts: &Events) {
        let stats = self.bus.stats();
        let results = stats.iter().find(|topic| topic.topic == RESULTS.name());
        for subscriber in &results.expect("it is open").subscribers {
            let counted = match subscriber.overflow {
                Overflow::DropOldest => &counts.oldest,
                Overflow::Latest => &counts.latest,
                _ => &counts.read,
            };
            assert_eq!(subscriber.ledger.delivered, counted.get(), "{subscriber:?}");
            assert_eq!(
                subscriber.ledger.published,
                counts.read.get(),
                "{subscriber:?}"
            );
        }
    }
}

/// Reads in its own time until there is nothing more. Numbers come in their order, whatever is lost.
async fn reader(
    mut events: Subscriber<u64>,
    mut random: Rng,
    up_to: u64,
    count: Count,
    load: Option<Load>,
) {
    let mut last = 0;
    loop {
        if let Some(load) = &load {
            load.is_read().await;
        }
        let Some(number) = events.recv().await.map(|number| *number) else {
            return;
        };
        assert!(number >= last, "{number} after {last}");
        last = number;
        count.one();
        a_while(&mut random, up_to).await;
    }
}
