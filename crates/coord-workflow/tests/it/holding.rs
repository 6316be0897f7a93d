//! Who has what a step waits for: permits and places, also in other runs.

use std::num::NonZeroUsize;
use std::time::Duration;

use coord_bus::LocalBus;
use coord_bus::time::sleep;
use coord_workflow::{
    Command, Durable, OnExhausted, Retry, Run, RunId, StepContext, StepError, Why, Workflow,
    WorkflowOrchestrator,
};

use crate::durable::Machine;

const MINUTE: Duration = Duration::from_secs(60);

fn id(name: &str) -> RunId {
    RunId::named(name).unwrap()
}

/// Steps `s0`, `s1`, … that take a permit each of this resource, if of any, for a minute.
fn alike(steps: usize, resource: Option<&str>) -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("alike");
    for step in 0..steps {
        let mut step = workflow.step(format!("s{step}"));
        if let Some(resource) = resource {
            step = step.resource(resource, 1);
        }
        step.run_with(|_: StepContext| async {
            sleep(MINUTE).await;
            Ok::<_, StepError>(())
        });
    }
    workflow.build().unwrap()
}

async fn begin(
    orchestrator: &WorkflowOrchestrator,
    name: &str,
    workflow: &Workflow<(), Durable>,
) -> Run {
    let run = orchestrator.start_durable(workflow, id(name), ()).await;
    let run = run.unwrap();
    sleep(Duration::from_secs(1)).await;
    run
}

fn said(run: &Run, step: &str) -> String {
    run.why(step).unwrap().to_string()
}

const GPU: &str = "it is ready, and waits for permits of `gpu`, which ";
const PLACE: &str =
    "it is ready, and waits for a place: as many steps as may run are running, which are ";

#[tokio::test(start_paused = true)]
async fn the_steps_of_other_runs_that_have_a_permit_are_named_also_by_other_processes() {
    let machine = Machine::new();
    let bus = LocalBus::new();
    let builder = machine.builder(&bus).resource("gpu", 2);
    let orchestrator = builder.resource("disk", 1).build().unwrap();
    let a = begin(&orchestrator, "a", &alike(1, Some("gpu"))).await;
    let _others = begin(&orchestrator, "c", &alike(1, Some("disk"))).await;
    let b = begin(&orchestrator, "b", &alike(2, Some("gpu"))).await;
    let told = format!("{GPU}`s0`, `s0` of run `a` have");
    assert_eq!(said(&b, "s1"), told);
    // One that has the same resources of its own is none of theirs.
    let elsewhere = machine.builder(&bus).resource("gpu", 1).build().unwrap();
    let _own = begin(&elsewhere, "d", &alike(1, Some("gpu"))).await;
    let journal = machine.journal();
    let why = async |step: &str| journal.why(&id("b"), step).await.unwrap();
    assert_eq!(why("s1").await.unwrap().to_string(), told);
    assert_eq!(why("s0").await, Some(Why::Running));
    assert_eq!(why("s9").await, None);
    a.outcome().await.unwrap();
    assert_eq!(said(&b, "s1"), "it is running");
}

#[tokio::test(start_paused = true)]
async fn of_many_that_have_a_permit_the_first_are_named_and_the_others_counted() {
    let bus = LocalBus::new();
    let builder = Machine::new().builder(&bus).resource("gpu", 30);
    let orchestrator = builder.build().unwrap();
    let mut runs = Vec::new();
    for run in 0..28 {
        runs.push(begin(&orchestrator, &format!("r{run}"), &alike(1, Some("gpu"))).await);
    }
    let last = begin(&orchestrator, "last", &alike(3, Some("gpu"))).await;
    let Some(Why::Permits { held_by, .. }) = last.why("s2") else {
        panic!("{:?}", last.why("s2"));
    };
    assert_eq!((held_by.first.len(), held_by.more), (8, 22));
    let named: Vec<_> = held_by.first.iter().map(|holder| &*holder.step).collect();
    assert_eq!(named[..2], ["s0", "s1"]);
    assert_eq!(held_by.first[1].run, None);
    assert_eq!(held_by.first[2].run, Some(id("r0")));
    assert!(said(&last, "s2").ends_with(" of run `r5` and 22 more have"));
}

#[tokio::test(start_paused = true)]
async fn the_steps_that_have_the_places_of_the_orchestrator_are_named_with_their_runs() {
    let machine = Machine::new();
    let bus = LocalBus::new();
    let two = NonZeroUsize::new(2).unwrap();
    let builder = machine.builder(&bus).total_concurrency(two);
    let orchestrator = builder.resource("gpu", 9).build().unwrap();
    let _a = begin(&orchestrator, "a", &alike(2, Some("gpu"))).await;
    let b = begin(&orchestrator, "b", &alike(2, Some("gpu"))).await;
    let told = format!("{PLACE}`s0` of run `a`, `s1` of run `a`");
    // It has its permit.
    assert_eq!(said(&b, "s0"), told);
    let c = begin(&orchestrator, "c", &alike(1, None)).await;
    assert_eq!(said(&c, "s0"), told);
    let why = machine.journal().why(&id("c"), "s0").await.unwrap();
    assert_eq!(why.unwrap().to_string(), told);
}

#[tokio::test(start_paused = true)]
async fn where_the_run_has_no_place_left_its_own_steps_are_named_and_not_those_that_only_wait() {
    let machine = Machine::new();
    let bus = LocalBus::new();
    let one = NonZeroUsize::MIN;
    let orchestrator = machine.builder(&bus).concurrency(one).build().unwrap();
    let mut workflow = Workflow::<()>::durable("waits");
    workflow.step("nap").sleep(10 * MINUTE);
    workflow
        .step("fails")
        .retry(Retry::constant(MINUTE))
        .run(|| async { Err::<(), _>(StepError::message("no")) });
    workflow.step("works").run(|| async {
        sleep(MINUTE).await;
        Ok::<_, StepError>(())
    });
    workflow
        .step("last")
        .run(|| async { Ok::<_, StepError>(()) });
    let _other = begin(&orchestrator, "a", &alike(1, None)).await;
    let run = begin(&orchestrator, "b", &workflow.build().unwrap()).await;
    let told = format!("{PLACE}`works`");
    assert_eq!(said(&run, "last"), told);
    let why = machine.journal().why(&id("b"), "last").await.unwrap();
    assert_eq!(why.unwrap().to_string(), told);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_exhausted_has_no_permit_nor_when_it_waits_to_be_tried_anew() {
    let machine = Machine::new();
    let bus = LocalBus::new();
    let orchestrator = machine.builder(&bus).resource("gpu", 1).build().unwrap();
    let mut workflow = Workflow::<()>::durable("fails");
    workflow
        .step("fails")
        .resource("gpu", 1)
        .retry(Retry::constant(MINUTE).max_attempts(2))
        .on_exhausted(OnExhausted::Pause)
        .run(|| async { Err::<(), _>(StepError::message("no")) });
    let a = begin(&orchestrator, "a", &workflow.build().unwrap()).await;
    let b = begin(&orchestrator, "b", &alike(2, Some("gpu"))).await;
    assert_eq!(said(&b, "s0"), format!("{GPU}`fails` of run `a` has"));
    sleep(MINUTE).await;
    assert_eq!(said(&b, "s0"), "it is running");
    a.tell(Command::Continue).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let b_has = format!("{GPU}`s0` of run `b` has");
    assert_eq!(said(&a, "fails"), b_has);
    assert_eq!(said(&b, "s1"), format!("{GPU}`s0` has"));
}
