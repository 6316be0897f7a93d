//! The idempotency keys of steps: those of a run, and of no other.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::sleep;
use coord_bus::{AppendTo, EventLog, MemoryEventLog};
use coord_workflow::{
    DEFAULT_LEASE_TTL, Durable, RunId, Status, StepContext, StepError, Workflow,
    WorkflowOrchestrator,
};
use serde_json::Value;

use crate::durable::Machine;

/// The key of a step without what tells its run from another one of its id.
pub(crate) fn unmarked(context: &StepContext) -> String {
    let key = context.idempotency_key();
    let rest = &key[context.run().as_str().len()..];
    let (mark, rest) = rest.split_once('/').unwrap();
    let is_mark = |mark: &str| mark.len() == 11 && mark.starts_with('-');
    assert!(mark.is_empty() || is_mark(mark), "{key}");
    format!("{}/{rest}", context.run())
}

/// What the steps of runs have asked for by which keys, and how often `ship` is to fail yet, or to hang.
#[derive(Clone, Default)]
struct World {
    keys: Arc<Mutex<Vec<String>>>,
    failures: Arc<Mutex<u32>>,
    hangs: Arc<Mutex<bool>>,
}

impl World {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.keys.lock().unwrap())
    }

    fn see(&self, context: &StepContext) {
        self.keys.lock().unwrap().push(context.idempotency_key());
    }
}

/// `charge`, which can be undone; `mail`, for two items; `pay`, which is a run of its own; `ship`, which fails.
fn order(world: &World) -> Workflow<(), Durable> {
    let mut pay = Workflow::<()>::durable("pay");
    let does = world.clone();
    let paid = pay.step("card").run_with(move |context: StepContext| {
        does.see(&context);
        std::future::ready(Ok::<_, StepError>(7_u32))
    });
    let pay = pay.build().unwrap();
    let mut workflow = Workflow::durable("order");
    let input = workflow.input();
    let (does, undoes) = (world.clone(), world.clone());
    let charge = workflow.step("charge");
    let charge = charge
        .compensate_with(move |context: StepContext, _: Arc<Vec<u32>>| {
            undoes.see(&context);
            std::future::ready(Ok::<_, StepError>(()))
        })
        .run_with(move |context: StepContext| {
            does.see(&context);
            std::future::ready(Ok::<_, StepError>(vec![1_u32, 2]))
        });
    let does = world.clone();
    let mail = workflow.step("mail").for_each(charge);
    let mail = mail.run_with(move |context: StepContext, _: u32| {
        does.see(&context);
        std::future::ready(Ok::<_, StepError>(()))
    });
    let pay = workflow
        .step("pay")
        .after(&mail)
        .input(input)
        .workflow(&pay, paid);
    let does = world.clone();
    let ship = workflow.step("ship").after(&pay);
    ship.run_with(move |context: StepContext| {
        does.see(&context);
        let does = does.clone();
        async move {
            if *does.hangs.lock().unwrap() {
                sleep(Duration::from_secs(3600)).await;
            }
            let left = does.failures.lock().unwrap().checked_sub(1);
            match left {
                Some(left) => {
                    *does.failures.lock().unwrap() = left;
                    Err(StepError::message("no ship").permanent())
                }
                None => Ok(()),
            }
        }
    });
    workflow.build().unwrap()
}

fn id() -> RunId {
    RunId::named("nightly").unwrap()
}

/// The keys of a run that fails, and is retried.
async fn keys_of(process: &WorkflowOrchestrator, world: &World) -> Vec<String> {
    *world.failures.lock().unwrap() = 1;
    let order = order(world);
    let run = process.start_durable_anew(&order, id(), ()).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    let run = process.retry_run(&order, &id(), None).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    world.take()
}

#[tokio::test(start_paused = true)]
async fn a_run_begun_anew_has_no_key_of_the_run_before_it_and_each_is_of_its_id_and_step() {
    let (machine, world) = (Machine::new(), World::default());
    let process = machine.process();
    let first = keys_of(&process, &world).await;
    let mark = first[0].strip_prefix("nightly-").unwrap();
    let mark = mark.strip_suffix("/charge").unwrap();
    assert_eq!(mark.len(), 10);
    let of_run = |key: &str| format!("nightly-{mark}/{key}");
    assert_eq!(first[0], of_run("charge"));
    assert_eq!(first[1..3], [of_run("mail:0"), of_run("mail:1")]);
    assert!(first[3].starts_with("nightly.pay-") && first[3].ends_with("/card"));
    let undone = [of_run("ship"), of_run("charge/undo"), of_run("charge/1")];
    assert_eq!(first[4..7], undone);

    let second = keys_of(&process, &world).await;
    // As it is begun in place of the first, and where that was forgotten.
    machine.log.forget("run.nightly").await.unwrap();
    let third = keys_of(&process, &world).await;
    for key in &first {
        assert!(!second.contains(key) && !third.contains(key), "{key}");
    }
    assert!(second.iter().all(|key| !third.contains(key)));
}

#[tokio::test(start_paused = true)]
async fn who_takes_a_run_up_and_who_starts_it_again_asks_by_its_keys() {
    let (machine, world) = (Machine::new(), World::default());
    let (mut process, order) = (machine.process(), order(&world));
    *world.hangs.lock().unwrap() = true;
    let _run = process.start_durable(&order, id(), ()).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let before = world.take().pop().unwrap();
    assert!(before.ends_with("/ship"));
    for starts in [true, false] {
        drop(process);
        sleep(DEFAULT_LEASE_TTL).await;
        process = machine.process();
        let run = match starts {
            true => process.start_durable(&order, id(), ()).await,
            false => process.resume_run(&order, &id()).await,
        };
        run.unwrap();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(world.take(), std::slice::from_ref(&before));
    }
}

/// Before, keys were made of the id alone; those of the runs within it of theirs.
#[tokio::test(start_paused = true)]
async fn a_run_that_an_earlier_version_has_started_goes_on_with_the_keys_of_that() {
    let (machine, world) = (Machine::new(), World::default());
    let (process, order) = (machine.process(), order(&world));
    *world.hangs.lock().unwrap() = true;
    let _run = process.start_durable(&order, id(), ()).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    drop(process);
    world.take();
    let earlier = Arc::new(MemoryEventLog::new());
    let stored = machine.log.read("run.nightly", 1, 100).await.unwrap();
    let mut append = AppendTo::stream("run.nightly");
    for mut record in stored.into_iter().map(|stored| stored.record) {
        if record.kind == "run-started" {
            let mut said: Value = serde_json::from_slice(&record.payload).unwrap();
            assert_eq!(
                said.as_object_mut().unwrap().remove("marked"),
                Some(true.into())
            );
            record.payload = serde_json::to_vec(&said).unwrap();
        }
        append = append.record(record);
    }
    earlier.append(append).await.unwrap();
    sleep(DEFAULT_LEASE_TTL).await;
    *world.hangs.lock().unwrap() = false;
    *world.failures.lock().unwrap() = 1;
    let process = machine.with_log(earlier).process();
    let run = process.resume_run(&order, &id()).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    assert_eq!(world.take(), ["nightly/ship", "nightly/charge/undo"]);
    let run = process.retry_run(&order, &id(), None).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    let again = world.take();
    assert_eq!(
        again[..3],
        ["nightly/charge/1", "nightly/mail/1:0", "nightly/mail/1:1"]
    );
    assert_eq!(again[4], "nightly/ship");
}
