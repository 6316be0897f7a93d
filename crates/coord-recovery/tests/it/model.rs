//! Whatever a child does and is asked, it goes as a small model says.

use std::collections::VecDeque;
use std::time::Duration;

use coord_bus::Backoff;
use coord_bus::time::{Instant, sleep_until};
use coord_recovery::{ChildEnd, ChildError, ChildSpec, ChildState, Restart};
use proptest::prelude::*;

use crate::stage::{Stage, at, pass, seconds};

/// What one incarnation does. Times are in milliseconds.
#[derive(Debug, Clone)]
struct Script {
    /// How long it runs by itself; for ever without.
    runs: Option<u64>,
    how: How,
    /// How long it takes to stop when it is asked to.
    stops: u64,
}

#[derive(Debug, Clone, Copy)]
enum How {
    Ends,
    Fails,
    Panics,
    FailsForGood,
}

#[derive(Debug, Clone, Copy)]
enum Asked {
    Restart,
    Stop,
}

#[derive(Debug, Clone)]
struct Plan {
    restart: Restart,
    max_restarts: Option<u32>,
    within: u64,
    backoff: u64,
    shutdown: u64,
    scripts: Vec<Script>,
    asked: Vec<(u64, Asked)>,
}

#[derive(Debug, PartialEq, Eq)]
struct Course {
    starts: Vec<u128>,
    end: &'static str,
    errors: usize,
}

impl Plan {
    fn script(&self, incarnation: usize) -> Script {
        let forever = Script {
            runs: None,
            how: How::Ends,
            stops: 0,
        };
        self.scripts.get(incarnation).cloned().unwrap_or(forever)
    }

    /// What should happen.
    fn model(&self) -> Course {
        let mut asked: VecDeque<_> = self.asked.iter().copied().collect();
        let mut restarts: Vec<u64> = Vec::new();
        let (mut starts, mut errors, mut failures, mut now) = (Vec::new(), 0, 0, 0);
        // In waits to be restarted, which are no part of the period.
        let mut waited = 0;
        let end = loop {
            let script = self.script(starts.len());
            starts.push(u128::from(now));
            let by_itself = script.runs.map_or(u64::MAX, |runs| now + runs);
            if let Some((at, what)) = next_before(&mut asked, by_itself) {
                let over = at + script.stops.min(self.shutdown);
                let mut is_stop = matches!(what, Asked::Stop);
                while let Some((_, what)) = next_before(&mut asked, over) {
                    is_stop |= matches!(what, Asked::Stop);
                }
                if is_stop && script.stops > self.shutdown {
                    break "aborted";
                } else if is_stop {
                    break "stopped";
                }
                (now, failures) = (over, 0);
                continue;
            }
            if script.runs.is_none() {
                break "running";
            }
            let ran = by_itself - now;
            now = by_itself;
            let is_well = matches!(script.how, How::Ends);
            if is_well && self.restart != Restart::Permanent {
                break "completed";
            }
            errors += 1;
            if self.restart == Restart::Temporary {
                break "failed";
            }
            restarts.retain(|then| now - waited - then <= self.within);
            let is_too_often = self
                .max_restarts
                .is_some_and(|max| restarts.len() >= max as usize);
            if is_too_often || matches!(script.how, How::FailsForGood) {
                break "gave up";
            }
            restarts.push(now - waited);
            failures = if ran > self.within { 1 } else { failures + 1 };
            let until = now + failures * self.backoff;
            match next_before(&mut asked, until) {
                Some((_, Asked::Stop)) => break "stopped",
                Some((at, Asked::Restart)) => {
                    waited += at - now;
                    (now, failures) = (at, 0);
                }
                None => {
                    waited += until - now;
                    now = until;
                }
            }
        };
        Course {
            starts,
            end,
            errors,
        }
    }

    /// What does happen.
    async fn play(self) -> Course {
        let mut stage = Stage::new();
        let mut spec = ChildSpec::new("child")
            .restart(self.restart)
            .backoff(Backoff::linear(millis(self.backoff)).max(seconds(1000)))
            .shutdown(millis(self.shutdown))
            .intensity(self.max_restarts.unwrap_or_default(), millis(self.within));
        if self.max_restarts.is_none() {
            spec = spec.unlimited_restarts();
        }
        let (asked, began) = (self.asked.clone(), Instant::now());
        let (child, starts) = stage.start(spec, move |context| {
            let script = self.script(context.incarnation() as usize - 1);
            Box::pin(async move {
                let token = context.token();
                let runs = async {
                    match script.runs {
                        Some(runs) => pass(millis(runs)).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = runs => {}
                    () = token.cancelled() => {
                        pass(millis(script.stops)).await;
                        return Ok(());
                    }
                }
                match script.how {
                    How::Ends => Ok(()),
                    How::Fails => Err(ChildError::message("failed")),
                    How::Panics => panic!("panicked"),
                    How::FailsForGood => Err(ChildError::message("failed").permanent()),
                }
            })
        });
        for (at, what) in asked {
            sleep_until(began + millis(at)).await;
            match what {
                Asked::Restart => drop(child.restart()),
                Asked::Stop => drop(tokio::spawn({
                    let child = child.clone();
                    async move { child.stop().await }
                })),
            }
        }
        pass(seconds(10_000)).await;
        let end = match child.state() {
            ChildState::Ended(ChildEnd::Completed) => "completed",
            ChildState::Ended(ChildEnd::Failed { .. }) => "failed",
            ChildState::Ended(ChildEnd::Stopped) => "stopped",
            ChildState::Ended(ChildEnd::Aborted) => "aborted",
            ChildState::Ended(ChildEnd::GaveUp(_)) => "gave up",
            _ => "running",
        };
        Course {
            starts: at(&starts),
            end,
            errors: stage.errors_left(),
        }
    }
}

fn next_before(asked: &mut VecDeque<(u64, Asked)>, time: u64) -> Option<(u64, Asked)> {
    let is_before = asked.front().is_some_and(|(at, _)| *at < time);
    if is_before { asked.pop_front() } else { None }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn script() -> impl Strategy<Value = Script> {
    let how = prop_oneof![
        3 => Just(How::Ends),
        6 => Just(How::Fails),
        2 => Just(How::Panics),
        1 => Just(How::FailsForGood),
    ];
    (prop::option::weighted(0.9, 0..8u64), how, 0..8u64).prop_map(|(runs, how, stops)| Script {
        runs: runs.map(|runs| runs * 1000),
        how,
        stops: stops * 1000,
    })
}

/// At times at which nothing else happens: all else comes whole seconds after the start or after
/// what was asked last, or half a second more.
fn asked() -> impl Strategy<Value = Vec<(u64, Asked)>> {
    let one = (0..60u64, prop::bool::weighted(0.2));
    prop::collection::vec(one, 0..6).prop_map(|mut asked| {
        asked.sort();
        let numbered = asked.into_iter().enumerate();
        let asked = numbered.map(|(number, (at, is_stop))| {
            let what = if is_stop { Asked::Stop } else { Asked::Restart };
            (at * 1000 + number as u64 + 1, what)
        });
        asked.collect()
    })
}

fn plan() -> impl Strategy<Value = Plan> {
    let restart = prop_oneof![
        4 => Just(Restart::Permanent),
        4 => Just(Restart::Transient),
        1 => Just(Restart::Temporary),
    ];
    let scripts = prop::collection::vec(script(), 0..12);
    let max_restarts = prop::option::of(0..5u32);
    (
        restart,
        max_restarts,
        0..20u64,
        0..4u64,
        0..6u64,
        scripts,
        asked(),
    )
        .prop_map(
            |(restart, max_restarts, within, backoff, shutdown, scripts, asked)| Plan {
                restart,
                max_restarts,
                within: within * 1000,
                backoff: backoff * 1000,
                shutdown: shutdown * 1000 + 500,
                scripts,
                asked,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_child_goes_through_the_incarnations_of_the_model(plan in plan()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let expected = plan.model();
        prop_assert_eq!(runtime.block_on(plan.play()), expected);
    }
}
