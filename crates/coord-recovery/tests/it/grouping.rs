//! Who is restarted with whom, and when a supervisor ends by itself.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::Instant;
use coord_bus::{Backoff, LocalBus};
use coord_recovery::{
    AutoShutdown, Child, ChildContext, ChildEnd, ChildError, ChildSpec, ChildState, Closing,
    MAX_RESTARTS, RecoveryError, Restart, Strategy, Supervisor, SupervisorBuilder,
};

use crate::stage::{Ran, clock, ends, fails, fails_after, ignores, pass, seconds, serves, within};

/// Children that say when they start and stop.
struct Group {
    supervisor: Supervisor,
    log: Arc<Mutex<Vec<String>>>,
}

impl Group {
    fn new(builder: SupervisorBuilder) -> Self {
        let supervisor = builder.build(&LocalBus::new(), clock());
        Self {
            supervisor: supervisor.expect("the topics are free"),
            log: Arc::default(),
        }
    }

    fn start(
        &self,
        name: &str,
        mut run: impl FnMut(ChildContext) -> Ran + Send + 'static,
    ) -> Child {
        self.start_as(ChildSpec::new(name), move |context| run(context))
    }

    fn start_as(
        &self,
        spec: ChildSpec,
        mut run: impl FnMut(ChildContext) -> Ran + Send + 'static,
    ) -> Child {
        let (log, name) = (Arc::clone(&self.log), spec.name().to_owned());
        let spec = spec.backoff(Backoff::constant(seconds(1)));
        let child = self.supervisor.start(spec, move |context| {
            let note = |what: &str| {
                log.lock()
                    .expect("nobody panics")
                    .push(format!("{what}{name}"));
            };
            note("+");
            let (running, token) = (run(context.clone()), context.token());
            let (log, name) = (Arc::clone(&log), name.clone());
            async move {
                let ended = running.await;
                if token.is_cancelled() {
                    log.lock().expect("nobody panics").push(format!("-{name}"));
                }
                ended
            }
        });
        child.expect("it starts")
    }

    /// What has happened since this was asked last.
    async fn log(&self) -> String {
        pass(seconds(2)).await;
        std::mem::take(&mut *self.log.lock().expect("nobody panics")).join(" ")
    }
}

/// The first incarnation fails after 10 s, the others stay.
fn fails_once(context: ChildContext) -> Ran {
    fails_once_after(seconds(10), context)
}

fn fails_once_after(time: Duration, context: ChildContext) -> Ran {
    if context.incarnation() > 1 {
        return serves(context);
    }
    context.ready();
    let token = context.token();
    Box::pin(async move {
        tokio::select! {
            () = token.cancelled() => Ok(()),
            () = pass(time) => Err(ChildError::message("down")),
        }
    })
}

fn group_of(strategy: Strategy) -> Group {
    Group::new(Supervisor::builder("group").strategy(strategy))
}

#[tokio::test(start_paused = true)]
async fn one_for_all_stops_the_others_in_reverse_and_starts_all_in_order() {
    let group = group_of(Strategy::OneForAll);
    for name in ["a", "b"] {
        group.start(name, serves);
    }
    group.start("c", fails_once);
    group.start("d", serves);
    assert_eq!(group.log().await, "+a +b +c +d");
    pass(seconds(8)).await;
    assert_eq!(group.log().await, "-d -b -a +a +b +c +d");
}

#[tokio::test(start_paused = true)]
async fn rest_for_one_restarts_those_that_were_started_after_it() {
    let group = group_of(Strategy::RestForOne);
    group.start("a", serves);
    group.start("b", fails_once);
    for name in ["c", "d"] {
        group.start(name, serves);
    }
    assert_eq!(group.log().await, "+a +b +c +d");
    pass(seconds(8)).await;
    assert_eq!(group.log().await, "-d -c +b +c +d");
}

#[tokio::test(start_paused = true)]
async fn those_that_wait_for_one_begin_in_order_where_it_is_stopped_or_restarted_by_hand() {
    for is_stopped in [true, false] {
        let group = group_of(Strategy::OneForAll);
        group.start("a", serves);
        let failing = group.start("b", fails_once);
        for name in ["c", "d"] {
            group.start(name, serves);
        }
        pass(seconds(10)).await;
        pass(seconds(1) / 2).await;
        assert!(matches!(failing.state(), ChildState::Waiting { .. }));
        if is_stopped {
            within(failing.stop()).await;
            let log = group.log().await;
            assert_eq!(log, "+a +b +c +d -d -c -a +a +c +d");
        } else {
            assert!(failing.restart());
            let log = group.log().await;
            assert_eq!(log, "+a +b +c +d -d -c -a +a +b +c +d");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_further_up_that_fails_while_others_wait_takes_them_with_it() {
    let builder = Supervisor::builder("group").strategy(Strategy::RestForOne);
    let group = Group::new(builder.intensity(2, seconds(60)));
    let db = group.start("a", |context| fails_once_after(seconds(21) / 2, context));
    let api = group.start("b", fails_once);
    group.start("c", serves);
    assert_eq!(group.log().await, "+a +b +c");
    pass(seconds(8) + seconds(1) / 4).await;
    assert!(matches!(api.state(), ChildState::Waiting { .. }));
    assert!(matches!(db.state(), ChildState::Running { .. }));
    pass(seconds(1) / 2).await;
    assert!(matches!(db.state(), ChildState::Waiting { .. }));
    assert!(matches!(api.state(), ChildState::Held));
    assert_eq!(group.log().await, "-c +a +b +c");
    assert_eq!((db.restarts(), api.restarts()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn one_that_was_started_again_and_fails_at_once_takes_the_others_with_it_once_more() {
    let builder = Supervisor::builder("group").strategy(Strategy::OneForAll);
    let group = Group::new(builder.intensity(5, seconds(60)));
    group.start("a", |context| match context.incarnation() {
        2 => fails(context),
        _ => serves(context),
    });
    group.start("x", serves);
    let last = group.start("b", fails_once);
    group.start("c", serves);
    pass(seconds(20)).await;
    within(last.ready()).await.unwrap();
    for child in group.supervisor.children() {
        let is_ready = matches!(child.state, ChildState::Running { ready: true, .. });
        assert!(is_ready, "{child}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn children_that_fail_on_several_threads_never_wait_for_each_other_for_ever() {
    const FAILING: u32 = 40;
    for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
        let builder = Supervisor::builder("group").strategy(strategy);
        let supervisor = builder
            .intensity(MAX_RESTARTS, seconds(3_600))
            .build(&LocalBus::new(), clock())
            .unwrap();
        let children = ["a", "b", "c", "d", "e"].map(|name| {
            let spec = ChildSpec::new(name).backoff(Backoff::constant(Duration::ZERO));
            let child = supervisor.start(spec, |context: ChildContext| async move {
                if context.incarnation() > FAILING {
                    return serves(context).await;
                }
                // Some fail in the moment in which they begin.
                if context.incarnation().is_multiple_of(2) {
                    tokio::task::yield_now().await;
                }
                Err(ChildError::message("down"))
            });
            child.unwrap()
        });
        let all_ready = async {
            loop {
                for child in &children {
                    child.ready().await.unwrap();
                }
                let is_ready = |child: &Child| {
                    matches!(child.state(), ChildState::Running { ready: true, .. })
                };
                if children.iter().all(is_ready) {
                    return;
                }
            }
        };
        let waited = coord_bus::time::timeout(seconds(20), all_ready).await;
        assert!(waited.is_ok(), "{supervisor}");
    }
}

#[tokio::test(start_paused = true)]
async fn children_that_fail_together_are_one_restart() {
    let group = group_of(Strategy::OneForAll);
    for name in ["a", "b", "c"] {
        group.start(name, fails_once);
    }
    pass(seconds(9)).await;
    group.log().await;
    // One in five seconds may be, and one it is.
    pass(seconds(2)).await;
    for child in group.supervisor.children() {
        assert!(
            matches!(child.state, ChildState::Running { ready: true, .. }),
            "{child}"
        );
        assert_eq!(child.restarts, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_temporary_child_that_is_stopped_for_another_does_not_come_back() {
    let group = group_of(Strategy::OneForAll);
    group.start("a", fails_once);
    let gone = group.start_as(ChildSpec::new("t").restart(Restart::Temporary), serves);
    pass(seconds(10)).await;
    assert_eq!(group.log().await, "+a +t -t +a");
    assert!(matches!(gone.ended().await, ChildEnd::Stopped));
}

#[tokio::test(start_paused = true)]
async fn a_sibling_that_does_not_stop_is_aborted_after_its_own_time() {
    let group = group_of(Strategy::OneForAll);
    group.start("a", fails_once);
    group.start_as(
        ChildSpec::new("deaf").shutdown(seconds(3)),
        |context| match context.incarnation() {
            1 => ignores(context),
            _ => serves(context),
        },
    );
    pass(seconds(10)).await;
    assert_eq!(group.log().await, "+a +deaf");
    assert_eq!(group.log().await, "+a +deaf");
}

#[tokio::test(start_paused = true)]
async fn too_many_restarts_of_all_children_together_close_the_supervisor() {
    let builder = Supervisor::builder("group").intensity(2, seconds(60));
    let group = Group::new(builder);
    let stays = group.start("stays", serves);
    group.start("a", fails_once);
    group.start("b", fails_once);
    pass(seconds(20)).await;
    let last = group.start("c", fails);
    let child = "c".to_owned();
    let closing = within(group.supervisor.closed()).await;
    assert_eq!(closing, Closing::TooManyRestarts { child });
    assert!(matches!(last.ended().await, ChildEnd::GaveUp(_)));
    assert!(matches!(stays.ended().await, ChildEnd::Stopped));
    let refused = group.supervisor.start(ChildSpec::new("late"), serves);
    assert!(matches!(refused, Err(RecoveryError::ShutDown { .. })));
}

#[tokio::test(start_paused = true)]
async fn waits_of_any_child_do_not_count_towards_the_period_of_all() {
    let group = Group::new(Supervisor::builder("group").intensity(3, seconds(5)));
    group.start("stays", serves);
    let waits = |name: &str| ChildSpec::new(name).backoff(Backoff::constant(seconds(60)));
    for name in ["one", "other"] {
        let fails = |_| fails_after(seconds(1));
        (group.supervisor.start(waits(name), fails)).expect("it starts");
    }
    let begun = Instant::now();
    let closing = within(group.supervisor.closed()).await;
    assert!(matches!(closing, Closing::TooManyRestarts { .. }));
    // Both have failed twice, after a second each.
    assert_eq!(begun.elapsed(), seconds(62));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_any_significant_child_may_end_the_supervisor() {
    let builder = Supervisor::builder("group").auto_shutdown(AutoShutdown::AnySignificant);
    let group = Group::new(builder);
    let (a, b) = (group.start("a", serves), group.start("b", serves));
    let significant = |name| {
        ChildSpec::new(name)
            .restart(Restart::Transient)
            .significant()
    };
    group.start_as(significant("s"), serves);
    let token = group.start_as(significant("t"), |context| {
        let token = context.token();
        Box::pin(async move {
            tokio::select! { () = token.cancelled() => Ok(()), () = pass(seconds(5)) => Ok(()) }
        })
    });
    assert_eq!(group.log().await, "+a +b +s +t");
    assert!(matches!(within(token.ended()).await, ChildEnd::Completed));
    let child = "t".to_owned();
    let closing = within(group.supervisor.closed()).await;
    assert_eq!(closing, Closing::SignificantEnded { child });
    assert_eq!(group.log().await, "-s -b -a");
    assert!(matches!(
        (a.state(), b.state()),
        (ChildState::Ended(_), ChildState::Ended(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_last_significant_child_may_end_the_supervisor() {
    let builder = Supervisor::builder("group").auto_shutdown(AutoShutdown::AllSignificant);
    let group = Group::new(builder);
    let stays = group.start("stays", serves);
    let significant = |name| {
        ChildSpec::new(name)
            .restart(Restart::Temporary)
            .significant()
    };
    let one = group.start_as(significant("one"), ends);
    let other = group.start_as(significant("other"), fails_once);
    within(one.ended()).await;
    pass(seconds(5)).await;
    assert!(matches!(stays.state(), ChildState::Running { .. }));
    within(other.ended()).await;
    let child = "other".to_owned();
    let closing = within(group.supervisor.closed()).await;
    assert_eq!(closing, Closing::SignificantEnded { child });
    assert!(matches!(
        stays.state(),
        ChildState::Ended(ChildEnd::Stopped)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_significant_child_that_is_given_up_has_ended_too() {
    type Run = fn(ChildContext) -> Ran;
    let for_good: Run = |_| Box::pin(async { Err(ChildError::message("no licence").permanent()) });
    for (run, restarts) in [(for_good, 1), (fails, 1)] {
        let builder = Supervisor::builder("group").auto_shutdown(AutoShutdown::AllSignificant);
        let group = Group::new(builder);
        let stays = group.start("stays", serves);
        let spec = ChildSpec::new("s")
            .restart(Restart::Transient)
            .intensity(restarts, seconds(60))
            .significant();
        let significant = group.start_as(spec, run);
        let end = within(significant.ended()).await;
        assert!(matches!(end, ChildEnd::GaveUp(_)), "{end}");
        let child = "s".to_owned();
        let closing = within(group.supervisor.closed()).await;
        assert_eq!(closing, Closing::SignificantEnded { child });
        assert!(matches!(
            stays.state(),
            ChildState::Ended(ChildEnd::Stopped)
        ));
    }
}

#[tokio::test(start_paused = true)]
async fn a_significant_child_that_is_stopped_by_hand_ends_nobody_else() {
    let builder = Supervisor::builder("group").auto_shutdown(AutoShutdown::AnySignificant);
    let group = Group::new(builder);
    let stays = group.start("stays", serves);
    let spec = ChildSpec::new("s")
        .restart(Restart::Transient)
        .significant();
    let significant = group.start_as(spec, serves);
    within(significant.ready()).await.unwrap();
    within(significant.stop()).await;
    pass(seconds(9)).await;
    assert!(matches!(stays.state(), ChildState::Running { .. }));
}

#[tokio::test(start_paused = true)]
async fn significance_without_a_consequence_is_refused() {
    let refuse = |builder: SupervisorBuilder, restart| {
        let supervisor = builder.build(&LocalBus::new(), clock()).unwrap();
        let spec = ChildSpec::new("s").restart(restart).significant();
        supervisor
            .start(spec, serves)
            .map(drop)
            .unwrap_err()
            .to_string()
    };
    let refused = refuse(Supervisor::builder("group"), Restart::Transient);
    assert!(
        refused.contains("supervisor `group` has no auto-shutdown"),
        "{refused}"
    );
    let builder = Supervisor::builder("group").auto_shutdown(AutoShutdown::AnySignificant);
    let refused = refuse(builder, Restart::Permanent);
    assert!(
        refused.contains("it is significant and permanent"),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_children_that_are_held_and_those_that_wait() {
    let group = group_of(Strategy::OneForAll);
    group.start_as(ChildSpec::new("a"), fails_once);
    let held = group.start("b", serves);
    pass(seconds(10)).await;
    pass(seconds(1) / 2).await;
    assert!(
        matches!(held.state(), ChildState::Held),
        "{}",
        group.supervisor
    );
    let report = within(group.supervisor.shutdown(seconds(9))).await;
    assert!(report.aborted.is_empty());
    assert!(matches!(held.state(), ChildState::Ended(ChildEnd::Stopped)));
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_prints_its_tree() {
    let group = group_of(Strategy::OneForAll);
    let a = group.start("a", serves);
    group.start_as(ChildSpec::new("b").restart(Restart::Transient), ends);
    group.start("c", |context| {
        Box::pin(async move {
            context.token().cancelled().await;
            Ok(())
        })
    });
    pass(seconds(1)).await;
    a.restart();
    pass(seconds(1)).await;
    assert_eq!(
        group.supervisor.to_string(),
        "group, one-for-all\n├─ a: ready, 1 restart\n├─ b: ended: it ended by itself\n└─ c: running\n"
    );
}
