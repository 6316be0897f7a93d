//! Steps that wait for an event of the bus.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::{sleep, timeout};
use coord_bus::{Bus, BusExt, Envelope, LocalBus, Topic};
use coord_workflow::{
    AttemptError, DEFAULT_LEASE_TTL, Durable, Run, RunId, Status, StepContext, StepError, Why,
    Workflow, WorkflowError, WorkflowOrchestrator,
};

use crate::durable::Machine;

const ANSWERS: Topic<u64> = Topic::new("answers");
const SECOND: Duration = Duration::from_secs(1);

async fn answer(bus: &LocalBus, run: &RunId, answer: u64) {
    let envelope = Envelope::new(answer).correlation_id(run.as_str());
    let answers = bus.publisher(&ANSWERS).unwrap();
    answers.publish_with(envelope).await.unwrap();
}

async fn outcome(run: Run) -> Arc<coord_workflow::Outcome> {
    run.outcome().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_step_waits_for_an_event_of_its_own_run_also_one_that_came_before_it_began() {
    for is_early in [true, false] {
        let bus = LocalBus::new();
        let mut workflow = Workflow::builder("ask");
        let asking = bus.clone();
        let ask = workflow.step("ask").run_with(move |context: StepContext| {
            let bus = asking.clone();
            async move {
                // Somebody else's, and then the run's own, before anybody waits for it.
                answer(&bus, &RunId::named("another").unwrap(), 1).await;
                if is_early {
                    answer(&bus, context.run(), 42).await;
                    sleep(SECOND).await;
                }
                Ok::<_, StepError>(())
            }
        });
        let waits = workflow.step("answer").after(&ask).wait_for(&bus, &ANSWERS);
        let workflow = workflow.build().unwrap();
        let orchestrator = WorkflowOrchestrator::new(&bus).unwrap();
        let run = orchestrator.start_workflow(&workflow, ()).unwrap();
        if !is_early {
            sleep(SECOND).await;
            let why = run.view().unwrap().why("answer").unwrap();
            assert_eq!(why, Why::Event("answers".to_owned()));
            assert_eq!(
                why.to_string(),
                "it waits for an event of the topic `answers`"
            );
            answer(&bus, run.id(), 42).await;
        }
        let outcome = outcome(run).await;
        assert_eq!(outcome.output(&waits).as_deref(), Some(&42));
        assert_eq!(outcome.duration, SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn a_filter_says_which_event_it_is_and_what_a_topic_retains_is_looked_at_too() {
    const LEVELS: Topic<u64> = Topic::new("levels").retain(1);
    let bus = LocalBus::new();
    let levels = bus.publisher(&LEVELS).unwrap();
    levels.publish(7).await.unwrap();
    let build = |above: u64| {
        let mut workflow = Workflow::builder("level");
        // A bus that is shared is a bus.
        let bus: Arc<dyn Bus> = Arc::new(bus.clone());
        let step = workflow.step("level");
        let step = step.wait_for_where(&bus, &LEVELS, move |level, _, _| *level > above);
        (workflow.build().unwrap(), step)
    };
    let orchestrator = WorkflowOrchestrator::new(&bus).unwrap();
    let (workflow, step) = build(5);
    let outcome = orchestrator.execute_workflow(&workflow, ()).await.unwrap();
    assert_eq!(outcome.output(&step).as_deref(), Some(&7));
    let (workflow, step) = build(7);
    let run = orchestrator.start_workflow(&workflow, ()).unwrap();
    for level in [6, 8, 9] {
        levels.publish(level).await.unwrap();
    }
    let outcome = run.outcome().await.unwrap();
    assert_eq!(outcome.output(&step).as_deref(), Some(&8));
}

#[tokio::test(start_paused = true)]
async fn nobody_who_publishes_is_held_up_by_a_step_that_has_its_event_or_a_run_that_has_ended() {
    const FEW: Topic<u64> = Topic::new("few").capacity(2);
    let bus = LocalBus::new();
    let few = bus.publisher(&FEW).unwrap();
    let mut workflow = Workflow::builder("few");
    let holds = workflow.step("holds").run(async || {
        sleep(10 * SECOND).await;
        Ok::<_, StepError>(())
    });
    let first = workflow.step("first").after(&holds);
    let first = first.wait_for_where(&bus, &FEW, |_, _, _| true);
    let never = workflow.step("never").optional().timeout(30 * SECOND);
    never.wait_for_where(&bus, &FEW, |_, _, _| false);
    let workflow = workflow.build().unwrap();
    let orchestrator = WorkflowOrchestrator::new(&bus).unwrap();
    let run = orchestrator.start_workflow(&workflow, ()).unwrap();
    let publish = async || {
        for number in 0..100 {
            few.publish(number).await.unwrap();
        }
    };
    let published = timeout(SECOND, publish()).await;
    published.expect("the run reads them, though its step has not begun");
    let outcome = run.outcome().await.unwrap();
    assert_eq!(outcome.output(&first).as_deref(), Some(&0));
    assert_eq!(outcome.duration, 30 * SECOND);
    sleep(SECOND).await;
    timeout(SECOND, publish())
        .await
        .expect("nobody listens any more");
    let topics = bus.stats();
    let topic = topics.iter().find(|topic| topic.topic == "few").unwrap();
    assert!(topic.subscribers.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_wait_has_a_timeout_and_an_end_when_its_topic_is_closed_and_takes_no_place() {
    let bus = LocalBus::new();
    let mut workflow = Workflow::builder("waits").concurrency(NonZeroUsize::MIN);
    let limited = workflow.step("limited").optional().timeout(SECOND);
    limited.wait_for(&bus, &ANSWERS);
    workflow.step("closed").wait_for(&bus, &ANSWERS);
    workflow.step("works").run(async || Ok::<_, StepError>(()));
    let workflow = workflow.build().unwrap();
    // Its events go elsewhere.
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let run = orchestrator.start_workflow(&workflow, ()).unwrap();
    sleep(2 * SECOND).await;
    bus.publisher(&ANSWERS).unwrap().close();
    let outcome = outcome(run).await;
    assert_eq!(outcome.status, Status::Failed);
    assert_eq!(outcome.step("limited").unwrap().duration, SECOND);
    assert_eq!(outcome.step("works").unwrap().state.name(), "completed");
    let (step, error) = outcome.failures().next().unwrap();
    assert_eq!(step.id, "closed");
    let topic = "answers".to_owned();
    let expected = AttemptError::TopicClosed { topic };
    assert_eq!(error.downcast_ref(), Some(&expected));
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_panics_fails_its_step() {
    let bus = LocalBus::new();
    let mut workflow = Workflow::builder("panics");
    let step = workflow.step("step");
    step.wait_for_where(&bus, &ANSWERS, |_, _, _| panic!("no such answer"));
    let workflow = workflow.build().unwrap();
    let orchestrator = WorkflowOrchestrator::new(&bus).unwrap();
    let run = orchestrator.start_workflow(&workflow, ()).unwrap();
    answer(&bus, run.id(), 1).await;
    let outcome = outcome(run).await;
    let (_, error) = outcome.failures().next().unwrap();
    assert!(error.to_string().contains("no such answer"), "{error}");
}

/// Waits for an answer, and then for a signal.
fn approved(bus: &LocalBus, topic: &Topic<u64>) -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("approved");
    let answer = workflow.step("answer").wait_for(bus, topic);
    workflow
        .step("approval")
        .after(&answer)
        .signal::<bool>("approval");
    workflow.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_event_that_was_received_is_kept_and_one_that_was_not_is_waited_for_anew() {
    let (machine, bus, id) = (Machine::new(), LocalBus::new(), RunId::named("a").unwrap());
    let workflow = approved(&bus, &ANSWERS);
    let first = machine.process();
    first
        .start_durable(&workflow, id.clone(), ())
        .await
        .unwrap();
    sleep(SECOND).await;
    let view = machine.journal().view(&id).await.unwrap();
    assert_eq!(view.why("answer"), Some(Why::Event("answers".to_owned())));
    drop(first);
    sleep(DEFAULT_LEASE_TTL).await;
    // A bus keeps nothing for who is not there.
    answer(&bus, &id, 1).await;
    let second = machine.process();
    let other = approved(&bus, &Topic::new("others"));
    let other = second.resume_run(&other, &id).await;
    assert!(
        matches!(other, Err(WorkflowError::Changed { .. })),
        "{other:?}"
    );
    let run = second.resume_run(&workflow, &id).await.unwrap();
    sleep(SECOND).await;
    answer(&bus, &id, 2).await;
    sleep(SECOND).await;
    assert_eq!(
        run.view().unwrap().why("approval"),
        Some(Why::Signal("approval".to_owned()))
    );
    drop(second);
    sleep(DEFAULT_LEASE_TTL).await;
    let third = machine.process();
    let run = third.resume_run(&workflow, &id).await.unwrap();
    answer(&bus, &id, 3).await;
    let (name, payload) = ("approval".to_owned(), true.into());
    let signal = coord_workflow::Command::Signal {
        name,
        payload,
        id: None,
    };
    run.tell(signal).await.unwrap();
    let outcome = outcome(run).await;
    assert!(outcome.is_completed());
    let view = machine.journal().view(&id).await.unwrap();
    let answer = view.step("answer").unwrap().output.clone();
    assert_eq!(answer.as_deref(), Some(&2.into()));
}
