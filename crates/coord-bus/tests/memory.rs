//! What a topic costs in bytes, and a request in allocations, counted by the allocator, for each
//! thread by itself.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use allocation_counter::{AllocationInfo, measure};
use coord_bus::{
    BusExt, Endpoint, Envelope, LocalBus, Log, Overflow, SubscribeOptions, Subscriber, Topic,
};

const CAPACITY: usize = 1024;

/// The most events in one chunk.
const CHUNK: usize = 128;

/// What an idle log keeps of a burst: an empty chunk of at most 256 bytes, and lists.
const LEFT: i64 = 256 + 256;

/// An event of some size.
type Event = [u64; 7];

/// The bytes of a place for one: with its details, and whether it is filled.
const PLACE: usize = size_of::<Envelope<Event>>() + size_of::<u64>();

/// What a log, its subscribers and its lists of chunks cost besides the chunks.
const FIXED: usize = 8 * 1024;

/// A subscriber of each kind, by name.
fn kinds() -> Vec<(&'static str, SubscribeOptions<Event>)> {
    let mut kinds: Vec<(_, SubscribeOptions<Event>)> = vec![
        ("block", Overflow::Block.into()),
        ("drop-oldest", Overflow::DropOldest.into()),
        ("drop-newest", Overflow::DropNewest.into()),
        ("latest", Overflow::Latest.into()),
    ];
    for (name, overflow) in [
        ("nothing, block", Overflow::Block),
        ("nothing, drop-oldest", Overflow::DropOldest),
        ("nothing, drop-newest", Overflow::DropNewest),
        ("nothing, latest", Overflow::Latest),
    ] {
        let nothing = SubscribeOptions::new().overflow(overflow).filter(|_| false);
        kinds.push((name, nothing));
    }
    let by_key = SubscribeOptions::new().latest_by(16, |event: &Event| event[0] % 64);
    kinds.push(("latest-by", by_key));
    kinds
}

/// What is allocated while this runs, and what it returns.
fn measured<T>(run: impl FnOnce() -> T) -> (T, AllocationInfo) {
    let mut output = None;
    let info = measure(|| output = Some(run()));
    (output.expect("it has run"), info)
}

/// Publishes so many events, as far as there is room. How many were accepted.
fn publish(log: &Log<Event>, events: usize) -> usize {
    let accepted = |number: &u64| log.try_append([*number; 7].into()).is_ok();
    (0..events as u64).filter(accepted).count()
}

/// Receives what there is, and goes to sleep.
fn catch_up(subscriber: &mut Subscriber<Event>) {
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(_)) = pin!(subscriber.recv()).poll(&mut cx) {}
}

#[test]
fn an_idle_topic_costs_a_kilobyte_at_most() {
    const TOPICS: i64 = 1000;
    let bus = LocalBus::new();
    let topic = |number| Topic::<[u64; 4]>::in_process("").with_name(format!("idle.{number}"));
    let topics: Vec<_> = (0..TOPICS).map(topic).collect();
    let mut publishers = Vec::with_capacity(topics.len());
    let opened = measured(|| {
        publishers.extend(topics.iter().map(|topic| bus.publisher(topic)));
    });
    let subscribe = |topic| [(); 10].map(|()| bus.subscribe(topic).expect("it opens"));
    let mut subscribers: Vec<_> = topics.iter().map(subscribe).collect();
    let used = measured(|| {
        for (publisher, subscribers) in publishers.iter().zip(&mut subscribers) {
            let publisher = publisher.as_ref().expect("it opens");
            publisher.try_publish([7; 4]).expect("there is room");
            for subscriber in subscribers {
                assert!(subscriber.try_recv().is_ok() && subscriber.try_recv().is_err());
            }
        }
    });
    let bytes = (opened.1.bytes_current + used.1.bytes_current) / TOPICS;
    assert!(bytes <= 1024, "{bytes}");
}

#[test]
fn an_idle_subscriber_costs_half_a_kilobyte_and_with_a_filter_one_at_most() {
    for (kind, options) in kinds() {
        let log = Log::new("idle", CAPACITY);
        let subscribe = || {
            let mut subscriber = log.subscribe(options.clone());
            catch_up(&mut subscriber);
            subscriber
        };
        const IDLE: i64 = 512;
        // Many, as the list of them grows by doubling.
        let mut subscribers = Vec::with_capacity(64);
        let ((), info) = measured(|| subscribers.extend((0..64).map(|_| subscribe())));
        let each = info.bytes_current / 64;
        let most = match kind {
            "block" | "drop-oldest" | "drop-newest" | "latest" => IDLE,
            // What reads on its behalf has a cursor of its own, and a table of keys.
            _ => 2 * IDLE,
        };
        let handle = size_of::<Subscriber<Event>>() as i64;
        assert!(each + handle <= most, "{kind}: {each} and {handle} bytes");
        drop(subscribers);
    }
}

#[test]
fn a_subscriber_that_never_reads_costs_the_capacity_at_most() {
    for (kind, options) in kinds() {
        let log = Log::new("never-read", CAPACITY);
        let (accepted, info) = measured(|| {
            let subscriber = log.subscribe(options);
            let accepted = publish(&log, 20 * CAPACITY);
            drop(subscriber);
            accepted
        });
        let is_lossless = kind.ends_with("block");
        let expected = if is_lossless { CAPACITY } else { 20 * CAPACITY };
        assert_eq!(accepted, expected, "{kind}");
        // A chunk at each end, and a quarter within which publishers may wait to read on behalf of
        // a subscriber.
        let most = (CAPACITY + CAPACITY / 4 + 2 * CHUNK) * PLACE + FIXED;
        assert!(
            info.bytes_max <= most as u64,
            "{kind}: {} of {most}",
            info.bytes_max
        );
    }
}

#[test]
fn what_a_burst_took_is_given_back() {
    for (kind, options) in kinds() {
        // The table of keys keeps its room: for sixteen here.
        let keys = if kind == "latest-by" { 1536 } else { 0 };
        for burst in [1, 8, 100, CAPACITY] {
            let log = Log::new("burst", CAPACITY);
            let mut subscriber = log.subscribe(options.clone());
            catch_up(&mut subscriber);
            let ((), info) = measured(|| {
                for _ in 0..3 {
                    publish(&log, burst);
                    catch_up(&mut subscriber);
                }
            });
            assert!(info.bytes_max >= PLACE as u64);
            let left = info.bytes_current;
            assert!(left <= LEFT + keys, "{kind}, {burst}: {left} bytes");
        }
    }
}

#[test]
fn a_request_and_its_reply_take_one_allocation_and_of_a_burst_nothing_is_kept() {
    const REQUESTS: u64 = 1000;
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().build().expect("it starts");
    let endpoint = Endpoint::<u64, u64>::new("echo");
    let bus = LocalBus::new();
    let echo = |number| async move { Ok::<_, Infallible>(number) };
    let entered = runtime.enter();
    let responder = bus.respond(&endpoint, echo).expect("it opens");
    drop(entered);
    let requester = bus.requester(&endpoint).expect("it opens");
    let one_by_one = |requests| {
        let ask = async {
            for number in 0..requests {
                let reply = requester.request(number).await;
                assert_eq!(reply.expect("it is answered"), number);
            }
        };
        measured(|| runtime.block_on(ask)).1
    };
    one_by_one(1);
    let (none, all) = (one_by_one(0), one_by_one(REQUESTS));
    assert_eq!(all.count_total - none.count_total, REQUESTS);
    assert_eq!(all.count_current, none.count_current);
    let at_once = async {
        let mut asking: Vec<_> = (0..REQUESTS)
            .map(|number| Box::pin(requester.request(number)))
            .collect();
        poll_fn(|cx| {
            asking.retain_mut(|asking| asking.as_mut().poll(cx).is_pending());
            match asking.is_empty() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    };
    let ((), burst) = measured(|| runtime.block_on(at_once));
    assert!(burst.bytes_max >= 1000 * 64, "{burst:?}");
    assert!(burst.bytes_current <= 1024, "{burst:?}");
    drop(responder);
}
