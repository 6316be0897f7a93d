//! The pattern: listens, reads, and tells.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coord_bus::time::{self, Clock, MissedTickBehavior, SystemClock};
use coord_bus::vocabulary::{
    DASHBOARD_UPDATE, DashboardUpdate, NOTIFICATION, Notification, PROCESS_HEALTH,
    PROCESS_LIFECYCLE, PROCESS_OUTPUT, ProcessHealth, ProcessLifecycle, ProcessOutput,
    SERVICE_LIFECYCLE, ServiceLifecycle,
};
use coord_bus::{
    BoxFuture, BusError, BusExt, Failure, Overflow, Publisher, SubscribeOptions, Subscriber,
};
use tokio::select;

use super::board::Board;
use super::{MonitoringError, ProcessMonitoringConfig};
use crate::pattern::{Claim, Counter, Pattern, PatternContext};

/// How many notifications wait for room; beyond that the oldest is lost, and counted.
const MAX_WAITING: usize = 256;

/// Watches processes: see the [module](super). It has `dashboards`, `notifications`,
/// `lost_notifications`, `unwatched` and `unseen_lines` in its statistics.
#[derive(Clone)]
pub struct ProcessMonitoring {
    config: Arc<ProcessMonitoringConfig>,
    board: Arc<Mutex<Board>>,
    clock: Arc<Mutex<Arc<dyn Clock>>>,
}

impl ProcessMonitoring {
    /// One that watches nothing until it is enabled.
    pub fn new(config: ProcessMonitoringConfig) -> Self {
        Self {
            config: Arc::new(config),
            board: Arc::default(),
            clock: Arc::new(Mutex::new(Arc::new(SystemClock))),
        }
    }

    /// Watches a process that was started elsewhere, with all that it begins. It is told of in
    /// `process-lifecycle`; how it ends only its parent knows, so that it ends in an unknown way.
    ///
    /// # Errors
    ///
    /// When there is no such process, or no room, or the name is that of one that runs.
    pub fn attach(&self, name: &str, pid: u32) -> Result<(), MonitoringError> {
        let now = locked(&self.clock).now();
        locked(&self.board).attach(name, pid, now)
    }

    /// Watches it no more; `false` if none of this name was attached.
    pub fn detach(&self, name: &str) -> bool {
        locked(&self.board).detach(name)
    }

    /// How all that is watched did at the last reading.
    pub fn dashboard(&self) -> DashboardUpdate {
        let now = locked(&self.clock).now();
        locked(&self.board).dashboard(&self.config.name, now)
    }
}

impl Pattern for ProcessMonitoring {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn claims(&self) -> Vec<Claim> {
        vec![Claim::new("dashboard", &self.config.name)]
    }

    fn start(&self, context: PatternContext) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            *locked(&self.clock) = Arc::clone(context.clock());
            let watch = Watch::open(self, &context)?;
            context.spawn("watch", watch.run());
            Ok(())
        })
    }
}

struct Watch {
    monitoring: ProcessMonitoring,
    context: PatternContext,
    lifecycles: Subscriber<ProcessLifecycle>,
    services: Subscriber<ServiceLifecycle>,
    health: Subscriber<ProcessHealth>,
    output: Subscriber<ProcessOutput>,
    dashboards: Publisher<DashboardUpdate>,
    attached: Publisher<ProcessLifecycle>,
    notifications: Publisher<Notification>,
    waiting: VecDeque<Notification>,
    counts: [Counter; 6],
}

impl Watch {
    fn open(monitoring: &ProcessMonitoring, context: &PatternContext) -> Result<Self, BusError> {
        let (bus, name) = (context.bus(), &*monitoring.config.name);
        let output = SubscribeOptions::new()
            .overflow(Overflow::DropOldest)
            .named(name);
        Ok(Self {
            monitoring: monitoring.clone(),
            context: context.clone(),
            lifecycles: bus
                .subscribe_with(&PROCESS_LIFECYCLE, SubscribeOptions::new().named(name))?,
            services: bus
                .subscribe_with(&SERVICE_LIFECYCLE, SubscribeOptions::new().named(name))?,
            health: bus.subscribe_with(&PROCESS_HEALTH, SubscribeOptions::new().named(name))?,
            output: bus.subscribe_with(&PROCESS_OUTPUT, output)?,
            dashboards: bus.publisher(&DASHBOARD_UPDATE)?,
            attached: bus.publisher(&PROCESS_LIFECYCLE)?,
            notifications: bus.publisher(&NOTIFICATION)?,
            waiting: VecDeque::new(),
            counts: [
                "dashboards",
                "notifications",
                "lost_notifications",
                "unwatched",
                "unseen_lines",
                "untold",
            ]
            .map(|name| context.counter(name)),
        })
    }

    async fn run(mut self) {
        let token = self.context.token();
        let mut readings = time::interval(self.monitoring.config.pace());
        readings.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let board = Arc::clone(&self.monitoring.board);
        loop {
            select! {
                // Readings first, so that output without end does not keep them from being made.
                biased;
                () = token.cancelled() => return,
                _ = readings.tick() => self.read(),
                Some(event) = self.lifecycles.recv() => locked(&board).lifecycle(&event),
                Some(event) = self.services.recv() => locked(&board).service(&event),
                Some(event) = self.health.recv() => locked(&board).health(&event),
                Some(event) = self.output.recv() => {
                    self.counts[4].add(event.lag());
                    locked(&board).output(&event);
                }
            }
        }
    }

    /// One reading, and what is told of it. Nothing here waits for room.
    fn read(&mut self) {
        let now = self.context.now();
        let (dashboard, mut untold) = {
            let mut board = locked(&self.monitoring.board);
            let notifications = board.read(&self.monitoring.config, now);
            self.waiting.extend(notifications);
            self.counts[3].set(board.unwatched);
            self.counts[5].set(board.never_told);
            let untold = board.take_untold();
            (board.dashboard(&self.monitoring.config.name, now), untold)
        };
        while let Some(lifecycle) = untold.pop_front() {
            if let Err(refused) = self.attached.try_publish(lifecycle) {
                untold.push_front(refused.event);
                break;
            }
        }
        if !untold.is_empty() {
            locked(&self.monitoring.board).put_back(untold);
        }
        if self.dashboards.try_publish(dashboard).is_ok() {
            self.counts[0].add(1);
        }
        while let Some(notification) = self.waiting.pop_front() {
            match self.notifications.try_publish(notification) {
                Ok(()) => self.counts[1].add(1),
                Err(refused) => {
                    self.waiting.push_front(refused.event);
                    break;
                }
            }
        }
        while self.waiting.len() > MAX_WAITING {
            self.waiting.pop_front();
            self.counts[2].add(1);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for ProcessMonitoring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ProcessMonitoring")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
