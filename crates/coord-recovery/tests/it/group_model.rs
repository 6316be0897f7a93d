//! Whenever children crash, a group goes as OTP's rules say, written down as a small model.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::{Backoff, LocalBus};
use coord_recovery::{
    ChildContext, ChildEnd, ChildError, ChildSpec, ChildState, Restart, Strategy as Group,
    Supervisor,
};
use proptest::prelude::*;

use crate::stage::{Ran, clock, pass, seconds};

/// One incarnation: how long it runs, in milliseconds, and whether it ends well.
#[derive(Debug, Clone, Copy)]
struct Life {
    runs: u64,
    is_well: bool,
}

#[derive(Debug, Clone)]
struct Plan {
    group: Group,
    max_restarts: u32,
    within: u64,
    backoff: u64,
    /// After its lives a child stays.
    children: Vec<(Restart, Vec<Life>)>,
}

#[derive(Debug, PartialEq, Eq)]
struct Course {
    /// When which child started, in this order.
    starts: Vec<(u64, usize)>,
    ends: Vec<&'static str>,
}

struct Model<'p> {
    plan: &'p Plan,
    now: u64,
    /// When it ends by itself.
    running: Vec<Option<u64>>,
    /// When it starts again.
    waiting: Vec<Option<u64>>,
    incarnations: Vec<usize>,
    ends: Vec<Option<&'static str>>,
    restarts: Vec<u64>,
    starts: Vec<(u64, usize)>,
}

impl Model<'_> {
    fn begin(&mut self, child: usize) {
        let life = self.plan.children[child].1.get(self.incarnations[child]);
        self.running[child] = Some(life.map_or(u64::MAX, |life| self.now + life.runs));
        self.waiting[child] = None;
        self.incarnations[child] += 1;
        self.starts.push((self.now, child));
    }

    /// A child has ended by itself.
    fn end(&mut self, child: usize) {
        let (restart, lives) = &self.plan.children[child];
        self.running[child] = None;
        let is_well = lives[self.incarnations[child] - 1].is_well;
        if is_well && *restart != Restart::Permanent {
            self.ends[child] = Some("completed");
            return;
        }
        if *restart == Restart::Temporary {
            self.ends[child] = Some("failed");
            return;
        }
        self.restarts
            .retain(|then| self.now - then <= self.plan.within);
        if self.restarts.len() >= self.plan.max_restarts as usize {
            for other in 0..self.ends.len() {
                let end = if other == child { "gave up" } else { "stopped" };
                self.ends[other].get_or_insert(end);
            }
            return;
        }
        self.restarts.push(self.now);
        let again = Some(self.now + self.plan.backoff);
        let restarted = match self.plan.group {
            Group::OneForOne => child..child + 1,
            Group::OneForAll => 0..self.ends.len(),
            Group::RestForOne => child..self.ends.len(),
        };
        for other in restarted
            .filter(|other| self.ends[*other].is_none())
            .collect::<Vec<_>>()
        {
            let is_temporary = self.plan.children[other].0 == Restart::Temporary;
            self.running[other] = None;
            match is_temporary {
                true => self.ends[other] = Some("stopped"),
                false => self.waiting[other] = again,
            }
        }
    }
}

impl Plan {
    /// What should happen; nothing if two things happen at once, of which either may be first.
    fn model(&self) -> Option<Course> {
        let count = self.children.len();
        let mut model = Model {
            plan: self,
            now: 0,
            running: vec![None; count],
            waiting: vec![None; count],
            incarnations: vec![0; count],
            ends: vec![None; count],
            restarts: Vec::new(),
            starts: Vec::new(),
        };
        (0..count).for_each(|child| model.begin(child));
        loop {
            let is_there = |child: &usize| model.ends[*child].is_none();
            let times = |times: &[Option<u64>]| -> Vec<(u64, usize)> {
                let there = (0..count).filter(is_there);
                there
                    .filter_map(|child| Some((times[child]?, child)))
                    .collect()
            };
            let (running, waiting) = (times(&model.running), times(&model.waiting));
            let next_end = running.iter().min().copied();
            let next_start = waiting.iter().map(|(at, _)| *at).min();
            match (next_end, next_start) {
                (Some((end, _)), Some(start)) if end == start => return None,
                (end, Some(start)) if end.is_none_or(|(end, _)| start < end) => {
                    model.now = start;
                    for (at, child) in waiting {
                        if at == start {
                            model.begin(child);
                        }
                    }
                }
                (Some((end, child)), _) if end < u64::MAX => {
                    if running.iter().filter(|(at, _)| *at == end).count() > 1 {
                        return None;
                    }
                    model.now = end;
                    model.end(child);
                }
                _ => break,
            }
        }
        Some(Course {
            starts: model.starts,
            ends: model
                .ends
                .into_iter()
                .map(|end| end.unwrap_or("running"))
                .collect(),
        })
    }

    /// What does happen.
    async fn play(self) -> Course {
        let supervisor = Supervisor::builder("group")
            .strategy(self.group)
            .intensity(self.max_restarts, Duration::from_millis(self.within))
            .build(&LocalBus::new(), clock())
            .expect("the topics are free");
        let (began, starts) = (
            coord_bus::time::Instant::now(),
            Arc::new(Mutex::new(Vec::new())),
        );
        let mut children = Vec::new();
        for (number, (restart, lives)) in self.children.iter().enumerate() {
            let spec = ChildSpec::new(number.to_string())
                .restart(*restart)
                .backoff(Backoff::constant(Duration::from_millis(self.backoff)));
            let (lives, starts) = (lives.clone(), Arc::clone(&starts));
            let child = supervisor.start(spec, move |context: ChildContext| -> Ran {
                let at = u64::try_from(began.elapsed().as_millis()).expect("it is not for ever");
                starts.lock().expect("nobody panics").push((at, number));
                let life = lives.get(context.incarnation() as usize - 1).copied();
                let token = context.token();
                Box::pin(async move {
                    let Some(life) = life else {
                        token.cancelled().await;
                        return Ok(());
                    };
                    tokio::select! {
                        () = token.cancelled() => Ok(()),
                        () = pass(Duration::from_millis(life.runs)) => match life.is_well {
                            true => Ok(()),
                            false => Err(ChildError::message("down")),
                        },
                    }
                })
            });
            children.push(child.expect("it starts"));
        }
        pass(seconds(10_000)).await;
        let end = |state| match state {
            ChildState::Ended(ChildEnd::Completed) => "completed",
            ChildState::Ended(ChildEnd::Failed { .. }) => "failed",
            ChildState::Ended(ChildEnd::Stopped) => "stopped",
            ChildState::Ended(ChildEnd::GaveUp(_)) => "gave up",
            ChildState::Running { .. } => "running",
            _ => "something else",
        };
        let starts = starts.lock().expect("nobody panics").clone();
        Course {
            starts,
            ends: children.iter().map(|child| end(child.state())).collect(),
        }
    }
}

fn plan() -> impl Strategy<Value = Plan> {
    let group = prop_oneof![
        Just(Group::OneForOne),
        Just(Group::OneForAll),
        Just(Group::RestForOne),
    ];
    let restart = prop_oneof![
        4 => Just(Restart::Permanent),
        2 => Just(Restart::Transient),
        1 => Just(Restart::Temporary),
    ];
    let life = (1..20_000_u64, prop::bool::weighted(0.2))
        .prop_map(|(runs, is_well)| Life { runs, is_well });
    let child = (restart, prop::collection::vec(life, 0..5));
    let children = prop::collection::vec(child, 1..6);
    (group, 0..6_u32, 0..40_000_u64, 0..3_000_u64, children).prop_map(
        |(group, max_restarts, within, backoff, children)| Plan {
            group,
            max_restarts,
            within,
            // One further up that crashes while others wait makes OTP, which does not wait, no
            // question.
            backoff: if group == Group::RestForOne {
                0
            } else {
                backoff
            },
            children,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_group_goes_as_otps_rules_say(plan in plan()) {
        let expected = plan.model();
        prop_assume!(expected.is_some());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        prop_assert_eq!(Some(runtime.block_on(plan.play())), expected);
    }
}
