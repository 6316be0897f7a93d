//! Steps that hold the threads of their runtime: the lease of their run is renewed meanwhile, as they may hold them for
//! longer than it lasts.

use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use coord_bus::time::Instant;
use coord_bus::{LocalBus, MemoryEventLog, MemoryLeases};
use coord_workflow::{
    RunId, RunJournal, RunState, StepError, Workflow, WorkflowError, WorkflowOrchestrator,
};
use tokio::runtime;

use crate::ownership::Reached;

/// So long that it does not run out where the machine stands still for a while.
const TTL: Duration = Duration::from_secs(5);

/// Whether a run is driven, as others see it, and its lease was renewed while a step of it held its thread.
fn is_driven_for_others(mut runtime: runtime::Builder) -> bool {
    let leases = Reached::new(Arc::new(MemoryLeases::new()));
    let journal = RunJournal::new(Arc::new(MemoryEventLog::new()), Arc::clone(&leases) as _);
    let id = RunId::named("r").unwrap();
    let mut workflow = Workflow::<()>::durable("holds");
    let (looked_at, run) = (journal.clone(), id.clone());
    let step = workflow.step("holds").run(move || {
        let (looked_at, run, leases) = (looked_at.clone(), run.clone(), Arc::clone(&leases));
        async move {
            let (begun, before) = (Instant::now(), leases.renewed());
            while leases.renewed() == before {
                if begun.elapsed() > 10 * TTL {
                    return Ok(false);
                }
                thread::yield_now();
            }
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_still_runs_after_a_shutdown_is_taken_up_by_nobody_until_the_orchestrator_is_gone() {
    let journal = RunJournal::new(
        Arc::new(MemoryEventLog::new()),
        Arc::new(MemoryLeases::new()),
    );
    let (begins, begun) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let mut workflow = Workflow::<()>::durable("holds");
    workflow.step("holds").run(move || {
        let (begins, released) = (begins.clone(), Arc::clone(&released));
        async move {
            begins.send(()).map_err(StepError::from)?;
            // Until the other end is dropped.
            let _ = released.lock().unwrap().recv();
            Ok::<_, StepError>(())
        }
    });
    let workflow = workflow.build().unwrap();
    let orchestrator = || {
        let bus = LocalBus::new();
        let builder = WorkflowOrchestrator::builder(&bus).journal(journal.clone());
        builder.build().unwrap()
    };
    let (one, other) = (orchestrator(), orchestrator());
    let id = RunId::named("r").unwrap();
    one.start_durable(&workflow, id.clone(), ()).await.unwrap();
    begun.recv().unwrap();
    let report = one.shutdown(Duration::from_millis(1)).await;
    assert!(!report.still_running.is_empty(), "{report}");
    let resumed = other.resume_run(&workflow, &id).await;
    assert!(matches!(
        resumed,
        Err(WorkflowError::DrivenElsewhere { .. })
    ));
    drop(release);
    drop(one);
    let run = other.resume_run(&workflow, &id).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
}
