//! One trait for patterns, and the registry of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::{BoxFuture, BusExt, Failure, LocalBus, vocabulary::ERROR_DETECTED};
use coord_patterns::pattern::{
    Claim, IntegrationPatterns, Pattern, PatternContext, PatternError, PatternHandle, PatternState,
};

const SOON: Duration = Duration::from_secs(5);

/// A pattern that notes when it starts and stops.
#[derive(Clone)]
struct Noted {
    name: &'static str,
    claim: Option<&'static str>,
    fails: bool,
    lingers: bool,
    notes: Arc<Mutex<Vec<String>>>,
}

impl Noted {
    fn new(name: &'static str, notes: &Arc<Mutex<Vec<String>>>) -> Self {
        Self {
            name,
            claim: None,
            fails: false,
            lingers: false,
            notes: Arc::clone(notes),
        }
    }
}

impl Pattern for Noted {
    fn name(&self) -> &str {
        self.name
    }

    fn claims(&self) -> Vec<Claim> {
        let claim = self.claim.map(|name| Claim::new("file", name));
        claim.into_iter().collect()
    }

    fn start(&self, context: PatternContext) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            if self.fails {
                return Err(Failure::message("no such screen").permanent());
            }
            note(&self.notes, format!("start {}", self.name));
            context.counter("starts").add(1);
            let (notes, stopped) = (Arc::clone(&self.notes), format!("stop {}", self.name));
            let (token, lingers) = (context.token(), self.lingers);
            context.spawn("work", async move {
                token.cancelled().await;
                note(&notes, stopped);
                if lingers {
                    std::future::pending::<()>().await;
                }
            });
            Ok(())
        })
    }
}

fn patterns() -> (IntegrationPatterns, Arc<Mutex<Vec<String>>>) {
    let bus = Arc::new(LocalBus::new());
    (IntegrationPatterns::new(bus), Arc::default())
}

fn note(notes: &Mutex<Vec<String>>, what: String) {
    notes.lock().expect("nobody panicked").push(what);
}

fn taken(notes: &Mutex<Vec<String>>) -> Vec<String> {
    std::mem::take(&mut notes.lock().expect("nobody panicked"))
}

fn state(patterns: &IntegrationPatterns, name: &str) -> PatternState {
    patterns.handle(name).expect("it is registered").state()
}

#[tokio::test]
async fn a_pattern_runs_from_enable_to_disable_and_again() {
    let (patterns, notes) = patterns();
    patterns.register(Noted::new("one", &notes)).unwrap();
    assert_eq!(state(&patterns, "one"), PatternState::Disabled);
    for starts in 1..=2 {
        let handle = patterns.enable("one").await.unwrap();
        assert_eq!(handle.state(), PatternState::Running);
        assert_eq!(handle.tasks(), ["work"]);
        // Enabled twice, it runs once.
        patterns.enable("one").await.unwrap();
        assert_eq!(handle.statistics()["starts"], starts);
        assert_eq!(patterns.active(), 1);
        let report = patterns.disable("one", SOON).await.unwrap();
        assert!(report.is_complete());
        assert_eq!(report.stopped.len(), 1);
        assert_eq!(handle.state(), PatternState::Disabled);
    }
    assert_eq!(
        taken(&notes),
        ["start one", "stop one", "start one", "stop one"]
    );
    let report = patterns.disable("one", SOON).await.unwrap();
    assert!(report.stopped.is_empty(), "it was disabled");
}

#[tokio::test]
async fn two_patterns_of_one_name_are_refused_with_both_places() {
    let (patterns, notes) = patterns();
    patterns.register(Noted::new("one", &notes)).unwrap();
    let first = line!() - 1;
    let error = patterns.register(Noted::new("one", &notes)).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, PatternError::NameTaken { .. }));
    for line in [first, first + 2] {
        assert!(text.contains(&format!("patterns.rs:{line}:")), "{text}");
    }
}

#[tokio::test]
async fn two_enabled_patterns_do_not_own_the_same() {
    let (patterns, notes) = patterns();
    let mut one = Noted::new("one", &notes);
    one.claim = Some("app.toml");
    let mut other = one.clone();
    other.name = "other";
    patterns.register(one).unwrap();
    patterns.register(other).unwrap();
    patterns.enable("one").await.unwrap();
    let error = patterns.enable("other").await.unwrap_err();
    assert!(matches!(error, PatternError::Conflict { .. }));
    let text = error.to_string();
    assert!(
        text.contains("the file `app.toml` belongs to `one`, registered at"),
        "{text}"
    );
    assert_eq!(state(&patterns, "other"), PatternState::Disabled);
    let _ = patterns.disable("one", SOON).await.unwrap();
    patterns.enable("other").await.unwrap();
}

#[tokio::test]
async fn a_name_that_is_not_there_is_answered_with_the_nearest() {
    let (patterns, notes) = patterns();
    patterns.register(Noted::new("dynamic-ui", &notes)).unwrap();
    let text = patterns.enable("dinamic-ui").await.unwrap_err().to_string();
    assert!(text.contains("did you mean `dynamic-ui`?"), "{text}");
    let text = patterns.compose("all", ["x"]).unwrap_err().to_string();
    assert!(text.contains("no pattern `x`"), "{text}");
}

#[tokio::test]
async fn a_bundle_starts_its_members_in_order_and_stops_in_reverse_what_nobody_else_wants() {
    let (patterns, notes) = patterns();
    for name in ["a", "b", "c"] {
        patterns.register(Noted::new(name, &notes)).unwrap();
    }
    patterns.compose("ab", ["a", "b"]).unwrap();
    patterns.compose("all", ["c", "ab"]).unwrap();
    patterns.enable("a").await.unwrap();
    patterns.enable("all").await.unwrap();
    assert_eq!(taken(&notes), ["start a", "start c", "start b"]);
    let error = patterns.disable("b", SOON).await.unwrap_err();
    assert!(
        matches!(&error, PatternError::InUse { bundle, .. } if bundle == "all"),
        "{error}"
    );
    let _ = patterns.disable("all", SOON).await.unwrap();
    assert_eq!(taken(&notes), ["stop b", "stop c"]);
    assert_eq!(state(&patterns, "a"), PatternState::Running);
    let _ = patterns.shutdown(SOON).await;
    assert_eq!(taken(&notes), ["stop a"]);
    assert_eq!(patterns.active(), 0);
}

#[tokio::test]
async fn a_bundle_of_no_patterns_is_refused() {
    let (patterns, notes) = patterns();
    let none: [&str; 0] = [];
    let error = patterns.compose("none", none).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("bundle `none`, composed at"), "{text}");
    assert!(text.contains("patterns.rs"), "{text}");
    assert!(patterns.list().is_empty());
    // Its name is free.
    patterns.register(Noted::new("none", &notes)).unwrap();
}

#[tokio::test]
async fn what_is_unregistered_leaves_its_name_to_another() {
    let (patterns, notes) = patterns();
    patterns.register(Noted::new("one", &notes)).unwrap();
    patterns.enable("one").await.unwrap();
    let handle = patterns.handle("one").unwrap();
    let refused = patterns.unregister("one").await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "pattern `one` stays registered: it is enabled; disable it first"
    );
    // One that was stopped by its handle is still wanted.
    handle.stop(SOON).await;
    let refused = patterns.unregister("one").await.unwrap_err();
    assert!(matches!(refused, PatternError::StillEnabled { .. }));
    let _ = patterns.disable("one", SOON).await.unwrap();
    patterns.unregister("one").await.unwrap();
    assert!(patterns.list().is_empty());
    let unknown = patterns.unregister("one").await.unwrap_err();
    assert!(matches!(unknown, PatternError::Unknown { .. }));
    patterns.register(Noted::new("one", &notes)).unwrap();
    patterns.enable("one").await.unwrap();
    assert_eq!(
        taken(&notes),
        ["start one", "stop one", "start one"],
        "the new one starts"
    );
    assert_eq!(handle.state(), PatternState::Disabled, "the old one");
}

#[tokio::test]
async fn what_a_bundle_needs_stays_registered_until_the_bundle_is_not() {
    let (patterns, notes) = patterns();
    for name in ["a", "b"] {
        patterns.register(Noted::new(name, &notes)).unwrap();
    }
    patterns.compose("both", ["a", "b"]).unwrap();
    let refused = patterns.unregister("a").await.unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("the bundle `both`, composed at"), "{text}");
    patterns.enable("both").await.unwrap();
    let refused = patterns.unregister("both").await.unwrap_err();
    assert!(matches!(refused, PatternError::StillEnabled { .. }));
    let _ = patterns.disable("both", SOON).await.unwrap();
    for name in ["both", "a", "b"] {
        patterns.unregister(name).await.unwrap();
    }
    assert!(patterns.list().is_empty());
}

/// Starts when it is told to, and not before.
struct Slow;

impl Pattern for Slow {
    fn name(&self) -> &str {
        "slow"
    }

    fn start(&self, _: PatternContext) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn a_bundle_that_was_enabled_in_part_stays_registered_until_it_is_disabled() {
    let (patterns, notes) = patterns();
    patterns.register(Noted::new("a", &notes)).unwrap();
    patterns.register(Slow).unwrap();
    patterns.compose("both", ["a", "slow"]).unwrap();
    let enabling = tokio::time::timeout(SOON, patterns.enable("both"));
    assert!(enabling.await.is_err());
    let refused = patterns.unregister("both").await.unwrap_err();
    assert!(matches!(refused, PatternError::StillEnabled { .. }));
    let _ = patterns.disable("both", SOON).await.unwrap();
    assert_eq!(taken(&notes), ["start a", "stop a"]);
    patterns.unregister("both").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn registered_and_enabled_is_both_or_neither() {
    let (patterns, notes) = patterns();
    let mut one = Noted::new("one", &notes);
    one.fails = true;
    let refused = patterns.register_and_enable(one.clone()).await.unwrap_err();
    assert!(matches!(refused, PatternError::NotStarted { .. }));
    assert!(patterns.list().is_empty());
    // Nor does one stay of which nobody awaited the end.
    let enabling = tokio::time::timeout(SOON, patterns.register_and_enable(Slow));
    assert!(enabling.await.is_err());
    assert!(patterns.list().is_empty());
    // One that has the name already keeps it.
    one.fails = false;
    let handle = patterns.register_and_enable(one.clone()).await.unwrap();
    let refused = patterns.register_and_enable(one).await.unwrap_err();
    assert!(matches!(refused, PatternError::NameTaken { .. }));
    assert!(refused.to_string().contains("patterns.rs"), "{refused}");
    assert_eq!(handle.state(), PatternState::Running);
    // Of a name that another enabled one has claimed, nothing stays either.
    let mut owner = Noted::new("owner", &notes);
    owner.claim = Some("app.toml");
    let mut second = owner.clone();
    second.name = "second";
    patterns.register_and_enable(owner).await.unwrap();
    let refused = patterns.register_and_enable(second).await.unwrap_err();
    assert!(matches!(refused, PatternError::Conflict { .. }));
    assert_eq!(patterns.list().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_has_become_a_member_while_it_was_being_started_stays_registered() {
    let (patterns, _) = patterns();
    {
        let mut enabling = std::pin::pin!(patterns.register_and_enable(Slow));
        let begun = tokio::time::timeout(SOON, &mut enabling).await;
        assert!(begun.is_err());
        patterns.compose("bundle", ["slow"]).unwrap();
    }
    let names: Vec<_> = patterns.list().into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["bundle", "slow"]);
    assert_eq!(state(&patterns, "slow"), PatternState::Disabled);
    assert_eq!(patterns.active(), 0);
}

#[tokio::test]
async fn a_bundle_of_which_one_member_cannot_start_starts_none() {
    let (patterns, notes) = patterns();
    patterns.register(Noted::new("a", &notes)).unwrap();
    let mut broken = Noted::new("broken", &notes);
    broken.fails = true;
    patterns.register(broken).unwrap();
    patterns.compose("both", ["a", "broken"]).unwrap();
    let error = patterns.enable("both").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "pattern `broken` was not started: no such screen"
    );
    assert_eq!(taken(&notes), ["start a", "stop a"]);
    assert_eq!(state(&patterns, "a"), PatternState::Disabled);
    assert_eq!(patterns.active(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_stop_by_the_deadline_is_aborted_and_named() {
    let (patterns, notes) = patterns();
    let mut one = Noted::new("one", &notes);
    one.lingers = true;
    patterns.register(one).unwrap();
    patterns.enable("one").await.unwrap();
    let report = patterns.shutdown(SOON).await;
    assert!(!report.is_complete());
    assert_eq!(report.stopped[0].1.aborted, ["work"]);
}

#[tokio::test(start_paused = true)]
async fn an_enable_that_is_dropped_leaves_nothing_behind() {
    struct Slow(Arc<Mutex<Vec<String>>>);
    struct Noting(Arc<Mutex<Vec<String>>>);
    impl Drop for Noting {
        fn drop(&mut self) {
            self.0.lock().unwrap().push("gone".to_owned());
        }
    }
    impl Pattern for Slow {
        fn name(&self) -> &str {
            "slow"
        }
        fn start(&self, context: PatternContext) -> BoxFuture<'_, Result<(), Failure>> {
            let guard = Noting(Arc::clone(&self.0));
            Box::pin(async move {
                context.spawn("work", async move {
                    let _guard = guard;
                    std::future::pending::<()>().await;
                });
                std::future::pending().await
            })
        }
    }
    let (patterns, notes) = patterns();
    patterns.register(Slow(Arc::clone(&notes))).unwrap();
    let enabling = tokio::time::timeout(SOON, patterns.enable("slow"));
    assert!(enabling.await.is_err());
    tokio::task::yield_now().await;
    assert_eq!(taken(&notes), ["gone"]);
    assert_eq!(state(&patterns, "slow"), PatternState::Disabled);
    assert_eq!(patterns.active(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_pattern_whose_disable_was_dropped_or_that_was_stopped_by_its_handle_starts_anew() {
    let (patterns, notes) = patterns();
    let mut one = Noted::new("one", &notes);
    one.lingers = true;
    patterns.register(one).unwrap();
    patterns.enable("one").await.unwrap();
    let disabling = tokio::time::timeout(SOON, patterns.disable("one", SOON * 2));
    assert!(disabling.await.is_err());
    assert_eq!(state(&patterns, "one"), PatternState::Stopping);
    let handle = patterns.enable("one").await.unwrap();
    assert_eq!(handle.state(), PatternState::Running);
    handle.stop(SOON).await;
    patterns.enable("one").await.unwrap();
    assert_eq!(handle.state(), PatternState::Running);
    assert_eq!(handle.statistics()["starts"], 3);
}

#[tokio::test]
async fn a_panic_of_a_pattern_is_told_with_its_name() {
    struct Panicking;
    impl Pattern for Panicking {
        fn name(&self) -> &str {
            "shaky"
        }
        fn start(&self, context: PatternContext) -> BoxFuture<'_, Result<(), Failure>> {
            Box::pin(async move {
                context.degraded("on thin ice");
                context.spawn("work", async { panic!("it broke") });
                Ok(())
            })
        }
    }
    let bus = Arc::new(LocalBus::new());
    let mut errors = bus.subscribe(&ERROR_DETECTED).unwrap();
    let clock = Arc::new(coord_bus::time::SystemClock);
    let handle = PatternHandle::start(&Panicking, bus, clock).await.unwrap();
    assert_eq!(handle.state().to_string(), "degraded: on thin ice");
    let error = errors.recv().await.unwrap();
    assert_eq!(
        (&*error.source, &*error.message),
        ("shaky/work", "it broke")
    );
    assert_eq!(
        handle.state().to_string(),
        "failed: its task `work`: it panicked: it broke"
    );
    assert_eq!(handle.stop(SOON).await.panicked, 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_the_last_runs_when_all_else_of_the_pattern_has_ended() {
    struct Ordered(Arc<Mutex<Vec<&'static str>>>);
    impl Pattern for Ordered {
        fn name(&self) -> &str {
            "ordered"
        }
        fn start(&self, context: PatternContext) -> BoxFuture<'_, Result<(), Failure>> {
            let (last, slow) = (Arc::clone(&self.0), Arc::clone(&self.0));
            Box::pin(async move {
                context.spawn_last("last", async move { last.lock().unwrap().push("last") });
                let token = context.token();
                context.spawn("slow", async move {
                    token.cancelled().await;
                    coord_bus::time::sleep(SOON / 2).await;
                    slow.lock().unwrap().push("slow");
                });
                Ok(())
            })
        }
    }
    let order = Arc::default();
    let clock = Arc::new(coord_bus::time::SystemClock);
    let pattern = Ordered(Arc::clone(&order));
    let bus = Arc::new(LocalBus::new());
    let handle = PatternHandle::start(&pattern, bus, clock).await.unwrap();
    assert_eq!(handle.tasks(), ["last", "slow"]);
    assert!(handle.stop(SOON).await.aborted.is_empty());
    assert_eq!(*order.lock().unwrap(), ["slow", "last"]);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_or_a_disable_does_not_wait_for_one_that_takes_long_to_start() {
    let (patterns, notes) = patterns();
    let patterns = Arc::new(patterns);
    patterns.register(Noted::new("one", &notes)).unwrap();
    patterns.register(Slow).unwrap();
    patterns.enable("one").await.unwrap();
    let enabling = || {
        let patterns = Arc::clone(&patterns);
        tokio::spawn(async move { patterns.enable("slow").await.map(|_| ()) })
    };
    let begun = coord_bus::time::Instant::now();
    // Disabled, it is not enabled.
    let slow = enabling();
    tokio::task::yield_now().await;
    let report = patterns.disable("slow", SOON).await.unwrap();
    assert!(report.stopped.is_empty(), "{report:?}");
    assert_eq!(
        slow.await.unwrap().unwrap_err().to_string(),
        "pattern `slow` was not started: it was disabled while it was being started"
    );
    assert_eq!(begun.elapsed(), Duration::ZERO);
    // Another one is disabled after it, and not later than it may be.
    let slow = enabling();
    tokio::task::yield_now().await;
    let busy = patterns.disable("one", SOON).await.unwrap_err();
    assert_eq!(
        busy.to_string(),
        "pattern `one` was not disabled: others were being enabled or disabled for all of the 5 s that \
         it had; disable it again"
    );
    assert_eq!(begun.elapsed(), SOON);
    let report = patterns.shutdown(SOON).await;
    assert!(report.is_complete());
    assert_eq!(begun.elapsed(), SOON);
    assert_eq!(taken(&notes), ["start one", "stop one"]);
    let refused = slow.await.unwrap().unwrap_err();
    assert!(matches!(refused, PatternError::ShutDown { .. }));
    assert_eq!(patterns.active(), 0);
    let refused = patterns.enable("one").await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "pattern `one` was not enabled: the registry of patterns is shut down, for good; register it \
         in another, or start another module"
    );
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_aborts_at_its_deadline_what_another_is_disabling_for_longer() {
    let (patterns, notes) = patterns();
    let patterns = Arc::new(patterns);
    let mut one = Noted::new("one", &notes);
    one.lingers = true;
    patterns.register(one).unwrap();
    patterns.register(Noted::new("other", &notes)).unwrap();
    patterns.enable("one").await.unwrap();
    patterns.enable("other").await.unwrap();
    let disabling = Arc::clone(&patterns);
    let disabling = tokio::spawn(async move { disabling.disable("one", SOON * 100).await });
    tokio::task::yield_now().await;
    let begun = coord_bus::time::Instant::now();
    let report = patterns.shutdown(SOON).await;
    assert_eq!(begun.elapsed(), SOON);
    assert_eq!(report.stopped[0].1.aborted, ["work"]);
    assert_eq!(patterns.active(), 0);
    let _ = disabling.await.unwrap().unwrap();
    assert!(patterns.shutdown(SOON).await.is_complete());
}

#[tokio::test]
async fn one_that_was_stopped_by_its_handle_is_not_active_and_claims_nothing() {
    let (patterns, notes) = patterns();
    let mut one = Noted::new("one", &notes);
    one.claim = Some("app.toml");
    let mut other = one.clone();
    other.name = "other";
    patterns.register(one).unwrap();
    patterns.register(other).unwrap();
    let handle = patterns.enable("one").await.unwrap();
    handle.stop(SOON).await;
    assert_eq!(patterns.active(), 0);
    patterns.enable("other").await.unwrap();
    assert_eq!(patterns.active(), 1);
    let refused = patterns.enable("one").await.unwrap_err();
    assert!(matches!(refused, PatternError::Conflict { .. }));
}
