//! As data.

use std::num::NonZeroU32;
use std::sync::Arc;

use coord_workflow::{
    Call, Durable, ForEachSpec, HandlerCall, PartError, Registry, Repeat, RepeatSpec, RunId, Spec,
    Status, StepError, StepSpec, Workflow, WorkflowSpec,
};
use serde_json::{Value, json};

use super::{World, delivery, error_of};
use crate::durable::Machine;

fn id() -> RunId {
    RunId::named("r").unwrap()
}

fn data() -> Registry {
    let inner = Registry::new().handler("echo", async |call: HandlerCall| Ok(call.input));
    let spec = Spec::new("inner")
        .step(StepSpec::new("a", "echo").input(1))
        .step(StepSpec::new("b", "echo").input(2));
    let inner = inner.workflow(spec).unwrap();
    Registry::new()
        .handler("echo", async |call: HandlerCall| Ok(call.input))
        .with_workflow(&inner)
        .with_workflow(&delivery(&World::default()).0)
}

#[tokio::test(start_paused = true)]
async fn as_data_a_step_runs_a_workflow_of_the_registry() {
    let spec = Spec::new("outer")
        .step(StepSpec::workflow("all", "inner"))
        .step(StepSpec::workflow(
            "one",
            WorkflowSpec::from("inner").output("b"),
        ))
        .step(StepSpec::workflow("typed", WorkflowSpec::from("delivery").output("ship")).input(4))
        .step(StepSpec::workflow("wrong", "delivery").input("four"));
    let written = serde_json::to_value(&spec).unwrap();
    assert_eq!(
        written["steps"][1]["workflow"],
        json!({ "name": "inner", "output": "b" })
    );
    assert_eq!(serde_json::from_value::<Spec>(written).unwrap(), spec);
    let (machine, workflow) = (Machine::new(), data().workflow(spec).unwrap());
    let process = machine.process();
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    let value = |step| {
        outcome
            .value_of(step)
            .map(|value: Arc<Value>| (*value).clone())
    };
    assert_eq!(
        outcome.status,
        Status::Failed,
        "`wrong` has an input of another type"
    );
    assert_eq!(
        error_of(&outcome, "wrong").to_string(),
        "invalid type: string \"four\", expected u32 at line 1 column 6"
    );
    let spec = Spec {
        steps: Vec::new(),
        ..Spec::new("outer")
    };
    drop(spec);
    assert_eq!(value("wrong"), None);

    let spec = Spec::new("outer")
        .step(StepSpec::workflow("all", "inner"))
        .step(StepSpec::workflow(
            "one",
            WorkflowSpec::from("inner").output("b"),
        ))
        .step(StepSpec::workflow("typed", WorkflowSpec::from("delivery").output("ship")).input(4));
    let workflow = data().workflow(spec).unwrap();
    let run = process
        .start_durable(&workflow, RunId::named("s").unwrap(), ())
        .await;
    let outcome = run.unwrap().outcome().await.unwrap();
    let value = |step| {
        outcome
            .value_of(step)
            .map(|value: Arc<Value>| (*value).clone())
    };
    assert_eq!(value("all"), Some(json!({ "a": 1, "b": 2 })));
    assert_eq!(value("one"), Some(json!(2)));
    assert_eq!(value("typed"), Some(json!("parcel 4")));
}

#[tokio::test(start_paused = true)]
async fn as_data_a_step_runs_a_workflow_of_the_registry_for_each_item() {
    let delivery = || WorkflowSpec::from("delivery").output("ship");
    let orders = json!({ "new": [{ "number": 4 }, { "number": 5 }] });
    let spec = Spec::new("outer")
        .step(StepSpec::new("orders", "echo").input(orders))
        .step(StepSpec::workflow("list", delivery()).for_each(vec![json!(1), json!(2)]))
        .step(
            StepSpec::workflow("none", delivery())
                .for_each(ForEachSpec::step_items("orders").pointer("/old"))
                .optional(),
        )
        .step(
            StepSpec::workflow("wrong", delivery())
                .for_each(vec![json!(3), json!("four")])
                .optional(),
        )
        .step(StepSpec::workflow("all", "inner").for_each(vec![Value::Null]));
    let written = serde_json::to_value(&spec).unwrap();
    assert_eq!(serde_json::from_value::<Spec>(written).unwrap(), spec);
    let (machine, workflow) = (Machine::new(), data().workflow(spec).unwrap());
    let process = machine.process();
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    let value = |step| outcome.value_of(step).map(|value| (*value).clone());
    assert_eq!(value("list"), Some(json!(["parcel 1", "parcel 2"])));
    assert_eq!(value("all"), Some(json!([{ "a": 1, "b": 2 }])));
    let error = error_of(&outcome, "none");
    assert!(matches!(
        error.downcast_ref(),
        Some(PartError::NotAList { .. })
    ));
    let error = error_of(&outcome, "wrong");
    assert!(error.is_permanent());
    let text = "items [1] of 2 failed, the first of them because: invalid type: string \"four\", expected u32";
    assert!(error.to_string().starts_with(text), "{error}");

    let spec = Spec::new("outer")
        .step(StepSpec::new("orders", "echo").input(json!([{ "number": 4 }, { "number": 5 }])))
        .step(
            StepSpec::workflow("deliver", delivery())
                .for_each(ForEachSpec::step_items("orders").pointer("/*/number")),
        );
    let workflow = data().workflow(spec).unwrap();
    let run = process.start_durable(&workflow, RunId::named("s").unwrap(), ());
    let outcome = run.await.unwrap().outcome().await.unwrap();
    let parcels = outcome.value_of("deliver").unwrap();
    assert_eq!(*parcels, json!(["parcel 4", "parcel 5"]));
}

#[tokio::test(start_paused = true)]
async fn as_data_a_step_runs_a_workflow_of_the_registry_in_rounds_until_a_handler_says_that_one_is_the_last()
 {
    let mut doubling = Workflow::durable("doubling");
    let number = doubling.input();
    let double = doubling.step("double").input(number);
    double.run(async |number: Arc<u32>| Ok::<u32, StepError>(*number * 2));
    let doubling: Workflow<u32, Durable> = doubling.build().unwrap();
    let registry = data()
        .with_workflow(&doubling)
        .handler("is-more-than", async |call: HandlerCall| {
            let last = call.last.and_then(|last| last.as_u64()).unwrap_or_default();
            Ok(json!(last > call.input.as_u64().unwrap_or_default()))
        })
        .handler("is-third", async |call: HandlerCall| {
            Ok(json!(call.context.part() == Some(2)))
        });
    let until = |handler: &str| RepeatSpec::until(Call::new(handler, 30), Repeat::at_most(5));
    let doubled = || WorkflowSpec::from("doubling").output("double");
    let spec = Spec::new("outer")
        .step(
            StepSpec::workflow("double", doubled())
                .input(3)
                .repeat(until("is-more-than")),
        )
        // It takes nothing, and is started with nothing each time.
        .step(StepSpec::workflow("again", "inner").repeat(until("is-third")))
        .step(
            StepSpec::workflow("never", doubled())
                .input(0)
                .repeat(until("is-more-than"))
                .optional(),
        )
        // What it puts out is not what it takes.
        .step(
            StepSpec::workflow("other", "doubling")
                .input(1)
                .repeat(until("is-third"))
                .optional(),
        );
    let written = serde_json::to_value(&spec).unwrap();
    assert_eq!(serde_json::from_value::<Spec>(written).unwrap(), spec);
    let (machine, workflow) = (Machine::new(), registry.workflow(spec).unwrap());
    let process = machine.process();
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    let value = |step| outcome.value_of(step).map(|value| (*value).clone());
    assert_eq!(value("double"), Some(json!(48)));
    assert_eq!(value("again"), Some(json!({ "a": 1, "b": 2 })));
    let error = error_of(&outcome, "never");
    assert!(matches!(
        error.downcast_ref(),
        Some(PartError::RoundsExhausted { limit: 5 })
    ));
    let error = error_of(&outcome, "other");
    assert!(error.is_permanent());
    let text = "invalid type: map, expected u32";
    assert!(error.to_string().starts_with(text), "{error}");
}

#[test]
fn as_data_what_is_wrong_with_a_workflow_is_told_with_the_nearest_right_name() {
    let both = StepSpec {
        handler: "echo".to_owned(),
        ..StepSpec::workflow("both", "inner")
    };
    let spec = Spec::new("outer")
        .step(StepSpec::workflow("unknown", "iner"))
        .step(StepSpec::workflow(
            "output",
            WorkflowSpec::from("delivery").output("shp"),
        ))
        .step(StepSpec::workflow("takes", "inner").resource("gpu", NonZeroU32::MIN))
        .step(StepSpec::signal("again", "go").repeat(RepeatSpec::until(
            Call::new("ecko", true),
            Repeat::default(),
        )))
        .step(
            StepSpec::workflow("twice", "inner")
                .for_each(vec![json!(1)])
                .repeat(RepeatSpec::until(
                    Call::new("echo", true),
                    Repeat::default(),
                )),
        )
        .step(
            StepSpec::workflow("each", "delivery")
                .for_each(vec![json!(1)])
                .input(2),
        )
        .step(both);
    let faults = data().workflow(spec).unwrap_err().to_string();
    for text in [
        r#"step "unknown" runs the workflow "iner", which is not registered; did you mean "inner"?"#,
        r#"step "output" takes the output of "shp", which is no step of the workflow "delivery"; did you mean "ship"?"#,
        r#"step "takes" runs a workflow, so it takes no permits of a resource"#,
        r#"step "again" has `repeat`, which is about a handler or a workflow, and has neither"#,
        r#"step "again" names the handler "ecko", which is not registered; did you mean "echo"?"#,
        r#"step "twice" has both `for_each` and `repeat`: keep one"#,
        r#"step "each" runs a workflow for each item, which that is started with, so it has no `input`"#,
        r#"step "both" has more than one of `handler`, `signal`, `sleep` and `workflow`"#,
    ] {
        assert!(faults.contains(text), "{faults}");
    }
}
