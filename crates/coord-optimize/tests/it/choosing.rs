//! Which items come out, and in which order: the operators that have little to do with time.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;

use coord_optimize::{OptimizeError, OptimizeExt, OverflowStrategy};
use tokio_stream::{StreamExt, iter};

use crate::marble::{check, one, several};
use crate::stage::ms;

#[test]
fn repeats_in_a_row_are_dropped() {
    let changes = |s| OptimizeExt::distinct_until_changed(s);
    check("|", changes, one, "|");
    check("a-a-(bb)-b-a-|", changes, one, "a---b---a-|");
    let by_case = |s| OptimizeExt::distinct_until_changed_by(s, char::to_ascii_lowercase);
    check("aA-bB|", by_case, one, "a--b-|");
}

#[test]
fn what_was_seen_is_dropped_until_newer_keys_need_the_room() {
    check("|", |s| s.distinct(2), one, "|");
    check("ab-a-b-c-b-a-c|", |s| s.distinct(2), one, "ab-----c---a--|");
    check("aab-a|", |s| s.distinct(1), one, "a-b-a|");
    let by_case = |s| OptimizeExt::distinct_by(s, 10, char::to_ascii_lowercase);
    check("aAbBa|", by_case, one, "a-b--|");
}

#[test]
fn windows_of_items_tumble_and_slide() {
    check("|", |s| s.window_count(2, 2), several, "|");
    check("abc-|", |s| s.window_count(2, 2), several, "-[ab]--([c]|)");
    check(
        "abcd|",
        |s| s.window_count(3, 1),
        several,
        "--[abc][bcd]([cd][d]|)",
    );
    // A step larger than the window counts as its size.
    check("ab|", |s| s.window_count(1, 1), several, "[a][b]|");
    check("abc|", |s| s.window_count(2, 9), several, "-[ab]-([c]|)");
}

#[test]
fn what_is_held_comes_by_level_and_then_in_its_order() {
    let level = |item: &char| item.is_ascii_uppercase();
    check("|", |s| s.priority(9, level), one, "|");
    check("(aBcD)-e|", |s| s.priority(9, level), one, "(BDac)-e|");
    // With room for two, the others wait in the source.
    check("(abCD)|", |s| s.priority(2, level), one, "(aCDb)|");
}

#[tokio::test]
async fn the_lowest_level_is_every_eighth_at_least() {
    // Always as many of the highest level as there is room for.
    let items = iter((0..1000).map(|item| if item % 50 == 0 { 0 } else { 1 }));
    let given: Vec<_> = items.priority(64, |level| *level).collect().await;
    assert_eq!(given.len(), 1000);
    let low: Vec<_> = (0..1000).filter(|place| given[*place] == 0).collect();
    // Each of the low ones came at one of the eighths, in time.
    assert_eq!(low.len(), 20);
    for (number, place) in low.iter().enumerate() {
        assert!(*place <= 50 * number + 64 + 8, "{number} at {place}");
    }
}

#[test]
fn what_is_too_old_is_dropped() {
    let age = |item: &char| ms(u64::from(*item as u32 - 'a' as u32));
    check("|", |s| s.expire_after(ms(2), age), one, "|");
    check("abcd|", |s| s.expire_after(ms(2), age), one, "abc-|");
}

#[test]
fn a_buffer_that_is_full_does_as_it_was_told() {
    for (overflow, expected) in [
        (OverflowStrategy::Backpressure, "(abcde)-f|"),
        (OverflowStrategy::DropOldest, "(de)-f|"),
        (OverflowStrategy::DropNewest, "(ab)-f|"),
        // `c` found it full, and `e` again.
        (OverflowStrategy::DropBuffer, "e-f|"),
        (OverflowStrategy::Latest, "e-f|"),
    ] {
        check("(abcde)-f|", |s| s.on_overflow(2, overflow), one, expected);
        check("|", |s| s.on_overflow(2, overflow), one, "|");
    }
}

#[tokio::test]
async fn a_source_is_asked_for_no_more_than_a_buffer_has_room_for() {
    let asked = Rc::new(Cell::new(0));
    let source = iter(0..100).map(|item| {
        asked.set(asked.get() + 1);
        item
    });
    let mut items = pin!(source.on_overflow(5, OverflowStrategy::Backpressure));
    assert_eq!(items.next().await, Some(0));
    assert_eq!((asked.get(), items.ledger().held), (5, 4));
}

#[test]
fn a_buffer_may_fail() {
    let show = |item: Result<char, OptimizeError>| item.map_or("!".to_owned(), one);
    check("|", |s| s.fail_on_overflow(2), show, "|");
    check("(ab)-cd|", |s| s.fail_on_overflow(2), show, "(ab)-cd|");
    check("(abcd)-e|", |s| s.fail_on_overflow(2), show, "(ab!|)");
}

#[tokio::test]
async fn the_error_of_a_buffer_says_what_to_do() {
    let mut items = iter(0..9).fail_on_overflow(1);
    items.next().await.unwrap().unwrap();
    let error = items.next().await.unwrap().unwrap_err().to_string();
    assert!(
        error.starts_with("a buffer of 1 items has overflowed"),
        "{error}"
    );
    assert!(error.contains("`on_overflow`"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_error_is_an_item_like_any_other() {
    let results = [Ok(1), Err("broken"), Ok(2)];
    let mut batches = iter(results).batch(2, ms(5));
    assert_eq!(batches.next().await, Some(vec![Ok(1), Err("broken")]));
    let mut last = iter(results).debounce(ms(5));
    assert_eq!(last.next().await, Some(Ok(2)));
}
