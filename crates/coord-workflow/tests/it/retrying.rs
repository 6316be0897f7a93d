//! Runs that have finished, and go on after all.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::sleep;
use coord_workflow::{
    Durable, Retry, RunId, Status, StepContext, StepError, Workflow, WorkflowError,
};

use crate::durable::Machine;
use crate::keys::unmarked;

/// What steps did, with their keys, and whether `deploy` is to fail.
#[derive(Clone, Default)]
struct World {
    done: Arc<Mutex<Vec<String>>>,
    fails: Arc<Mutex<bool>>,
}

impl World {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.done.lock().unwrap())
    }

    fn fail(&self, fails: bool) {
        *self.fails.lock().unwrap() = fails;
    }

    /// What a step does: says its key.
    fn work(&self) -> impl Fn(StepContext) -> std::future::Ready<Result<u32, StepError>> + use<> {
        let world = self.clone();
        move |context| {
            let key = unmarked(&context);
            let fails = context.step() == "deploy" && *world.fails.lock().unwrap();
            world.done.lock().unwrap().push(match fails {
                true => format!("{key} failed"),
                false => key,
            });
            std::future::ready(match fails {
                true => Err(StepError::message("no")),
                false => Ok(1),
            })
        }
    }
}

/// `build`, then `reserve`, which can be undone, then `deploy`, twice at most, then `tell`.
fn release(world: &World) -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("release").timeout(Duration::from_secs(100));
    let build = workflow.step("build").run_with(world.work());
    let undone = world.clone();
    let reserve = workflow
        .step("reserve")
        .after(&build)
        .compensate(move |_: Arc<u32>| {
            undone.done.lock().unwrap().push("undone".to_owned());
            async { Ok::<_, StepError>(()) }
        })
        .run_with(world.work());
    let retry = Retry::constant(Duration::ZERO).max_attempts(2);
    let deploy = workflow
        .step("deploy")
        .after(&reserve)
        .retry(retry)
        .run_with(world.work());
    workflow.step("tell").after(&deploy).run_with(world.work());
    workflow.build().unwrap()
}

fn id() -> RunId {
    RunId::named("r").unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_failed_or_was_undone_is_done_again_and_what_is_done_is_not() {
    let (machine, world) = (Machine::new(), World::default());
    let process = machine.process();
    world.fail(true);
    let run = process
        .start_durable(&release(&world), id(), ())
        .await
        .unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    let failed = [
        "r/build",
        "r/reserve",
        "r/deploy failed",
        "r/deploy failed",
        "undone",
    ];
    assert_eq!(world.take(), failed);

    world.fail(false);
    // Longer than the run's timeout, which begins anew.
    sleep(Duration::from_secs(1_000)).await;
    let run = process
        .retry_run(&release(&world), &id(), None)
        .await
        .unwrap();
    let outcome = run.outcome().await.unwrap();
    assert!(outcome.is_completed());
    assert_eq!(outcome.step("deploy").unwrap().attempts, 1);
    // What was undone is asked for anew; what failed may have been done after all.
    assert_eq!(world.take(), ["r/reserve/1", "r/deploy", "r/tell"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_undone_and_comes_after_what_was_is_done_again_with_the_same_key() {
    let (machine, world) = (Machine::new(), World::default());
    let process = machine.process();
    let mut workflow = Workflow::durable("order");
    let reserve = workflow
        .step("reserve")
        .compensate(|_: Arc<u32>| async { Ok::<_, StepError>(()) })
        .run_with(world.work());
    let charge = workflow
        .step("charge")
        .after(&reserve)
        .run_with(world.work());
    let items = workflow.step("items").after(&charge);
    let items = items.run(|| async { Ok::<_, StepError>(vec![1_u32]) });
    let pack = workflow.step("pack").for_each(items);
    let pack = pack.run_with({
        let done = Arc::clone(&world.done);
        move |context: StepContext, _: u32| {
            done.lock().unwrap().push(unmarked(&context));
            std::future::ready(Ok::<_, StepError>(1_u32))
        }
    });
    workflow.step("deploy").after(&pack).run_with(world.work());
    let workflow: Workflow<(), Durable> = workflow.build().unwrap();
    world.fail(true);
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    world.take();

    let run = process.retry_run(&workflow, &id(), None).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    let again = ["r/reserve/1", "r/charge", "r/pack/1:0", "r/deploy failed"];
    assert_eq!(world.take(), again);
    // Unless somebody wants it done once more.
    world.fail(false);
    let run = process.retry_run(&workflow, &id(), Some("charge")).await;
    assert!(run.unwrap().outcome().await.unwrap().is_completed());
    let again = ["r/reserve/2", "r/charge/1", "r/pack/2:0", "r/deploy"];
    assert_eq!(world.take(), again);
}

#[tokio::test(start_paused = true)]
async fn a_run_is_retried_from_any_step_with_all_that_come_after_it() {
    let (machine, world) = (Machine::new(), World::default());
    let process = machine.process();
    let run = process
        .start_durable(&release(&world), id(), ())
        .await
        .unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    world.take();
    let nothing = process.retry_run(&release(&world), &id(), None).await;
    assert!(
        matches!(nothing, Err(WorkflowError::NothingToRetry { .. })),
        "{nothing:?}"
    );
    let nowhere = process
        .retry_run(&release(&world), &id(), Some("dploy"))
        .await;
    assert!(
        matches!(nowhere, Err(WorkflowError::NoSuchStep { .. })),
        "{nowhere:?}"
    );
    for round in 1..3 {
        let run = process
            .retry_run(&release(&world), &id(), Some("deploy"))
            .await;
        assert!(run.unwrap().outcome().await.unwrap().is_completed());
        let expected = [format!("r/deploy/{round}"), format!("r/tell/{round}")];
        assert_eq!(world.take(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_retried_run_is_resumed_like_any_other() {
    let (machine, world) = (Machine::new(), World::default());
    let process = machine.process();
    world.fail(true);
    let run = process
        .start_durable(&release(&world), id(), ())
        .await
        .unwrap();
    run.outcome().await.unwrap();
    let run = process
        .retry_run(&release(&world), &id(), None)
        .await
        .unwrap();
    let early = process.retry_run(&release(&world), &id(), None).await;
    assert!(
        matches!(early, Err(WorkflowError::NotFinished { .. })),
        "{early:?}"
    );
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    process.shutdown(Duration::from_secs(1)).await;
    world.take();

    // Its records are followed from the beginning, both ends included.
    let process = machine.process();
    world.fail(false);
    let run = process
        .retry_run(&release(&world), &id(), Some("build"))
        .await
        .unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(
        world.take(),
        ["r/build/1", "r/reserve/2", "r/deploy", "r/tell"]
    );
    let view = machine.journal().view(&id()).await.unwrap();
    assert!(
        view.steps
            .iter()
            .all(|step| step.phase.to_string() == "completed")
    );
}

#[tokio::test(start_paused = true)]
async fn that_a_run_waited_to_be_retried_is_told_as_that_and_not_as_a_wait_for_room() {
    let (machine, world) = (Machine::new(), World::default());
    let process = machine.process();
    let mut workflow = Workflow::durable("release");
    let build = workflow.step("build").run(async || {
        sleep(Duration::from_secs(1)).await;
        Ok::<_, StepError>(())
    });
    let failing = world.clone();
    workflow.step("deploy").after(&build).run(move || {
        let world = failing.clone();
        async move {
            sleep(Duration::from_secs(2)).await;
            let fails = *world.fails.lock().unwrap();
            if fails {
                Err(StepError::message("no"))
            } else {
                Ok(())
            }
        }
    });
    let (workflow, id) = (workflow.build().unwrap(), RunId::named("r").unwrap());
    world.fail(true);
    let run = process.start_durable(&workflow, id.clone(), ());
    run.await.unwrap().outcome().await.unwrap();
    sleep(Duration::from_secs(20)).await;
    world.fail(false);
    let run = process.retry_run(&workflow, &id, None).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    let path = outcome.critical_path();
    let steps = path.steps.iter();
    let steps = steps.map(|on_it| {
        let times = [on_it.until_retried, on_it.wait, on_it.duration];
        (on_it.step.id, times.map(|time| time.as_secs()))
    });
    let expected = [("build", [0, 0, 1]), ("deploy", [22, 0, 2])];
    assert_eq!(steps.collect::<Vec<_>>(), expected);
    assert_eq!(path.length.as_secs(), 25);
    let text = path.to_string();
    assert!(
        text.contains("22.0s  until the run was retried\n"),
        "{text}"
    );
    assert!(!text.contains("room"), "{text}");
    let timeline = outcome.timeline().to_string();
    assert!(
        timeline.contains("23.00") && timeline.contains("the run was retried"),
        "{timeline}"
    );
    let gantt = outcome.gantt().to_string();
    assert!(!gantt.contains(".."), "it waited for no room: {gantt}");
}
