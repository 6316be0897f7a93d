//! What is told of a run, and to it, at the moment at which it is left or comes to its end.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::{sleep, timeout};
use coord_bus::{AppendTo, Appended, BoxFuture, EventLog, EventLogError, EventLogProxy, LocalBus};
use coord_workflow::{
    Command, Durable, RunId, RunState, StepError, Workflow, WorkflowError, WorkflowOrchestrator,
};

use crate::durable::Machine;

const MINUTE: Duration = Duration::from_secs(60);

/// A log that never comes to an end with what runs are told.
struct Stuck(Arc<dyn EventLog>);

impl EventLogProxy for Stuck {
    fn log(&self) -> &dyn EventLog {
        &*self.0
    }

    fn on_append(&self, append: AppendTo) -> BoxFuture<'_, Result<Appended, EventLogError>> {
        match append.records.iter().any(|record| record.kind == "command") {
            true => Box::pin(std::future::pending()),
            false => self.0.append(append),
        }
    }
}

fn id() -> RunId {
    RunId::named("r").unwrap()
}

fn waiting() -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("waiting");
    workflow.step("wait").signal::<u32>("go");
    workflow.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn who_tells_a_run_something_hears_of_it_when_its_orchestrator_goes_meanwhile() {
    let machine = Machine::new();
    let stuck = machine.with_log(Arc::new(Stuck(Arc::clone(&machine.log))));
    let process = stuck.process();
    let run = process.start_durable(&waiting(), id(), ()).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let telling = run.clone();
    let told = async move { telling.tell(Command::Pause).await };
    let gone = async {
        sleep(Duration::from_secs(1)).await;
        drop(process);
    };
    let (told, ()) = timeout(MINUTE, async { tokio::join!(told, gone) })
        .await
        .unwrap();
    assert!(
        matches!(told, Err(WorkflowError::Aborted { .. })),
        "{told:?}"
    );
    let later = run.tell(Command::Pause).await;
    assert!(
        matches!(later, Err(WorkflowError::Aborted { .. })),
        "{later:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn who_tells_something_to_a_run_that_is_suspended_hears_that_it_is_and_not_that_it_has_finished()
 {
    let machine = Machine::new();
    let process = machine.process();
    let run = process.start_durable(&waiting(), id(), ()).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    process.shutdown(MINUTE).await;
    let told = run.tell(Command::Pause).await;
    assert!(
        matches!(told, Err(WorkflowError::Suspended { .. })),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_has_its_steps_for_who_looks_at_it_until_it_has_its_outcome_and_from_then_on() {
    let mut workflow = Workflow::builder("many");
    for step in 0..1_000 {
        workflow
            .step(format!("s{step}"))
            .run(async || Ok::<_, StepError>(()));
    }
    let workflow: Workflow = workflow.build().unwrap();
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    for _ in 0..20 {
        let run = orchestrator.start_workflow(&workflow, ()).unwrap();
        // Several, so that whoever ends the run has to wait for one, and another comes right after it.
        let looking: Vec<_> = (0..3)
            .map(|_| {
                let run = run.clone();
                std::thread::spawn(move || {
                    let mut looks = 0;
                    while let Some(view) = run.view() {
                        assert_eq!(view.steps.len(), 1_000, "after {looks} looks");
                        looks += 1;
                        if let RunState::Finished(_) = view.state {
                            break;
                        }
                    }
                    looks
                })
            })
            .collect();
        assert!(run.outcome().await.unwrap().is_completed());
        for looking in looking {
            assert!(looking.join().unwrap() > 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_resumes_runs_hears_which_others_drive() {
    let machine = Machine::new();
    let driver = machine.process();
    driver.start_durable(&waiting(), id(), ()).await.unwrap();
    let next = machine.process();
    let resumed = next.resume_runs(&waiting()).await.unwrap();
    let holder = "another orchestrator of this process".to_owned();
    assert_eq!(resumed.elsewhere, [(id(), holder)]);
    assert!(resumed.runs.is_empty() && resumed.refused.is_empty());
    drop(driver);
    let resumed = next.resume_runs(&waiting()).await.unwrap();
    assert_eq!((resumed.runs.len(), resumed.elsewhere), (1, Vec::new()));
}
