//! Supervisors that are children of supervisors.

use std::sync::Arc;

use coord_bus::time::{Instant, sleep};
use coord_recovery::{
    AutoShutdown, ChildContext, ChildEnd, ChildSpec, ChildState, Restart, Supervisor,
};

use crate::stage::{Ran, Stage, clock, ends, fails, pass, seconds, serves, within};

/// A child that is a supervisor `workers` of one child that does this.
fn workers_of(
    stage: &Stage,
    work: fn(ChildContext) -> Ran,
) -> impl FnMut(ChildContext) -> Ran + Send + 'static {
    let bus = stage.bus.clone();
    move |context| {
        let bus = bus.clone();
        Box::pin(async move {
            let workers = Supervisor::new("workers", &bus, clock())?;
            workers.start(ChildSpec::new("one").intensity(1, seconds(5)), work)?;
            workers.start(ChildSpec::new("two"), serves)?;
            context.ready();
            context.supervise(&workers).await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_below_a_child_is_in_the_printed_tree_until_it_has_ended() {
    let stage = Stage::new();
    let (pool, _) = stage.start(ChildSpec::new("pool"), workers_of(&stage, serves));
    stage.start(ChildSpec::new("last"), serves);
    within(pool.ready()).await.unwrap();
    pass(seconds(1)).await;
    let tree = "services, one-for-one\n\
                ├─ pool: ready, workers, one-for-one\n\
                │  ├─ one: ready\n\
                │  └─ two: ready\n\
                └─ last: ready\n";
    assert_eq!(stage.supervisor.to_string(), tree);
    let end = within(pool.stop()).await;
    assert!(matches!(end, ChildEnd::Stopped), "{end}");
    let tree = "services, one-for-one\n\
                ├─ pool: ended: it was stopped\n\
                └─ last: ready\n";
    assert_eq!(stage.supervisor.to_string(), tree);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_given_up_below_fails_its_supervisor_which_is_restarted_above() {
    let mut stage = Stage::new();
    let spec = ChildSpec::new("pool").intensity(1, seconds(1_000));
    let (pool, starts) = stage.start(spec, workers_of(&stage, fails));
    let end = within(pool.ended()).await;
    assert!(matches!(end, ChildEnd::GaveUp(_)), "{end}");
    assert_eq!(starts.lock().unwrap().len(), 2);
    let mut pools = Vec::new();
    while let Ok(error) = stage.errors.try_recv() {
        if error.source == "pool" {
            pools.push(error.message.clone());
        }
    }
    let message = "`one` was given up: restarted 1 time within 5s: the port is taken";
    assert_eq!(pools, [message; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_significant_child_that_is_given_up_below_is_a_failure_above() {
    let stage = Stage::new();
    let bus = stage.bus.clone();
    let spec = ChildSpec::new("pool").restart(Restart::Temporary);
    let (pool, _) = stage.start(spec, move |context| {
        let bus = bus.clone();
        Box::pin(async move {
            let builder =
                Supervisor::builder("workers").auto_shutdown(AutoShutdown::AnySignificant);
            let workers = builder.build(&bus, clock())?;
            let one = ChildSpec::new("one").restart(Restart::Transient);
            workers.start(one.intensity(0, seconds(5)).significant(), fails)?;
            context.supervise(&workers).await
        })
    });
    let end = within(pool.ended()).await;
    assert!(matches!(end, ChildEnd::Failed { .. }), "{end}");
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_was_shut_down_with_an_incarnation_is_refused_by_the_next() {
    let stage = Stage::new();
    let workers = Arc::new(Supervisor::new("workers", &stage.bus, clock()).unwrap());
    let (pool, _) = stage.start(
        ChildSpec::new("pool").intensity(2, seconds(60)),
        move |context| {
            let workers = Arc::clone(&workers);
            Box::pin(async move {
                context.ready();
                context.supervise(&workers).await
            })
        },
    );
    within(pool.ready()).await.unwrap();
    assert!(pool.restart());
    let end = within(pool.ended()).await.to_string();
    assert!(
        end.contains("supervisor `workers` was shut down before"),
        "{end}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_below_ends_with_the_supervisor_above() {
    let stage = Stage::new();
    let (pool, _) = stage.start(ChildSpec::new("pool"), workers_of(&stage, serves));
    within(pool.ready()).await.unwrap();
    let report = within(stage.supervisor.shutdown(seconds(10))).await;
    assert!(report.aborted.is_empty(), "{report:?}");
    let alive = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    pass(seconds(1)).await;
    assert_eq!(alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_tree_that_holds_itself_is_printed_to_an_end() {
    let stage = Stage::new();
    let above = Arc::new(Supervisor::new("above", &stage.bus, clock()).unwrap());
    let itself = Arc::downgrade(&above);
    let run = move |context: ChildContext| {
        let itself = itself.upgrade().expect("it is there");
        async move { context.supervise(&itself).await }
    };
    above.start(ChildSpec::new("loop"), run).unwrap();
    above.start(ChildSpec::new("done"), ends).unwrap();
    pass(seconds(1) / 2).await;
    let tree = above.to_string();
    assert_eq!(tree.matches("─ loop").count(), 16, "{tree}");
    let child = above.child("loop").expect("it was started");
    assert!(matches!(child.state(), ChildState::Running { .. }));
}

/// A child that is a supervisor of one that takes 7 s to stop, and may.
fn slow_workers(stage: &Stage) -> impl FnMut(ChildContext) -> Ran + Send + 'static {
    let bus = stage.bus.clone();
    move |context| {
        let bus = bus.clone();
        Box::pin(async move {
            let workers = Supervisor::new("workers", &bus, clock())?;
            let slow = |context: ChildContext| async move {
                context.ready();
                context.token().cancelled().await;
                pass(seconds(7)).await;
                Ok(())
            };
            workers.start(ChildSpec::new("slow").shutdown(seconds(20)), slow)?;
            context.ready();
            context.supervise(&workers).await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_below_has_the_time_to_stop_that_its_children_have() {
    let stage = Stage::new();
    let (pool, _) = stage.start(ChildSpec::new("pool"), slow_workers(&stage));
    within(pool.ready()).await.unwrap();
    pass(seconds(1)).await;
    let begun = Instant::now();
    let end = within(pool.stop()).await;
    assert!(matches!(end, ChildEnd::Stopped), "{end}");
    assert_eq!(begun.elapsed(), seconds(7));
}

#[tokio::test(start_paused = true)]
async fn unless_less_is_said_for_it_or_for_all() {
    let stage = Stage::new();
    let spec = ChildSpec::new("pool").shutdown(seconds(2));
    let (pool, _) = stage.start(spec, slow_workers(&stage));
    within(pool.ready()).await.unwrap();
    pass(seconds(1)).await;
    let begun = Instant::now();
    let end = within(pool.stop()).await;
    assert!(matches!(end, ChildEnd::Aborted), "{end}");
    assert_eq!(begun.elapsed(), seconds(2));
    let (pool, _) = stage.start(ChildSpec::new("pool"), slow_workers(&stage));
    within(pool.ready()).await.unwrap();
    pass(seconds(1)).await;
    let begun = Instant::now();
    let report = within(stage.supervisor.shutdown(seconds(3))).await;
    assert_eq!(report.aborted, ["pool"]);
    assert_eq!(begun.elapsed(), seconds(3));
}

#[tokio::test(start_paused = true)]
async fn what_a_child_does_after_it_has_supervised_takes_no_longer_than_any_other_child_may() {
    let stage = Stage::new();
    let bus = stage.bus.clone();
    let (pool, _) = stage.start(ChildSpec::new("pool"), move |context: ChildContext| {
        let bus = bus.clone();
        Box::pin(async move {
            let workers = Supervisor::new("workers", &bus, clock())?;
            let spec = ChildSpec::new("slow").shutdown(seconds(20));
            workers.start(spec, |it: ChildContext| async move {
                it.token().cancelled().await;
                sleep(seconds(10)).await;
                Ok(())
            })?;
            context.ready();
            context.supervise(&workers).await?;
            std::future::pending().await
        }) as Ran
    });
    within(pool.ready()).await.unwrap();
    pass(seconds(1)).await;
    let begin = Instant::now();
    pool.stop().await;
    let took = begin.elapsed();
    // The one below has its time, and this one is aborted once that and its own are over.
    assert!(seconds(10) < took && took < seconds(40), "{took:?}");
}

/// Each of two children is what it is below of.
#[tokio::test(start_paused = true)]
async fn a_tree_that_holds_itself_is_stopped_to_an_end() {
    let stage = Stage::new();
    let above = Arc::new(Supervisor::new("above", &stage.bus, clock()).unwrap());
    for name in ["one", "two"] {
        let itself = Arc::downgrade(&above);
        let spec = ChildSpec::new(name);
        let supervises = move |context: ChildContext| {
            let itself = itself.upgrade().expect("it is there");
            async move { context.supervise(&itself).await }
        };
        above.start(spec, supervises).unwrap();
    }
    pass(seconds(1)).await;
    assert!(above.to_string().contains("one"));
    let report = within(above.shutdown(seconds(60))).await;
    assert!(report.still_running.is_empty(), "{report:?}");
}
