//! The patterns that a manager has from the start: what is named to them is acted upon.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use coord_bus::vocabulary::{
    ERROR_DETECTED, ErrorDetected, Exit, PROCESS_LIFECYCLE, ProcessLifecycle, ProcessState,
    SERVICE_LIFECYCLE, ServiceLifecycle, ServiceState, Severity,
};
use coord_bus::{BusExt, Event, Failure, LocalBus, Timestamp, Topic};
use coord_recovery::policy::{BreakerState, CircuitBreaker, Policy, SlidingWindow};
use coord_recovery::{
    ChildSpec, DefaultPatterns, ErrorPattern, ErrorRecoveryManager, MAX_NAMED, RecoveryError,
    STORM_ERRORS, STORM_WITHIN, Supervisor,
};

use crate::stage::{clock, pass, seconds, serves, within};

struct Scene {
    bus: LocalBus,
    manager: ErrorRecoveryManager,
    defaults: DefaultPatterns,
}

impl Scene {
    fn new() -> Self {
        let bus = LocalBus::new();
        let manager = ErrorRecoveryManager::new(Arc::new(bus.clone()), clock());
        let manager = manager.expect("the topics are free");
        let defaults = manager.default_patterns().expect("the names are free");
        Self {
            bus,
            manager,
            defaults,
        }
    }

    async fn publish<E: Event>(&self, topic: &Topic<E>, event: E) {
        let publisher = self.bus.publisher(topic).expect("it is open");
        let published = publisher.publish(event).await;
        published.map_err(|_| "it is closed").expect("it is open");
        pass(seconds(1)).await;
    }

    async fn exited(&self, process: &str, exit: Exit) {
        self.becomes(process, ProcessState::Exited(exit)).await;
    }

    async fn becomes(&self, process: &str, state: ProcessState) {
        let event = ProcessLifecycle {
            process: process.to_owned(),
            at: Timestamp::UNIX_EPOCH,
            state,
        };
        self.publish(&PROCESS_LIFECYCLE, event).await;
    }

    /// What is sick, or fails.
    async fn fails(&self, source: &str) {
        let event = ErrorDetected {
            source: source.to_owned(),
            kind: "request-failed".to_owned(),
            message: "503".to_owned(),
            severity: Severity::Error,
            at: Timestamp::UNIX_EPOCH,
        };
        self.publish(&ERROR_DETECTED, event).await;
    }

    fn kinds(&self) -> Vec<(String, u64)> {
        let statistics = self.manager.error_statistics();
        statistics.by_kind.into_iter().collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_crashes_makes_its_supervisor_restart_the_child_of_its_name() {
    let scene = Scene::new();
    let supervisor = Arc::new(Supervisor::new("services", &scene.bus, clock()).unwrap());
    let child = supervisor.start(ChildSpec::new("server"), serves).unwrap();
    within(child.ready()).await.unwrap();
    scene.defaults.restart("server", &supervisor).unwrap();
    scene.exited("server", Exit::code(0)).await;
    assert_eq!(child.restarts(), 0);
    scene.exited("server", Exit::signal(9)).await;
    pass(seconds(1)).await;
    assert_eq!(child.restarts(), 1);
    assert_eq!(scene.kinds(), [("process-restart".to_owned(), 1)]);
    assert_eq!(scene.manager.error_statistics().recovered, 1);
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_is_gone_is_no_help_and_that_is_told() {
    let scene = Scene::new();
    let supervisor = Arc::new(Supervisor::new("services", &scene.bus, clock()).unwrap());
    scene.defaults.restart("server", &supervisor).unwrap();
    drop(supervisor);
    scene.exited("server", Exit::code(1)).await;
    let kinds = [
        ("process-restart".to_owned(), 1),
        ("recovery-failed".to_owned(), 1),
    ];
    assert_eq!(scene.kinds(), kinds);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_fails_has_its_own_fallback_run() {
    let scene = Scene::new();
    let ran = Arc::new(Mutex::new(Vec::new()));
    for command in ["lint", "test"] {
        let ran = Arc::clone(&ran);
        let instead = move |error: ErrorDetected| {
            ran.lock().unwrap().push((command, error.message));
            async { Ok::<(), std::io::Error>(()) }
        };
        scene.defaults.fallback(command, instead).unwrap();
    }
    scene.exited("lint", Exit::code(2)).await;
    let message = "exit code 2".to_owned();
    assert_eq!(*ran.lock().unwrap(), [("lint", message)]);
    assert_eq!(
        scene.manager.error_statistics().by_strategy["fallback"].recovered,
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_sick_has_its_breaker_opened_at_once() {
    let scene = Scene::new();
    let breaker = CircuitBreaker::new("db");
    scene.defaults.circuit_break("db", &breaker).unwrap();
    let answer = "503".to_owned();
    let sick = ServiceLifecycle {
        service: "db".to_owned(),
        at: Timestamp::UNIX_EPOCH,
        state: ServiceState::Unhealthy { answer },
    };
    scene.publish(&SERVICE_LIFECYCLE, sick).await;
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_errors_of_a_service_opens_its_breaker_and_a_few_do_not() {
    let scene = Scene::new();
    let breaker = CircuitBreaker::new("db");
    scene.defaults.circuit_break("db", &breaker).unwrap();
    for _ in 1..STORM_ERRORS {
        scene.fails("db").await;
    }
    // Those are too long ago by then.
    pass(STORM_WITHIN).await;
    scene.fails("db").await;
    assert_eq!(breaker.state(), BreakerState::Closed);
    for _ in 1..STORM_ERRORS {
        assert_eq!(breaker.state(), BreakerState::Closed);
        scene.fails("api").await;
        scene.fails("db").await;
    }
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn calls_that_a_breaker_refuses_are_no_storm_that_opens_it() {
    let scene = Scene::new();
    let breaker = CircuitBreaker::builder("db")
        .sliding_window(SlidingWindow::Count(1))
        .permitted_number_of_calls_in_half_open_state(1)
        .wait_duration_in_open_state(seconds(10))
        .build()
        .unwrap();
    scene.defaults.circuit_break("db", &breaker).unwrap();
    let policy = Policy::builder("db").circuit_breaker(breaker.clone());
    let guard = scene.manager.guard("db", policy.build().unwrap());
    let fails = || async { Err::<(), _>(Failure::message("down")) };
    let refused = async || {
        for _ in 0..2 * STORM_ERRORS {
            assert!(guard.run(fails).await.unwrap_err().operation().is_none());
        }
        pass(seconds(1)).await;
    };
    assert!(guard.run(fails).await.is_err());
    refused().await;
    pass(seconds(9)).await;
    let (answer, answered) = tokio::sync::oneshot::channel();
    let mut answered = Some(answered);
    let probe = guard.run(|| {
        let answered = answered.take().expect("it is called once");
        async { answered.await.map_err(Failure::from) }
    });
    let others = async {
        refused().await;
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        answer.send(()).unwrap();
    };
    let (probe, ()) = tokio::join!(probe, others);
    probe.unwrap();
    pass(seconds(1)).await;
    assert_eq!(breaker.state(), BreakerState::Closed);
    let kinds = scene.manager.error_statistics().by_kind;
    assert!(!kinds.contains_key("service-error-storm"), "{kinds:?}");
    assert_eq!(kinds["circuit-open"], 4 * u64::from(STORM_ERRORS));
}

#[tokio::test(start_paused = true)]
async fn what_was_said_of_a_breaker_by_hand_is_not_undone_by_a_sick_service() {
    let by_hand = [
        (BreakerState::ForcedOpen, 1, 0),
        (BreakerState::Disabled, 0, 1),
        (BreakerState::MetricsOnly, 0, 1),
    ];
    for (state, recovered, gave_up) in by_hand {
        let scene = Scene::new();
        let breaker = CircuitBreaker::new("db");
        scene.defaults.circuit_break("db", &breaker).unwrap();
        breaker.transition_to(state);
        let answer = "503".to_owned();
        let sick = ServiceLifecycle {
            service: "db".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            state: ServiceState::Unhealthy { answer },
        };
        scene.publish(&SERVICE_LIFECYCLE, sick).await;
        assert_eq!(breaker.state(), state);
        let statistics = scene.manager.error_statistics();
        let became = (statistics.recovered, statistics.gave_up);
        assert_eq!(became, (recovered, gave_up), "{state}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_asked_to_stop_does_not_fail_by_that() {
    let scene = Scene::new();
    let ran = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&ran);
    let instead = move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Ok::<(), std::io::Error>(()) }
    };
    scene.defaults.fallback("lint", instead).unwrap();
    for signal in [15, 9] {
        scene
            .becomes("lint", ProcessState::Stopping { signal })
            .await;
    }
    scene.exited("lint", Exit::signal(9)).await;
    assert_eq!(scene.kinds(), []);
    // The stop was of that one: the next of its name can fail.
    scene
        .becomes("lint", ProcessState::Started { pid: 7 })
        .await;
    scene.exited("lint", Exit::signal(9)).await;
    assert_eq!(ran.load(Ordering::Relaxed), 1);
    // Its end was not seen, and another one has started since.
    scene
        .becomes("lint", ProcessState::Stopping { signal: 15 })
        .await;
    scene
        .becomes("lint", ProcessState::Started { pid: 8 })
        .await;
    scene.exited("lint", Exit::code(1)).await;
    assert_eq!(ran.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_named_is_no_error_of_theirs() {
    let scene = Scene::new();
    scene.exited("stranger", Exit::code(1)).await;
    let error = "no such file".to_owned();
    let event = ProcessLifecycle {
        process: "stranger".to_owned(),
        at: Timestamp::UNIX_EPOCH,
        state: ProcessState::NotStarted { error },
    };
    scene.publish(&PROCESS_LIFECYCLE, event).await;
    assert_eq!(scene.kinds(), []);
}

#[tokio::test(start_paused = true)]
async fn asked_for_again_they_are_the_same_and_what_is_named_last_counts() {
    let scene = Scene::new();
    let runs: [_; 2] = std::array::from_fn(|_| Arc::new(AtomicU32::new(0)));
    for run in &runs {
        let run = Arc::clone(run);
        let instead = move |_| {
            run.fetch_add(1, Ordering::Relaxed);
            async { Ok::<(), std::io::Error>(()) }
        };
        let again = scene.manager.default_patterns().unwrap();
        again.fallback("lint", instead).unwrap();
    }
    scene.exited("lint", Exit::code(2)).await;
    assert_eq!(runs.map(|run| run.load(Ordering::Relaxed)), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn there_is_an_end_to_what_may_be_named_and_their_names_are_taken() {
    let scene = Scene::new();
    let breaker = CircuitBreaker::new("db");
    for number in 0..MAX_NAMED {
        let named = scene.defaults.circuit_break(number.to_string(), &breaker);
        named.unwrap();
    }
    let refused = scene.defaults.circuit_break("more", &breaker);
    assert!(matches!(refused, Err(RecoveryError::TooMany { .. })));
    scene.defaults.circuit_break("7", &breaker).unwrap();
    let mine = ErrorPattern::cli_fallback(|_| async { Ok::<(), std::io::Error>(()) });
    let refused = scene.manager.register_error_pattern(mine);
    assert!(matches!(refused, Err(RecoveryError::PatternExists { .. })));
}
