//! What is said of workflows and their steps.

use coord_bus::BusExt;
use coord_bus::vocabulary::{Transition, WORKFLOW_EVENTS};
use coord_monitor::{MAX_STEPS, OTHER, PerformanceMetrics};

use crate::stage::{Stage, completed, finished, millis, pass, seconds, started};

fn run_started() -> Transition {
    Transition::RunStarted { steps: 1 }
}

#[tokio::test(start_paused = true)]
async fn runs_are_counted_by_how_they_ended() {
    let stage = Stage::new();
    let outcomes = ["completed", "completed", "failed", "cancelled", "timed-out"];
    for run in 0..7 {
        stage
            .tell_of("build", &run.to_string(), run_started())
            .await;
    }
    for (run, outcome) in outcomes.iter().enumerate() {
        stage
            .tell_of("build", &run.to_string(), finished(outcome, seconds(2)))
            .await;
    }
    let metrics = stage.monitor.performance_metrics().workflows;
    assert_eq!(metrics.active, 2);
    assert_eq!((metrics.completed, metrics.failed), (2, 1));
    assert_eq!((metrics.cancelled, metrics.timed_out), (1, 1));
    let duration = metrics.duration.unwrap();
    assert_eq!((duration.count, duration.mean), (5, 2.0));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_had_started_before_takes_no_other_from_the_active() {
    let stage = Stage::new();
    stage.tell_of("build", "2", run_started()).await;
    stage
        .tell_of("build", "1", finished("completed", seconds(1)))
        .await;
    stage
        .tell_of("other", "2", finished("completed", seconds(1)))
        .await;
    assert_eq!(stage.monitor.performance_metrics().workflows.active, 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_suspended_is_active_no_more_and_has_not_ended() {
    let stage = Stage::new();
    stage.tell_of("build", "1", run_started()).await;
    stage.tell_of("build", "1", Transition::RunSuspended).await;
    let metrics = stage.monitor.performance_metrics().workflows;
    assert_eq!((metrics.active, metrics.completed), (0, 0));
    assert!(metrics.duration.is_none());
}

#[tokio::test(start_paused = true)]
async fn steps_are_counted_over_all_runs() {
    let stage = Stage::new();
    let step = || "test".to_owned();
    let transitions = [
        started("test"),
        Transition::StepRetrying {
            step: step(),
            attempt: 1,
            error: String::new(),
            wait: seconds(1),
        },
        started("test"),
        completed("test", seconds(3)),
        started("test"),
        Transition::StepFailed {
            step: step(),
            attempt: 1,
            error: String::new(),
            duration: seconds(1),
            optional: true,
        },
        Transition::StepSkipped {
            step: "deploy".to_owned(),
            reason: String::new(),
        },
        Transition::StepCancelled { step: step() },
    ];
    for transition in transitions {
        stage.tell(transition).await;
    }
    let metrics = stage.monitor.performance_metrics();
    let steps = metrics.workflows.steps;
    assert_eq!((steps.completed, steps.failed), (1, 1));
    assert_eq!((steps.skipped, steps.retried), (1, 1));
    let test = metrics.step("build/test").unwrap();
    assert_eq!((test.attempts, test.failures), (3, 2));
    let duration = test.duration.as_ref().unwrap();
    assert_eq!((duration.count, duration.min, duration.max), (2, 1.0, 3.0));
}

#[tokio::test(start_paused = true)]
async fn the_slowest_steps_come_first_and_those_without_a_duration_last() {
    let stage = Stage::new();
    stage.tell(started("running")).await;
    stage.tell(completed("quick", millis(1))).await;
    stage.tell(completed("slow", seconds(5))).await;
    stage.tell(completed("middling", seconds(1))).await;
    let metrics = stage.monitor.performance_metrics();
    let steps: Vec<_> = metrics.steps.iter().map(|step| &*step.step).collect();
    assert_eq!(
        steps,
        [
            "build/slow",
            "build/middling",
            "build/quick",
            "build/running"
        ]
    );
}

fn counted(metrics: &PerformanceMetrics, step: &str) -> u64 {
    let step = metrics.step(step).expect("it is there");
    step.duration.as_ref().map_or(0, |duration| duration.count)
}

#[tokio::test(start_paused = true)]
async fn steps_beyond_the_limit_are_one_row() {
    let stage = Stage::new();
    for number in 0..MAX_STEPS + 25 {
        stage.tell(completed(&number.to_string(), millis(1))).await;
    }
    stage.tell(completed("0", millis(1))).await;
    let metrics = stage.monitor.performance_metrics();
    assert_eq!(metrics.missed, 0);
    assert_eq!(metrics.steps.len(), MAX_STEPS + 1);
    assert_eq!(counted(&metrics, OTHER), 25);
    assert_eq!(counted(&metrics, "build/0"), 2);
}

#[tokio::test(start_paused = true)]
async fn it_never_makes_a_publisher_wait_and_counts_what_it_missed() {
    const BURST: u64 = 5000;
    let stage = Stage::new();
    let events = stage.bus.publisher(&WORKFLOW_EVENTS).unwrap();
    for _ in 0..BURST {
        let event = coord_bus::vocabulary::WorkflowEvent {
            workflow: "build".to_owned(),
            run: "1".to_owned(),
            at: coord_bus::Timestamp::UNIX_EPOCH,
            transition: started("test"),
        };
        // In one go, so that nobody reads meanwhile.
        events.try_publish(event).unwrap();
    }
    pass(millis(1)).await;
    let metrics = stage.monitor.performance_metrics();
    assert!(metrics.missed > 0);
    assert_eq!(
        metrics.missed + metrics.step("build/test").unwrap().attempts,
        BURST
    );
}
