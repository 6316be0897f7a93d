//! What a call under a policy costs when all is well, and what a circuit breaker costs alone.

use std::convert::Infallible;
use std::future::Future;
use std::hint::black_box;
use std::time::{Duration, Instant};

use coord_recovery::policy::{BreakerState, Bulkhead, CircuitBreaker, Policy, Retry};
use failsafe::CircuitBreaker as _;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_resilience::bulkhead::BulkheadLayer;
use tower_resilience::circuitbreaker::CircuitBreakerLayer;
use tower_resilience::retry::RetryLayer;
use tower_resilience::timelimiter::TimeLimiterLayer;

use crate::report::{Report, Row};
use crate::runtime;

const CALLS: u32 = 200_000;
const ROUNDS: usize = 15;

/// An operation that is done at once, or after the runtime has had a turn.
#[derive(Clone, Copy)]
enum Operation {
    Ready,
    Waits,
}

async fn operate(operation: Operation) -> Result<u64, Infallible> {
    if let Operation::Waits = operation {
        tokio::task::yield_now().await;
    }
    Ok(black_box(1))
}

/// Nanoseconds a call.
fn timed<F: Future>(calls: u32, future: impl FnOnce() -> F) -> f64 {
    runtime(1).block_on(async {
        let begun = Instant::now();
        future().await;
        begun.elapsed().as_nanos() as f64 / f64::from(calls)
    })
}

async fn call_all<S>(mut service: S)
where
    S: Service<(), Response = u64>,
    S::Error: std::fmt::Debug,
{
    for _ in 0..CALLS {
        let ready = service.ready().await.expect("it is ready");
        black_box(ready.call(()).await.expect("it succeeds"));
    }
}

fn policy() -> Policy<u64, Infallible> {
    Policy::builder("bench")
        .retry(Retry::exponential())
        .circuit_breaker(CircuitBreaker::new("bench"))
        .timeout(Duration::from_secs(30))
        .bulkhead(Bulkhead::default())
        .build()
        .expect("it can work")
}

const POLICIES: [&str; 4] = [
    "coord-recovery, all four",
    "tower, limit and timeout alone",
    "tower-resilience, all four",
    "no policy",
];

fn composed(contender: usize, operation: Operation) -> f64 {
    let call = service_fn(move |(): ()| operate(operation));
    match contender {
        0 => {
            let policy = policy();
            timed(CALLS, || async move {
                for _ in 0..CALLS {
                    let done = policy.run(|| operate(operation)).await;
                    black_box(done.expect("it succeeds"));
                }
            })
        }
        1 => {
            let service = ServiceBuilder::new()
                .concurrency_limit(25)
                .timeout(Duration::from_secs(30))
                .service(call);
            timed(CALLS, || call_all(service))
        }
        2 => {
            let bulkhead = BulkheadLayer::builder().max_concurrent_calls(25).build();
            let breaker = CircuitBreakerLayer::builder()
                .sliding_window_size(100)
                .build();
            let timeout = TimeLimiterLayer::builder().timeout_duration(Duration::from_secs(30));
            let service = ServiceBuilder::new()
                .layer(RetryLayer::<(), u64, _>::builder().max_attempts(3).build())
                .layer(breaker.expect("it can work"))
                .layer(timeout.build())
                .layer(bulkhead.expect("it can work"))
                .service(call);
            timed(CALLS, || call_all(service))
        }
        _ => timed(CALLS, || async move {
            for _ in 0..CALLS {
                black_box(operate(operation).await.expect("it succeeds"));
            }
        }),
    }
}

const BREAKERS: [&str; 4] = [
    "coord-recovery",
    "recloser",
    "failsafe",
    "coord-recovery, a future",
];

/// One thread calls what succeeds at once; with another one at the same breaker if there are two.
fn closed(contender: usize, threads: usize) -> f64 {
    match contender {
        0 => {
            let breaker = CircuitBreaker::new("bench");
            on_threads(threads, || {
                let permit = breaker.try_acquire().expect("it is closed");
                black_box(1);
                permit.success(Duration::ZERO);
            })
        }
        1 => {
            let breaker = recloser::Recloser::custom().closed_len(100).build();
            on_threads(threads, || {
                let called = breaker.call(|| Ok::<_, Infallible>(black_box(1)));
                black_box(called.is_ok());
            })
        }
        2 => {
            let breaker = failsafe::Config::new().build();
            on_threads(threads, || {
                let called = breaker.call(|| Ok::<_, Infallible>(black_box(1)));
                black_box(called.is_ok());
            })
        }
        _ => {
            let breaker = CircuitBreaker::new("bench");
            on_threads(threads, || {
                let call = breaker.call(operate(Operation::Ready));
                let mut call = std::pin::pin!(call);
                let waker = std::task::Waker::noop();
                let polled = call
                    .as_mut()
                    .poll(&mut std::task::Context::from_waker(waker));
                black_box(polled.is_ready());
            })
        }
    }
}

/// One thread is refused by a breaker that is open.
fn open(contender: usize) -> f64 {
    let fails = || Err::<u64, u64>(black_box(1));
    match contender {
        1 => {
            let breaker = recloser::Recloser::custom().closed_len(1);
            let breaker = breaker.open_wait(Duration::from_secs(3600)).build();
            while !matches!(breaker.call(fails), Err(recloser::Error::Rejected)) {}
            on_threads(1, || {
                black_box(breaker.call(fails).is_ok());
            })
        }
        2 => {
            let backoff = failsafe::backoff::constant(Duration::from_secs(3600));
            let policy = failsafe::failure_policy::consecutive_failures(1, backoff);
            let breaker = failsafe::Config::new().failure_policy(policy).build();
            while !matches!(breaker.call(fails), Err(failsafe::Error::Rejected)) {}
            on_threads(1, || {
                black_box(breaker.call(fails).is_ok());
            })
        }
        _ => {
            let breaker = CircuitBreaker::new("bench");
            breaker.transition_to(BreakerState::Open);
            on_threads(1, || {
                black_box(breaker.try_acquire().is_ok());
            })
        }
    }
}

/// Nanoseconds a call of one thread, while so many call at once.
fn on_threads(threads: usize, call: impl Fn() + Sync) -> f64 {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..CALLS {
                    call();
                }
            });
        }
    });
    begun.elapsed().as_nanos() as f64 / f64::from(CALLS)
}

pub(crate) fn run() {
    let report = Report::new("policies", "ns a call", POLICIES);
    let cases = [
        ("done at once", Operation::Ready),
        ("waits once", Operation::Waits),
    ];
    for (name, operation) in cases {
        let measure = |contender| composed(contender, operation);
        report.row(&Row::rounds(
            name.to_owned(),
            POLICIES.len(),
            ROUNDS,
            measure,
        ));
    }
    let report = Report::new("circuit breakers", "ns a call", BREAKERS);
    for (name, threads) in [("closed", 1), ("closed, two threads", 2)] {
        let measure = |contender| closed(contender, threads);
        report.row(&Row::rounds(
            name.to_owned(),
            BREAKERS.len(),
            ROUNDS,
            measure,
        ));
    }
    report.row(&Row::rounds(
        "open".to_owned(),
        BREAKERS.len(),
        ROUNDS,
        open,
    ));
}
