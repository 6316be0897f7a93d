//! What every bus, event log, work queue and lease must do, as tests that their authors run.
//!
//! Each behaviour is a function whose name is the sentence that it proves, and panics where the
//! sentence does not hold. [`conformance_bus!`](crate::conformance_bus),
//! [`conformance_event_log!`](crate::conformance_event_log),
//! [`conformance_work_queue!`](crate::conformance_work_queue) and
//! [`conformance_lease!`](crate::conformance_lease) make a test of each:
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
pub mod lease;
pub mod work_queue;

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
            what_nobody_acknowledges_lets_others_pass_and_becomes_a_dead_letter
            what_is_given_back_comes_after_the_time_that_was_said
            members_that_wait_are_served_in_turn
            a_cancelled_claim_loses_nothing
            a_group_is_one_lossless_subscriber
            a_group_ends_when_everything_is_acknowledged
            // Requests
            a_reply_arrives_at_who_asked
            where_nobody_responds_who_asks_is_told_at_once
            a_failure_comes_with_its_text_and_whether_it_is_permanent
            a_panic_is_the_error_of_its_request_alone
            what_cannot_be_decoded_is_an_error_that_says_so
            a_request_ends_at_its_deadline_and_so_does_its_handler
            the_deadline_governs_the_queue_too
            a_handler_is_dropped_when_who_asked_goes
            a_handler_does_not_begin_for_who_went_before
            a_request_may_be_dropped_after_any_poll
            a_full_endpoint_makes_who_asks_wait_and_serves_in_order
            who_handles_something_meets_full_rather_than_waits
            // Responders
            each_request_is_answered_by_one_responder
            no_more_requests_are_answered_at_once_than_the_responder_said
            when_a_responder_goes_the_others_answer_what_nobody_has_taken
            when_the_last_responder_goes_all_who_wait_are_told_at_once
            a_responder_that_drains_answers_what_it_has
            a_responder_that_drains_takes_no_more_and_abandons_at_its_deadline
            what_a_responder_publishes_follows_from_its_request
            a_chain_of_requests_belongs_to_one_undertaking
            a_closed_bus_answers_what_it_has_accepted_and_refuses_the_rest
            a_closed_bus_ends_its_responders
            a_drain_waits_until_requests_are_taken
            a_drain_tells_of_the_requests_that_nobody_took
            an_endpoint_has_one_type_and_shares_its_names_with_topics
            an_in_process_endpoint_is_carried_or_refused_by_name
            the_stats_say_what_became_of_the_requests
            no_pattern_receives_requests
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
            an_append_is_seen_whatever_it_is_to_survive
            // Fencing
            an_append_fenced_by_an_older_grant_is_refused
            fences_do_not_know_each_other
            an_append_that_changes_nothing_leaves_the_fence_as_it_was
            // Reading
            a_stream_is_read_in_pages
            streams_are_listed_in_pages_in_the_order_of_their_bytes
            streams_are_listed_in_pages_the_newest_first
            a_stream_is_listed_as_it_is
            a_name_that_cannot_be_one_is_refused
            // Finishing
            a_closed_stream_is_read_and_is_not_among_the_open_ones
            a_closed_stream_is_opened_again_by_an_append
            a_forgotten_stream_has_not_begun
            an_open_stream_is_not_forgotten
            a_stream_that_an_open_one_needs_is_not_forgotten
            a_stream_that_begins_replaces_a_closed_one_and_no_open_one
            what_a_stream_that_was_replaced_needed_its_successor_does_not
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

/// Makes a test of each behaviour in [`conformance::work_queue`](crate::conformance::work_queue).
/// Its argument is an expression that makes a work queue without items, with the limits
/// [`LIMITS`](crate::conformance::work_queue::LIMITS), and may `await`.
#[macro_export]
macro_rules! conformance_work_queue {
    ($queue:expr) => {
        $crate::conformance_tests! { work_queue, ::std::boxed::Box::new($queue) =>
            // Pushing
            items_come_out_as_they_went_in_and_in_their_order
            queues_do_not_know_each_other
            a_full_queue_refuses_and_says_its_limit
            a_push_given_up_has_happened_or_not
            a_name_that_cannot_be_one_is_refused
            // Claiming
            a_claim_waits_until_there_is_an_item
            claims_that_wait_are_served_in_their_order
            a_claim_given_up_loses_no_item
            an_item_is_handed_to_one_at_a_time
            tokens_rise_with_every_delivery
            no_more_are_claimed_than_may_be
            who_holds_an_item_holds_up_no_other
            // Settling
            an_acknowledged_item_never_comes_again
            an_item_comes_again_when_its_time_runs_out
            an_extended_claim_is_held_until_its_new_deadline
            an_item_given_back_comes_again_after_its_delay
            a_stale_claim_is_refused_and_changes_nothing
            a_claim_past_its_deadline_is_refused_though_nobody_else_has_it
            counts_say_where_every_item_is
            // Dying
            an_item_delivered_too_often_is_dead
            a_rejected_item_is_dead_at_once
            dead_items_are_listed_in_pages
            a_dead_item_put_back_is_as_new
            a_dead_item_removed_is_gone
            only_a_dead_item_can_be_put_back_or_removed
        }
    };
}

/// Makes a test of each behaviour in [`conformance::lease`](crate::conformance::lease). Its
/// argument is an expression that makes a keeper of leases, all of them free, and may `await`.
#[macro_export]
macro_rules! conformance_lease {
    ($leases:expr) => {
        $crate::conformance_tests! { lease, ::std::boxed::Box::new($leases) =>
            a_lease_is_granted_to_one_at_a_time
            of_many_who_acquire_at_once_one_succeeds
            leases_do_not_know_each_other
            a_lease_runs_out_by_itself
            a_renewed_lease_is_held_until_its_new_end
            a_released_lease_is_free_at_once
            tokens_rise_with_every_grant
            a_stale_grant_is_refused_and_changes_nothing
            a_grant_past_its_end_is_refused_though_nobody_else_has_it
            who_waits_gets_the_lease_when_it_is_free
            a_held_lease_outlasts_its_time_and_is_free_afterwards
            an_acquire_given_up_has_happened_or_not
            a_name_that_cannot_be_one_is_refused
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
            include_str!("conformance/bus/requests.rs"),
            include_str!("conformance/bus/responders.rs"),
            include_str!("conformance/bus/retain.rs"),
            include_str!("conformance/bus/room.rs"),
            include_str!("conformance/event_log/appending.rs"),
            include_str!("conformance/event_log/fencing.rs"),
            include_str!("conformance/event_log/finishing.rs"),
            include_str!("conformance/event_log/reading.rs"),
            include_str!("conformance/event_log/tailing.rs"),
            include_str!("conformance/lease.rs"),
            include_str!("conformance/work_queue/claiming.rs"),
            include_str!("conformance/work_queue/dying.rs"),
            include_str!("conformance/work_queue/pushing.rs"),
            include_str!("conformance/work_queue/settling.rs"),
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
