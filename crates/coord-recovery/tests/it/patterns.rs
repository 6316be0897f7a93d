//! How errors are recognised in events.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::vocabulary::{
    ERROR_DETECTED, ERROR_RECOVERY, ErrorDetected, NOTIFICATION, Notification, Severity,
    Transition, WORKFLOW_EVENTS, WorkflowEvent,
};
use coord_bus::{Bus, BusExt, Envelope, LocalBus, Pattern, Subscriber, Timestamp, Topic};
use coord_recovery::{
    Condition, ErrorPattern, ErrorRecoveryManager, MAX_PATTERNS, Matched, RecoveryError,
    RecoveryStrategy,
};

use crate::stage::{clock, pass, seconds, within};

const NUMBERS: Topic<u32> = Topic::new("numbers");

fn manager(bus: &LocalBus) -> ErrorRecoveryManager {
    ErrorRecoveryManager::new(Arc::new(bus.clone()), clock()).expect("the topics are free")
}

fn odd(name: &str) -> ErrorPattern {
    ErrorPattern::on(&NUMBERS, name, |number: &u32| {
        (number % 2 == 1).then(|| Matched::new("numbers", number.to_string()))
    })
}

fn left<E: coord_bus::Event + Clone>(events: &mut Subscriber<E>) -> Vec<E> {
    std::iter::from_fn(|| Some((*events.try_recv().ok()?).clone())).collect()
}

#[tokio::test(start_paused = true)]
async fn each_match_is_published_with_the_name_of_its_pattern() {
    let bus = LocalBus::new();
    let manager = manager(&bus);
    let mut errors = bus.subscribe(&ERROR_DETECTED).unwrap();
    manager.register_error_pattern(odd("odd")).unwrap();
    let numbers = bus.publisher(&NUMBERS).unwrap();
    for number in 1..=4 {
        numbers.publish(number).await.unwrap();
    }
    pass(seconds(1)).await;
    let expected = |message: &str| ErrorDetected {
        source: "numbers".to_owned(),
        kind: "odd".to_owned(),
        message: message.to_owned(),
        severity: Severity::Error,
        at: Timestamp::UNIX_EPOCH,
    };
    assert_eq!(left(&mut errors), [expected("1"), expected("3")]);
}

#[tokio::test(start_paused = true)]
async fn failing_steps_are_matched_by_how_badly_they_fail() {
    let bus = LocalBus::new();
    let manager = manager(&bus);
    let mut errors = bus.subscribe(&ERROR_DETECTED).unwrap();
    manager
        .register_error_pattern(ErrorPattern::failing_steps())
        .unwrap();
    let events = bus.publisher(&WORKFLOW_EVENTS).unwrap();
    let failed = |step: &str, optional| Transition::StepFailed {
        step: step.to_owned(),
        attempt: 2,
        error: "exit code 1".to_owned(),
        duration: seconds(1),
        optional,
    };
    let retrying = Transition::StepRetrying {
        step: "test".to_owned(),
        attempt: 1,
        error: "exit code 2".to_owned(),
        wait: seconds(1),
    };
    let started = Transition::StepStarted {
        step: "test".to_owned(),
        attempt: 1,
    };
    for transition in [
        started,
        retrying,
        failed("test", false),
        failed("lint", true),
    ] {
        let event = WorkflowEvent {
            workflow: "build".to_owned(),
            run: "1".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            transition,
        };
        events.publish(event).await.unwrap();
    }
    pass(seconds(1)).await;
    let errors: Vec<_> = left(&mut errors)
        .into_iter()
        .map(|error| (error.kind, error.source, error.message, error.severity))
        .collect();
    let expected = [
        (
            "build/test",
            "attempt 1 failed: exit code 2",
            Severity::Info,
        ),
        ("build/test", "exit code 1", Severity::Error),
        ("build/lint", "exit code 1", Severity::Warning),
    ];
    let expected = expected.map(|(source, message, severity)| {
        (
            "failing-steps".to_owned(),
            source.to_owned(),
            message.to_owned(),
            severity,
        )
    });
    assert_eq!(errors, expected);
}

#[tokio::test(start_paused = true)]
async fn a_manager_does_not_match_what_managers_publish() {
    let bus = LocalBus::new();
    let (first, second) = (manager(&bus), manager(&bus));
    for manager in [&first, &second] {
        let every = |error: &ErrorDetected| Some(Matched::new(&error.source, &error.message));
        manager
            .register_error_pattern(ErrorPattern::on(&ERROR_DETECTED, "again", every))
            .unwrap();
        let told = |told: &Notification| Some(Matched::new("told", &told.message));
        manager
            .register_error_pattern(ErrorPattern::on(&NOTIFICATION, "told", told))
            .unwrap();
        let recovery = |event: &coord_bus::vocabulary::ErrorRecovery| {
            Some(Matched::new("recovery", &event.source))
        };
        let recovery = ErrorPattern::on(&ERROR_RECOVERY, "recovery", recovery);
        manager.register_error_pattern(recovery).unwrap();
        for kind in ["again", "told", "recovery"] {
            let notify = RecoveryStrategy::NotifyAndContinue;
            manager.register_recovery_strategy(kind, notify).unwrap();
        }
    }
    let mut errors = bus.subscribe(&ERROR_DETECTED).unwrap();
    let error = ErrorDetected {
        source: "api".to_owned(),
        kind: "crash".to_owned(),
        message: "it crashed".to_owned(),
        severity: Severity::Error,
        at: Timestamp::UNIX_EPOCH,
    };
    bus.publisher(&ERROR_DETECTED)
        .unwrap()
        .publish(error)
        .await
        .unwrap();
    pass(seconds(10)).await;
    let mut kinds: Vec<_> = left(&mut errors)
        .into_iter()
        .map(|error| error.kind)
        .collect();
    kinds.sort();
    assert_eq!(kinds, ["again", "again", "crash"]);
}

#[tokio::test(start_paused = true)]
async fn a_pattern_never_makes_a_publisher_wait_and_counts_what_it_missed() {
    const BURST: u64 = 3000;
    let bus = LocalBus::new();
    let manager = manager(&bus);
    manager.register_error_pattern(odd("odd")).unwrap();
    let numbers = bus.publisher(&NUMBERS).unwrap();
    for _ in 0..BURST {
        // In one go, so that nobody reads meanwhile.
        numbers.try_publish(1).unwrap();
    }
    pass(seconds(1)).await;
    let statistics = manager.error_statistics();
    assert!(statistics.missed > 0);
    assert_eq!(statistics.total + statistics.missed, BURST);
}

#[tokio::test(start_paused = true)]
async fn a_pattern_that_panics_is_told_of_and_goes_on() {
    let bus = LocalBus::new();
    let manager = manager(&bus);
    let mut errors = bus.subscribe(&ERROR_DETECTED).unwrap();
    let broken = ErrorPattern::on(&NUMBERS, "broken", |number: &u32| {
        assert!(number.is_multiple_of(2), "boom {number}");
        Some(Matched::new("numbers", number.to_string()))
    });
    // A panic is no match: it is told at once.
    let broken = broken.window(2, seconds(60));
    manager.register_error_pattern(broken).unwrap();
    let numbers = bus.publisher(&NUMBERS).unwrap();
    for number in 1..=4 {
        numbers.publish(number).await.unwrap();
    }
    pass(seconds(1)).await;
    let told: Vec<_> = left(&mut errors)
        .into_iter()
        .map(|error| (error.kind, error.source, error.severity, error.message))
        .collect();
    let panic = |message: &str| {
        let source = "error-recovery/pattern/broken".to_owned();
        (
            "panic".to_owned(),
            source,
            Severity::Error,
            message.to_owned(),
        )
    };
    let matched = (
        "broken".to_owned(),
        "numbers".to_owned(),
        Severity::Error,
        "4 (and 1 more before)".to_owned(),
    );
    assert_eq!(told, [panic("boom 1"), panic("boom 3"), matched]);
    let report = within(manager.shutdown(seconds(1))).await;
    assert_eq!((report.aborted.len(), report.panicked), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_pattern_finds_says_which_event_has_caused_it() {
    let bus = LocalBus::new();
    let manager = manager(&bus);
    let mut errors = bus.subscribe(&ERROR_DETECTED).unwrap();
    manager.register_error_pattern(odd("odd")).unwrap();
    let over = Pattern::new("numbers").unwrap();
    let condition = Condition::always();
    manager
        .register_error_pattern(ErrorPattern::matching(over, "any", condition))
        .unwrap();
    let order = Envelope::new(7).correlation_id("order 17");
    let numbers = bus.publisher(&NUMBERS).unwrap();
    numbers.publish_with(order).await.unwrap();
    for _ in 0..2 {
        let error = within(errors.recv()).await.unwrap();
        assert_eq!(error.meta().correlation_id(), Some("order 17"));
        assert_eq!(error.meta().causation_id(), Some("numbers#1"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_strategy_of_a_pattern_that_is_refused_is_not_kept() {
    let bus = LocalBus::new();
    let manager = manager(&bus);
    manager.register_error_pattern(odd("odd")).unwrap();
    const TEXTS: Topic<String> = Topic::new("numbers");
    let wrong = ErrorPattern::on(&TEXTS, "wrong", |_: &String| None);
    let wrong = wrong.strategy(RecoveryStrategy::NotifyAndContinue);
    assert!(manager.register_error_pattern(wrong).is_err());
    let error = ErrorDetected {
        source: "api".to_owned(),
        kind: "wrong".to_owned(),
        message: "it crashed".to_owned(),
        severity: Severity::Error,
        at: Timestamp::UNIX_EPOCH,
    };
    let errors = bus.publisher(&ERROR_DETECTED).unwrap();
    errors.publish(error).await.unwrap();
    pass(seconds(1)).await;
    let statistics = manager.error_statistics();
    assert_eq!((statistics.total, statistics.recovered), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn where_a_name_of_the_default_patterns_is_taken_none_of_them_is_registered() {
    let bus = LocalBus::new();
    let manager = manager(&bus);
    manager
        .register_error_pattern(odd("service-error-storm"))
        .unwrap();
    for _ in 0..2 {
        let error = manager.default_patterns().map(drop).unwrap_err();
        assert_eq!(
            error.to_string(),
            "an error pattern `service-error-storm` is registered already: use another name"
        );
    }
    manager
        .register_error_pattern(odd("process-restart"))
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_name_belongs_to_one_pattern() {
    let bus = LocalBus::new();
    let manager = manager(&bus);
    manager.register_error_pattern(odd("odd")).unwrap();
    let error = manager.register_error_pattern(odd("odd")).unwrap_err();
    assert!(matches!(error, RecoveryError::PatternExists { pattern } if pattern == "odd"));
}

#[tokio::test(start_paused = true)]
async fn there_is_a_limit_to_patterns() {
    let bus = LocalBus::new();
    let manager = manager(&bus);
    for number in 0..MAX_PATTERNS {
        manager
            .register_error_pattern(odd(&number.to_string()))
            .unwrap();
    }
    let error = manager.register_error_pattern(odd("one more")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`one more` was not registered: there are 256 error patterns, the limit"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pattern_of_the_wrong_type_is_refused_and_not_counted() {
    let bus = LocalBus::new();
    let manager = manager(&bus);
    const TEXTS: Topic<String> = Topic::new("numbers");
    manager.register_error_pattern(odd("odd")).unwrap();
    let wrong = || ErrorPattern::on(&TEXTS, "wrong", |_: &String| None);
    for _ in 0..2 {
        let error = manager.register_error_pattern(wrong()).unwrap_err();
        assert!(matches!(error, RecoveryError::Bus(_)), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_shutdown_no_pattern_is_taken_or_matched() {
    let bus = LocalBus::new();
    let manager = manager(&bus);
    manager.register_error_pattern(odd("odd")).unwrap();
    let mut errors = bus.subscribe(&ERROR_DETECTED).unwrap();
    let report = within(manager.shutdown(seconds(1))).await;
    assert!(report.aborted.is_empty());
    let error = manager.register_error_pattern(odd("late")).unwrap_err();
    assert!(matches!(error, RecoveryError::ShutDown { .. }));
    bus.publisher(&NUMBERS).unwrap().publish(1).await.unwrap();
    pass(Duration::from_secs(1)).await;
    assert_eq!(left(&mut errors), []);
}

#[tokio::test(start_paused = true)]
async fn what_was_published_before_a_shutdown_is_still_matched_and_counted() {
    let bus = LocalBus::new();
    let manager = manager(&bus);
    manager.register_error_pattern(odd("odd")).unwrap();
    let mut errors = bus.subscribe(&ERROR_DETECTED).unwrap();
    let numbers = bus.publisher(&NUMBERS).unwrap();
    for number in 1..=6 {
        // In one go, so that nobody has read it yet.
        numbers.try_publish(number).unwrap();
    }
    let report = within(manager.shutdown(seconds(1))).await;
    assert!(report.aborted.is_empty());
    assert_eq!(left(&mut errors).len(), 3);
    assert_eq!(manager.error_statistics().total, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_on_publishing_does_not_put_off_a_shutdown() {
    let bus = LocalBus::new();
    let manager = manager(&bus);
    manager.register_error_pattern(odd("odd")).unwrap();
    let numbers = bus.publisher(&NUMBERS).unwrap();
    let tireless = tokio::spawn(async move {
        while numbers.publish(2).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    let report = within(manager.shutdown(seconds(60))).await;
    assert!(report.aborted.is_empty());
    bus.close();
    tireless.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_manager_ends_with_its_bus() {
    let bus = LocalBus::new();
    let manager = manager(&bus);
    manager.register_error_pattern(odd("odd")).unwrap();
    bus.close();
    pass(seconds(1)).await;
    let report = within(manager.shutdown(Duration::ZERO)).await;
    assert_eq!((report.aborted.len(), report.panicked), (0, 0));
}
