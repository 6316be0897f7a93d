//! A run within a run that one worker can go on with, and another one cannot.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::sleep;
use coord_bus::{
    AppendTo, Appended, BoxFuture, EventLog, EventLogError, EventLogProxy, LocalBus, StreamQuery,
};
use coord_workflow::{
    DEFAULT_LEASE_TTL, Durable, RunId, RunQuery, RunState, Status, Step, StepError, Workflow,
    WorkflowError, WorkflowOrchestrator,
};

use crate::durable::Machine;

fn id() -> RunId {
    RunId::named("r").unwrap()
}

/// What was done, in the order in which it was.
type Done = Arc<Mutex<Vec<&'static str>>>;

fn take(done: &Done) -> Vec<&'static str> {
    std::mem::take(&mut done.lock().unwrap())
}

/// `pre`, then `render`, which needs a `gpu` and waits to be told by a signal that it may go on.
fn kid(done: &Done, is_newer: bool) -> (Workflow<u32, Durable>, Step<u32>) {
    let mut workflow = Workflow::durable("kid");
    let write = |what| {
        let done = Arc::clone(done);
        move || {
            done.lock().unwrap().push(what);
            std::future::ready(Ok::<_, StepError>(()))
        }
    };
    let undo = write("pre undone");
    let pre = workflow
        .step("pre")
        .compensate(move |_| undo())
        .run(write("pre"));
    let go = workflow.step("go").after(&pre).signal::<u32>("go");
    let render = workflow
        .step("render")
        .after(&go)
        .resource("gpu", 1)
        .run(write("render"));
    if is_newer {
        workflow.step("polish").after(&render).run(write("polish"));
    }
    (workflow.build().unwrap(), go)
}

/// `first`, then `kids`, whose work is a run of the other, or one for each of two items.
fn top(
    done: &Done,
    (kid, go): &(Workflow<u32, Durable>, Step<u32>),
    is_each: bool,
) -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("top");
    let (first_done, undone) = (Arc::clone(done), Arc::clone(done));
    let first = workflow
        .step("first")
        .compensate(move |_| {
            undone.lock().unwrap().push("first undone");
            std::future::ready(Ok::<_, StepError>(()))
        })
        .run(move || {
            first_done.lock().unwrap().push("first");
            std::future::ready(Ok::<_, StepError>(vec![1_u32, 2]))
        });
    match is_each {
        true => {
            let kids = workflow.step("kids").for_each(first);
            kids.workflow(kid, *go);
        }
        false => {
            let one = workflow
                .step("one")
                .input(first)
                .run(async |items: Arc<Vec<u32>>| Ok::<_, StepError>(items[0]));
            workflow.step("kids").input(one).workflow(kid, *go);
        }
    }
    workflow.build().unwrap()
}

fn worker(machine: &Machine, gpus: u32) -> WorkflowOrchestrator {
    let bus = LocalBus::new();
    let builder = machine.builder(&bus);
    match gpus {
        0 => builder.build().unwrap(),
        gpus => builder.resource("gpu", gpus).build().unwrap(),
    }
}

async fn records(machine: &Machine) -> u64 {
    let streams = machine.log.streams(&StreamQuery::by_name()).await.unwrap();
    let runs = streams.iter().filter(|it| it.name.starts_with("run."));
    runs.map(|it| it.version).sum()
}

/// Sends `go` to each run within the other.
async fn go(machine: &Machine) {
    let journal = machine.journal();
    for run in journal.runs(&RunQuery::newest()).await.unwrap() {
        if run != id() {
            let go = coord_workflow::Signal::<u32>::new("go").with(7).unwrap();
            journal.tell(&run, go).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_child_is_of_another_definition_by_now_is_left_to_who_has_that() {
    for is_each in [false, true] {
        let (machine, done) = (Machine::new(), Done::default());
        let old = top(&done, &kid(&done, false), is_each);
        let new = top(&done, &kid(&done, true), is_each);
        let killed = worker(&machine, 1);
        killed.start_durable(&old, id(), ()).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        drop(killed);
        sleep(DEFAULT_LEASE_TTL).await;
        take(&done);

        let newer = worker(&machine, 1);
        let before = records(&machine).await;
        for _ in 0..3 {
            let resumed = newer.resume_runs(&new).await.unwrap();
            assert!(resumed.runs.is_empty(), "{resumed:?}");
            let [(run, WorkflowError::Child { child, source, .. })] = &resumed.refused[..] else {
                panic!("{resumed:?}");
            };
            assert_eq!(*run, id());
            assert!(child.starts_with("r."), "{child}");
            assert!(
                matches!(&**source, WorkflowError::Changed { .. }),
                "{source:?}"
            );
            sleep(Duration::from_secs(5)).await;
        }
        assert_eq!(records(&machine).await, before, "nothing is kept of it");
        let view = machine.journal().view(&id()).await.unwrap();
        assert_eq!(view.state, RunState::Interrupted);

        let older = worker(&machine, 1);
        let resumed = older.resume_runs(&old).await.unwrap();
        assert_eq!(resumed.runs.len(), 1, "{resumed:?}");
        sleep(Duration::from_secs(1)).await;
        go(&machine).await;
        let outcome = resumed.runs[0].outcome().await.unwrap();
        assert!(outcome.is_completed(), "{outcome:?}");
        assert!(!take(&done).contains(&"polish"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_child_asks_for_what_is_not_there_is_neither_started_nor_taken_up() {
    for is_each in [false, true] {
        let (machine, done) = (Machine::new(), Done::default());
        let workflow = top(&done, &kid(&done, false), is_each);
        let without = worker(&machine, 0);
        let refused = without.start_durable(&workflow, id(), ()).await;
        let refused = refused.map(drop).unwrap_err();
        assert!(
            matches!(&refused, WorkflowError::Resources { workflow, .. } if workflow == "kid"),
            "{refused:?}"
        );
        assert_eq!(records(&machine).await, 0);

        let killed = worker(&machine, 1);
        killed.start_durable(&workflow, id(), ()).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        drop(killed);
        sleep(DEFAULT_LEASE_TTL).await;
        let before = records(&machine).await;
        let resumed = without.resume_runs(&workflow).await.unwrap();
        assert!(
            matches!(&resumed.refused[..], [(_, WorkflowError::Resources { .. })]),
            "{resumed:?}"
        );
        assert_eq!(records(&machine).await, before);

        let with = worker(&machine, 1);
        let run = with.resume_run(&workflow, &id()).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        go(&machine).await;
        assert_eq!(run.outcome().await.unwrap().status, Status::Completed);
        assert!(take(&done).iter().all(|what| !what.ends_with("undone")));
    }
}

/// A log to which another process writes for so long that the first appends to a run within another are refused.
struct Locked {
    log: Arc<dyn EventLog>,
    refusals: AtomicU64,
}

impl EventLogProxy for Locked {
    fn log(&self) -> &dyn EventLog {
        &*self.log
    }

    fn on_append(&self, append: AppendTo) -> BoxFuture<'_, Result<Appended, EventLogError>> {
        Box::pin(async move {
            let order = Ordering::SeqCst;
            let is_child = append.stream.starts_with("run.r.");
            let refuses = |left: u64| left.checked_sub(1);
            if is_child && self.refusals.fetch_update(order, order, refuses).is_ok() {
                let source = Box::new(std::io::Error::other("it was locked for 5s"));
                return Err(EventLogError::Busy { source });
            }
            self.log.append(append).await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_that_cannot_be_started_while_the_journal_is_busy_is_started_once_it_is_not() {
    for is_each in [false, true] {
        let (machine, done) = (Machine::new(), Done::default());
        let locked = Arc::new(Locked {
            log: Arc::clone(&machine.log),
            refusals: AtomicU64::new(9),
        });
        let machine = machine.with_log(Arc::clone(&locked) as Arc<dyn EventLog>);
        let workflow = top(&done, &kid(&done, false), is_each);
        let process = worker(&machine, 1);
        let run = process.start_durable(&workflow, id(), ()).await.unwrap();
        sleep(Duration::from_secs(120)).await;
        assert_eq!(locked.refusals.load(Ordering::SeqCst), 0);
        go(&machine).await;
        let outcome = run.outcome().await.unwrap();
        assert!(outcome.is_completed(), "{outcome:?}");
        let kids = if is_each { 2 } else { 1 };
        let rendered = take(&done);
        let rendered = rendered.iter().filter(|what| **what == "render").count();
        assert_eq!(rendered, kids);
    }
}
