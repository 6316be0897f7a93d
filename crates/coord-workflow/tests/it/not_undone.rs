//! Runs that are retried after a step of theirs could not be undone.

use std::future::ready;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use coord_bus::{AppendTo, EventLog, MemoryEventLog, Record};
use coord_workflow::{Durable, RunId, Status, StepContext, StepError, StepPhase, Workflow};

use crate::durable::Machine;
use crate::keys::unmarked;

#[derive(Clone, Default)]
struct World {
    done: Arc<Mutex<Vec<String>>>,
    ships: Arc<AtomicBool>,
}

impl World {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.done.lock().unwrap())
    }
}

/// `build`, `charge`, which cannot be undone, and `ship`, which fails as long as nothing ships.
fn order(world: &World) -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("order");
    let does = |world: &World| {
        let world = world.clone();
        move |context: StepContext| {
            world.done.lock().unwrap().push(unmarked(&context));
            let fails = context.step() == "ship" && !world.ships.load(Ordering::SeqCst);
            ready(match fails {
                true => Err(StepError::message("no ship")),
                false => Ok(()),
            })
        }
    };
    let build = workflow.step("build").run_with(does(world));
    let charge = workflow.step("charge").after(&build);
    let charge = charge
        .compensate(async |_: Arc<()>| Err::<(), _>(StepError::message("no answer")))
        .run_with(does(world));
    workflow.step("ship").after(&charge).run_with(does(world));
    workflow.build().unwrap()
}

fn id() -> RunId {
    RunId::named("r").unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_step_that_could_not_be_undone_is_done_again_in_a_retry_and_what_was_tried_is_told() {
    let (machine, world) = (Machine::new(), World::default());
    let (process, order) = (machine.process(), order(&world));
    let run = process.start_durable(&order, id(), ()).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    assert_eq!(world.take(), ["r/build", "r/charge", "r/ship"]);
    let view = machine.journal().view_retried(&id(), None).await.unwrap();
    let charge = view.step("charge").unwrap();
    assert_eq!(charge.phase, StepPhase::Waiting);
    assert_eq!(charge.not_undone.as_deref(), Some("no answer"));

    world.ships.store(true, Ordering::SeqCst);
    let run = process.retry_run(&order, &id(), None).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(world.take(), ["r/charge/1", "r/ship"]);
    let view = machine.journal().view(&id()).await.unwrap();
    let charge = view.step("charge").unwrap();
    assert_eq!((charge.phase, &charge.error), (StepPhase::Completed, &None));
    assert_eq!(charge.not_undone.as_deref(), Some("no answer"));
    assert_eq!(view.step("build").unwrap().not_undone, None);
}

/// Before, a step that could not be undone counted as done.
#[tokio::test(start_paused = true)]
async fn what_an_earlier_version_has_retried_goes_on_with_what_was_not_undone_as_done() {
    let (machine, world) = (Machine::new(), World::default());
    let (process, order) = (machine.process(), order(&world));
    let run = process.start_durable(&order, id(), ()).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    world.take();
    let earlier = Arc::new(MemoryEventLog::new());
    let stored = machine.log.read("run.r", 1, 100).await.unwrap();
    let records = stored.into_iter().map(|stored| stored.record);
    let append = AppendTo::stream("run.r").records(records);
    let retried = Record::new("run-retried", r#"{"at":1000000000}"#);
    earlier.append(append.record(retried)).await.unwrap();
    drop(process);
    world.ships.store(true, Ordering::SeqCst);
    let process = machine.with_log(earlier).process();
    let run = process.resume_run(&order, &id()).await;
    assert!(run.unwrap().outcome().await.unwrap().is_completed());
    assert_eq!(world.take(), ["r/ship"]);
}
