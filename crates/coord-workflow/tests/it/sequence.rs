//! Any graph of steps, with failures and what becomes of the rest then, retries, limits, signals, and whatever it
//! is told at any moment (to pause, to go on, to skip a step, to end), comes to what a sequence of events comes to, and
//! is undone as that is, with failures and retries of that, too: to the millisecond, in memory and kept.

mod model;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use coord_bus::LocalBus;
use coord_bus::time::sleep;
use coord_workflow::{
    Command, Compensation, Durable, OnFailure, Outcome, Retry, RunId, Step, StepContext, StepError,
    StepReport, StepState, Workflow,
};
use model::{Frame, Prediction, Report, Shape, State, Undo, among, ms, predict};
use proptest::prelude::*;

use crate::durable::Machine;

/// What the steps themselves count and write down.
#[derive(Default)]
struct Seen {
    running: AtomicUsize,
    most: AtomicUsize,
    /// Futures of steps that have been made, and not dropped.
    alive: AtomicUsize,
    /// The attempts at undoing steps.
    undoing: Mutex<Vec<(usize, u32)>>,
}

/// Counts as alive until it is dropped.
struct Alive(Arc<Seen>);

impl Alive {
    fn new(seen: &Arc<Seen>) -> Self {
        seen.alive.fetch_add(1, Ordering::SeqCst);
        let running = seen.running.fetch_add(1, Ordering::SeqCst) + 1;
        seen.most.fetch_max(running, Ordering::SeqCst);
        Self(Arc::clone(seen))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::SeqCst);
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn undo() -> impl Strategy<Value = Undo> {
    let failures = prop_oneof![3 => Just(0), 1 => 0..4_u32];
    let timeout = prop_oneof![4 => Just(60_000_u64), 1 => 1..50_u64];
    (0..50_u64, timeout, failures, 1..4_u32).prop_filter_map(
        "it is done as its time is up",
        |(takes, timeout, failures, max_attempts)| {
            let undo = Undo {
                takes,
                timeout,
                failures,
                max_attempts,
            };
            (takes != timeout).then_some(undo)
        },
    )
}

fn shape() -> impl Strategy<Value = Shape> {
    let times = (
        1..3_000_u64,
        prop_oneof![4 => Just(60_000_u64), 1 => 1..3_000_u64],
        prop_oneof![2 => Just(60_000_u64), 1 => 1..6_000_u64],
    );
    let attempts = (prop_oneof![3 => Just(0), 1 => 0..4_u32], 1..4_u32);
    let polite = prop::option::weighted(0.3, 1..500_u64);
    let undo = prop::option::of(undo());
    let flags = (prop::bool::weighted(0.6), prop::bool::weighted(0.9));
    let needs_any = prop_oneof![2 => Just(0), 1 => any::<u16>()];
    let signal = prop::option::weighted(0.2, 1..6_000_u64);
    (
        (any::<u16>(), needs_any, signal),
        times,
        attempts,
        polite,
        undo,
        flags,
    )
        .prop_map(
            |((needs, needs_any, signal), times, attempts, polite, undo, flags)| Shape {
                // Few needs, so that there is something to run side by side.
                needs: needs & needs.rotate_left(5),
                needs_any: needs_any & needs_any.rotate_left(3),
                takes: times.0,
                timeout: times.1,
                total: times.2,
                failures: attempts.0,
                max_attempts: attempts.1,
                optional: flags.0,
                runs: flags.1,
                polite,
                undo: undo.filter(|_| signal.is_none()),
                signal,
            },
        )
}

fn frame() -> impl Strategy<Value = Frame> {
    let rarely = || prop_oneof![3 => Just(u64::MAX), 1 => 1..9_000_u64];
    let on_failure = prop_oneof![
        2 => Just(OnFailure::FailFast),
        1 => Just(OnFailure::FinishBranches),
        1 => Just(OnFailure::FinishAll),
    ];
    let times = (rarely(), rarely(), 1..500_u64);
    let halt = prop::option::weighted(0.3, (1..5_000_u64, 1..5_000_u64));
    let skips = prop::collection::vec((1..6_000_u64, 0..14_usize), 0..4);
    let told = (halt, skips);
    (1..5_usize, times, on_failure, told).prop_map(|(limit, times, on_failure, told)| {
        let (cancel_at, timeout, pause) = times;
        Frame {
            limit,
            cancel_at: cancel_at.min(1_000_000),
            timeout: timeout.min(1_000_001),
            pause,
            on_failure,
            halt: told.0.map(|(from, time)| (from, from + time)),
            skips: told.1,
            is_kept: false,
        }
    })
}

async fn work(
    shape: Shape,
    index: usize,
    context: StepContext,
    seen: Arc<Seen>,
) -> Result<usize, StepError> {
    let _alive = Alive::new(&seen);
    match shape.polite {
        None => sleep(ms(shape.takes)).await,
        Some(wait) => {
            let token = context.token();
            tokio::select! {
                biased;
                () = token.cancelled() => {
                    sleep(ms(wait)).await;
                    return Ok(index);
                }
                () = sleep(ms(shape.takes)) => {}
            }
        }
    }
    match context.attempt() > shape.failures {
        true => Ok(index),
        false => Err(StepError::message("it was to fail")),
    }
}

/// Whose limit it is how many steps run at once, and whether the run is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    OfRun,
    OfAllRuns,
    Kept,
    KeptOfAllRuns,
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![
        3 => Just(Way::OfRun),
        1 => Just(Way::OfAllRuns),
        1 => Just(Way::Kept),
        1 => Just(Way::KeptOfAllRuns),
    ]
}

fn build(shapes: &[Shape], frame: &Frame, seen: &Arc<Seen>, way: Way) -> Workflow<(), Durable> {
    let limit = match way {
        Way::OfRun | Way::Kept => frame.limit,
        Way::OfAllRuns | Way::KeptOfAllRuns => 100,
    };
    let mut workflow = Workflow::durable("sequence")
        .concurrency(NonZeroUsize::new(limit).unwrap())
        .timeout(ms(frame.timeout))
        .on_failure(frame.on_failure);
    let mut handles: Vec<Step<usize>> = Vec::new();
    for (index, shape) in shapes.iter().cloned().enumerate() {
        let (working, undoing, runs) = (Arc::clone(seen), Arc::clone(seen), shape.runs);
        let mut step = workflow
            .step(format!("s{index}"))
            .timeout(ms(shape.timeout))
            .total_timeout(ms(shape.total))
            .retry(Retry::constant(ms(frame.pause)).max_attempts(shape.max_attempts));
        if !runs {
            step = step.when(|| false);
        }
        for (need, handle) in handles.iter().enumerate() {
            if shape.needs & (1 << need) != 0 {
                step = step.after(handle);
            }
        }
        step = step.after_any(among(shape.needs_any, index).map(|need| &handles[need]));
        if shape.optional {
            step = step.optional();
        }
        if shape.signal.is_some() {
            handles.push(step.signal(format!("signal-{index}")));
            continue;
        }
        let undo = shape.undo;
        let work = move |context| work(shape.clone(), index, context, Arc::clone(&working));
        handles.push(match undo {
            None => step.run_with(work),
            Some(undo) => step
                .compensate_with(move |context: StepContext, index: Arc<usize>| {
                    let seen = Arc::clone(&undoing);
                    async move {
                        let _alive = Alive::new(&seen);
                        let attempt = context.attempt();
                        seen.undoing.lock().unwrap().push((*index, attempt));
                        sleep(ms(undo.takes)).await;
                        match attempt > undo.failures {
                            true => Ok(()),
                            false => Err(StepError::message("it was to fail")),
                        }
                    }
                })
                .compensation_timeout(ms(undo.timeout))
                .compensation_retry(
                    Retry::constant(ms(frame.pause)).max_attempts(undo.max_attempts),
                )
                .run_with(work),
        });
    }
    workflow.build().unwrap()
}

/// What the run is told, and when.
fn commands(shapes: &[Shape], frame: &Frame) -> Vec<(u64, Command)> {
    let mut commands = vec![(frame.cancel_at, Command::Cancel { reason: None })];
    let halt = frame.halt.into_iter();
    commands.extend(
        halt.flat_map(|(from, until)| [(from, Command::Pause), (until, Command::Continue)]),
    );
    let skips = frame.skips.iter();
    commands.extend(skips.map(|(at, step)| {
        let step = format!("s{step}");
        (*at, Command::Skip { step })
    }));
    let signals = shapes.iter().enumerate();
    commands.extend(signals.filter_map(|(step, shape)| {
        let name = format!("signal-{step}");
        let payload = step.into();
        Some((
            shape.signal?,
            Command::Signal {
                name,
                payload,
                id: None,
            },
        ))
    }));
    commands.sort_by_key(|(at, _)| *at);
    commands
}

/// Runs it, and tells it what it is to be told.
fn execute(
    workflow: &Workflow<(), Durable>,
    commands: Vec<(u64, Command)>,
    seen: &Seen,
    (way, limit): (Way, usize),
) -> Arc<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let (machine, bus) = (Machine::new(), LocalBus::new());
        let builder = machine.builder(&bus);
        let orchestrator = match way {
            Way::OfRun | Way::Kept => builder,
            _ => builder.total_concurrency(NonZeroUsize::new(limit).unwrap()),
        };
        let orchestrator = orchestrator.build().unwrap();
        let run = match way {
            Way::OfRun | Way::OfAllRuns => orchestrator.start_workflow(workflow, ()).unwrap(),
            _ => {
                let id = RunId::named("r").unwrap();
                orchestrator.start_durable(workflow, id, ()).await.unwrap()
            }
        };
        let telling = async {
            let mut now = 0;
            for (at, command) in commands {
                sleep(ms(at - now)).await;
                now = at;
                // What is over is not skipped, nor what does not begin.
                let _ = run.tell(command).await;
            }
            std::future::pending::<()>().await;
        };
        let outcome = tokio::select! {
            outcome = run.outcome() => outcome,
            () = telling => unreachable!(),
        };
        // Whatever was begun is gone by the end of the run, not some time after it.
        assert_eq!(seen.alive.load(Ordering::SeqCst), 0);
        assert_eq!(orchestrator.active_runs(), 0);
        outcome.unwrap()
    })
}

fn in_ms(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
}

fn report(step: &StepReport<'_>) -> Report {
    Report {
        state: match step.state {
            StepState::Completed => State::Completed,
            StepState::Failed(_) => State::Failed,
            StepState::Skipped(_) => State::Skipped,
            _ => State::Cancelled,
        },
        attempts: step.attempts,
        started: step.started.map(in_ms),
        duration: in_ms(step.duration),
        undone: step
            .compensation
            .map(|undone| matches!(undone, Compensation::Completed)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn a_run_comes_to_what_a_sequence_of_events_comes_to(
        shapes in prop::collection::vec(shape(), 1..14),
        frame in frame(),
        way in way(),
    ) {
        let frame = Frame {
            is_kept: matches!(way, Way::Kept | Way::KeptOfAllRuns),
            ..frame
        };
        let predicted = predict(&shapes, &frame);
        prop_assume!(predicted.is_some());
        let seen = Arc::new(Seen::default());
        let workflow = build(&shapes, &frame, &seen, way);
        let outcome = execute(&workflow, commands(&shapes, &frame), &seen, (way, frame.limit));
        prop_assert!(seen.most.load(Ordering::SeqCst) <= frame.limit);
        let found = Prediction {
            status: outcome.status,
            duration: in_ms(outcome.duration),
            steps: outcome.steps().map(|step| report(&step)).collect(),
            undoing: seen.undoing.lock().unwrap().clone(),
        };
        prop_assert_eq!(Some(found), predicted);
    }
}
