//! The supervisor: starts children, restarts what fails, stops all in reverse order of start.

mod spec;
mod status;
mod failure;
mod child;
mod keeper;
mod restarts;
mod group;
mod builder;
mod nested;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use coord_bus::time::{self, Clock, Instant};
use coord_bus::{ABORT_GRACE, Bus, TaskScope};

use crate::RecoveryError;
use crate::teller::Teller;
use child::{Shared, Stop};
use group::{Group, Rules};
use keeper::Keeper;
use nested::Nested;

pub use builder::SupervisorBuilder;
pub use child::{Child, ChildContext};
pub use failure::{ChildError, ChildFailure};
pub use group::{AutoShutdown, Closing, Strategy};
pub use spec::{
    ChildSpec, DEFAULT_BACKOFF, DEFAULT_MAX_RESTARTS, DEFAULT_SHUTDOWN, DEFAULT_WITHIN,
    MAX_RESTARTS, Restart,
};
pub use status::{ChildEnd, ChildState, ChildStatus, GaveUp, GiveUpReason};

/// The most children of one supervisor, ended ones among them: more than a program has services,
/// and few enough that a loop which starts children by mistake meets an error.
pub const MAX_CHILDREN: usize = 1000;

/// Keeps children alive, as OTP's supervisors do: one for one, or as its [`Strategy`] says.
///
/// A child is a function that makes a future, one for each of the child's incarnations. Each child
/// has one task, which polls the incarnation in place, restarts it as its [`ChildSpec`] says, and
/// gives it up when that happens too often. What it finds is published: failures to
/// `error-detected`, and what is done about them to `error-recovery`, with the child's name as
/// their source.
///
/// Dropping the supervisor aborts all children; [`shutdown`](Self::shutdown) stops them one after
/// the other.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use std::time::Duration;
/// use coord_bus::{LocalBus, time::SystemClock};
/// use coord_recovery::{ChildContext, ChildError, ChildSpec, Supervisor};
///
/// let bus = LocalBus::new();
/// let supervisor = Supervisor::new("services", &bus, Arc::new(SystemClock))?;
/// let child = supervisor.start(ChildSpec::new("api"), |context: ChildContext| async move {
///     if context.incarnation() == 1 {
///         return Err(ChildError::message("the port is taken"));
///     }
///     context.ready();
///     context.token().cancelled().await;
///     Ok(())
/// })?;
///
/// child.ready().await?;
/// assert_eq!(child.restarts(), 1);
/// assert!(supervisor.shutdown(Duration::from_secs(10)).await.aborted.is_empty());
/// # Ok(())
/// # }
/// ```
pub struct Supervisor {
    name: Arc<str>,
    group: Arc<Group>,
    teller: Teller,
    scope: TaskScope,
}

/// In order of start.
#[derive(Default)]
struct Children {
    list: Vec<Child>,
    /// Those that were given up, until that is told; at most one for each in the list.
    lost: VecDeque<GaveUp>,
    closed: bool,
}

/// What [`Supervisor::shutdown`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "says whether every child stopped in time"]
#[non_exhaustive]
pub struct SupervisorReport {
    /// The children that did not stop in time and were aborted, in the order of that.
    pub aborted: Vec<String>,
    /// Those of them that were still running [a moment](coord_bus::ABORT_GRACE) after the deadline, as they
    /// hold their thread, and which end when they next await.
    pub still_running: Vec<String>,
    /// How many events were never published: see [`Supervisor::untold`].
    pub untold: u64,
}

impl SupervisorReport {
    /// Whether every child stopped in time, and every event of them was published.
    pub fn is_complete(&self) -> bool {
        self.aborted.is_empty() && self.untold == 0
    }
}

impl Supervisor {
    /// A supervisor without children, which publishes to this bus and takes the times in its
    /// events from this clock.
    ///
    /// # Errors
    ///
    /// [`RecoveryError::Bus`] when a topic cannot be opened.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn new(
        name: impl Into<Box<str>>,
        bus: &(impl Bus + ?Sized),
        clock: Arc<dyn Clock>,
    ) -> Result<Self, RecoveryError> {
        Self::with(name.into(), bus, clock, Rules::default())
    }

    /// A supervisor that is told how to deal with its children.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use coord_bus::{LocalBus, time::SystemClock};
    /// use coord_recovery::{Strategy, Supervisor};
    ///
    /// let supervisor = Supervisor::builder("pipeline")
    ///     .strategy(Strategy::RestForOne)
    ///     .intensity(3, Duration::from_secs(30))
    ///     .build(&LocalBus::new(), Arc::new(SystemClock))?;
    /// assert_eq!(supervisor.to_string(), "pipeline, rest-for-one\n");
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(name: impl Into<Box<str>>) -> SupervisorBuilder {
        SupervisorBuilder::new(name.into())
    }

    fn with(
        name: Box<str>,
        bus: &(impl Bus + ?Sized),
        clock: Arc<dyn Clock>,
        rules: Rules,
    ) -> Result<Self, RecoveryError> {
        let scope = TaskScope::reporting(name.clone(), bus, Arc::clone(&clock))?;
        let (teller, telling) = Teller::new(bus, clock)?;
        scope.spawn("tell", telling.run(scope.token()));
        Ok(Self {
            name: name.into(),
            group: Arc::new(Group::new(rules)),
            teller,
            scope,
        })
    }

    /// Starts a child. `run` makes each of its incarnations.
    ///
    /// An ended child stays in [`children`](Self::children) until its name is used again, or its
    /// place is needed. One that is started under the name of an ended one has its place in the order of
    /// start, as in OTP: what was started after the first may need it.
    ///
    /// # Errors
    ///
    /// [`RecoveryError::ChildExists`] when a child of this name has not ended,
    /// [`RecoveryError::TooManyChildren`] when there are [`MAX_CHILDREN`] that have not,
    /// [`RecoveryError::ShutDown`] after [`shutdown`](Self::shutdown) or when it has
    /// [closed](Self::closed), and [`RecoveryError::Setting`] when the child is significant and
    /// that has no consequence: it is permanent, or the supervisor does not shut down by itself.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start<F, Run>(&self, spec: ChildSpec, run: F) -> Result<Child, RecoveryError>
    where
        F: FnMut(ChildContext) -> Run + Send + 'static,
        Run: Future<Output = Result<(), ChildError>> + Send + 'static,
    {
        self.check_significance(&spec)?;
        let mut children = self.lock();
        if children.closed {
            return Err(RecoveryError::ShutDown {
                what: format!("supervisor `{}`", self.name),
            });
        }
        let place = children.make_room(&self.name, spec.name())?;
        let shared = Shared::new(&spec, self.teller.clone());
        let child = Child::new(shared);
        let after = self.group.begins_after(place, &children);
        children.list.insert(place, child.clone());
        let keeper = Keeper::new(spec, child.shared(), after, Arc::clone(&self.group));
        // Under the lock, so that a child which is in the list has a task that will end it.
        self.scope.spawn(child.name(), keeper.keep(run));
        Ok(child)
    }

    /// The child of this name, if it was started and its place has not been taken since.
    pub fn child(&self, name: &str) -> Option<Child> {
        let children = self.lock();
        let child = children.list.iter().find(|child| child.name() == name);
        child.cloned()
    }

    /// All children, in order of start.
    pub fn children(&self) -> Vec<ChildStatus> {
        self.lock().list.iter().map(Child::status).collect()
    }

    /// Waits for the next child that is given up. What follows from it is for the caller to
    /// decide: to shut down, to start the child anew, to go on without it.
    ///
    /// Each loss is told once, in the order in which they came, to one of those who ask; also to who asks
    /// later, unless the child has been started anew by then, or its place was needed.
    ///
    /// # Cancel safety
    ///
    /// Safe: what it has not answered is told to who asks next.
    pub async fn gave_up(&self) -> GaveUp {
        self.group.next_loss().await
    }

    /// Waits until it has stopped all its children by itself, and says why: when there were too many
    /// restarts, where they are [counted together](SupervisorBuilder::intensity), or by its
    /// [`AutoShutdown`]. After that no child can be started.
    ///
    /// # Cancel safety
    ///
    /// Safe; asked again it answers the same.
    pub async fn closed(&self) -> Closing {
        let mut closing = self.group.closing.subscribe();
        loop {
            if let Some(closing) = &*closing.borrow_and_update() {
                return closing.clone();
            }
            // The other end is held here, so this never fails.
            let _ = closing.changed().await;
        }
    }

    /// How many events have not been published: those that wait for room in their topic, and those
    /// for which there was no room among them. See the [crate](crate#what-is-told).
    pub fn untold(&self) -> u64 {
        self.teller.untold()
    }

    /// Stops all children, the last one started first, each when the one before it has ended.
    ///
    /// Each child has its own [`shutdown`](ChildSpec::shutdown) time; when `deadline` is over,
    /// whatever still runs is aborted at once. After this no child can be started, and none is restarted:
    /// one that would be has ended.
    ///
    /// A child that holds its thread cannot be aborted. It keeps the next one waiting for
    /// [a moment](coord_bus::ABORT_GRACE) on top of its time, and this for a moment on top of the deadline:
    /// then it is named as still running.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the children that were asked to stop go on stopping, and the
    /// others run on; it can be called again.
    pub async fn shutdown(&self, deadline: Duration) -> SupervisorReport {
        let begun = Instant::now();
        let mut children = {
            let mut children = self.lock();
            children.closed = true;
            children.list.clone()
        };
        children.retain(|child| !child.has_ended());
        children.reverse();
        let in_turn = async {
            for child in &children {
                child.stop_unless_stuck().await;
            }
        };
        if time::timeout(deadline, in_turn).await.is_err() {
            for child in &children {
                child.shared().ask_to_stop(Stop::Now);
            }
        }
        let rest = || deadline.saturating_sub(begun.elapsed());
        let all_ended = async {
            for child in &children {
                child.ended().await;
            }
        };
        let are_stuck = time::timeout(rest().max(ABORT_GRACE), all_ended)
            .await
            .is_err();
        let (mut aborted, mut still_running) = (Vec::new(), Vec::new());
        for child in &children {
            let name = || child.name().to_owned();
            match child.state() {
                ChildState::Ended(ChildEnd::Aborted) => aborted.push(name()),
                ChildState::Ended(_) => {}
                _ => {
                    aborted.push(name());
                    still_running.push(name());
                }
            }
        }
        if are_stuck {
            // They have had that moment.
            self.scope.abort();
        } else {
            self.scope.shutdown(rest()).await;
        }
        SupervisorReport {
            aborted,
            still_running,
            untold: self.untold(),
        }
    }

    fn seen_from_above(&self) -> Nested {
        Nested {
            name: Arc::clone(&self.name),
            group: Arc::clone(&self.group),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Children> {
        self.group.children()
    }

    /// As in OTP, what is said without a consequence is a mistake.
    fn check_significance(&self, spec: &ChildSpec) -> Result<(), RecoveryError> {
        let fault = if !spec.significant {
            return Ok(());
        } else if self.group.rules.auto_shutdown == AutoShutdown::Never {
            format!(
                "it is significant, and supervisor `{}` has no auto-shutdown",
                self.name
            )
        } else if spec.restart == Restart::Permanent {
            "it is significant and permanent, and does not end by itself: make it transient or \
             temporary"
                .to_owned()
        } else {
            return Ok(());
        };
        Err(RecoveryError::setting(
            format!("child `{}`", spec.name()),
            fault,
        ))
    }
}

impl Children {
    /// Where a child of this name goes.
    fn make_room(&mut self, supervisor: &str, name: &str) -> Result<usize, RecoveryError> {
        let mut list = self.list.iter();
        if let Some(place) = list.position(|child| child.name() == name) {
            if !self.list[place].has_ended() {
                return Err(RecoveryError::ChildExists {
                    supervisor: supervisor.to_owned(),
                    child: name.to_owned(),
                });
            }
            self.remove(place);
            return Ok(place);
        }
        if self.list.len() >= MAX_CHILDREN {
            let Some(ended) = self.list.iter().position(Child::has_ended) else {
                return Err(RecoveryError::TooManyChildren {
                    supervisor: supervisor.to_owned(),
                    child: name.to_owned(),
                    limit: MAX_CHILDREN,
                });
            };
            self.remove(ended);
        }
        Ok(self.list.len())
    }

    fn remove(&mut self, place: usize) {
        let child = self.list.remove(place);
        self.lost.retain(|lost| lost.child != child.name());
    }
}

/// The tree: its name and strategy, and a line for each child, below it the children of one that is a
/// [supervisor](ChildContext::supervise) itself.
impl fmt::Display for Supervisor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}, {}", self.name, self.group.rules.strategy)?;
        let children = self.lock().list.clone();
        nested::write_tree(&children, 1, "", formatter)
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Supervisor")
            .field("name", &self.name)
            .field("children", &self.children())
            .finish_non_exhaustive()
    }
}
