//! The owner of background tasks.

use std::panic::panic_any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use coord_bus::time::{Clock, Instant, ManualClock, sleep, timeout};
use coord_bus::vocabulary::{ERROR_DETECTED, ErrorDetected, Severity};
use coord_bus::{BusExt, LocalBus, TaskScope, Timestamp, catch, panic_message, run_blocking};
use tokio::sync::oneshot;
use tokio::task::yield_now;

const DEADLINE: Duration = Duration::from_secs(5);

/// Ends when it is dropped, and only then.
async fn for_ever() {
    std::future::pending::<()>().await;
}

#[tokio::test(start_paused = true)]
async fn tasks_are_known_by_name_while_they_run() {
    let scope = TaskScope::new("scope");
    let (end, ended) = oneshot::channel::<()>();
    scope.spawn("short", async move { ended.await.unwrap() });
    scope.spawn("long", for_ever());
    scope.spawn("long", for_ever());
    assert_eq!(scope.running(), ["long", "long", "short"]);
    end.send(()).unwrap();
    while scope.running().len() == 3 {
        yield_now().await;
    }
    assert_eq!(scope.running(), ["long", "long"]);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_asks_first_and_waits_for_those_who_stop() {
    let scope = TaskScope::new("scope");
    let stopped = Arc::new(AtomicUsize::new(0));
    for seconds in 1..=3 {
        let (stop, stopped) = (scope.token(), Arc::clone(&stopped));
        scope.spawn("worker", async move {
            stop.cancelled().await;
            sleep(Duration::from_secs(seconds)).await;
            stopped.fetch_add(1, Ordering::SeqCst);
        });
    }
    yield_now().await;
    assert_eq!(stopped.load(Ordering::SeqCst), 0);
    let begin = Instant::now();
    let report = scope.shutdown(DEADLINE).await;
    assert_eq!(stopped.load(Ordering::SeqCst), 3);
    assert_eq!(begin.elapsed().as_secs(), 3, "no longer than they take");
    assert_eq!((report.aborted.len(), report.panicked), (0, 0));
    assert_eq!(report.to_string(), "every task stopped");
    assert!(scope.running().is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_ignores_a_shutdown_is_aborted_at_the_deadline_and_named() {
    let scope = TaskScope::new("scope");
    let stop = scope.token();
    scope.spawn("willing", async move { stop.cancelled().await });
    scope.spawn("deaf", for_ever());
    scope.spawn("blind", for_ever());
    let begin = Instant::now();
    let report = scope.shutdown(DEADLINE).await;
    assert_eq!(begin.elapsed().as_secs(), DEADLINE.as_secs());
    assert_eq!(report.aborted, ["blind", "deaf"]);
    assert_eq!(report.to_string(), "did not stop in time: blind, deaf");
    assert!(scope.running().is_empty());
}

#[tokio::test(start_paused = true)]
async fn after_a_shutdown_nothing_is_run() {
    for ended_by_abort in [false, true] {
        let scope = TaskScope::new("scope");
        if ended_by_abort {
            scope.abort();
        } else {
            let _ = scope.shutdown(DEADLINE).await;
        }
        let (run, was_run) = oneshot::channel::<()>();
        scope.spawn("late", async move { run.send(()).unwrap() });
        assert!(was_run.await.is_err(), "dropped without having been run");
        assert!(scope.running().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_scope_ends_its_tasks() {
    let scope = TaskScope::new("scope");
    let token = scope.token();
    let (alive, ended) = oneshot::channel::<()>();
    scope.spawn("task", async move {
        for_ever().await;
        drop(alive);
    });
    yield_now().await;
    drop(scope);
    assert!(ended.await.is_err());
    assert!(token.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_given_up_has_asked_the_tasks_to_stop_and_leaves_them_time() {
    let scope = TaskScope::new("scope");
    let (stop, (done, is_done)) = (scope.token(), oneshot::channel());
    scope.spawn("task", async move {
        stop.cancelled().await;
        sleep(Duration::from_secs(60)).await;
        done.send(()).unwrap();
    });
    let given_up = coord_bus::time::timeout(Duration::from_secs(1), scope.shutdown(DEADLINE));
    assert!(given_up.await.is_err());
    assert!(is_done.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_panic_takes_nobody_with_it_and_is_an_event() {
    let bus = LocalBus::new();
    let mut errors = bus.subscribe(&ERROR_DETECTED).unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let scope = TaskScope::reporting("scope", &bus, Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
    let stop = scope.token();
    scope.spawn("steady", async move { stop.cancelled().await });
    let panics: [(&str, fn()); 3] = [
        ("a literal", || panic!("a literal")),
        ("made of 3 words", || panic!("made of {} words", 3)),
        ("it said nothing", || panic_any(7)),
    ];
    for (message, panic) in panics {
        clock.advance(Duration::from_secs(1));
        scope.spawn("task", async move {
            yield_now().await;
            panic();
        });
        let error = errors.recv().await.unwrap();
        let expected = ErrorDetected {
            source: "scope/task".to_owned(),
            kind: "panic".to_owned(),
            message: message.to_owned(),
            severity: Severity::Error,
            at: clock.now(),
        };
        assert_eq!(*error, expected);
    }
    while scope.running() != ["steady"] {
        yield_now().await;
    }
    let report = scope.shutdown(DEADLINE).await;
    assert_eq!((report.aborted.len(), report.panicked), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_counted_where_nobody_can_be_told() {
    let bus = LocalBus::new();
    let full = bus.publisher(&ERROR_DETECTED.capacity(1)).unwrap();
    let mut errors = bus.subscribe(&ERROR_DETECTED).unwrap();
    full.publish(ErrorDetected {
        source: "a test".to_owned(),
        kind: "first".to_owned(),
        message: String::new(),
        severity: Severity::Info,
        at: Timestamp::UNIX_EPOCH,
    })
    .await
    .unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    for scope in [
        TaskScope::reporting("told", &bus, clock).unwrap(),
        TaskScope::new("silent"),
    ] {
        scope.spawn("task", async { panic!("and nobody hears it") });
        let report = scope.shutdown(DEADLINE).await;
        assert_eq!((report.aborted.len(), report.panicked), (0, 1));
    }
    assert_eq!(errors.recv().await.unwrap().kind, "first");
    assert!(errors.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_could_not_report_does_not_begin() {
    let bus = LocalBus::new();
    let taken = coord_bus::Topic::<String>::new("error-detected");
    let _taken = bus.publisher(&taken).unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let refused = TaskScope::reporting("scope", &bus, clock);
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("error-detected"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_caught_future_gives_its_output_or_its_panic() {
    let output = catch(async {
        yield_now().await;
        7
    });
    assert_eq!(output.await.ok(), Some(7));
    let panic = catch(async {
        yield_now().await;
        assert_eq!(1, 2, "numbers");
    });
    let panic = panic.await.unwrap_err();
    assert!(panic_message(&*panic).contains("numbers"));
}

#[tokio::test(flavor = "current_thread")]
async fn what_blocks_holds_up_no_other_task() {
    let (go_on, wait) = mpsc::channel();
    let blocking = run_blocking(move || wait.recv_timeout(DEADLINE));
    let (waited, ()) = tokio::join!(blocking, async { go_on.send(7).unwrap() });
    assert_eq!(waited, Ok(7));
}

#[tokio::test]
async fn a_panic_of_what_blocks_is_one_of_the_task_that_awaits_it() {
    let scope = TaskScope::new("scope");
    scope.spawn("reads", async {
        run_blocking(|| panic!("no such file")).await;
    });
    let report = scope.shutdown(DEADLINE).await;
    assert_eq!((report.aborted.len(), report.panicked), (0, 1));
    let panic = catch(run_blocking(|| panic!("no such file"))).await;
    assert_eq!(panic_message(&*panic.unwrap_err()), "no such file");
}

#[tokio::test]
async fn a_scope_does_not_wait_for_what_blocks_after_its_deadline() {
    let scope = TaskScope::new("scope");
    let (go_on, wait) = mpsc::channel::<()>();
    let (begun, has_begun) = oneshot::channel();
    let (ended, has_ended) = oneshot::channel();
    scope.spawn("reads", async move {
        let work = move || {
            begun.send(()).unwrap();
            wait.recv().unwrap_err();
            ended.send(()).unwrap();
        };
        run_blocking(work).await;
    });
    has_begun.await.unwrap();
    let report = scope.shutdown(Duration::ZERO).await;
    assert_eq!(report.aborted, ["reads"]);
    assert!(scope.running().is_empty());
    // Work that has begun is not torn off.
    drop(go_on);
    has_ended.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_returns_at_its_deadline_also_where_a_task_holds_its_thread() {
    let scope = TaskScope::new("scope");
    let (go_on, wait) = mpsc::channel::<()>();
    let (begun, has_begun) = oneshot::channel();
    scope.spawn("holds", async move {
        begun.send(()).unwrap();
        wait.recv().unwrap_err();
    });
    scope.spawn("deaf", for_ever());
    has_begun.await.unwrap();
    let shutdown = scope.shutdown(Duration::from_millis(1));
    let report = timeout(Duration::from_secs(10), shutdown).await;
    let report = report.expect("it does not wait for the thread");
    assert_eq!(report.aborted, ["deaf", "holds"]);
    assert_eq!(report.still_running, ["holds"]);
    assert!(!report.is_complete());
    assert_eq!(
        report.to_string(),
        "did not stop in time: deaf, holds; still running: holds"
    );
    drop(go_on);
    while !scope.running().is_empty() {
        yield_now().await;
    }
    assert!(scope.shutdown(Duration::ZERO).await.is_complete());
}
