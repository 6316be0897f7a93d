//! The clock that tests set by hand.

use std::time::Duration;

use coord_bus::Timestamp;
use coord_bus::time::{Clock, ManualClock, SystemClock};

#[test]
fn a_manual_clock_moves_when_it_is_told_and_stops_at_the_end_of_time() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    assert_eq!(clock.now(), Timestamp::UNIX_EPOCH);
    clock.advance(Duration::from_millis(1500));
    assert_eq!(clock.now(), Timestamp::from_millisecond(1500).unwrap());
    clock.advance(Duration::MAX);
    assert_eq!(clock.now(), Timestamp::MAX);
    clock.advance(Duration::from_secs(1));
    assert_eq!(clock.now(), Timestamp::MAX);
}

#[test]
fn the_clock_of_the_machine_is_past_the_writing_of_this() {
    let written: Timestamp = "2024-01-01T00:00:00Z".parse().unwrap();
    assert!(SystemClock.now() > written);
}
