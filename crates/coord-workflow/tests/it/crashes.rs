//! Crashes at every record: the journal stops taking any, the run is resumed, and nothing that was
//! kept is lost or done twice.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::sleep;
use coord_bus::{AppendTo, Appended, BoxFuture, EventLog, EventLogError, EventLogProxy, Record};
use coord_workflow::{
    Compensation, DEFAULT_LEASE_TTL, Durable, Outcome, Retry, RunId, Status, Step, StepContext,
    StepError, StepReport, StepState, Workflow, WorkflowError,
};
use proptest::prelude::*;
use serde_json::Value;

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
    undo: Option<Undo>,
}

/// What undoes a step.
#[derive(Debug, Clone, Copy)]
struct Undo {
    failures: u32,
    max_attempts: u32,
}

impl Undo {
    fn fails(self) -> bool {
        self.failures >= self.max_attempts
    }

    fn attempts(self) -> u32 {
        (self.failures + 1).min(self.max_attempts)
    }
}

fn shape() -> impl Strategy<Value = Shape> {
    let failures = || prop_oneof![4 => Just(0), 1 => 1..3_u32];
    let undo = (failures(), 1..3_u32).prop_map(|(failures, max_attempts)| Undo {
        failures,
        max_attempts,
    });
    (
        (any::<u16>(), 0..20_u64, failures(), 1..4_u32),
        prop::bool::weighted(0.3),
        prop::option::weighted(0.2, any::<bool>()),
        prop::option::of(undo),
    )
        .prop_map(
            |((inputs, takes_ms, failures, max_attempts), optional, when, undo)| Shape {
                inputs: inputs & inputs.rotate_left(5),
                takes_ms,
                failures,
                max_attempts,
                optional,
                when,
                undo,
            },
        )
}

/// The steps that this one takes as input.
fn inputs(shape: &Shape, step: usize) -> impl Iterator<Item = usize> + use<> {
    let inputs = shape.inputs;
    (0..step).filter(move |input| inputs & (1 << input) != 0)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    /// This attempt at a step.
    Begins(u32),
    Ends,
    /// This attempt at undoing it.
    Undoes(u32),
}

/// What the world has seen of a run, in its order: what was done of which step.
#[derive(Debug, Clone, Default)]
struct World(Arc<Mutex<Vec<(Deed, usize)>>>);

impl World {
    fn see(&self, what: Deed, step: usize) {
        self.0.lock().unwrap().push((what, step));
    }

    fn seen(&self) -> Vec<(Deed, usize)> {
        self.0.lock().unwrap().clone()
    }

    fn count(&self, what: Deed, step: usize) -> usize {
        self.seen()
            .into_iter()
            .filter(|seen| *seen == (what, step))
            .count()
    }

    fn undos(&self) -> usize {
        let is_undo = |(deed, _): &(Deed, usize)| matches!(deed, Deed::Undoes(_));
        self.seen().iter().filter(|seen| is_undo(seen)).count()
    }
}

fn build(shapes: &[Shape], world: &World) -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("crashing");
    let mut handles: Vec<Step<usize>> = Vec::new();
    for (index, shape) in shapes.iter().cloned().enumerate() {
        let inputs: Vec<_> = inputs(&shape, index).map(|input| handles[input]).collect();
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
            seen.see(Deed::Begins(context.attempt()), index);
            async move {
                if shape.takes_ms > 0 {
                    sleep(Duration::from_millis(shape.takes_ms)).await;
                }
                if context.attempt() <= shape.failures {
                    return Err(StepError::message("it was to fail"));
                }
                seen.see(Deed::Ends, index);
                Ok(index + inputs.into_iter().map(|input| *input).sum::<usize>())
            }
        };
        let undone = world.clone();
        handles.push(match shape.undo {
            None => step.run_with(work),
            Some(undo) => step
                .compensate_with(move |context: StepContext, _| {
                    undone.see(Deed::Undoes(context.attempt()), index);
                    let succeeds = context.attempt() > undo.failures;
                    async move {
                        match succeeds {
                            true => Ok(()),
                            false => Err(StepError::message("it was to fail")),
                        }
                    }
                })
                .compensation_retry(
                    Retry::constant(Duration::from_millis(3)).max_attempts(undo.max_attempts),
                )
                .run_with(work),
        });
    }
    workflow.build().unwrap()
}

/// A run that has come to its end, after crashes.
struct Disturbed {
    outcome: Arc<Outcome>,
    world: World,
    /// How many appends its last process made.
    appends: usize,
    /// How much the world had seen at each crash, and which steps had completed by the records.
    crashes: Vec<(usize, BTreeSet<usize>)>,
    /// The steps that have completed, in the order of the records.
    completed: Vec<usize>,
}

/// The steps that have completed, in the order of the records.
async fn completed(machine: &Machine) -> Vec<usize> {
    let records = machine.log.read("run.a", 1, 10_000).await.unwrap();
    let records = records.into_iter().map(|stored| stored.record);
    let completed = records.filter(|record| record.kind == "step-completed");
    let steps = completed.map(|record| {
        let completed: Value = serde_json::from_slice(&record.payload).unwrap();
        completed["step"].as_str().unwrap()[1..].parse().unwrap()
    });
    steps.collect()
}

/// The run, crashed after so many appends of each of its processes.
async fn run(shapes: &[Shape], crashes: &[usize]) -> Disturbed {
    let machine = Machine::new();
    let world = World::default();
    let workflow = build(shapes, &world);
    let id = RunId::named("a").unwrap();
    let mut crashed = Vec::new();
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
        let completed = completed(&machine).await.into_iter().collect();
        crashed.push((world.seen().len(), completed));
    }
    let log = Arc::new(Failing {
        log: Arc::clone(&machine.log),
        left: AtomicUsize::new(usize::MAX),
    });
    let counted = Arc::clone(&log);
    let process = machine.with_log(log).process();
    let run = process.start_durable(&workflow, id, ()).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    Disturbed {
        outcome,
        world,
        appends: usize::MAX - counted.left.load(Ordering::SeqCst),
        crashes: crashed,
        completed: completed(&machine).await,
    }
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
    assert_eq!(world.count(Deed::Ends, 0), 1);
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Completed,
    Failed,
    Skipped,
    Cancelled,
}

/// What a step has come to, in how many attempts.
fn told(step: &StepReport<'_>) -> (State, u32) {
    let state = match step.state {
        StepState::Completed => State::Completed,
        StepState::Failed(_) => State::Failed,
        StepState::Skipped(_) => State::Skipped,
        _ => State::Cancelled,
    };
    (state, step.attempts)
}

/// What each step comes to that comes to its end: one after the other.
fn model(shapes: &[Shape]) -> Vec<(State, u32)> {
    let mut ends: Vec<(State, u32)> = Vec::new();
    for shape in shapes {
        let has_inputs = inputs(shape, ends.len()).all(|input| ends[input].0 == State::Completed);
        ends.push(match shape.failures < shape.max_attempts {
            _ if !has_inputs || shape.when == Some(false) => (State::Skipped, 0),
            true => (State::Completed, shape.failures + 1),
            false => (State::Failed, shape.max_attempts),
        });
    }
    ends
}

/// Where a run is not timed, which steps a failure stops is not said, but all else is: what each step comes to that
/// is not stopped, what is done before what, how often, and what is undone in which order.
fn check(shapes: &[Shape], crashes: &[usize], disturbed: &Disturbed) {
    let (outcome, world) = (&disturbed.outcome, disturbed.world.seen());
    let modelled = model(shapes);
    let is_critical =
        |(shape, end): (&Shape, &(State, u32))| end.0 == State::Failed && !shape.optional;
    let fails = shapes.iter().zip(&modelled).any(is_critical);
    let status = if fails {
        Status::Failed
    } else {
        Status::Completed
    };
    assert_eq!(outcome.status, status, "{crashes:?}");
    for (index, step) in outcome.steps().enumerate() {
        let (state, attempts) = told(&step);
        let what = format!("s{index} is {state:?} after {attempts} attempts: {crashes:?}");
        match state {
            State::Cancelled => assert!(fails && attempts <= modelled[index].1, "{what}"),
            _ => assert_eq!((state, attempts), modelled[index], "{crashes:?}"),
        }
        assert_eq!(
            state == State::Completed,
            disturbed.completed.contains(&index),
            "{what}"
        );
        for attempt in 1..=attempts {
            assert!(
                disturbed.world.count(Deed::Begins(attempt), index) > 0,
                "{what}"
            );
        }
        // It ends once, and once more for each process that could not say so.
        let ends = disturbed.world.count(Deed::Ends, index);
        assert!(
            ends <= 1 + crashes.len(),
            "s{index} ended {ends} times: {crashes:?}"
        );
        let undo = shapes[index]
            .undo
            .filter(|_| fails && state == State::Completed);
        let undone = step
            .compensation
            .map(|undone| matches!(undone, Compensation::Completed));
        assert_eq!(undone, undo.map(|undo| !undo.fails()), "{what}");
    }
    // What has completed is not done again, whoever takes the run up.
    for (seen, completed) in &disturbed.crashes {
        for (deed, step) in &world[*seen..] {
            let is_undo = matches!(deed, Deed::Undoes(_));
            assert!(
                is_undo || !completed.contains(step),
                "s{step} {deed:?} again: {crashes:?}"
            );
        }
    }
    // What it takes is there before it begins.
    for (at, (deed, step)) in world.iter().enumerate() {
        if let Deed::Begins(_) = deed {
            for input in inputs(&shapes[*step], *step) {
                let ended = world[..at].contains(&(Deed::Ends, input));
                assert!(
                    ended,
                    "s{step} begins before s{input} has ended: {crashes:?}"
                );
            }
        }
    }
    check_undoing(shapes, crashes, disturbed, fails);
}

/// What has completed is undone, the last to complete first, and nothing is done meanwhile.
fn check_undoing(shapes: &[Shape], crashes: &[usize], disturbed: &Disturbed, fails: bool) {
    let world = disturbed.world.seen();
    let is_undo = |(deed, _): &(Deed, usize)| matches!(deed, Deed::Undoes(_));
    let from = world.iter().position(is_undo).unwrap_or(world.len());
    let undoing: Vec<(u32, usize)> = world[from..]
        .iter()
        .map(|(deed, step)| match deed {
            Deed::Undoes(attempt) => (*attempt, *step),
            deed => panic!("s{step} {deed:?} while the run is undone: {crashes:?}"),
        })
        .collect();
    let of_each = undoing.chunk_by(|one, next| one.1 == next.1);
    let mut undone = Vec::new();
    for attempts in of_each {
        let (last, step) = attempts[attempts.len() - 1];
        undone.push(step);
        assert_eq!(attempts[0].0, 1);
        assert_eq!(
            Some(last),
            shapes[step].undo.map(Undo::attempts),
            "{crashes:?}"
        );
        for pair in attempts.windows(2) {
            // A process that could not say how far it had come is followed by one that begins again.
            let goes_on = pair[1].0 == pair[0].0 + 1 || pair[1].0 == 1;
            assert!(goes_on, "{attempts:?}: {crashes:?}");
        }
        let anew = attempts.iter().filter(|attempt| attempt.0 == 1).count();
        assert!(anew <= 1 + crashes.len(), "{attempts:?}: {crashes:?}");
    }
    let completed = disturbed.completed.iter().rev().copied();
    let expected = completed.filter(|step| fails && shapes[*step].undo.is_some());
    assert_eq!(undone, expected.collect::<Vec<_>>(), "{crashes:?}");
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
        undo: Some(Undo {
            failures: 0,
            max_attempts: 1,
        }),
    });
    steps.collect()
}

#[test]
fn a_run_that_crashes_at_any_append_comes_to_the_same_end() {
    // One that completes, one with another attempt, one that fails and is undone.
    for failing in [0, 1, 2] {
        let shapes = chain(failing);
        let undisturbed = paused(run(&shapes, &[]));
        check(&shapes, &[], &undisturbed);
        assert!(undisturbed.appends >= 6);
        let ends = |run: &Disturbed| -> usize {
            (0..5).map(|step| run.world.count(Deed::Ends, step)).sum()
        };
        for crash in 0..undisturbed.appends {
            let disturbed = paused(run(&shapes, &[crash]));
            check(&shapes, &[crash], &disturbed);
            // Of a chain, nothing is stopped, and at most one step was under way, or could not say that it is done.
            let all = |run: &Disturbed| run.outcome.steps().map(|step| told(&step)).collect();
            let (found, expected): (Vec<_>, Vec<_>) = (all(&disturbed), all(&undisturbed));
            assert_eq!(found, expected, "crash at {crash}");
            assert!(
                ends(&disturbed) <= ends(&undisturbed) + 1,
                "crash at {crash}"
            );
            let (undos, expected) = (disturbed.world.undos(), undisturbed.world.undos());
            assert!(undos <= expected + 1, "crash at {crash}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_run_that_crashes_anywhere_any_number_of_times_still_ends_well(
        shapes in prop::collection::vec(shape(), 1..10),
        crashes in prop::collection::vec(0..12_usize, 0..5),
    ) {
        let disturbed = paused(run(&shapes, &crashes));
        check(&shapes, &crashes, &disturbed);
    }
}
