//! Whenever children crash, a group goes as OTP's rules say, written down as a small model.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::{Instant, sleep_until};
use coord_bus::{Backoff, LocalBus};
use coord_recovery::{
    AutoShutdown, ChildContext, ChildEnd, ChildError, ChildSpec, ChildState, Restart,
    Strategy as Group, Supervisor,
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
    auto_shutdown: AutoShutdown,
    /// When somebody shuts it down.
    shutdown: Option<u64>,
    /// In order of start.
    children: Vec<Planned>,
}

#[derive(Debug, Clone)]
struct Planned {
    starts: u64,
    restart: Restart,
    significant: bool,
    /// After these it stays.
    lives: Vec<Life>,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Shutdown,
    Start(usize),
    Again,
    End(usize),
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
    /// None of one that is not started yet.
    incarnations: Vec<usize>,
    ends: Vec<Option<&'static str>>,
    is_closed: bool,
    /// By the time in which none waits.
    restarts: Vec<u64>,
    passed: u64,
    starts: Vec<(u64, usize)>,
}

impl Model<'_> {
    fn begin(&mut self, child: usize) {
        let life = self.plan.children[child]
            .lives
            .get(self.incarnations[child]);
        self.running[child] = Some(life.map_or(u64::MAX, |life| self.now + life.runs));
        self.waiting[child] = None;
        self.incarnations[child] += 1;
        self.starts.push((self.now, child));
    }

    fn is_there(&self, child: usize) -> bool {
        self.incarnations[child] > 0 && self.ends[child].is_none()
    }

    /// The others are stopped, and none is started any more.
    fn close(&mut self) {
        self.is_closed = true;
        for child in 0..self.ends.len() {
            if self.is_there(child) {
                self.ends[child] = Some("stopped");
            }
        }
    }

    /// A child has ended by itself, and does not come back.
    fn over(&mut self, child: usize, end: &'static str) {
        self.ends[child] = Some(end);
        let is_significant = |child: &usize| self.plan.children[*child].significant;
        let mut others = (0..self.ends.len()).filter(is_significant);
        let closes = match self.plan.auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => true,
            AutoShutdown::AllSignificant => !others.any(|other| self.is_there(other)),
        };
        if is_significant(&child) && closes {
            self.close();
        }
    }

    /// An incarnation has ended by itself.
    fn end(&mut self, child: usize) {
        let Planned { restart, lives, .. } = &self.plan.children[child];
        self.running[child] = None;
        let is_well = lives[self.incarnations[child] - 1].is_well;
        if is_well && *restart != Restart::Permanent {
            return self.over(child, "completed");
        }
        if *restart == Restart::Temporary {
            return self.over(child, "failed");
        }
        self.restarts
            .retain(|then| self.passed - then <= self.plan.within);
        if self.restarts.len() >= self.plan.max_restarts as usize {
            self.ends[child] = Some("gave up");
            return self.close();
        }
        self.restarts.push(self.passed);
        let again = Some(self.now + self.plan.backoff);
        let restarted = match self.plan.group {
            Group::OneForOne => child..child + 1,
            Group::OneForAll => 0..self.ends.len(),
            Group::RestForOne => child..self.ends.len(),
        };
        for other in restarted
            .filter(|other| self.is_there(*other))
            .collect::<Vec<_>>()
        {
            let is_temporary = self.plan.children[other].restart == Restart::Temporary;
            self.running[other] = None;
            match is_temporary {
                true => self.ends[other] = Some("stopped"),
                false => self.waiting[other] = again,
            }
        }
    }
}

impl Model<'_> {
    /// What is to come, and when, the next first.
    fn due(&self) -> Vec<(u64, Due)> {
        let all = 0..self.ends.len();
        let there = all.clone().filter(|child| self.is_there(*child));
        let ends = there
            .clone()
            .filter_map(|child| Some((self.running[child]?, Due::End(child))));
        let again = there.filter_map(|child| self.waiting[child]).min();
        let starts = all
            .filter(|child| self.incarnations[*child] == 0 && !self.is_closed)
            .map(|child| (self.plan.children[child].starts, Due::Start(child)));
        let shutdown = self.plan.shutdown.filter(|_| !self.is_closed);
        let mut due: Vec<_> = ends
            .filter(|(at, _)| *at < u64::MAX)
            .chain(starts)
            .chain(again.map(|at| (at, Due::Again)))
            .chain(shutdown.map(|at| (at, Due::Shutdown)))
            .collect();
        due.sort_unstable();
        due
    }

    fn goes_on(&mut self, due: Due) {
        match due {
            Due::Shutdown => self.close(),
            Due::Start(child) => self.begin(child),
            Due::End(child) => self.end(child),
            Due::Again => {
                for child in 0..self.ends.len() {
                    if self.is_there(child) && self.waiting[child] == Some(self.now) {
                        self.begin(child);
                    }
                }
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
            is_closed: false,
            restarts: Vec::new(),
            passed: 0,
            starts: Vec::new(),
        };
        for child in 0..count {
            if self.children[child].starts == 0 {
                model.begin(child);
            }
        }
        loop {
            let (at, due) = match model.due()[..] {
                [] => break,
                [(first, _), (second, _), ..] if first == second => return None,
                [next, ..] => next,
            };
            let waits = |child| model.is_there(child) && model.waiting[child].is_some();
            if !(0..count).any(waits) {
                model.passed += at - model.now;
            }
            model.now = at;
            model.goes_on(due);
        }
        let ends = (0..count).map(|child| match model.incarnations[child] {
            0 => "refused",
            _ => model.ends[child].unwrap_or("running"),
        });
        Some(Course {
            ends: ends.collect(),
            starts: model.starts,
        })
    }

    /// What does happen.
    async fn play(self) -> Course {
        let supervisor = Supervisor::builder("group")
            .strategy(self.group)
            .auto_shutdown(self.auto_shutdown)
            .intensity(self.max_restarts, Duration::from_millis(self.within))
            .build(&LocalBus::new(), clock())
            .expect("the topics are free");
        let (began, starts) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
        let until = |at| sleep_until(began + Duration::from_millis(at));
        let children = async {
            let mut children = Vec::new();
            for (number, child) in self.children.iter().enumerate() {
                if child.starts > 0 {
                    until(child.starts).await;
                }
                let mut spec = ChildSpec::new(number.to_string())
                    .restart(child.restart)
                    .backoff(Backoff::constant(Duration::from_millis(self.backoff)));
                if child.significant {
                    spec = spec.significant();
                }
                let run = lives(number, child.lives.clone(), began, Arc::clone(&starts));
                children.push(supervisor.start(spec, run).ok());
            }
            children
        };
        let shutdown = async {
            if let Some(at) = self.shutdown {
                until(at).await;
                let report = supervisor.shutdown(seconds(1_000)).await;
                assert!(report.aborted.is_empty(), "{report:?}");
            }
        };
        let (children, ()) = tokio::join!(children, shutdown);
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
        let ends = children.iter().map(|child| match child {
            Some(child) => end(child.state()),
            None => "refused",
        });
        Course {
            ends: ends.collect(),
            starts,
        }
    }
}

/// A child that lives these lives, and notes when each begins.
fn lives(
    number: usize,
    lives: Vec<Life>,
    began: Instant,
    starts: Arc<Mutex<Vec<(u64, usize)>>>,
) -> impl FnMut(ChildContext) -> Ran + Send + 'static {
    move |context| {
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
    let starts = prop_oneof![3 => Just(0), 1 => 1..40_000_u64];
    let significant = prop::bool::weighted(0.3);
    let child = (
        starts,
        restart,
        significant,
        prop::collection::vec(life, 0..5),
    )
        .prop_map(|(starts, restart, significant, lives)| Planned {
            starts,
            restart,
            significant,
            lives,
        });
    let children = prop::collection::vec(child, 1..6);
    let auto_shutdown = prop_oneof![
        2 => Just(AutoShutdown::Never),
        1 => Just(AutoShutdown::AnySignificant),
        1 => Just(AutoShutdown::AllSignificant),
    ];
    let ends = (auto_shutdown, prop::option::weighted(0.3, 1..60_000_u64));
    let rules = (group, 0..6_u32, 0..40_000_u64, 0..3_000_u64, ends);
    (rules, children).prop_map(|(rules, mut children)| {
        let (group, max_restarts, within, backoff, (auto_shutdown, shutdown)) = rules;
        for child in &mut children {
            // The supervisor refuses any other.
            child.significant &=
                auto_shutdown != AutoShutdown::Never && child.restart != Restart::Permanent;
        }
        children.sort_by_key(|child| child.starts);
        Plan {
            group,
            max_restarts,
            within,
            backoff,
            auto_shutdown,
            shutdown,
            children,
        }
    })
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
