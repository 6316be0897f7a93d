//! The typed builder: outputs travel as `Arc`s, and what is wrong is found before anything runs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::LocalBus;
use coord_workflow::{
    Fault, Retry, Status, Step, StepContext, StepError, StepState, Workflow, WorkflowOrchestrator,
};

fn orchestrator() -> WorkflowOrchestrator {
    WorkflowOrchestrator::new(&LocalBus::new()).expect("the topic opens")
}

#[tokio::test(start_paused = true)]
async fn a_step_takes_the_output_of_an_earlier_one_without_a_clone() {
    #[derive(Debug)]
    struct Image(Vec<u8>);
    let mut workflow = Workflow::builder("build-deploy");
    let test = workflow.step("test").run(async || Ok::<_, StepError>(()));
    let build = workflow
        .step("build")
        .after(&test)
        .run(async || Ok::<_, StepError>(Image(vec![1, 2, 3])));
    let deploy = workflow
        .step("deploy")
        .input(build)
        .run(|image: Arc<Image>| async move { Ok::<_, StepError>(Arc::as_ptr(&image) as usize) });
    let workflow = workflow.build().unwrap();

    let outcome = orchestrator()
        .execute_workflow(&workflow, ())
        .await
        .unwrap();
    assert_eq!(outcome.status, Status::Completed);
    let image = outcome.output(&build).unwrap();
    assert_eq!(image.0, [1, 2, 3]);
    assert_eq!(
        *outcome.output(&deploy).unwrap(),
        Arc::as_ptr(&image) as usize
    );
}

#[tokio::test(start_paused = true)]
async fn a_step_takes_as_many_inputs_of_as_many_types_as_it_likes() {
    let mut workflow = Workflow::builder("sum");
    let number = workflow
        .step("number")
        .run(async || Ok::<u64, StepError>(1));
    let text = workflow
        .step("text")
        .run(async || Ok::<_, StepError>("20".to_owned()));
    let many: Vec<Step<u64>> = (0..100)
        .map(|each| {
            workflow
                .step(format!("each-{each}"))
                .run(move || async move { Ok::<u64, StepError>(each) })
        })
        .collect();
    let sum = workflow
        .step("sum")
        .input((number, (text, number), many))
        .run(|(one, (text, again), many)| async move {
            let text: u64 = text.parse()?;
            Ok::<_, StepError>(*one + text + *again + many.iter().map(|each| **each).sum::<u64>())
        });
    let workflow = workflow.build().unwrap();
    let outcome = orchestrator()
        .execute_workflow(&workflow, ())
        .await
        .unwrap();
    assert_eq!(*outcome.output(&sum).unwrap(), 1 + 20 + 1 + 4950);
}

#[tokio::test(start_paused = true)]
async fn each_run_has_its_own_input() {
    let mut workflow = Workflow::builder("double");
    let input = workflow.input();
    let doubled = workflow
        .step("double")
        .input(input)
        .run(|number: Arc<u64>| async move { Ok::<_, StepError>(*number * 2) });
    let workflow = workflow.build().unwrap();
    let orchestrator = orchestrator();
    let (three, four) = tokio::join!(
        orchestrator.execute_workflow(&workflow, 3),
        orchestrator.execute_workflow(&workflow, 4),
    );
    assert_eq!(*three.unwrap().output(&doubled).unwrap(), 6);
    assert_eq!(*four.unwrap().output(&doubled).unwrap(), 8);
}

#[test]
fn every_fault_of_a_built_workflow_is_reported_at_once() {
    let mut other = Workflow::<()>::builder("other");
    let foreign = other.step("foreign").run(async || Ok::<_, StepError>(()));
    let mut workflow = Workflow::<()>::builder("no name");
    workflow.step("twice").run(async || Ok::<_, StepError>(()));
    workflow.step("twice").run(async || Ok::<_, StepError>(()));
    workflow
        .step("../etc")
        .after(&foreign)
        .run(async || Ok::<_, StepError>(()));
    let faults = workflow.build().unwrap_err().0;
    assert!(matches!(&faults[0], Fault::InvalidName { name } if name == "no name"));
    assert!(matches!(
        &faults[1],
        Fault::DuplicateId {
            first: 0,
            second: 1,
            ..
        }
    ));
    assert!(matches!(&faults[2], Fault::InvalidId { step: 2, .. }));
    assert!(matches!(&faults[3], Fault::ForeignStep { step: 2, .. }));
    assert_eq!(faults.len(), 4);
}

#[test]
fn a_workflow_without_steps_is_refused() {
    let faults = Workflow::<()>::builder("nothing").build().unwrap_err().0;
    assert_eq!(faults, [Fault::NoSteps]);
}

#[tokio::test(start_paused = true)]
async fn a_condition_on_the_inputs_decides_whether_a_step_runs() {
    let mut workflow = Workflow::builder("publish");
    let version = workflow.input();
    let publish = workflow
        .step("publish")
        .input(version)
        .when(|version: &Arc<u32>| **version > 1)
        .run(|version: Arc<u32>| async move { Ok::<_, StepError>(*version) });
    let announce = workflow
        .step("announce")
        .input(publish)
        .run(|version: Arc<u32>| async move { Ok::<_, StepError>(format!("v{version}")) });
    let clean = workflow
        .step("clean")
        .after(&publish)
        .retry(Retry::none())
        .timeout(Duration::from_secs(1))
        .run(async || Ok::<_, StepError>(()));
    let workflow = workflow.build().unwrap();
    let orchestrator = orchestrator();

    let first = orchestrator.execute_workflow(&workflow, 1).await.unwrap();
    assert_eq!(first.status, Status::Completed);
    assert!(first.output(&publish).is_none());
    assert!(
        first.output(&announce).is_none(),
        "what takes its output is skipped too"
    );
    assert!(
        first.output(&clean).is_some(),
        "what comes only after it is not"
    );

    let second = orchestrator.execute_workflow(&workflow, 2).await.unwrap();
    assert_eq!(*second.output(&announce).unwrap(), "v2");
}

#[tokio::test(start_paused = true)]
async fn a_condition_is_told_of_which_run_and_step_it_is_beside_what_it_is_about() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let see = |answer: bool| {
        let seen = Arc::clone(&seen);
        move |context: &StepContext, about: String| {
            let run = context.run().to_string();
            assert_eq!(
                context.idempotency_key(),
                format!("{run}/{}", context.step())
            );
            seen.lock()
                .unwrap()
                .push((run, format!("{} {about}", context.step())));
            answer
        }
    };
    let mut workflow = Workflow::<()>::builder("conditions");
    let none = see(true);
    let list = workflow
        .step("list")
        .when_with(move |context| none(&context, String::new()))
        .run(async || Ok::<_, StepError>(vec![1, 2]));
    let (input, each) = (see(false), see(true));
    let sum = workflow
        .step("sum")
        .input(list)
        .when_with(move |context, list: &Arc<Vec<u32>>| input(&context, format!("{list:?}")));
    sum.run(async |_: Arc<Vec<u32>>| Ok::<_, StepError>(()));
    let each_of = workflow
        .step("each")
        .for_each(list)
        .when_with(move |context, list: &[u32]| each(&context, format!("of {}", list.len())));
    each_of.run(async |item: u32| Ok::<_, StepError>(item));
    let workflow = workflow.build().unwrap();
    let outcome = orchestrator()
        .execute_workflow(&workflow, ())
        .await
        .unwrap();
    let skipped = outcome.step("sum").unwrap().state;
    assert!(matches!(skipped, StepState::Skipped(_)), "{skipped:?}");
    assert!(matches!(
        outcome.step("each").unwrap().state,
        StepState::Completed
    ));
    let mut seen = seen.lock().unwrap().clone();
    seen.sort();
    let run = outcome.run.to_string();
    let expected = ["each of 2", "list ", "sum [1, 2]"];
    assert_eq!(seen, expected.map(|seen| (run.clone(), seen.to_owned())));
}
