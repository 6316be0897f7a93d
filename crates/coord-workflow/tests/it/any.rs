//! A step that needs any of some begins as soon as one of them has completed.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::LocalBus;
use coord_bus::time::sleep;
use coord_workflow::{
    Fault, HandlerCall, Outcome, Registry, SkipReason, Spec, StepError, StepSpec, StepState,
    Workflow, WorkflowBuilder, WorkflowOrchestrator, validate,
};
use serde_json::{Value, json};

async fn wait(seconds: u64, succeeds: bool) -> Result<u64, StepError> {
    sleep(Duration::from_secs(seconds)).await;
    match succeeds {
        true => Ok(seconds),
        false => Err(StepError::message("no")),
    }
}

async fn outcome_of(workflow: WorkflowBuilder<()>) -> Arc<Outcome> {
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let workflow = workflow.build().unwrap();
    orchestrator.execute_workflow(&workflow, ()).await.unwrap()
}

fn seconds(outcome: &Outcome, step: &str) -> (Option<u64>, u64) {
    let step = outcome.step(step).unwrap();
    (
        step.started.map(|started| started.as_secs()),
        step.duration.as_secs(),
    )
}

#[tokio::test(start_paused = true)]
async fn it_begins_when_the_first_has_completed_and_the_others_go_on() {
    let mut workflow = Workflow::builder("mirrors");
    let fails = workflow.step("fails").optional().run(|| wait(1, false));
    let near = workflow.step("near").run(|| wait(3, true));
    let far = workflow.step("far").run(|| wait(60, true));
    workflow
        .step("unpack")
        .after_any([&fails, &near, &far])
        .run(|| wait(1, true));
    let outcome = outcome_of(workflow).await;
    assert!(outcome.is_completed());
    assert_eq!(seconds(&outcome, "unpack"), (Some(3), 1));
    assert_eq!(seconds(&outcome, "far"), (Some(0), 60));
    // What it did not wait for does not hold it up, and is not on its path.
    let path = outcome.critical_path();
    assert_eq!(path.steps.len(), 1);
    let slack: Vec<u64> = path
        .slack()
        .iter()
        .map(|slack| slack.unwrap().as_secs())
        .collect();
    assert_eq!(slack, [59, 56, 0, 56]);
}

#[tokio::test(start_paused = true)]
async fn it_is_skipped_when_all_have_ended_and_none_has_completed() {
    let mut workflow = Workflow::builder("mirrors");
    let fails = workflow.step("fails").optional().run(|| wait(5, false));
    let skipped = workflow
        .step("skipped")
        .when(|| false)
        .run(|| wait(1, true));
    let unpack = workflow
        .step("unpack")
        .after_any([&fails, &skipped])
        .run(|| wait(1, true));
    workflow.step("after").after(&unpack).run(|| wait(1, true));
    let any = workflow
        .step("any")
        .after_any([&unpack])
        .run(|| wait(1, true));
    workflow
        .step("takes")
        .input(any)
        .run(|_: Arc<u64>| wait(1, true));
    let outcome = outcome_of(workflow).await;
    assert!(outcome.is_completed());
    for step in ["unpack", "any"] {
        let state = outcome.step(step).unwrap().state;
        let StepState::Skipped(reason @ SkipReason::NoneCompleted) = state else {
            panic!("{step}: {state:?}");
        };
        assert_eq!(
            reason.to_string(),
            "none of the steps that it needs any of has completed"
        );
    }
    assert_eq!(seconds(&outcome, "after"), (Some(5), 1));
    let state = outcome.step("takes").unwrap().state;
    assert!(
        matches!(state, StepState::Skipped(SkipReason::MissingInput("any"))),
        "{state:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_all_that_it_needs_as_well() {
    let mut workflow = Workflow::builder("both");
    let one = workflow.step("one").run(|| wait(2, true));
    let other = workflow.step("other").run(|| wait(9, true));
    let needed = workflow.step("needed").run(|| wait(4, true));
    workflow
        .step("late")
        .after(&needed)
        .after_any([&one, &other])
        .run(|| wait(1, true));
    workflow
        .step("later")
        .after(&one)
        .after_any([&other])
        .run(|| wait(1, true));
    workflow
        .step("twice")
        .after(&other)
        .after_any([&one, &other])
        .run(|| wait(1, true));
    let outcome = outcome_of(workflow).await;
    assert_eq!(seconds(&outcome, "late"), (Some(4), 1));
    assert_eq!(seconds(&outcome, "later"), (Some(9), 1));
    assert_eq!(seconds(&outcome, "twice"), (Some(9), 1));
}

#[tokio::test(start_paused = true)]
async fn the_handler_of_a_spec_is_given_the_outputs_that_are_there() {
    let registry = Registry::new()
        .handler("quick", async |_| Ok(json!(1)))
        .handler("slow", async |_| wait(60, true).await.map(Value::from))
        .handler("outputs", async |call: HandlerCall| {
            Ok(json!(call.outputs.keys().collect::<Vec<_>>()))
        });
    let spec = Spec::new("w")
        .step(
            StepSpec::new("takes", "outputs")
                .needs(["a"])
                .needs_any(["b", "c"]),
        )
        .step(StepSpec::new("a", "quick"))
        .step(StepSpec::new("b", "slow"))
        .step(StepSpec::new("c", "quick"));
    let workflow = registry.workflow(spec).unwrap();
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let outcome = orchestrator.execute_workflow(&workflow, ()).await.unwrap();
    assert_eq!(*outcome.value_of("takes").unwrap(), json!(["a", "c"]));
}

#[test]
fn what_it_needs_any_of_is_checked_like_what_it_needs() {
    let spec = Spec::new("w")
        .step(StepSpec::new("build", "h").needs_any(["tset"]))
        .step(StepSpec::new("test", "h").needs(["deploy"]))
        .step(StepSpec::new("deploy", "h").needs_any(["build", "test"]));
    let faults = validate(spec, ["h"]).unwrap_err().0;
    let unknown = Fault::UnknownNeed {
        step: 0,
        need: 0,
        any: true,
        id: "build".to_owned(),
        name: "tset".to_owned(),
        nearest: Some("test".to_owned()),
    };
    let cycle = Fault::Cycle {
        path: vec![1, 2],
        ids: vec!["test".to_owned(), "deploy".to_owned()],
    };
    assert_eq!(faults, [unknown, cycle]);
    let mut foreign = Workflow::<()>::builder("other");
    let foreign = foreign.step("s").run(|| wait(0, true));
    let mut workflow = Workflow::<()>::builder("w");
    workflow
        .step("s")
        .after_any([&foreign])
        .run(|| wait(0, true));
    assert!(matches!(
        workflow.build().unwrap_err().0[..],
        [Fault::ForeignStep { step: 0, .. }]
    ));
}

#[test]
fn a_graph_tells_any_from_all() {
    let mut workflow = Workflow::<()>::builder("w");
    let a = workflow.step("a").run(|| wait(0, true));
    let b = workflow.step("b").run(|| wait(0, true));
    workflow
        .step("all")
        .after(&a)
        .after(&b)
        .run(|| wait(0, true));
    workflow
        .step("any")
        .after_any([&a, &b])
        .run(|| wait(0, true));
    workflow
        .step("both")
        .after(&a)
        .after_any([&a, &b])
        .run(|| wait(0, true));
    let graph = workflow.build().unwrap().graph();
    let text = "w: 5 steps in 2 stages
  1  a
     b
  2  all   after a, b
     any   after any of a, b
     both  after a, and any of a, b
";
    assert_eq!(graph.to_string(), text);
    assert!(
        graph
            .to_mermaid()
            .contains("    s0 --> s2\n    s1 --> s2\n    s0 -.-> s3\n")
    );
    assert!(
        graph
            .to_dot()
            .contains("    \"a\" -> \"any\" [style=dashed]\n")
    );
    let json = serde_json::to_value(&graph).unwrap();
    assert_eq!(json["steps"][3]["needs_any"], json!([0, 1]));
    assert_eq!(json["steps"][2].get("needs_any"), None);
}
