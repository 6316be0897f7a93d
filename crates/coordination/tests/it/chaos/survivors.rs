//! What is there to survive: children that fail and panic, a supervisor below another, calls under a
//! policy, and a pattern that is not always well.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use coordination::bus::time::{sleep, timeout};
use coordination::bus::vocabulary::ERROR_DETECTED;
use coordination::bus::{Backoff, BoxFuture, BusExt, Failure};
use coordination::patterns::pattern::{Pattern, PatternContext};
use coordination::recovery::policy::{BreakerState, Bulkhead, CircuitBreaker, Policy, Retry};
use coordination::recovery::{ChildContext, ChildError, ChildSpec, Guard, Supervisor};
use fastrand::Rng;
use tokio::sync::watch;

use super::world::{CHAOS, Carrier, Count, World, a_while};

const CHILDREN: usize = 4;
const PLACES: usize = 3;

/// Children of which the test knows how often they began, and failed.
pub(crate) struct Children {
    supervisor: Supervisor,
    begun: Vec<Count>,
    failed: Count,
    told: Count,
    /// All errors that were published, and of them those that the manager counts as they come.
    heard: Count,
    to_count: Count,
}

impl Children {
    pub(crate) fn start(world: &World) -> Self {
        let supervisor = Supervisor::new("chaos", &*world.bus, Arc::clone(&world.clock));
        let supervisor = supervisor.expect("the topics are free");
        let (failed, told) = (Count::default(), Count::default());
        let (heard, to_count) = (Count::default(), Count::default());
        let mut errors = world.bus.subscribe(&ERROR_DETECTED).expect("it is open");
        let (tells, hears, to_counts) = (told.clone(), heard.clone(), to_count.clone());
        world.scope.spawn("errors", async move {
            while let Some(error) = errors.recv().await {
                hears.one();
                // Else it was counted when there was no room for it.
                if error.meta().header("counted-by").is_none() {
                    to_counts.one();
                }
                if error.source.starts_with("child-") {
                    tells.one();
                }
            }
        });
        let begun = (0..CHILDREN).map(|number| {
            let begun = Count::default();
            let run = flaky(world.chance(), begun.clone(), failed.clone());
            let started = supervisor.start(spec(format!("child-{number}"), 1_000), run);
            started.expect("the name is free");
            begun
        });
        let begun = begun.collect();
        let started = supervisor.start(spec("child-pool", 1_000), pool(world, &failed));
        started.expect("the name is free");
        Self {
            supervisor,
            begun,
            failed,
            told,
            heard,
            to_count,
        }
    }

    /// Stops them, and holds what was told of them against what they did.
    pub(crate) async fn check(&self, world: &World, carrier: Carrier) {
        let report = self.supervisor.shutdown(Duration::from_secs(60)).await;
        assert!(
            report.aborted.is_empty() && report.untold == 0,
            "{report:?}"
        );
        sleep(Duration::from_secs(1)).await;
        for (number, begun) in self.begun.iter().enumerate() {
            let child = self.supervisor.child(&format!("child-{number}"));
            let restarts = child.expect("it was started").restarts();
            assert!(restarts > 3, "{}", self.supervisor);
            assert_eq!(u64::from(restarts) + 1, begun.get());
        }
        let (dropped, doubled) = match carrier {
            Carrier::Lossy => world.faults(),
            _ => (0, 0),
        };
        let (failed, told) = (self.failed.get(), self.told.get());
        assert!(told + dropped >= failed && told <= failed + doubled);
        let manager = world.module.recovery().expect("it is on");
        let statistics = manager.error_statistics();
        let (heard, counted) = (self.heard.get(), statistics.total + statistics.missed);
        assert!(statistics.total <= heard + dropped, "{statistics:?}");
        assert!(counted >= self.to_count.get(), "{statistics:?}");
        assert!(counted + doubled >= heard, "{statistics:?}");
    }
}

fn spec(name: impl Into<Box<str>>, restarts: u32) -> ChildSpec {
    ChildSpec::new(name.into())
        .backoff(Backoff::constant(Duration::from_millis(200)))
        .intensity(restarts, Duration::from_secs(5))
}

type Ran = BoxFuture<'static, Result<(), ChildError>>;

/// Lives for a while, and comes to a bad end: an error, a panic, or an end although it is to stay.
fn flaky(
    random: Rng,
    begun: Count,
    failed: Count,
) -> impl FnMut(ChildContext) -> Ran + Send + 'static {
    let random = Arc::new(Mutex::new(random));
    move |context| {
        let mut random = random.lock().expect("nobody panics with it").fork();
        let failed = failed.clone();
        begun.one();
        Box::pin(async move {
            context.ready();
            let token = context.token();
            let living = a_while(&mut random, 4_000);
            if token.run_until_cancelled(living).await.is_none() {
                return Ok(());
            }
            failed.one();
            match random.u8(0..3) {
                0 => Err(ChildError::message("the connection was lost")),
                1 => Ok(()),
                _ => panic!("a child has ended, {CHAOS}"),
            }
        })
    }
}

/// A supervisor of two of them, which soon have failed too often: then it fails, and is made anew.
fn pool(world: &World, failed: &Count) -> impl FnMut(ChildContext) -> Ran + Send + 'static {
    let (bus, clock, failed) = (world.bus.clone(), world.clock.clone(), failed.clone());
    let mut random = world.chance();
    move |context| {
        let (bus, clock, failed) = (bus.clone(), clock.clone(), failed.clone());
        let chances = [random.fork(), random.fork()];
        Box::pin(async move {
            let below = Supervisor::new("pool", &*bus, clock)?;
            for (number, chance) in chances.into_iter().enumerate() {
                let run = flaky(chance, Count::default(), failed.clone());
                below.start(spec(format!("child-below-{number}"), 2), run)?;
            }
            context.ready();
            let end = context.supervise(&below).await;
            if end.is_err() {
                failed.one();
            }
            end
        })
    }
}

/// Callers of a service that is slow, fails and hangs, and some of which do not wait for it.
pub(crate) struct Calls {
    guard: Guard<u64, Failure>,
    breaker: CircuitBreaker,
    bulkhead: Bulkhead,
    begun: Count,
    ended: Count,
}

impl Calls {
    pub(crate) fn start(world: &World) -> Self {
        let breaker = CircuitBreaker::new("prices");
        let bulkhead = Bulkhead::new(PLACES).expect("it is a limit");
        let bulkhead = bulkhead.waiting(2, Duration::from_millis(300));
        let policy = Policy::builder("prices")
            .retry(Retry::constant(Duration::from_millis(50)).max_attempts(2))
            .circuit_breaker(breaker.clone())
            .bulkhead(bulkhead.clone())
            .timeout(Duration::from_millis(500))
            .build();
        let manager = world.module.recovery().expect("it is on");
        let defaults = manager.default_patterns().expect("the names are theirs");
        let named = defaults.circuit_break("prices", &breaker);
        named.expect("there is room");
        let calls = Self {
            guard: manager.guard("prices", policy.expect("it can work")),
            breaker,
            bulkhead,
            begun: Count::default(),
            ended: Count::default(),
        };
        for _ in 0..2 * PLACES {
            calls.keep_calling(world);
        }
        calls
    }

    fn keep_calling(&self, world: &World) {
        let (load, mut random) = (world.load.clone(), world.chance());
        let (guard, begun, ended) = (self.guard.clone(), self.begun.clone(), self.ended.clone());
        world.scope.spawn("call", async move {
            while load.goes_on().await {
                begun.one();
                let patience = Duration::from_millis(random.u64(0..1_500));
                let call = guard.run(|| {
                    let mut random = random.fork();
                    async move {
                        a_while(&mut random, 700).await;
                        match random.u8(0..10) {
                            0..3 => Err(Failure::message("503")),
                            _ => Ok(1),
                        }
                    }
                });
                // Whoever does not wait drops the call where it is.
                let _ = timeout(patience, call).await;
                ended.one();
                a_while(&mut random, 500).await;
            }
        });
    }

    /// That nothing is held any more, and that the breaker closes when all is well.
    pub(crate) async fn check(&self) {
        assert_eq!(self.begun.get(), self.ended.get());
        assert!(self.begun.get() > 100);
        assert_eq!(self.bulkhead.available(), PLACES);
        assert_eq!(self.bulkhead.waiting_now(), 0);
        // It may have counted failures of the chaos for which it has not opened yet, half open or closed. So
        // many calls decide that, and leave none of them.
        for _ in 0..100 {
            let _ = self.guard.run(|| async { Ok(1) }).await;
        }
        // As long as it stays open, by default.
        sleep(Duration::from_secs(61)).await;
        for _ in 0..10 {
            let call = self.guard.run(|| async { Ok(1) }).await;
            assert!(matches!(call, Ok(1)), "{call:?}");
        }
        assert_eq!(self.breaker.state(), BreakerState::Closed);
    }
}

/// How a pattern is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mood {
    Well,
    Degraded,
    Failed,
}

/// A pattern that is as it is told to be.
pub(crate) struct Moody(pub(crate) watch::Sender<Mood>);

impl Pattern for Moody {
    fn name(&self) -> &str {
        "moody"
    }

    fn start(&self, context: PatternContext) -> BoxFuture<'_, Result<(), Failure>> {
        let mut mood = self.0.subscribe();
        Box::pin(async move {
            let of_task = context.clone();
            context.spawn("feel", async move {
                let feeling = async {
                    while mood.changed().await.is_ok() {
                        match *mood.borrow() {
                            Mood::Well => of_task.recovered(),
                            Mood::Degraded => of_task.degraded("it has a headache"),
                            Mood::Failed => of_task.failed("it has had enough"),
                        }
                    }
                };
                of_task.token().run_until_cancelled(feeling).await;
            });
            Ok(())
        })
    }
}
