//! Steps that somebody skips, wherever they are, and what becomes of those that need them.

mod racing;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::{sleep, timeout};
use coord_bus::vocabulary::WORKFLOW_EVENTS;
use coord_bus::{BusExt, EventLog, LocalBus};
use coord_workflow::{
    Command, DEFAULT_LEASE_TTL, Durable, OnExhausted, OnFailure, Outcome, Retry, RunId, SkipReason,
    Status, StepContext, StepError, StepPhase, StepState, Why, Workflow, WorkflowOrchestrator,
};

use crate::crashes::{Failing, paused};
use crate::durable::Machine;
use crate::events::name;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// What the steps have done.
#[derive(Clone, Default)]
struct World(Arc<Mutex<Vec<String>>>);

impl World {
    fn see(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn count(&self, what: &str) -> usize {
        let seen = self.0.lock().unwrap();
        seen.iter().filter(|seen| *seen == what).count()
    }
}

fn id() -> RunId {
    RunId::named("a").unwrap()
}

fn skip(step: &str) -> Command {
    let step = step.to_owned();
    Command::Skip { step }
}

async fn settle() {
    sleep(Duration::from_millis(10)).await;
}

/// How each step ended: `skipped` is followed by why.
fn states(outcome: &Outcome) -> Vec<String> {
    let steps = outcome.steps();
    let states = steps.map(|step| match step.state {
        StepState::Skipped(why) => format!("{} skipped: {why}", step.id),
        state => format!("{} {}", step.id, state.name()),
    });
    states.collect()
}

/// `x`, which is somewhere when it is skipped; `after`, which needs it, and `takes`, which takes what it
/// puts out.
fn with_x(world: &World, place: &str) -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("skipping").timeout(HOUR * 10);
    let first = workflow.step("first").run(async || {
        sleep(SECOND * 10).await;
        Ok::<_, StepError>(())
    });
    let seen = world.clone();
    let mut step = workflow.step("x").timeout(HOUR);
    if place == "waiting" {
        step = step.after(&first);
    }
    let x = match place {
        "signal" => step.signal::<()>("approval"),
        "sleep" => step.sleep(HOUR),
        _ => {
            let (max, wait) = match place {
                "pausing" => (2, HOUR),
                _ => (1, SECOND),
            };
            let retry = Retry::constant(wait).max_attempts(max);
            let place = place.to_owned();
            let step = step.retry(retry).on_exhausted(match &*place {
                "exhausted" => OnExhausted::Pause,
                _ => OnExhausted::Fail,
            });
            step.run_with(move |context: StepContext| {
                let (seen, place) = (seen.clone(), place.clone());
                async move {
                    seen.see(format!("x {}", context.attempt()));
                    if let "running" | "failing" = &*place {
                        sleep(SECOND).await;
                    }
                    match &*place {
                        "running" => Ok(()),
                        _ => Err(StepError::message("no route to host")),
                    }
                }
            })
        }
    };
    let seen = world.clone();
    workflow.step("after").after(&x).run(move || {
        seen.see("after");
        async { Ok::<_, StepError>(()) }
    });
    workflow
        .step("takes")
        .input(x)
        .run(async |_: Arc<()>| Ok::<_, StepError>(()));
    workflow.build().unwrap()
}

const SKIPPED: &str = "x skipped: somebody said that it is to be skipped";
const LACKS: &str = "takes skipped: `x`, whose output it takes, has none";

#[tokio::test(start_paused = true)]
async fn a_step_of_which_nothing_is_under_way_is_skipped_at_once_and_what_needs_it_goes_on() {
    let places = [
        ("waiting", 0),
        ("signal", 1),
        ("sleep", 1),
        ("pausing", 1),
        ("exhausted", 1),
    ];
    for (place, attempts) in places {
        let (world, bus) = (World::default(), LocalBus::new());
        let mut events = bus.subscribe(&WORKFLOW_EVENTS).unwrap();
        let machine = Machine::new();
        let process = machine.process_on(&bus);
        let workflow = with_x(&world, place);
        let run = process.start_durable(&workflow, id(), ()).await.unwrap();
        sleep(SECOND).await;
        assert_eq!(world.count("after"), 0, "{place}");
        run.tell(skip("x")).await.unwrap();
        settle().await;
        assert_eq!(world.count("after"), 1, "{place}");
        let outcome = timeout(SECOND * 10, run.outcome()).await.unwrap().unwrap();
        assert!(outcome.is_completed(), "{place}");
        let expected = ["first completed", SKIPPED, "after completed", LACKS];
        assert_eq!(states(&outcome), expected, "{place}");
        assert_eq!(outcome.step("x").unwrap().attempts, attempts, "{place}");
        assert!(!run.view().unwrap().is_paused);
        let mut story = Vec::new();
        while let Ok(event) = events.try_recv() {
            if event.transition.step() == Some("x") {
                story.push(name(&event.transition));
            }
        }
        let skipped: Vec<_> = story
            .iter()
            .filter(|told| **told == "step-skipped x")
            .collect();
        assert_eq!(
            (skipped.len(), story.last()),
            (1, Some(&"step-skipped x".to_owned()))
        );
        // It was not undone, nor tried again, and the journal says the same.
        assert!(world.count("x 2") == 0);
        let kept = machine.journal().view(&id()).await.unwrap();
        assert_eq!(kept.step("x").unwrap().phase, StepPhase::Skipped);
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_under_way_goes_on_and_only_if_it_fails_the_step_is_skipped() {
    for place in ["running", "failing"] {
        let world = World::default();
        let process = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
        let mut workflow = Workflow::builder("under-way");
        let (seen, fails) = (world.clone(), place == "failing");
        let x = workflow
            .step("x")
            .retry(Retry::constant(SECOND).max_attempts(3))
            .run_with(move |context: StepContext| {
                seen.see(format!("x {}", context.attempt()));
                async move {
                    sleep(SECOND).await;
                    match fails {
                        true => Err(StepError::message("no route to host")),
                        false => Ok(()),
                    }
                }
            });
        workflow
            .step("after")
            .after(&x)
            .run(async || Ok::<_, StepError>(()));
        let workflow: Workflow = workflow.build().unwrap();
        let run = process.start_workflow(&workflow, ()).unwrap();
        settle().await;
        run.tell(skip("x")).await.unwrap();
        settle().await;
        let phase = run.view().unwrap().step("x").unwrap().phase;
        assert_eq!(phase, StepPhase::Running);
        let outcome = run.outcome().await.unwrap();
        assert!(outcome.is_completed());
        let x = outcome.step("x").unwrap();
        match x.state {
            StepState::Completed if !fails => {}
            StepState::Skipped(SkipReason::Asked) if fails => {}
            state => panic!("{place}: {state:?}"),
        }
        assert_eq!((x.attempts, outcome.duration), (1, SECOND));
    }
}

#[tokio::test(start_paused = true)]
async fn why_the_last_attempt_failed_is_known_also_of_a_step_that_is_skipped_for_it() {
    let (machine, world) = (Machine::new(), World::default());
    let process = machine.process();
    let workflow = with_x(&world, "failing");
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    settle().await;
    run.tell(skip("x")).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(states(&outcome)[1], SKIPPED);
    let view = machine.journal().view(&id()).await.unwrap();
    let error = view.step("x").unwrap().error.clone();
    assert_eq!(error.as_deref(), Some("no route to host"));
}

#[tokio::test(start_paused = true)]
async fn what_is_over_or_does_not_begin_anyway_is_not_skipped_and_who_asks_is_told_why() {
    let machine = Machine::new();
    let process = machine.process();
    let mut workflow = Workflow::durable("refusing").on_failure(OnFailure::FinishBranches);
    let fails = workflow
        .step("fails")
        .run(async || Err::<(), _>(StepError::message("it broke").permanent()));
    workflow
        .step("blocked")
        .after(&fails)
        .run(async || Ok::<_, StepError>(()));
    workflow.step("approved").signal::<()>("approval");
    let workflow: Workflow<(), Durable> = workflow.build().unwrap();
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    settle().await;
    let journal = machine.journal();
    for (step, says) in [
        (
            "fails",
            "step `fails` of run `a` was not skipped: it is over: failed; retry the run",
        ),
        ("blocked", "it does not begin, because of `fails`"),
        ("aproved", "there is no step `aproved` in run `a`"),
    ] {
        for refused in [
            run.tell(skip(step)).await,
            journal.tell(&id(), skip(step)).await,
        ] {
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains(says), "{refused}");
        }
    }
    assert_eq!(
        machine
            .kinds("a")
            .await
            .iter()
            .filter(|kind| *kind == "command")
            .count(),
        0
    );
    run.tell(skip("approved")).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_was_skipped_before_what_it_needs_failed_does_not_hold_the_run_up() {
    let process = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let mut workflow = Workflow::builder("branches").on_failure(OnFailure::FinishBranches);
    let fails = workflow.step("fails").run(async || {
        sleep(SECOND).await;
        Err::<(), _>(StepError::message("it broke").permanent())
    });
    let skipped = workflow
        .step("skipped")
        .after_any([&fails])
        .run(async || Ok::<_, StepError>(()));
    workflow
        .step("after")
        .after(&skipped)
        .run(async || Ok::<_, StepError>(()));
    workflow.step("slow").run(async || {
        sleep(SECOND * 5).await;
        Ok::<_, StepError>(())
    });
    let workflow: Workflow = workflow.build().unwrap();
    let run = process.start_workflow(&workflow, ()).unwrap();
    settle().await;
    run.tell(skip("skipped")).await.unwrap();
    let outcome = timeout(SECOND * 10, run.outcome()).await.unwrap().unwrap();
    let names: Vec<_> = outcome.steps().map(|step| step.state.name()).collect();
    assert_eq!(names, ["failed", "skipped", "completed", "completed"]);
    assert_eq!(
        (outcome.status, outcome.duration),
        (Status::Failed, SECOND * 5)
    );
}

#[tokio::test(start_paused = true)]
async fn a_skip_from_another_process_is_followed_by_who_drives_the_run_or_takes_it_up() {
    for is_driven in [true, false] {
        let (machine, world) = (Machine::new(), World::default());
        let process = machine.process();
        let workflow = with_x(&world, "exhausted");
        let run = process.start_durable(&workflow, id(), ()).await.unwrap();
        sleep(SECOND * 20).await;
        assert!(run.view().unwrap().is_paused);
        let journal = machine.journal();
        let run = match is_driven {
            true => {
                journal.tell(&id(), skip("x")).await.unwrap();
                run
            }
            false => {
                process.shutdown(SECOND).await;
                journal.tell(&id(), skip("x")).await.unwrap();
                let next = machine.process();
                let run = next.resume_run(&workflow, &id()).await.unwrap();
                assert!(run.outcome().await.unwrap().is_completed());
                run
            }
        };
        let outcome = run.outcome().await.unwrap();
        assert_eq!(states(&outcome)[1..], [SKIPPED, "after completed", LACKS]);
        assert_eq!(world.count("x 1"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn in_a_run_that_is_paused_a_step_is_skipped_and_what_needs_it_waits() {
    let (machine, world) = (Machine::new(), World::default());
    let process = machine.process();
    let workflow = with_x(&world, "waiting");
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    sleep(SECOND).await;
    run.tell(Command::Pause).await.unwrap();
    sleep(SECOND * 20).await;
    // It has all that it needs, and does not begin.
    assert_eq!(run.view().unwrap().why("x"), Some(Why::Paused));
    run.tell(skip("x")).await.unwrap();
    sleep(SECOND).await;
    let view = run.view().unwrap();
    assert_eq!(view.step("x").unwrap().phase, StepPhase::Skipped);
    assert_eq!(view.why("after"), Some(Why::Paused));
    run.tell(Command::Continue).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!((world.count("x 1"), world.count("after")), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_run_that_was_paused_for_a_step_counts_from_when_that_was_skipped() {
    let process = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let mut workflow = Workflow::builder("timed").timeout(SECOND * 10);
    let x = workflow
        .step("x")
        .retry(Retry::none())
        .on_exhausted(OnExhausted::Pause)
        .run(async || Err::<(), _>(StepError::message("it broke")));
    workflow.step("after").after(&x).run(async || {
        sleep(HOUR).await;
        Ok::<_, StepError>(())
    });
    let workflow: Workflow = workflow.build().unwrap();
    let run = process.start_workflow(&workflow, ()).unwrap();
    sleep(HOUR).await;
    run.tell(skip("x")).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(outcome.status, Status::TimedOut);
    assert_eq!(outcome.duration, HOUR + SECOND * 10);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_skipped_once_its_last_attempt_has_failed_gives_its_run_no_more_time() {
    let mut workflow = Workflow::builder("skipping").timeout(60 * SECOND);
    let x = workflow.step("x").run(async || {
        sleep(40 * SECOND).await;
        Err::<(), _>(StepError::message("no"))
    });
    workflow.step("after").after(&x).run(async || {
        sleep(HOUR).await;
        Ok::<_, StepError>(())
    });
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let run = orchestrator.start_workflow(&workflow.build().unwrap(), ());
    let run = run.unwrap();
    settle().await;
    run.tell(skip("x")).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(outcome.status, Status::TimedOut);
    assert_eq!(outcome.duration, 60 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_retried_does_not_do_what_was_skipped_unless_it_begins_from_there() {
    let machine = Machine::new();
    let world = World::default();
    let well = Arc::new(AtomicUsize::new(0));
    let build = || {
        let (seen, well) = (world.clone(), Arc::clone(&well));
        let mut workflow = Workflow::durable("retried");
        let gate = workflow.step("gate").signal::<()>("go");
        let x = workflow.step("x").after(&gate).run(move || {
            seen.see("x");
            async { Ok::<_, StepError>(()) }
        });
        workflow.step("last").after(&gate).after(&x).run(move || {
            let is_well = well.fetch_add(1, Ordering::SeqCst) > 0;
            async move {
                match is_well {
                    true => Ok(()),
                    false => Err(StepError::message("it broke").permanent()),
                }
            }
        });
        let workflow: Workflow<(), Durable> = workflow.build().unwrap();
        workflow
    };
    let process = machine.process();
    let run = process.start_durable(&build(), id(), ()).await.unwrap();
    for step in ["x", "gate"] {
        run.tell(skip(step)).await.unwrap();
    }
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    let run = process.retry_run(&build(), &id(), None).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert!(outcome.is_completed());
    assert_eq!(states(&outcome)[1], SKIPPED);
    // It was told to be skipped before that: it is done now.
    let run = process.retry_run(&build(), &id(), Some("x")).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(world.count("x"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_cancelled_by_a_command_is_not_cancelled_again_when_it_is_retried() {
    let (machine, world) = (Machine::new(), World::default());
    let process = machine.process();
    let workflow = with_x(&world, "waiting");
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    run.tell(Command::Cancel { reason: None }).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Cancelled);
    let run = process.retry_run(&workflow, &id(), None).await.unwrap();
    // It fails, as `x` does.
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
}

/// `x` in this place is skipped, and its process crashes after so many appends; with how many there
/// were.
async fn crashing(place: &str, crash: usize) -> (World, Arc<Outcome>, usize) {
    let (machine, world) = (Machine::new(), World::default());
    let workflow = with_x(&world, place);
    let left = AtomicUsize::new(crash);
    let log = Arc::clone(&machine.log);
    let log = Arc::new(Failing { log, left });
    let counted = Arc::clone(&log);
    let process = machine.with_log(log as Arc<dyn EventLog>).process();
    let mut was_told = false;
    let goes_on = async {
        let run = process.start_durable(&workflow, id(), ()).await?;
        settle().await;
        run.tell(skip("x")).await?;
        was_told = true;
        run.outcome().await
    };
    let ended = timeout(SECOND * 100, goes_on).await;
    let appends = crash - counted.left.load(Ordering::SeqCst);
    drop(process);
    if let Ok(Ok(outcome)) = ended {
        return (world, outcome, appends);
    }
    sleep(DEFAULT_LEASE_TTL).await;
    let process = machine.process();
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    settle().await;
    if !was_told {
        // It may have been kept all the same.
        let _ = run.tell(skip("x")).await;
    }
    let outcome = timeout(HOUR * 2, run.outcome()).await.unwrap().unwrap();
    (world, outcome, appends)
}

#[test]
fn a_run_in_which_a_step_is_skipped_may_crash_at_any_append() {
    for place in [
        "waiting",
        "signal",
        "sleep",
        "pausing",
        "exhausted",
        "failing",
    ] {
        let (_, undisturbed, appends) = paused(crashing(place, 1_000));
        assert_eq!(
            states(&undisturbed)[1..],
            [SKIPPED, "after completed", LACKS]
        );
        assert!(appends >= 4, "{place}: {appends}");
        for crash in 0..appends {
            let (world, outcome, _) = paused(crashing(place, crash));
            assert_eq!(
                states(&outcome),
                states(&undisturbed),
                "{place}, crash at {crash}"
            );
            assert_eq!(world.count("x 2"), 0, "{place}, crash at {crash}");
            assert!(world.count("after") <= 2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_of_a_step_that_nobody_asked_to_skip_is_written_as_ever() {
    let machine = Machine::new();
    let mut workflow = Workflow::durable("records");
    workflow
        .step("never")
        .when(|| false)
        .run(async || Ok::<_, StepError>(()));
    workflow.step("x").signal::<()>("approval");
    let workflow: Workflow<(), Durable> = workflow.build().unwrap();
    let process = machine.process();
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    settle().await;
    run.tell(skip("x")).await.unwrap();
    run.outcome().await.unwrap();
    let records = machine.log.read("run.a", 1, 100).await.unwrap();
    let skipped = records
        .iter()
        .filter(|stored| stored.record.kind == "step-skipped");
    let skipped: Vec<_> = skipped
        .map(|stored| String::from_utf8_lossy(&stored.record.payload).into_owned())
        .collect();
    assert_eq!(skipped.len(), 2);
    assert!(!skipped[0].contains("asked") && skipped[0].starts_with(r#"{"step":"never","at":"#));
    assert!(skipped[1].ends_with(r#""asked":true}"#), "{}", skipped[1]);
}
