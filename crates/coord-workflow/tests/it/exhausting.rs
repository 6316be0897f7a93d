//! Steps of which every attempt fails: the run is paused for them, until somebody has seen to it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::sleep;
use coord_bus::vocabulary::WORKFLOW_EVENTS;
use coord_bus::{BusExt, EventLog, LocalBus};
use coord_workflow::{
    Command, DEFAULT_LEASE_TTL, Durable, OnExhausted, Registry, Retry, Run, RunId, RunView, Spec,
    Status, StepContext, StepError, StepPhase, StepSpec, Why, Workflow, WorkflowOrchestrator,
};
use serde_json::json;

use crate::crashes::{Failing, paused};
use crate::durable::Machine;
use crate::events::name;
use crate::keys::unmarked;

const SECOND: Duration = Duration::from_secs(1);

/// What the world is like, and what it has seen.
#[derive(Clone, Default)]
struct World {
    is_well: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn see(&self, what: impl Into<String>) {
        self.seen.lock().unwrap().push(what.into());
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    fn count(&self, what: &str) -> usize {
        self.seen().iter().filter(|seen| *seen == what).count()
    }
}

/// `build`, then `deploy`, which is tried twice and fails while the world is not well, then `tell`;
/// and `lint`, which has nothing to do with them and takes 10 s.
fn release(world: &World) -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("release").timeout(60 * SECOND);
    let (built, undone, deploying) = (world.clone(), world.clone(), world.clone());
    let build = workflow
        .step("build")
        .compensate(move |_: Arc<()>| {
            undone.see("undo");
            async { Ok::<_, StepError>(()) }
        })
        .run(move || {
            built.see("build");
            async { Ok::<_, StepError>(()) }
        });
    workflow.step("lint").run(async || {
        sleep(10 * SECOND).await;
        Ok::<_, StepError>(())
    });
    let deploy = workflow
        .step("deploy")
        .after(&build)
        .retry(Retry::constant(SECOND).max_attempts(2))
        .on_exhausted(OnExhausted::Pause)
        .run_with(move |context: StepContext| {
            let world = deploying.clone();
            async move {
                let attempt = context.attempt();
                world.see(format!("{} {attempt}", unmarked(&context)));
                context.heartbeat_with(&attempt)?;
                match world.is_well.load(Ordering::SeqCst) {
                    true => Ok(context.last_heartbeat::<u32>()?),
                    false => Err(StepError::message("no route to host")),
                }
            }
        });
    let told = world.clone();
    workflow.step("tell").after(&deploy).run(move || {
        told.see("tell");
        async { Ok::<_, StepError>(()) }
    });
    workflow.build().unwrap()
}

fn id() -> RunId {
    RunId::named("a").unwrap()
}

/// Until the run is paused, and nothing in it goes on; with what is to be seen of it then. `None`: its
/// journal has failed before.
async fn held(run: &Run) -> Option<RunView> {
    loop {
        sleep(SECOND).await;
        let view = run.view()?;
        let goes_on = |phase| matches!(phase, StepPhase::Running | StepPhase::Retrying);
        if view.is_paused && !view.steps.iter().any(|step| goes_on(step.phase)) {
            return Some(view);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_run_is_paused_for_a_step_and_tells_so_while_the_rest_goes_on() {
    let (world, bus) = (World::default(), LocalBus::new());
    let mut events = bus.subscribe(&WORKFLOW_EVENTS).unwrap();
    let orchestrator = WorkflowOrchestrator::new(&bus).unwrap();
    let run = orchestrator.start_workflow(&release(&world), ()).unwrap();
    let view = held(&run).await.unwrap();
    let phases: Vec<_> = view.steps.iter().map(|step| step.phase).collect();
    let (done, exhausted) = (StepPhase::Completed, StepPhase::Exhausted);
    assert_eq!(phases, [done, done, exhausted, StepPhase::Waiting]);
    let exhausted: Vec<_> = view.exhausted().map(|step| &*step.id).collect();
    assert_eq!(exhausted, ["deploy"]);
    assert_eq!(view.step("deploy").unwrap().attempts, 2);
    let error = "no route to host".to_owned();
    assert_eq!(view.why("deploy"), Some(Why::Exhausted { error }));
    assert_eq!(
        view.why("tell"),
        Some(Why::Needs(vec!["deploy".to_owned()]))
    );
    let mut last = String::new();
    while let Ok(event) = events.try_recv() {
        if event.transition.step() == Some("deploy") {
            last = name(&event.transition);
        }
    }
    assert_eq!(last, "step-exhausted deploy");

    world.is_well.store(true, Ordering::SeqCst);
    run.tell(Command::Continue).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert!(outcome.is_completed(), "{outcome:?}");
    let key = format!("{}/deploy", run.id());
    let attempts = [1, 2, 1].map(|attempt| format!("{key} {attempt}"));
    let expected = [&["build".to_owned()][..], &attempts, &["tell".to_owned()]];
    assert_eq!(world.seen(), expected.concat());
    // What the last attempt had said is told across the pause.
    let deploy = outcome.step("deploy").unwrap();
    assert_eq!(deploy.attempts, 1);
    assert!(!outcome.view().is_paused);
}

#[tokio::test(start_paused = true)]
async fn a_step_may_be_exhausted_again_and_a_run_that_is_paused_for_it_be_cancelled_and_undone() {
    let world = World::default();
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let run = orchestrator.start_workflow(&release(&world), ()).unwrap();
    held(&run).await.unwrap();
    run.tell(Command::Continue).await.unwrap();
    held(&run).await.unwrap();
    assert_eq!(world.count(&format!("{}/deploy 2", run.id())), 2);
    run.tell(Command::Cancel { reason: None }).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(outcome.status, Status::Cancelled);
    assert_eq!((world.count("undo"), world.count("tell")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_run_does_not_count_while_it_is_paused_for_a_step_and_counts_anew_then() {
    let world = World::default();
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let run = orchestrator.start_workflow(&release(&world), ()).unwrap();
    sleep(3600 * SECOND).await;
    run.tell(Command::Continue).await.unwrap();
    sleep(50 * SECOND).await;
    assert!(run.view().unwrap().is_paused, "it is not over time");
    world.is_well.store(true, Ordering::SeqCst);
    run.tell(Command::Continue).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());

    // One that goes on is over time then.
    let mut workflow = Workflow::builder("slow").timeout(60 * SECOND);
    let tries = Arc::new(AtomicUsize::new(0));
    workflow
        .step("step")
        .on_exhausted(OnExhausted::Pause)
        .run(move || {
            let tried = tries.fetch_add(1, Ordering::SeqCst);
            async move {
                match tried {
                    0 => Err(StepError::message("it broke")),
                    _ => std::future::pending::<Result<(), StepError>>().await,
                }
            }
        });
    let run = orchestrator
        .start_workflow(&workflow.build().unwrap(), ())
        .unwrap();
    sleep(100 * SECOND).await;
    run.tell(Command::Continue).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(outcome.status, Status::TimedOut);
    assert_eq!(outcome.duration.as_secs(), 160);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_is_permanent_fails_the_step_all_the_same() {
    let registry = Registry::new().handler("fails", async |_| {
        Err::<serde_json::Value, _>(StepError::message("no such user").permanent())
    });
    let step = StepSpec::new("step", "fails").on_exhausted(OnExhausted::Pause);
    let workflow = registry.workflow(Spec::new("data").step(step)).unwrap();
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let outcome = orchestrator.execute_workflow(&workflow, ()).await.unwrap();
    assert_eq!(outcome.status, Status::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_step_of_data_pauses_the_run_too() {
    let registry = Registry::new().handler("fails", async |_| {
        Err::<serde_json::Value, _>(StepError::message("no"))
    });
    let step = json!({ "id": "step", "handler": "fails", "on_exhausted": "pause" });
    let spec = Spec::new("data").step(serde_json::from_value(step).unwrap());
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let run = orchestrator.start_workflow(&registry.workflow(spec).unwrap(), ());
    assert_eq!(held(&run.unwrap()).await.unwrap().exhausted().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_paused_run_stays_paused_when_it_is_taken_up_until_anybody_continues_it() {
    let (machine, world) = (Machine::new(), World::default());
    let workflow = release(&world);
    let killed = machine.process();
    let run = killed.start_durable(&workflow, id(), ()).await.unwrap();
    held(&run).await.unwrap();
    drop(killed);
    sleep(DEFAULT_LEASE_TTL).await;
    let view = machine.journal().view(&id()).await.unwrap();
    assert!(view.is_paused && view.exhausted().count() == 1, "{view:?}");

    let bus = LocalBus::new();
    let mut events = bus.subscribe(&WORKFLOW_EVENTS).unwrap();
    let next = machine.process_on(&bus);
    let resumed = next.resume_runs(&workflow).await.unwrap();
    sleep(3600 * SECOND).await;
    let view = resumed.runs[0].view().unwrap();
    assert!(view.is_paused && view.exhausted().count() == 1, "{view:?}");
    assert_eq!(world.count("a/deploy 1"), 1, "nothing was tried");
    let mut story = Vec::new();
    while let Ok(event) = events.try_recv() {
        story.push(name(&event.transition));
    }
    assert_eq!(story, ["run-started", "step-exhausted deploy"]);

    world.is_well.store(true, Ordering::SeqCst);
    machine
        .journal()
        .tell(&id(), Command::Continue)
        .await
        .unwrap();
    let outcome = resumed.runs[0].outcome().await.unwrap();
    assert!(outcome.is_completed());
    assert_eq!((world.count("build"), world.count("a/deploy 1")), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_continued_while_nobody_drove_it_goes_on_when_it_is_taken_up() {
    let (machine, world) = (Machine::new(), World::default());
    let workflow = release(&world);
    let killed = machine.process();
    let run = killed.start_durable(&workflow, id(), ()).await.unwrap();
    // Before anything is exhausted this continues nothing.
    run.tell(Command::Continue).await.unwrap();
    held(&run).await.unwrap();
    drop(killed);
    sleep(DEFAULT_LEASE_TTL).await;
    let next = machine.process();
    let run = next.resume_run(&workflow, &id()).await.unwrap();
    sleep(10 * SECOND).await;
    assert!(run.view().unwrap().is_paused);
    next.shutdown(SECOND).await;
    machine
        .journal()
        .tell(&id(), Command::Continue)
        .await
        .unwrap();
    world.is_well.store(true, Ordering::SeqCst);
    let last = machine.process();
    let run = last.resume_run(&workflow, &id()).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(world.count("a/deploy 1"), 2);
}

/// A run that is paused, continued once all is well, and crashes after so many appends; with how
/// many there were.
async fn crashing(crash: usize) -> (World, usize) {
    let (machine, world) = (Machine::new(), World::default());
    let workflow = release(&world);
    let left = AtomicUsize::new(crash);
    let log = Arc::clone(&machine.log);
    let log = Arc::new(Failing { log, left });
    let counted = Arc::clone(&log);
    let process = machine.with_log(log as Arc<dyn EventLog>).process();
    let goes_on = async {
        let run = process.start_durable(&workflow, id(), ()).await?;
        if held(&run).await.is_none() {
            return run.outcome().await;
        }
        world.is_well.store(true, Ordering::SeqCst);
        run.tell(Command::Continue).await?;
        run.outcome().await
    };
    let ended = coord_bus::time::timeout(100 * SECOND, goes_on).await;
    let appends = crash - counted.left.load(Ordering::SeqCst);
    drop(process);
    if let Ok(Ok(outcome)) = ended {
        assert!(outcome.is_completed());
        return (world, appends);
    }
    sleep(DEFAULT_LEASE_TTL).await;
    let next = machine.process();
    let run = next.start_durable(&workflow, id(), ()).await.unwrap();
    let outcome = async {
        if !world.is_well.load(Ordering::SeqCst) {
            held(&run).await.unwrap();
            world.is_well.store(true, Ordering::SeqCst);
        }
        sleep(20 * SECOND).await;
        // Told before, or told now: it may have been cut off before it was kept.
        let _ = run.tell(Command::Continue).await;
        run.outcome().await.unwrap()
    };
    assert!(outcome.await.is_completed(), "crash at {crash}");
    (world, appends)
}

#[test]
fn a_run_that_is_paused_and_continued_may_crash_at_any_append() {
    let (world, appends) = paused(crashing(1_000));
    assert_eq!((world.count("build"), world.count("tell")), (1, 1));
    assert!(appends >= 8, "{appends}");
    for crash in 0..appends {
        let (world, _) = paused(crashing(crash));
        let (builds, tells) = (world.count("build"), world.count("tell"));
        assert!((1..=2).contains(&builds) && (1..=2).contains(&tells));
        assert!(
            builds + tells <= 3,
            "one step at most could not say that it is done"
        );
        assert_eq!(world.count("undo"), 0, "crash at {crash}");
    }
}
