//! Durable runs on a log that fails: each is seen through to its end, resumed as often as it takes.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coordination::bus::time::timeout;
use coordination::workflow::{
    Command, Durable, Retry, RunId, RunState, Status, StepContext, StepError, Workflow,
};
use fastrand::Rng;

use super::world::{CHAOS, Count, World, a_while};
use crate::stage::within;

/// What the world has seen of the runs, by run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    runs: Arc<Mutex<BTreeMap<u64, Effects>>>,
    pub(crate) begun: Count,
    pub(crate) ended: Count,
    pub(crate) failed: Count,
}

#[derive(Debug, Default)]
struct Effects {
    /// The keys under which each step was done.
    keys: HashSet<(&'static str, String)>,
    reserved: u64,
    charged: u64,
    undone: u64,
}

impl Seen {
    fn of(&self, run: u64, see: impl FnOnce(&mut Effects)) {
        let mut runs = self.runs.lock().expect("nobody panics with it");
        see(runs.entry(run).or_default());
    }
}

/// Something is reserved, which fails at first, and is undone when the charge fails for good.
fn order(seen: &Seen, chance: Rng) -> Workflow<u64, Durable> {
    let mut workflow = Workflow::durable("chaos-order");
    let input = workflow.input();
    let (of_reserve, of_undo, of_charge) = (seen.clone(), seen.clone(), seen.clone());
    let draws = Arc::new(Mutex::new(chance));
    let draw = move || draws.lock().expect("nobody panics with it").f64();
    let draw_charge = draw.clone();
    let reserved = workflow
        .step("reserve")
        .resource("till", 1)
        .retry(Retry::constant(Duration::from_millis(100)).max_attempts(50))
        .input(input)
        .compensate(move |number: Arc<u64>| {
            of_undo.of(*number, |effects| effects.undone += 1);
            async { Ok::<_, StepError>(()) }
        })
        .run_with(move |context: StepContext, number: Arc<u64>| {
            let (seen, draw) = (of_reserve.clone(), draw.clone());
            async move {
                a_while(&mut Rng::with_seed(*number), 800).await;
                if draw() < 0.3 {
                    return Err(StepError::message("nothing is left"));
                }
                let key = context.idempotency_key().to_string();
                seen.of(*number, |effects| {
                    effects.reserved += 1;
                    effects.keys.insert(("reserve", key));
                });
                Ok(*number)
            }
        });
    workflow
        .step("charge")
        .resource("till", 1)
        .retry(Retry::constant(Duration::from_millis(100)).max_attempts(2))
        .input(reserved)
        .run_with(move |context: StepContext, number: Arc<u64>| {
            let (seen, draw) = (of_charge.clone(), draw_charge.clone());
            async move {
                assert!(draw() >= 0.35, "the card reader is on fire, {CHAOS}");
                let key = context.idempotency_key().to_string();
                seen.of(*number, |effects| {
                    effects.charged += 1;
                    effects.keys.insert(("charge", key));
                });
                Ok::<_, StepError>(())
            }
        });
    workflow.build().expect("it is sound")
}

/// Starts a run every now and then, as long as there is load.
pub(crate) fn load_runs(world: &Arc<World>) -> Seen {
    let seen = Seen::default();
    let workflow = Arc::new(order(&seen, world.chance()));
    let (all, of_runs) = (seen.clone(), Arc::clone(world));
    let mut random = world.chance();
    world.scope.spawn("runs", async move {
        while of_runs.load.goes_on().await {
            let (world, workflow, seen) = (of_runs.clone(), workflow.clone(), seen.clone());
            seen.begun.one();
            let number = seen.begun.get();
            of_runs.scope.spawn("run", async move {
                see_through(&world, &workflow, number, &seen).await;
            });
            a_while(&mut random, 4_000).await;
        }
    });
    all
}

/// Sees a run through, whatever the log does, and holds what was done against how it ended.
async fn see_through(world: &World, workflow: &Workflow<u64, Durable>, number: u64, seen: &Seen) {
    let mut random = world.chance();
    let id = RunId::named(format!("order-{number}")).expect("it is a name");
    let orchestrator = world.module.orchestrator().expect("it is on");
    let status = loop {
        if let Ok(run) = orchestrator
            .start_durable(workflow, id.clone(), number)
            .await
        {
            match timeout(Duration::from_secs(60), run.outcome()).await {
                Ok(Ok(outcome)) => break outcome.status,
                Ok(Err(_)) => {}
                // It was taken up so often that it waits for a person.
                Err(_) => {
                    let state = run.view().map(|view| view.state);
                    assert_ne!(state, Some(RunState::Running), "{id} hangs");
                    let _ = run.tell(Command::Continue).await;
                }
            }
        }
        a_while(&mut random, 2_000).await;
    };
    seen.of(number, |effects| {
        assert!(effects.reserved > 0, "{id} {status}: {effects:?}");
        // However often it was done: for whoever knows the key, once.
        let keys = |step| effects.keys.iter().filter(|(of, _)| *of == step).count();
        assert_eq!(keys("reserve"), 1, "{id} {status}: {effects:?}");
        assert!(keys("charge") <= 1, "{id} {status}: {effects:?}");
        match status {
            Status::Completed => {
                assert!(effects.charged > 0, "{id}: {effects:?}");
                assert_eq!(effects.undone, 0, "{id}: {effects:?}");
            }
            _ => {
                assert!(effects.undone > 0, "{id} {status}: {effects:?}");
                seen.failed.one();
            }
        }
    });
    seen.ended.one();
}

/// That all permits are back and nothing runs: a run that needs all of them at once, on a log that is
/// well again, completes.
pub(crate) async fn check_limits(world: &World) {
    world.log.mend();
    let orchestrator = world.module.orchestrator().expect("it is on");
    assert_eq!(orchestrator.active_runs(), 0);
    let mut workflow = Workflow::durable("chaos-last");
    let last = workflow.step("last").resource("till", 2);
    last.run(async || Ok::<_, StepError>(()));
    let workflow = workflow.build().expect("it is sound");
    let id = RunId::named("last").expect("it is a name");
    let run = orchestrator.start_durable(&workflow, id, ()).await;
    let outcome = within(run.expect("the log is well").outcome()).await;
    assert_eq!(outcome.expect("the log is well").status, Status::Completed);
}
