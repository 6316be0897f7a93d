//! What a topic keeps for those who come late.

use super::{CAPACITY, NUMBERS, next, publish_all, receive};
use crate::{Bus, BusExt, Overflow};

/// A late subscriber gets the last events, and then what follows.
pub async fn a_late_subscriber_starts_with_what_is_retained(bus: &dyn Bus) {
    let topic = NUMBERS.retain(3);
    let publisher = bus.publisher(&topic).expect("it opens");
    publish_all(&publisher, 1..=10).await;
    let mut late = bus.subscribe(&topic).expect("it opens");
    publish_all(&publisher, 11..=12).await;
    assert_eq!(receive(&mut late, 5).await, [8, 9, 10, 11, 12]);
    let mut later = bus.subscribe(&topic).expect("it opens");
    assert_eq!(receive(&mut later, 3).await, [10, 11, 12]);
}

/// Between what is retained and what follows there is no gap and no double, whenever one joins.
pub async fn the_seam_has_no_gap_and_no_double(bus: &dyn Bus) {
    let topic = NUMBERS.capacity(CAPACITY).retain(2);
    let publisher = bus.publisher(&topic).expect("it opens");
    let mut published = 0;
    for burst in [1, 2, 3, 1, 4, 2] {
        publish_all(&publisher, published + 1..=published + burst).await;
        published += burst;
        let mut late = bus.subscribe(&topic).expect("it opens");
        publish_all(&publisher, published + 1..=published + 2).await;
        let first = published.saturating_sub(1).max(1);
        published += 2;
        let expected: Vec<_> = (first..=published).collect();
        assert_eq!(receive(&mut late, expected.len()).await, expected);
    }
}

/// A topic without the option keeps nothing.
pub async fn nothing_is_retained_unless_it_is_asked_for(bus: &dyn Bus) {
    let publisher = bus.publisher(&NUMBERS).expect("it opens");
    publish_all(&publisher, 1..=10).await;
    let mut late = bus.subscribe(&NUMBERS).expect("it opens");
    publish_all(&publisher, [11]).await;
    assert_eq!(receive(&mut late, 1).await, [11]);
}

/// Who wants the newest alone gets that alone, also of what is retained.
pub async fn the_newest_of_what_is_retained_is_the_last(bus: &dyn Bus) {
    let topic = NUMBERS.retain(5);
    let publisher = bus.publisher(&topic).expect("it opens");
    publish_all(&publisher, 1..=10).await;
    let newest = bus.subscribe_with(&topic, Overflow::Latest);
    let mut newest = newest.expect("it opens");
    assert_eq!(next(&mut newest).await, Some(10));
}

/// What is retained can still be had when the topic is closed.
pub async fn what_is_retained_outlives_the_end(bus: &dyn Bus) {
    let topic = NUMBERS.retain(2);
    let publisher = bus.publisher(&topic).expect("it opens");
    publish_all(&publisher, 1..=3).await;
    publisher.close();
    let mut late = bus.subscribe(&topic).expect("it opens");
    assert_eq!(receive(&mut late, 2).await, [2, 3]);
    assert_eq!(next(&mut late).await, None);
}
