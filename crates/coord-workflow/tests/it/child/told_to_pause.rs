//! Of runs within one that is told to pause.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::LocalBus;
use coord_bus::time::sleep;
use coord_workflow::{
    Command, Durable, Keeps, Retry, Run, RunId, RunState, Status, Step, StepError, Why, Workflow,
    WorkflowBuilder, WorkflowOrchestrator,
};

use crate::durable::Machine;

const SECOND: Duration = Duration::from_secs(1);

fn id() -> RunId {
    RunId::named("r").unwrap()
}

#[derive(Clone, Default)]
struct World(Arc<Mutex<Vec<&'static str>>>);

impl World {
    fn done(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }

    fn work(
        &self,
        what: &'static str,
    ) -> impl Fn() -> coord_bus::BoxFuture<'static, Result<u32, StepError>> + use<> {
        let world = self.clone();
        move || {
            world.0.lock().unwrap().push(what);
            Box::pin(async {
                sleep(SECOND).await;
                Ok(1)
            })
        }
    }
}

/// `a`, then `b`, which take a second each.
fn inner<K: Keeps<u32>>(
    world: &World,
    mut workflow: WorkflowBuilder<(), K>,
) -> (Workflow<(), K>, Step<u32>) {
    let a = workflow.step("a").run(world.work("a"));
    let b = workflow.step("b").after(&a).run(world.work("b"));
    (workflow.build().unwrap(), b)
}

/// That, as the work of the step `middle` of a run that is the work of the step `outer`.
fn outer<K: Keeps<u32> + Keeps<()>>(
    world: &World,
    begin: fn(&str) -> WorkflowBuilder<(), K>,
) -> Workflow<(), K> {
    let (inner, b) = inner(world, begin("inner"));
    let mut workflow = begin("middle");
    let middle = workflow.step("middle").workflow(&inner, b);
    let within = workflow.build().unwrap();
    let mut workflow = begin("outer");
    workflow.step("outer").workflow(&within, middle);
    workflow.build().unwrap()
}

fn durable(name: &str) -> WorkflowBuilder<(), Durable> {
    Workflow::<()>::durable(name)
}

/// The run within the one within this one.
async fn innermost(machine: &Machine) -> RunId {
    let journal = machine.journal();
    let view = journal.view(&id()).await.unwrap();
    let middle = view.step("outer").unwrap().child.clone().unwrap();
    let view = journal.view(&middle).await.unwrap();
    view.step("middle").unwrap().child.clone().unwrap()
}

async fn completes(run: &Run) {
    assert!(run.outcome().await.unwrap().is_completed());
}

#[tokio::test(start_paused = true)]
async fn no_step_of_a_run_begins_while_one_around_it_is_paused_and_it_goes_on_with_that() {
    let (machine, world) = (Machine::new(), World::default());
    let process = machine.process();
    let workflow = outer(&world, durable);
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    sleep(SECOND / 2).await;
    run.tell(Command::Pause).await.unwrap();
    sleep(10 * SECOND).await;
    assert_eq!(world.done(), ["a"]);
    let within = innermost(&machine).await;
    let (inner, _) = inner(&world, durable("inner"));
    let child = process.resume_run(&inner, &within).await.unwrap();
    let paused = Some(Why::PausedWith(id()));
    assert_eq!(child.why("b"), paused);
    let view = machine.journal().view(&within).await.unwrap();
    assert_eq!((view.is_paused, view.why("b")), (true, paused));
    assert!(view.why("b").unwrap().to_string().contains("run `r`"));
    // It is not what is to be continued.
    child.tell(Command::Continue).await.unwrap();
    sleep(SECOND).await;
    assert_eq!(world.done(), ["a"]);

    run.tell(Command::Continue).await.unwrap();
    completes(&run).await;
    assert_eq!(world.done(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn it_is_so_in_memory() {
    let world = World::default();
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let workflow = outer(&world, |name| Workflow::<()>::builder(name));
    let run = orchestrator.start_workflow(&workflow, ()).unwrap();
    sleep(SECOND / 2).await;
    run.tell(Command::Pause).await.unwrap();
    sleep(10 * SECOND).await;
    assert_eq!(world.done(), ["a"]);
    run.tell(Command::Continue).await.unwrap();
    completes(&run).await;
    assert_eq!(world.done(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn it_is_so_in_the_process_that_takes_the_run_up() {
    let (machine, world) = (Machine::new(), World::default());
    let workflow = outer(&world, durable);
    let killed = machine.process();
    let run = killed.start_durable(&workflow, id(), ()).await.unwrap();
    sleep(SECOND / 2).await;
    run.tell(Command::Pause).await.unwrap();
    sleep(SECOND).await;
    drop((killed, run));
    let process = machine.process();
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    let (inner, _) = inner(&world, durable("inner"));
    let alone = process.resume_runs(&inner).await.unwrap();
    assert!(alone.runs.is_empty());
    sleep(10 * SECOND).await;
    assert_eq!(world.done(), ["a"]);
    run.tell(Command::Continue).await.unwrap();
    completes(&run).await;
    assert_eq!(world.done(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_within_one_that_is_paused_begins_no_step_in_another_attempt() {
    let (machine, world) = (Machine::new(), World::default());
    let process = machine.process();
    let mut workflow = durable("inner").timeout(2 * SECOND);
    let a = workflow.step("a").run(world.work("a"));
    let b = workflow.step("b").after(&a).run(world.work("b"));
    let inner = workflow.build().unwrap();
    let mut workflow = durable("outer");
    let retry = Retry::constant(SECOND).max_attempts(100);
    workflow.step("outer").retry(retry).workflow(&inner, b);
    let workflow = workflow.build().unwrap();
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    sleep(SECOND / 2).await;
    run.tell(Command::Pause).await.unwrap();
    // Its time goes on, as that of any run does which is paused.
    sleep(30 * SECOND).await;
    assert_eq!(world.done(), ["a"]);
    run.tell(Command::Continue).await.unwrap();
    completes(&run).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_within_one_that_is_paused_is_cancelled_with_it() {
    let (machine, world) = (Machine::new(), World::default());
    let process = machine.process();
    let workflow = outer(&world, durable);
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    sleep(SECOND / 2).await;
    run.tell(Command::Pause).await.unwrap();
    sleep(10 * SECOND).await;
    let within = innermost(&machine).await;
    run.tell(Command::Cancel { reason: None }).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Cancelled);
    let view = machine.journal().view(&within).await.unwrap();
    assert_eq!(view.state, RunState::Finished(Status::Cancelled));
    assert!(!view.is_paused);
    assert_eq!(world.done(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_run_within_one_that_is_paused_waits_for_goes_to_others() {
    let (machine, world) = (Machine::new(), World::default());
    let bus = LocalBus::new();
    let builder = machine.builder(&bus).resource("bank", 1);
    let process = builder.build().unwrap();
    let mut workflow = durable("inner");
    let step = workflow.step("charge").resource("bank", 1);
    let charge = step.run(world.work("charge"));
    let inner = workflow.build().unwrap();
    let mut workflow = durable("outer");
    workflow.step("outer").workflow(&inner, charge);
    let workflow = workflow.build().unwrap();
    let mut other = durable("other");
    other
        .step("other")
        .resource("bank", 1)
        .run(world.work("other"));
    let other = other.build().unwrap();
    let named = |id: &str| RunId::named(id).unwrap();
    // Has it for a second.
    process
        .start_durable(&other, named("o1"), ())
        .await
        .unwrap();
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    sleep(SECOND / 2).await;
    let last = process
        .start_durable(&other, named("o2"), ())
        .await
        .unwrap();
    run.tell(Command::Pause).await.unwrap();
    completes(&last).await;
    assert_eq!(world.done(), ["other", "other"]);
    run.tell(Command::Continue).await.unwrap();
    completes(&run).await;
    assert_eq!(world.done(), ["other", "other", "charge"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_resumed_by_its_own_id_hears_of_it_once_the_one_around_it_is_resumed_there()
{
    let (machine, world) = (Machine::new(), World::default());
    let workflow = outer(&world, durable);
    let killed = machine.process();
    let run = killed.start_durable(&workflow, id(), ()).await.unwrap();
    sleep(SECOND / 2).await;
    drop((killed, run));
    let process = machine.process();
    let (inner, _) = inner(&world, durable("inner"));
    let within = innermost(&machine).await;
    let child = process.resume_run(&inner, &within).await.unwrap();
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    sleep(SECOND / 2).await;
    run.tell(Command::Pause).await.unwrap();
    sleep(10 * SECOND).await;
    assert_eq!(world.done(), ["a", "a"]);
    assert_eq!(child.why("b"), Some(Why::PausedWith(id())));
    run.tell(Command::Continue).await.unwrap();
    completes(&run).await;
    assert_eq!(world.done(), ["a", "a", "b"]);
}
