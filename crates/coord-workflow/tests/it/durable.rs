//! Runs that are kept: started once, resumed where they were, refused where that cannot be.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::{Clock, Instant, sleep};
use coord_bus::{EventLog, Lease, LocalBus, MemoryEventLog, MemoryLeases, Timestamp};
use coord_workflow::{
    AttemptError, DEFAULT_LEASE_TTL, Durable, OrchestratorBuilder, Registry, Retry, RunId,
    RunJournal, Spec, Status, StepContext, StepError, StepSpec, Workflow, WorkflowError,
    WorkflowOrchestrator,
};
use serde_json::json;
use tokio::sync::mpsc;

use crate::keys::unmarked;

/// What outlives a process.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) leases: Arc<dyn Lease>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// A wall clock that stands still while the test's time does.
#[derive(Debug)]
struct Wall(Instant);

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + self.0.elapsed()
    }
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self {
            log: Arc::new(MemoryEventLog::new()),
            leases: Arc::new(MemoryLeases::new()),
            clock: Arc::new(Wall(Instant::now())),
        }
    }

    /// What any process sees.
    pub(crate) fn journal(&self) -> RunJournal {
        RunJournal::new(Arc::clone(&self.log), Arc::clone(&self.leases))
    }

    /// The same, with another log.
    pub(crate) fn with_log(&self, log: Arc<dyn EventLog>) -> Self {
        Self {
            log,
            ..self.clone()
        }
    }

    pub(crate) fn process(&self) -> WorkflowOrchestrator {
        self.process_on(&LocalBus::new())
    }

    pub(crate) fn process_on(&self, bus: &LocalBus) -> WorkflowOrchestrator {
        self.builder(bus).build().unwrap()
    }

    pub(crate) fn builder<'b>(&self, bus: &'b LocalBus) -> OrchestratorBuilder<'b, LocalBus> {
        WorkflowOrchestrator::builder(bus)
            .journal(self.journal())
            .clock(Arc::clone(&self.clock))
    }

    pub(crate) async fn kinds(&self, run: &str) -> Vec<String> {
        let records = self.log.read(&format!("run.{run}"), 1, 1_000).await;
        let records = records.unwrap().into_iter();
        records.map(|stored| stored.record.kind).collect()
    }
}

fn named(id: &str) -> RunId {
    RunId::named(id).unwrap()
}

/// What was done, in the order in which it was.
#[derive(Clone, Default)]
struct Ledger(Arc<Mutex<Vec<String>>>);

impl Ledger {
    fn write(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn read(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// `first`, then `second`, which holds on for an hour where it is told to, then `third`.
fn three(ledger: &Ledger, holds: bool) -> (Workflow<u32, Durable>, mpsc::Receiver<()>) {
    let (begins, begun) = mpsc::channel(8);
    let mut workflow = Workflow::durable("three");
    let input = workflow.input();
    let done = ledger.clone();
    let first = workflow
        .step("first")
        .input(input)
        .run(move |input: Arc<u32>| {
            done.write("first");
            async move { Ok::<u32, StepError>(*input * 2) }
        });
    let done = ledger.clone();
    let second = workflow.step("second").input(first).run_with(
        move |context: StepContext, first: Arc<u32>| {
            let (done, begins) = (done.clone(), begins.clone());
            async move {
                done.write(format!("second as {}", unmarked(&context)));
                begins.send(()).await?;
                if holds {
                    sleep(Duration::from_secs(3600)).await;
                }
                Ok::<u32, StepError>(*first + 1)
            }
        },
    );
    let done = ledger.clone();
    workflow
        .step("third")
        .input(second)
        .run(move |second: Arc<u32>| {
            done.write("third");
            async move { Ok::<String, StepError>(format!("it is {second}")) }
        });
    (workflow.build().unwrap(), begun)
}

#[tokio::test(start_paused = true)]
async fn a_completed_step_does_not_run_again_and_one_under_way_does_with_the_same_key() {
    let (machine, ledger) = (Machine::new(), Ledger::default());
    let (holding, mut begun) = three(&ledger, true);
    let killed = machine.process();
    killed
        .start_durable(&holding, named("a"), 20)
        .await
        .unwrap();
    begun.recv().await.unwrap();
    drop(killed);
    sleep(DEFAULT_LEASE_TTL).await;

    let (workflow, _begun) = three(&ledger, false);
    let next = machine.process();
    let run = next.resume_run(&workflow, &named("a")).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert!(outcome.is_completed());
    let key = "second as a/second";
    assert_eq!(ledger.read(), ["first", key, key, "third"]);
    assert_eq!(outcome.step("second").unwrap().attempts, 1);
    assert_eq!(
        outcome.duration, DEFAULT_LEASE_TTL,
        "time goes on between two processes"
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_is_its_records() {
    let (machine, ledger) = (Machine::new(), Ledger::default());
    let (workflow, _begun) = three(&ledger, false);
    let run = machine
        .process()
        .start_durable(&workflow, named("a"), 1)
        .await;
    drop(run);
    let process = machine.process();
    let (workflow, _begun) = three(&ledger, false);
    let run = process
        .start_durable(&workflow, named("b"), 20)
        .await
        .unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    let expected = [
        "run-started",
        "step-started",
        "step-completed",
        "step-started",
        "step-completed",
        "step-started",
        "step-completed",
        "run-finished",
    ];
    assert_eq!(machine.kinds("b").await, expected);
}

#[tokio::test(start_paused = true)]
async fn to_start_a_run_again_is_to_have_the_same_run() {
    let (machine, ledger) = (Machine::new(), Ledger::default());
    let (workflow, _begun) = three(&ledger, false);
    let process = machine.process();
    let start = || process.start_durable(&workflow, named("a"), 20);
    let (first, second, third) = tokio::join!(start(), start(), start());
    let outcome = first.unwrap().outcome().await.unwrap();
    for run in [second, third] {
        assert_eq!(run.unwrap().outcome().await.unwrap().run, outcome.run);
    }
    assert_eq!(ledger.read().len(), 3);
    // Once it has finished, too, and in another process.
    let (workflow, _begun) = three(&ledger, true);
    let again = machine
        .process()
        .start_durable(&workflow, named("a"), 20)
        .await;
    let again = again.unwrap().outcome().await.unwrap();
    assert_eq!(
        again.value_of("third"),
        None,
        "typed outputs are read as their types"
    );
    assert_eq!(again.status, Status::Completed);
    assert_eq!(again.duration, outcome.duration);
    assert_eq!(ledger.read().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_id_stands_for_one_workflow_and_one_input() {
    let (machine, ledger) = (Machine::new(), Ledger::default());
    let (workflow, _begun) = three(&ledger, false);
    let process = machine.process();
    let run = process
        .start_durable(&workflow, named("a"), 20)
        .await
        .unwrap();
    run.outcome().await.unwrap();
    let other = process.start_durable(&workflow, named("a"), 21).await;
    assert!(
        matches!(other, Err(WorkflowError::OtherInput { .. })),
        "{other:?}"
    );
    let mut another = Workflow::durable("another");
    another.step("first").run(async || Ok::<_, StepError>(()));
    let another: Workflow<u32, Durable> = another.build().unwrap();
    let other = process.start_durable(&another, named("a"), 20).await;
    let other = other.unwrap_err().to_string();
    assert_eq!(
        other,
        "run `a` is one of workflow `three`, not of `another`: choose another id"
    );
    let none = process.resume_run(&workflow, &named("b")).await;
    assert!(
        matches!(none, Err(WorkflowError::NoSuchRun { .. })),
        "{none:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_is_driven_by_one_at_a_time() {
    let (machine, ledger) = (Machine::new(), Ledger::default());
    let (workflow, mut begun) = three(&ledger, true);
    let first = machine.process();
    first
        .start_durable(&workflow, named("a"), 20)
        .await
        .unwrap();
    begun.recv().await.unwrap();
    let second = machine.process();
    let refused = second.resume_run(&workflow, &named("a")).await;
    assert!(
        matches!(refused, Err(WorkflowError::DrivenElsewhere { .. })),
        "{refused:?}"
    );
    assert!(second.resume_runs(&workflow).await.unwrap().runs.is_empty());
    drop(first);
    sleep(DEFAULT_LEASE_TTL).await;
    // Of many who want it then, one gets it.
    let [one, two, three] = [machine.process(), machine.process(), machine.process()];
    let (one, two, three) = tokio::join!(
        one.resume_runs(&workflow),
        two.resume_runs(&workflow),
        three.resume_runs(&workflow),
    );
    let driving = [one, two, three].map(|resumed| resumed.unwrap().runs.len());
    assert_eq!(driving.iter().sum::<usize>(), 1);
    begun.recv().await.unwrap();
    assert_eq!(ledger.read().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_definition_has_changed_is_refused_with_what_has() {
    let registry = || Registry::new().handler("work", async |_| Ok(json!(null)));
    let spec = |sleep: &str| {
        Spec::new("changing")
            .step(StepSpec::new("a", "work"))
            .step(StepSpec::new("b", "work").input(json!({ "say": sleep })))
    };
    let machine = Machine::new();
    let process = machine.process();
    let workflow = registry().workflow(spec("hello")).unwrap();
    let run = process
        .start_durable(&workflow, named("a"), ())
        .await
        .unwrap();
    run.outcome().await.unwrap();
    // How often a step is tried is nothing that a run relies on.
    let mut tried = spec("hello");
    tried.steps[0].retry = Some(Retry::exponential());
    let workflow = registry().workflow(tried).unwrap();
    process.resume_run(&workflow, &named("a")).await.unwrap();
    let mut changed = spec("goodbye").step(StepSpec::new("c", "work"));
    changed.steps.remove(0);
    let workflow = registry().workflow(changed).unwrap();
    let refused = process.resume_run(&workflow, &named("a")).await;
    let Err(WorkflowError::Changed {
        kept,
        given,
        differences,
        ..
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert_ne!(kept, given);
    assert_eq!(
        differences,
        [
            "`b` has changed (its handler, `input`, `when`, `undo`, `for_each` or `repeat`)",
            "`c` is new",
            "`a` is gone"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn attempts_are_counted_on_and_waits_go_on_over_the_end_of_a_process() {
    let machine = Machine::new();
    let ledger = Ledger::default();
    let build = |ledger: &Ledger| {
        let ledger = ledger.clone();
        let mut workflow = Workflow::durable("retrying");
        let retry = Retry::constant(Duration::from_secs(100)).max_attempts(3);
        workflow
            .step("step")
            .retry(retry)
            .run_with(move |context: StepContext| {
                ledger.write(format!("attempt {}", context.attempt()));
                async { Err::<(), _>(StepError::message("not yet")) }
            });
        let workflow: Workflow<(), Durable> = workflow.build().unwrap();
        workflow
    };
    let killed = machine.process();
    killed
        .start_durable(&build(&ledger), named("a"), ())
        .await
        .unwrap();
    sleep(Duration::from_secs(60)).await;
    drop(killed);
    sleep(DEFAULT_LEASE_TTL).await;
    assert_eq!(ledger.read(), ["attempt 1"]);
    let next = machine.process();
    let run = next.resume_run(&build(&ledger), &named("a")).await.unwrap();
    sleep(Duration::from_secs(9)).await;
    assert_eq!(ledger.read(), ["attempt 1"], "its wait is not over");
    let outcome = run.outcome().await.unwrap();
    assert_eq!(ledger.read(), ["attempt 1", "attempt 2", "attempt 3"]);
    assert_eq!(outcome.status, Status::Failed);
    let step = outcome.step("step").unwrap();
    assert_eq!(step.attempts, 3);
    assert_eq!(outcome.duration.as_secs(), 200);
}

#[tokio::test(start_paused = true)]
async fn shutting_down_suspends_durable_runs_and_whoever_comes_next_has_them_at_once() {
    let (machine, ledger) = (Machine::new(), Ledger::default());
    let (workflow, mut begun) = three(&ledger, true);
    let process = machine.process();
    let run = process
        .start_durable(&workflow, named("a"), 20)
        .await
        .unwrap();
    begun.recv().await.unwrap();
    process.shutdown(Duration::from_secs(5)).await;
    let suspended = run.outcome().await;
    assert!(
        matches!(suspended, Err(WorkflowError::Suspended { .. })),
        "{suspended:?}"
    );
    let after = process.start_durable(&workflow, named("b"), 20).await;
    assert!(
        matches!(after, Err(WorkflowError::ShutDown { .. })),
        "{after:?}"
    );

    let (workflow, _begun) = three(&ledger, false);
    let next = machine.process();
    let resumed = next.resume_runs(&workflow).await.unwrap();
    assert!(resumed.refused.is_empty());
    assert_eq!(resumed.runs.len(), 1);
    assert!(resumed.runs[0].outcome().await.unwrap().is_completed());
    let cancelled = machine.kinds("a").await;
    assert!(
        !cancelled.contains(&"step-cancelled".to_owned()),
        "{cancelled:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_durable_run_that_is_cancelled_is_cancelled_for_good() {
    let (machine, ledger) = (Machine::new(), Ledger::default());
    let (workflow, mut begun) = three(&ledger, true);
    let process = machine.process();
    let run = process
        .start_durable(&workflow, named("a"), 20)
        .await
        .unwrap();
    begun.recv().await.unwrap();
    run.cancel();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(outcome.status, Status::Cancelled);
    let (workflow, _begun) = three(&ledger, false);
    let again = machine.process().resume_run(&workflow, &named("a")).await;
    let again = again.unwrap().outcome().await.unwrap();
    assert_eq!(again.status, Status::Cancelled);
    assert_eq!(ledger.read().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_output_that_cannot_be_written_fails_its_step() {
    let mut workflow = Workflow::durable("unwritable");
    workflow
        .step("step")
        .retry(Retry::exponential())
        .run(async || {
            // JSON has names of texts alone.
            Ok::<_, StepError>(BTreeMap::from([((1, 2), 3)]))
        });
    let workflow: Workflow<(), Durable> = workflow.build().unwrap();
    let process = Machine::new().process();
    let run = process
        .start_durable(&workflow, RunId::unique(), ())
        .await
        .unwrap();
    let outcome = run.outcome().await.unwrap();
    let (step, error) = outcome.failures().next().unwrap();
    assert_eq!(step.attempts, 1, "it would not be better the next time");
    assert!(matches!(
        error.downcast_ref::<AttemptError>(),
        Some(AttemptError::Unwritable(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn without_a_journal_no_durable_run_starts() {
    let (workflow, _begun) = three(&Ledger::default(), false);
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let refused = orchestrator
        .start_durable(&workflow, RunId::unique(), 1)
        .await;
    assert!(
        matches!(refused, Err(WorkflowError::NoJournal { .. })),
        "{refused:?}"
    );
    // In memory it runs all the same.
    let outcome = orchestrator.execute_workflow(&workflow, 20).await.unwrap();
    assert!(outcome.is_completed());
}

#[test]
fn ids_are_such_that_a_stream_can_be_called_so() {
    for wrong in ["", "-a", "a/b", "a b", &"x".repeat(101)] {
        assert!(RunId::named(wrong).is_err(), "{wrong}");
    }
    assert_eq!(named("order-1042.b").as_str(), "order-1042.b");
}

/// Two UUIDs, say; and what they do as the name of a stream, and of a run within it.
#[tokio::test(start_paused = true)]
async fn a_run_of_the_longest_id_is_kept_and_so_are_runs_within_it() {
    let id = named(&"x".repeat(coord_workflow::RUN_ID_LENGTH_MAX));
    let mut inner = Workflow::<()>::durable("inner");
    let chosen = inner.step("s").run(async || Ok::<_, StepError>(7_u32));
    let inner = inner.build().unwrap();
    let mut workflow = Workflow::<()>::durable("outer");
    let input = workflow.input();
    workflow.step("child").input(input).workflow(&inner, chosen);
    let workflow = workflow.build().unwrap();
    let machine = Machine::new();
    let process = machine.process();
    let run = process.start_durable(&workflow, id.clone(), ()).await;
    assert!(run.unwrap().outcome().await.unwrap().is_completed());
    let view = machine.journal().view(&id).await.unwrap();
    let child = view.step("child").unwrap().child.clone().unwrap();
    assert!(machine.journal().view(&child).await.unwrap().run == child);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_had_begun_runs_again_whatever_its_condition_says_by_then() {
    let build = |answer: bool, holds: bool| {
        let mut workflow = Workflow::durable("conditional");
        workflow
            .step("step")
            .when(move || answer)
            .run(move || async move {
                if holds {
                    sleep(Duration::from_secs(100)).await;
                }
                Ok::<_, StepError>(7)
            });
        let workflow: Workflow<(), Durable> = workflow.build().unwrap();
        workflow
    };
    let machine = Machine::new();
    let killed = machine.process();
    let workflow = build(true, true);
    let started = killed.start_durable(&workflow, named("a"), ()).await;
    started.unwrap();
    sleep(Duration::from_secs(1)).await;
    drop(killed);
    sleep(DEFAULT_LEASE_TTL).await;
    let next = machine.process();
    let workflow = build(false, false);
    let run = next.resume_run(&workflow, &named("a")).await;
    let outcome = run.unwrap().outcome().await.unwrap();
    assert_eq!(outcome.step("step").unwrap().attempts, 1, "{outcome:?}");
}
