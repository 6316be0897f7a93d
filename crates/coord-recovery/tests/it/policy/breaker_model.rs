//! Whatever is done with a circuit breaker, it is as a small model says: resilience4j's, but for calls of
//! an earlier state.

use std::time::Duration;

use coord_recovery::policy::{BreakerPermit, BreakerState, CircuitBreaker, SlidingWindow};
use proptest::prelude::*;

use crate::stage::pass;

#[derive(Debug, Clone, Copy)]
struct Settings {
    /// Calls, or seconds.
    window: Result<u32, u64>,
    minimum: u32,
    slow_minimum: Option<u32>,
    failure_rate: f64,
    slow_call_rate: f64,
    wait_in_open: u64,
    probes: u32,
    max_wait_in_half_open: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Ask,
    /// Which of the calls under way ends, and how.
    End(usize, End),
    Pass(u64),
    Enter(BreakerState),
    Reset,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Told { failed: bool, slow: bool },
    Ignored,
    Dropped,
}

const SLOW: Duration = Duration::from_secs(10);

struct Model {
    settings: Settings,
    state: BreakerState,
    /// How often it has changed.
    age: usize,
    now: u64,
    since: u64,
    /// In the present window: when, failed, slow.
    calls: Vec<(u64, bool, bool)>,
    window: Result<u32, u64>,
    probes_out: u32,
    not_permitted: u64,
}

impl Model {
    fn new(settings: Settings) -> Self {
        Self {
            settings,
            state: BreakerState::Closed,
            age: 0,
            now: 0,
            since: 0,
            calls: Vec::new(),
            window: settings.window,
            probes_out: 0,
            not_permitted: 0,
        }
    }

    fn enter(&mut self, state: BreakerState) {
        (self.state, self.since) = (state, self.now);
        self.age += 1;
        if state == BreakerState::Open {
            return;
        }
        self.calls.clear();
        (self.probes_out, self.not_permitted) = (0, 0);
        self.window = match state {
            BreakerState::HalfOpen => Ok(self.settings.probes),
            BreakerState::Disabled | BreakerState::ForcedOpen => Ok(0),
            _ => self.settings.window,
        };
    }

    fn pass(&mut self, seconds: u64) {
        self.now += seconds;
        // As in resilience4j, no time is for ever.
        let Some(wait) = self.settings.max_wait_in_half_open.filter(|wait| *wait > 0) else {
            return;
        };
        let end = self.since + wait;
        if self.state == BreakerState::HalfOpen && end <= self.now {
            self.enter(BreakerState::Open);
            self.since = end;
        }
    }

    fn ask(&mut self) -> bool {
        let waited = self.now - self.since;
        if self.state == BreakerState::Open && waited >= self.settings.wait_in_open {
            self.enter(BreakerState::HalfOpen);
        }
        let is_permitted = match self.state {
            BreakerState::Open | BreakerState::ForcedOpen => false,
            BreakerState::HalfOpen => self.probes_out < self.settings.probes,
            _ => true,
        };
        self.probes_out += u32::from(is_permitted && self.state == BreakerState::HalfOpen);
        self.not_permitted += u64::from(!is_permitted);
        is_permitted
    }

    fn end(&mut self, age: usize, end: End) {
        let End::Told { failed, slow } = end else {
            let is_probe = age == self.age && self.state == BreakerState::HalfOpen;
            self.probes_out -= u32::from(is_probe);
            return;
        };
        // What an earlier state has permitted does not count.
        let counts = !matches!(
            self.state,
            BreakerState::Disabled | BreakerState::ForcedOpen
        );
        if age != self.age || !counts {
            return;
        }
        self.calls.push((self.now, failed, slow));
        let (failure_rate, slow_call_rate) = self.rates();
        let is_exceeded = failure_rate.is_some_and(|rate| rate >= self.settings.failure_rate)
            || slow_call_rate.is_some_and(|rate| rate >= self.settings.slow_call_rate);
        match self.state {
            BreakerState::MetricsOnly => {}
            _ if is_exceeded => self.enter(BreakerState::Open),
            BreakerState::HalfOpen if failure_rate.is_some() && slow_call_rate.is_some() => {
                self.enter(BreakerState::Closed);
            }
            _ => {}
        }
    }

    fn in_window(&self) -> Vec<(u64, bool, bool)> {
        match self.window {
            Ok(size) => {
                let old = self.calls.len().saturating_sub(size as usize);
                self.calls[old..].to_vec()
            }
            Err(seconds) => {
                let calls = self.calls.iter().filter(|call| call.0 + seconds > self.now);
                calls.copied().collect()
            }
        }
    }

    fn rates(&self) -> (Option<f64>, Option<f64>) {
        let calls = self.in_window();
        let minimum = |calls: u32| self.window.map_or(calls, |size| calls.min(size)) as usize;
        let rate = |of: usize, minimum: usize| {
            let is_enough = !calls.is_empty() && calls.len() >= minimum;
            is_enough.then(|| of as f64 * 100.0 / calls.len() as f64)
        };
        let slow_minimum = self.settings.slow_minimum.unwrap_or(self.settings.minimum);
        let failed = calls.iter().filter(|call| call.1).count();
        let slow = calls.iter().filter(|call| call.2).count();
        (
            rate(failed, minimum(self.settings.minimum)),
            rate(slow, minimum(slow_minimum)),
        )
    }
}

impl Settings {
    fn breaker(self) -> CircuitBreaker {
        let window = match self.window {
            Ok(calls) => SlidingWindow::Count(calls),
            Err(seconds) => SlidingWindow::Time(Duration::from_secs(seconds)),
        };
        let mut builder = CircuitBreaker::builder("db")
            .sliding_window(window)
            .minimum_number_of_calls(self.minimum)
            .failure_rate_threshold(self.failure_rate)
            .slow_call_rate_threshold(self.slow_call_rate)
            .slow_call_duration_threshold(SLOW)
            .wait_duration_in_open_state(Duration::from_secs(self.wait_in_open))
            .permitted_number_of_calls_in_half_open_state(self.probes);
        if let Some(calls) = self.slow_minimum {
            builder = builder.slow_call_minimum_number_of_calls(calls);
        }
        if let Some(wait) = self.max_wait_in_half_open {
            builder = builder.max_wait_duration_in_half_open_state(Duration::from_secs(wait));
        }
        builder.build().expect("these settings can work")
    }
}

async fn play(settings: Settings, acts: Vec<Act>) {
    let (breaker, mut model) = (settings.breaker(), Model::new(settings));
    let mut under_way: Vec<(BreakerPermit<'_>, usize)> = Vec::new();
    for act in acts {
        match act {
            Act::Ask => {
                let asked = breaker.try_acquire();
                assert_eq!(asked.is_ok(), model.ask(), "{act:?}");
                under_way.extend(asked.map(|permit| (permit, model.age)));
            }
            Act::End(which, end) => {
                if under_way.is_empty() {
                    continue;
                }
                let (permit, age) = under_way.swap_remove(which % under_way.len());
                match end {
                    End::Told { failed, slow } => {
                        let took = if slow { SLOW * 2 } else { SLOW };
                        if failed {
                            permit.failure(took);
                        } else {
                            permit.success(took);
                        }
                    }
                    End::Ignored => permit.ignore(),
                    End::Dropped => drop(permit),
                }
                model.end(age, end);
            }
            Act::Pass(seconds) => {
                pass(Duration::from_secs(seconds)).await;
                model.pass(seconds);
            }
            Act::Enter(state) => {
                breaker.transition_to(state);
                if model.state != state {
                    model.enter(state);
                }
            }
            Act::Reset => {
                breaker.reset();
                model.enter(BreakerState::Closed);
            }
        }
        assert_eq!(breaker.state(), model.state, "{act:?}");
        let metrics = breaker.metrics();
        assert_eq!(metrics.not_permitted, model.not_permitted, "{act:?}");
        let is_counting = !matches!(
            model.state,
            BreakerState::Disabled | BreakerState::ForcedOpen
        );
        if is_counting {
            let rates = (metrics.failure_rate, metrics.slow_call_rate);
            let calls = model.in_window();
            assert_eq!(metrics.calls, calls.len() as u64, "{act:?}");
            let slow_failed = calls.iter().filter(|call| call.1 && call.2).count() as u64;
            assert_eq!(metrics.slow_failed, slow_failed, "{act:?}");
            assert_eq!(rates, model.rates(), "{act:?}");
        }
    }
}

fn settings() -> impl Strategy<Value = Settings> {
    let window = prop_oneof![(1..8_u32).prop_map(Ok), (1..6_u64).prop_map(Err)];
    let percent = || prop_oneof![Just(50.0), Just(100.0), 1.0..100.0];
    let minimum = 1..8_u32;
    let slow_minimum = prop::option::of(1..8_u32);
    let rest = (0..5_u64, 1..5_u32, prop::option::weighted(0.4, 0..5_u64));
    (window, minimum, slow_minimum, percent(), percent(), rest).prop_map(
        |(window, minimum, slow_minimum, failure_rate, slow_call_rate, rest)| Settings {
            window,
            minimum,
            slow_minimum,
            failure_rate,
            slow_call_rate,
            wait_in_open: rest.0,
            probes: rest.1,
            max_wait_in_half_open: rest.2,
        },
    )
}

fn act() -> impl Strategy<Value = Act> {
    let end = prop_oneof![
        8 => (prop::bool::ANY, prop::bool::weighted(0.3))
            .prop_map(|(failed, slow)| End::Told { failed, slow }),
        1 => Just(End::Ignored),
        1 => Just(End::Dropped),
    ];
    let state = prop::sample::select(vec![
        BreakerState::Closed,
        BreakerState::Open,
        BreakerState::HalfOpen,
        BreakerState::Disabled,
        BreakerState::ForcedOpen,
        BreakerState::MetricsOnly,
    ]);
    prop_oneof![
        20 => Just(Act::Ask),
        20 => (any::<usize>(), end).prop_map(|(which, end)| Act::End(which, end)),
        6 => (1..4_u64).prop_map(Act::Pass),
        1 => state.prop_map(Act::Enter),
        1 => Just(Act::Reset),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_breaker_is_as_the_model_says(
        settings in settings(),
        acts in prop::collection::vec(act(), 1..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(play(settings, acts));
    }
}
