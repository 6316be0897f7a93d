//! What it costs to go on with all runs of a workflow, where those of others are in the journal, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coord_bus::time::sleep;
use coord_workflow::{DEFAULT_LEASE_TTL, Durable, RunId, Step, StepError, Workflow};

use crate::durable::Machine;
use crate::summaries::Counting;

const ITEMS: u32 = 300;

fn named(id: &str) -> RunId {
    RunId::named(id).unwrap()
}

/// Many items, and then a step that takes an hour.
fn long(name: &str) -> (Workflow<(), Durable>, Step<()>) {
    let mut workflow = Workflow::<()>::durable(name);
    let list = workflow
        .step("list")
        .run(|| async { Ok::<_, StepError>((0..ITEMS).collect::<Vec<_>>()) });
    let each = workflow.step("each").for_each(list);
    let each = each.run(|item: u32| async move { Ok::<u32, StepError>(item) });
    let hour = workflow.step("hour").after(&each).run(|| async {
        sleep(Duration::from_secs(3600)).await;
        Ok::<_, StepError>(())
    });
    (workflow.build().unwrap(), hour)
}

/// How many records are read to go on with all runs of a workflow, and how many those are.
async fn resumed(machine: &Machine, workflow: &Workflow<(), Durable>) -> (usize, usize) {
    let read = Arc::new(AtomicUsize::new(0));
    let counting = machine.with_log(Arc::new(Counting {
        log: Arc::clone(&machine.log),
        read: Arc::clone(&read),
    }));
    let resumed = counting.process().resume_runs(workflow).await.unwrap();
    assert!(resumed.refused.is_empty(), "{:?}", resumed.refused);
    (read.load(Ordering::SeqCst), resumed.runs.len())
}

#[tokio::test(start_paused = true)]
async fn of_the_runs_of_other_workflows_one_record_is_read_when_all_of_one_are_resumed() {
    let machine = Machine::new();
    let killed = machine.process();
    let (other, mine) = (long("other").0, long("mine").0);
    for id in ["a", "b", "c"] {
        killed.start_durable(&other, named(id), ()).await.unwrap();
    }
    killed.start_durable(&mine, named("d"), ()).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    drop(killed);
    sleep(DEFAULT_LEASE_TTL).await;

    assert_eq!(resumed(&machine, &long("none").0).await, (4, 0));
    let all = machine.kinds("d").await.len();
    assert!(all > ITEMS as usize);
    assert_eq!(resumed(&machine, &mine).await, (3 + all, 1));
}

#[tokio::test(start_paused = true)]
async fn of_a_run_that_goes_on_with_another_one_record_is_read_too() {
    let machine = Machine::new();
    let killed = machine.process();
    let (inner, hour) = long("inner");
    let mut outer = Workflow::<()>::durable("outer");
    outer.step("inner").workflow(&inner, hour);
    let outer = outer.build().unwrap();
    killed.start_durable(&outer, named("a"), ()).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    drop(killed);
    sleep(DEFAULT_LEASE_TTL).await;

    assert_eq!(resumed(&machine, &inner).await, (2, 0));
}
