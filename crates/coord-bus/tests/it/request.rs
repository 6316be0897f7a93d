//! Requests and replies in one process, beyond what every bus must do with them.

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
    Bus, BusError, BusExt, Endpoint, Failure, LocalBus, Panicked, RequestError, Topic, TopicStats,
};
use tokio::sync::Notify;
use tokio::task::{JoinSet, yield_now};

mod bytes;
mod course;
mod link;

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
async fn a_question_and_a_reply_need_neither_clone_nor_sync_nor_serde() {
    type Take = Box<dyn FnOnce() -> Cell<u64> + Send>;
    let endpoint = Endpoint::<Take, Cell<u64>>::in_process("cells");
    let bus = LocalBus::new();
    let _responder = bus.respond(&endpoint, |take: Take| async move {
        Ok::<_, Infallible>(Cell::new(take().get() + 1))
    });
    let requester = bus.requester(&endpoint).unwrap();
    let reply = requester.request(Box::new(|| Cell::new(1))).await;
    assert_eq!(reply.unwrap().get(), 2);
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
async fn a_responder_that_may_answer_any_number_at_once_answers_ten_thousand() {
    let bus = LocalBus::new();
    let waiting = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&waiting);
    let numbers = ECHO.with_name("many").capacity(1);
    let _responder = bus.respond_with(&numbers, usize::MAX, move |number| {
        counted.fetch_add(1, Ordering::SeqCst);
        never(number)
    });
    let requester = bus.requester(&numbers).unwrap();
    let mut requests = JoinSet::new();
    for number in 0..10_002 {
        let requester = requester.clone();
        requests.spawn(async move { requester.request(number).await.is_ok() });
    }
    // With time paused, this is over when nobody can get on.
    time::sleep(Duration::from_millis(1)).await;
    assert_eq!(waiting.load(Ordering::SeqCst), 10_000);
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
