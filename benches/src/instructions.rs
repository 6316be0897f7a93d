//! Runs one hot path a number of times, on one thread, for `cargo xtask instructions` to count the
//! instructions of: `instructions CASE TIMES`. Without arguments it names its cases.
#![expect(clippy::print_stdout, reason = "a program of the terminal")]

mod bus {
    pub(crate) mod event;
}
mod flow {
    pub(crate) mod long;
}

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bus::event::{Sample, Small, text};
use coord_bus::{Bus, BusExt, Endpoint, LocalBus, Log, Overflow, Subscriber, Topic};
use coord_flow::EventChoreographer;
use flow::long::{NUMBERS, RESULTS, expected, long_flow, long_loop};

/// How many events are published before all of them are received.
const BATCH: u64 = 100;

/// A name, and what is done so many times.
type Case = (&'static str, fn(u64));

const CASES: [Case; 9] = [
    ("publish-1-subscriber", |times| publish_to(1, times)),
    ("publish-16-subscribers", |times| publish_to(16, times)),
    ("publish-through-dyn-bus", publish_through_dyn_bus),
    ("publish-and-wake", publish_and_wake),
    ("try-publish-unheard", try_publish_unheard),
    ("subscribe-and-drop", subscribe_and_drop),
    ("request-and-reply", request_and_reply),
    ("flow", |times| from_numbers_to_results(times, false)),
    ("flow-by-hand", |times| from_numbers_to_results(times, true)),
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let case = arguments.next();
    let times = arguments.next().and_then(|times| times.parse().ok());
    let case = CASES
        .iter()
        .find(|(name, _)| Some(*name) == case.as_deref());
    match (case, times) {
        (Some((_, run)), Some(times)) => run(times),
        _ => CASES.iter().for_each(|(name, _)| println!("{name}")),
    }
}

/// Polls a future that does not have to wait.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("there is nothing to wait for"),
    }
}

/// Receives a batch with each subscriber.
fn receive(subscribers: &mut [Subscriber<Small>]) {
    for subscriber in subscribers {
        for _ in 0..BATCH {
            let update = now(subscriber.recv()).expect("the topic is open");
            std::hint::black_box(update.read());
        }
    }
}

fn in_batches(times: u64, mut publish: impl FnMut(Small), mut receive: impl FnMut()) {
    let text = text();
    for id in 0..times {
        publish(Small::new(id, &text));
        if (id + 1).is_multiple_of(BATCH) {
            receive();
        }
    }
}

fn publish_to(subscribers: usize, times: u64) {
    let log = Log::new("updates", 1024);
    let mut subscribers: Vec<_> = (0..subscribers)
        .map(|_| log.subscribe(Overflow::Block))
        .collect();
    let publish = |event: Small| assert!(now(log.append(event.into())).is_ok());
    in_batches(times, publish, || receive(&mut subscribers));
}

fn publish_through_dyn_bus(times: u64) {
    let bus: Arc<dyn Bus> = Arc::new(LocalBus::new());
    let topic = Topic::in_process("updates");
    let publisher = bus.publisher(&topic).expect("the topic opens");
    let mut subscribers = [bus.subscribe(&topic).expect("the topic opens")];
    let publish = |event| assert!(now(publisher.publish(event)).is_ok());
    in_batches(times, publish, || receive(&mut subscribers));
}

/// Each event finds its subscriber asleep.
fn publish_and_wake(times: u64) {
    let log = Log::new("updates", 1024);
    let mut subscriber = log.subscribe(Overflow::Block);
    let text = text();
    for id in 0..times {
        let asleep = pin!(subscriber.recv()).poll(&mut Context::from_waker(Waker::noop()));
        assert!(asleep.is_pending());
        assert!(now(log.append(Small::new(id, &text).into())).is_ok());
        let update = now(subscriber.recv()).expect("the log is open");
        std::hint::black_box(update.read());
    }
}

fn try_publish_unheard(times: u64) {
    let bus = LocalBus::new();
    let topic = Topic::in_process("updates");
    let publisher = bus.publisher(&topic).expect("the topic opens");
    let text = text();
    for id in 0..times {
        assert!(publisher.try_publish(Small::new(id, &text)).is_ok());
    }
}

fn subscribe_and_drop(times: u64) {
    let bus = LocalBus::new();
    let topic: Topic<Small> = Topic::in_process("updates");
    for _ in 0..times {
        drop(bus.subscribe(&topic).expect("the topic opens"));
    }
}

/// Who asks and who answers are two tasks of one thread.
fn request_and_reply(times: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("it starts");
    let bus = LocalBus::new();
    let endpoint: Endpoint<u64, u64> = Endpoint::new("successor");
    let requester = bus.requester(&endpoint).expect("the endpoint opens");
    runtime.block_on(async {
        let answer = |number: u64| async move { Ok::<_, Infallible>(number + 1) };
        let _responder = bus.respond(&endpoint, answer).expect("the endpoint opens");
        for number in 0..times {
            let reply = requester.request(number).await;
            assert!(reply.is_ok_and(|reply| reply == number + 1));
        }
    });
}

/// Who publishes, what is between, and who reads are three tasks of one thread.
fn from_numbers_to_results(times: u64, by_hand: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("it starts");
    runtime.block_on(async {
        let bus = Arc::new(LocalBus::new());
        let choreographer = EventChoreographer::new(bus.clone()).expect("the topic opens");
        if by_hand {
            let numbers = bus.subscribe(&NUMBERS).expect("the topic opens");
            let results = bus.publisher(&RESULTS).expect("the topic opens");
            tokio::spawn(long_loop(numbers, results));
        } else {
            choreographer.add_event_flow(long_flow()).expect("it runs");
        }
        let mut results = bus.subscribe(&RESULTS).expect("the topic opens");
        let publisher = bus.publisher(&NUMBERS).expect("the topic opens");
        tokio::spawn(async move {
            for n in 0..times {
                publisher.publish(n).await.expect("the topic is open");
            }
        });
        let (mut sum, expected) = (0, expected(times));
        while sum < expected {
            sum += *results.recv().await.expect("the topic is open");
        }
        assert_eq!(sum, expected, "results were lost or doubled");
    });
}
