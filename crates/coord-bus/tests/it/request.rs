//! Requests and replies: who answers, who is told what, and what becomes of the rest.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use coord_bus::time::{self, Instant};
use coord_bus::{
    Bus, BusError, BusExt, ByteBus, Endpoint, Failure, LocalBus, Panicked, RequestError, Topic,
    TopicStats,
};
use tokio::sync::{Notify, Semaphore};
use tokio::task::{JoinSet, yield_now};

const ECHO: Endpoint<u64, u64> = Endpoint::new("echo");
const SECOND: Duration = Duration::from_secs(1);

async fn echo(number: u64) -> Result<u64, Infallible> {
    Ok(number)
}

async fn never(_: u64) -> Result<u64, Infallible> {
    pending().await
}

/// Lets every other task go as far as it can.
async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

/// How many of its guards are alive, and how many there have been.
#[derive(Clone, Default)]
struct Alive(Arc<(AtomicUsize, AtomicUsize)>);

struct Guard(Alive);

impl Alive {
    fn guard(&self) -> Guard {
        self.0.0.fetch_add(1, Ordering::SeqCst);
        self.0.1.fetch_add(1, Ordering::SeqCst);
        Guard(self.clone())
    }

    fn now(&self) -> usize {
        self.0.0.load(Ordering::SeqCst)
    }

    fn begun(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn stats_of(bus: &impl Bus, name: &str) -> TopicStats {
    let mut stats = bus.stats().into_iter();
    stats.find(|topic| topic.topic == name).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_reply_arrives_at_who_asked() {
    let bus = LocalBus::new();
    let _responder = bus.respond(&ECHO, echo).unwrap();
    let requester = bus.requester(&ECHO).unwrap();
    let mut asking = JoinSet::new();
    for number in 0..100 {
        let requester = requester.clone();
        asking.spawn(async move { (number, requester.request(number).await.unwrap()) });
    }
    for (asked, replied) in asking.join_all().await {
        assert_eq!(asked, replied);
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_and_a_reply_need_neither_clone_nor_sync_nor_serde() {
    let endpoint = Endpoint::<Cell<u64>, Cell<u64>>::new("cells");
    let bus = LocalBus::new();
    let _responder = bus.respond(&endpoint, |cell: Cell<u64>| async move {
        Ok::<_, Infallible>(Cell::new(cell.get() + 1))
    });
    let requester = bus.requester(&endpoint).unwrap();
    assert_eq!(requester.request(Cell::new(1)).await.unwrap().get(), 2);
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{0} is odd")]
struct Odd(u64);

#[tokio::test(start_paused = true)]
async fn a_failure_comes_with_its_type() {
    let bus = LocalBus::new();
    let _responder = bus.respond(&ECHO, |number| async move { Err::<u64, _>(Odd(number)) });
    match bus.requester(&ECHO).unwrap().request(7).await {
        Err(RequestError::Failed { endpoint, failure }) => {
            assert_eq!(
                (&*endpoint, failure.downcast_ref()),
                ("echo", Some(&Odd(7)))
            );
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn where_nobody_responds_who_asks_is_told_at_once() {
    let bus = LocalBus::new();
    let requester = bus.requester(&ECHO).unwrap();
    let start = Instant::now();
    let refused = requester.request(1).await;
    assert!(matches!(refused, Err(RequestError::NoResponders { .. })));
    drop(bus.respond(&ECHO, echo).unwrap());
    let refused = requester.request(1).await;
    assert!(matches!(refused, Err(RequestError::NoResponders { .. })));
    assert_eq!(start.elapsed(), Duration::ZERO);
    let _responder = bus.respond(&ECHO, echo).unwrap();
    assert_eq!(requester.request(1).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn when_the_last_responder_goes_who_is_in_the_queue_is_told_at_once() {
    let bus = LocalBus::new();
    let endpoint = ECHO.capacity(2);
    let (one, other) = (
        bus.respond(&endpoint, never).unwrap(),
        bus.respond(&endpoint, never).unwrap(),
    );
    let requester = bus.requester(&endpoint).unwrap();
    let mut asking = JoinSet::new();
    // Two are taken, two are in the queue, and one waits for room in it.
    for number in 0..5 {
        let requester = requester.clone();
        asking.spawn(async move { requester.request(number).await });
        settle().await;
    }
    let start = Instant::now();
    drop(one);
    settle().await;
    drop(other);
    let mut told = (0, 0);
    for outcome in asking.join_all().await {
        match outcome {
            Err(RequestError::Abandoned { .. }) => told.0 += 1,
            Err(RequestError::NoResponders { .. }) => told.1 += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((told, start.elapsed()), ((2, 3), Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn without_a_reply_a_request_ends_at_its_deadline_and_so_does_its_handler() {
    let (bus, alive) = (LocalBus::new(), Alive::default());
    let guarded = alive.clone();
    let _responder = bus.respond(&ECHO, move |number| {
        let guard = guarded.guard();
        async move {
            time::sleep(2 * SECOND).await;
            drop(guard);
            Ok::<_, Infallible>(number)
        }
    });
    let requester = bus.requester(&ECHO).unwrap();
    let start = Instant::now();
    let late = requester.clone().deadline(SECOND).request(1).await;
    assert!(start.elapsed() >= SECOND && start.elapsed() < SECOND * 11 / 10);
    match late {
        Err(RequestError::DeadlineExceeded { endpoint, deadline }) => {
            assert_eq!((&*endpoint, deadline), ("echo", SECOND));
        }
        other => panic!("{other:?}"),
    }
    settle().await;
    assert_eq!((alive.now(), alive.begun()), (0, 1));
    assert_eq!(requester.request(2).await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_is_thirty_seconds_by_default_and_governs_the_queue_too() {
    let bus = LocalBus::new();
    let endpoint = ECHO.capacity(1);
    let _responder = bus.respond(&endpoint, never).unwrap();
    let requester = bus.requester(&endpoint).unwrap();
    let start = Instant::now();
    let mut asking = JoinSet::new();
    for number in 0..3 {
        let requester = requester.clone();
        asking.spawn(async move { requester.request(number).await });
        settle().await;
    }
    let waiting = stats_of(&bus, "echo");
    assert_eq!((waiting.depth, waiting.waiting_publishers), (1, 1));
    for outcome in asking.join_all().await {
        let late = matches!(outcome, Err(RequestError::DeadlineExceeded { .. }));
        assert!(late, "{outcome:?}");
    }
    let elapsed = start.elapsed().as_secs_f64();
    assert!((30.0..30.1).contains(&elapsed), "{elapsed}");
    let ended = stats_of(&bus, "echo");
    assert_eq!((ended.depth, ended.waiting_publishers), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_dropped_when_who_asked_goes() {
    let (bus, alive) = (LocalBus::new(), Alive::default());
    let guarded = alive.clone();
    let _responder = bus.respond(&ECHO, move |number| {
        let guard = guarded.guard();
        async move {
            if number == 0 {
                pending::<()>().await;
            }
            drop(guard);
            Ok::<_, Infallible>(number)
        }
    });
    let requester = bus.requester(&ECHO).unwrap();
    let (stays, goes) = (requester.clone(), requester.clone());
    let goes = tokio::spawn(async move { goes.request(0).await });
    settle().await;
    assert_eq!(alive.now(), 1);
    let stays = tokio::spawn(async move { stays.request(1).await });
    settle().await;
    goes.abort();
    settle().await;
    assert_eq!(alive.now(), 0);
    assert_eq!(stays.await.unwrap().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_handler_does_not_begin_for_who_went_before() {
    let (bus, alive) = (LocalBus::new(), Alive::default());
    let (guarded, gate) = (alive.clone(), Arc::new(Semaphore::new(0)));
    let opens = Arc::clone(&gate);
    let _responder = bus.respond(&ECHO, move |number| {
        let (guard, gate) = (guarded.guard(), Arc::clone(&gate));
        async move {
            gate.acquire().await.unwrap().forget();
            drop(guard);
            Ok::<_, Infallible>(number)
        }
    });
    let requester = bus.requester(&ECHO).unwrap();
    let first = requester.clone();
    let first = tokio::spawn(async move { first.request(0).await });
    settle().await;
    let second = requester.clone();
    let second = tokio::spawn(async move { second.request(1).await });
    settle().await;
    assert_eq!(stats_of(&bus, "echo").depth, 1);
    second.abort();
    settle().await;
    assert_eq!(stats_of(&bus, "echo").depth, 0);
    opens.add_permits(2);
    assert_eq!(first.await.unwrap().unwrap(), 0);
    assert_eq!(requester.request(2).await.map_err(drop), {
        opens.add_permits(1);
        Ok(2)
    });
    assert_eq!(alive.begun(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_the_error_of_its_request_alone() {
    let bus = LocalBus::new();
    let _responder = bus.respond(&ECHO, |number| {
        // In the call itself, and where it awaits.
        assert!(number != 1, "one");
        async move {
            yield_now().await;
            assert!(number != 2, "two");
            Ok::<_, Infallible>(number)
        }
    });
    let requester = bus.requester(&ECHO).unwrap();
    for (number, message) in [(1, "one"), (2, "two")] {
        match requester.request(number).await {
            Err(RequestError::Failed { failure, .. }) => {
                let panicked = failure.downcast_ref::<Panicked>().unwrap();
                assert_eq!(panicked.message, message);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(requester.request(3).await.unwrap(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn several_responders_share_fairly_and_each_request_is_answered_once() {
    let (bus, counts) = (LocalBus::new(), Arc::new(Mutex::new([0; 3])));
    let answered = Arc::new(Mutex::new(Vec::new()));
    let responders = [0, 1, 2].map(|responder| {
        let (counts, answered) = (Arc::clone(&counts), Arc::clone(&answered));
        bus.respond(&ECHO, move |number| {
            counts.lock().unwrap()[responder] += 1;
            answered.lock().unwrap().push(number);
            async move {
                time::sleep(SECOND).await;
                Ok::<_, Infallible>(number)
            }
        })
    });
    let requester = bus.requester(&ECHO).unwrap();
    let mut asking = JoinSet::new();
    for number in 0..30 {
        let requester = requester.clone();
        asking.spawn(async move { requester.request(number).await.unwrap() });
    }
    asking.join_all().await;
    assert_eq!(*counts.lock().unwrap(), [10; 3]);
    let mut answered = answered.lock().unwrap().clone();
    answered.sort_unstable();
    assert_eq!(answered, (0..30).collect::<Vec<_>>());
    drop(responders);
}

#[tokio::test(start_paused = true)]
async fn idle_responders_take_turns() {
    let (bus, turns) = (LocalBus::new(), Arc::new(Mutex::new(Vec::new())));
    let _responders = [0, 1, 2].map(|responder| {
        let turns = Arc::clone(&turns);
        bus.respond(&ECHO, move |number| {
            turns.lock().unwrap().push(responder);
            echo(number)
        })
    });
    let requester = bus.requester(&ECHO).unwrap();
    settle().await;
    for number in 0..6 {
        requester.request(number).await.unwrap();
        settle().await;
    }
    assert_eq!(*turns.lock().unwrap(), [0, 1, 2, 0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn no_more_requests_are_answered_at_once_than_the_responder_said() {
    for (stated, expected) in [(0, 1), (1, 1), (4, 4)] {
        let (bus, alive) = (LocalBus::new(), Alive::default());
        let most = Arc::new(AtomicUsize::new(0));
        let (guarded, seen) = (alive.clone(), Arc::clone(&most));
        let responder = bus.respond_with(&ECHO, stated, move |number| {
            let guard = guarded.guard();
            seen.fetch_max(guarded.now(), Ordering::SeqCst);
            async move {
                time::sleep(SECOND).await;
                drop(guard);
                Ok::<_, Infallible>(number)
            }
        });
        let requester = bus.requester(&ECHO).unwrap();
        let mut asking = JoinSet::new();
        for number in 0..12 {
            let requester = requester.clone();
            asking.spawn(async move { requester.request(number).await.unwrap() });
        }
        asking.join_all().await;
        assert_eq!(most.load(Ordering::SeqCst), expected);
        drop(responder);
    }
}

#[tokio::test(start_paused = true)]
async fn a_responder_that_drains_answers_what_it_has_and_leaves_the_rest_to_the_others() {
    let bus = LocalBus::new();
    let slow = |name: u64| {
        move |number: u64| async move {
            time::sleep(SECOND).await;
            Ok::<_, Infallible>(100 * name + number)
        }
    };
    let one = bus.respond(&ECHO, slow(1)).unwrap();
    let requester = bus.requester(&ECHO).unwrap();
    let mut asking = JoinSet::new();
    for number in 0..3 {
        let requester = requester.clone();
        asking.spawn(async move { requester.request(number).await.unwrap() });
        settle().await;
    }
    let _other = bus.respond(&ECHO, slow(2)).unwrap();
    let report = one.drain(5 * SECOND).await;
    assert!(report.aborted.is_empty());
    let mut replies = asking.join_all().await;
    replies.sort_unstable();
    assert_eq!(replies, [100, 201, 202]);
}

#[tokio::test(start_paused = true)]
async fn the_only_responder_refuses_from_when_it_drains_and_abandons_at_the_deadline() {
    let bus = LocalBus::new();
    let responder = bus.respond(&ECHO, never).unwrap();
    let requester = bus.requester(&ECHO).unwrap();
    let taken = requester.clone();
    let taken = tokio::spawn(async move { taken.request(0).await });
    settle().await;
    let mut draining = pin!(responder.drain(SECOND));
    assert!(poll(draining.as_mut()).is_pending());
    let refused = requester.request(1).await;
    assert!(matches!(refused, Err(RequestError::NoResponders { .. })));
    assert_eq!(draining.await.aborted, ["echo"]);
    let abandoned = taken.await.unwrap();
    assert!(matches!(abandoned, Err(RequestError::Abandoned { .. })));
}

#[tokio::test(start_paused = true)]
async fn when_one_of_two_responders_is_dropped_the_other_answers_what_was_in_the_queue() {
    let bus = LocalBus::new();
    let one = bus.respond(&ECHO, never).unwrap();
    let requester = bus.requester(&ECHO).unwrap();
    let mut asking = JoinSet::new();
    for number in 0..5 {
        let requester = requester.clone();
        asking.spawn(async move { requester.request(number).await.map_err(|e| e.to_string()) });
        settle().await;
    }
    let _other = bus.respond(&ECHO, echo).unwrap();
    drop(one);
    let mut outcomes = asking.join_all().await;
    outcomes.sort();
    assert_eq!(outcomes[..4], [Ok(1), Ok(2), Ok(3), Ok(4)]);
    let abandoned = outcomes[4].as_ref().unwrap_err();
    assert!(
        abandoned.contains("was stopped before it replied"),
        "{abandoned}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_endpoint_serves_who_waits_in_the_order_in_which_they_came() {
    let (bus, order) = (LocalBus::new(), Arc::new(Mutex::new(Vec::new())));
    let endpoint = ECHO.capacity(1);
    let seen = Arc::clone(&order);
    let _responder = bus.respond(&endpoint, move |number| {
        seen.lock().unwrap().push(number);
        async move {
            time::sleep(SECOND).await;
            Ok::<_, Infallible>(number)
        }
    });
    let requester = bus.requester(&endpoint).unwrap();
    let mut asking = JoinSet::new();
    for number in 0..6 {
        let requester = requester.clone();
        asking.spawn(async move { requester.request(number).await.unwrap() });
        settle().await;
    }
    assert_eq!(stats_of(&bus, "echo").waiting_publishers, 4);
    asking.join_all().await;
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn who_handles_something_does_not_wait_for_room_and_a_ring_ends_at_its_deadline() {
    let bus = LocalBus::new();
    let endpoint = ECHO.capacity(1);
    let own = bus.requester(&endpoint).unwrap().deadline(SECOND);
    let inner = own.clone();
    let _responder = bus.respond(&endpoint, move |number| {
        let own = inner.clone();
        async move {
            // The first of these is in the queue of its own responder until the deadline, and the
            // second finds that full.
            let (waits, refused) = tokio::join!(own.request(number), own.request(number));
            let waits = matches!(waits, Err(RequestError::DeadlineExceeded { .. }));
            let refused = matches!(refused, Err(RequestError::Full { .. }));
            Ok::<_, Infallible>(u64::from(waits && refused))
        }
    });
    let outer = own.deadline(5 * SECOND);
    let start = Instant::now();
    assert_eq!(outer.request(1).await.unwrap(), 1);
    assert!(start.elapsed() < 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn what_a_responder_publishes_says_which_request_caused_it() {
    let bus = LocalBus::new();
    let audit = Topic::<u64>::new("audit");
    let mut audited = bus.subscribe(&audit).unwrap();
    let publisher = bus.publisher(&audit).unwrap();
    let _responder = bus.respond(&ECHO, move |number| {
        let publisher = publisher.clone();
        async move {
            publisher.publish(number).await?;
            Ok::<_, Failure>(number)
        }
    });
    let requester = bus.requester(&ECHO).unwrap();
    for request in 1..=2 {
        requester.request(7).await.unwrap();
        let event = audited.recv().await.unwrap();
        let id = format!("echo#{request}");
        assert_eq!(event.meta().causation_id(), Some(&*id));
        assert_eq!(event.meta().correlation_id(), Some(&*id));
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_of_requests_belongs_to_one_undertaking() {
    let bus = LocalBus::new();
    let inner = Endpoint::<u64, u64>::new("inner");
    let (orders, audit) = (Topic::<u64>::new("orders"), Topic::<u64>::new("audit"));
    let mut audited = bus.subscribe(&audit).unwrap();
    let publisher = bus.publisher(&audit).unwrap();
    let _inner = bus.respond(&inner, move |number| {
        let publisher = publisher.clone();
        async move {
            publisher.publish(number).await?;
            Ok::<_, Failure>(number)
        }
    });
    let asks_inner = bus.requester(&inner).unwrap();
    let _outer = bus.respond(&ECHO, move |number| {
        let asks_inner = asks_inner.clone();
        async move { asks_inner.request(number).await }
    });
    let asks_outer = bus.requester(&ECHO).unwrap();
    let handler = bus.on(&orders, move |order: coord_bus::Delivery<u64>| {
        let asks_outer = asks_outer.clone();
        async move { asks_outer.request(*order).await.map(drop) }
    });
    let _handler = handler.unwrap();
    let order = coord_bus::Envelope::new(7).correlation_id("order-17");
    bus.publisher(&orders)
        .unwrap()
        .publish_with(order)
        .await
        .unwrap();
    let event = audited.recv().await.unwrap();
    assert_eq!(event.meta().correlation_id(), Some("order-17"));
    assert_eq!(event.meta().causation_id(), Some("inner#1"));
}

#[tokio::test(start_paused = true)]
async fn a_closed_bus_answers_what_it_has_accepted_and_refuses_the_rest() {
    let bus = LocalBus::new();
    let endpoint = ECHO.capacity(1);
    let _responder = bus.respond(&endpoint, |number| async move {
        time::sleep(SECOND).await;
        Ok::<_, Infallible>(number)
    });
    let requester = bus.requester(&endpoint).unwrap();
    let mut asking = JoinSet::new();
    for number in 0..3 {
        let requester = requester.clone();
        asking.spawn(async move { requester.request(number).await.map_err(|e| e.to_string()) });
        settle().await;
    }
    let drained = bus.drain(5 * SECOND).await;
    assert!(drained.is_complete(), "{drained:?}");
    let mut outcomes = asking.join_all().await;
    outcomes.sort();
    let refused = "the endpoint `echo` is closed".to_owned();
    assert_eq!(outcomes, [Ok(0), Ok(1), Err(refused)]);
    let closed = requester.request(1).await;
    assert!(matches!(closed, Err(RequestError::Closed { .. })));
    assert!(stats_of(&bus, "echo").closed);
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_is_not_over_tells_of_the_requests_that_nobody_took() {
    let bus = LocalBus::new();
    let _responder = bus.respond(&ECHO, never).unwrap();
    let requester = bus.requester(&ECHO).unwrap();
    let mut asking = JoinSet::new();
    for number in 0..3 {
        let requester = requester.clone();
        asking.spawn(async move { requester.request(number).await });
        settle().await;
    }
    let drained = bus.drain(SECOND).await;
    assert_eq!(drained.left.len(), 1);
    assert_eq!(drained.left[0].ledger.in_flight, 2);
}

#[tokio::test(start_paused = true)]
async fn when_the_bus_and_every_requester_are_gone_the_responders_end() {
    let bus = LocalBus::new();
    let responder = bus.respond(&ECHO, echo).unwrap();
    let requester = bus.requester(&ECHO).unwrap();
    drop(bus);
    assert_eq!(requester.request(1).await.unwrap(), 1);
    drop(requester);
    settle().await;
    let report = responder.drain(Duration::ZERO).await;
    assert!(report.aborted.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_bus_of_bytes_refuses_an_endpoint_by_its_name() {
    let bus = ByteBus::new();
    let refused = [
        bus.requester(&ECHO).map(drop),
        bus.respond(&ECHO, echo).map(drop),
    ];
    for refused in refused {
        match refused {
            Err(BusError::InProcessOnly { topic, event, .. }) => {
                assert_eq!((&*topic, event), ("echo", "fn(u64) -> u64"));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_has_one_type_and_one_capacity_and_shares_its_names_with_topics() {
    let bus = LocalBus::new();
    let _requester = bus.requester(&ECHO.capacity(8)).unwrap();
    let other_type = Endpoint::<u64, String>::new("echo");
    let refused = bus.requester(&other_type).map(drop);
    assert!(
        matches!(refused, Err(BusError::TypeConflict { .. })),
        "{refused:?}"
    );
    let refused = bus.requester(&ECHO.capacity(9)).map(drop);
    assert!(
        matches!(refused, Err(BusError::OptionConflict { .. })),
        "{refused:?}"
    );
    let refused = bus.publisher(&Topic::<u64>::new("echo")).map(drop);
    assert!(
        matches!(refused, Err(BusError::TypeConflict { .. })),
        "{refused:?}"
    );
    // Nor does one get at its requests by a topic of its type.
    let topic = Topic::<fn(u64) -> u64>::in_process("echo");
    let refused = bus.subscribe(&topic).map(drop);
    assert!(
        matches!(refused, Err(BusError::TypeConflict { .. })),
        "{refused:?}"
    );
    let refused = bus.requester(&ECHO.with_name("two words")).map(drop);
    assert!(
        matches!(refused, Err(BusError::InvalidName { .. })),
        "{refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_stats_tell_who_asks_who_responds_and_what_became_of_the_requests() {
    let bus = LocalBus::new();
    let (requester, line) = (bus.requester(&ECHO).unwrap(), line!());
    let responders = [0, 1].map(|_| bus.respond(&ECHO, never).unwrap());
    let mut asking = JoinSet::new();
    for number in 0..5 {
        let requester = requester.clone();
        asking.spawn(async move { requester.request(number).await });
        settle().await;
    }
    let stats = stats_of(&bus, "echo");
    assert_eq!((stats.event, stats.capacity), ("fn(u64) -> u64", 1024));
    assert_eq!((stats.published, stats.depth, stats.closed), (5, 3, false));
    let [publisher] = &stats.publishers[..] else {
        panic!("{:?}", stats.publishers);
    };
    assert_eq!((publisher.place.line(), publisher.open), (line, 1));
    let [responding] = &stats.subscribers[..] else {
        panic!("{:?}", stats.subscribers);
    };
    assert_eq!(responding.group.as_deref(), Some("responders"));
    assert_eq!(responding.place.file(), file!());
    assert_eq!(responding.ledger, stats.ledger);
    assert_eq!((stats.ledger.delivered, stats.ledger.in_flight), (2, 3));
    assert!(stats.ledger.is_balanced());
    drop(responders);
    asking.join_all().await;
    let stats = stats_of(&bus, "echo");
    assert!(stats.subscribers.is_empty());
    assert_eq!(
        (stats.ledger.delivered, stats.ledger.dropped.unreceived),
        (2, 3)
    );
    assert!(stats.ledger.is_balanced());
    // Refused is not published.
    assert!(requester.request(1).await.is_err());
    assert_eq!(stats_of(&bus, "echo").published, 5);
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test(start_paused = true)]
async fn a_request_may_be_dropped_after_any_poll() {
    for capacity in [1, 2, 8] {
        for polls in 0..12 {
            let (bus, alive) = (LocalBus::new(), Alive::default());
            let endpoint = ECHO.capacity(capacity);
            let guarded = alive.clone();
            let _responder = bus.respond_with(&endpoint, 2, move |number| {
                let guard = guarded.guard();
                async move {
                    yield_now().await;
                    yield_now().await;
                    drop(guard);
                    Ok::<_, Infallible>(number)
                }
            });
            let requester = bus.requester(&endpoint).unwrap();
            let others = [1, 2, 3, 4].map(|number| {
                let requester = requester.clone();
                tokio::spawn(async move { requester.request(number).await.unwrap() })
            });
            {
                let mut dropped = pin!(requester.request(0));
                for _ in 0..polls {
                    if poll(dropped.as_mut()).is_ready() {
                        break;
                    }
                    yield_now().await;
                }
            }
            for (number, other) in (1..).zip(others) {
                assert_eq!(other.await.unwrap(), number);
            }
            settle().await;
            assert_eq!(requester.request(9).await.unwrap(), 9);
            assert_eq!(alive.now(), 0);
            let stats = stats_of(&bus, "echo");
            assert!(stats.ledger.is_balanced(), "{stats:?}");
            assert_eq!((stats.depth, stats.waiting_publishers), (0, 0));
            let lost = stats.ledger.dropped.unreceived;
            assert_eq!(stats.published, stats.ledger.delivered + lost);
            // Whatever was promised has been given back: the whole capacity can be used.
            let gate = Arc::new(Notify::new());
            drop(_responder);
            let closes = Arc::clone(&gate);
            let _responder = bus.respond(&endpoint, move |number| {
                let gate = Arc::clone(&closes);
                async move {
                    gate.notified().await;
                    Ok::<_, Infallible>(number)
                }
            });
            let mut asking = JoinSet::new();
            for number in 0..=capacity as u64 {
                let requester = requester.clone();
                asking.spawn(async move { requester.request(number).await });
                settle().await;
            }
            let stats = stats_of(&bus, "echo");
            assert_eq!(
                (stats.depth, stats.waiting_publishers),
                (capacity as u64, 0)
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_a_responder_may_be_dropped_after_any_poll() {
    for polls in 0..6 {
        let bus = LocalBus::new();
        let responder = bus.respond(&ECHO, |number| async move {
            time::sleep(SECOND).await;
            Ok::<_, Infallible>(number)
        });
        let responder = responder.unwrap();
        let requester = bus.requester(&ECHO).unwrap();
        let taken = requester.clone();
        let taken = tokio::spawn(async move { taken.request(1).await });
        settle().await;
        {
            let mut draining = pin!(responder.drain(5 * SECOND));
            for _ in 0..polls {
                assert!(poll(draining.as_mut()).is_pending());
                yield_now().await;
            }
        }
        assert_eq!(taken.await.unwrap().unwrap(), 1);
        if polls > 0 {
            let refused = requester.request(2).await;
            assert!(matches!(refused, Err(RequestError::NoResponders { .. })));
        } else {
            assert_eq!(requester.request(2).await.unwrap(), 2);
        }
    }
}

#[test]
fn when_the_runtime_of_the_responder_ends_who_asked_is_told() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().build().unwrap()
    };
    let (bus, theirs, ours) = (LocalBus::new(), runtime(), runtime());
    let guard = theirs.enter();
    let _responder = bus.respond(&ECHO, never).unwrap();
    drop(guard);
    let requester = bus.requester(&ECHO).unwrap();
    ours.block_on(async {
        let asking = requester.clone();
        let asking = tokio::spawn(async move { asking.request(1).await });
        settle().await;
        theirs.shutdown_background();
        let told = asking.await.unwrap();
        assert!(
            matches!(told, Err(RequestError::NoResponders { .. })),
            "{told:?}"
        );
        let told = requester.request(2).await;
        assert!(
            matches!(told, Err(RequestError::NoResponders { .. })),
            "{told:?}"
        );
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_many_threads_every_request_is_answered_once_or_its_asker_went() {
    const ASKERS: u64 = 16;
    const REQUESTS: u64 = 500;
    let (bus, answered) = (LocalBus::new(), Arc::new(Mutex::new(Vec::new())));
    let endpoint = ECHO.capacity(4);
    let _responders = [0, 1, 2].map(|_| {
        let answered = Arc::clone(&answered);
        bus.respond_with(&endpoint, 2, move |number| {
            answered.lock().unwrap().push(number);
            async move {
                if number % 7 == 0 {
                    yield_now().await;
                }
                Ok::<_, Infallible>(number)
            }
        })
    });
    let mut asking = JoinSet::new();
    for asker in 0..ASKERS {
        let requester = bus.requester(&endpoint).unwrap();
        asking.spawn(async move {
            let mut replies = Vec::new();
            for request in 0..REQUESTS {
                let number = asker * REQUESTS + request;
                if number.is_multiple_of(5) {
                    tokio::select! {
                        biased;
                        reply = requester.request(number) => replies.push(reply.unwrap()),
                        () = yield_now() => {}
                    }
                } else {
                    assert_eq!(requester.request(number).await.unwrap(), number);
                    replies.push(number);
                }
            }
            replies
        });
    }
    let mut replies = asking.join_all().await.concat();
    let mut answered = std::mem::take(&mut *answered.lock().unwrap());
    answered.sort_unstable();
    let count = answered.len();
    answered.dedup();
    assert_eq!(answered.len(), count);
    replies.sort_unstable();
    assert!(
        replies
            .iter()
            .all(|reply| answered.binary_search(reply).is_ok())
    );
    let stats = stats_of(&bus, "echo");
    assert!(stats.ledger.is_balanced());
    assert_eq!((stats.depth, stats.waiting_publishers), (0, 0));
}
