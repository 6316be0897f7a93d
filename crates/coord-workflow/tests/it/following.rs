//! Runs that are followed by their records, as another process would.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coord_bus::time::{sleep, timeout};
use coord_bus::vocabulary::{Transition, WORKFLOW_EVENTS, WorkflowEvent};
use coord_bus::{BoxFuture, Bus, BusExt, Grant, Held, Lease, LeaseError, LocalBus};
use coord_workflow::{
    Command, DEFAULT_LEASE_TTL, Durable, Following, Retry, RunId, RunJournal, RunState, Status,
    StepError, Workflow,
};

use crate::durable::Machine;

fn named(id: &str) -> RunId {
    RunId::named(id).unwrap()
}

/// A step that fails once, one that is optional and fails, one that is skipped, one with three items,
/// and, unless all is to go well, one that fails: then what was done is undone, or is not.
fn varied(goes_well: bool) -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("varied");
    let flaky = workflow
        .step("flaky")
        .retry(Retry::constant(Duration::from_millis(50)).max_attempts(2))
        .compensate(async |_| Ok::<_, StepError>(()))
        .run_with(async |context: coord_workflow::StepContext| {
            sleep(Duration::from_millis(10)).await;
            match context.attempt() {
                1 => Err(StepError::message("not yet")),
                _ => Ok(vec![1_u32, 2, 3]),
            }
        });
    workflow.step("optional").optional().run(async || {
        sleep(Duration::from_millis(5)).await;
        Err::<(), _>(StepError::message("never"))
    });
    workflow
        .step("skipped")
        .when(|| false)
        .run(async || Ok::<_, StepError>(()));
    let items = workflow
        .step("items")
        .compensate(async |_| Err::<(), _>(StepError::message("cannot be undone").permanent()))
        .for_each(flaky)
        .run(async |number: u32| Ok::<_, StepError>(2 * number));
    workflow.step("last").input(items).run(move |_| async move {
        sleep(Duration::from_millis(30)).await;
        match goes_well {
            true => Ok(()),
            false => Err(StepError::message("it fails")),
        }
    });
    workflow.build().unwrap()
}

/// What is told, but for what depends on two clocks: how long a retry waits, when things happened.
fn told(event: &WorkflowEvent) -> Transition {
    match event.transition.clone() {
        Transition::StepRetrying {
            step,
            attempt,
            error,
            ..
        } => Transition::StepRetrying {
            step,
            attempt,
            error,
            wait: Duration::ZERO,
        },
        transition => transition,
    }
}

async fn all(following: &mut Following) -> Vec<WorkflowEvent> {
    let mut events = Vec::new();
    while let Some(event) = following.next().await.unwrap() {
        events.push(event);
    }
    events
}

async fn is_told_the_same(goes_well: bool) {
    let (machine, bus) = (Machine::new(), LocalBus::new());
    let mut published = bus.subscribe(&WORKFLOW_EVENTS).unwrap();
    let process = machine.process_on(&bus);
    let workflow = varied(goes_well);
    let run = process
        .start_durable(&workflow, named("a"), ())
        .await
        .unwrap();
    let mut following = machine.journal().follow(&named("a")).await.unwrap();
    let (outcome, followed) = tokio::join!(run.outcome(), all(&mut following));
    assert_eq!(outcome.unwrap().is_completed(), goes_well);
    bus.close();

    let mut events = Vec::new();
    while let Some(event) = published.recv().await {
        events.push(WorkflowEvent::clone(&event));
    }
    // Who follows from the beginning knows that the run has begun.
    let Transition::RunStarted { .. } = events.remove(0).transition else {
        panic!("a run begins with its beginning");
    };
    let transitions = |events: &[WorkflowEvent]| events.iter().map(told).collect::<Vec<_>>();
    assert_eq!(transitions(&followed), transitions(&events));
    assert_eq!(
        following.view().await.unwrap().state,
        RunState::Finished(if goes_well {
            Status::Completed
        } else {
            Status::Failed
        })
    );
}

#[tokio::test(start_paused = true)]
async fn who_follows_a_run_is_told_what_its_own_bus_is_told() {
    is_told_the_same(true).await;
}

#[tokio::test(start_paused = true)]
async fn who_follows_a_run_that_fails_is_told_what_is_undone_and_what_is_not() {
    is_told_the_same(false).await;
}

/// Holds on for an hour, unless it is called a second time.
fn holding() -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("holding");
    let first = workflow.step("first").run(async || Ok::<_, StepError>(()));
    workflow.step("second").after(&first).signal::<u32>("go");
    workflow.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_run_that_nobody_drives_ends_what_is_told_until_somebody_takes_it_up() {
    let machine = Machine::new();
    let killed = machine.process();
    killed
        .start_durable(&holding(), named("a"), ())
        .await
        .unwrap();
    let mut following = machine.journal().follow(&named("a")).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    drop(killed);

    // Also for who asks in portions that are shorter than what is waited for.
    let portion = Duration::from_millis(50);
    let mut before = Vec::new();
    loop {
        match timeout(portion, following.next()).await {
            Ok(Ok(Some(event))) => before.push(event),
            Ok(ended) => break assert_eq!(ended.unwrap(), None),
            Err(_) => {}
        }
    }
    let steps: Vec<_> = before
        .iter()
        .filter_map(|event| event.transition.step())
        .collect();
    assert_eq!(steps, ["first", "first", "second"]);
    assert_eq!(following.view().await.unwrap().state, RunState::Interrupted);

    sleep(DEFAULT_LEASE_TTL).await;
    let process = machine.process();
    let run = process.resume_run(&holding(), &named("a")).await.unwrap();
    let (name, payload) = ("go".to_owned(), 7.into());
    run.tell(Command::Signal {
        name,
        payload,
        id: None,
    })
    .await
    .unwrap();
    let after = all(&mut following).await;
    assert!(matches!(
        after[0].transition,
        Transition::RunStarted { steps: 2 }
    ));
    let Some(Transition::RunFinished { outcome, .. }) = after.last().map(|last| &last.transition)
    else {
        panic!("{after:?}");
    };
    assert_eq!(outcome, "completed");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_has_finished_and_is_retried_is_followed_on() {
    let (machine, bus) = (Machine::new(), LocalBus::new());
    let process = machine.process_on(&bus);
    let mut workflow = Workflow::durable("release");
    let fails = Arc::new(AtomicBool::new(true));
    let failing = Arc::clone(&fails);
    workflow.step("build").run(move || {
        let fails = failing.load(Ordering::SeqCst);
        async move {
            if fails {
                Err(StepError::message("no"))
            } else {
                Ok(())
            }
        }
    });
    let (workflow, id) = (workflow.build().unwrap(), named("a"));
    let run = process.start_durable(&workflow, id.clone(), ());
    run.await.unwrap().outcome().await.unwrap();
    let mut following = machine.journal().follow(&id).await.unwrap();
    assert_eq!(following.next().await.unwrap(), None);
    let state = following.view().await.unwrap().state;
    assert_eq!(state, RunState::Finished(Status::Failed));

    fails.store(false, Ordering::SeqCst);
    let mut published = bus.subscribe(&WORKFLOW_EVENTS).unwrap();
    let run = process.retry_run(&workflow, &id, None);
    run.await.unwrap().outcome().await.unwrap();
    let mut transitions = Vec::new();
    while let Ok(event) = published.try_recv() {
        transitions.push(told(&event));
    }
    let followed = all(&mut following).await;
    // Who follows knows that it was retried, too.
    let followed: Vec<_> = followed.iter().map(told).collect();
    assert!(
        followed.ends_with(&transitions),
        "{followed:?}, {transitions:?}"
    );
    let state = following.view().await.unwrap().state;
    assert_eq!(state, RunState::Finished(Status::Completed));
}

#[tokio::test(start_paused = true)]
async fn who_follows_a_run_that_has_finished_hears_nothing_of_another_one_in_its_place() {
    let machine = Machine::new();
    let process = machine.process();
    let of = |steps: u32| {
        let mut workflow: coord_workflow::WorkflowBuilder<(), Durable> =
            Workflow::durable("release");
        for step in 0..steps {
            let step = workflow.step(format!("step-{step}"));
            step.run(async || Ok::<_, StepError>(()));
        }
        workflow.build().unwrap()
    };
    let id = named("a");
    let run = process.start_durable(&of(1), id.clone(), ()).await.unwrap();
    run.outcome().await.unwrap();
    let mut following = machine.journal().follow(&id).await.unwrap();
    assert_eq!(following.next().await.unwrap(), None);
    // It has more records than the first.
    let longer = of(9);
    let anew = process.start_durable_anew(&longer, id.clone(), ());
    anew.await.unwrap().outcome().await.unwrap();
    assert_eq!(following.next().await.unwrap(), None);
    assert_eq!(following.view().await.unwrap().steps.len(), 1);
    let mut anew = machine.journal().follow(&id).await.unwrap();
    assert_eq!(anew.next().await.unwrap(), None);
    assert_eq!(anew.view().await.unwrap().steps.len(), 9);
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_seen_by_who_follows() {
    let machine = Machine::new();
    let process = machine.process();
    let run = process
        .start_durable(&holding(), named("a"), ())
        .await
        .unwrap();
    let journal = machine.journal();
    let mut following = journal.follow(&named("a")).await.unwrap();
    assert!(!following.is_paused());
    journal.tell(&named("a"), Command::Pause).await.unwrap();
    // It is no event, and is seen by who goes on waiting for one.
    let waited = timeout(Duration::from_secs(1), all(&mut following)).await;
    assert!(waited.is_err() && following.is_paused());

    run.tell(Command::Continue).await.unwrap();
    let (name, payload) = ("go".to_owned(), 7.into());
    run.tell(Command::Signal {
        name,
        payload,
        id: None,
    })
    .await
    .unwrap();
    all(&mut following).await;
    assert!(!following.is_paused());
}

/// Leases of which it takes a while to say who holds them.
struct Slow(Arc<dyn Lease>);

impl Lease for Slow {
    fn acquire<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Grant, LeaseError>> {
        self.0.acquire(name, holder, ttl)
    }

    fn renew<'a>(
        &'a self,
        grant: &'a Grant,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), LeaseError>> {
        self.0.renew(grant, ttl)
    }

    fn release(&self, grant: Grant) -> BoxFuture<'_, Result<(), LeaseError>> {
        self.0.release(grant)
    }

    fn current<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Held>, LeaseError>> {
        Box::pin(async move {
            sleep(Duration::from_secs(10)).await;
            self.0.current(name).await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ends_while_it_is_looked_at_was_not_interrupted() {
    let machine = Machine::new();
    let process = machine.process();
    let run = process
        .start_durable(&holding(), named("a"), ())
        .await
        .unwrap();
    let slow = Arc::new(Slow(Arc::clone(&machine.leases)));
    let journal = RunJournal::new(Arc::clone(&machine.log), slow);
    let mut following = journal.follow(&named("a")).await.unwrap();
    let end = async {
        sleep(Duration::from_secs(1)).await;
        let (name, payload) = ("go".to_owned(), 7.into());
        run.tell(Command::Signal {
            name,
            payload,
            id: None,
        })
        .await
        .unwrap();
        run.outcome().await.unwrap();
        process.shutdown(Duration::from_secs(5)).await;
    };
    let id = named("a");
    let (viewed, followed, ()) = tokio::join!(journal.view(&id), following.view(), end);
    assert_eq!(viewed.unwrap().state, RunState::Finished(Status::Completed));
    // As far as it was followed it goes on.
    assert_eq!(followed.unwrap().state, RunState::Running);
    all(&mut following).await;
    let state = following.view().await.unwrap().state;
    assert_eq!(state, RunState::Finished(Status::Completed));
}
