//! Errors that name what one has to know to go on: the signal, the step, who drives a run, what has changed.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::sleep;
use coord_bus::{LocalBus, Topic};
use coord_workflow::{
    Command, Durable, OnFailure, Retry, Run, RunId, RunJournal, Signal, StepError, StepState,
    Workflow, WorkflowError, WorkflowOrchestrator,
};
use serde_json::json;

use crate::durable::Machine;

const GO: Signal<u64> = Signal::new("go");

fn id() -> RunId {
    RunId::named("r").unwrap()
}

fn waiting() -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("waiting");
    let wait = workflow.step("wait").retry(Retry::none()).signal(&GO);
    workflow
        .step("work")
        .after(&wait)
        .run(async || Ok::<_, StepError>(()));
    workflow.build().unwrap()
}

fn signal(name: &str) -> Command {
    let (name, payload) = (name.to_owned(), json!("text"));
    Command::Signal {
        name,
        payload,
        id: None,
    }
}

async fn refused(run: &Run, journal: &RunJournal, command: impl Fn() -> Command) -> [String; 2] {
    let told = [
        run.tell(command()).await,
        journal.tell(&id(), command()).await,
    ];
    told.map(|told| told.unwrap_err().to_string())
}

#[tokio::test(start_paused = true)]
async fn a_signal_that_no_step_waits_for_is_refused_with_the_nearest_or_with_those_that_there_are()
{
    let machine = Machine::new();
    let (process, journal) = (machine.process(), machine.journal());
    let run = process.start_durable(&waiting(), id(), ()).await.unwrap();
    let slip = "run `r` was not sent the signal `goo`, as no step of it waits for that; did you mean `go`?";
    assert_eq!(refused(&run, &journal, || signal("goo")).await, [slip; 2]);
    let other = "run `r` was not sent the signal `approved`, as no step of it waits for that; they wait for `go`";
    assert_eq!(
        refused(&run, &journal, || signal("approved")).await,
        [other; 2]
    );
    let in_memory = process.start_workflow(&waiting(), ()).unwrap();
    let told = in_memory.tell(signal("goo")).await;
    assert!(
        matches!(told, Err(WorkflowError::NoSuchSignal { .. })),
        "{told:?}"
    );
    // None of these is kept.
    run.tell(GO.with(1).unwrap()).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
}

#[tokio::test(start_paused = true)]
async fn a_run_in_which_nothing_waits_for_a_signal_says_so() {
    let mut workflow = Workflow::<()>::durable("sleeping");
    workflow.step("s").sleep(Duration::from_secs(1));
    let workflow = workflow.build().unwrap();
    let process = Machine::new().process();
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    let said = run.tell(signal("go")).await.unwrap_err().to_string();
    assert!(
        said.ends_with("as no step of it waits for that, or for any other"),
        "{said}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_came_with_a_signal_and_is_of_another_type_is_told_with_the_signal_and_the_type() {
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let run = orchestrator.start_workflow(&waiting(), ()).unwrap();
    run.tell(signal("go")).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    let StepState::Failed(error) = outcome.step("wait").unwrap().state else {
        panic!("{:?}", outcome.step("wait"));
    };
    assert_eq!(
        error.to_string(),
        "what came with the signal `go` is no `u64`: invalid type: string \"text\", expected u64"
    );
}

#[tokio::test(start_paused = true)]
async fn a_step_that_there_is_not_is_told_with_the_nearest() {
    let machine = Machine::new();
    let (process, journal) = (machine.process(), machine.journal());
    let run = process.start_durable(&waiting(), id(), ()).await.unwrap();
    let no = "there is no step `wiat` in run `r`; did you mean `wait`?";
    let skip = || Command::Skip {
        step: "wiat".to_owned(),
    };
    assert_eq!(refused(&run, &journal, skip).await, [no; 2]);
    run.tell(GO.with(1).unwrap()).await.unwrap();
    run.outcome().await.unwrap();
    let retried = process.retry_run(&waiting(), &id(), Some("wiat")).await;
    assert_eq!(retried.unwrap_err().to_string(), no);
    let viewed = journal.view_retried(&id(), Some("wiat")).await;
    assert_eq!(viewed.unwrap_err().to_string(), no);
    let far = journal.view_retried(&id(), Some("deploy")).await;
    let far = far.unwrap_err().to_string();
    assert_eq!(
        far,
        "there is no step `deploy` in run `r`: see its steps for the right id"
    );
}

#[tokio::test(start_paused = true)]
async fn that_a_run_is_driven_by_another_orchestrator_of_this_process_is_told_as_that() {
    let machine = Machine::new();
    let process = machine.process();
    let _run = process.start_durable(&waiting(), id(), ()).await.unwrap();
    let other = machine.process();
    let said = other.resume_run(&waiting(), &id()).await.unwrap_err();
    assert_eq!(
        said.to_string(),
        "run `r` is driven by another orchestrator of this process: wait for its end, with \
         `RunJournal::ended` or `outcome`, or stop that first"
    );
    let ends = process.terminate_run(&id(), "too late").await.unwrap_err();
    assert!(
        ends.to_string().contains("driven by this orchestrator"),
        "{ends}"
    );
}

#[tokio::test(start_paused = true)]
async fn that_a_durable_run_can_be_resumed_is_told_where_its_orchestrator_or_runtime_is_gone() {
    let process = Machine::new().process();
    let run = process.start_durable(&waiting(), id(), ()).await.unwrap();
    drop(process);
    sleep(Duration::from_secs(1)).await;
    let said = run.outcome().await.unwrap_err().to_string();
    assert!(said.contains("or the runtime that drove it"), "{said}");
    assert!(said.ends_with("a durable run can be resumed"), "{said}");
}

/// What may be another.
#[derive(Clone, Copy, Default)]
struct Built {
    on_failure: OnFailure,
    needs: bool,
    any: bool,
    optional: bool,
    critical: bool,
    when: bool,
    undo: bool,
    inputs: bool,
    waits: u32,
    shape: u32,
}

/// `a`, `b` and `w`; `c`, of which much may be another; and `d`, which waits or sleeps or works.
fn built(is: Built) -> Workflow<(), Durable> {
    let mut workflow = Workflow::<()>::durable("w").on_failure(is.on_failure);
    let [a, b, w] = ["a", "b", "w"].map(|id| {
        let step = workflow.step(id);
        step.run(async || Ok::<_, StepError>(vec![1_u32]))
    });
    let mut c = workflow.step("c");
    if is.needs {
        c = c.after(&w);
    }
    if is.any {
        c = c.after_any([&w]);
    }
    if is.critical {
        c = c.critical();
    }
    let inputs = if is.inputs { (b, a) } else { (a, b) };
    let c = c.input(inputs);
    let c = match is.when {
        true => c.when(|_| true),
        false => c,
    };
    let done = async |_| Ok::<_, StepError>(());
    let c = match (is.optional, is.undo) {
        (true, true) => c.compensate(undo).optional().run(done),
        (true, false) => c.optional().run(done),
        (false, true) => c.compensate(undo).run(done),
        (false, false) => c.run(done),
    };
    let d = workflow.step("d").after(&c);
    let topic: Topic<u32> = Topic::new("numbers");
    match is.waits {
        0 => drop(d.signal::<u32>("go")),
        1 => drop(d.signal::<u32>("stop")),
        2 => drop(d.sleep(Duration::from_secs(1))),
        _ => drop(d.wait_for(&LocalBus::new(), &topic)),
    }
    let e = workflow.step("e");
    match is.shape {
        0 => drop(e.input(a).run(async |_| Ok::<_, StepError>(vec![1_u32]))),
        _ => drop(
            e.for_each(a)
                .run(async |item: u32| Ok::<_, StepError>(item)),
        ),
    }
    workflow.build().unwrap()
}

async fn undo<T>(_: Arc<T>) -> Result<(), StepError> {
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_has_changed_in_a_workflow_is_told_by_its_property() {
    let was = Built::default();
    let all = [
        (
            Built {
                on_failure: OnFailure::FinishAll,
                ..was
            },
            "`on_failure` was `fail-fast` and is `finish-all`",
        ),
        (Built { needs: true, ..was }, "`c` has changed (`needs`)"),
        (Built { any: true, ..was }, "`c` has changed (`needs_any`)"),
        (
            Built {
                optional: true,
                ..was
            },
            "`c` has changed (`optional`)",
        ),
        (
            Built {
                critical: true,
                ..was
            },
            "`c` has changed (`critical`)",
        ),
        (Built { when: true, ..was }, "`c` has changed (`when`)"),
        (Built { undo: true, ..was }, "`c` has changed (`undo`)"),
        (
            Built {
                optional: true,
                when: true,
                undo: true,
                ..was
            },
            "`c` has changed (`optional`, `when`, `undo`)",
        ),
        (
            Built {
                inputs: true,
                ..was
            },
            "`c` has changed (`input`)",
        ),
        (Built { waits: 1, ..was }, "`d` has changed (`signal`)"),
        (
            Built { waits: 2, ..was },
            "`d` has changed (`sleep`, `signal`)",
        ),
        (
            Built { waits: 3, ..was },
            "`d` has changed (`signal`, `wait_for`)",
        ),
        (Built { shape: 1, ..was }, "`e` has changed (`for_each`)"),
    ];
    for (is, said) in all {
        for (was, is) in [(was, is), (is, was)] {
            let said = match was.on_failure {
                OnFailure::FinishAll => "`on_failure` was `finish-all` and is `fail-fast`",
                _ => said,
            };
            let machine = Machine::new();
            let process = machine.process();
            process.start_durable(&built(was), id(), ()).await.unwrap();
            process.shutdown(Duration::ZERO).await;
            let resumed = machine.process().resume_run(&built(is), &id()).await;
            let Err(WorkflowError::Changed { differences, .. }) = resumed else {
                panic!("{said}: {resumed:?}");
            };
            assert_eq!(differences, [said]);
        }
    }
}
