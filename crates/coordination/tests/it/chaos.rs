//! Chaos: all parts at once for minutes, under faults that are drawn from a seed. At the end every
//! account is even, health has told the truth, and nothing is left.
//!
//! A run that fails prints its seed. `CHAOS_SEED=17 cargo nextest run -p coordination chaos` runs that
//! one again, on each carrier.

mod unreliable;
mod world;
mod events;
mod runs;
mod survivors;

use std::collections::BTreeSet;
use std::sync::{Arc, Once};
use std::time::Duration;

use coordination::bus::time::sleep;
use coordination::{HealthStatus, SystemHealth};
use tokio::sync::watch;

use crate::stage::no_task_is_left;
use events::Events;
use runs::Seen;
use survivors::{Calls, Children, Mood, Moody};
use world::{CHAOS, Carrier, RESULTS, World};

const ROUNDS: usize = 5;

/// Far longer than anything takes that is to come to an end.
const LONG: Duration = Duration::from_secs(20);

fn seeds() -> Vec<u64> {
    match std::env::var("CHAOS_SEED") {
        Ok(seed) => vec![seed.parse().expect("a seed is a number")],
        Err(_) => vec![1, 2],
    }
}

/// Panics that belong to the chaos are not printed: there are hundreds, each with its backtrace.
fn hush() {
    static HUSHED: Once = Once::new();
    HUSHED.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let payload = panic.payload();
            let said = payload.downcast_ref::<&str>().copied();
            let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            if !said.is_some_and(|it| it.contains(CHAOS)) {
                print(panic);
            }
        }));
    });
}

/// A run of each seed on this carrier.
#[expect(clippy::print_stdout, reason = "a run that fails is known by its seed")]
fn runs_on(carrier: Carrier) {
    hush();
    for seed in seeds() {
        println!("CHAOS_SEED={seed}, {carrier:?}");
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build();
        runtime.unwrap().block_on(run(seed, carrier));
    }
}

#[test]
fn all_parts_survive_chaos_in_memory() {
    runs_on(Carrier::Memory);
}

#[test]
fn all_parts_survive_chaos_where_events_are_late() {
    runs_on(Carrier::Late);
}

#[test]
fn all_parts_survive_chaos_where_events_are_lost_and_doubled() {
    runs_on(Carrier::Lossy);
}

async fn run(seed: u64, carrier: Carrier) {
    let world = Arc::new(World::new(seed, carrier));
    let events = world.load_events();
    let children = Children::start(&world);
    let calls = Calls::start(&world);
    let seen = runs::load_runs(&world);
    let mood = watch::Sender::new(Mood::Well);
    let patterns = world.module.patterns().unwrap();
    patterns.register(Moody(mood.clone())).unwrap();
    patterns.enable("moody").await.unwrap();

    let mut chance = world.chance();
    let mut topics = BTreeSet::new();
    for round in 0..ROUNDS {
        world.load.set(true);
        sleep(Duration::from_secs(chance.u64(20..40))).await;
        match chance.u8(0..4) {
            0 => stalled(&world).await,
            1 => degraded(&world, &mood).await,
            2 => failed(&world, &mood).await,
            _ => {}
        }
        is_calm(&world).await;
        let now: BTreeSet<_> = world.bus.stats().into_iter().map(|it| it.topic).collect();
        // After the first round there is no topic that was not there before.
        assert!(round == 0 || now.is_subset(&topics), "{now:?}");
        topics.extend(now);
    }
    world.load.end();
    ends_well(&world, &events, &seen).await;
    children.check(&world, carrier).await;
    calls.check().await;
    drop((children, calls));
    leaves_nothing(world).await;
}

fn health(world: &World) -> SystemHealth {
    world.module.system_health()
}

/// Who reads the results does not: those who publish wait, and the health says so until it goes on.
async fn stalled(world: &World) {
    world.load.stall(true);
    sleep(LONG).await;
    let told = health(world);
    let reason = format!("topic `{}` is full", RESULTS.name());
    assert_eq!(told.status, HealthStatus::Degraded, "{told}");
    assert!(told.to_string().contains(&reason), "{told}");
    world.load.stall(false);
}

async fn degraded(world: &World, mood: &watch::Sender<Mood>) {
    is_calm(world).await;
    mood.send_replace(Mood::Degraded);
    sleep(LONG).await;
    let told = health(world);
    let reason = "degraded: pattern `moody`: it has a headache";
    assert_eq!(told.to_string(), reason);
    mood.send_replace(Mood::Well);
}

async fn failed(world: &World, mood: &watch::Sender<Mood>) {
    is_calm(world).await;
    mood.send_replace(Mood::Failed);
    sleep(LONG).await;
    let told = health(world);
    let reason = "unhealthy: pattern `moody`: it has had enough";
    assert_eq!(told.to_string(), reason);
    let patterns = world.module.patterns().unwrap();
    let report = patterns.disable("moody", LONG).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    mood.send_replace(Mood::Well);
    patterns.enable("moody").await.unwrap();
}

/// Without load, it is well, and has nothing to say.
async fn is_calm(world: &World) {
    world.load.set(false);
    sleep(LONG).await;
    let told = health(world);
    assert_eq!(told.to_string(), "healthy");
    assert_eq!(told.active_patterns, 1);
}

/// All that was begun has ended, and is accounted for.
async fn ends_well(world: &World, events: &Events, seen: &Seen) {
    for _ in 0..20 {
        if seen.ended.get() < seen.begun.get() {
            sleep(LONG).await;
        }
    }
    assert_eq!(seen.ended.get(), seen.begun.get());
    assert!(seen.begun.get() > 20 && seen.failed.get() > 0);
    assert!(world.log.failed() > 0);
    runs::check_limits(world).await;
    world.check_events(events);
    world.check_lossy(events);
}

/// The module is shut down and the bus closed: no task is left, and nobody at any topic.
async fn leaves_nothing(world: Arc<World>) {
    let account = world.module.shutdown(LONG).await;
    assert!(account.is_complete(), "{account}");
    assert_eq!(
        health(&world).to_string(),
        "unhealthy: the module is shut down"
    );
    let drained = world.bus.drain(LONG).await;
    assert!(drained.is_complete(), "{drained:?}");
    let report = world.scope.shutdown(LONG).await;
    assert!(
        report.aborted.is_empty() && report.panicked == 0,
        "{report:?}"
    );
    let Ok(World { module, bus, .. }) = Arc::try_unwrap(world) else {
        panic!("a task holds on to the world");
    };
    drop(module);
    for topic in bus.stats() {
        assert!(topic.subscribers.is_empty(), "{topic:?}");
        assert!(topic.publishers.is_empty(), "{topic:?}");
        assert!(topic.depth == 0 || topic.retain > 0, "{topic:?}");
        assert_eq!(topic.waiting_publishers, 0, "{topic:?}");
        assert!(topic.ledger.is_balanced(), "{topic:?}");
    }
    drop(bus);
    no_task_is_left().await;
}
