//! Runs whose events nobody takes: they wait, but what is to end does, and what is to be undone is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coord_bus::time::{sleep, timeout};
use coord_bus::vocabulary::{Transition, WORKFLOW_EVENTS, WorkflowEvent};
use coord_bus::{BusExt, LocalBus, Publisher, Subscriber, Timestamp};
use coord_workflow::{
    Command, Durable, Run, RunId, Status, StepError, Workflow, WorkflowOrchestrator,
};

use crate::durable::Machine;
use crate::events::name;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// A step that is done and can be undone, and one that takes long.
fn saga(limit: Duration, undone: &Arc<AtomicBool>) -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("saga").timeout(limit);
    let undone = Arc::clone(undone);
    let a = workflow
        .step("a")
        .compensate(move |_: Arc<()>| {
            undone.store(true, Ordering::SeqCst);
            async {
                sleep(SECOND / 10).await;
                Ok::<_, StepError>(())
            }
        })
        .run(async || Ok::<_, StepError>(()));
    workflow.step("b").after(&a).timeout(HOUR).run(async || {
        sleep(HOUR / 2).await;
        Ok::<_, StepError>(())
    });
    workflow.build().unwrap()
}

/// Somebody who subscribes to the events, and does not read them.
struct Stuck {
    bus: LocalBus,
    events: Subscriber<WorkflowEvent>,
    others: Publisher<WorkflowEvent>,
}

impl Stuck {
    fn new() -> Self {
        let bus = LocalBus::new();
        let events = bus.subscribe(&WORKFLOW_EVENTS).unwrap();
        let others = bus.publisher(&WORKFLOW_EVENTS).unwrap();
        Self {
            bus,
            events,
            others,
        }
    }

    /// There is no room any more.
    fn fill(&self) {
        let other = || WorkflowEvent {
            workflow: "other".to_owned(),
            run: "other".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            transition: Transition::RunSuspended,
        };
        while self.others.try_publish(other()).is_ok() {}
    }

    fn process(&self) -> WorkflowOrchestrator {
        WorkflowOrchestrator::new(&self.bus).unwrap()
    }

    /// What is told of a run.
    fn story(&mut self) -> Vec<String> {
        let mut story = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            if event.workflow != "other" {
                story.push(name(&event.transition));
            }
        }
        story
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_is_ended_and_undone_also_where_nobody_takes_its_events() {
    for (is_full, how) in [false, true]
        .into_iter()
        .flat_map(|is_full| ["cancel", "timeout", "shutdown"].map(|how| (is_full, how)))
    {
        let mut stuck = Stuck::new();
        let process = stuck.process();
        let undone = Arc::default();
        let limit = if how == "timeout" { SECOND } else { HOUR };
        if is_full {
            stuck.fill();
        }
        let run = process.start_workflow(&saga(limit, &undone), ()).unwrap();
        sleep(SECOND / 10).await;
        stuck.fill();
        assert_eq!(process.untold(), 0);
        let status = match how {
            "cancel" => {
                run.tell(Command::Cancel { reason: None }).await.unwrap();
                Status::Cancelled
            }
            "timeout" => Status::TimedOut,
            _ => {
                let report = process.shutdown(3 * SECOND).await;
                assert!(report.is_complete(), "{is_full}: {report:?}");
                Status::Cancelled
            }
        };
        let outcome = timeout(5 * SECOND, run.outcome()).await.unwrap().unwrap();
        assert_eq!(outcome.status, status, "{is_full}");
        assert!(outcome.duration < 5 * SECOND / 2, "{how}: {outcome:?}");
        assert_eq!(undone.load(Ordering::SeqCst), !is_full, "{how}");
        let told = stuck.story();
        // A second was waited for room, once; what was not told is counted.
        let (before, untold): (&[&str], _) = match is_full {
            true => (&[], 4),
            false => (
                &[
                    "run-started",
                    "step-started a",
                    "step-completed a",
                    "step-started b",
                ],
                4,
            ),
        };
        assert_eq!((told, process.untold()), (strings(before), untold), "{how}");
    }
}

fn strings(story: &[&str]) -> Vec<String> {
    story.iter().map(ToString::to_string).collect()
}

/// A run that is cancelled while there is no room for its events.
async fn cancelled() -> (Stuck, WorkflowOrchestrator, Run) {
    let stuck = Stuck::new();
    let process = stuck.process();
    let workflow = saga(HOUR, &Arc::default());
    let run = process.start_workflow(&workflow, ()).unwrap();
    sleep(SECOND / 10).await;
    stuck.fill();
    run.cancel();
    (stuck, process, run)
}

#[tokio::test(start_paused = true)]
async fn what_a_slow_reader_has_room_for_in_time_it_is_told_also_of_a_run_that_is_ended() {
    let (mut stuck, process, run) = cancelled().await;
    let mut story = Vec::new();
    let outcome = loop {
        match timeout(SECOND / 2, run.outcome()).await {
            Ok(outcome) => break outcome.unwrap(),
            Err(_) => story.extend(stuck.story()),
        }
    };
    assert_eq!(outcome.status, Status::Cancelled);
    assert_eq!(outcome.duration, SECOND * 7 / 10);
    story.extend(stuck.story());
    let expected = [
        "run-started",
        "step-started a",
        "step-completed a",
        "step-started b",
        "step-cancelled b",
        "compensation-started a",
        "compensation-completed a",
        "run-finished",
    ];
    assert_eq!(story, expected);
    assert_eq!(process.untold(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_there_is_room_for_again_is_told_also_after_what_was_left_out() {
    let (mut stuck, process, run) = cancelled().await;
    sleep(SECOND + SECOND / 20).await;
    assert_eq!((stuck.story().len(), process.untold()), (4, 2));
    assert_eq!(run.outcome().await.unwrap().status, Status::Cancelled);
    assert_eq!(stuck.story(), ["compensation-completed a", "run-finished"]);
    assert_eq!(process.untold(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_durable_run_is_suspended_also_where_nobody_takes_its_events() {
    let (stuck, machine) = (Stuck::new(), Machine::new());
    let process = machine.process_on(&stuck.bus);
    let (undone, id) = (Arc::default(), RunId::named("r").unwrap());
    let workflow = saga(HOUR, &undone);
    let run = process.start_durable(&workflow, id.clone(), ()).await;
    sleep(SECOND / 10).await;
    stuck.fill();
    let report = process.shutdown(3 * SECOND).await;
    assert!(report.is_complete(), "{report:?}");
    assert!(run.unwrap().outcome().await.is_err());
    assert_eq!(process.untold(), 1);
    // Another goes on with it, and is told to end it.
    let other = machine.process();
    let run = other.resume_run(&workflow, &id).await.unwrap();
    run.tell(Command::Cancel { reason: None }).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(outcome.status, Status::Cancelled);
    assert!(undone.load(Ordering::SeqCst));
}
