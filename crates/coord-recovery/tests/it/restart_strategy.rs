//! Children that are restarted because something else has failed.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::vocabulary::{ERROR_DETECTED, ErrorDetected, Severity};
use coord_bus::{Backoff, BusExt, Timestamp};
use coord_recovery::{
    Child, ChildEnd, ChildSpec, ChildState, ErrorRecoveryManager, GiveUpReason, MAX_RECOVERING,
    RESTART_SETTLED, RecoveryStrategy, Supervisor,
};

use crate::stage::{Stage, Starts, at, clock, fails, ignores, pass, seconds, serves, stays};

/// A stage whose supervisor restarts a child when an error of its name is published.
struct Scene {
    bus: coord_bus::LocalBus,
    manager: ErrorRecoveryManager,
    _supervisor: Arc<Supervisor>,
}

impl Scene {
    fn new(
        spec: ChildSpec,
        run: impl FnMut(coord_recovery::ChildContext) -> crate::stage::Ran + Send + 'static,
    ) -> (Self, Child, Starts) {
        let stage = Stage::new();
        let (child, starts) = stage.start(spec, run);
        let Stage {
            bus, supervisor, ..
        } = stage;
        let supervisor = Arc::new(supervisor);
        let manager = ErrorRecoveryManager::new(Arc::new(bus.clone()), clock());
        let manager = manager.expect("the topics are free");
        manager
            .register_recovery_strategy("sick", RecoveryStrategy::restart(&supervisor))
            .expect("there is room");
        let scene = Self {
            bus,
            manager,
            _supervisor: supervisor,
        };
        (scene, child, starts)
    }

    async fn fails(&self) {
        let error = ErrorDetected {
            source: "api".to_owned(),
            kind: "sick".to_owned(),
            message: "503".to_owned(),
            severity: Severity::Error,
            at: Timestamp::UNIX_EPOCH,
        };
        let publisher = self.bus.publisher(&ERROR_DETECTED).expect("it is open");
        publisher.publish(error).await.expect("it is open");
        pass(Duration::from_millis(1)).await;
    }

    /// How many recoveries succeeded, and how many were given up.
    fn became(&self) -> (u64, u64) {
        let statistics = self.manager.error_statistics();
        (statistics.recovered, statistics.gave_up)
    }
}

fn spec() -> ChildSpec {
    ChildSpec::new("api").backoff(Backoff::constant(seconds(1)))
}

#[tokio::test(start_paused = true)]
async fn a_child_that_never_says_that_it_is_ready_has_come_back_when_it_has_run_for_long_enough() {
    let (scene, child, starts) = Scene::new(spec(), stays);
    pass(seconds(1)).await;
    scene.fails().await;
    pass(seconds(1) + RESTART_SETTLED - Duration::from_millis(2)).await;
    assert_eq!((child.restarts(), scene.became()), (1, (0, 0)));
    pass(Duration::from_millis(2)).await;
    assert_eq!(scene.became(), (1, 0));
    assert_eq!(at(&starts), [0, 2000]);
}

#[tokio::test(start_paused = true)]
async fn children_that_do_not_come_back_leave_the_strategies_of_others_alone() {
    let (scene, _, _) = Scene::new(spec(), stays);
    let other = RecoveryStrategy::custom("other", |_| async { Ok::<(), std::io::Error>(()) });
    scene
        .manager
        .register_recovery_strategy("other", other)
        .unwrap();
    for _ in 0..MAX_RECOVERING {
        scene.fails().await;
    }
    pass(seconds(1) + RESTART_SETTLED).await;
    assert_eq!(scene.became().0, MAX_RECOVERING as u64);
}

#[tokio::test(start_paused = true)]
async fn what_fails_again_and_again_is_restarted_after_its_backoff_until_that_is_too_often() {
    let spec = spec()
        .backoff(Backoff::exponential(seconds(1)))
        .intensity(3, seconds(60));
    let (scene, child, starts) = Scene::new(spec, serves);
    for _ in 0..4 {
        scene.fails().await;
        pass(seconds(9)).await;
    }
    // Failures at 0, 9, 18 and 27 s, and a few milliseconds.
    assert_eq!(at(&starts), [0, 1000, 9001 + 2000, 18002 + 4000]);
    let ChildState::Ended(ChildEnd::GaveUp(gave_up)) = child.state() else {
        panic!("{:?}", child.state());
    };
    assert!(matches!(
        gave_up.reason,
        GiveUpReason::TooManyRestarts { restarts: 3, .. }
    ));
    assert_eq!(scene.became(), (3, 1));
    let kinds = scene.manager.error_statistics().by_kind;
    assert_eq!(kinds["recovery-failed"], 1);
    // Nothing of it is told twice.
    assert_eq!(kinds.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn errors_that_were_detected_before_a_restart_are_one_restart() {
    let spec = spec().shutdown(seconds(2)).intensity(1, seconds(60));
    let (scene, child, starts) = Scene::new(spec, |context| match context.incarnation() {
        1 => ignores(context),
        _ => serves(context),
    });
    for _ in 0..3 * MAX_RECOVERING {
        scene.fails().await;
    }
    pass(seconds(9)).await;
    assert_eq!(at(&starts), [0, 3000]);
    assert!(matches!(child.state(), ChildState::Running { .. }));
    assert_eq!(scene.became(), (3 * MAX_RECOVERING as u64, 0));
}

#[tokio::test(start_paused = true)]
async fn a_child_that_fails_again_before_it_is_ready_has_not_come_back() {
    let spec = spec().intensity(9, seconds(60));
    let (scene, child, _) = Scene::new(spec, |context| match context.incarnation() {
        2 => fails(context),
        _ => serves(context),
    });
    scene.fails().await;
    pass(seconds(1)).await;
    let strategies = scene.manager.error_statistics().by_strategy;
    assert_eq!(strategies["restart"].gave_up, 1);
    // Its supervisor goes on with it.
    pass(seconds(1)).await;
    assert_eq!(child.restarts(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_waits_for_its_backoff_is_not_started_earlier() {
    let spec = spec().backoff(Backoff::constant(seconds(60)));
    let (scene, _, starts) = Scene::new(spec, |context| match context.incarnation() {
        1 => fails(context),
        _ => serves(context),
    });
    pass(seconds(1)).await;
    scene.fails().await;
    pass(seconds(100)).await;
    assert_eq!(at(&starts), [0, 60_000]);
}
