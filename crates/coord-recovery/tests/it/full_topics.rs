//! What a manager does while somebody does not read what it publishes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use coord_bus::vocabulary::{
    ERROR_DETECTED, ERROR_RECOVERY, ErrorDetected, ErrorRecovery, NOTIFICATION, Notification,
};
use coord_bus::{Backoff, BusExt, Failure, LocalBus, Subscriber, Topic};
use coord_recovery::policy::Policy;
use coord_recovery::{
    ChildSpec, ErrorPattern, ErrorRecoveryManager, Matched, RecoveryStrategy, Supervisor,
};

use crate::stage::{clock, fails, pass, seconds, serves, within};

/// More than a topic holds.
const NOISE: u64 = 1_100;

/// How many of an error and its recoveries are published to a topic: an attempt and its end.
const TOLD: [u64; 3] = [NOISE + 1, NOISE + 2, NOISE];

const NUMBERS: Topic<u64> = Topic::new("numbers");

/// Somebody who reads nothing.
enum Stuck {
    Detected(Subscriber<ErrorDetected>),
    Recovery(Subscriber<ErrorRecovery>),
    Notification(Subscriber<Notification>),
}

impl Stuck {
    fn each(bus: &LocalBus) -> [Self; 3] {
        [
            Self::Detected(bus.subscribe(&ERROR_DETECTED).expect("it is open")),
            Self::Recovery(bus.subscribe(&ERROR_RECOVERY).expect("it is open")),
            Self::Notification(bus.subscribe(&NOTIFICATION).expect("it is open")),
        ]
    }

    /// Reads what is there.
    fn read(&mut self) -> u64 {
        std::iter::from_fn(|| match self {
            Self::Detected(events) => events.try_recv().ok().map(drop),
            Self::Recovery(events) => events.try_recv().ok().map(drop),
            Self::Notification(events) => events.try_recv().ok().map(drop),
        })
        .count() as u64
    }
}

struct Scene {
    bus: LocalBus,
    manager: ErrorRecoveryManager,
    supervisor: Arc<Supervisor>,
}

impl Scene {
    fn new() -> Self {
        let bus = LocalBus::new();
        let manager =
            ErrorRecoveryManager::new(Arc::new(bus.clone()), clock()).expect("it is open");
        let supervisor = Arc::new(Supervisor::new("services", &bus, clock()).expect("it is open"));
        let noise = ErrorPattern::on(&NUMBERS, "noise", |number: &u64| {
            (*number > 0).then(|| Matched::new("numbers", number.to_string()))
        });
        let noise = noise.strategy(RecoveryStrategy::NotifyAndContinue);
        manager.register_error_pattern(noise).expect("it is open");
        let down = ErrorPattern::on(&NUMBERS, "down", |number: &u64| {
            (*number == 0).then(|| Matched::new("db", "down"))
        });
        let down = down.strategy(RecoveryStrategy::restart(&supervisor));
        manager.register_error_pattern(down).expect("it is open");
        Self {
            bus,
            manager,
            supervisor,
        }
    }

    /// Publishes this to what the patterns look at.
    async fn publish(&self, numbers: impl IntoIterator<Item = u64>) {
        let publisher = self.bus.publisher(&NUMBERS).expect("it is open");
        for number in numbers {
            publisher.publish(number).await.expect("it is open");
            pass(std::time::Duration::from_millis(1)).await;
        }
    }

    /// How many errors of a kind are attended to from now on.
    fn attended(&self, kind: &str) -> Arc<AtomicU64> {
        let attended = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&attended);
        let strategy = RecoveryStrategy::custom("count", move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            async { Ok::<(), std::io::Error>(()) }
        });
        let registered = self.manager.register_recovery_strategy(kind, strategy);
        registered.expect("the pattern has none");
        attended
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_ends_no_recovery_and_what_is_not_told_is_counted() {
    for (stuck_one, told) in (0..3).zip(TOLD) {
        let scene = Scene::new();
        let spec = ChildSpec::new("db").backoff(Backoff::constant(seconds(1)));
        let child = scene.supervisor.start(spec, serves).unwrap();
        within(child.ready()).await.unwrap();
        let mut stuck = Stuck::each(&scene.bus).into_iter().nth(stuck_one).unwrap();

        scene.publish(1..=NOISE).await;
        scene.publish([0]).await;
        pass(seconds(2)).await;
        assert_eq!(child.restarts(), 1, "{stuck_one}");
        let counted = scene.manager.error_statistics();
        assert_eq!((counted.total, counted.recovered), (NOISE + 1, NOISE + 1));
        assert_eq!((counted.unhandled, counted.missed), (0, 0));
        assert_eq!(scene.manager.untold(), told - 1024);

        // Who reads again is told all of it, and nothing is counted twice.
        let mut read = stuck.read();
        pass(seconds(1)).await;
        read += stuck.read();
        assert_eq!(read, told, "{stuck_one}");
        assert_eq!(scene.manager.untold(), 0);
        assert_eq!(scene.manager.error_statistics(), counted);
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_does_not_keep_a_shutdown_from_letting_strategies_end() {
    let scene = Scene::new();
    let stuck = Stuck::each(&scene.bus);
    scene.publish(1..=NOISE).await;
    let slow = RecoveryStrategy::custom("slow", |_| async {
        pass(seconds(5)).await;
        Ok::<(), std::io::Error>(())
    });
    (scene.manager.register_recovery_strategy("down", slow)).unwrap();
    scene.publish([0]).await;
    let report = within(scene.manager.shutdown(seconds(9))).await;
    let counted = scene.manager.error_statistics();
    assert_eq!((counted.total, counted.recovered), (NOISE + 1, NOISE + 1));
    // What could not be told, and nothing else.
    assert_eq!(report.aborted, ["tell"]);
    let told: u64 = TOLD.iter().sum();
    assert_eq!(scene.manager.untold(), told - 3 * 1024);
    drop(stuck);
}

#[tokio::test(start_paused = true)]
async fn what_a_guard_reports_is_attended_to_while_nobody_reads_errors() {
    let scene = Scene::new();
    let _stuck = scene.bus.subscribe(&ERROR_DETECTED).unwrap();
    scene.publish(1..=NOISE).await;
    let attended = scene.attended("operation-failed");
    let policy = Policy::builder("call").build().unwrap();
    let guard = scene.manager.guard("call", policy);
    let failed = guard.run(|| async { Err::<(), _>(Failure::message("down")) });
    assert!(failed.await.is_err());
    pass(seconds(1)).await;
    assert_eq!(attended.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_supervisor_says_is_attended_to_while_nobody_reads_recoveries() {
    let scene = Scene::new();
    let _stuck = scene.bus.subscribe(&ERROR_RECOVERY).unwrap();
    scene.publish(1..=NOISE).await;
    let attended = scene.attended("child-failed");
    let child = scene.supervisor.start(ChildSpec::new("db"), fails).unwrap();
    within(child.ended()).await;
    pass(seconds(1)).await;
    assert_eq!(attended.load(Ordering::SeqCst), 2);
}
