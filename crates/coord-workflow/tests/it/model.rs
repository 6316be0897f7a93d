//! Any graph of steps, with failures, conditions and limits, against what must hold of each run.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::LocalBus;
use coord_bus::time::sleep;
use coord_workflow::{
    Compensation, Outcome, Retry, Status, Step, StepContext, StepError, StepState, Workflow,
    WorkflowOrchestrator,
};
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Shape {
    /// Which earlier steps it needs: by bit.
    needs: u16,
    takes: u64,
    /// How many attempts fail before one succeeds.
    failures: u32,
    max_attempts: u32,
    optional: bool,
    runs: bool,
}

impl Shape {
    fn fails(&self) -> bool {
        self.runs && self.failures >= self.max_attempts
    }

    fn attempts(&self) -> u32 {
        match self.runs {
            true => (self.failures + 1).min(self.max_attempts),
            false => 0,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Began(usize),
    Ended(usize, bool),
    Undone(usize),
}

type Diary = Arc<Mutex<Vec<Entry>>>;

fn shape() -> impl Strategy<Value = Shape> {
    let often = prop::bool::weighted(0.85);
    let failures = prop_oneof![4 => Just(0), 2 => 0..4_u32];
    (
        any::<u16>(),
        0..30_u64,
        failures,
        1..4_u32,
        any::<bool>(),
        often,
    )
        .prop_map(
            |(needs, takes, failures, max_attempts, optional, runs)| Shape {
                // Few needs, so that there is something to run side by side.
                needs: needs & needs.rotate_left(5),
                takes,
                failures,
                max_attempts,
                optional,
                runs,
            },
        )
}

fn build(shapes: &[Shape], limit: usize, diary: &Diary) -> Workflow {
    let limit = NonZeroUsize::new(limit).unwrap();
    let mut workflow = Workflow::builder("model").concurrency(limit);
    let mut handles: Vec<Step<usize>> = Vec::new();
    for (index, shape) in shapes.iter().cloned().enumerate() {
        let (working, undoing) = (Arc::clone(diary), Arc::clone(diary));
        let runs = shape.runs;
        let retry = Retry::constant(Duration::from_millis(7)).max_attempts(shape.max_attempts);
        let mut step = workflow
            .step(format!("s{index}"))
            .retry(retry)
            .when(move || runs);
        for (need, handle) in handles.iter().enumerate() {
            if shape.needs & (1 << need) != 0 {
                step = step.after(handle);
            }
        }
        if shape.optional {
            step = step.optional();
        }
        let handle = step
            .compensate(move |index: Arc<usize>| {
                undoing.lock().unwrap().push(Entry::Undone(*index));
                async { Ok::<_, StepError>(()) }
            })
            .run_with(move |context: StepContext| {
                let (diary, shape) = (Arc::clone(&working), shape.clone());
                async move {
                    let write = |entry| diary.lock().unwrap().push(entry);
                    write(Entry::Began(index));
                    sleep(Duration::from_millis(shape.takes)).await;
                    let succeeds = context.attempt() > shape.failures;
                    write(Entry::Ended(index, succeeds));
                    match succeeds {
                        true => Ok(index),
                        false => Err(StepError::message("it was to fail")),
                    }
                }
            });
        handles.push(handle);
    }
    workflow.build().unwrap()
}

fn execute(workflow: &Workflow) -> Arc<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
        orchestrator.execute_workflow(workflow, ()).await.unwrap()
    })
}

proptest! {
    #[test]
    fn whatever_the_graph_its_run_keeps_its_promises(
        shapes in prop::collection::vec(shape(), 1..14),
        limit in 1..5_usize,
    ) {
        let diary = Diary::default();
        let outcome = execute(&build(&shapes, limit, &diary));
        let diary = diary.lock().unwrap().clone();
        let position = |entry| diary.iter().position(|written| *written == entry);

        // No step begins before what it needs is through, and never more at once than may.
        let mut running = 0_usize;
        for (at, entry) in diary.iter().enumerate() {
            match *entry {
                Entry::Began(step) => {
                    running += 1;
                    prop_assert!(running <= limit);
                    for (need, shape) in shapes.iter().enumerate().take(step) {
                        if shapes[step].needs & (1 << need) != 0 && shape.runs {
                            let ends = diary[..at].iter().filter(|before| {
                                matches!(before, Entry::Ended(ended, _) if *ended == need)
                            });
                            prop_assert_eq!(ends.count(), shape.attempts() as usize);
                        }
                    }
                }
                Entry::Ended(..) => running -= 1,
                Entry::Undone(_) => {}
            }
        }

        let critical = shapes.iter().enumerate().find(|(_, shape)| shape.fails() && !shape.optional);
        match critical {
            None => {
                prop_assert_eq!(outcome.status, Status::Completed);
                for (shape, report) in shapes.iter().zip(outcome.steps()) {
                    let as_modelled = match &report.state {
                        StepState::Completed => shape.runs && !shape.fails(),
                        StepState::Failed(_) => shape.fails(),
                        StepState::Skipped(_) => !shape.runs,
                        _ => false,
                    };
                    prop_assert!(as_modelled, "{:?} {:?}", shape, report);
                    prop_assert_eq!(report.attempts, shape.attempts());
                    prop_assert!(report.compensation.is_none());
                }
            }
            Some(_) => {
                prop_assert_eq!(outcome.status, Status::Failed);
                // One ends the run; others may fail in the same instant.
                prop_assert!(outcome.failures().count() >= 1);
                // What completed, and nothing else, is undone, the last to complete first.
                let completed: Vec<usize> = diary.iter().filter_map(|entry| match entry {
                    Entry::Ended(step, true) => Some(*step),
                    _ => None,
                }).collect();
                let undone: Vec<usize> = diary.iter().filter_map(|entry| match entry {
                    Entry::Undone(step) => Some(*step),
                    _ => None,
                }).collect();
                prop_assert_eq!(undone, completed.into_iter().rev().collect::<Vec<_>>());
                for (index, report) in outcome.steps().enumerate() {
                    let undone = matches!(report.compensation, Some(Compensation::Completed));
                    prop_assert_eq!(undone, position(Entry::Undone(index)).is_some());
                    if matches!(report.state, StepState::Cancelled) && report.attempts == 0 {
                        prop_assert!(position(Entry::Began(index)).is_none());
                    }
                }
            }
        }
    }
}
