//! Conflated streams: one state for all items since the last, at a pace, and always the last.

use std::pin::pin;

use coord_bus::time::{self, Instant};
use coord_optimize::OptimizeExt;
use proptest::prelude::*;
use tokio_stream::{Stream, StreamExt, empty, iter};

use crate::marble::{Source, check, several};
use crate::stage::{consume, gaps, least_distance, moods, ms, run, timetable};

proptest! {
    #[test]
    fn every_item_is_in_one_state_and_no_two_states_come_within_a_period(
        gaps in gaps(), moods in moods(), period in 1..50_u64,
    ) {
        let count = gaps.len();
        let (states, merged) = run(async {
            let source = timetable(gaps);
            let states = source.conflate(|item| vec![item], Vec::push).every(ms(period));
            let mut states = pin!(states);
            let all = consume(states.as_mut(), moods).await;
            (all, states.ledger().merged)
        });
        if let Some(distance) = least_distance(&states) {
            prop_assert!(distance >= ms(period));
        }
        prop_assert_eq!(states.len() as u64 + merged, count as u64);
        let items: Vec<_> = states.into_iter().flat_map(|(_, state)| state).collect();
        prop_assert_eq!(items, (0..count).collect::<Vec<_>>());
    }
}

#[test]
fn states_as_marbles() {
    let unpaced = |s: Source| s.conflate(|item| vec![item], Vec::push);
    check("|", unpaced, several, "|");
    check("---|", unpaced, several, "---|");
    check("a-(bc)-|", unpaced, several, "[a]-[bc]-|");
    let paced = |s: Source| unpaced(s).every(ms(4));
    check("|", paced, several, "|");
    check("a-b-----|", paced, several, "[a]---[b]---|");
    check(
        "ab-c-d---e--------|",
        paced,
        several,
        "[a]---[bc]---[d]---[e]-----|",
    );
    // What comes in the moment of a turn is in the state of that turn.
    check("ab--c--|", paced, several, "[a]---[bc]--|");
    check("a---b|", paced, several, "[a]---[b]|");
    // The end waits for the last state's turn.
    check("ab|", paced, several, "[a]---([b]|)");
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_keeps_up_gets_every_item_by_itself() {
    let mut states = pin!(timetable(vec![5; 3]).conflate(|item| vec![item], Vec::push));
    assert_eq!(states.next().await, Some(vec![0]));
    assert_eq!(states.next().await, Some(vec![1]));
    assert_eq!(states.next().await, Some(vec![2]));
    assert_eq!(states.next().await, None);
    assert_eq!(states.ledger().merged, 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_gets_what_came_meanwhile_as_one() {
    let mut states = pin!(timetable(vec![5; 20]).conflate(
        |item| (item, 1),
        |state, item| {
            *state = (item, state.1 + 1);
        }
    ));
    assert_eq!(states.next().await, Some((0, 1)));
    time::sleep(ms(52)).await;
    assert_eq!(states.next().await, Some((10, 10)));
}

#[tokio::test(start_paused = true)]
async fn the_first_state_comes_at_once_and_the_others_a_period_apart() {
    let start = Instant::now();
    let source = timetable(vec![0, 1, 1, 150, 30]);
    let mut states = pin!(source.conflate(|item| vec![item], Vec::push).every(ms(100)));
    let mut came = Vec::new();
    while let Some(state) = states.next().await {
        came.push((start.elapsed(), state));
    }
    let expected = [
        (ms(0), vec![0]),
        (ms(100), vec![1, 2]),
        // Nothing to tell at 200 ms would have been: 3 came at 152.
        (ms(200), vec![3, 4]),
    ];
    assert_eq!(came, expected);
}

#[tokio::test(start_paused = true)]
async fn after_a_silence_a_state_comes_at_once() {
    let start = Instant::now();
    let source = timetable(vec![0, 500]);
    let mut states = pin!(
        source
            .conflate(|item| item, |last, item| *last = item)
            .every(ms(100))
    );
    assert_eq!(states.next().await, Some(0));
    assert_eq!(states.next().await, Some(1));
    assert_eq!(start.elapsed(), ms(500));
}

#[tokio::test(start_paused = true)]
async fn the_last_state_comes_when_it_is_its_turn_also_when_the_source_has_ended() {
    let start = Instant::now();
    let mut states = pin!(
        timetable(vec![0, 1, 1])
            .conflate(|item| item, |last, item| *last = item)
            .every(ms(100))
    );
    assert_eq!(states.next().await, Some(0));
    assert_eq!(states.next().await, Some(2));
    assert_eq!(start.elapsed(), ms(100));
    assert_eq!(states.next().await, None);
    assert_eq!(states.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_source_without_items_has_no_state() {
    let mut states = empty::<u8>().conflate(|item| item, |last, item| *last = item);
    assert_eq!(states.size_hint(), (0, Some(0)));
    assert_eq!(states.next().await, None);
    let states = iter(0..5).conflate(|item| item, |last, item| *last = item);
    assert_eq!(states.size_hint(), (1, Some(5)));
}
