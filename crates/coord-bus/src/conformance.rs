//! What every bus and every event log must do, as tests that their authors run.
//!
//! Each behaviour is a function whose name is the sentence that it proves, and panics where the
//! sentence does not hold. [`conformance_bus!`](crate::conformance_bus) and
//! [`conformance_event_log!`](crate::conformance_event_log) make a test of each:
//!
//! ```
//! // The crate needs `tokio` with its features `macros`, `rt` and `test-util` for its tests.
//! # #[allow(unused)]
//! mod my_bus_conforms {
//!     coord_bus::conformance_bus!(coord_bus::LocalBus::new());
//! }
//! ```
//!
//! Time is paused in these tests, so a wait that would never end fails at once. What counts is
//! counted by the behaviours themselves, never by the bus.

pub mod bus;
pub mod event_log;

use std::time::Duration;

use crate::time;

/// How long anything may take. Time is paused: it passes when nobody can get on.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until nobody can get on: with time paused, no sleep ends before that.
async fn settle() {
    time::sleep(Duration::from_millis(1)).await;
}

/// What a future gives, which must not wait for ever.
async fn in_time<F: Future>(future: F) -> F::Output {
    const NEVER: &str = "this waits for something that never happens, or is not woken by it";
    let begin = time::Instant::now();
    let output = time::timeout(PATIENCE, future).await;
    // The timeout itself wakes the future once more: who is through only then was forgotten.
    assert!(begin.elapsed() < PATIENCE, "{NEVER}");
    output.expect(NEVER)
}

/// Makes a test of each behaviour in [`conformance::bus`](crate::conformance::bus). Its argument
/// is an expression that makes an empty bus, and may `await`.
#[macro_export]
macro_rules! conformance_bus {
    ($bus:expr) => {
        $crate::conformance_tests! { bus, &$bus =>
            // Delivery
            every_subscriber_gets_every_event_in_the_same_order
            the_events_of_each_publisher_stay_in_their_order
            a_subscriber_gets_what_is_published_after_it_subscribed
            sequences_rise_and_are_the_same_for_all
            details_arrive_with_their_event
            deliveries_outlive_their_subscriber
            a_cancelled_receive_loses_nothing
            what_cannot_be_decoded_is_counted_in_its_place
            a_thread_outside_the_runtime_publishes
            // Room
            a_full_topic_makes_publish_wait
            a_full_topic_gives_the_event_back_to_try_publish
            what_a_full_topic_has_accepted_is_delivered
            receiving_lets_a_waiting_publisher_on
            a_cancelled_publish_arrives_once_or_not_at_all
            dropping_a_subscriber_frees_those_who_wait_for_it
            nobody_waits_where_nobody_listens
            a_full_topic_does_not_hold_up_another
            // Overflow
            who_drops_the_oldest_holds_nobody_up
            what_was_received_and_what_was_missed_add_up
            one_who_misses_events_costs_another_none
            who_drops_the_newest_keeps_what_came_first
            who_drops_the_newest_takes_again_what_it_has_room_for
            who_wants_the_latest_gets_no_older_one
            who_wants_the_latest_of_each_key_gets_each_once
            beyond_its_keys_it_loses_the_oldest_key
            a_filter_lets_through_what_passes
            one_topic_serves_all_kinds_at_once
            // Late subscribers
            a_late_subscriber_starts_with_what_is_retained
            the_seam_has_no_gap_and_no_double
            nothing_is_retained_unless_it_is_asked_for
            the_newest_of_what_is_retained_is_the_last
            what_is_retained_outlives_the_end
            // Groups
            each_event_goes_to_one_member_of_a_group
            what_is_not_acknowledged_goes_to_another_member
            members_that_wait_are_served_in_turn
            a_cancelled_claim_loses_nothing
            a_group_is_one_lossless_subscriber
            a_group_ends_when_everything_is_acknowledged
            // Patterns
            a_pattern_receives_from_topics_that_are_there_and_from_later_ones
            a_pattern_receives_what_is_retained
            a_pattern_matches_whole_tokens
            a_pattern_that_cannot_be_one_is_refused
            a_pattern_receives_every_event_once_in_its_topics_order
            topics_that_have_something_take_turns
            a_pattern_that_loses_nothing_makes_publish_wait
            a_pattern_that_drops_the_oldest_holds_nobody_up
            a_pattern_ends_with_its_bus
            a_pattern_that_is_closed_or_dropped_takes_nothing_more
            events_of_unknown_types_are_read_as_json
            // Closing
            a_closed_topic_gives_events_back_and_says_so
            a_closed_topic_delivers_what_it_accepted_and_ends
            closing_wakes_all_who_wait
            a_closed_bus_opens_no_new_topic
            a_drain_is_complete_when_all_has_been_received
            a_drain_reports_what_is_left_at_its_deadline
            a_closed_subscriber_gets_what_came_before_and_ends
            a_subscriber_is_drained_until_its_deadline
            a_topic_is_drained_alone
            // Opening
            one_name_has_one_type
            one_name_has_one_set_of_options
            a_name_that_cannot_be_one_is_refused
            an_in_process_topic_is_carried_or_refused_by_name
            stats_agree_with_what_was_counted
        }
    };
}

/// Makes a test of each behaviour in [`conformance::event_log`](crate::conformance::event_log).
/// Its argument is an expression that makes an empty event log, and may `await`.
#[macro_export]
macro_rules! conformance_event_log {
    ($log:expr) => {
        $crate::conformance_tests! { event_log, ::std::boxed::Box::new($log) =>
            // Appending
            records_are_numbered_from_one_and_come_back_as_they_were
            streams_do_not_know_each_other
            an_append_goes_where_it_is_expected
            an_append_that_expects_another_version_changes_nothing
            of_appends_that_expect_one_version_one_succeeds
            an_append_of_nothing_only_compares_versions
            an_append_given_up_is_whole_or_not_there
            // Reading
            a_stream_is_read_in_pages
            streams_are_listed_in_pages_in_the_order_of_their_bytes
            a_name_that_cannot_be_one_is_refused
            // Tailing
            a_tail_gives_what_is_there_and_then_follows
            a_tail_follows_a_stream_that_has_not_begun
            a_tail_has_no_gap_and_no_double_while_others_append
            every_tail_gets_every_record_of_its_stream
            a_tail_given_up_disturbs_nobody
            a_tail_ends_when_the_log_is_dropped
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($suite:ident, $subject:expr => $($behaviour:ident)+) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $behaviour() {
                $crate::conformance::$suite::$behaviour($subject).await;
            }
        )+
    };
}

#[cfg(test)]
mod tests {
    /// Which behaviours a text defines.
    fn defined(text: &str) -> impl Iterator<Item = &str> {
        let names = text.lines().filter_map(|line| {
            let rest = line.strip_prefix("pub async fn ")?;
            rest.split_once('(')
        });
        names.map(|(name, _)| name)
    }

    #[test]
    fn every_behaviour_is_a_test() {
        let listed = include_str!("conformance.rs");
        let suites = [
            include_str!("conformance/bus/closing.rs"),
            include_str!("conformance/bus/delivery.rs"),
            include_str!("conformance/bus/groups.rs"),
            include_str!("conformance/bus/opening.rs"),
            include_str!("conformance/bus/overflow.rs"),
            include_str!("conformance/bus/pattern.rs"),
            include_str!("conformance/bus/retain.rs"),
            include_str!("conformance/bus/room.rs"),
            include_str!("conformance/event_log/appending.rs"),
            include_str!("conformance/event_log/reading.rs"),
            include_str!("conformance/event_log/tailing.rs"),
        ];
        for suite in suites {
            assert!(defined(suite).count() > 2);
            for name in defined(suite) {
                let is_listed = listed.lines().any(|line| line.trim() == name);
                assert!(is_listed, "`{name}` is in no list");
            }
        }
    }
}
