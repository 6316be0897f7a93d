//! The pattern: listens, reads, and tells.

use std::collections::VecDeque;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coord_bus::time::{self, Clock, Interval, MissedTickBehavior, SystemClock};
use coord_bus::vocabulary::{
    DASHBOARD_UPDATE, DashboardUpdate, NOTIFICATION, Notification, PROCESS_HEALTH,
    PROCESS_LIFECYCLE, PROCESS_OUTPUT, ProcessHealth, ProcessLifecycle, ProcessOutput,
    SERVICE_LIFECYCLE, ServiceLifecycle,
};
use coord_bus::{
    BoxFuture, BusError, BusExt, Failure, Overflow, Publisher, SubscribeOptions, Subscriber,
    run_blocking,
};
use tokio::select;
use tokio::sync::Mutex as Turn;

use super::board::Board;
use super::census::{Answer, Meter, survey};
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
    /// Whoever reads has it: so never two do, even if one was enabled again while a reading that
    /// the system holds up has not ended.
    meter: Arc<Turn<Meter>>,
    clock: Arc<Mutex<Arc<dyn Clock>>>,
}

impl ProcessMonitoring {
    /// One that watches nothing until it is enabled.
    pub fn new(config: ProcessMonitoringConfig) -> Self {
        Self {
            config: Arc::new(config),
            board: Arc::default(),
            meter: Arc::default(),
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

    /// Watches it no more; `false` if none of this name was attached. An alert on it that is open is
    /// closed with the next reading.
    pub fn detach(&self, name: &str) -> bool {
        let now = locked(&self.clock).now();
        locked(&self.board).detach(name, now)
    }

    /// How all that is watched did at the last reading.
    pub fn dashboard(&self) -> DashboardUpdate {
        let now = locked(&self.clock).now();
        locked(&self.board).dashboard(&self.config.name, now)
    }

    /// The next reading, when it is due. Of many processes one takes milliseconds, and more where the
    /// system is slow to answer: so it is made on a thread of its own, and until it is, none is begun.
    async fn reading(&self, mut due: Interval) -> (Vec<Answer>, Interval) {
        due.tick().await;
        let mut meter = Arc::clone(&self.meter).lock_owned().await;
        let asked = locked(&self.board).asks();
        if asked.is_empty() {
            meter.forget();
            return (Vec::new(), due);
        }
        (run_blocking(move || survey(&mut meter, asked)).await, due)
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
            let checked = self.config.check();
            checked.map_err(|fault| Failure::from(fault).permanent())?;
            *locked(&self.clock) = Arc::clone(context.clock());
            let watch = Watch::open(self, &context)?;
            // Told from here on, it asks after those that it was not told of.
            if !locked(&self.board).asks().is_empty() {
                let (board, now) = (Arc::clone(&self.board), context.now());
                run_blocking(move || locked(&board).resume(now)).await;
            }
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
        let mut due = time::interval(self.monitoring.config.pace());
        due.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let monitoring = self.monitoring.clone();
        let board = &*monitoring.board;
        let mut reading = pin!(monitoring.reading(due));
        loop {
            select! {
                // Readings first, so that output without end does not keep them from being made.
                biased;
                () = token.cancelled() => return,
                (answers, due) = &mut reading => {
                    self.take_in(answers);
                    reading.set(monitoring.reading(due));
                }
                Some(event) = self.lifecycles.recv() => locked(board).lifecycle(&event),
                Some(event) = self.services.recv() => locked(board).service(&event),
                Some(event) = self.health.recv() => locked(board).health(&event),
                Some(event) = self.output.recv() => {
                    self.counts[4].add(event.lag());
                    locked(board).output(&event);
                }
            }
        }
    }

    /// What is told of a reading. Nothing here waits for room.
    fn take_in(&mut self, answers: Vec<Answer>) {
        let now = self.context.now();
        let (dashboard, mut untold) = {
            let mut board = locked(&self.monitoring.board);
            let notifications = board.take_in(answers, &self.monitoring.config, now);
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use coord_bus::LocalBus;
    use coord_bus::vocabulary::OutputStream;

    use super::*;
    use crate::pattern::PatternHandle;

    #[tokio::test(start_paused = true)]
    async fn while_a_reading_is_held_up_lines_are_counted_and_it_can_be_stopped() {
        let bus = Arc::new(LocalBus::new());
        let monitoring = ProcessMonitoring::new(ProcessMonitoringConfig::default());
        monitoring.attach("it", std::process::id()).unwrap();
        let held_up = Arc::clone(&monitoring.meter).lock_owned().await;
        let start = || PatternHandle::start(&monitoring, bus.clone(), Arc::new(SystemClock));
        let handle = start().await.unwrap();
        let output = bus.publisher(&PROCESS_OUTPUT).unwrap();
        for line in 0..100 {
            let line = ProcessOutput {
                process: "it".to_owned(),
                pid: std::process::id(),
                attempt: 1,
                stream: OutputStream::Stdout,
                line: line.to_string(),
                continues: false,
            };
            output.publish(line).await.unwrap();
            time::sleep(Duration::from_millis(100)).await;
        }
        let row = monitoring.dashboard().rows.remove(0);
        assert_eq!((row.lines, row.memory_bytes), (100, 0));
        assert_eq!(handle.statistics()["dashboards"], 0);
        let stopped = handle.stop(Duration::from_millis(10)).await;
        assert!(stopped.aborted.is_empty(), "{stopped}");

        // Enabled again, it reads when that one has ended, and not before.
        let mut dashboards = bus.subscribe(&DASHBOARD_UPDATE).unwrap();
        let _handle = start().await.unwrap();
        time::sleep(Duration::from_secs(5)).await;
        assert!(dashboards.try_recv().is_err());
        drop(held_up);
        let dashboard = dashboards.recv().await.unwrap();
        assert!(dashboard.rows[0].memory_bytes > 0);
    }
}
