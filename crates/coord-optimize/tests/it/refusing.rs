//! Sizes and times of zero are refused, by each operator, before anything runs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use coord_optimize::{OptimizeExt, OverflowStrategy, Rate, per_second};
use tokio_stream::Stream;

use crate::marble::{Source, check};
use crate::stage::ms;

const ZERO: Duration = Duration::ZERO;

/// Whether this operator is refused before its source is polled, with a message of this.
#[track_caller]
fn refused<S: Stream>(operator: impl FnOnce(Source) -> S, message: &str) {
    let run = AssertUnwindSafe(|| check("a|", operator, |_| "?".to_owned(), "refused"));
    let panic = catch_unwind(run).unwrap_err();
    let told = match panic.downcast_ref::<&str>() {
        Some(told) => told,
        None => panic.downcast_ref::<String>().unwrap().as_str(),
    };
    assert!(told.contains(message), "{told}");
}

#[test]
fn times_of_zero() {
    refused(|s| s.batch(1, ZERO), "the time of a batch cannot be zero");
    refused(
        |s| OptimizeExt::throttle(s, ZERO),
        "the period of a throttle",
    );
    refused(|s| s.debounce(ZERO), "the silence of a debounce");
    refused(|s| s.debounce(ms(1)).max_wait(ZERO), "the longest wait");
    refused(|s| s.audit(ZERO), "the period of an audit");
    refused(|s| s.sample(ZERO), "the period of a sample");
    refused(|s| s.distinct_within(ZERO, 1), "the window in which");
    refused(
        |s| s.distinct_within_by(ZERO, 1, |item| *item),
        "the window in which",
    );
    refused(|s| s.window_time(ZERO, ms(1), 1), "the span of a window");
    refused(|s| s.window_time(ms(1), ZERO, 1), "the distance of windows");
    refused(
        |s| s.conflate(|item| item, |_, _| ()).every(ZERO),
        "the period of conflated states",
    );
    refused(
        |s| s.coalesce_by_key(|item| *item, |_, _| ()).within(ZERO),
        "the time of a batch",
    );
    refused(
        |s| s.group_by(|item| *item).idle(ZERO),
        "the time after which a group ends",
    );
    refused(|s| s.expire_after(ZERO, |_| ZERO), "the age at which");
}

#[test]
fn rates_of_zero_and_of_never() {
    for rate in [Rate::every(ZERO), per_second(0)] {
        let message = format!("the rate of a stream cannot be {rate}");
        refused(|s| s.rate_limit(rate), &message);
    }
}

#[test]
fn sizes_of_zero() {
    refused(|s| s.batch(0, ms(1)), "the size of a batch cannot be zero");
    refused(|s| s.distinct(0), "the bound of keys");
    refused(|s| s.distinct_by(0, |item| *item), "the bound of keys");
    refused(|s| s.distinct_within(ms(1), 0), "the bound of keys");
    refused(
        |s| s.distinct_within_by(ms(1), 0, |item| *item),
        "the bound of keys",
    );
    refused(|s| s.window_count(0, 1), "the size of a window");
    refused(|s| s.window_count(1, 0), "the distance of windows");
    refused(
        |s| s.window_time(ms(1), ms(1), 0),
        "the most items of a window",
    );
    refused(
        |s| s.coalesce_by_key(|item| *item, |_, _| ()).at_most(0),
        "the most keys of a batch",
    );
    refused(
        |s| s.group_by(|item| *item).at_most(0),
        "the most groups cannot be zero",
    );
    refused(
        |s| s.group_by(|item| *item).group_size(0),
        "the size of a group",
    );
    refused(|s| s.priority(0, |item| *item), "the bound of items");
    refused(
        |s| s.rate_limit(per_second(1)).burst(0),
        "the burst of a rate limit",
    );
    refused(
        |s| s.on_overflow(0, OverflowStrategy::DropOldest),
        "the size of a buffer",
    );
    refused(|s| s.fail_on_overflow(0), "the size of a buffer");
}
