//! Crashes at every record: the journal stops taking any, the run is resumed, and nothing that was
//! kept is lost or done twice.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::sleep;
use coord_bus::{AppendTo, Appended, BoxFuture, EventLog, EventLogError, EventLogProxy, Record};
use coord_workflow::{
    DEFAULT_LEASE_TTL, Durable, Outcome, Retry, RunId, Step, StepContext, StepError, Workflow,
    WorkflowError,
};
use proptest::prelude::*;

use crate::durable::Machine;

/// A log that takes some appends, and then refuses every one.
pub(crate) struct Failing {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) left: AtomicUsize,
}

impl EventLogProxy for Failing {
    fn log(&self) -> &dyn EventLog {
        &*self.log
    }

    fn on_append(&self, append: AppendTo) -> BoxFuture<'_, Result<Appended, EventLogError>> {
        let take = |left: usize| left.checked_sub(1);
        let taken = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
        match taken {
            Ok(_) => self.log.append(append),
            Err(_) => Box::pin(async { Err(EventLogError::Closed) }),
        }
    }
}

#[derive(Debug, Clone)]
struct Shape {
    /// Which earlier steps it takes as input: by bit.
    inputs: u16,
    takes_ms: u64,
    failures: u32,
    max_attempts: u32,
    optional: bool,
    when: Option<bool>,
    can_be_undone: bool,
}

fn shape() -> impl Strategy<Value = Shape> {
    let failures = prop_oneof![4 => Just(0), 1 => 1..3_u32];
    (
        (any::<u16>(), 0..20_u64, failures, 1..4_u32),
        prop::bool::weighted(0.3),
        prop::option::weighted(0.2, any::<bool>()),
        any::<bool>(),
    )
        .prop_map(
            |((inputs, takes_ms, failures, max_attempts), optional, when, undo)| Shape {
                inputs: inputs & inputs.rotate_left(5),
                takes_ms,
                failures,
                max_attempts,
                optional,
                when,
                can_be_undone: undo,
            },
        )
}

/// What the world has seen of a run: by each step, how often it began and ended, and was undone.
#[derive(Debug, Clone, Default)]
struct World(Arc<Mutex<Vec<(String, usize)>>>);

impl World {
    fn see(&self, what: impl Into<String>, step: usize) {
        self.0.lock().unwrap().push((what.into(), step));
    }

    fn count(&self, what: &str, step: usize) -> usize {
        let seen = self.0.lock().unwrap();
        seen.iter()
            .filter(|seen| seen.0 == what && seen.1 == step)
            .count()
    }
}

fn build(shapes: &[Shape], world: &World) -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("crashing");
    let mut handles: Vec<Step<usize>> = Vec::new();
    for (index, shape) in shapes.iter().cloned().enumerate() {
        let inputs = (0..index).filter(|input| shape.inputs & (1 << input) != 0);
        let inputs: Vec<_> = inputs.map(|input| handles[input]).collect();
        let retry = Retry::constant(Duration::from_millis(3)).max_attempts(shape.max_attempts);
        let mut step = workflow
            .step(format!("s{index}"))
            .retry(retry)
            .input(inputs);
        if shape.optional {
            step = step.optional();
        }
        if let Some(answer) = shape.when {
            step = step.when(move |_| answer);
        }
        let seen = world.clone();
        let work = move |context: StepContext, inputs: Vec<Arc<usize>>| {
            let seen = seen.clone();
            seen.see(format!("begin {}", context.attempt()), index);
            async move {
                if shape.takes_ms > 0 {
                    sleep(Duration::from_millis(shape.takes_ms)).await;
                }
                if context.attempt() <= shape.failures {
                    return Err(StepError::message("it was to fail"));
                }
                seen.see("end", index);
                Ok(index + inputs.into_iter().map(|input| *input).sum::<usize>())
            }
        };
        let undone = world.clone();
        handles.push(match shape.can_be_undone {
            false => step.run_with(work),
            true => step
                .compensate(move |_| {
                    undone.see("undo", index);
                    async { Ok::<_, StepError>(()) }
                })
                .run_with(work),
        });
    }
    workflow.build().unwrap()
}

/// The run, crashed after so many appends of each of its processes; with how many there were.
async fn run(shapes: &[Shape], crashes: &[usize]) -> (Arc<Outcome>, World, usize) {
    let machine = Machine::new();
    let world = World::default();
    let workflow = build(shapes, &world);
    let id = RunId::named("a").unwrap();
    for &left in crashes {
        let log = Arc::new(Failing {
            log: Arc::clone(&machine.log),
            left: AtomicUsize::new(left),
        });
        let process = machine.with_log(log).process();
        if let Ok(run) = process.start_durable(&workflow, id.clone(), ()).await {
            let _ = run.outcome().await;
        }
        drop(process);
        sleep(DEFAULT_LEASE_TTL).await;
    }
    let log = Arc::new(Failing {
        log: Arc::clone(&machine.log),
        left: AtomicUsize::new(usize::MAX),
    });
    let counted = Arc::clone(&log);
    let process = machine.with_log(log).process();
    let run = process.start_durable(&workflow, id, ()).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    let appends = usize::MAX - counted.left.load(Ordering::SeqCst);
    (outcome, world, appends)
}

pub(crate) fn paused<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    runtime.unwrap().block_on(future)
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_journal_failed_is_resumed_where_it_was_once_that_is_well_again() {
    let machine = Machine::new();
    let log = Arc::new(Failing {
        log: Arc::clone(&machine.log),
        left: AtomicUsize::new(2),
    });
    let process = machine
        .with_log(Arc::clone(&log) as Arc<dyn EventLog>)
        .process();
    let (world, id) = (World::default(), RunId::named("a").unwrap());
    let workflow = build(&chain(0), &world);
    let run = process
        .start_durable(&workflow, id.clone(), ())
        .await
        .unwrap();
    let failed = run.outcome().await;
    assert!(
        matches!(failed, Err(WorkflowError::Journal { .. })),
        "{failed:?}"
    );
    let refused = process.resume_run(&workflow, &id).await;
    assert!(
        matches!(refused, Err(WorkflowError::Journal { .. })),
        "{refused:?}"
    );
    log.left.store(usize::MAX, Ordering::SeqCst);
    // In the same process, whose own the run still is.
    let run = process.resume_run(&workflow, &id).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(world.count("end", 0), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_lost_to_somebody_else_takes_no_other_with_it() {
    let machine = Machine::new();
    let process = machine.process();
    let workflow = build(&chain(0), &World::default());
    let start = |id| process.start_durable(&workflow, RunId::named(id).unwrap(), ());
    let (lost, other) = (start("lost").await.unwrap(), start("other").await.unwrap());
    let owner = r#"{"lease":"another","token":7,"holder":"somebody else"}"#;
    let claim = AppendTo::stream("run.lost").record(Record::new("run-claimed", owner));
    machine.log.append(claim).await.unwrap();
    let taken_over = lost.outcome().await;
    assert!(
        matches!(taken_over, Err(WorkflowError::TakenOver { .. })),
        "{taken_over:?}"
    );
    assert!(other.outcome().await.unwrap().is_completed());
    let next = start("next").await.unwrap();
    assert!(next.outcome().await.unwrap().is_completed());
}

/// Where a run is not timed, which of two steps ends first is not said: only what each comes to.
fn states(outcome: &Outcome) -> Vec<(String, u32)> {
    let steps = outcome.steps();
    let states = steps.map(|step| (format!("{:?}", step.state), step.attempts));
    states.collect()
}

fn check(shapes: &[Shape], crashes: &[usize], disturbed: &(Arc<Outcome>, World, usize)) {
    let (outcome, world, _) = disturbed;
    for (index, step) in outcome.steps().enumerate() {
        let ends = world.count("end", index);
        let told = matches!(step.state, coord_workflow::StepState::Completed);
        assert!(
            !told || ends > 0,
            "s{index} completed without an end: {crashes:?}"
        );
        // It ends once, and once more for each process that could not say so.
        assert!(
            ends <= 1 + crashes.len(),
            "s{index} ended {ends} times: {crashes:?}"
        );
        let may_be_undone = told && !outcome.is_completed() && shapes[index].can_be_undone;
        let undone = world.count("undo", index);
        assert_eq!(undone > 0, may_be_undone, "s{index}: {undone}, {crashes:?}");
        for attempt in 1..=step.attempts {
            let begun = world.count(&format!("begin {attempt}"), index);
            assert!(begun > 0, "attempt {attempt} at s{index} never began");
        }
        assert!(step.attempts <= shapes[index].max_attempts);
    }
}

/// Five steps, each after the other, the last of which fails so often.
fn chain(failing: u32) -> Vec<Shape> {
    let steps = (0..5).map(|step| Shape {
        inputs: if step > 0 { 1 << (step - 1) } else { 0 },
        takes_ms: 1,
        failures: if step == 4 { failing } else { 0 },
        max_attempts: 2,
        optional: false,
        when: None,
        can_be_undone: true,
    });
    steps.collect()
}

#[test]
fn a_run_that_crashes_at_any_append_comes_to_the_same_end() {
    // One that completes, one with another attempt, one that fails and is undone.
    for failing in [0, 1, 2] {
        let shapes = chain(failing);
        let (undisturbed, world, appends) = paused(run(&shapes, &[]));
        assert!(appends >= 6);
        for step in 0..5 {
            assert!(world.count("end", step) <= 1);
        }
        for crash in 0..appends {
            let disturbed = paused(run(&shapes, &[crash]));
            assert_eq!(disturbed.0.status, undisturbed.status, "crash at {crash}");
            assert_eq!(
                states(&disturbed.0),
                states(&undisturbed),
                "crash at {crash}"
            );
            check(&shapes, &[crash], &disturbed);
            // Of a chain, at most one step was under way, or could not say that it is done.
            let ends: usize = (0..5).map(|step| disturbed.1.count("end", step)).sum();
            let expected: usize = (0..5).map(|step| world.count("end", step)).sum();
            assert!(ends <= expected + 1, "{ends} ends, {expected} expected");
            let undos = (0..5)
                .map(|step| disturbed.1.count("undo", step))
                .sum::<usize>();
            let expected = (0..5).map(|step| world.count("undo", step)).sum::<usize>();
            assert!(undos <= expected + 1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_run_that_crashes_anywhere_any_number_of_times_still_ends_well(
        shapes in prop::collection::vec(shape(), 1..10),
        crashes in prop::collection::vec(0..12_usize, 0..5),
    ) {
        let disturbed = paused(run(&shapes, &crashes));
        check(&shapes, &crashes, &disturbed);
        let (undisturbed, ..) = paused(run(&shapes, &[]));
        // Which steps a failure stops depends on time, and time goes on while nobody drives the
        // run: but whether it fails does not.
        prop_assert_eq!(disturbed.0.status, undisturbed.status);
        if undisturbed.is_completed() {
            prop_assert_eq!(states(&disturbed.0), states(&undisturbed));
        }
    }
}
