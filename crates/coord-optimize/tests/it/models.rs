//! Each operator beside a naive model of it: a function from when items came to when they are to come
//! out, for a consumer that always waits. Here those that have to do with time alone.

mod content;
mod settings;

use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use coord_bus::time::{Instant, timeout};
use coord_optimize::{OptimizeExt, Rate};
use proptest::prelude::*;
use tokio_stream::{Stream, StreamExt};

use crate::stage::{Timetable, cases, gaps, ms, run, timetable};

/// A millisecond, and the items that come in it at once.
type Out = (u64, Vec<usize>);

/// What an operator gives out, when, for items with these gaps: the same to a consumer that waits, and to
/// one whose wait is cancelled in each millisecond and begun anew.
fn given<S: Stream>(
    gaps: &[u64],
    operator: impl Fn(Timetable) -> S,
    items: impl Fn(S::Item) -> Vec<usize>,
) -> Vec<Out> {
    let given = |patience: Duration| {
        run(async {
            let begin = Instant::now();
            let mut stream = pin!(operator(timetable(gaps.to_vec())));
            let mut given = Vec::new();
            loop {
                match timeout(patience, stream.next()).await {
                    Ok(Some(item)) => {
                        given.push((begin.elapsed().as_millis() as u64, items(item)));
                    }
                    Ok(None) => return given,
                    Err(_) => {}
                }
            }
        })
    };
    let waited = given(Duration::MAX);
    assert_eq!(given(ms(1)), waited, "cancelling a wait changes what comes");
    waited
}

/// When each item comes; the source ends with the last.
fn times(gaps: &[u64]) -> Vec<u64> {
    let add = |sum: &mut u64, gap: &u64| {
        *sum += gap;
        Some(*sum)
    };
    gaps.iter().scan(0, add).collect()
}

fn one(item: usize) -> Vec<usize> {
    vec![item]
}

fn throttle(times: &[u64], period: u64, leading: bool, trailing: bool) -> Vec<Out> {
    let mut given = Vec::new();
    let (mut until, mut held): (Option<u64>, Option<usize>) = (None, None);
    for (item, now) in times.iter().enumerate() {
        // Periods that were over before this item.
        while let Some(end) = until.filter(|end| end < now) {
            until = held.take().map(|held| {
                given.push((end, one(held)));
                end + period
            });
        }
        if until.is_none() && leading {
            given.push((*now, one(item)));
        } else if trailing {
            held = Some(item);
        }
        until = until.or(Some(now + period));
    }
    given.extend(held.zip(until).map(|(held, end)| (end, one(held))));
    given
}

fn debounce(times: &[u64], silence: u64, max_wait: Option<u64>) -> Vec<Out> {
    let mut given = Vec::new();
    let mut first = None;
    for (item, now) in times.iter().enumerate() {
        let since = *first.get_or_insert(*now);
        let quiet = now + silence;
        let end = max_wait.map_or(quiet, |wait| quiet.min(since + wait));
        match times.get(item + 1) {
            Some(next) if *next <= end => {}
            Some(_) => {
                given.push((end, one(item)));
                first = None;
            }
            // The source has ended.
            None => given.push((*now, one(item))),
        }
    }
    given
}

fn audit(times: &[u64], period: u64) -> Vec<Out> {
    let mut given: Vec<Out> = Vec::new();
    for (item, now) in times.iter().enumerate() {
        match given.last_mut() {
            Some((end, held)) if now <= end => *held = one(item),
            _ => given.push((now + period, one(item))),
        }
    }
    given
}

fn sample(times: &[u64], period: u64) -> Vec<Out> {
    let mut given: Vec<Out> = Vec::new();
    for (item, now) in times.iter().enumerate() {
        match given.last_mut() {
            Some((tick, held)) if now <= tick => *held = one(item),
            _ => given.push((now.div_ceil(period).max(1) * period, one(item))),
        }
    }
    let end = times.last().copied().unwrap_or(0);
    given.iter_mut().for_each(|out| out.0 = out.0.min(end));
    given
}

fn batch(times: &[u64], size: usize, within: u64) -> Vec<Out> {
    let mut given = Vec::new();
    let mut held: Option<(u64, Vec<usize>)> = None;
    for (item, now) in times.iter().enumerate() {
        if let Some(batch) = held.take_if(|(end, _)| *end < *now) {
            given.push(batch);
        }
        let (_, items) = held.get_or_insert((now + within, Vec::new()));
        items.push(item);
        if items.len() == size {
            given.extend(held.take().map(|(_, items)| (*now, items)));
        }
    }
    let end = times.last().copied().unwrap_or(0);
    given.extend(held.map(|(_, items)| (end, items)));
    given
}

fn windows(times: &[u64], span: u64, every: u64) -> Vec<Out> {
    let end = times.last().copied().unwrap_or(0);
    let begins = (0..).map(|number| number * every);
    // What comes as a window begins is of the one before; there is none before the first.
    let window = |begin: u64| {
        let within = |at: u64| (at > begin || begin == 0) && at <= begin + span;
        let items = times.iter().enumerate().filter(|(_, at)| within(**at));
        ((begin + span).min(end), items.map(|item| item.0).collect())
    };
    let windows = begins.take_while(|begin| *begin == 0 || *begin < end);
    let windows = windows.map(window);
    windows.filter(|out: &Out| !out.1.is_empty()).collect()
}

fn distinct_within(times: &[u64], window: u64, bound: usize, keys: &[usize]) -> Vec<Out> {
    let mut seen: VecDeque<(u64, usize)> = VecDeque::new();
    let mut given = Vec::new();
    for (item, now) in times.iter().enumerate() {
        seen.retain(|(at, _)| now - at <= window);
        if seen.iter().any(|(_, key)| *key == keys[item]) {
            continue;
        }
        if seen.len() == bound {
            seen.pop_front();
        }
        seen.push_back((*now, keys[item]));
        given.push((*now, one(item)));
    }
    given
}

/// As a bucket of whole tokens, of which one drips in each period.
fn rate_limit(times: &[u64], period: u64, burst: u64, enforce: bool) -> Vec<Out> {
    let mut given = Vec::new();
    // How much is out of the bucket, in milliseconds of dripping, and as of when.
    let (mut out, mut as_of) = (0, 0);
    for (item, came) in times.iter().enumerate() {
        let mut now = (*came).max(as_of);
        let mut left = out - (now - as_of).min(out);
        let too_much = left.saturating_sub((burst - 1) * period);
        if too_much > 0 {
            if enforce {
                continue;
            }
            now += too_much;
            left -= too_much;
        }
        (out, as_of) = (left + period, now);
        given.push((now, one(item)));
    }
    given
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn what_comes_out_and_when_is_what_the_model_says(
        gaps in gaps(), period in 1..40_u64, wait in 1..60_u64, size in 1..6_usize,
        bound in 1..4_usize, burst in 1..4_u32, keys in prop::collection::vec(0..4_usize, 60),
    ) {
        let at = times(&gaps);
        let whole = ms(period);
        let is = |seen: Vec<Out>, model: Vec<Out>, name: &str| {
            prop_assert_eq!(seen, model, "{}", name);
            Ok(())
        };
        let seen = given(&gaps, |s| OptimizeExt::throttle(s, whole), one);
        is(seen, throttle(&at, period, true, false), "throttle")?;
        let seen = given(&gaps, |s| OptimizeExt::throttle(s, whole).trailing(), one);
        is(seen, throttle(&at, period, true, true), "throttle, trailing")?;
        let seen = given(&gaps, |s| OptimizeExt::throttle(s, whole).trailing_only(), one);
        is(seen, throttle(&at, period, false, true), "throttle, trailing only")?;
        let seen = given(&gaps, |s| s.debounce(whole), one);
        is(seen, debounce(&at, period, None), "debounce")?;
        let seen = given(&gaps, |s| s.debounce(whole).max_wait(ms(wait)), one);
        is(seen, debounce(&at, period, Some(wait)), "debounce, longest wait")?;
        let seen = given(&gaps, |s| s.audit(whole), one);
        is(seen, audit(&at, period), "audit")?;
        let seen = given(&gaps, |s| s.sample(whole), one);
        is(seen, sample(&at, period), "sample")?;
        let seen = given(&gaps, |s| s.batch(size, whole), |items| items);
        is(seen, batch(&at, size, period), "batch")?;
        let step = wait.min(period);
        let seen = given(&gaps, |s| s.window_time(whole, ms(step), 1000), |items| items);
        is(seen, windows(&at, period, step), "windows")?;
        let seen = given(&gaps, |s| s.distinct_within_by(whole, bound, |item| keys[*item]), one);
        is(seen, distinct_within(&at, period, bound, &keys), "distinct within")?;
        let rate = Rate::every(whole);
        let seen = given(&gaps, |s| s.rate_limit(rate).burst(burst), one);
        is(seen, rate_limit(&at, period, burst.into(), false), "rate limit")?;
        let seen = given(&gaps, |s| s.rate_limit(rate).burst(burst).enforce(), one);
        is(seen, rate_limit(&at, period, burst.into(), true), "rate limit, enforced")?;
    }
}
