//! Attempts beside each other: when one is begun, which is the outcome, and what becomes of the others.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::Failure;
use coord_bus::time::Instant;
use coord_recovery::RecoveryError;
use coord_recovery::policy::{
    Bulkhead, CircuitBreaker, Hedge, Policy, PolicyAction, PolicyBuilder, PolicyError, Retry,
    RetryBudget, SlidingWindow,
};
use proptest::prelude::*;

use super::{Count, plan};
use crate::stage::{pass, seconds};

type Result = std::result::Result<u32, &'static str>;

/// An operation whose attempts take so long and come to this, and how many of them are under way, or have begun.
#[derive(Clone)]
struct Attempts {
    planned: Arc<[(Duration, Result)]>,
    begun: Count,
    under_way: Count,
}

/// Counts one less when it is dropped, done or not.
struct UnderWay(Count);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.down();
    }
}

impl Attempts {
    fn new(planned: &[(u64, Result)]) -> Self {
        let planned = planned.iter();
        Self {
            planned: planned
                .map(|(takes, result)| (seconds(*takes), *result))
                .collect(),
            begun: Count::default(),
            under_way: Count::default(),
        }
    }

    async fn next(self) -> Result {
        let number = self.begun.up() as usize - 1;
        self.under_way.up();
        let _under_way = UnderWay(self.under_way.clone());
        let (takes, result) = self.planned[number];
        pass(takes).await;
        result
    }

    fn counts(&self) -> (u32, u32) {
        (self.begun.get(), self.under_way.get())
    }
}

#[tokio::test(start_paused = true)]
async fn beside_an_attempt_that_is_slow_another_is_begun_and_the_first_to_succeed_is_the_outcome() {
    let bulkhead = Bulkhead::new(2).unwrap();
    let policy = plan()
        .hedge(Hedge::default())
        .bulkhead(bulkhead.clone())
        .build()
        .unwrap();
    let attempts = Attempts::new(&[(60, Ok(1)), (3, Ok(2))]);
    let began = Instant::now();
    let call = policy.clone();
    let ask = attempts.clone();
    // By a task, as from any other.
    let call = tokio::spawn(async move { call.run(|| ask.clone().next()).await });
    pass(seconds(4)).await;
    assert_eq!((attempts.counts(), bulkhead.available()), ((2, 2), 0));
    assert_eq!(call.await.unwrap(), Ok(2));
    assert_eq!(began.elapsed(), seconds(2 + 3));
    assert_eq!((attempts.counts(), bulkhead.available()), ((2, 0), 2));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_quick_has_none_beside_it() {
    let policy = plan().hedge(Hedge::default()).build().unwrap();
    let attempts = Attempts::new(&[(1, Ok(1))]);
    assert_eq!(policy.run(|| attempts.clone().next()).await, Ok(1));
    assert_eq!(attempts.counts(), (1, 0));
    let at_once = policy.run(|| async { Ok(7) });
    assert_eq!(at_once.await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_the_next_attempt_begins_at_once_and_listeners_are_told() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    let policy = plan()
        .retry(Retry::constant(seconds(1)).max_attempts(2))
        .hedge(Hedge::after(seconds(10)).max_attempts(3))
        .listen(move |event| {
            let error = event.error.map(PolicyError::kind);
            let mut told = listener.lock().unwrap();
            told.push((
                event.action.name(),
                event.strategy.to_owned(),
                event.attempt,
                error,
            ));
            if let PolicyAction::Hedge { hedged } = event.action {
                assert_eq!(event.strategy, "hedge");
                told.last_mut().unwrap().1 = hedged.to_string();
            }
        })
        .build()
        .unwrap();
    let attempts = Attempts::new(&[
        (1, Err("a")),
        (30, Err("b")),
        (20, Err("c")),
        (60, Ok(4)),
        (2, Ok(5)),
    ]);
    let began = Instant::now();
    assert_eq!(policy.run(|| attempts.clone().next()).await, Ok(5));
    // The second after 1 s, the third 10 s later, until 31; and the second round from 32 on.
    assert_eq!(began.elapsed(), seconds(1 + 10 + 20 + 1 + 10 + 2));
    let failed = Some("operation-failed");
    let expected = [
        ("on_hedging", "1".to_owned(), 0, failed),
        ("on_hedging", "2".to_owned(), 0, None),
        ("on_retry", "retry".to_owned(), 0, failed),
        ("on_hedging", "1".to_owned(), 1, None),
    ];
    assert_eq!(*told.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn what_is_told_further_in_is_of_the_attempt_of_a_retry_further_out() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    let policy = plan()
        .retry(Retry::constant(seconds(1)).max_attempts(2))
        .hedge(Hedge::after_failure())
        .timeout(seconds(5))
        .listen(move |event| {
            let told = (event.action.name(), event.attempt);
            listener.lock().unwrap().push(told);
        })
        .build()
        .unwrap();
    let after = seconds(5);
    let never = policy.run(std::future::pending).await;
    assert_eq!(never, Err(PolicyError::TimedOut { after }));
    let of_one = |attempt| {
        let timeout = ("on_timeout", attempt);
        [timeout, ("on_hedging", attempt), timeout]
    };
    let retried = [("on_retry", 0)];
    let expected = [&of_one(0)[..], &retried, &of_one(1)].concat();
    assert_eq!(*told.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_is_not_worth_another_attempt_is_the_outcome_whatever_is_under_way() {
    let policy = plan()
        .hedge(Hedge::after(seconds(1)).max_attempts(3).hedge_if(|error| {
            error
                .operation()
                .is_some_and(|error| *error != "no such thing")
        }))
        .build()
        .unwrap();
    let attempts = Attempts::new(&[(60, Ok(1)), (3, Err("no such thing")), (60, Ok(3))]);
    let result = policy.run(|| attempts.clone().next()).await;
    assert_eq!(result, Err(PolicyError::Operation("no such thing")));
    assert_eq!(attempts.counts(), (3, 0));

    let policy: Policy<u32, Failure> = Policy::builder("permanent")
        .hedge(Hedge::after_failure())
        .build()
        .unwrap();
    let attempts = Count::default();
    let result = policy.run(|| {
        attempts.up();
        async { Err(Failure::message("no such thing").permanent()) }
    });
    assert!(result.await.is_err());
    assert_eq!(attempts.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_delay_only_a_failure_has_another_attempt_begin() {
    let policy = plan().hedge(Hedge::after_failure()).build().unwrap();
    let attempts = Attempts::new(&[(3_600, Err("a")), (1, Ok(2))]);
    let began = Instant::now();
    assert_eq!(policy.run(|| attempts.clone().next()).await, Ok(2));
    assert_eq!(began.elapsed(), seconds(3_601));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_further_out_is_of_all_attempts_and_drops_them() {
    let policy = plan()
        .timeout(seconds(10))
        .hedge(Hedge::default())
        .build()
        .unwrap();
    let attempts = Attempts::new(&[(60, Ok(1)), (60, Ok(2))]);
    let after = seconds(10);
    let result = policy.run(|| attempts.clone().next()).await;
    assert_eq!(result, Err(PolicyError::TimedOut { after }));
    assert_eq!(attempts.counts(), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_breaker_further_in_counts_each_attempt_that_ends_and_one_further_out_the_outcome() {
    let breaker = |name| {
        let builder = CircuitBreaker::builder(name).sliding_window(SlidingWindow::Count(10));
        builder.build().unwrap()
    };
    let (outer, inner) = (breaker("outer"), breaker("inner"));
    let policy = plan()
        .circuit_breaker(outer.clone())
        .hedge(Hedge::after(seconds(2)).max_attempts(3))
        .circuit_breaker(inner.clone())
        .build()
        .unwrap();
    // The first is dropped, and so comes to nothing.
    let attempts = Attempts::new(&[(60, Ok(1)), (1, Err("b")), (1, Ok(3))]);
    assert_eq!(policy.run(|| attempts.clone().next()).await, Ok(3));
    let counted = |breaker: &CircuitBreaker| {
        let metrics = breaker.metrics();
        (metrics.calls, metrics.failed)
    };
    assert_eq!((counted(&outer), counted(&inner)), ((1, 0), (2, 1)));
}

#[tokio::test(start_paused = true)]
async fn a_budget_admits_further_attempts_as_retries_and_has_them_back() {
    let budget = RetryBudget::new(0.0, 1).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    let policy = plan()
        .hedge(Hedge::after(seconds(2)).max_attempts(3).budget(&budget))
        .listen(move |event| listener.lock().unwrap().push(event.action))
        .build()
        .unwrap();
    let attempts = Attempts::new(&[(60, Ok(1)), (60, Ok(2))]);
    let call = policy.run(|| attempts.clone().next());
    let looks = async {
        pass(seconds(1)).await;
        let before = (budget.calls(), budget.retries());
        pass(seconds(2)).await;
        let during = (budget.calls(), budget.retries());
        (before, during)
    };
    let (result, (before, during)) = tokio::join!(call, looks);
    assert_eq!((result, attempts.counts()), (Ok(1), (2, 0)));
    assert_eq!((before, during), ((1, 0), (1, 1)));
    assert_eq!((budget.calls(), budget.retries()), (0, 0));
    let (begins, refused) = (
        PolicyAction::Hedge { hedged: 1 },
        PolicyAction::BudgetExhausted,
    );
    assert_eq!(*told.lock().unwrap(), [begins, refused]);

    // A further attempt that has failed makes room for the next.
    let attempts = Attempts::new(&[(60, Ok(1)), (1, Err("b")), (1, Ok(3))]);
    assert_eq!(policy.run(|| attempts.clone().next()).await, Ok(3));
    assert_eq!((budget.calls(), budget.retries()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_at_any_time_leaves_no_attempt_and_holds_nothing() {
    let bulkhead = Bulkhead::new(3).unwrap();
    let budget = RetryBudget::default();
    let policy = plan()
        .hedge(Hedge::after(seconds(2)).max_attempts(3).budget(&budget))
        .bulkhead(bulkhead.clone())
        .build()
        .unwrap();
    for time in 0..8 {
        let attempts = Attempts::new(&[(60, Ok(1)), (3, Err("b")), (60, Ok(3))]);
        let call = policy.run(|| attempts.clone().next());
        let dropped = coord_bus::time::timeout(seconds(time), call).await;
        assert!(dropped.is_err());
        assert_eq!(attempts.counts().1, 0, "after {time} s");
        assert_eq!(
            (bulkhead.available(), budget.calls(), budget.retries()),
            (3, 0, 0)
        );
    }
}

#[test]
fn a_hedge_that_cannot_work_is_refused() {
    let fault = |builder: PolicyBuilder<u32, &'static str>| match builder.build() {
        Err(RecoveryError::Composition { fault, .. }) => fault,
        other => panic!("{other:?}"),
    };
    let hedge = || Hedge::after(seconds(2));
    let twice = fault(
        plan()
            .hedge(hedge())
            .retry(Retry::exponential())
            .hedge(hedge()),
    );
    assert!(twice.contains("would multiply"), "{twice}");
    let late = fault(plan().timeout(seconds(2)).hedge(hedge()));
    assert!(
        late.contains("waits 2s before it begins another attempt"),
        "{late}"
    );
    for attempts in [0, 1, 12] {
        let few = fault(plan().hedge(hedge().max_attempts(attempts)));
        assert!(
            few.ends_with(&format!(
                "from 2 to 11, the first one included, not {attempts}"
            )),
            "{few}"
        );
    }
    let blind = fault(plan().hedge(Hedge::after_failure()).fallback_value(0));
    assert!(
        blind.contains("leaves no error that hedge(2 attempts, after a failure) could see"),
        "{blind}"
    );
    // What is slow it can see.
    assert!(plan().hedge(hedge()).fallback_value(0).build().is_ok());
    assert!(
        plan()
            .timeout(seconds(3))
            .hedge(hedge().max_attempts(11))
            .build()
            .is_ok()
    );
}

/// When the outcome is there, in milliseconds, and what it is: by looking at all that is to happen, one after the other.
fn outcome(
    planned: &[(u64, bool)],
    delay: Option<u64>,
) -> (u64, std::result::Result<usize, usize>) {
    let mut under_way = vec![(planned[0].0, 0)];
    let (mut begun, mut slow_at) = (1, delay);
    loop {
        let first = *under_way.iter().min().expect("it ends when none is left");
        let more = (begun < planned.len()).then_some(slow_at).flatten();
        let (now, failed) = match more {
            Some(at) if at < first.0 => (at, None),
            _ => (first.0, Some(first.1)),
        };
        if let Some(number) = failed {
            if planned[number].1 {
                return (now, Ok(number));
            }
            under_way.retain(|(_, other)| *other != number);
        }
        if begun < planned.len() {
            under_way.push((now + planned[begun].0, begun));
            begun += 1;
            slow_at = delay.map(|delay| now + delay);
        }
        if let (Some(number), true) = (failed, under_way.is_empty()) {
            return (now, Err(number));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn attempts_come_to_what_looking_at_all_that_happens_says(
        planned in prop::collection::vec((1..40_u64, any::<bool>()), 2..=11),
        delay in prop::option::of(1..30_u64),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let hedge = match delay {
            Some(delay) => Hedge::after(Duration::from_millis(delay)),
            None => Hedge::after_failure(),
        };
        let policy: Policy<usize, usize> = Policy::builder("any")
            .hedge(hedge.max_attempts(planned.len() as u32))
            .build()
            .unwrap();
        let (took, result) = runtime.block_on(async {
            let (began, begun) = (Instant::now(), Count::default());
            let result = policy.run(|| {
                let number = begun.up() as usize - 1;
                let (takes, succeeds) = planned[number];
                async move {
                    pass(Duration::from_millis(takes)).await;
                    if succeeds { Ok(number) } else { Err(number) }
                }
            });
            let result = result.await;
            (began.elapsed().as_millis() as u64, result)
        });
        let (at, expected) = outcome(&planned, delay);
        prop_assert_eq!((took, result), (at, expected.map_err(PolicyError::Operation)));
    }
}
