//! What is left of a module that is dropped: nothing.

use coordination::bus::vocabulary::PROCESS_OUTPUT;
use coordination::recovery::ChildSpec;
use coordination::workflow::{StepError, Workflow};

use crate::stage::{IGNORE, STAY, Stage, is_alive, next, service, tasks, until, within};

#[tokio::test]
async fn dropped_it_leaves_no_task_and_no_process() {
    let before = tasks();
    let stage = Stage::new();
    let mut output = stage.subscribe(&PROCESS_OUTPUT);
    let services = stage.module.services().unwrap();
    let mut pids = Vec::new();
    for (name, line) in [("willing", STAY), ("stubborn", IGNORE)] {
        let child = services.start(ChildSpec::new(name), service(name, line));
        within(child.unwrap().ready()).await.unwrap();
        pids.push(next(&mut output).await.line);
    }
    let mut workflow = Workflow::builder("endless");
    workflow
        .step("only")
        .run(std::future::pending::<Result<(), StepError>>);
    let workflow = workflow.build().unwrap();
    let orchestrator = stage.module.orchestrator().unwrap();
    let run = orchestrator.start_workflow(&workflow, ()).unwrap();
    tokio::task::yield_now().await;
    assert!(tasks() > before && pids.iter().all(|pid| is_alive(pid)));

    drop(stage.module);
    assert!(within(run.outcome()).await.is_err());
    until(|| tasks() == before).await;
    until(|| !pids.iter().any(|pid| is_alive(pid))).await;
}

#[tokio::test(start_paused = true)]
async fn shut_down_it_leaves_no_task() {
    let before = tasks();
    let stage = Stage::new();
    assert!(
        stage
            .module
            .shutdown(crate::stage::seconds(1))
            .await
            .is_complete()
    );
    until(|| tasks() == before).await;
}
