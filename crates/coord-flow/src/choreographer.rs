//! Who runs flows and stops them: [`EventChoreographer`].

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use coord_bus::time::{self, Clock, SystemClock};
use coord_bus::vocabulary::ERROR_DETECTED;
use coord_bus::{BoxFuture, Bus, BusExt, TaskScope};

use crate::arrows::way;
use crate::course::{Course, Going};
use crate::failure::Failures;
use crate::{EventFlow, FlowError, FlowReport, ShutdownReport};

/// The most flows of one choreographer: more than a program has that somebody still understands,
/// and few enough that looking at all arrows costs nothing.
pub const MAX_FLOWS: usize = 1024;

/// Runs flows between the topics of one bus, and owns their tasks.
///
/// Dropping it aborts all flows where they wait; [`shutdown`](Self::shutdown) lets them finish.
/// For an example see the [crate](crate).
pub struct EventChoreographer {
    bus: Arc<dyn Bus>,
    failures: Failures,
    scope: TaskScope,
}

/// All flows of a choreographer, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flows(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    courses: BTreeMap<String, Arc<Course>>,
    shut_down: bool,
}

impl EventChoreographer {
    /// A choreographer of flows between the topics of this bus. What fails is published to its
    /// topic `error-detected`, with the time of the machine.
    ///
    /// # Errors
    ///
    /// [`FlowError::Bus`] when that topic cannot be opened.
    pub fn new(bus: Arc<dyn Bus>) -> Result<Self, FlowError> {
        Self::with_clock(bus, Arc::new(SystemClock))
    }

    /// As [`new`](Self::new), with this clock for the times in its reports of failures.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_clock(bus: Arc<dyn Bus>, clock: Arc<dyn Clock>) -> Result<Self, FlowError> {
        Ok(Self {
            scope: TaskScope::reporting("flow", &*bus, Arc::clone(&clock))?,
            failures: Failures {
                errors: bus.publisher(&ERROR_DETECTED)?,
                clock,
                flows: Flows::default(),
            },
            bus,
        })
    }

    /// Runs a flow, in one task, on the current tokio runtime. It takes what is published to its
    /// source from now on.
    ///
    /// # Errors
    ///
    /// [`FlowError::Loop`], [`FlowError::DuplicateName`], [`FlowError::TooManyFlows`],
    /// [`FlowError::ShutDown`], [`FlowError::Bus`]. Flows that have ended count until they are
    /// removed.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn add_event_flow(&self, flow: EventFlow) -> Result<(), FlowError> {
        let mut table = self.flows().table();
        table.check(&flow)?;
        let EventFlow {
            name,
            from,
            to,
            open,
        } = flow;
        let course = Arc::new(Course::new(name.clone(), from, to, Arc::clone(&self.bus)));
        let run = open(&*self.bus)?;
        let going = Going(Arc::clone(&course));
        let running = run.run(Arc::clone(&course), self.failures.clone());
        self.scope.spawn(name.as_str(), async move {
            let abort = going.0.abort.clone();
            abort.run_until_cancelled_owned(running).await;
            drop(going);
        });
        table.courses.insert(name, course);
        Ok(())
    }

    /// All flows that were added and not removed, by name.
    pub fn event_flows(&self) -> Vec<FlowReport> {
        let courses = self.flows().courses();
        // Read before the flows are: so none seems to have done more than there was to do.
        let topics = self.bus.stats();
        courses
            .iter()
            .map(|course| course.report(&topics))
            .collect()
    }

    /// Stops a flow when it has handled what has been published to its source by now, and removes
    /// it. If that takes longer than `deadline` it is aborted, and what it left is reported.
    ///
    /// Over a bus of bytes, what `try_publish` handed over and has not arrived does not count as
    /// published.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the flow still drains, and stays listed; it can be removed again.
    ///
    /// # Errors
    ///
    /// [`FlowError::UnknownFlow`].
    pub async fn remove_event_flow(
        &self,
        name: &str,
        deadline: Duration,
    ) -> Result<FlowReport, FlowError> {
        let course = self.flows().table().courses.get(name).map(Arc::clone);
        let Some(course) = course else {
            let name = name.to_owned();
            return Err(FlowError::UnknownFlow { name });
        };
        course.stop();
        if time::timeout(deadline, course.gone.cancelled())
            .await
            .is_err()
        {
            course.abort();
            course.gone.cancelled().await;
        }
        self.flows().table().forget(&course);
        Ok(course.report(&self.bus.stats()))
    }

    /// Stops all flows, each when it has handled what has been published to its source, and in the
    /// order of the arrows: a flow is asked to stop when those that feed it have. What has not
    /// stopped by the deadline is aborted. After that no flow can be added; all are still listed.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, flows that were asked to stop do, the others go on; it can be
    /// called again.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        self.flows().table().shut_down = true;
        let courses = self.flows().courses();
        let draining = courses.iter().map(|course| drain(course, &courses));
        let all = all(draining.collect());
        // What is not done in time is seen from the reports.
        let _ = time::timeout(deadline, all).await;
        for course in &courses {
            course.abort();
        }
        for course in &courses {
            course.gone.cancelled().await;
        }
        let flows = self.event_flows();
        ShutdownReport { flows }
    }

    fn flows(&self) -> &Flows {
        &self.failures.flows
    }
}

/// Waits for the flows that feed this one to be gone, asks it to stop, and waits for that.
fn drain<'a>(course: &'a Arc<Course>, courses: &'a [Arc<Course>]) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        for feeder in courses.iter().filter(|feeder| feeder.to == course.from) {
            feeder.gone.cancelled().await;
        }
        course.stop();
        course.gone.cancelled().await;
    })
}

/// Waits for all of these.
async fn all(mut futures: Vec<BoxFuture<'_, ()>>) {
    poll_fn(|cx| {
        futures.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if futures.is_empty() {
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
}

impl Flows {
    /// Whether what is published to one topic comes to the other, as far as flows carry it.
    pub(crate) fn are_joined(&self, from: &str, to: &str) -> bool {
        way(self.table().arrows(), from, to).is_some()
    }

    fn courses(&self) -> Vec<Arc<Course>> {
        self.table().courses.values().cloned().collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn arrows(&self) -> impl Iterator<Item = (&str, &str)> {
        let courses = self.courses.values();
        courses.map(|course| (course.from.as_str(), course.to.as_str()))
    }

    fn check(&self, flow: &EventFlow) -> Result<(), FlowError> {
        let name = || flow.name.clone();
        if self.shut_down {
            return Err(FlowError::ShutDown { name: name() });
        }
        if let Some(other) = self.courses.get(&flow.name) {
            return Err(FlowError::DuplicateName {
                name: name(),
                from: other.from.clone(),
                to: other.to.clone(),
            });
        }
        if self.courses.len() >= MAX_FLOWS {
            return Err(FlowError::TooManyFlows { name: name() });
        }
        let Some(back) = way(self.arrows(), &flow.to, &flow.from) else {
            return Ok(());
        };
        let path = [flow.from.as_str()].into_iter().chain(back);
        Err(FlowError::Loop {
            name: name(),
            path: path.map(str::to_owned).collect(),
        })
    }

    /// Removes this flow, and no other that has its name by now.
    fn forget(&mut self, course: &Arc<Course>) {
        let listed = self.courses.get(&course.name);
        if listed.is_some_and(|listed| Arc::ptr_eq(listed, course)) {
            self.courses.remove(&course.name);
        }
    }
}

impl fmt::Debug for EventChoreographer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EventChoreographer")
            .field("flows", &self.flows().table().courses.keys())
            .finish_non_exhaustive()
    }
}
