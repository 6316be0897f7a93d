//! Limits that the steps of all runs of an orchestrator share: places, and named resources.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::LocalBus;
use coord_bus::time::{sleep, timeout};
use coord_workflow::{
    Command, Durable, Fault, Outcome, Registry, Retry, Run, Spec, Status, StepContext, StepError,
    StepSpec, Why, Workflow, WorkflowError, WorkflowOrchestrator,
};
use proptest::prelude::*;
use serde_json::Value;

const SECOND: Duration = Duration::from_secs(1);

/// What a step asks for.
type Wants = &'static [(&'static str, u32)];

const NONE: Wants = &[];

/// What is taken of each thing, the most that ever was, and who began in which order.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<SeenState>>);

#[derive(Default)]
struct SeenState {
    taken: BTreeMap<String, u32>,
    most: BTreeMap<String, u32>,
    began: Vec<String>,
}

/// Gives back what was taken when it is dropped.
struct Taken(Seen, Vec<(String, u32)>);

impl Seen {
    fn take(&self, who: &str, what: &[(&str, u32)]) -> Taken {
        let mut state = self.0.lock().unwrap();
        state.began.push(who.to_owned());
        for &(thing, count) in what {
            let taken = state.taken.entry(thing.to_owned()).or_default();
            *taken += count;
            let now = *taken;
            let most = state.most.entry(thing.to_owned()).or_default();
            *most = now.max(*most);
        }
        let taken = what
            .iter()
            .map(|(thing, count)| ((*thing).to_owned(), *count));
        Taken(self.clone(), taken.collect())
    }

    fn most(&self, thing: &str) -> u32 {
        self.0.lock().unwrap().most.get(thing).copied().unwrap_or(0)
    }

    fn began(&self) -> Vec<String> {
        self.0.lock().unwrap().began.clone()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut state = self.0.0.lock().unwrap();
        for (thing, count) in &self.1 {
            *state.taken.get_mut(thing).unwrap() -= count;
        }
    }
}

/// Steps `name0`, `name1`, … that need nothing, take this long and these resources.
fn independent(name: &'static str, seen: &Seen, takes: Duration, steps: &[Wants]) -> Workflow {
    let mut workflow = Workflow::builder(name);
    for (index, &wants) in steps.iter().enumerate() {
        let mut step = workflow.step(format!("{name}{index}"));
        for (resource, permits) in wants {
            step = step.resource(*resource, *permits);
        }
        let seen = seen.clone();
        step.run_with(move |context: StepContext| {
            let (seen, wants) = (seen.clone(), wants);
            async move {
                let _taken = seen.take(context.step(), &[&[("steps", 1)], wants].concat());
                sleep(takes).await;
                Ok::<_, StepError>(())
            }
        });
    }
    workflow.build().unwrap()
}

async fn outcomes(runs: impl IntoIterator<Item = Run>) -> Vec<Arc<Outcome>> {
    let mut outcomes = Vec::new();
    for run in runs {
        outcomes.push(run.outcome().await.unwrap());
    }
    outcomes
}

fn total(steps: usize) -> NonZeroUsize {
    NonZeroUsize::new(steps).unwrap()
}

#[tokio::test(start_paused = true)]
async fn no_more_steps_of_all_runs_run_at_once_than_the_total_and_runs_take_turns() {
    let bus = LocalBus::new();
    let builder = WorkflowOrchestrator::builder(&bus);
    let orchestrator = builder.total_concurrency(total(2)).build().unwrap();
    let seen = Seen::default();
    let a = independent("a", &seen, SECOND, &[NONE; 6]);
    let b = independent("b", &seen, SECOND, &[NONE; 4]);
    let runs = [&a, &b].map(|workflow| orchestrator.start_workflow(workflow, ()).unwrap());
    let outcomes = outcomes(runs).await;
    assert!(outcomes.iter().all(|outcome| outcome.is_completed()));
    assert_eq!(seen.most("steps"), 2);
    let ends: Vec<u64> = outcomes
        .iter()
        .map(|outcome| outcome.duration.as_secs())
        .collect();
    assert_eq!(ends.iter().max(), Some(&5));
    let order = ["a0", "a1", "a2", "b0", "a3", "b1", "a4", "b2", "a5", "b3"];
    assert_eq!(seen.began(), order);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_waits_for_a_resource_takes_no_room_in_its_run_and_is_not_called() {
    let bus = LocalBus::new();
    let builder = WorkflowOrchestrator::builder(&bus);
    let orchestrator = builder
        .concurrency(total(2))
        .resource("gpu", 1)
        .build()
        .unwrap();
    let seen = Seen::default();
    let gpu: Wants = &[("gpu", 1)];
    let workflow = independent("s", &seen, 2 * SECOND, &[gpu, gpu, NONE, NONE, gpu, NONE]);
    let outcome = orchestrator.execute_workflow(&workflow, ()).await.unwrap();
    let started: Vec<u64> = outcome
        .steps()
        .filter_map(|step| Some(step.started?.as_secs()))
        .collect();
    assert_eq!(started, [0, 2, 0, 2, 4, 4]);
    assert_eq!((seen.most("gpu"), seen.most("steps")), (1, 2));
    assert_eq!(seen.began().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_resource_is_not_passed_by_who_came_later_and_wants_less() {
    let bus = LocalBus::new();
    let builder = WorkflowOrchestrator::builder(&bus).resource("gpu", 2);
    let orchestrator = builder.resource("disk", 1).build().unwrap();
    let seen = Seen::default();
    let mut runs = Vec::new();
    let all: [(&'static str, Wants); 5] = [
        ("one", &[("gpu", 1)]),
        ("both", &[("gpu", 2)]),
        ("less", &[("gpu", 1)]),
        ("mixed", &[("disk", 1), ("gpu", 1)]),
        ("disk", &[("disk", 1)]),
    ];
    for (name, wants) in all {
        let workflow = independent(name, &seen, 10 * SECOND, &[wants]);
        runs.push(orchestrator.start_workflow(&workflow, ()).unwrap());
        sleep(SECOND).await;
    }
    let outcomes = outcomes(runs).await;
    assert_eq!(seen.began(), ["one0", "both0", "less0", "mixed0", "disk0"]);
    let ends = outcomes.iter().map(|outcome| outcome.duration.as_secs());
    assert_eq!(ends.collect::<Vec<_>>(), [10, 19, 28, 27, 36]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cancelled_gives_back_what_it_has_and_waits_no_longer() {
    let bus = LocalBus::new();
    let builder = WorkflowOrchestrator::builder(&bus).resource("gpu", 1);
    let orchestrator = builder.total_concurrency(total(1)).build().unwrap();
    let seen = Seen::default();
    let start = |name| {
        let workflow = independent(name, &seen, 1000 * SECOND, &[&[("gpu", 1)], &[("gpu", 1)]]);
        orchestrator.start_workflow(&workflow, ()).unwrap()
    };
    let [a, b, c] = ["a", "b", "c"].map(start);
    sleep(SECOND).await;
    b.cancel();
    assert_eq!(b.outcome().await.unwrap().duration.as_secs(), 1);
    assert_eq!(seen.began(), ["a0"]);
    a.cancel();
    sleep(SECOND).await;
    assert_eq!(seen.began(), ["a0", "c0"]);
    c.cancel();
    outcomes([a, c]).await;
    let after = independent("d", &seen, Duration::ZERO, &[&[("gpu", 1)]]);
    let after = timeout(SECOND, orchestrator.execute_workflow(&after, ())).await;
    assert!(after.unwrap().unwrap().is_completed());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_paused_takes_no_permit_and_no_place_until_it_goes_on() {
    let bus = LocalBus::new();
    let builder = WorkflowOrchestrator::builder(&bus).resource("gpu", 1);
    let orchestrator = builder.total_concurrency(total(2)).build().unwrap();
    let seen = Seen::default();
    let gpu: Wants = &[("gpu", 1)];
    let start = |name, steps: &[Wants]| {
        let workflow = independent(name, &seen, 10 * SECOND, steps);
        orchestrator.start_workflow(&workflow, ()).unwrap()
    };
    let a = start("a", &[gpu]);
    let b = start("b", &[gpu, NONE, NONE]);
    let c = start("c", &[gpu]);
    sleep(SECOND).await;
    assert_eq!(seen.began(), ["a0", "b1"]);
    b.tell(Command::Pause).await.unwrap();
    sleep(30 * SECOND).await;
    // Both the permit that `b0` waited for, and the place that `b` did, went on to `c`.
    assert_eq!(seen.began(), ["a0", "b1", "c0"]);
    b.tell(Command::Continue).await.unwrap();
    let outcomes = outcomes([a, b, c]).await;
    assert!(outcomes.iter().all(|outcome| outcome.is_completed()));
    assert_eq!((seen.began().len(), seen.most("gpu")), (5, 1));
}

#[tokio::test(start_paused = true)]
async fn who_asks_why_a_step_waits_is_told_the_resource_and_who_has_it() {
    let bus = LocalBus::new();
    let builder = WorkflowOrchestrator::builder(&bus);
    let orchestrator = builder
        .resource("gpu", 1)
        .resource("disk", 5)
        .build()
        .unwrap();
    let seen = Seen::default();
    let both: Wants = &[("disk", 1), ("gpu", 1)];
    let start = |name, steps: &[Wants]| {
        let workflow = independent(name, &seen, 10 * SECOND, steps);
        orchestrator.start_workflow(&workflow, ()).unwrap()
    };
    let [a, b] = [start("a", &[&[("gpu", 1)], both]), start("b", &[both])];
    sleep(SECOND).await;
    let why = |run: &Run, step: &str| run.view().unwrap().why(step).unwrap();
    assert_eq!(why(&a, "a0"), Why::Running);
    let held = why(&a, "a1");
    let Why::Permits { resources, .. } = &held else {
        panic!("{held:?}");
    };
    assert_eq!(*resources, ["gpu"]);
    let told = "it is ready, and waits for permits of `gpu`, which `a0` has";
    assert_eq!(held.to_string(), told);
    let told = why(&b, "b0").to_string();
    assert!(
        told.contains("`disk`, `gpu`, which other runs have"),
        "{told}"
    );
    outcomes([a, b]).await;
}

#[tokio::test(start_paused = true)]
async fn a_permit_is_kept_between_attempts_and_given_back_after_the_last() {
    let bus = LocalBus::new();
    let builder = WorkflowOrchestrator::builder(&bus).resource("gpu", 1);
    let orchestrator = builder.build().unwrap();
    let mut workflow = Workflow::builder("w");
    workflow
        .step("fails")
        .optional()
        .resource("gpu", 1)
        .retry(Retry::constant(5 * SECOND).max_attempts(3))
        .run(|| async { Err::<(), _>(StepError::message("no")) });
    let panics = workflow
        .step("panics")
        .optional()
        .resource("gpu", 1)
        .run(|| async { panic!("on purpose") as Result<(), StepError> });
    workflow
        .step("lacks")
        .resource("gpu", 1)
        .input(panics)
        .run(|_: Arc<()>| async { Ok::<_, StepError>(()) });
    workflow
        .step("off")
        .resource("gpu", 1)
        .when(|| false)
        .run(|| async { Ok::<_, StepError>(()) });
    workflow
        .step("last")
        .resource("gpu", 1)
        .run(|| async { Ok::<_, StepError>(()) });
    let workflow = workflow.build().unwrap();
    let outcome = orchestrator.execute_workflow(&workflow, ()).await.unwrap();
    assert!(outcome.is_completed());
    let started = outcome.step("last").unwrap().started.unwrap();
    assert_eq!(started.as_secs(), 10);
}

#[tokio::test]
async fn a_resource_that_is_not_there_or_not_enough_is_told_before_anything_begins() {
    let bus = LocalBus::new();
    let builder = WorkflowOrchestrator::builder(&bus).resource("gpu", 2);
    let orchestrator = builder.build().unwrap();
    let seen = Seen::default();
    let steps: &[Wants] = &[&[("gpu", 2)], &[("gpu", 3)], &[("gpus", 1)], &[("disk", 0)]];
    let workflow = independent("w", &seen, SECOND, steps);
    let error = orchestrator.start_workflow(&workflow, ()).unwrap_err();
    let text = "workflow `w` was not started: step \"w1\" asks for 3 of the resource \"gpu\", of which \
                there are 2: ask for less, or give the orchestrator more; step \"w2\" asks for the \
                resource \"gpus\", which the orchestrator does not have; did you mean \"gpu\"?";
    assert_eq!(error.to_string(), text);
    let WorkflowError::Resources { faults, .. } = error else {
        panic!("{error:?}");
    };
    let [
        Fault::TooMuchOfResource { step: 1, .. },
        Fault::UnknownResource { step: 2, .. },
    ] = faults.0[..]
    else {
        panic!("{faults:?}");
    };
    assert_eq!(orchestrator.active_runs(), 0);
    assert!(seen.began().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_step_of_a_spec_asks_for_resources_too() {
    let bus = LocalBus::new();
    let builder = WorkflowOrchestrator::builder(&bus).resource("gpu", 3);
    let orchestrator = builder.build().unwrap();
    let registry = Registry::new().handler("wait", async |_| {
        sleep(SECOND).await;
        Ok(Value::Null)
    });
    let two = NonZeroU32::new(2).unwrap();
    let step = |id| StepSpec::new(id, "wait").resource("gpu", two);
    let spec = Spec::new("w").step(step("a")).step(step("b"));
    let text = serde_json::to_string(&spec).unwrap();
    assert_eq!(serde_json::from_str::<Spec>(&text).unwrap(), spec);
    let workflow = registry.workflow(spec).unwrap();
    let outcome = orchestrator.execute_workflow(&workflow, ()).await.unwrap();
    assert_eq!(outcome.duration.as_secs(), 2);
}

#[derive(Debug, Clone)]
struct Shape {
    needs: u8,
    gpu: u32,
    disk: u32,
    takes: u64,
    fails: bool,
    /// How many attempts fail before that.
    failures: u32,
    /// It only waits, and takes no place.
    sleeps: bool,
}

fn run_shape() -> impl Strategy<Value = (Vec<Shape>, u64, Option<u64>)> {
    let step = (
        any::<u8>(),
        0..3_u32,
        0..4_u32,
        0..20_u64,
        prop::bool::weighted(0.1),
        (0..3_u32, prop::bool::weighted(0.2)),
    );
    let step = step.prop_map(
        |(needs, gpu, disk, takes, fails, (failures, sleeps))| Shape {
            needs: needs & needs.rotate_left(3),
            gpu,
            disk,
            takes,
            fails,
            failures,
            sleeps,
        },
    );
    let cancel_after = prop::option::weighted(0.3, 0..60_u64);
    (prop::collection::vec(step, 1..8), 0..30_u64, cancel_after)
}

fn shaped(shapes: &[Shape], limit: usize, seen: &Seen) -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("shaped").concurrency(total(limit));
    let mut handles = Vec::new();
    for (index, shape) in shapes.iter().cloned().enumerate() {
        let mut step = workflow
            .step(format!("s{index}"))
            .resource("gpu", shape.gpu)
            .resource("disk", shape.disk);
        for (need, handle) in handles.iter().enumerate() {
            if shape.needs & (1 << need) != 0 {
                step = step.after(handle);
            }
        }
        if shape.sleeps {
            handles.push(step.sleep(Duration::from_millis(shape.takes)));
            continue;
        }
        let seen = seen.clone();
        let retry = Retry::constant(Duration::from_millis(shape.takes / 2)).max_attempts(3);
        handles.push(step.retry(retry).run_with(move |context: StepContext| {
            let (seen, shape) = (seen.clone(), shape.clone());
            async move {
                let wants = [("steps", 1), ("gpu", shape.gpu), ("disk", shape.disk)];
                let _taken = seen.take("", &wants);
                if shape.takes > 0 {
                    sleep(Duration::from_millis(shape.takes)).await;
                }
                match shape.fails || context.attempt() <= shape.failures {
                    true => Err(StepError::message("it was to fail")),
                    false => Ok(()),
                }
            }
        }));
    }
    workflow.build().unwrap()
}

proptest! {
    #[test]
    fn whatever_runs_and_is_cancelled_no_limit_is_passed_and_everything_is_given_back(
        runs in prop::collection::vec(run_shape(), 1..6),
        places in prop::option::of(1..5_usize),
        limit in 1..4_usize,
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let bus = LocalBus::new();
            let mut builder = WorkflowOrchestrator::builder(&bus).resource("gpu", 2).resource("disk", 3);
            if let Some(places) = places {
                builder = builder.total_concurrency(total(places));
            }
            let orchestrator = builder.build().unwrap();
            let seen = Seen::default();
            let mut started = Vec::new();
            for (shapes, wait, cancel_after) in &runs {
                sleep(Duration::from_millis(*wait)).await;
                let run = orchestrator.start_workflow(&shaped(shapes, limit, &seen), ()).unwrap();
                started.push((run, cancel_after));
            }
            for (run, cancel_after) in &started {
                if let Some(wait) = cancel_after {
                    sleep(Duration::from_millis(*wait)).await;
                    run.cancel();
                }
            }
            for ((run, cancel_after), (shapes, ..)) in started.iter().zip(&runs) {
                // A step that nobody gives its permits would keep it for ever.
                let outcome = timeout(60 * SECOND, run.outcome()).await.expect("it ends").unwrap();
                let is_untroubled = cancel_after.is_none() && !shapes.iter().any(|shape| shape.fails);
                assert!(!is_untroubled || outcome.status == Status::Completed);
            }
            assert!(seen.most("gpu") <= 2 && seen.most("disk") <= 3);
            assert!(places.is_none_or(|places| seen.most("steps") as usize <= places));
            // All of everything is there at once.
            let all: &[Wants] = &[&[("gpu", 2), ("disk", 3)]];
            let mut probes = vec![independent("probe", &seen, SECOND, all)];
            probes.extend((1..places.unwrap_or(1)).map(|_| independent("p", &seen, SECOND, &[NONE])));
            let probes: Vec<Run> =
                probes.iter().map(|probe| orchestrator.start_workflow(probe, ()).unwrap()).collect();
            for probe in probes {
                let outcome = probe.outcome().await.unwrap();
                assert_eq!(outcome.duration.as_secs(), 1);
            }
        });
    }
}

#[test]
fn limits_hold_where_runs_are_on_several_threads() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(4).enable_time().build().unwrap();
    runtime.block_on(async {
        let bus = LocalBus::new();
        let builder = WorkflowOrchestrator::builder(&bus)
            .resource("gpu", 2)
            .resource("disk", 3);
        let orchestrator = builder.total_concurrency(total(4)).build().unwrap();
        let seen = Seen::default();
        let shapes: Vec<Shape> = (0..8_u8)
            .map(|index| Shape {
                needs: index & 0b101,
                gpu: u32::from(index % 3),
                disk: u32::from(index % 4),
                takes: 0,
                fails: false,
                failures: u32::from(index % 5 == 1),
                sleeps: false,
            })
            .collect();
        let start = |limit: usize| orchestrator.start_workflow(&shaped(&shapes, limit, &seen), ());
        let runs: Vec<Run> = (0..400).map(|run| start(run % 4 + 1).unwrap()).collect();
        let outcomes = timeout(60 * SECOND, outcomes(runs))
            .await
            .expect("none waits for ever");
        assert!(outcomes.iter().all(|outcome| outcome.is_completed()));
        assert!(seen.most("gpu") <= 2 && seen.most("disk") <= 3 && seen.most("steps") <= 4);
        let attempts: u32 = shapes.iter().map(|shape| 1 + shape.failures).sum();
        assert_eq!(seen.began().len(), 400 * attempts as usize);
    });
}
