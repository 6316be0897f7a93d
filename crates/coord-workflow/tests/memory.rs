//! What a step of a run costs in bytes and in allocations, counted by the allocator.

use std::sync::Arc;

use allocation_counter::{AllocationInfo, measure};
use coord_bus::LocalBus;
use coord_workflow::{Step, StepError, Workflow, WorkflowOrchestrator};
use tokio::sync::Barrier;

const STEPS: usize = 10_000;

/// The most that a run keeps of a step beside its output, while it goes on and in its outcome.
const STATE_MAX: f64 = 250.0;

/// What an output of a number takes: itself, and two counts.
const OUTPUT: f64 = 24.0;

fn chain(steps: usize) -> Workflow {
    let mut workflow = Workflow::builder("chain");
    let mut last = workflow.step("s0").run(async || Ok::<u64, StepError>(0));
    for step in 1..steps {
        last = workflow
            .step(format!("s{step}"))
            .input(last)
            .run(|before: Arc<u64>| async move { Ok::<u64, StepError>(*before + 1) });
    }
    workflow.build().expect("a workflow without faults")
}

fn fan_out(steps: usize) -> Workflow {
    let mut workflow = Workflow::builder("fan-out");
    let first: Step<u64> = workflow.step("s0").run(async || Ok::<u64, StepError>(1));
    for step in 1..steps {
        workflow
            .step(format!("s{step}"))
            .input(first)
            .run(|one: Arc<u64>| async move { Ok::<u64, StepError>(*one) });
    }
    workflow.build().expect("a workflow without faults")
}

/// Steps that all wait for each other.
fn waiting(steps: usize) -> Workflow {
    let mut workflow = Workflow::builder("waiting");
    let barrier = Arc::new(Barrier::new(steps));
    for step in 0..steps {
        let barrier = Arc::clone(&barrier);
        workflow.step(format!("s{step}")).run(move || {
            let barrier = Arc::clone(&barrier);
            async move {
                barrier.wait().await;
                Ok::<u64, StepError>(1)
            }
        });
    }
    workflow.build().expect("a workflow without faults")
}

/// What a run allocates, on a thread that does nothing else. Its outcome is kept until that is known.
fn run(workflow: &Workflow) -> AllocationInfo {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().build().expect("it starts");
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).expect("it opens");
    let mut outcome = None;
    let info = measure(|| {
        let executing = orchestrator.execute_workflow(workflow, ());
        outcome = Some(runtime.block_on(executing).expect("it ends"));
    });
    assert!(outcome.is_some_and(|outcome| outcome.is_completed()));
    info
}

/// What one more step costs of what this reads.
fn each(shape: fn(usize) -> Workflow, read: impl Fn(&AllocationInfo) -> i64) -> f64 {
    let (few, many) = (run(&shape(10)), run(&shape(10 + STEPS)));
    (read(&many) - read(&few)) as f64 / STEPS as f64
}

#[test]
fn a_step_that_is_done_when_it_is_called_costs_two_allocations_and_at_most_250_bytes_of_state() {
    for shape in [chain, fan_out] {
        let allocations = each(shape, |info| info.count_total as i64);
        assert!((1.9..2.1).contains(&allocations), "{allocations}");
        // The future of one step is there at a time.
        let bytes = each(shape, |info| info.bytes_max as i64);
        assert!((OUTPUT..=OUTPUT + STATE_MAX).contains(&bytes), "{bytes}");
    }
}

#[test]
fn what_a_waiting_step_took_is_given_back_when_the_run_ends() {
    let most = each(waiting, |info| info.bytes_max as i64);
    assert!(most > OUTPUT + STATE_MAX, "{most}");
    let left = each(waiting, |info| info.bytes_current);
    assert!((OUTPUT..=OUTPUT + STATE_MAX).contains(&left), "{left}");
}

#[test]
fn neither_a_step_that_waits_nor_a_run_has_room_for_the_end_of_a_child_that_few_have() {
    // With it, a step that waits took 6,500 bytes, and a run of one step 13,000, unoptimised.
    let step = each(waiting, |info| info.bytes_max as i64);
    assert!(step < 3_500.0, "{step}");
    let run = run(&chain(1)).bytes_max;
    assert!(run < 8_000, "{run}");
}
