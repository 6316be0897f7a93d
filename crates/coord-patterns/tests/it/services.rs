//! The lifecycle of services that need each other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::vocabulary::{PROCESS_OUTPUT, SERVICE_LIFECYCLE, ServiceLifecycle, ServiceState};
use coord_bus::{BoxFuture, BusExt, CancellationToken, Failure, LocalBus, Subscriber};
use coord_patterns::pattern::{IntegrationPatterns, PatternState};
use coord_patterns::process::{ProcessRunner, ProcessSpec};
use coord_patterns::service::{Check, Probe, ServiceRunner, ServiceSpec};
use coord_patterns::services::{
    ManagedService, ProcessService, ServiceContext, Services, ServicesConfig, ServicesError,
};

use tokio::sync::Notify;

use crate::stage::within;

const SOON: Duration = Duration::from_secs(100);

/// A service that does as it is told.
#[derive(Clone, Default)]
struct Told {
    /// Becomes ready after this.
    delay: Duration,
    /// Never does.
    stuck: bool,
    /// Ignores being drained.
    deaf: bool,
    /// Fails once this is cancelled.
    fail: CancellationToken,
    sick: Arc<AtomicBool>,
    /// Says whether it is ready, each time it is told to.
    says: Arc<Notify>,
    lost: Arc<Mutex<Vec<String>>>,
}

impl ManagedService for Told {
    fn run(&self, mut context: ServiceContext) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            coord_bus::time::sleep(self.delay).await;
            if !self.stuck {
                context.ready();
            }
            let end = match self.deaf {
                true => context.stopping(),
                false => context.draining(),
            };
            let mut is_ready = true;
            loop {
                tokio::select! {
                    () = self.says.notified() => {
                        is_ready = !is_ready;
                        match is_ready {
                            true => context.ready(),
                            false => context.not_ready("it is moved"),
                        }
                    }
                    () = self.fail.cancelled() => return Err(Failure::message("it broke")),
                    () = end.cancelled() => return Ok(()),
                    lost = context.lost_changed() => {
                        let lost = format!("{lost:?}");
                        self.lost.lock().expect("nobody panicked").push(lost);
                    }
                }
            }
        })
    }

    fn check(&self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async {
            match self.sick.load(Ordering::Relaxed) {
                true => Err(Failure::message("a fever")),
                false => Ok(()),
            }
        })
    }
}

fn after(millis: u64) -> Told {
    Told {
        delay: Duration::from_millis(millis),
        ..Told::default()
    }
}

struct House {
    patterns: IntegrationPatterns,
    states: Subscriber<ServiceLifecycle>,
}

impl House {
    fn of(services: Services) -> Self {
        let bus = Arc::new(LocalBus::new());
        let states = bus.subscribe(&SERVICE_LIFECYCLE).expect("it is open");
        let patterns = IntegrationPatterns::new(bus);
        patterns.register(services).expect("it is the first");
        Self { patterns, states }
    }

    async fn enable(&self) -> Result<(), String> {
        let enabled = self.patterns.enable("service-lifecycle").await;
        enabled.map(|_| ()).map_err(|error| error.to_string())
    }

    async fn disable(&self) -> bool {
        let report = self.patterns.disable("service-lifecycle", SOON).await;
        report.expect("it is there").is_complete()
    }

    fn state(&self) -> PatternState {
        let handle = self.patterns.handle("service-lifecycle");
        handle.expect("it is there").state()
    }

    /// The states that came and were not taken yet.
    fn told(&mut self) -> Vec<String> {
        let told = std::iter::from_fn(|| self.states.try_recv().ok().map(|event| text(&event)));
        told.collect()
    }

    async fn next(&mut self) -> String {
        text(&within(self.states.recv()).await.expect("the bus is open"))
    }
}

fn text(event: &ServiceLifecycle) -> String {
    let state = match &event.state {
        ServiceState::Starting => "starting".to_owned(),
        ServiceState::Ready { .. } => "ready".to_owned(),
        ServiceState::Draining => "draining".to_owned(),
        ServiceState::Unhealthy { answer } => format!("unhealthy: {answer}"),
        ServiceState::NotReady { answer } => answer.clone(),
        ServiceState::DependencyLost { dependency, .. } => format!("lost {dependency}"),
        ServiceState::DependencyBack { dependency } => format!("back {dependency}"),
        ServiceState::Failed { error } => format!("failed: {error}"),
        ServiceState::Ended { asked, .. } => format!("ended, asked: {asked}"),
        other => format!("{other:?}"),
    };
    format!("{} {state}", event.service)
}

#[tokio::test(start_paused = true)]
async fn services_start_in_the_order_of_their_needs_and_stop_in_reverse() {
    let services = Services::new(ServicesConfig::default())
        .add("database", [], after(30))
        .unwrap()
        .add("cache", [], after(10))
        .unwrap()
        .add("api", ["database", "cache"], after(5))
        .unwrap();
    let mut house = House::of(services);
    for _ in 0..2 {
        house.enable().await.unwrap();
        let told = house.told();
        assert_eq!(
            told,
            [
                "database starting",
                "cache starting",
                "cache ready",
                "database ready",
                "api starting",
                "api ready",
            ]
        );
        assert_eq!(house.state(), PatternState::Running);
        assert!(house.disable().await);
        let told = house.told();
        assert_eq!(told[..2], ["api draining", "api ended, asked: true"]);
        assert_eq!(told.len(), 6, "{told:?}");
        assert!(told[2..].iter().all(|one| !one.starts_with("api")));
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_become_ready_stops_the_others_and_is_named() {
    let stuck = Told {
        stuck: true,
        ..Told::default()
    };
    let services = Services::new(ServicesConfig::default())
        .add("database", [], after(1))
        .unwrap()
        .add("cache", [], stuck)
        .unwrap()
        .add("api", ["cache"], after(1))
        .unwrap();
    let mut house = House::of(services);
    let error = house.enable().await.unwrap_err();
    let text =
        "pattern `service-lifecycle` was not started: service `cache`: not ready within 30 s";
    assert_eq!(error, text);
    let told = house.told();
    assert!(
        told.contains(&"cache not ready within 30 s".to_owned()),
        "{told:?}"
    );
    assert!(told.contains(&"database draining".to_owned()), "{told:?}");
    assert!(
        told.contains(&"database ended, asked: true".to_owned()),
        "{told:?}"
    );
    assert!(!told.iter().any(|one| one.starts_with("api")), "{told:?}");
    assert_eq!(house.state(), PatternState::Disabled);
}

/// A service that says it is ready, and after this time that it is not, and ends when it is stopped.
struct Fading(Duration);

impl ManagedService for Fading {
    fn run(&self, context: ServiceContext) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            context.ready();
            coord_bus::time::sleep(self.0).await;
            context.not_ready("it is moved");
            context.draining().cancelled().await;
            Ok(())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_well_by_the_time_that_the_others_are_ready_does_not_hold_them_up() {
    let services = Services::new(ServicesConfig::default())
        .add("a", [], Fading(Duration::from_secs(20)))
        .unwrap()
        .add("b", [], after(25_000))
        .unwrap();
    let house = House::of(services);
    let begun = coord_bus::time::Instant::now();
    within(house.enable()).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 25);
    assert_eq!(
        house.state().to_string(),
        "degraded: service `a`: unhealthy: it is moved"
    );
    assert!(house.disable().await);
}

#[tokio::test(start_paused = true)]
async fn what_needs_one_that_is_not_well_waits_as_long_as_that_may_take_to_become_ready() {
    let services = Services::new(ServicesConfig::default())
        .add("a", [], Fading(Duration::from_secs(20)))
        .unwrap()
        .add("b", [], after(25_000))
        .unwrap()
        .add("c", ["a", "b"], after(1))
        .unwrap();
    let house = House::of(services);
    let begun = coord_bus::time::Instant::now();
    let error = house.enable().await.unwrap_err();
    assert_eq!(
        error,
        "pattern `service-lifecycle` was not started: service `c`: not started within 30 s: `a`, which \
         it needs, is unhealthy: it is moved"
    );
    assert_eq!(begun.elapsed().as_secs(), 55);
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_end_when_it_is_told_to_holds_up_no_failure_of_another() {
    struct Immortal;
    impl ManagedService for Immortal {
        fn run(&self, context: ServiceContext) -> BoxFuture<'_, Result<(), Failure>> {
            context.ready();
            Box::pin(std::future::pending())
        }
    }
    let stuck = Told {
        stuck: true,
        ..Told::default()
    };
    let services = Services::new(ServicesConfig::default())
        .add("a", [], Immortal)
        .unwrap()
        .add("b", [], stuck)
        .unwrap();
    let mut house = House::of(services);
    let begun = coord_bus::time::Instant::now();
    let error = house.enable().await.unwrap_err();
    assert!(
        error.ends_with("service `b`: not ready within 30 s"),
        "{error}"
    );
    // Ready, drained, and stopped.
    assert_eq!(begun.elapsed().as_secs(), 30 + 10 + 5);
    let told = house.told();
    let aborted = "a failed: aborted, as it went on for 5 s after it was told to stop";
    assert!(told.contains(&aborted.to_owned()), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn who_needs_one_that_is_not_well_or_fails_is_told() {
    let (database, api) = (Told::default(), Told::default());
    let services = Services::new(ServicesConfig::default())
        .add("database", [], database.clone())
        .unwrap()
        .add("api", ["database"], api.clone())
        .unwrap();
    let mut house = House::of(services);
    house.enable().await.unwrap();
    house.told();

    database.sick.store(true, Ordering::Relaxed);
    assert_eq!(house.next().await, "database unhealthy: a fever");
    assert_eq!(house.next().await, "api lost database");
    let degraded = "degraded: service `database`: unhealthy: a fever";
    assert_eq!(house.state().to_string(), degraded);

    database.sick.store(false, Ordering::Relaxed);
    assert_eq!(house.next().await, "database ready");
    assert_eq!(house.next().await, "api back database");
    assert_eq!(house.state(), PatternState::Running);

    database.fail.cancel();
    assert_eq!(house.next().await, "database failed: it broke");
    assert_eq!(house.next().await, "database ended, asked: false");
    assert_eq!(house.next().await, "api lost database");
    assert_eq!(
        house.state().to_string(),
        "degraded: service `database`: it broke"
    );
    assert!(house.disable().await);
    assert_eq!(house.told(), ["api draining", "api ended, asked: true"]);
    let lost = api.lost.lock().unwrap();
    let sick = r#"{"database": "unhealthy: a fever"}"#;
    assert_eq!(*lost, [sick, "{}", r#"{"database": "it broke"}"#]);
}

#[tokio::test(start_paused = true)]
async fn who_needs_one_that_says_it_is_not_ready_is_told_until_it_is() {
    let (database, api) = (Told::default(), Told::default());
    let services = Services::new(ServicesConfig::default())
        .add("database", [], database.clone())
        .unwrap()
        .add("api", ["database"], api.clone())
        .unwrap();
    let mut house = House::of(services);
    house.enable().await.unwrap();
    house.told();
    for _ in 0..2 {
        database.says.notify_one();
        assert_eq!(house.next().await, "database unhealthy: it is moved");
        assert_eq!(house.next().await, "api lost database");
        let degraded = "degraded: service `database`: unhealthy: it is moved";
        assert_eq!(house.state().to_string(), degraded);
        // It is not checked while it says so itself.
        database.sick.store(true, Ordering::Relaxed);
        coord_bus::time::sleep(SOON).await;
        assert_eq!(house.told(), [""; 0]);
        database.sick.store(false, Ordering::Relaxed);

        database.says.notify_one();
        assert_eq!(house.next().await, "database ready");
        assert_eq!(house.next().await, "api back database");
        assert_eq!(house.state(), PatternState::Running);
    }
    // Not ready, it is drained as any other.
    database.says.notify_one();
    assert_eq!(house.next().await, "database unhealthy: it is moved");
    assert!(house.disable().await);
    let told = house.told();
    assert_eq!(told.last().unwrap(), "database ended, asked: true");
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_drain_in_time_is_told_to_stop() {
    let deaf = Told {
        deaf: true,
        ..Told::default()
    };
    let services = Services::new(ServicesConfig::default()).add("deaf", [], deaf);
    let house = House::of(services.unwrap());
    house.enable().await.unwrap();
    let begun = coord_bus::time::Instant::now();
    assert!(house.disable().await);
    assert_eq!(begun.elapsed().as_secs(), 10);
}

#[tokio::test]
async fn a_process_has_its_own_grace_and_not_the_time_of_others_to_drain() {
    let bus = LocalBus::new();
    let runner = ServiceRunner::new(&bus, ProcessRunner::new(&bus).unwrap()).unwrap();
    let lines = "trap 'sleep 0.2; echo finished; exit 0' TERM; echo listening; while :; do sleep 0.01; done";
    let spec = ServiceSpec::new(ProcessSpec::shell("database", lines));
    let spec = spec.ready(Probe::new(Check::log("^listening").unwrap()));
    let mut config = ServicesConfig::default();
    config.drain_within = Duration::from_millis(1);
    let services = Services::new(config)
        .add("database", [], ProcessService::new(runner, spec))
        .unwrap();
    let mut output = bus.subscribe(&PROCESS_OUTPUT).unwrap();
    let patterns = IntegrationPatterns::new(Arc::new(bus));
    patterns.register(services).unwrap();
    within(patterns.enable("service-lifecycle")).await.unwrap();
    let disabled = within(patterns.disable("service-lifecycle", SOON)).await;
    assert!(disabled.unwrap().is_complete());
    let lines = std::iter::from_fn(|| output.try_recv().ok().map(|event| event.line.clone()));
    assert_eq!(lines.last().unwrap(), "finished");
}

#[tokio::test]
async fn a_process_and_a_part_of_the_program_need_each_other_alike() {
    let bus = LocalBus::new();
    let runner = ServiceRunner::new(&bus, ProcessRunner::new(&bus).unwrap()).unwrap();
    let process = ProcessSpec::shell("database", "echo listening; exec sleep 1000");
    let spec = ServiceSpec::new(process).ready(Probe::new(Check::log("^listening").unwrap()));
    let services = Services::new(ServicesConfig::default())
        .add("database", [], ProcessService::new(runner, spec))
        .unwrap()
        .add("api", ["database"], Told::default())
        .unwrap();
    let mut states = bus.subscribe(&SERVICE_LIFECYCLE).unwrap();
    let patterns = IntegrationPatterns::new(Arc::new(bus));
    patterns.register(services).unwrap();
    within(patterns.enable("service-lifecycle")).await.unwrap();
    let report = within(patterns.disable("service-lifecycle", SOON))
        .await
        .unwrap();
    assert!(report.is_complete());
    let told = std::iter::from_fn(|| states.try_recv().ok().map(|event| text(&event)));
    let told: Vec<_> = told.collect();
    assert_eq!(
        told,
        [
            "database starting",
            "database ready",
            "api starting",
            "api ready",
            "api draining",
            "api ended, asked: true",
            "database draining",
            "database ended, asked: true",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn checks_without_a_time_between_them_keep_it_from_starting() {
    let mut config = ServicesConfig::default();
    config.check_every = Duration::ZERO;
    let services = Services::new(config).add("database", [], after(1));
    let house = House::of(services.unwrap());
    assert_eq!(
        house.enable().await.unwrap_err(),
        "pattern `service-lifecycle` was not started: `check_every` of `service-lifecycle` is 0 s: give \
         it the time from one check to the next"
    );
}

#[test]
fn what_is_needed_is_added_before_and_a_wrong_name_is_answered_with_the_nearest() {
    let services = || {
        let services = Services::new(ServicesConfig::default());
        services.add("database", [], Told::default()).unwrap()
    };
    let error = services()
        .add("api", ["datebase"], Told::default())
        .unwrap_err();
    assert!(
        error.to_string().contains("did you mean `database`?"),
        "{error}"
    );
    let services_of_run = services().add("run", [], Told::default()).unwrap();
    let error = services_of_run
        .add("api", ["rnu"], Told::default())
        .unwrap_err();
    assert!(error.to_string().contains("did you mean `run`?"), "{error}");
    let error = services().add("database", [], Told::default()).unwrap_err();
    assert!(matches!(error, ServicesError::NameTaken { .. }));
}
