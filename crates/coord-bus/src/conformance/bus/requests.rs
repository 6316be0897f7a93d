//! Questions and their replies, as whoever asks sees them.

use std::any::type_name;
use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{JoinSet, yield_now};

use super::super::{in_time, settle};
use super::CAPACITY;
use super::delivery::Even;
use crate::time::{self, Instant};
use crate::{Bus, BusExt, Endpoint, Failure, RequestError, Requester, TopicStats};

pub(super) const ECHO: Endpoint<u64, u64> = Endpoint::new("conformance.echo");

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Time that passes while everybody gets on as far as they can is a few of [`settle`]'s.
const AT_ONCE: Duration = Duration::from_millis(20);

pub(super) type Replied = Result<u64, RequestError>;

pub(super) async fn echo(number: u64) -> Result<u64, Infallible> {
    Ok(number)
}

pub(super) async fn slow_echo(number: u64) -> Result<u64, Infallible> {
    time::sleep(SECOND).await;
    Ok(number)
}

pub(super) async fn never(_: u64) -> Result<u64, Infallible> {
    pending().await
}

/// Asks these numbers, one after another, without waiting for the replies.
pub(super) async fn ask(
    requester: &Requester<u64, u64>,
    numbers: impl IntoIterator<Item = u64>,
) -> JoinSet<(u64, Replied)> {
    let mut asking = JoinSet::new();
    for number in numbers {
        let requester = requester.clone();
        asking.spawn(async move { (number, requester.request(number).await) });
        settle().await;
    }
    asking
}

/// What all of them were told, by their numbers.
pub(super) async fn outcomes(asking: JoinSet<(u64, Replied)>) -> Vec<(u64, Replied)> {
    let mut outcomes = in_time(asking.join_all()).await;
    outcomes.sort_by_key(|(number, _)| *number);
    outcomes
}

pub(super) fn stats(bus: &dyn Bus) -> TopicStats {
    let mut stats = bus.stats().into_iter();
    let stats = stats.find(|topic| topic.topic == ECHO.name());
    stats.expect("it has been opened")
}

/// Many ask at once, and each gets the reply to its own question.
pub async fn a_reply_arrives_at_who_asked(bus: &dyn Bus) {
    let _responder = bus.respond_with(&ECHO, 3, |number| async move {
        yield_now().await;
        echo(number).await
    });
    let requester = bus.requester(&ECHO).expect("it opens");
    let mut asking = JoinSet::new();
    for number in 0..100 {
        let requester = requester.clone();
        asking.spawn(async move { (number, requester.request(number).await) });
    }
    for (number, replied) in outcomes(asking).await {
        assert_eq!(replied.expect("it is answered"), number);
    }
}

/// Without a responder nobody waits: before the first, and after the last.
pub async fn where_nobody_responds_who_asks_is_told_at_once(bus: &dyn Bus) {
    let requester = bus.requester(&ECHO).expect("it opens");
    let start = Instant::now();
    let refused = in_time(requester.request(1)).await;
    assert!(
        matches!(refused, Err(RequestError::NoResponders { endpoint })
        if endpoint == ECHO.name())
    );
    drop(bus.respond(&ECHO, echo).expect("it opens"));
    let refused = in_time(requester.request(2)).await;
    assert!(matches!(refused, Err(RequestError::NoResponders { .. })));
    let _responder = bus.respond(&ECHO, echo).expect("it opens");
    let replied = in_time(requester.request(3)).await;
    assert_eq!(replied.expect("it is answered"), 3);
    assert!(start.elapsed() < AT_ONCE);
}

/// A responder's failure arrives as one: its causes, and whether it is worth another attempt.
pub async fn a_failure_comes_with_its_text_and_whether_it_is_permanent(bus: &dyn Bus) {
    let _responder = bus.respond(&ECHO, |number| async move {
        let failure = Failure::message(format!("{number} is unlucky"));
        Err::<u64, _>(match number {
            13 => failure.permanent(),
            _ => failure,
        })
    });
    let requester = bus.requester(&ECHO).expect("it opens");
    for (number, permanent) in [(7, false), (13, true)] {
        match in_time(requester.request(number)).await {
            Err(RequestError::Failed { endpoint, failure }) => {
                assert_eq!(endpoint, ECHO.name());
                assert_eq!(failure.to_string(), format!("{number} is unlucky"));
                assert_eq!(failure.is_permanent(), permanent);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A panic, in the call itself or where it awaits, fails its request and no other.
pub async fn a_panic_is_the_error_of_its_request_alone(bus: &dyn Bus) {
    let _responder = bus.respond(&ECHO, |number| {
        assert!(number != 1, "panicked with one");
        async move {
            yield_now().await;
            assert!(number != 2, "panicked with two");
            echo(number).await
        }
    });
    let requester = bus.requester(&ECHO).expect("it opens");
    for (number, message) in [(1, "panicked with one"), (2, "panicked with two")] {
        match in_time(requester.request(number)).await {
            Err(RequestError::Failed { failure, .. }) => {
                assert!(failure.to_string().contains(message), "{failure}");
            }
            other => panic!("{other:?}"),
        }
        let replied = in_time(requester.request(3)).await;
        assert_eq!(replied.expect("it is answered"), 3);
    }
}

/// Where a bus carries bytes, a question or a reply that cannot be made again from them is an error
/// that names the endpoint and the type, at once.
pub async fn what_cannot_be_decoded_is_an_error_that_says_so(bus: &dyn Bus) {
    let asks = Endpoint::<Even, u64>::new("conformance.asks");
    let replies = Endpoint::<u64, Even>::new("conformance.replies");
    let _takes = bus.respond(&asks, |even: Even| echo(even.0));
    let _gives = bus.respond(&replies, |number| async move {
        Ok::<_, Infallible>(Even(number))
    });
    let asks = bus.requester(&asks).expect("it opens");
    let replies = bus.requester(&replies).expect("it opens");
    let start = Instant::now();
    for number in [1, 2, 3] {
        let asked = in_time(asks.request(Even(number))).await;
        let replied = in_time(replies.request(number)).await;
        let replied = replied.map(|even| even.0);
        let is_bytes = asked.is_err();
        assert!(is_bytes || number == 2 || replied.is_ok(), "{replied:?}");
        for (outcome, endpoint) in [
            (asked, "conformance.asks"),
            (replied, "conformance.replies"),
        ] {
            match outcome {
                Ok(reply) => assert!(!is_bytes && reply == number, "{reply}"),
                Err(error @ (RequestError::Failed { .. } | RequestError::Decode { .. }))
                    if number != 2 =>
                {
                    let error = crate::WithCauses(&error).to_string();
                    for part in [endpoint, type_name::<Even>(), "decoded", "it is odd"] {
                        assert!(error.contains(part), "{error}");
                    }
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(start.elapsed() < AT_ONCE);
}

/// The deadline ends the request, and its handler where it awaits; the next is answered.
pub async fn a_request_ends_at_its_deadline_and_so_does_its_handler(bus: &dyn Bus) {
    let alive = Arc::new(());
    let guard = Arc::clone(&alive);
    let _responder = bus.respond(&ECHO, move |number| {
        let guard = Arc::clone(&guard);
        async move {
            let replied = slow_echo(number).await;
            drop(guard);
            replied
        }
    });
    let requester = bus.requester(&ECHO).expect("it opens");
    let start = Instant::now();
    let hasty = requester.clone().deadline(SECOND / 2);
    match in_time(hasty.request(1)).await {
        Err(RequestError::DeadlineExceeded { endpoint, deadline }) => {
            assert_eq!((&*endpoint, deadline), (ECHO.name(), SECOND / 2));
        }
        other => panic!("{other:?}"),
    }
    let elapsed = start.elapsed();
    assert!(elapsed >= SECOND / 2 && elapsed < SECOND, "{elapsed:?}");
    settle().await;
    assert_eq!(Arc::strong_count(&alive), 2, "the handler goes on");
    let replied = in_time(requester.request(2)).await;
    assert_eq!(replied.expect("it is answered"), 2);
}

/// Nobody waits longer than the deadline, wherever the question is; it is thirty seconds by default.
pub async fn the_deadline_governs_the_queue_too(bus: &dyn Bus) {
    let endpoint = ECHO.capacity(1);
    let _responder = bus.respond(&endpoint, never).expect("it opens");
    let requester = bus.requester(&endpoint).expect("it opens");
    let start = Instant::now();
    for (number, outcome) in outcomes(ask(&requester, 0..12).await).await {
        let late = matches!(outcome, Err(RequestError::DeadlineExceeded { .. }));
        assert!(late, "{number}: {outcome:?}");
    }
    let elapsed = start.elapsed().as_secs_f64();
    assert!((30.0..30.5).contains(&elapsed), "{elapsed}");
    settle().await;
    let stats = stats(bus);
    assert_eq!((stats.ledger.in_flight, stats.waiting_publishers), (0, 0));
    assert!(stats.ledger.is_balanced(), "{stats:?}");
}

/// Whoever asks may go: its handler is dropped where it awaits, and nobody else notices.
pub async fn a_handler_is_dropped_when_who_asked_goes(bus: &dyn Bus) {
    let alive = Arc::new(());
    let guard = Arc::clone(&alive);
    let _responder = bus.respond(&ECHO, move |number| {
        let guard = Arc::clone(&guard);
        async move {
            if number == 0 {
                pending::<()>().await;
            }
            drop(guard);
            echo(number).await
        }
    });
    let requester = bus.requester(&ECHO).expect("it opens");
    let goes = ask(&requester, [0]).await;
    assert_eq!(Arc::strong_count(&alive), 3);
    let stays = ask(&requester, [1]).await;
    drop(goes);
    settle().await;
    assert_eq!(Arc::strong_count(&alive), 2);
    let [(1, Ok(1))] = outcomes(stays).await[..] else {
        panic!("who stays is not answered");
    };
}

/// A question whose asker has gone before anybody took it is answered by nobody.
pub async fn a_handler_does_not_begin_for_who_went_before(bus: &dyn Bus) {
    let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (opens, counts) = (Arc::clone(&gate), Arc::clone(&begun));
    let _responder = bus.respond(&ECHO, move |number| {
        counts.fetch_add(1, Ordering::SeqCst);
        let gate = Arc::clone(&opens);
        async move {
            gate.acquire().await?.forget();
            Ok::<_, Failure>(number)
        }
    });
    let requester = bus.requester(&ECHO).expect("it opens");
    let first = ask(&requester, [0]).await;
    let goes = ask(&requester, [1, 2, 3]).await;
    drop(goes);
    settle().await;
    gate.add_permits(10);
    assert!(matches!(outcomes(first).await[..], [(0, Ok(0))]));
    let replied = in_time(requester.request(4)).await;
    assert_eq!(replied.expect("it is answered"), 4);
    assert_eq!(begun.load(Ordering::SeqCst), 2);
}

/// Wherever a request is when it is dropped, it leaves nothing behind.
pub async fn a_request_may_be_dropped_after_any_poll(bus: &dyn Bus) {
    let (endpoint, alive) = (ECHO.capacity(1), Arc::new(()));
    let guard = Arc::clone(&alive);
    let _responder = bus.respond(&endpoint, move |number| {
        let guard = Arc::clone(&guard);
        async move {
            yield_now().await;
            yield_now().await;
            drop(guard);
            echo(number).await
        }
    });
    let requester = bus.requester(&endpoint).expect("it opens");
    for polls in 0..20 {
        let mut others = JoinSet::new();
        for number in 1..8 {
            let requester = requester.clone();
            others.spawn(async move { (number, requester.request(number).await) });
        }
        {
            let mut dropped = pin!(requester.request(0));
            let mut cx = Context::from_waker(Waker::noop());
            for _ in 0..polls {
                if dropped.as_mut().poll(&mut cx).is_ready() {
                    break;
                }
                yield_now().await;
            }
        }
        for (number, other) in outcomes(others).await {
            assert_eq!(other.expect("it is answered"), number, "after {polls}");
        }
        settle().await;
        assert_eq!(Arc::strong_count(&alive), 2, "after {polls}");
        let stats = stats(bus);
        assert!(stats.ledger.is_balanced(), "{stats:?}");
        assert_eq!((stats.ledger.in_flight, stats.waiting_publishers), (0, 0));
    }
}

/// Who asks more than there is room for waits, and is served in its turn.
pub async fn a_full_endpoint_makes_who_asks_wait_and_serves_in_order(bus: &dyn Bus) {
    let (endpoint, order) = (ECHO.capacity(1), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&order);
    let _responder = bus.respond(&endpoint, move |number| {
        seen.lock().expect("nobody panics with it").push(number);
        slow_echo(number)
    });
    let requester = bus.requester(&endpoint).expect("it opens");
    for (number, replied) in outcomes(ask(&requester, 0..12).await).await {
        assert_eq!(replied.expect("it is answered"), number);
    }
    let order = order.lock().expect("nobody panics with it");
    assert!(order.iter().copied().eq(0..12), "{order:?}");
}

/// A handler that asks, itself perhaps, does not wait for room: so no ring stands still.
pub async fn who_handles_something_meets_full_rather_than_waits(bus: &dyn Bus) {
    const ASKED: usize = 100;
    let endpoint = ECHO.capacity(CAPACITY);
    let own = bus.requester(&endpoint).expect("it opens").deadline(SECOND);
    let (inner, told) = (own.clone(), Arc::new(Mutex::new((0, 0))));
    let counts = Arc::clone(&told);
    let _responder = bus.respond(&endpoint, move |number| {
        let (own, told) = (inner.clone(), Arc::clone(&counts));
        async move {
            let asking = (0..ASKED).map(|_| own.request(number));
            for outcome in all(asking).await {
                let mut told = told.lock().expect("nobody panics with it");
                match outcome {
                    Err(RequestError::Full { .. }) => told.0 += 1,
                    Err(RequestError::DeadlineExceeded { .. }) => told.1 += 1,
                    other => panic!("{other:?}"),
                }
            }
            echo(number).await
        }
    });
    let start = Instant::now();
    let replied = in_time(own.deadline(10 * SECOND).request(1)).await;
    assert_eq!(replied.expect("it is answered"), 1);
    assert!(start.elapsed() < 2 * SECOND, "{:?}", start.elapsed());
    let (full, late) = *told.lock().expect("nobody panics with it");
    assert!(full >= ASKED / 2 && late > 0, "{full} and {late}");
    assert_eq!(full + late, ASKED);
}

/// All of these at once, in this task.
async fn all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.map(Box::pin).collect();
    let mut outputs = Vec::new();
    poll_fn(move |cx| {
        waiting.retain_mut(|future| match Pin::new(future).poll(cx) {
            Poll::Ready(output) => {
                outputs.push(output);
                false
            }
            Poll::Pending => true,
        });
        match waiting.is_empty() {
            true => Poll::Ready(std::mem::take(&mut outputs)),
            false => Poll::Pending,
        }
    })
    .await
}
