//! The idempotency keys of steps that are done again after those whose outputs they are given: with the same input
//! they ask for the same, and with another for something else.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::sleep;
use coord_bus::{AppendTo, EventLog, MemoryEventLog};
use coord_workflow::{
    DEFAULT_LEASE_TTL, Durable, HandlerCall, Outcome, Registry, Run, RunId, Spec, Status,
    StepContext, StepError, StepSpec, Workflow, WorkflowOrchestrator,
};
use serde_json::{Value, json};

use crate::durable::Machine;
use crate::keys::unmarked;

const HOUR: Duration = Duration::from_secs(3600);

fn id() -> RunId {
    RunId::named("r").unwrap()
}

/// What steps put out and do.
#[derive(Clone, Default)]
struct World {
    price: Arc<Mutex<Value>>,
    fetch_fails: Arc<AtomicBool>,
    charge_fails: Arc<AtomicBool>,
    charge_hangs: Arc<AtomicBool>,
    keys: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn costs(&self, price: Value) {
        *self.price.lock().unwrap() = price;
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.keys.lock().unwrap())
    }

    fn fetch(&self) -> Result<Value, StepError> {
        match self.fetch_fails.load(Ordering::SeqCst) {
            true => Err(StepError::message("no price").permanent()),
            false => Ok(self.price.lock().unwrap().clone()),
        }
    }

    /// Says its key.
    fn charge(
        &self,
        context: &StepContext,
    ) -> impl Future<Output = Result<Value, StepError>> + use<> {
        self.keys.lock().unwrap().push(unmarked(context));
        let world = self.clone();
        async move {
            if world.charge_hangs.load(Ordering::SeqCst) {
                sleep(HOUR).await;
            }
            match world.charge_fails.load(Ordering::SeqCst) {
                true => Err(StepError::message("not now").permanent()),
                false => Ok(json!("paid")),
            }
        }
    }

    /// `fetch`, and `charge`, which is given what that puts out.
    fn typed(&self) -> Workflow<(), Durable> {
        let mut workflow = Workflow::durable("order");
        let world = self.clone();
        let fetch = workflow.step("fetch");
        let fetch = fetch.run(move || std::future::ready(world.fetch()));
        let world = self.clone();
        let charge = workflow.step("charge").input(fetch);
        charge.run_with(move |context: StepContext, _: Arc<Value>| world.charge(&context));
        workflow.build().unwrap()
    }

    fn of_handlers(&self) -> Workflow<(), Durable> {
        let (fetches, charges) = (self.clone(), self.clone());
        let registry = Registry::new()
            .handler("fetch", move |_: HandlerCall| {
                std::future::ready(fetches.fetch())
            })
            .handler("charge", move |call: HandlerCall| {
                charges.charge(&call.context)
            });
        let spec = Spec::new("order")
            .step(StepSpec::new("fetch", "fetch"))
            .step(StepSpec::new("charge", "charge").needs(["fetch"]));
        registry.workflow_with_input(spec).unwrap()
    }
}

/// What became of a run that has failed, and is retried from `fetch`.
async fn retried(process: &WorkflowOrchestrator, workflow: &Workflow<(), Durable>) -> Arc<Outcome> {
    let again = process.retry_run(workflow, &id(), Some("fetch")).await;
    again.unwrap().outcome().await.unwrap()
}

/// A run in which `charge` was asked for 7, and has failed.
async fn failed(process: &WorkflowOrchestrator, world: &World, workflow: &Workflow<(), Durable>) {
    world.costs(json!({ "euros": 7, "cents": 50 }));
    world.charge_fails.store(true, Ordering::SeqCst);
    let run = process.start_durable(workflow, id(), ()).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    assert_eq!(world.take(), ["r/charge"]);
}

async fn asks_for_something_else(build: impl Fn(&World) -> Workflow<(), Durable>) {
    let (machine, world) = (Machine::new(), World::default());
    let (process, workflow) = (machine.process(), build(&world));
    failed(&process, &world, &workflow).await;
    // The same, in another order.
    world.costs(serde_json::from_str(r#"{ "cents": 50, "euros": 7 }"#).unwrap());
    retried(&process, &workflow).await;
    assert_eq!(world.take(), ["r/charge"]);
    world.costs(json!({ "euros": 8, "cents": 50 }));
    retried(&process, &workflow).await;
    assert_eq!(world.take(), ["r/charge/1"]);
    // Nothing has changed since then.
    retried(&process, &workflow).await;
    assert_eq!(world.take(), ["r/charge/1"]);
    let again = process.retry_run(&workflow, &id(), None).await;
    again.unwrap().outcome().await.unwrap();
    assert_eq!(world.take(), ["r/charge/1"]);
    // It has not begun in between.
    world.fetch_fails.store(true, Ordering::SeqCst);
    retried(&process, &workflow).await;
    assert!(world.take().is_empty());
    world.fetch_fails.store(false, Ordering::SeqCst);
    retried(&process, &workflow).await;
    assert_eq!(world.take(), ["r/charge/1"]);
    world.fetch_fails.store(true, Ordering::SeqCst);
    retried(&process, &workflow).await;
    world.fetch_fails.store(false, Ordering::SeqCst);
    world.costs(json!({ "euros": 9, "cents": 50 }));
    world.charge_fails.store(false, Ordering::SeqCst);
    let outcome = retried(&process, &workflow).await;
    assert!(outcome.is_completed());
    assert_eq!(world.take(), ["r/charge/2"]);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_given_something_else_in_a_retry_has_another_key_and_else_the_same() {
    asks_for_something_else(World::typed).await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_given_something_else_in_a_retry_has_another_key_and_else_the_same() {
    asks_for_something_else(World::of_handlers).await;
}

/// A run that was retried, whose process was killed while `charge` was asked for something else than before.
async fn killed_while_it_charges(world: &World) -> (Machine, Workflow<(), Durable>) {
    let (machine, workflow) = (Machine::new(), world.typed());
    let process = machine.process();
    failed(&process, world, &workflow).await;
    world.charge_hangs.store(true, Ordering::SeqCst);
    world.charge_fails.store(false, Ordering::SeqCst);
    world.costs(json!(8));
    let run = process.retry_run(&workflow, &id(), Some("fetch")).await;
    let _run: Run = run.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.take(), ["r/charge/1"]);
    drop(process);
    sleep(DEFAULT_LEASE_TTL).await;
    world.charge_hangs.store(false, Ordering::SeqCst);
    (machine, workflow)
}

#[tokio::test(start_paused = true)]
async fn a_step_that_was_under_way_at_a_kill_has_the_same_key_whatever_it_was_given() {
    let world = World::default();
    let (machine, workflow) = killed_while_it_charges(&world).await;
    // Whatever a price would be now.
    world.costs(json!(9));
    let process = machine.process();
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(world.take(), ["r/charge/1"]);
}

/// Before, a step that had not been done kept its key, whatever it was given.
#[tokio::test(start_paused = true)]
async fn what_an_earlier_version_has_retried_goes_on_with_the_keys_of_that() {
    let world = World::default();
    let (machine, workflow) = killed_while_it_charges(&world).await;
    let earlier = Arc::new(MemoryEventLog::new());
    let stored = machine.log.read("run.r", 1, 100).await.unwrap();
    let mut append = AppendTo::stream("run.r");
    for mut record in stored.into_iter().map(|stored| stored.record) {
        if record.kind == "run-retried" {
            let mut said: Value = serde_json::from_slice(&record.payload).unwrap();
            assert!(said.as_object_mut().unwrap().remove("rules").is_some());
            record.payload = serde_json::to_vec(&said).unwrap();
        }
        append = append.record(record);
    }
    earlier.append(append).await.unwrap();
    let process = machine.with_log(earlier).process();
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(world.take(), ["r/charge"]);
}

/// A map is written in another order each time.
#[tokio::test(start_paused = true)]
async fn a_step_that_is_given_the_same_list_or_map_again_has_the_same_key() {
    let (machine, world) = (Machine::new(), World::default());
    let process = machine.process();
    let mut workflow = Workflow::durable("order");
    let begin = workflow.step("fetch");
    let numbers = Arc::new(Mutex::new(vec![1_u32, 2, 3]));
    let given = Arc::clone(&numbers);
    let begin = begin.run(move || {
        let numbers = given.lock().unwrap().clone();
        std::future::ready(Ok::<_, StepError>(numbers))
    });
    let each = workflow.step("each").for_each(begin);
    let each = each.run(async |number: u32| Ok::<_, StepError>(number));
    let map = workflow.step("map").after(&each).run(async || {
        let map: HashMap<u32, u32> = (0..100).map(|key| (key, key)).collect();
        Ok::<_, StepError>(map)
    });
    let charges = world.clone();
    let charge = workflow.step("charge").input((each, map));
    charge.run_with(
        move |context: StepContext, _: (Arc<Vec<u32>>, Arc<HashMap<u32, u32>>)| {
            charges.charge(&context)
        },
    );
    let workflow = workflow.build().unwrap();
    failed(&process, &world, &workflow).await;
    retried(&process, &workflow).await;
    assert_eq!(world.take(), ["r/charge"]);
    numbers.lock().unwrap()[2] = 4;
    retried(&process, &workflow).await;
    assert_eq!(world.take(), ["r/charge/1"]);
}

/// `charge` needs one of `fetch` and `slow`, and is tried twice.
#[tokio::test(start_paused = true)]
async fn the_key_of_a_step_that_needs_any_of_some_is_the_same_in_all_of_its_attempts() {
    let (machine, world) = (Machine::new(), World::default());
    let (fetches, charges) = (world.clone(), world.clone());
    let registry = Registry::new()
        .handler("fetch", move |_: HandlerCall| {
            std::future::ready(fetches.fetch())
        })
        .handler("slow", async |_: HandlerCall| {
            sleep(Duration::from_secs(1)).await;
            Ok(json!("slow"))
        })
        .handler("charge", move |call: HandlerCall| {
            let asked = charges.charge(&call.context);
            async move {
                sleep(Duration::from_secs(2)).await;
                let _ = asked.await;
                Err(StepError::message("not now"))
            }
        });
    let retry = coord_workflow::Retry::constant(Duration::ZERO).max_attempts(2);
    let charge = StepSpec::new("charge", "charge").needs_any(["fetch", "slow"]);
    let spec = Spec::new("order")
        .step(StepSpec::new("open", "fetch"))
        .step(StepSpec::new("fetch", "fetch").needs(["open"]))
        .step(StepSpec::new("slow", "slow").needs(["open"]))
        .step(charge.retry(retry));
    let workflow: Workflow<(), Durable> = registry.workflow_with_input(spec).unwrap();
    let process = machine.process();
    world.costs(json!(7));
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    assert_eq!(world.take(), ["r/charge"; 2]);
    // By its second attempt there is what the slow one has put out.
    let again = process.retry_run(&workflow, &id(), Some("open")).await;
    again.unwrap().outcome().await.unwrap();
    assert_eq!(world.take(), ["r/charge"; 2]);
    world.costs(json!(8));
    let again = process.retry_run(&workflow, &id(), Some("open")).await;
    again.unwrap().outcome().await.unwrap();
    assert_eq!(world.take(), ["r/charge/1"; 2]);
}
