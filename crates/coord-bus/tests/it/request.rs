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

mod course;

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

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
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
