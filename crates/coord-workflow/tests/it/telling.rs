//! What runs are told, here and from other processes, and what is to be seen of them.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::LocalBus;
use coord_bus::time::sleep;
use coord_workflow::{
    Command, DEFAULT_LEASE_TTL, Durable, HandlerCall, MAX_SIGNALS, Registry, Retry, RunId,
    RunQuery, RunState, Spec, Status, StepError, StepPhase, StepSpec, Why, Workflow, WorkflowError,
    WorkflowOrchestrator,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::durable::Machine;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Approval {
    by: String,
}

fn id() -> RunId {
    RunId::named("a").unwrap()
}

/// `ask`, then a wait for the signal `approval`, then `act`.
fn asking() -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("asking");
    let ask = workflow.step("ask").run(async || Ok::<_, StepError>(()));
    let approval = workflow
        .step("approval")
        .after(&ask)
        .signal::<Approval>("approval");
    workflow
        .step("act")
        .input(approval)
        .run(|approval: Arc<Approval>| async move { Ok::<_, StepError>(approval.by.clone()) });
    workflow.build().unwrap()
}

fn approval(by: &str) -> Command {
    Command::Signal {
        name: "approval".to_owned(),
        payload: json!({ "by": by }),
        id: None,
    }
}

/// Until what was begun has come as far as it can.
async fn settle() {
    sleep(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_signal_from_another_process_reaches_the_step_that_waits_for_it() {
    let machine = Machine::new();
    let process = machine.process();
    let run = process.start_durable(&asking(), id(), ()).await.unwrap();
    settle().await;
    let journal = machine.journal();
    let view = journal.view(&id()).await.unwrap();
    assert_eq!(view.state, RunState::Running);
    assert_eq!(
        view.why("approval").unwrap().to_string(),
        "it waits for the signal `approval`"
    );
    assert_eq!(
        view.why("act").unwrap().to_string(),
        "it waits for `approval`"
    );
    journal.tell(&id(), approval("Ann")).await.unwrap();
    settle().await;
    let view = run.view().unwrap();
    assert_eq!(view.state, RunState::Finished(Status::Completed));
    let kept = journal.view(&id()).await.unwrap();
    assert_eq!(
        *kept.step("act").unwrap().output.clone().unwrap(),
        json!("Ann")
    );
    let late = journal.tell(&id(), approval("Bob")).await;
    assert!(
        matches!(late, Err(WorkflowError::RunFinished { .. })),
        "{late:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_signal_that_comes_while_nobody_drives_the_run_is_there_when_it_is_resumed() {
    let machine = Machine::new();
    let process = machine.process();
    process.start_durable(&asking(), id(), ()).await.unwrap();
    settle().await;
    process.shutdown(Duration::from_secs(1)).await;
    let journal = machine.journal();
    let view = journal.view(&id()).await.unwrap();
    assert_eq!(view.state, RunState::Interrupted);
    assert!(
        view.why("approval")
            .unwrap()
            .to_string()
            .contains("resumed")
    );
    journal.tell(&id(), approval("Ann")).await.unwrap();
    let process = machine.process();
    let run = process.resume_run(&asking(), &id()).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
}

#[tokio::test(start_paused = true)]
async fn each_signal_is_taken_by_one_step_also_over_the_end_of_a_process() {
    let build = || {
        let mut workflow = Workflow::durable("twice");
        let first = workflow.step("first").signal::<u32>("number");
        workflow
            .step("second")
            .after(&first)
            .signal::<u32>("number");
        let workflow: Workflow<(), Durable> = workflow.build().unwrap();
        workflow
    };
    let number = |number: u32| Command::Signal {
        name: "number".to_owned(),
        payload: json!(number),
        id: None,
    };
    let machine = Machine::new();
    let process = machine.process();
    let run = process.start_durable(&build(), id(), ()).await.unwrap();
    run.tell(number(1)).await.unwrap();
    settle().await;
    process.shutdown(Duration::from_secs(1)).await;
    machine.journal().tell(&id(), number(2)).await.unwrap();
    let process = machine.process();
    let run = process.resume_run(&build(), &id()).await.unwrap();
    run.outcome().await.unwrap();
    let view = machine.journal().view(&id()).await.unwrap();
    let outputs: Vec<_> = view.steps.iter().map(|step| step.output.clone()).collect();
    assert_eq!(outputs, [Some(json!(1).into()), Some(json!(2).into())]);
}

#[tokio::test(start_paused = true)]
async fn a_signal_of_another_shape_fails_the_attempt_and_another_may_come() {
    let mut workflow = Workflow::durable("shapes");
    let retry = Retry::constant(Duration::ZERO).max_attempts(2);
    workflow.step("number").retry(retry).signal::<u32>("number");
    let workflow: Workflow<(), Durable> = workflow.build().unwrap();
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    // In memory, too.
    let run = orchestrator.start_workflow(&workflow, ()).unwrap();
    for payload in [json!("one"), json!(1)] {
        let name = "number".to_owned();
        run.tell(Command::Signal {
            name,
            payload,
            id: None,
        })
        .await
        .unwrap();
    }
    let outcome = run.outcome().await.unwrap();
    assert!(outcome.is_completed());
    assert_eq!(outcome.step("number").unwrap().attempts, 2);
}

#[tokio::test(start_paused = true)]
async fn signals_of_a_name_that_is_waited_for_have_a_limit_of_their_own() {
    let mut workflow = Workflow::<(), _>::durable("asking-twice");
    let first = workflow.step("first").signal::<Value>("first");
    let first = workflow
        .step("then")
        .input(first)
        .run(async |_| Ok::<_, StepError>(()));
    let second = workflow.step("second").after(&first);
    second.signal::<Value>("second");
    let workflow = workflow.build().unwrap();

    let machine = Machine::new();
    let process = machine.process();
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    settle().await;
    let signal = |name: &str| Command::Signal {
        name: name.to_owned(),
        payload: json!(null),
        id: None,
    };
    for _ in 0..MAX_SIGNALS {
        run.tell(signal("second")).await.unwrap();
    }
    let journal = machine.journal();
    for told in [
        run.tell(signal("second")).await,
        journal.tell(&id(), signal("second")).await,
    ] {
        assert!(matches!(told, Err(WorkflowError::TooManySignals { .. })));
    }
    run.tell(signal("first")).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert!(outcome.is_completed());
}

/// Ten steps, a second each.
fn slow() -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("slow");
    let mut last = None;
    for step in 0..10 {
        let mut step = workflow.step(format!("s{step}"));
        if let Some(last) = &last {
            step = step.after(last);
        }
        last = Some(step.run(async || {
            sleep(Duration::from_secs(1)).await;
            Ok::<_, StepError>(())
        }));
    }
    workflow.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_paused_run_begins_no_step_until_it_is_continued_in_whichever_process() {
    let machine = Machine::new();
    let process = machine.process();
    let run = process.start_durable(&slow(), id(), ()).await.unwrap();
    sleep(Duration::from_millis(2_500)).await;
    let journal = machine.journal();
    journal.tell(&id(), Command::Pause).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    let done = |view: &coord_workflow::RunView| {
        let steps = view.steps.iter();
        steps
            .filter(|step| step.phase == StepPhase::Completed)
            .count()
    };
    let view = run.view().unwrap();
    assert_eq!(done(&view), 3, "what ran goes on");
    assert!(view.is_paused);
    assert!(view.why("s3").unwrap().to_string().contains("paused"));
    process.shutdown(Duration::from_secs(1)).await;

    let process = machine.process();
    let run = process.resume_run(&slow(), &id()).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(done(&run.view().unwrap()), 3, "it is still paused");
    run.tell(Command::Continue).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    assert!(!journal.view(&id()).await.unwrap().is_paused);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_another_process_drives_is_cancelled_through_the_journal() {
    let machine = Machine::new();
    let process = machine.process();
    let run = process.start_durable(&slow(), id(), ()).await.unwrap();
    sleep(Duration::from_millis(2_500)).await;
    machine
        .journal()
        .tell(&id(), Command::Cancel { reason: None })
        .await
        .unwrap();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(outcome.status, Status::Cancelled);
    assert_eq!(outcome.duration.as_secs(), 2, "at once");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cancelled_while_nobody_drives_it_ends_when_it_is_resumed() {
    let machine = Machine::new();
    let process = machine.process();
    process.start_durable(&slow(), id(), ()).await.unwrap();
    sleep(Duration::from_millis(2_500)).await;
    drop(process);
    sleep(DEFAULT_LEASE_TTL).await;
    machine
        .journal()
        .tell(&id(), Command::Cancel { reason: None })
        .await
        .unwrap();
    let process = machine.process();
    let run = process.resume_run(&slow(), &id()).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_sleep_goes_on_while_nobody_drives_the_run() {
    let build = || {
        let mut workflow = Workflow::durable("sleeping");
        workflow.step("sleep").sleep(Duration::from_secs(1_000));
        let workflow: Workflow<(), Durable> = workflow.build().unwrap();
        workflow
    };
    let machine = Machine::new();
    let process = machine.process();
    process.start_durable(&build(), id(), ()).await.unwrap();
    sleep(Duration::from_secs(400)).await;
    drop(process);
    sleep(Duration::from_secs(500)).await;
    let process = machine.process();
    let run = process.resume_run(&build(), &id()).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert!(outcome.is_completed(), "{outcome:?}");
    assert_eq!(outcome.duration.as_secs(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn runs_are_listed_the_newest_first() {
    let machine = Machine::new();
    let process = machine.process();
    for id in ["first", "second", "third"] {
        let id = RunId::named(id).unwrap();
        let run = process.start_durable(&slow(), id, ()).await.unwrap();
        if run.id().as_str() == "second" {
            run.outcome().await.unwrap();
        }
    }
    let journal = machine.journal();
    let ids = |runs: Vec<RunId>| {
        let runs = runs.iter().map(ToString::to_string);
        runs.collect::<Vec<_>>()
    };
    let all = journal.runs(&RunQuery::newest()).await.unwrap();
    assert_eq!(ids(all), ["third", "second", "first"]);
    let newest = journal.runs(&RunQuery::newest().limit(1)).await.unwrap();
    assert_eq!(ids(newest), ["third"]);
    let unfinished = journal
        .runs(&RunQuery::newest().unfinished())
        .await
        .unwrap();
    assert_eq!(
        ids(unfinished),
        ["third"],
        "the first ended while the second did"
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_run_of_data_was_started_with_is_there_for_who_takes_it_up() {
    let machine = Machine::new();
    let registry = Registry::new().handler("wait", |_| std::future::pending());
    let spec = Spec::new("data").step(StepSpec::new("wait", "wait"));
    let workflow: Workflow<Approval, Durable> = registry.workflow_with_input(spec).unwrap();
    let by = || Approval { by: "Ann".into() };
    let process = machine.process();
    process.start_durable(&workflow, id(), by()).await.unwrap();
    let journal = machine.journal();
    assert_eq!(journal.input::<Approval>(&id()).await.unwrap(), by());
    let other = journal.input::<u32>(&id()).await.unwrap_err();
    assert!(matches!(other, WorkflowError::Record { .. }), "{other:?}");
    let missing = RunId::named("b").unwrap();
    let missing = journal.input::<Approval>(&missing).await.unwrap_err();
    assert!(
        matches!(missing, WorkflowError::NoSuchRun { .. }),
        "{missing:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn steps_of_data_wait_for_signals_and_sleep_across_an_interruption() {
    let machine = Machine::new();
    let spec: Spec = serde_json::from_value(json!({
        "name": "data",
        "timeout": { "secs": 86400, "nanos": 0 },
        "steps": [
            { "id": "rest", "sleep": { "secs": 3600, "nanos": 0 } },
            { "id": "approval", "signal": "approval", "needs": ["rest"] },
            { "id": "act", "handler": "act", "needs": ["approval"] },
        ],
    }))
    .unwrap();
    let mut made = Spec::new("data")
        .step(StepSpec::sleep("rest", Duration::from_secs(3600)))
        .step(StepSpec::signal("approval", "approval").needs(["rest"]))
        .step(StepSpec::new("act", "act").needs(["approval"]));
    made.timeout = Some(Duration::from_secs(24 * 3600));
    assert_eq!(spec, made);
    let act = |call: HandlerCall| async move { Ok((*call.outputs["approval"]).clone()) };
    let workflow = Registry::new().handler("act", act).workflow(spec).unwrap();

    let process = machine.process();
    process.start_durable(&workflow, id(), ()).await.unwrap();
    sleep(Duration::from_secs(1800)).await;
    process.shutdown(Duration::from_secs(60)).await;
    sleep(Duration::from_secs(1200)).await;
    let process = machine.process();
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    let journal = machine.journal();
    let why = async |step: &str| journal.view(&id()).await.unwrap().why(step).unwrap();
    sleep(Duration::from_secs(590)).await;
    assert_eq!(why("approval").await, Why::Needs(vec!["rest".into()]));
    let until = Duration::from_secs(3600);
    assert_eq!(why("rest").await, Why::Sleep { until });
    sleep(Duration::from_secs(11)).await;
    assert_eq!(why("approval").await, Why::Signal("approval".into()));
    run.tell(approval("Ann")).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(
        outcome.value_of("act").as_deref(),
        Some(&json!({ "by": "Ann" }))
    );
}

#[tokio::test(start_paused = true)]
async fn steps_that_only_wait_take_no_place_from_those_that_work() {
    for of_all_runs in [false, true] {
        let mut workflow = Workflow::durable("waiting");
        for step in 0..5 {
            workflow
                .step(format!("signal-{step}"))
                .signal::<u32>("never");
            workflow
                .step(format!("sleep-{step}"))
                .sleep(Duration::from_secs(1_000));
        }
        workflow.step("works").run(async || Ok::<_, StepError>(()));
        let workflow: Workflow<(), Durable> = workflow.build().unwrap();
        let bus = LocalBus::new();
        let builder = WorkflowOrchestrator::builder(&bus);
        let builder = match of_all_runs {
            true => builder.total_concurrency(std::num::NonZeroUsize::MIN),
            false => builder.concurrency(std::num::NonZeroUsize::MIN),
        };
        let orchestrator = builder.build().unwrap();
        let run = orchestrator.start_workflow(&workflow, ()).unwrap();
        settle().await;
        let view = run.view().unwrap();
        assert_eq!(view.step("works").unwrap().phase, StepPhase::Completed);
        let waiting = view
            .steps
            .iter()
            .filter(|step| step.phase == StepPhase::Running);
        assert_eq!(waiting.count(), 10);
    }
}
