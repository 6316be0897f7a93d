//! What it costs to open and to close one, as topics and subscribers become many.

use std::time::Instant;

use coord_bus::{BusExt, LocalBus, Publisher, Subscriber, Topic};

use super::event::Small;
use crate::report::{Report, Row};

const ROUNDS: usize = 9;
const SUBSCRIBERS_PER_TOPIC: usize = 10;
/// How often one is opened and closed in a round.
const TIMES: usize = 2_000;

/// A bus, and what keeps its topics in use.
struct Crowd {
    bus: LocalBus,
    topics: Vec<Topic<Small>>,
    _publishers: Vec<Publisher<Small>>,
    _subscribers: Vec<Subscriber<Small>>,
}

impl Crowd {
    fn new(topics: usize, subscribers_per_topic: usize) -> Self {
        let bus = LocalBus::new();
        let topics: Vec<_> = (0..topics).map(|number| topic("crowd", number)).collect();
        let publishers = topics.iter().map(|topic| bus.publisher(topic));
        let publishers = publishers.collect::<Result<_, _>>().expect("topics open");
        let each = topics
            .iter()
            .flat_map(|topic| std::iter::repeat_n(topic, subscribers_per_topic));
        let subscribers = each.map(|topic| bus.subscribe(topic));
        let subscribers = subscribers.collect::<Result<_, _>>().expect("topics open");
        Self {
            bus,
            topics,
            _publishers: publishers,
            _subscribers: subscribers,
        }
    }

    /// Subscribes to one topic after another, and goes again; ns each time.
    fn subscribe_and_go(&self) -> f64 {
        let start = Instant::now();
        for time in 0..TIMES {
            // A prime, so that neighbours in time are none in memory.
            let topic = &self.topics[time * 7919 % self.topics.len()];
            drop(self.bus.subscribe(topic).expect("the topic opens"));
        }
        start.elapsed().as_nanos() as f64 / TIMES as f64
    }

    /// Opens topics that are not there yet; ns each.
    fn open(&self, round: usize) -> f64 {
        let topics: Vec<_> = (0..TIMES / 20)
            .map(|number| topic(&format!("round-{round}"), number))
            .collect();
        let start = Instant::now();
        for topic in &topics {
            drop(self.bus.publisher(topic).expect("the topic opens"));
        }
        start.elapsed().as_nanos() as f64 / topics.len() as f64
    }
}

fn topic(family: &str, number: usize) -> Topic<Small> {
    Topic::in_process("").with_name(format!("{family}.{number}"))
}

pub(crate) fn run() {
    let crowds = [100, 1_000, 10_000].map(|topics| Crowd::new(topics, SUBSCRIBERS_PER_TOPIC));
    let report = Report::new(
        "bus scale",
        "ns, 10 subscribers a topic; in brackets × the fewest",
        ["100 topics", "1,000 topics", "10,000 topics"],
    );
    let row = Row::rounds(
        "subscribe and go".to_owned(),
        crowds.len(),
        ROUNDS,
        |crowd| crowds[crowd].subscribe_and_go(),
    );
    report.row(&row);
    let mut row = Row::new("open a topic".to_owned(), crowds.len());
    for round in 0..ROUNDS {
        for (index, crowd) in crowds.iter().enumerate() {
            row.add(index, crowd.open(round));
        }
    }
    report.row(&row);

    let crowds = [10, 1_000, 100_000].map(|subscribers| Crowd::new(1, subscribers));
    let report = Report::new(
        "bus scale",
        "ns, all subscribers on one topic; in brackets × the fewest",
        ["10 subscribers", "1,000 subscribers", "100,000 subscribers"],
    );
    let row = Row::rounds(
        "subscribe and go".to_owned(),
        crowds.len(),
        ROUNDS,
        |crowd| crowds[crowd].subscribe_and_go(),
    );
    report.row(&row);
}
