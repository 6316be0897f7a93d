//! Steps that hold the threads of their runtime for longer than a lease lasts: the run stays their process's.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use coord_bus::{LocalBus, MemoryEventLog, MemoryLeases};
use coord_workflow::{RunId, RunJournal, RunState, StepError, Workflow, WorkflowOrchestrator};
use tokio::runtime;

const TTL: Duration = Duration::from_millis(1500);

/// Whether a run is driven, as others see it, while a step of it has held its thread for longer than its lease lasts.
fn is_driven_for_others(mut runtime: runtime::Builder) -> bool {
    let journal = RunJournal::new(
        Arc::new(MemoryEventLog::new()),
        Arc::new(MemoryLeases::new()),
    );
    let id = RunId::named("r").unwrap();
    let mut workflow = Workflow::<()>::durable("holds");
    let (looked_at, run) = (journal.clone(), id.clone());
    let step = workflow.step("holds").run(move || {
        let (looked_at, run) = (looked_at.clone(), run.clone());
        async move {
            // tidy: sleep, because it is to hold its thread
            thread::sleep(TTL + TTL / 3);
            let looking = move || {
                let elsewhere = runtime::Builder::new_current_thread().build()?;
                let view = elsewhere.block_on(looked_at.view(&run));
                Ok::<_, StepError>(view?.state == RunState::Running)
            };
            thread::spawn(looking).join().unwrap()
        }
    });
    let workflow = workflow.build().unwrap();
    let outcome = runtime.enable_time().build().unwrap().block_on(async {
        let orchestrator = WorkflowOrchestrator::builder(&LocalBus::new())
            .journal(journal)
            .lease_ttl(TTL)
            .build()
            .unwrap();
        let run = orchestrator.start_durable(&workflow, id, ()).await.unwrap();
        run.outcome().await.unwrap()
    });
    *outcome.output(&step).unwrap()
}

#[test]
fn a_step_that_holds_the_only_thread_keeps_the_run() {
    assert!(is_driven_for_others(runtime::Builder::new_current_thread()));
}

#[test]
fn steps_that_hold_every_thread_keep_the_run() {
    let mut threads = runtime::Builder::new_multi_thread();
    threads.worker_threads(1);
    assert!(is_driven_for_others(threads));
}
