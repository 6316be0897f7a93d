//! Patterns in the module: registered by name, part of its health, and stopped with it.

use std::time::Duration;

use coordination::bus::{BoxFuture, BusExt, Failure, Topic};
use coordination::patterns::pattern::{Pattern, PatternContext, PatternError, PatternState};
use coordination::{CoordinationError, HealthStatus};

use crate::stage::{Stage, no_task_is_left, until};

const NUMBERS: Topic<u32> = Topic::new("numbers");

/// Adds up numbers. One that is zero it does not like, and one that is larger than 100 ends it.
struct Sum {
    stops: bool,
}

impl Pattern for Sum {
    fn name(&self) -> &str {
        "sum"
    }

    fn start(&self, context: PatternContext) -> BoxFuture<'_, Result<(), Failure>> {
        let stops = self.stops;
        Box::pin(async move {
            let mut numbers = context.bus().subscribe(&NUMBERS)?;
            let (sum, token) = (context.counter("sum"), context.token());
            let of_task = context.clone();
            context.spawn("adds up", async move {
                loop {
                    let number = tokio::select! {
                        () = token.cancelled(), if stops => return,
                        number = numbers.recv() => number.map(|number| *number),
                    };
                    match number {
                        None => return,
                        Some(0) => of_task.degraded("it met a zero"),
                        Some(101..) => of_task.failed("it is full"),
                        Some(number) => sum.add(number.into()),
                    }
                }
            });
            Ok(())
        })
    }
}

impl Stage {
    async fn sums(&self, stops: bool) {
        let patterns = self.module.patterns().expect("they are switched on");
        patterns.register(Sum { stops }).expect("the name is free");
        let handle = patterns.enable("sum").await.expect("it starts");
        assert_eq!(handle.state(), PatternState::Running);
        let numbers = self.bus.publisher(&NUMBERS).expect("the bus is open");
        for number in [1, 2, 3] {
            numbers.publish(number).await.expect("the bus is open");
        }
        until(|| handle.statistics()["sum"] == 6).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_pattern_is_enabled_counted_and_stopped_with_the_module() {
    let stage = Stage::new();
    assert_eq!(stage.module.system_health().active_patterns, 0);
    stage.sums(true).await;
    assert_eq!(stage.module.system_health().active_patterns, 1);
    let account = stage.module.shutdown(Duration::from_secs(1)).await;
    assert!(account.is_complete(), "{account}");
    let stopped = account.patterns.expect("they are switched on").stopped;
    assert_eq!(stopped.len(), 1);
    assert_eq!(stage.module.system_health().active_patterns, 0);
    no_task_is_left().await;
}

#[tokio::test(start_paused = true)]
async fn a_pattern_that_does_not_stop_in_time_is_aborted_and_named() {
    let stage = Stage::new();
    stage.sums(false).await;
    let account = stage.module.shutdown(Duration::from_secs(1)).await;
    assert_eq!(account.to_string(), "pattern `sum` aborted: adds up");
    no_task_is_left().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_pattern_says_of_itself_is_part_of_the_health() {
    let stage = Stage::new();
    stage.sums(true).await;
    let numbers = stage.bus.publisher(&NUMBERS).unwrap();
    let health = || {
        let health = stage.module.system_health();
        (health.status, health.reasons.join("; "))
    };
    assert_eq!(health().0, HealthStatus::Healthy);
    numbers.publish(0).await.unwrap();
    until(|| health().0 == HealthStatus::Degraded).await;
    assert_eq!(health().1, "pattern `sum`: it met a zero");
    numbers.publish(101).await.unwrap();
    until(|| health().0 == HealthStatus::Unhealthy).await;
    assert_eq!(health().1, "pattern `sum`: it is full");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_taken_says_where() {
    let stage = Stage::new();
    let patterns = stage.module.patterns().unwrap();
    patterns.register(Sum { stops: true }).unwrap();
    let refused = patterns.register(Sum { stops: true }).unwrap_err();
    assert!(matches!(refused, PatternError::NameTaken { .. }));
    assert!(refused.to_string().contains("patterns.rs"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_pattern_that_could_not_start_is_configured_otherwise_and_given_again() {
    /// Follows a stream, if it is told of one.
    struct Follower(Option<&'static str>);

    impl Pattern for Follower {
        fn name(&self) -> &str {
            "follower"
        }

        fn start(&self, context: PatternContext) -> BoxFuture<'_, Result<(), Failure>> {
            Box::pin(async move {
                context.spawn("follow", std::future::pending());
                match self.0 {
                    Some(_) => Ok(()),
                    None => Err(Failure::message("no stream was named").permanent()),
                }
            })
        }
    }

    let stage = Stage::new();
    let module = &stage.module;
    let refused = module.configure_integration_pattern(Follower(None)).await;
    let refused = refused.unwrap_err();
    assert!(
        refused.to_string().contains("no stream was named"),
        "{refused}"
    );
    assert_eq!(module.system_health().active_patterns, 0);
    let follower = module.configure_integration_pattern(Follower(Some("numbers")));
    let handle = follower.await.unwrap();
    assert_eq!(handle.state(), PatternState::Running);
    assert_eq!(module.system_health().active_patterns, 1);
    // A third of that name is told where the second was configured.
    let refused = module.configure_integration_pattern(Follower(None)).await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(
            &refused,
            CoordinationError::Pattern(PatternError::NameTaken { .. })
        ),
        "{refused}"
    );
    assert_eq!(refused.to_string().matches("it/patterns.rs").count(), 2);
    let account = module.shutdown(Duration::ZERO).await;
    assert_eq!(account.to_string(), "pattern `follower` aborted: follow");
    no_task_is_left().await;
}
