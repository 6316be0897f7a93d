//! Who runs flows and stops them: [`EventChoreographer`].

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coord_bus::time::{self, Clock, SystemClock};
use coord_bus::vocabulary::ERROR_DETECTED;
use coord_bus::{ABORT_GRACE, BoxFuture, Bus, BusExt, TaskScope};
use futures_util::future::join_all;

use crate::arrows::{arrows, feeders, reached, way};
use crate::course::{Course, Going, Replacement, Shape, SourceControl, Verdict};
use crate::failure::Failures;
use crate::options::{FlowOptions, OnFailure};
use crate::run::{Run, Trip};
use crate::stage::Opening;
use crate::{EventFlow, FlowError, FlowGraph, FlowReport, ShutdownReport};

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

/// All flows of a choreographer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flows(Arc<AllFlows>);

#[derive(Debug, Default)]
struct AllFlows {
    table: Mutex<Table>,
    /// How often something changed from where to where flows go.
    changes: Arc<AtomicU64>,
    /// Where failures are told of, by what is no flow, beside `error-detected`.
    also: Mutex<HashSet<String>>,
    /// The topics that these feed, and after how many changes that was found.
    told: Mutex<Option<(u64, HashSet<String>)>>,
}

/// Flows by name.
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

    /// What is published to `error-detected` is written to this topic as well, by something that is no flow: as to
    /// `log-events` by a monitor that logs errors. A flow that is fed by it, directly or through others, does not tell of
    /// its own failures: each would lead to the next.
    pub fn errors_reach(&self, topic: impl Into<String>) {
        let flows = &self.failures.flows;
        let also = flows.0.also.lock();
        also.unwrap_or_else(PoisonError::into_inner)
            .insert(topic.into());
        flows.changed();
    }

    /// Runs a flow, in one task, on the current tokio runtime. It takes what is published to its
    /// source from now on, and nothing of what that retains: a flow that is removed and added again
    /// handles no event twice.
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
        let EventFlow {
            name,
            options,
            mut run,
        } = flow;
        let mut table = self.flows().table();
        let mut shape = shape(&mut *run, &options);
        table.check(&name, &shape)?;
        shape.sources = self.open(&name, &mut *run, &options, Vec::new())?;
        let changes = Arc::clone(&self.flows().0.changes);
        let course = Course::new(&name, Arc::clone(&self.bus), shape, changes);
        let course = Arc::new(course);
        let trip = Trip {
            course: Arc::clone(&course),
            options,
            failures: self.failures.clone(),
        };
        let running = crate::run::run(run, trip);
        let going = Going(Arc::clone(&course));
        self.scope.spawn(name.as_str(), async move {
            let abort = going.0.abort.clone();
            abort.run_until_cancelled_owned(running).await;
            drop(going);
        });
        table.courses.insert(name, course);
        self.flows().changed();
        Ok(())
    }

    /// Opens the topics of a flow, with those sources that will be handed to it.
    fn open(
        &self,
        name: &str,
        run: &mut dyn Run,
        options: &FlowOptions,
        handed: Vec<Arc<SourceControl>>,
    ) -> Result<Vec<Arc<SourceControl>>, FlowError> {
        let mut opening = Opening {
            bus: &*self.bus,
            flow: name.into(),
            dead_letters: options.on_failure == OnFailure::DeadLetter,
            keep: false,
            handed,
            controls: Vec::new(),
        };
        run.open(&mut opening, options)?;
        Ok(opening.controls)
    }

    /// Has the flow of this name go on as another. The one that is there brings to an end what it
    /// has in hand; then the other takes its place, from the very next event on: none is lost and
    /// none comes twice. What the one counted, the other goes on counting, and a flow that is paused
    /// stays so.
    ///
    /// A source that both have is handed on, with the overflow that it has. Of another, the old
    /// flow handles what has been published to it by now, and the new one takes what is published
    /// from now on. What windows hold comes out before the change. What waits in a `zip` for its
    /// partner goes on in a `zip` of the new flow that pairs the same types from the same topics; where
    /// there is none, it is filtered out. If the old flow has not come
    /// that far at the deadline, it goes on as it was, but that its windows are empty: what they held
    /// has come out. A loop takes nothing while it waits for that: one that is full, and of which
    /// nobody else makes room, is not replaced.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the flow goes on as it was, or as the other.
    ///
    /// # Errors
    ///
    /// [`FlowError::NotReplaced`] at the deadline; [`FlowError::Superseded`] at once when the flow is
    /// asked to go on as yet another; [`FlowError::UnknownFlow`] where there is none of that name that
    /// runs, and at once when it is asked to stop; and as [`add_event_flow`](Self::add_event_flow).
    pub async fn replace_event_flow(
        &self,
        flow: EventFlow,
        deadline: Duration,
    ) -> Result<(), FlowError> {
        let EventFlow {
            name,
            options,
            mut run,
        } = flow;
        let verdict = Arc::new(Verdict::default());
        let course = {
            let table = self.flows().table();
            if table.shut_down {
                return Err(FlowError::ShutDown { name });
            }
            let course = table.find(&name)?;
            let shape = shape(&mut *run, &options);
            table.check_loop(&name, &shape, Some(&course))?;
            let replacement = Replacement {
                run,
                options,
                shape: Arc::new(shape),
                verdict: Arc::clone(&verdict),
            };
            let runs = course.replace(replacement, |replacement, handed| {
                let opened = self.open(&name, &mut *replacement.run, &options, handed)?;
                Arc::make_mut(&mut replacement.shape).sources = opened;
                Ok::<_, FlowError>(())
            })?;
            if !runs {
                return Err(FlowError::UnknownFlow { name });
            }
            course
        };
        let calling_off = CallingOff {
            course: &course,
            verdict: &verdict,
        };
        let told = async {
            tokio::select! {
                biased;
                () = verdict.done.cancelled() => {}
                () = verdict.off.cancelled() => {}
            }
        };
        let told = time::timeout(deadline, told).await;
        drop(calling_off);
        // At the last moment, perhaps.
        if verdict.done.is_cancelled() {
            return Ok(());
        }
        Err(match told {
            _ if course.is_over() => FlowError::UnknownFlow { name },
            Ok(()) => FlowError::Superseded { name },
            Err(_) => FlowError::NotReplaced { name, deadline },
        })
    }

    /// Has a flow take nothing more from its sources, until [`resume_event_flow`] is called. What it
    /// has in hand goes on; what is published meanwhile waits, and once a source is full so do its
    /// publishers. To stop a flow that is paused lets it handle that first.
    ///
    /// [`resume_event_flow`]: Self::resume_event_flow
    ///
    /// # Errors
    ///
    /// [`FlowError::UnknownFlow`] where there is none of that name that runs.
    pub fn pause_event_flow(&self, name: &str) -> Result<(), FlowError> {
        self.pause(name, true)
    }

    /// Has a flow that is paused go on where it was.
    ///
    /// # Errors
    ///
    /// [`FlowError::UnknownFlow`] where there is none of that name that runs.
    pub fn resume_event_flow(&self, name: &str) -> Result<(), FlowError> {
        self.pause(name, false)
    }

    fn pause(&self, name: &str, paused: bool) -> Result<(), FlowError> {
        let course = self.flows().table().find(name)?;
        match course.pause(paused) {
            true => Ok(()),
            false => {
                let name = name.to_owned();
                Err(FlowError::UnknownFlow { name })
            }
        }
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

    /// All of them, to be drawn.
    pub fn graph(&self) -> FlowGraph {
        FlowGraph::of(self.event_flows())
    }

    /// Stops a flow when it has handled what has been published to its sources by now, and removes
    /// it. If that takes longer than `deadline` it is aborted, and what it left is reported. One that
    /// holds its thread, and is still running [a moment](coord_bus::ABORT_GRACE) later, is reported as
    /// [`Draining`](crate::FlowState::Draining), and ends when it next awaits.
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
        let course = self.flows().table().find(name)?;
        course.stop();
        if time::timeout(deadline, course.gone.cancelled())
            .await
            .is_err()
        {
            course.abort();
            // What holds its thread goes on.
            let _ = time::timeout(ABORT_GRACE, course.gone.cancelled()).await;
        }
        self.flows().table().forget(&course);
        self.flows().changed();
        Ok(course.report(&self.bus.stats()))
    }

    /// Removes a flow and has it end at the next turn of its task, without waiting for that: for who
    /// cannot wait, such as a `drop`. What it has not handled by now is in the report.
    ///
    /// # Errors
    ///
    /// [`FlowError::UnknownFlow`].
    pub fn abort_event_flow(&self, name: &str) -> Result<FlowReport, FlowError> {
        let mut table = self.flows().table();
        let course = table.find(name)?;
        course.abort();
        table.forget(&course);
        drop(table);
        self.flows().changed();
        Ok(course.report(&self.bus.stats()))
    }

    /// Stops all flows, each when it has handled what has been published to its sources, and in the
    /// order of the arrows: a flow is asked to stop when those that feed it have. A loop is cut: its
    /// flows are asked together, and what they publish to each other after that goes nowhere. What
    /// has not stopped by the deadline is aborted, or where it holds its thread reported as still
    /// [`Draining`](crate::FlowState::Draining) [a moment](coord_bus::ABORT_GRACE) later. From its first poll on no flow is added or replaced
    /// ([`FlowError::ShutDown`]); all are still listed.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, flows that were asked to stop do, the others go on; it can be
    /// called again.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        self.flows().table().shut_down = true;
        let courses = self.flows().courses();
        let all = async {
            let shapes: Vec<_> = courses.iter().map(|course| course.shape()).collect();
            let feeders = feeders(&shapes).into_iter().map(|feeders| {
                let feeders = feeders.into_iter();
                feeders.map(|feeder| &courses[feeder]).collect()
            });
            let draining = courses.iter().zip(feeders);
            join_all(draining.map(|(course, feeders)| drain(course, feeders))).await;
        };
        // What is not done in time is seen from the reports.
        let _ = time::timeout(deadline, all).await;
        for course in &courses {
            course.abort();
        }
        let all_gone = async {
            for course in &courses {
                course.gone.cancelled().await;
            }
        };
        // What holds its thread goes on, which is seen from the reports too.
        let _ = time::timeout(ABORT_GRACE, all_gone).await;
        let flows = self.event_flows();
        ShutdownReport { flows }
    }

    fn flows(&self) -> &Flows {
        &self.failures.flows
    }
}

/// From where to where a flow goes.
fn shape(run: &mut dyn Run, options: &FlowOptions) -> Shape {
    let mut shape = run.shape();
    if options.on_failure != OnFailure::DeadLetter {
        shape.dead_letters.clear();
    }
    shape.may_loop = options.hops_max.is_some();
    shape
}

/// Waits for the flows that feed this one to be gone, asks it to stop, and waits for that.
fn drain<'a>(course: &'a Arc<Course>, feeders: Vec<&'a Arc<Course>>) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        for feeder in feeders {
            feeder.gone.cancelled().await;
        }
        course.stop();
        course.gone.cancelled().await;
    })
}

/// Calls a replacement off, if it has not happened.
struct CallingOff<'a> {
    course: &'a Course,
    verdict: &'a Arc<Verdict>,
}

impl Drop for CallingOff<'_> {
    fn drop(&mut self) {
        self.course.call_off(self.verdict);
    }
}

impl Flows {
    /// Whether what is told of failures comes to one of these topics, as far as flows carry it.
    pub(crate) fn are_told(&self, topics: &[String]) -> bool {
        let mut found = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        // Read before the flows are: what changes meanwhile is seen the next time.
        let changes = self.0.changes.load(Ordering::Acquire);
        if let Some((known_at, reached)) = &*found
            && *known_at == changes
        {
            return topics.iter().any(|topic| reached.contains(topic));
        }
        let shapes = self.table().shapes(None);
        let also = self.0.also.lock().unwrap_or_else(PoisonError::into_inner);
        let told = also.iter().map(String::as_str);
        let reached = reached(&shapes, told.chain([ERROR_DETECTED.name()]));
        drop(also);
        let are_told = topics.iter().any(|topic| reached.contains(topic));
        *found = Some((changes, reached));
        are_told
    }

    fn changed(&self) {
        self.0.changes.fetch_add(1, Ordering::Release);
    }

    fn courses(&self) -> Vec<Arc<Course>> {
        self.table().courses.values().cloned().collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        let table = self.0.table.lock();
        table.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// All shapes, those of flows on their way to another too, but those of one.
    fn shapes(&self, without: Option<&Arc<Course>>) -> Vec<Arc<Shape>> {
        let is_meant =
            |course: &&Arc<Course>| without.is_none_or(|without| !Arc::ptr_eq(course, without));
        let courses = self.courses.values().filter(is_meant);
        courses.flat_map(|course| course.shapes()).collect()
    }

    fn find(&self, name: &str) -> Result<Arc<Course>, FlowError> {
        let course = self.courses.get(name).map(Arc::clone);
        course.ok_or_else(|| FlowError::UnknownFlow {
            name: name.to_owned(),
        })
    }

    fn check(&self, name: &str, shape: &Shape) -> Result<(), FlowError> {
        let owned = || name.to_owned();
        if self.shut_down {
            return Err(FlowError::ShutDown { name: owned() });
        }
        if let Some(other) = self.courses.get(name) {
            let other = other.shape();
            return Err(FlowError::DuplicateName {
                name: owned(),
                from: other.from.clone(),
                to: other.to.clone(),
            });
        }
        if self.courses.len() >= MAX_FLOWS {
            return Err(FlowError::TooManyFlows { name: owned() });
        }
        self.check_loop(name, shape, None)
    }

    /// Whether it would close a loop in which every flow waits for the next. `instead_of` does not
    /// count.
    fn check_loop(
        &self,
        name: &str,
        shape: &Shape,
        instead_of: Option<&Arc<Course>>,
    ) -> Result<(), FlowError> {
        if shape.may_loop {
            return Ok(());
        }
        let shapes = self.shapes(instead_of);
        let waits = shapes.iter().filter(|shape| !shape.may_loop);
        let arrows = arrows(waits.flat_map(|shape| shape.arrows()));
        let pairs = shape.arrows();
        let back = pairs.filter_map(|(from, to)| {
            let back = way(&arrows, to, from)?;
            Some([from].into_iter().chain(back).collect::<Vec<_>>())
        });
        match back.min_by_key(Vec::len) {
            None => Ok(()),
            Some(path) => Err(FlowError::Loop {
                name: name.to_owned(),
                path: path.into_iter().map(str::to_owned).collect(),
            }),
        }
    }

    /// Removes this flow, and no other that has its name by now.
    fn forget(&mut self, course: &Arc<Course>) {
        let listed = self.courses.get(&*course.name);
        if listed.is_some_and(|listed| Arc::ptr_eq(listed, course)) {
            self.courses.remove(&*course.name);
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
