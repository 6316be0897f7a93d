//! Patterns as data, storms, the strategies that come with the crate, and escalation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use coord_bus::vocabulary::{
    ERROR_DETECTED, ERROR_RECOVERY, ErrorDetected, ErrorRecovery, Exit, PROCESS_LIFECYCLE,
    ProcessLifecycle, ProcessState, Recovery, SERVICE_LIFECYCLE, ServiceLifecycle, ServiceState,
    Severity,
};
use coord_bus::{
    BoxFuture, BusExt, Event, Failure, LocalBus, Pattern, Subscriber, Timestamp, Topic,
};
use coord_recovery::policy::{BreakerState, CircuitBreaker, Policy, Retry};
use coord_recovery::{
    ChildSpec, Condition, ErrorPattern, ErrorRecoveryManager, Matched, RECOVERY_FAILED, Recover,
    RecoveryStrategy, Supervisor, Test,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::stage::{clock, pass, seconds, serves, within};

struct Scene {
    bus: LocalBus,
    manager: ErrorRecoveryManager,
    errors: Subscriber<ErrorDetected>,
    recoveries: Subscriber<ErrorRecovery>,
}

impl Scene {
    fn new() -> Self {
        let bus = LocalBus::new();
        let manager = ErrorRecoveryManager::new(Arc::new(bus.clone()), clock());
        Self {
            manager: manager.expect("the topics are free"),
            errors: bus.subscribe(&ERROR_DETECTED).expect("it is open"),
            recoveries: bus.subscribe(&ERROR_RECOVERY).expect("it is open"),
            bus,
        }
    }

    async fn publish<E: Event>(&self, topic: &Topic<E>, event: E) {
        let publisher = self.bus.publisher(topic).expect("it is open");
        publisher
            .publish(event)
            .await
            .map_err(|_| "it is closed")
            .expect("it is open");
        pass(Duration::from_millis(1)).await;
    }

    /// What has been detected by now: source, kind, message.
    fn errors(&mut self) -> Vec<(String, String, String)> {
        let next = || Some((*self.errors.try_recv().ok()?).clone());
        let errors = std::iter::from_fn(next);
        errors
            .map(|error| (error.source, error.kind, error.message))
            .collect()
    }

    /// What has been done by now: strategy, and what became of it.
    fn recoveries(&mut self) -> Vec<(String, Recovery)> {
        let next = || Some((*self.recoveries.try_recv().ok()?).clone());
        std::iter::from_fn(next)
            .map(|event| (event.strategy, event.progress))
            .collect()
    }
}

fn error(kind: &str) -> ErrorDetected {
    ErrorDetected {
        source: "api".to_owned(),
        kind: kind.to_owned(),
        message: "it is down".to_owned(),
        severity: Severity::Error,
        at: Timestamp::UNIX_EPOCH,
    }
}

fn line(source: &str, kind: &str, message: &str) -> (String, String, String) {
    (source.to_owned(), kind.to_owned(), message.to_owned())
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Answer {
    host: String,
    code: u32,
    error: String,
}

const ANSWERS: Topic<Answer> = Topic::new("http.answer");
const OTHER_ANSWERS: Topic<Answer> = Topic::new("grpc.answer");

fn answer(host: &str, code: u32) -> Answer {
    Answer {
        host: host.to_owned(),
        code,
        error: format!("code {code}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_condition_finds_errors_in_events_of_all_topics_that_match() {
    let mut scene = Scene::new();
    let bad =
        Condition::code(Test::at_least(500.0)) & !Condition::field("host", Test::equals("test"));
    let pattern = ErrorPattern::matching(Pattern::new("http.*").unwrap(), "bad-answer", bad)
        .source_field("host")
        .severity(Severity::Critical);
    scene.manager.register_error_pattern(pattern).unwrap();
    for (host, code) in [("a", 200), ("a", 503), ("test", 503), ("b", 500)] {
        scene.publish(&ANSWERS, answer(host, code)).await;
    }
    scene.publish(&OTHER_ANSWERS, answer("c", 500)).await;
    let expected = [
        line("a", "bad-answer", "code 503"),
        line("b", "bad-answer", "code 500"),
    ];
    assert_eq!(scene.errors(), expected);
    let statistics = scene.manager.error_statistics();
    assert_eq!(statistics.by_severity[&Severity::Critical], 2);
}

#[tokio::test(start_paused = true)]
async fn a_condition_that_compares_with_no_number_is_refused() {
    let scene = Scene::new();
    for limit in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for test in [
            Test::less_than(limit),
            Test::at_most(limit),
            Test::greater_than(limit),
            Test::at_least(limit),
        ] {
            let code = Condition::code(test);
            for condition in [
                code.clone(),
                !code.clone(),
                Condition::always() & code.clone(),
                Condition::always() | code,
            ] {
                let topics = Pattern::new("http.*").unwrap();
                let pattern = ErrorPattern::matching(topics, "bad-answer", condition);
                let refused = scene.manager.register_error_pattern(pattern);
                let expected = format!(
                    "error pattern `bad-answer` cannot work: its condition compares with {limit}, \
                     and has to with a finite number"
                );
                assert_eq!(refused.unwrap_err().to_string(), expected);
            }
        }
    }
}

#[test]
fn conditions_ask_for_kind_code_message_fields_and_whether_a_retry_could_help() {
    let event = json!({
        "type": "timeout", "exit_code": 7, "reason": "the port is taken", "permanent": false,
        "tags": ["db", "slow"], "details": { "tries": [3, 5], "none": null },
    });
    let holds = [
        Condition::always(),
        Condition::kind(Test::equals("timeout")),
        Condition::code(Test::equals(7.0)),
        Condition::code(Test::at_most(7.0)) & Condition::code(Test::at_least(7.0)),
        Condition::code(Test::less_than(8.0)) & Condition::code(Test::greater_than(6.0)),
        Condition::message(Test::contains("port")),
        Condition::message(Test::matches("^the (port|host)").unwrap()),
        Condition::field("tags", Test::contains("slow")),
        Condition::field("details.tries.1", Test::equals(5)),
        Condition::field("details.tries", Test::is_there()),
        Condition::retryable(true),
        Condition::kind(Test::equals("crash")) | Condition::retryable(true),
        !Condition::retryable(false),
    ];
    for condition in &holds {
        assert!(condition.holds(&event), "{condition:?}");
    }
    let fails = [
        Condition::kind(Test::equals("crash")) & Condition::retryable(true),
        Condition::code(Test::less_than(7.0)),
        Condition::code(Test::greater_than(7.0)),
        Condition::code(Test::contains("7")),
        Condition::field("details.none", Test::is_there()),
        Condition::field("details.tries.2", Test::is_there()),
        Condition::field("nobody", Test::equals("x")),
        Condition::field("tags", Test::contains("slo")),
        !Condition::always(),
    ];
    for condition in &fails {
        assert!(!condition.holds(&event), "{condition:?}");
    }
    assert!(!Condition::retryable(true).holds(&json!({})));
    assert!(!Condition::retryable(false).holds(&json!({})));
    let wrong = Test::matches("(").unwrap_err().to_string();
    assert!(
        wrong.starts_with("the regular expression `(` cannot work: "),
        "{wrong}"
    );
}

const NUMBERS: Topic<u32> = Topic::new("numbers");
const CALLS: Topic<serde_json::Value> = Topic::new("calls");

/// By their tens.
fn numbers(name: &str) -> ErrorPattern {
    ErrorPattern::on(&NUMBERS, name, |number: &u32| {
        let group = format!("{}", number / 10);
        Some(Matched::new("numbers", number.to_string()).group(group))
    })
}

#[tokio::test(start_paused = true)]
async fn a_window_makes_one_error_of_so_many_matches_of_a_group_within_its_period() {
    let mut scene = Scene::new();
    let pattern = numbers("many").window(3, seconds(10));
    scene.manager.register_error_pattern(pattern).unwrap();
    for number in [1, 2, 11] {
        scene.publish(&NUMBERS, number).await;
    }
    pass(seconds(11)).await;
    for number in [3, 4, 12, 5, 6] {
        scene.publish(&NUMBERS, number).await;
    }
    assert_eq!(
        scene.errors(),
        [line("numbers", "many", "5 (and 4 more before)")]
    );
    assert_eq!(scene.manager.error_statistics().held_back, 7);
}

#[tokio::test(start_paused = true)]
async fn what_an_event_says_is_its_source_and_its_group_is_bounded_however_long_it_is() {
    let mut scene = Scene::new();
    let pattern = Pattern::new("calls").unwrap();
    let pattern = ErrorPattern::matching(pattern, "slow", Condition::always())
        .source_field("host")
        .group_by("path")
        .window(2, seconds(10));
    scene.manager.register_error_pattern(pattern).unwrap();
    let calls = |path: String| json!({ "host": "h".repeat(1_000_000), "path": path });
    let (one, other) = ("p".repeat(900), "q".repeat(1_000_000));
    for path in [&one, &other, &format!("{one}!")] {
        scene.publish(&CALLS, calls(path.clone())).await;
    }
    assert_eq!(scene.errors(), []);
    // Told apart by their first thousand characters.
    scene.publish(&CALLS, calls(format!("{other}!"))).await;
    let source = format!("{}…", "h".repeat(100));
    assert_eq!(
        scene.errors(),
        [line(&source, "slow", "calls (and 1 more before)")]
    );
    let statistics = scene.manager.error_statistics();
    assert_eq!(
        statistics.by_source.into_iter().collect::<Vec<_>>(),
        [(source, 1)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_storm_is_one_error_and_counted() {
    let mut scene = Scene::new();
    let pattern = numbers("storm").cooldown(seconds(60));
    scene.manager.register_error_pattern(pattern).unwrap();
    for _ in 0..500 {
        scene.publish(&NUMBERS, 1).await;
    }
    assert_eq!(scene.errors(), [line("numbers", "storm", "1")]);
    pass(seconds(60)).await;
    scene.publish(&NUMBERS, 2).await;
    assert_eq!(
        scene.errors(),
        [line("numbers", "storm", "2 (and 499 more before)")]
    );
    let statistics = scene.manager.error_statistics();
    assert_eq!((statistics.total, statistics.held_back), (2, 499));
}

#[tokio::test(start_paused = true)]
async fn a_cooldown_without_an_end_lets_one_error_through() {
    let mut scene = Scene::new();
    let pattern = numbers("once").cooldown(Duration::MAX);
    scene.manager.register_error_pattern(pattern).unwrap();
    for number in [1, 2] {
        scene.publish(&NUMBERS, number).await;
        pass(seconds(1_000_000)).await;
    }
    assert_eq!(scene.errors(), [line("numbers", "once", "1")]);
}

#[tokio::test(start_paused = true)]
async fn a_recovery_that_fails_escalates_once_and_never_again() {
    let mut scene = Scene::new();
    let (runs, counted) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    for (kind, runs) in [("crash", &runs), (RECOVERY_FAILED, &counted)] {
        let runs = Arc::clone(runs);
        let strategy = RecoveryStrategy::custom("try", move |_| {
            runs.fetch_add(1, Ordering::SeqCst);
            async { Err::<(), _>("no luck") }
        });
        scene
            .manager
            .register_recovery_strategy(kind, strategy)
            .unwrap();
    }
    scene.publish(&ERROR_DETECTED, error("crash")).await;
    pass(seconds(100)).await;
    let escalated = line(
        "api",
        RECOVERY_FAILED,
        "crash: it is down; try failed: no luck",
    );
    assert_eq!(
        scene.errors(),
        [line("api", "crash", "it is down"), escalated]
    );
    assert_eq!(
        (runs.load(Ordering::SeqCst), counted.load(Ordering::SeqCst)),
        (1, 1)
    );
    let statistics = scene.manager.error_statistics();
    assert_eq!((statistics.escalated, statistics.gave_up), (1, 2));
    assert_eq!(statistics.by_severity[&Severity::Critical], 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_may_be_handed_on_at_once() {
    let mut scene = Scene::new();
    scene
        .manager
        .register_recovery_strategy("crash", RecoveryStrategy::Escalate)
        .unwrap();
    scene.publish(&ERROR_DETECTED, error("crash")).await;
    let message = "crash: it is down; nothing is done about it here";
    assert_eq!(scene.errors()[1], line("api", RECOVERY_FAILED, message));
    assert_eq!(scene.recoveries(), []);
}

#[tokio::test(start_paused = true)]
async fn a_strategy_may_be_a_type_and_is_counted_by_its_name_with_its_time() {
    struct Slow;
    impl Recover for Slow {
        fn name(&self) -> &'static str {
            "slow"
        }
        fn recover(
            &self,
            error: ErrorDetected,
        ) -> BoxFuture<'_, Result<(), Box<dyn std::error::Error + Send + Sync>>> {
            Box::pin(async move {
                pass(seconds(4)).await;
                if error.message == "hopeless" {
                    Err("hopeless".into())
                } else {
                    Ok(())
                }
            })
        }
    }
    let scene = Scene::new();
    scene
        .manager
        .register_recovery_strategy("crash", RecoveryStrategy::own(Slow))
        .unwrap();
    assert_eq!(
        scene.manager.error_statistics().mean_time_to_recover(),
        None
    );
    scene.publish(&ERROR_DETECTED, error("crash")).await;
    let hopeless = ErrorDetected {
        message: "hopeless".to_owned(),
        ..error("crash")
    };
    scene.publish(&ERROR_DETECTED, hopeless).await;
    pass(seconds(9)).await;
    let statistics = scene.manager.error_statistics();
    let slow = statistics.by_strategy["slow"];
    assert_eq!((slow.recovered, slow.gave_up), (1, 1));
    assert_eq!(statistics.success_rate(), Some(0.5));
    assert_eq!(statistics.mean_time_to_recover(), Some(seconds(4)));
}

#[tokio::test(start_paused = true)]
async fn retrying_does_again_what_failed_under_a_policy() {
    let mut scene = Scene::new();
    let policy: Policy<(), Failure> = Policy::builder("again")
        .retry(Retry::constant(seconds(1)))
        .build()
        .unwrap();
    let tries = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&tries);
    let strategy = RecoveryStrategy::retry(policy, move |_| {
        let attempt = counted.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            if attempt == 3 {
                Ok(())
            } else {
                Err(Failure::message("down"))
            }
        }
    });
    scene
        .manager
        .register_recovery_strategy("crash", strategy)
        .unwrap();
    scene.publish(&ERROR_DETECTED, error("crash")).await;
    pass(seconds(9)).await;
    assert_eq!(tries.load(Ordering::SeqCst), 3);
    let recovered = Recovery::Recovered {
        attempt: 1,
        duration: seconds(2),
    };
    assert_eq!(scene.recoveries()[1], ("retry".to_owned(), recovered));
}

fn exited(process: &str, code: i32) -> ProcessLifecycle {
    ProcessLifecycle {
        process: process.to_owned(),
        at: Timestamp::UNIX_EPOCH,
        state: ProcessState::Exited(Exit::code(code)),
    }
}

#[tokio::test(start_paused = true)]
async fn process_restart_restarts_the_child_of_a_process_that_failed() {
    let mut scene = Scene::new();
    let supervisor = Arc::new(Supervisor::new("services", &scene.bus, clock()).unwrap());
    let child = supervisor.start(ChildSpec::new("server"), serves).unwrap();
    within(child.ready()).await.unwrap();
    let pattern = ErrorPattern::process_restart(&supervisor);
    scene.manager.register_error_pattern(pattern).unwrap();
    scene.publish(&PROCESS_LIFECYCLE, exited("server", 0)).await;
    assert_eq!(child.restarts(), 0);
    scene.publish(&PROCESS_LIFECYCLE, exited("server", 1)).await;
    pass(seconds(1)).await;
    assert_eq!(child.restarts(), 1);
    // After the child's backoff.
    let recovered = Recovery::Recovered {
        attempt: 1,
        duration: seconds(1),
    };
    assert_eq!(scene.recoveries()[1], ("restart".to_owned(), recovered));
    scene.errors();
    scene
        .publish(&PROCESS_LIFECYCLE, exited("stranger", 1))
        .await;
    let message = "process-restart: exit code 1; restart failed: there is no child `stranger`";
    assert_eq!(
        scene.errors()[1],
        line("stranger", RECOVERY_FAILED, message)
    );
}

#[tokio::test(start_paused = true)]
async fn cli_fallback_does_something_else_instead_of_a_process_that_failed() {
    let mut scene = Scene::new();
    let pattern = ErrorPattern::cli_fallback(|error: ErrorDetected| async move {
        if error.source == "lint" {
            Ok(())
        } else {
            Err("nothing instead of it")
        }
    });
    scene.manager.register_error_pattern(pattern).unwrap();
    scene.publish(&PROCESS_LIFECYCLE, exited("lint", 2)).await;
    let recovered = Recovery::Recovered {
        attempt: 1,
        duration: seconds(0),
    };
    assert_eq!(scene.recoveries()[1], ("fallback".to_owned(), recovered));
}

#[tokio::test(start_paused = true)]
async fn service_circuit_break_opens_the_breaker_of_a_service_that_is_sick() {
    let scene = Scene::new();
    let breaker = CircuitBreaker::new("db");
    let known = breaker.clone();
    let pattern = ErrorPattern::service_circuit_break(move |error| {
        (error.source == "db").then(|| known.clone())
    });
    scene.manager.register_error_pattern(pattern).unwrap();
    let answer = "503".to_owned();
    let sick = ServiceLifecycle {
        service: "db".to_owned(),
        at: Timestamp::UNIX_EPOCH,
        state: ServiceState::Unhealthy { answer },
    };
    scene.publish(&SERVICE_LIFECYCLE, sick).await;
    assert_eq!(breaker.state(), BreakerState::Open);
    assert_eq!(
        scene.manager.error_statistics().by_strategy["circuit-break"].recovered,
        1
    );
}
