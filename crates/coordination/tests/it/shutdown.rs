//! How a module shuts down: in which order, what is still done, and what becomes of the rest.

use std::sync::{Arc, Mutex};

use coordination::CoordinationError;
use coordination::bus::time::Instant;
use coordination::bus::vocabulary::{
    LOG_EVENTS, NOTIFICATION, PROCESS_OUTPUT, SERVICE_LIFECYCLE, ServiceState,
};
use coordination::bus::{BusExt, Topic};
use coordination::flow::EventFlow;
use coordination::recovery::{ChildSpec, ChildState, RecoveryError};
use coordination::workflow::{Status, StepContext, StepError, Workflow};

use crate::stage::{STAY, Stage, left, next, seconds, service, within};

/// A workflow whose first step is undone by this, and whose second never ends by itself.
fn undone_by(undo: impl Fn() + Send + Sync + 'static) -> Workflow {
    let undo = Arc::new(undo);
    let mut workflow = Workflow::builder("deploy");
    let first = workflow
        .step("first")
        .compensate(move |_: Arc<()>| {
            let undo = Arc::clone(&undo);
            async move {
                // Others have their turn before it.
                tokio::task::yield_now().await;
                undo();
                Ok::<_, StepError>(())
            }
        })
        .run(async || Ok::<_, StepError>(()));
    workflow
        .step("second")
        .after(&first)
        .run_with(|context: StepContext| async move {
            context.token().cancelled().await;
            Err::<(), _>(StepError::message("interrupted"))
        });
    workflow.build().expect("it is in order")
}

#[tokio::test]
async fn a_run_is_undone_while_services_live_and_their_end_is_still_told() {
    let stage = Stage::new();
    let mut log = stage.subscribe(&LOG_EVENTS);
    let mut lifecycle = stage.subscribe(&SERVICE_LIFECYCLE);
    let services = stage.module.services().unwrap();
    let database = services
        .start(ChildSpec::new("database"), service("database", STAY))
        .unwrap();
    within(database.ready()).await.unwrap();

    let states = Arc::new(Mutex::new(Vec::new()));
    let (noted, child) = (Arc::clone(&states), database.clone());
    let workflow = undone_by(move || noted.lock().unwrap().push(child.state()));
    let orchestrator = stage.module.orchestrator().unwrap();
    let run = orchestrator.start_workflow(&workflow, ()).unwrap();
    tokio::task::yield_now().await;

    let account = within(stage.module.shutdown(seconds(30))).await;
    assert!(account.is_complete(), "{account}");
    assert_eq!(account.to_string(), "everything stopped");
    assert_eq!(run.outcome().await.unwrap().status, Status::Cancelled);
    let states = states.lock().unwrap();
    let were: &[ChildState] = &states;
    assert!(
        matches!(were, [ChildState::Running { ready: true, .. }]),
        "{were:?}"
    );
    let ended = left(&mut lifecycle).pop().unwrap().state;
    assert!(matches!(ended, ServiceState::Ended { asked: true, .. }));
    // The flow to the log was still there, and the monitor, who saw both.
    let messages = left(&mut log).into_iter().map(|entry| entry.message);
    assert_eq!(messages.last().unwrap(), "killed by signal 15");
    let monitor = stage.module.monitor().unwrap();
    let metrics = monitor.performance_metrics();
    assert_eq!(
        (metrics.workflows.cancelled, metrics.processes.len()),
        (1, 0)
    );
}

#[tokio::test]
async fn services_stop_in_reverse_order_of_start() {
    let stage = Stage::new();
    let mut lifecycle = stage.subscribe(&SERVICE_LIFECYCLE);
    let services = stage.module.services().unwrap();
    for name in ["first", "second", "third"] {
        let child = services.start(ChildSpec::new(name), service(name, STAY));
        within(child.unwrap().ready()).await.unwrap();
    }
    let names: Vec<_> = services
        .list()
        .into_iter()
        .map(|child| child.name)
        .collect();
    assert_eq!(names, ["first", "second", "third"]);
    assert!(
        within(stage.module.shutdown(seconds(30)))
            .await
            .is_complete()
    );
    let ended = left(&mut lifecycle).into_iter().filter_map(|event| {
        matches!(event.state, ServiceState::Ended { .. }).then_some(event.service)
    });
    assert_eq!(ended.collect::<Vec<_>>(), ["third", "second", "first"]);
}

#[tokio::test]
async fn a_crash_just_before_still_becomes_a_notification() {
    let stage = Stage::new();
    let mut notifications = stage.subscribe(&NOTIFICATION);
    let processes = stage.module.processes().unwrap();
    let crash = coordination::patterns::process::ProcessSpec::shell("crash", "exit 3");
    let stop = coordination::patterns::process::Stop::default();
    within(processes.run(&crash, &stop)).await.unwrap();
    assert!(
        within(stage.module.shutdown(seconds(30)))
            .await
            .is_complete()
    );
    let told = left(&mut notifications);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].title, "crash crashed");
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_runs_are_aborted_and_named() {
    let stage = Stage::new();
    let mut workflow = Workflow::builder("stubborn");
    workflow
        .step("only")
        .run_with(|context: StepContext| async move {
            let _told = context.token();
            std::future::pending::<Result<(), StepError>>().await
        });
    let workflow = workflow.build().unwrap();
    let orchestrator = stage.module.orchestrator().unwrap();
    let run = orchestrator.start_workflow(&workflow, ()).unwrap();
    tokio::task::yield_now().await;
    let begun = Instant::now();
    let account = within(stage.module.shutdown(seconds(2))).await;
    assert_eq!(begun.elapsed(), seconds(2));
    assert!(!account.is_complete());
    assert_eq!(
        account.to_string(),
        format!("workflows: did not stop in time: run {}", run.id())
    );
    assert!(run.outcome().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_a_flow_has_left_is_in_the_account() {
    const NUMBERS: Topic<u32> = Topic::new("numbers");
    const FULL: Topic<u32> = Topic::new("full").capacity(1);
    let stage = Stage::new();
    let _never_read = stage.subscribe(&FULL);
    let flow = EventFlow::from(&NUMBERS).to(&FULL).named("carry");
    let choreographer = stage.module.choreographer().unwrap();
    choreographer.add_event_flow(flow).unwrap();
    let numbers = stage.bus.publisher(&NUMBERS).unwrap();
    for number in 0..5 {
        numbers.publish(number).await.unwrap();
    }
    let account = within(stage.module.shutdown(seconds(2))).await;
    assert!(!account.is_complete());
    assert_eq!(account.left(), ["flows: `carry` left 4 events"]);
}

#[tokio::test(start_paused = true)]
async fn after_it_no_part_takes_anything_and_the_bus_is_open() {
    let stage = Stage::new();
    assert!(stage.module.shutdown(seconds(1)).await.is_complete());
    let workflow = undone_by(|| {});
    let orchestrator = stage.module.orchestrator().unwrap();
    assert!(orchestrator.start_workflow(&workflow, ()).is_err());
    let services = stage.module.services().unwrap();
    let refused = services.start(ChildSpec::new("late"), service("late", STAY));
    assert!(
        matches!(
            refused,
            Err(CoordinationError::Recovery(RecoveryError::ShutDown { .. }))
        ),
        "{refused:?}"
    );
    assert!(stage.bus.publisher(&PROCESS_OUTPUT).is_ok());
}

#[tokio::test(start_paused = true)]
async fn it_can_be_asked_for_twice_and_at_once() {
    let stage = Stage::new();
    let undone = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&undone);
    let workflow = undone_by(move || *counted.lock().unwrap() += 1);
    let orchestrator = stage.module.orchestrator().unwrap();
    orchestrator.start_workflow(&workflow, ()).unwrap();
    tokio::task::yield_now().await;
    let both = async {
        tokio::join!(
            stage.module.shutdown(seconds(9)),
            stage.module.shutdown(seconds(9))
        )
    };
    let (first, second) = within(both).await;
    assert!(first.is_complete() && second.is_complete());
    assert!(stage.module.shutdown(seconds(0)).await.is_complete());
    assert_eq!(*undone.lock().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_may_be_as_far_as_it_likes() {
    let stage = Stage::new();
    let account = within(stage.module.shutdown(std::time::Duration::MAX)).await;
    assert!(account.is_complete());
}

#[tokio::test(start_paused = true)]
async fn dropped_half_way_it_can_be_asked_for_again() {
    let stage = Stage::new();
    let undone = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&undone);
    let workflow = undone_by(move || *counted.lock().unwrap() += 1);
    let orchestrator = stage.module.orchestrator().unwrap();
    let run = orchestrator.start_workflow(&workflow, ()).unwrap();
    tokio::task::yield_now().await;
    tokio::select! {
        biased;
        _ = stage.module.shutdown(seconds(9)) => panic!("it takes longer than a moment"),
        () = std::future::ready(()) => {}
    }
    within(run.outcome()).await.unwrap();
    assert!(
        within(stage.module.shutdown(seconds(9)))
            .await
            .is_complete()
    );
    assert_eq!(*undone.lock().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_can_be_awaited_on_any_thread() {
    let stage = Stage::new();
    let module = Arc::new(stage.module);
    let shut = Arc::clone(&module);
    let task = tokio::spawn(async move { shut.shutdown(seconds(1)).await.is_complete() });
    assert!(within(task).await.unwrap());
}

#[tokio::test]
async fn a_service_that_ignores_its_end_is_killed_at_the_deadline() {
    let stage = Stage::new();
    let mut output = stage.subscribe(&PROCESS_OUTPUT);
    let stubborn = service("stubborn", crate::stage::IGNORE);
    let services = stage.module.services().unwrap();
    let child = services
        .start(ChildSpec::new("stubborn"), stubborn)
        .unwrap();
    within(child.ready()).await.unwrap();
    let pid = next(&mut output).await.line;
    let deadline = std::time::Duration::from_millis(300);
    let account = within(stage.module.shutdown(deadline)).await;
    assert_eq!(
        account.left()[0],
        "services: did not stop in time: stubborn"
    );
    crate::stage::until(|| !crate::stage::is_alive(&pid)).await;
}
