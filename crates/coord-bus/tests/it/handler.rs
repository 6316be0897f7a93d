//! Handlers: what they are called with, what becomes of what they cannot handle, and that none
//! waits for itself.

use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::{self, Instant};
use coord_bus::{
    Backoff, Bus, BusExt, ByteBus, DeadLetter, Delivery, Envelope, Failure, HandlerOptions,
    LocalBus, Overflow, Panicked, Publisher, Topic, TryReceiveError,
};

const NUMBERS: Topic<u64> = Topic::new("numbers");
const LONG: Duration = Duration::from_secs(3600);

/// What a handler was called with.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<u64>>>);

impl Calls {
    fn add(&self, number: u64) {
        self.0.lock().expect("no test panics with it").push(number);
    }

    fn all(&self) -> Vec<u64> {
        self.0.lock().expect("no test panics with it").clone()
    }

    fn count(&self, number: u64) -> usize {
        self.all()
            .into_iter()
            .filter(|each| *each == number)
            .count()
    }
}

async fn publish(publisher: &Publisher<u64>, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        publisher.publish(number).await.expect("it is open");
    }
}

/// Waits until nobody can get on: with time paused, no sleep ends before that.
async fn settle() {
    time::sleep(Duration::from_millis(1)).await;
}

#[derive(Debug)]
struct Refused(Option<Box<Refused>>);

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_some() {
            "it was refused"
        } else {
            "no permission"
        })
    }
}

impl Error for Refused {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.as_deref().map(|cause| cause as &dyn Error)
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_called_with_each_event_in_order() {
    let (bus, calls) = (LocalBus::new(), Calls::default());
    let seen = calls.clone();
    let handler = bus
        .on(&NUMBERS, move |number: Delivery<u64>| {
            seen.add(*number);
            async { Ok::<_, Failure>(()) }
        })
        .unwrap();
    publish(&bus.publisher(&NUMBERS).unwrap(), 1..=2000).await;
    let report = handler.drain(LONG).await;
    assert!(calls.all().into_iter().eq(1..=2000));
    assert_eq!(
        (report.handled, report.dead, report.is_over),
        (2000, 0, true)
    );
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again_after_its_backoff_and_order_is_kept() {
    let (bus, calls) = (LocalBus::new(), Calls::default());
    let seen = calls.clone();
    let backoff = Backoff::exponential(Duration::from_secs(1));
    let options = HandlerOptions::new().max_attempts(3).backoff(backoff);
    let handle = move |number: Delivery<u64>| {
        seen.add(*number);
        let is_good = *number != 2 || seen.count(2) == 3;
        async move { if is_good { Ok(()) } else { Err(Refused(None)) } }
    };
    let begin = Instant::now();
    let handler = bus.on_with(&NUMBERS, &options, handle).unwrap();
    publish(&bus.publisher(&NUMBERS).unwrap(), 1..=3).await;
    let report = handler.drain(LONG).await;
    assert_eq!(calls.all(), [1, 2, 2, 2, 3]);
    assert_eq!((report.handled, report.retried, report.dead), (3, 2, 0));
    assert_eq!(begin.elapsed().as_secs(), 1 + 2);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_handled_becomes_a_dead_letter_with_the_event_and_the_errors() {
    let bus = LocalBus::new();
    let options = HandlerOptions::new().named("billing").max_attempts(2);
    let handle = |_: Delivery<u64>| async { Err::<(), _>(Refused(Some(Box::new(Refused(None))))) };
    let handler = bus.on_with(&NUMBERS, &options, handle).unwrap();
    let envelope = Envelope::new(7).correlation_id("order-17").header("a", "b");
    let publisher = bus.publisher(&NUMBERS).unwrap();
    publisher.publish_with(envelope).await.unwrap();
    let report = handler.drain(LONG).await;
    assert_eq!((report.handled, report.dead, report.lost), (0, 1, 0));
    // They are retained: nobody has to have subscribed before.
    let mut letters = bus.subscribe(&NUMBERS.dead_letters()).unwrap();
    let letter = letters.try_recv().unwrap();
    assert_eq!(
        (*letter.event, letter.attempts, &*letter.handler),
        (7, 2, "billing")
    );
    assert_eq!(letter.error, ["it was refused", "no permission"]);
    let original = letter.event.meta();
    assert_eq!((original.topic(), original.sequence()), ("numbers", 1));
    assert_eq!(original.header("a"), Some("b"));
    assert_eq!(letter.meta().correlation_id(), Some("order-17"));
    assert_eq!(letter.meta().causation_id(), Some("numbers#1"));
    assert_eq!(letter.meta().topic(), "dead-letter.numbers");
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_is_not_tried_again() {
    let (bus, calls) = (LocalBus::new(), Calls::default());
    let seen = calls.clone();
    let handler = bus
        .on(&NUMBERS, move |number: Delivery<u64>| {
            seen.add(*number);
            async { Err::<(), _>(Failure::message("never").permanent()) }
        })
        .unwrap();
    publish(&bus.publisher(&NUMBERS).unwrap(), 1..=2).await;
    assert_eq!(handler.drain(LONG).await.dead, 2);
    assert_eq!(calls.all(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_an_error_of_its_event_and_of_no_other() {
    let (bus, calls) = (LocalBus::new(), Calls::default());
    let seen = calls.clone();
    let options = HandlerOptions::new().max_attempts(1);
    let handle = move |number: Delivery<u64>| {
        // Both where it is called and where it is polled.
        assert!(*number != 2, "two is not for me");
        let seen = seen.clone();
        async move {
            assert!(*number != 3, "nor is three");
            seen.add(*number);
            Ok::<_, Failure>(())
        }
    };
    let handler = bus.on_with(&NUMBERS, &options, handle).unwrap();
    publish(&bus.publisher(&NUMBERS).unwrap(), 1..=4).await;
    let report = handler.drain(LONG).await;
    assert_eq!((calls.all(), report.dead), (vec![1, 4], 2));
    let mut letters = bus.subscribe(&NUMBERS.dead_letters()).unwrap();
    for (number, message) in [(2, "two is not for me"), (3, "nor is three")] {
        let letter = letters.try_recv().unwrap();
        let panicked = Failure::panicked(&message).to_string();
        assert_eq!(
            (*letter.event, &letter.error[..]),
            (number, &[panicked][..])
        );
    }
    assert!(Failure::panicked(&"x").downcast_ref::<Panicked>().is_some());
}

/// How many of so many events are handled at once, and the seconds that it takes where each takes one.
async fn at_once(events: u64, concurrency: usize) -> (usize, u64) {
    let bus = LocalBus::new();
    let numbers = NUMBERS.with_name("many").capacity(2048);
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = (Arc::clone(&running), Arc::clone(&most));
    let options = HandlerOptions::new().concurrency(concurrency);
    let handle = move |_: Delivery<u64>| {
        let (running, most) = seen.clone();
        async move {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            time::sleep(Duration::from_secs(1)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, Failure>(())
        }
    };
    let begin = Instant::now();
    let handler = bus.on_with(&numbers, &options, handle).unwrap();
    publish(&bus.publisher(&numbers).unwrap(), 1..=events).await;
    assert_eq!(handler.drain(LONG).await.handled, events);
    (most.load(Ordering::SeqCst), begin.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_handler_handles_no_more_at_once_than_it_may() {
    assert_eq!(at_once(9, 3).await, (3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_may_handle_any_number_at_once_handles_as_many_as_a_group_hands_out() {
    assert_eq!(at_once(1_500, usize::MAX).await, (1_000, 2));
}

#[tokio::test(start_paused = true)]
async fn handlers_of_a_group_share_and_others_get_everything() {
    let bus = LocalBus::new();
    let calls: Vec<_> = (0..3).map(|_| Calls::default()).collect();
    let handlers: Vec<_> = calls
        .iter()
        .enumerate()
        .map(|(index, calls)| {
            let seen = calls.clone();
            let options = match index {
                2 => HandlerOptions::new(),
                _ => HandlerOptions::new().group("shared"),
            };
            let handle = move |number: Delivery<u64>| {
                seen.add(*number);
                async {
                    time::sleep(Duration::from_secs(1)).await;
                    Ok::<_, Failure>(())
                }
            };
            bus.on_with(&NUMBERS, &options, handle).unwrap()
        })
        .collect();
    publish(&bus.publisher(&NUMBERS).unwrap(), 1..=10).await;
    assert_eq!(handlers[2].drain(LONG).await.handled, 10);
    let mut shared = [calls[0].all(), calls[1].all()].concat();
    assert_eq!((calls[0].all().len(), calls[1].all().len()), (5, 5));
    shared.sort_unstable();
    assert!(shared.into_iter().eq(1..=10));
    assert!(calls[2].all().into_iter().eq(1..=10));
}

#[tokio::test(start_paused = true)]
async fn what_a_dropped_handler_was_at_goes_to_another_of_its_group() {
    let (bus, calls) = (LocalBus::new(), Calls::default());
    let options = HandlerOptions::new().group("shared");
    let stuck = bus.on_with(&NUMBERS, &options, |_: Delivery<u64>| {
        std::future::pending::<Result<(), Failure>>()
    });
    let stuck = stuck.unwrap();
    let publisher = bus.publisher(&NUMBERS).unwrap();
    publish(&publisher, [1]).await;
    settle().await;
    let seen = calls.clone();
    let handle = move |number: Delivery<u64>| {
        seen.add(*number);
        async { Ok::<_, Failure>(()) }
    };
    let _other = bus.on_with(&NUMBERS, &options, handle).unwrap();
    publish(&publisher, [2]).await;
    settle().await;
    assert_eq!(calls.all(), [2]);
    drop(stuck);
    settle().await;
    assert_eq!(calls.all(), [2, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_of_a_group_that_is_drained_leaves_the_rest_to_the_others() {
    let (bus, calls) = (LocalBus::new(), Calls::default());
    let options = HandlerOptions::new().group("shared");
    let seen = calls.clone();
    let slow = move |number: Delivery<u64>| {
        let seen = seen.clone();
        async move {
            time::sleep(Duration::from_secs(1)).await;
            seen.add(*number);
            Ok::<_, Failure>(())
        }
    };
    let one = bus.on_with(&NUMBERS, &options, slow.clone()).unwrap();
    let other = bus.on_with(&NUMBERS, &options, slow).unwrap();
    publish(&bus.publisher(&NUMBERS).unwrap(), 1..=10).await;
    settle().await;
    let report = one.drain(LONG).await;
    assert_eq!((report.handled, report.is_over), (1, true));
    time::sleep(Duration::from_secs(60)).await;
    assert_eq!(other.report().handled, 9);
    let mut all = calls.all();
    all.sort_unstable();
    assert!(all.into_iter().eq(1..=10));
}

#[tokio::test(start_paused = true)]
async fn a_drain_stops_at_its_deadline_and_says_so() {
    let bus = LocalBus::new();
    let handler = bus.on(&NUMBERS, |_: Delivery<u64>| {
        std::future::pending::<Result<(), Failure>>()
    });
    let handler = handler.unwrap();
    publish(&bus.publisher(&NUMBERS).unwrap(), 1..=2).await;
    let begin = Instant::now();
    let report = handler.drain(Duration::from_secs(5)).await;
    assert_eq!((report.handled, report.is_over), (0, false));
    assert_eq!(begin.elapsed(), Duration::from_secs(5));
    // What it had taken and what it had not are both accounted for.
    let stats = bus.stats();
    let numbers = stats.iter().find(|topic| topic.topic == "numbers").unwrap();
    assert!(numbers.ledger.is_balanced());
    assert_eq!(
        (numbers.ledger.delivered, numbers.ledger.dropped.unreceived),
        (1, 1)
    );
    assert!(numbers.subscribers.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_handler_ends_with_its_topic() {
    let (bus, calls) = (LocalBus::new(), Calls::default());
    let seen = calls.clone();
    let handler = bus
        .on(&NUMBERS, move |number: Delivery<u64>| {
            seen.add(*number);
            async { Ok::<_, Failure>(()) }
        })
        .unwrap();
    let publisher = bus.publisher(&NUMBERS).unwrap();
    publish(&publisher, 1..=3).await;
    publisher.close();
    settle().await;
    assert_eq!(calls.all(), [1, 2, 3]);
    assert!(handler.report().is_over);
}

/// A handler that publishes two events for each to its own topic: it meets its limit and goes on.
async fn feeds_itself(overflow: Overflow) -> (u64, u64, u64) {
    let bus = LocalBus::new();
    let topic = NUMBERS.capacity(8);
    let publisher = bus.publisher(&topic).expect("it is open");
    let (accepted, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let counts = (
        publisher.clone(),
        Arc::clone(&accepted),
        Arc::clone(&refused),
    );
    let options = HandlerOptions::new().overflow(overflow);
    let handle = move |number: Delivery<u64>| {
        let (publisher, accepted, refused) = counts.clone();
        async move {
            for next in [*number + 1, *number + 2] {
                if *number >= 40 {
                    break;
                }
                let published = publisher.publish(next).await;
                let count = match &published {
                    Ok(()) => &accepted,
                    Err(full) => {
                        assert!(full.is_full(), "{full}");
                        &refused
                    }
                };
                count.fetch_add(1, Ordering::SeqCst);
            }
            Ok::<_, Failure>(())
        }
    };
    let handler = bus.on_with(&topic, &options, handle).expect("it is open");
    publisher.publish(1).await.expect("it is open");
    // It runs dry by itself: nothing waits, and nothing grows.
    let mut settled = false;
    for _ in 0..100_000 {
        tokio::task::yield_now().await;
        let depth = bus.stats().iter().map(|topic| topic.ledger.in_flight).max();
        assert!(depth <= Some(8 + 8), "{depth:?}");
        settled = handler.report().handled == 1 + accepted.load(Ordering::SeqCst)
            && overflow == Overflow::Block
            || depth == Some(0) && handler.report().handled > 1;
        if settled {
            break;
        }
    }
    assert!(settled);
    let handled = handler.drain(LONG).await.handled;
    (
        handled,
        accepted.load(Ordering::SeqCst),
        refused.load(Ordering::SeqCst),
    )
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_feeds_itself_is_refused_and_neither_waits_nor_grows() {
    let (handled, accepted, refused) = feeds_itself(Overflow::Block).await;
    assert_eq!(handled, accepted + 1, "what is accepted is handled");
    assert!(refused > 0, "the topic was full");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_feeds_itself_may_name_an_overflow_instead() {
    let (handled, accepted, refused) = feeds_itself(Overflow::DropOldest).await;
    assert_eq!(refused, 0);
    assert!(handled <= accepted + 1 && handled > 8);
}

/// Around a ring of topics, two events out for each in.
async fn ring(bus: &dyn Bus) {
    let [a, b, c] = ["ring.a", "ring.b", "ring.c"]
        .map(|name| Topic::<u64>::new("ring").with_name(name).capacity(4));
    let refused = Arc::new(AtomicU64::new(0));
    let link = |from: &Topic<u64>, to: &Topic<u64>| {
        let (publisher, refused) = (bus.publisher(to).expect("it is open"), Arc::clone(&refused));
        let handle = move |number: Delivery<u64>| {
            let (publisher, refused) = (publisher.clone(), Arc::clone(&refused));
            async move {
                for next in [*number + 1, *number + 1] {
                    if publisher
                        .publish(next)
                        .await
                        .is_err_and(|full| full.is_full())
                    {
                        refused.fetch_add(1, Ordering::SeqCst);
                    }
                }
                Ok::<_, Failure>(())
            }
        };
        bus.on(from, handle).expect("it is open")
    };
    let handlers = [link(&a, &b), link(&b, &c), link(&c, &a)];
    bus.publisher(&a)
        .expect("it is open")
        .publish(1)
        .await
        .expect("it is open");
    let goes_on = async {
        while handlers
            .iter()
            .any(|handler| handler.report().handled < 1000)
        {
            // On, though it is never idle.
            tokio::time::advance(Duration::from_millis(1)).await;
        }
    };
    time::timeout(LONG, goes_on).await.expect("it goes on");
    assert!(refused.load(Ordering::SeqCst) > 0);
    for topic in bus.stats() {
        assert!(topic.ledger.in_flight <= 4 + 4, "{topic:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn handlers_around_a_ring_of_topics_never_wait_for_each_other() {
    ring(&LocalBus::new()).await;
}

#[tokio::test(start_paused = true)]
async fn nor_over_a_bus_of_bytes() {
    ring(&ByteBus::new()).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_publishes_says_what_caused_it_and_to_what_it_belongs() {
    const WORDS: Topic<String> = Topic::new("words");
    let bus = LocalBus::new();
    let mut words = bus.subscribe(&WORDS).unwrap();
    let publisher = bus.publisher(&WORDS).unwrap();
    let handle = move |number: Delivery<u64>| {
        let publisher = publisher.clone();
        async move {
            tokio::task::yield_now().await;
            publisher.publish(number.to_string()).await?;
            publisher.try_publish(number.to_string())?;
            let own = Envelope::new("own".to_owned())
                .causation_id("mine")
                .correlation_id("ours");
            publisher
                .publish_with(own)
                .await
                .map_err(|_| Failure::message("full"))?;
            let outside = publisher.clone();
            tokio::spawn(async move { outside.publish("outside".to_owned()).await })
                .await
                .map_err(Failure::from)??;
            Ok::<_, Failure>(())
        }
    };
    let _handler = bus.on(&NUMBERS, handle).unwrap();
    let numbers = bus.publisher(&NUMBERS).unwrap();
    numbers.publish(1).await.unwrap();
    numbers
        .publish_with(Envelope::new(2).id("second").correlation_id("all"))
        .await
        .unwrap();
    for (causation, correlation) in [("numbers#1", "numbers#1"), ("second", "all")] {
        for _ in 0..2 {
            let word = words.recv().await.unwrap();
            assert_eq!(word.meta().causation_id(), Some(causation));
            assert_eq!(word.meta().correlation_id(), Some(correlation));
        }
        let own = words.recv().await.unwrap();
        assert_eq!(
            (own.meta().causation_id(), own.meta().correlation_id()),
            (Some("mine"), Some("ours"))
        );
        let outside = words.recv().await.unwrap();
        assert!(
            outside.meta().details().is_none(),
            "what is spawned runs outside"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn dead_letters_cross_a_bus_of_bytes() {
    let bus = ByteBus::new();
    let mut letters = bus.subscribe(&NUMBERS.dead_letters()).unwrap();
    let options = HandlerOptions::new().named("far").max_attempts(1);
    let handle = |_: Delivery<u64>| async { Err::<(), _>(Refused(None)) };
    let _handler = bus.on_with(&NUMBERS, &options, handle).unwrap();
    let envelope = Envelope::new(7).source("here");
    bus.publisher(&NUMBERS)
        .unwrap()
        .publish_with(envelope)
        .await
        .unwrap();
    let letter: Delivery<DeadLetter<u64>> = letters.recv().await.unwrap().into_delivery();
    assert_eq!((*letter.event, letter.event.meta().sequence()), (7, 1));
    assert_eq!(letter.event.meta().source(), Some("here"));
    assert_eq!(
        (letter.event.meta().topic(), &*letter.handler),
        ("numbers", "far")
    );
    assert_eq!(letter.error, ["no permission"]);
}

#[tokio::test(start_paused = true)]
async fn only_the_last_hundred_dead_letters_are_retained() {
    let bus = LocalBus::new();
    let handle = |_: Delivery<u64>| async { Err::<(), _>(Failure::message("no").permanent()) };
    let handler = bus.on(&NUMBERS, handle).unwrap();
    publish(&bus.publisher(&NUMBERS).unwrap(), 1..=250).await;
    assert_eq!(handler.drain(LONG).await.dead, 250);
    let mut letters = bus.subscribe(&NUMBERS.dead_letters()).unwrap();
    let mut numbers = Vec::new();
    let end = loop {
        match letters.try_recv() {
            Ok(letter) => numbers.push(*letter.event),
            Err(end) => break end,
        }
    };
    assert_eq!(end, TryReceiveError::Empty);
    assert!(numbers.into_iter().eq(151..=250));
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_says_when_is_tried_again_then_whatever_the_backoff() {
    let bus = LocalBus::new();
    let handler = bus.on(&NUMBERS, |_: Delivery<u64>| async {
        Err::<(), _>(Failure::message("too many requests").retry_after(Duration::from_secs(30)))
    });
    let handler = handler.unwrap();
    let begin = Instant::now();
    publish(&bus.publisher(&NUMBERS).unwrap(), [1]).await;
    assert_eq!(handler.drain(LONG).await.retried, 2);
    assert_eq!(begin.elapsed().as_secs(), 30 + 30);
}
