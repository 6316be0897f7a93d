//! Models of the operators that look at what items are, or at how many there are.

use std::collections::VecDeque;

use coord_optimize::{OptimizeError, OptimizeExt, OverflowStrategy};
use proptest::prelude::*;

use super::{Out, distinct_within, given, one, times};
use crate::flat::flat;
use crate::stage::{Timetable, cases, gaps, ms};

/// The milliseconds in which anything comes, each with its items.
fn moments(times: &[u64]) -> Vec<Out> {
    let mut moments: Vec<Out> = Vec::new();
    for (item, now) in times.iter().enumerate() {
        match moments.last_mut() {
            Some((at, items)) if at == now => items.push(item),
            _ => moments.push((*now, one(item))),
        }
    }
    moments
}

fn debounce_leading(times: &[u64], silence: u64) -> Vec<Out> {
    let mut given = Vec::new();
    let (mut until, mut held): (Option<u64>, Option<usize>) = (None, None);
    for (item, now) in times.iter().enumerate() {
        if let Some(end) = until.take_if(|end| *end < *now) {
            given.extend(held.take().map(|held| (end, one(held))));
        }
        match until {
            None => given.push((*now, one(item))),
            Some(_) => held = Some(item),
        }
        until = Some(now + silence);
    }
    let end = times.last().copied().unwrap_or(0);
    given.extend(held.map(|held| (end, one(held))));
    given
}

fn conflate(times: &[u64], period: u64) -> Vec<Out> {
    let mut given = Vec::new();
    let (mut held, mut turn) = (Vec::new(), 0);
    for (now, items) in moments(times) {
        if !held.is_empty() && turn < now {
            given.push((turn, std::mem::take(&mut held)));
            turn += period;
        }
        held.extend(items);
        if turn <= now {
            given.push((now, std::mem::take(&mut held)));
            turn = now + period;
        }
    }
    if !held.is_empty() {
        given.push((turn, held));
    }
    given
}

fn coalesce(times: &[u64], keys: &[usize], at_most: usize, within: u64) -> Vec<Out> {
    let mut given = Vec::new();
    let mut held: Option<Out> = None;
    for (item, now) in times.iter().enumerate() {
        given.extend(held.take_if(|(end, _)| *end < *now));
        let (_, items) = held.get_or_insert((now + within, Vec::new()));
        match items.iter_mut().find(|held| keys[**held] == keys[item]) {
            Some(same) => *same = item,
            None => items.push(item),
        }
        if items.len() == at_most {
            given.extend(held.take().map(|(_, items)| (*now, items)));
        }
    }
    let end = times.last().copied().unwrap_or(0);
    given.extend(held.map(|(_, items)| (end, items)));
    given
}

fn priority(times: &[u64], levels: &[usize], bound: usize) -> Vec<Out> {
    let mut given: Vec<Out> = Vec::new();
    for (now, items) in moments(times) {
        let (mut source, mut held) = (VecDeque::from(items), Vec::new());
        loop {
            while held.len() < bound
                && let Some(item) = source.pop_front()
            {
                held.push(item);
            }
            let oldest = (given.len() + 1).is_multiple_of(8);
            // Of the highest level the oldest.
            let first = |item: &&usize| match oldest {
                true => (0, **item),
                false => (usize::MAX - levels[**item], **item),
            };
            let Some(next) = held.iter().min_by_key(first).copied() else {
                break;
            };
            held.retain(|item| *item != next);
            given.push((now, one(next)));
        }
    }
    given
}

fn window_count(times: &[u64], size: usize, every: usize) -> Vec<Out> {
    let begins = (0..times.len()).step_by(every.min(size));
    let window = |begin: usize| {
        let end = times.len().min(begin + size);
        let whole = times.get(begin + size - 1).or(times.last());
        (*whole.unwrap_or(&0), (begin..end).collect())
    };
    begins.map(window).collect()
}

/// Millisecond by millisecond.
fn windows_with_a_bound(times: &[u64], span: u64, every: u64, at_most: usize) -> Vec<Out> {
    let end = times.last().copied().unwrap_or(0);
    let (mut given, mut held) = (Vec::new(), Vec::<usize>::new());
    let mut close = |begin: u64, now: u64, held: &mut Vec<usize>| {
        let within = held.iter().filter(|item| times[**item] <= begin + span);
        let items: Vec<_> = within.copied().collect();
        if !items.is_empty() {
            given.push((now, items));
        }
        held.retain(|item| times[*item] > begin + every);
    };
    let mut begin = 0;
    for now in 0..=end {
        for item in (0..times.len()).filter(|item| times[*item] == now) {
            held.push(item);
            if held.len() == at_most {
                // As if all windows that have begun closed now, but as one.
                close(now, now, &mut held);
                held.clear();
            }
        }
        if begin + span == now {
            close(begin, now, &mut held);
            begin += every;
        }
    }
    while !held.is_empty() {
        close(begin, end, &mut held);
        begin += every;
    }
    given
}

fn overflow(times: &[u64], size: usize, overflow: OverflowStrategy) -> Vec<Out> {
    let kept = |items: Vec<usize>| {
        let count = items.len();
        match overflow {
            OverflowStrategy::DropOldest => items[count.saturating_sub(size)..].to_vec(),
            OverflowStrategy::DropNewest => items[..count.min(size)].to_vec(),
            // All that filled it up went, each time.
            OverflowStrategy::DropBuffer => items[(count - 1) / size * size..].to_vec(),
            OverflowStrategy::Latest => items[count - 1..].to_vec(),
            _ => items,
        }
    };
    let outs = |(now, items)| kept(items).into_iter().map(move |item| (now, one(item)));
    moments(times).into_iter().flat_map(outs).collect()
}

/// An error is an item of its own.
const ERROR: usize = usize::MAX;

fn fail_on_overflow(times: &[u64], size: usize) -> Vec<Out> {
    let mut given = Vec::new();
    for (now, items) in moments(times) {
        given.extend(items.iter().take(size).map(|item| (now, one(*item))));
        if items.len() > size {
            given.push((now, one(ERROR)));
            break;
        }
    }
    given
}

/// Each item with the number of its group, and the end of each group as its number alone; by time, and
/// then by group.
fn groups(times: &[u64], keys: &[usize], at_most: usize, idle: u64) -> Vec<Out> {
    let mut given = Vec::new();
    // By number: the key and when the last item came, for as long as it lasts.
    let mut live: Vec<(usize, usize, u64)> = Vec::new();
    let mut count = 0;
    for (item, now) in times.iter().enumerate() {
        live.retain(|(number, _, last)| {
            let lasts = last + idle >= *now;
            if !lasts {
                given.push((last + idle, vec![*number]));
            }
            lasts
        });
        if !live.iter().any(|group| group.1 == keys[item]) {
            if live.len() == at_most {
                let oldest = live.iter().min_by_key(|group| (group.2, group.0)).copied();
                live.retain(|group| Some(*group) != oldest);
                given.extend(oldest.map(|group| (*now, vec![group.0])));
            }
            count += 1;
            live.push((count, keys[item], *now));
        }
        for group in live.iter_mut().filter(|group| group.1 == keys[item]) {
            group.2 = *now;
            given.push((*now, vec![group.0, item]));
        }
    }
    let end = times.last().copied().unwrap_or(0);
    let ends = live
        .iter()
        .map(|group| (end.min(group.2 + idle), vec![group.0]));
    given.extend(ends);
    given.sort_unstable();
    given
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn what_comes_out_is_what_the_model_says(
        gaps in gaps(), keys in prop::collection::vec(0..4_usize, 60), period in 1..40_u64,
        step in 1..60_u64, size in 1..6_usize, every in 1..8_usize,
    ) {
        let at = times(&gaps);
        let whole = ms(period);
        let is = |seen: Vec<Out>, model: Vec<Out>, name: &str| {
            prop_assert_eq!(seen, model, "{}", name);
            Ok(())
        };
        let key = |item: &usize| keys[*item];
        let newest = |held: &mut usize, item| *held = item;
        let seen = given(&gaps, |s| s.debounce(whole).leading(), one);
        is(seen, debounce_leading(&at, period), "debounce, leading")?;
        let seen = given(&gaps, |s: Timetable| s.conflate(one, Vec::push).every(whole), |items| items);
        is(seen, conflate(&at, period), "conflate")?;
        let unpaced = moments(&at);
        is(given(&gaps, |s| s.conflate(one, Vec::push), |items| items), unpaced, "conflate, unpaced")?;
        let seen = given(&gaps, |s| s.coalesce_by_key(key, newest).at_most(size).within(whole), |items| items);
        is(seen, coalesce(&at, &keys, size, period), "coalesce")?;
        is(given(&gaps, |s| s.priority(size, key), one), priority(&at, &keys, size), "priority")?;
        let seen = given(&gaps, |s| s.distinct_by(size, key), one);
        is(seen, distinct_within(&at, u64::MAX, size, &keys), "distinct")?;
        let changed = |item: &usize| *item == 0 || keys[*item] != keys[*item - 1];
        let filtered = |passes: &dyn Fn(&usize) -> bool| {
            let items = (0..at.len()).filter(passes);
            items.map(|item| (at[item], one(item))).collect::<Vec<_>>()
        };
        let seen = given(&gaps, |s| s.distinct_until_changed_by(key), one);
        is(seen, filtered(&changed), "distinct until changed")?;
        let seen = given(&gaps, |s| s.expire_after(ms(2), |item| ms(key(item) as u64)), one);
        is(seen, filtered(&|item| keys[*item] <= 2), "expire")?;
        let seen = given(&gaps, |s| s.window_count(size, every), |items| items);
        is(seen, window_count(&at, size, every), "window count")?;
        let step = step.min(period);
        let seen = given(&gaps, |s| s.window_time(whole, ms(step), size), |items| items);
        is(seen, windows_with_a_bound(&at, period, step, size), "windows, few items")?;
        for kind in [
            OverflowStrategy::Backpressure,
            OverflowStrategy::DropOldest,
            OverflowStrategy::DropNewest,
            OverflowStrategy::DropBuffer,
            OverflowStrategy::Latest,
        ] {
            let seen = given(&gaps, |s| s.on_overflow(size, kind), one);
            is(seen, overflow(&at, size, kind), &format!("{kind:?}"))?;
        }
        let show = |item: Result<usize, OptimizeError>| one(item.unwrap_or(ERROR));
        let seen = given(&gaps, |s| s.fail_on_overflow(size), show);
        is(seen, fail_on_overflow(&at, size), "fail on overflow")?;
        let grouped = |s: Timetable| flat(Box::pin(s).group_by(key).at_most(size).idle(whole));
        let show = |(group, item): (usize, Option<usize>)| [group].into_iter().chain(item).collect();
        let mut seen = given(&gaps, grouped, show);
        seen.sort_unstable();
        is(seen, groups(&at, &keys, size, period), "groups")?;
    }
}
