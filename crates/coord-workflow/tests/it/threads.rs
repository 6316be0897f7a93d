//! Steps on their threads: who holds one, who is woken when, and what is left when a run is aborted.

use std::num::NonZeroUsize;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use coord_bus::time::{Instant, sleep};
use coord_bus::vocabulary::{ERROR_DETECTED, WORKFLOW_EVENTS};
use coord_bus::{BusExt, LocalBus, TaskScope};
use coord_workflow::{
    Retry, Status, Step, StepContext, StepError, Workflow, WorkflowBuilder, WorkflowOrchestrator,
};
use tokio::sync::mpsc;

fn orchestrator() -> WorkflowOrchestrator {
    WorkflowOrchestrator::new(&LocalBus::new()).expect("the topic opens")
}

/// A step that holds its thread until another one, which comes after it, has run.
fn add_rendezvous(
    workflow: &mut WorkflowBuilder<()>,
    name: &str,
    after: Option<&Step<()>>,
) -> Step<()> {
    let (release, released) = sync_channel::<()>(0);
    let released = Arc::new(Mutex::new(released));
    let mut holds = workflow.step(format!("{name}-holds"));
    if let Some(after) = after {
        holds = holds.after(after);
    }
    holds.run(move || {
        let released = Arc::clone(&released);
        async move {
            released.lock().unwrap().recv()?;
            Ok::<_, StepError>(())
        }
    });
    let mut releases = workflow.step(format!("{name}-releases"));
    if let Some(after) = after {
        releases = releases.after(after);
    }
    releases.run(move || {
        let release = release.clone();
        async move {
            release.send(())?;
            Ok::<_, StepError>(())
        }
    })
}

fn spin(time: Duration) {
    let since = Instant::now();
    while since.elapsed() < time {
        std::hint::spin_loop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_holds_its_thread_does_not_hold_up_the_others() {
    let mut workflow = Workflow::builder("two");
    // With one thread for both this would never end.
    add_rendezvous(&mut workflow, "only", None);
    let workflow = workflow.build().unwrap();
    let outcome = orchestrator().execute_workflow(&workflow, ()).await;
    assert!(outcome.unwrap().is_completed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn among_many_short_steps_one_that_holds_its_thread_does_not_hold_up_the_others() {
    let mut workflow = Workflow::builder("rendezvous");
    for step in 0..20_000 {
        match step % 997 {
            500 => drop(add_rendezvous(&mut workflow, &step.to_string(), None)),
            _ => {
                let id = format!("s{step}");
                workflow.step(id).run(async || Ok::<_, StepError>(()));
            }
        }
    }
    let workflow = workflow.build().unwrap();
    let outcome = orchestrator().execute_workflow(&workflow, ()).await;
    assert!(outcome.unwrap().is_completed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stands_by_stays_for_what_begins_after_a_lull() {
    let mut workflow = Workflow::builder("lulls");
    let mut last: Option<Step<()>> = None;
    for round in 0..40 {
        // Enough that a helper stands by, and has done so for long.
        let many = (0..1_000).map(|step| {
            let mut step = workflow.step(format!("many-{round}-{step}"));
            if let Some(last) = &last {
                step = step.after(last);
            }
            step.run(async || Ok::<_, StepError>(()))
        });
        let many: Vec<_> = many.collect();
        // Meanwhile there is nothing to help with.
        let lull = workflow.step(format!("lull-{round}")).input(many);
        let lull = lull.run(|_| async {
            spin(Duration::from_micros(30));
            Ok::<_, StepError>(())
        });
        last = Some(add_rendezvous(
            &mut workflow,
            &round.to_string(),
            Some(&lull),
        ));
    }
    let workflow = workflow.build().unwrap();
    let outcome = orchestrator().execute_workflow(&workflow, ()).await;
    assert!(outcome.unwrap().is_completed());
}

#[tokio::test]
async fn what_else_is_to_be_done_on_its_thread_has_its_turn_while_a_run_goes_on() {
    let (sender, mut tenth) = mpsc::channel(1);
    let mut workflow = Workflow::builder("long");
    for step in 0..500 {
        let sender = sender.clone();
        workflow.step(format!("s{step}")).run(move || {
            spin(Duration::from_millis(1));
            if step == 10 {
                sender.try_send(()).unwrap();
            }
            async { Ok::<_, StepError>(()) }
        });
    }
    let workflow = workflow.build().unwrap();
    let orchestrator = orchestrator();
    let run = orchestrator.start_workflow(&workflow, ()).unwrap();
    tenth.recv().await.unwrap();
    run.cancel();
    assert_eq!(run.outcome().await.unwrap().status, Status::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_wakes_itself_while_it_is_polled_is_polled_again() {
    let mut workflow = Workflow::builder("restless");
    workflow.step("restless").run(|| {
        let mut polls = 0;
        std::future::poll_fn(move |cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            match polls {
                10 => Poll::Ready(Ok::<_, StepError>(())),
                _ => Poll::Pending,
            }
        })
    });
    let workflow = workflow.build().unwrap();
    let outcome = orchestrator().execute_workflow(&workflow, ()).await;
    assert!(outcome.unwrap().is_completed());
}

#[tokio::test(start_paused = true)]
async fn a_step_that_becomes_ready_when_all_later_ones_are_through_still_runs() {
    let mut workflow = Workflow::builder("late");
    let slow = workflow.step("slow").run(async || {
        sleep(Duration::from_secs(1)).await;
        Ok::<_, StepError>(())
    });
    workflow
        .step("after")
        .after(&slow)
        .run(async || Ok::<_, StepError>(()));
    for step in 0..500 {
        workflow
            .step(format!("s{step}"))
            .run(async || Ok::<_, StepError>(()));
    }
    let workflow = workflow.build().unwrap();
    let outcome = orchestrator().execute_workflow(&workflow, ()).await;
    assert!(outcome.unwrap().is_completed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_holds_its_thread_learns_from_its_token_that_it_is_to_stop() {
    let (begins, mut begun) = mpsc::channel(1);
    let mut workflow = Workflow::builder("busy");
    workflow.step("busy").run_with(move |context: StepContext| {
        let (begins, token) = (begins.clone(), context.token());
        async move {
            begins.send(()).await?;
            while !token.is_cancelled() {
                std::hint::spin_loop();
            }
            Err::<(), _>(StepError::message("stopped"))
        }
    });
    let workflow = workflow.build().unwrap();
    let orchestrator = orchestrator();
    let run = orchestrator.start_workflow(&workflow, ()).unwrap();
    begun.recv().await.unwrap();
    run.cancel();
    assert_eq!(run.outcome().await.unwrap().status, Status::Cancelled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_is_being_polled_when_its_run_is_aborted_is_dropped_afterwards() {
    struct Dropped(&'static str, mpsc::Sender<&'static str>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.1.try_send(self.0).unwrap();
        }
    }
    let (begins, mut begun) = mpsc::channel(2);
    let (drops, mut dropped) = mpsc::channel(2);
    let mut workflow = Workflow::builder("aborted");
    let mut step = |name: &'static str| {
        let (release, released) = sync_channel::<()>(0);
        let released = Arc::new(Mutex::new(released));
        let (begins, drops) = (begins.clone(), drops.clone());
        workflow.step(name).run(move || {
            let guard = Dropped(name, drops.clone());
            let (begins, released) = (begins.clone(), Arc::clone(&released));
            async move {
                let _guard = guard;
                begins.try_send(name)?;
                released.lock().unwrap().recv()?;
                std::future::pending::<Result<(), StepError>>().await
            }
        });
        release
    };
    // One is polled by who drives the run, the other by a helper.
    let (first, second) = (step("first"), step("second"));
    let workflow = workflow.build().unwrap();
    let orchestrator = orchestrator();
    let run = orchestrator.start_workflow(&workflow, ()).unwrap();
    let mut both = [begun.recv().await, begun.recv().await];
    both.sort_unstable();
    assert_eq!(both, [Some("first"), Some("second")]);
    drop(orchestrator);
    first.send(()).unwrap();
    assert_eq!(dropped.recv().await, Some("first"));
    second.send(()).unwrap();
    assert_eq!(dropped.recv().await, Some("second"));
    assert!(run.outcome().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_step_whose_start_is_being_told_when_the_run_is_cancelled_does_not_begin() {
    let bus = LocalBus::new();
    let mut events = bus.subscribe(&WORKFLOW_EVENTS).unwrap();
    let capacity = bus.publisher(&WORKFLOW_EVENTS).unwrap().stats().capacity;
    let calls = Arc::new(Mutex::new(0));
    let mut workflow = Workflow::builder("told");
    // So many events that the next one, that a step starts, has to wait.
    assert_eq!(capacity % 2, 0);
    let mut last = workflow
        .step("s0")
        .when(|| false)
        .run(async || Ok::<_, StepError>(()));
    for step in 1..capacity {
        let calls = Arc::clone(&calls);
        let step = workflow
            .step(format!("s{step}"))
            .after(&last)
            .retry(Retry::none());
        last = step.run(move || {
            *calls.lock().unwrap() += 1;
            async { Ok::<_, StepError>(()) }
        });
    }
    let workflow = workflow.build().unwrap();
    let orchestrator = WorkflowOrchestrator::new(&bus).unwrap();
    let run = orchestrator.start_workflow(&workflow, ()).unwrap();
    sleep(Duration::from_secs(1)).await;
    run.cancel();
    sleep(Duration::from_secs(1)).await;
    let mut told = 0;
    let outcome = loop {
        tokio::select! {
            biased;
            Some(event) = events.recv() => {
                let json = serde_json::to_string(&event.transition).unwrap();
                told += usize::from(json.contains("step-started"));
            }
            outcome = run.outcome() => break outcome.unwrap(),
        }
    };
    assert_eq!(outcome.status, Status::Cancelled);
    let begun = outcome.steps().filter(|step| step.attempts > 0).count();
    assert_eq!(begun, *calls.lock().unwrap());
    assert_eq!(told, begun + 1, "one was told of, and then did not begin");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_that_use_up_the_budget_of_their_task_still_come_to_an_end() {
    let mut workflow = Workflow::builder("greedy");
    for step in 0..50 {
        workflow.step(format!("s{step}")).run(|| async {
            let (sender, mut receiver) = tokio::sync::mpsc::channel(1000);
            for number in 0..1000 {
                sender.send(number).await?;
                receiver.recv().await;
            }
            Ok::<_, StepError>(())
        });
    }
    let workflow = workflow.build().unwrap();
    let outcome = orchestrator().execute_workflow(&workflow, ()).await;
    assert!(outcome.unwrap().is_completed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_graph_woken_from_other_tasks_loses_no_step() {
    let tasks = Arc::new(TaskScope::new("wakers"));
    let mut workflow = Workflow::builder("layers");
    let mut layer: Vec<Step<u64>> = Vec::new();
    for depth in 0..20 {
        layer = (0..50)
            .map(|step| {
                let tasks = Arc::clone(&tasks);
                workflow
                    .step(format!("s{depth}-{step}"))
                    .input(layer.clone())
                    .run(move |before: Vec<Arc<u64>>| {
                        let tasks = Arc::clone(&tasks);
                        async move {
                            let (sender, receiver) = tokio::sync::oneshot::channel();
                            let largest = before.iter().map(|each| **each).max();
                            tasks.spawn("answer", async move {
                                let _ = sender.send(largest.unwrap_or(0) + 1);
                            });
                            Ok::<u64, StepError>(receiver.await?)
                        }
                    })
            })
            .collect();
    }
    let workflow = workflow.build().unwrap();
    let outcome = orchestrator().execute_workflow(&workflow, ()).await;
    let outcome = outcome.unwrap();
    assert!(outcome.is_completed());
    for step in &layer {
        assert_eq!(*outcome.output(step).unwrap(), 20);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_helper_takes_a_step_of_a_run_that_has_just_come_to_its_end() {
    let bus = LocalBus::new();
    let mut errors = bus.subscribe(&ERROR_DETECTED).unwrap();
    let orchestrator = WorkflowOrchestrator::new(&bus).unwrap();
    let mut checks = Workflow::<()>::builder("checks").concurrency(NonZeroUsize::new(4).unwrap());
    for number in 0..40 {
        checks
            .step(format!("check-{number}"))
            .run(move || async move {
                if number % 2 == 0 {
                    tokio::task::yield_now().await;
                }
                match number {
                    3 => Err(StepError::message("no")),
                    _ => Ok(()),
                }
            });
    }
    let checks = checks.build().unwrap();
    // Before, nine runs in ten had a helper that panicked.
    for _ in 0..200 {
        let outcome = orchestrator.execute_workflow(&checks, ()).await.unwrap();
        assert_eq!(outcome.status, Status::Failed);
    }
    orchestrator.shutdown(Duration::from_secs(10)).await;
    let told = errors.try_recv();
    assert!(told.is_err(), "{told:?}");
}
