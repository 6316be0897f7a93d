//! When items come out, as marbles: the operators that have to do with time.

use std::pin::pin;
use std::time::Duration;

use coord_optimize::{MAX_PERIOD, OptimizeExt, Rate};
use tokio_stream::StreamExt;

use crate::marble::{check, one, several};
use crate::stage::{ms, run, timetable};

#[test]
fn a_throttle_lets_the_first_of_each_period_through() {
    let throttle = |source| OptimizeExt::throttle(source, ms(5));
    check("|", throttle, one, "|");
    check("-----|", throttle, one, "-----|");
    check("-a-b--c-d-|", throttle, one, "-a------d-|");
    check("-a-----b--|", throttle, one, "-a-----b--|");
    check("(abc)-----d|", throttle, one, "a-----d|");
}

#[test]
fn what_comes_as_a_throttles_period_ends_is_of_that_period() {
    check(
        "a----b-|",
        |s| OptimizeExt::throttle(s, ms(5)),
        one,
        "a------|",
    );
    check(
        "a----bc|",
        |s| OptimizeExt::throttle(s, ms(5)),
        one,
        "a-----c|",
    );
    let trailing = |s| OptimizeExt::throttle(s, ms(5)).trailing();
    check("a-b--c-|", trailing, one, "a----c-|");
}

#[test]
fn a_trailing_throttle_ends_with_the_last_value() {
    let trailing = |s| OptimizeExt::throttle(s, ms(5)).trailing();
    check("a-b-c--------|", trailing, one, "a----c-------|");
    check("a-b-c------d-e|", trailing, one, "a----c-----d----(e|)");
    check("ab|", trailing, one, "a----(b|)");
    check("a|", trailing, one, "a|");
    check("|", trailing, one, "|");
}

#[test]
fn a_throttle_may_leave_the_first_out() {
    let trailing = |s| OptimizeExt::throttle(s, ms(5)).trailing_only();
    check("a-b----------|", trailing, one, "-----b-------|");
    check("a-b---c----------|", trailing, one, "-----b----c------|");
    check("ab|", trailing, one, "-----(b|)");
}

#[test]
fn a_debounce_waits_for_a_silence() {
    let debounce = |s| OptimizeExt::debounce(s, ms(3));
    check("|", debounce, one, "|");
    check("---|", debounce, one, "---|");
    check("a------|", debounce, one, "---a---|");
    check("a-b-c------d-|", debounce, one, "-------c-----(d|)");
    check("(ab)-----|", debounce, one, "---b--|");
    // While it waits, the source may end, or give another in the moment of the silence's end.
    check("a-|", debounce, one, "--(a|)");
    check("a--b-----|", debounce, one, "------b--|");
}

#[test]
fn a_debounce_has_a_longest_wait() {
    let debounce = |s| OptimizeExt::debounce(s, ms(3)).max_wait(ms(5));
    check("a-b-c-d-e-f----|", debounce, one, "-----c-----f---|");
    check("a----------|", debounce, one, "---a-------|");
    // It is reckoned from the first that waits, anew for each that comes out.
    check("ab-c-d------ef-|", debounce, one, "-----d---------(f|)");
}

#[test]
fn a_leading_debounce_begins_with_the_first_and_ends_with_the_last() {
    let debounce = |s| OptimizeExt::debounce(s, ms(3)).leading();
    check("a-b-c------d------|", debounce, one, "a------c---d------|");
    check("a-----b-|", debounce, one, "a-----b-|");
    check("ab|", debounce, one, "a-(b|)");
    // What comes out as it has waited for long enough is followed by no silence.
    let debounce = |s| OptimizeExt::debounce(s, ms(3)).leading().max_wait(ms(5));
    check("a-b-c-d-e-f-g----|", debounce, one, "a------d-----g---|");
    check("a-b-c-d----e--|", debounce, one, "a------d---e--|");
}

#[test]
fn an_audit_gives_the_last_of_the_period_that_an_item_began() {
    let audit = |s| OptimizeExt::audit(s, ms(4));
    check("|", audit, one, "|");
    check("a------|", audit, one, "----a--|");
    check("-ab-c-----d-----|", audit, one, "-----c--------d-|");
    check("a---b-----|", audit, one, "----b-----|");
    // The end waits for what is held.
    check("ab|", audit, one, "----(b|)");
}

#[test]
fn a_sample_is_the_newest_at_each_tick() {
    let sample = |s| OptimizeExt::sample(s, ms(5));
    check("|", sample, one, "|");
    check(
        "-ab---------c--------|",
        sample,
        one,
        "-----b---------c-----|",
    );
    // Ticks are at 5, 10, 15, whatever comes when.
    check("----a-b---------|", sample, one, "-----a----b-----|");
    check("-----a----|", sample, one, "-----a----|");
    // What is held as the source ends comes out, which RxJS loses.
    check("-a-|", sample, one, "---(a|)");
}

#[test]
fn a_batch_is_full_or_its_time_is_up() {
    let batch = |s| OptimizeExt::batch(s, 3, ms(4));
    check("|", batch, several, "|");
    check("------|", batch, several, "------|");
    check("abc---|", batch, several, "--[abc]---|");
    check("a--------|", batch, several, "----[a]----|");
    check("-ab----c-|", batch, several, "-----[ab]---([c]|)");
    check("(abcd)-----|", batch, several, "[abc]---[d]-|");
    // What comes as its time is up is in it.
    check("a---b-----|", batch, several, "----[ab]-----|");
    check("a|", batch, several, "-([a]|)");
}

#[test]
fn windows_of_time_tumble() {
    let tumbling = |s| OptimizeExt::window_time(s, ms(5), ms(5), 3);
    check("|", tumbling, several, "|");
    check("-a-b--c-------|", tumbling, several, "-----[ab]----[c]---|");
    // What comes as one ends is in that one; those in which nothing came are left out.
    check(
        "-----a--------------b--|",
        tumbling,
        several,
        "-----[a]--------------[b]--|",
    );
    check("-a-b-|", tumbling, several, "-----([ab]|)");
    // A full one comes at once, and the next ends when it would have.
    check("-abcd------|", tumbling, several, "---[abc]-[d]-----|");
}

#[test]
fn windows_of_time_slide() {
    // From 0 to 6, 2 to 8, 4 to 10.
    let sliding = |s| OptimizeExt::window_time(s, ms(6), ms(2), 100);
    check(
        "-a-b-----------|",
        sliding,
        several,
        "------[ab]-[b]------|",
    );
    check(
        "---a-----b------|",
        sliding,
        several,
        "------[a]-[a]-[b]-[b]-[b]-|",
    );
    // Those that have begun come out at the end: from 0, and from 2.
    check("-a-b-|", sliding, several, "-----([ab][b]|)");
}

#[test]
fn windows_have_a_least_distance() {
    let nanosecond = Duration::from_nanos(1);
    // As if both were a millisecond.
    let least = |s| OptimizeExt::window_time(s, nanosecond, nanosecond, 100);
    check("a-bc--|", least, several, "-[a][b][c]--|");
    let step = |s| OptimizeExt::window_time(s, ms(3), nanosecond, 100);
    check("--a------|", step, several, "---[a][a]----|");
    // None is in more than 1024 windows.
    let windows = run(async {
        let source = pin!(timetable(vec![150_000]));
        let windows = source.window_time(ms(102_400), nanosecond, 100);
        windows.collect::<Vec<_>>().await.len()
    });
    // The last of them begins with the last item, as the source ends.
    assert_eq!(windows, 1024);
}

#[test]
fn a_rate_limit_shapes_or_enforces() {
    let rate = || Rate::every(ms(3));
    let shape = |s| OptimizeExt::rate_limit(s, rate());
    check("|", shape, one, "|");
    check("(abc)---------|", shape, one, "a--b--c---|");
    check("a-------(bc)|", shape, one, "a-------b--(c|)");
    check("(ab)|", shape, one, "a--(b|)");
    let enforce = |s| OptimizeExt::rate_limit(s, rate()).enforce();
    check("(abc)-d-ef|", enforce, one, "a---e-|");
    check("a--b--c|", enforce, one, "a--b--c|");
    let burst = |s| OptimizeExt::rate_limit(s, rate()).burst(2);
    check("(abcd)-------|", burst, one, "(ab)--c--d-|");
    // Two are given back after six milliseconds, and no more after a longer silence.
    let burst = |s| OptimizeExt::rate_limit(s, rate()).burst(2).enforce();
    check(
        "(abc)------------(def)-|",
        burst,
        one,
        "(ab)------------(de)-|",
    );
}

#[test]
fn the_slowest_rate_has_the_largest_burst() {
    let slowest = |s| OptimizeExt::rate_limit(s, Rate::every(MAX_PERIOD)).burst(u32::MAX);
    check("(abc)-d|", slowest, one, "(abc)-d|");
}

#[test]
fn a_coalesced_batch_waits_for_more_keys_or_its_time() {
    let coalesce = |s| {
        let newest = |held: &mut char, item| *held = item;
        let key = |item: &char| item.to_ascii_lowercase();
        OptimizeExt::coalesce_by_key(s, key, newest)
            .at_most(3)
            .within(ms(4))
    };
    check("|", coalesce, several, "|");
    check("ab-A-------|", coalesce, several, "----[Ab]------|");
    check("abABc------|", coalesce, several, "----[ABc]------|");
    check("aA|", coalesce, several, "--([A]|)");
    // With no time, it is what is ready.
    let at_once = |s| {
        let newest = |held: &mut char, item| *held = item;
        OptimizeExt::coalesce_by_key(s, char::to_ascii_lowercase, newest)
    };
    check("(abA)-a|", at_once, several, "[Ab]-[a]|");
}

#[test]
fn what_was_seen_within_a_window_is_dropped() {
    let distinct = |s| OptimizeExt::distinct_within(s, ms(5), 100);
    check("|", distinct, one, "|");
    check("a-a-b---a-a-|", distinct, one, "a---b---a---|");
    // In the moment in which the window ends it is still seen.
    check("a----aa|", distinct, one, "a-----a|");
}
