//! The one owner of background tasks: a [`TaskScope`] names them, stops them and tells of panics; and
//! [`run_blocking`], for what none of them may do on its own thread; and [`hold_time`], for who has a thread of its own.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::time::{self, Clock, SystemClock, is_governed};
use crate::vocabulary::{ERROR_DETECTED, ErrorDetected, Severity};
use crate::{Bus, BusError, BusExt, Publisher};

/// How long what was aborted at a deadline is waited for, on top of it: long enough for a future to be dropped
/// on a machine that is busy. What holds its thread meanwhile is still running then, and is named; and so is
/// what waits to be run by that thread, as one task does that was woken there last.
pub const ABORT_GRACE: Duration = Duration::from_millis(250);

/// Owns background tasks: when it is dropped, they are aborted; when it is shut down, they are
/// asked to stop first.
///
/// A task that panics takes nobody with it. Its panic is counted, and published to
/// `error-detected` where the scope was given a bus.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use std::time::Duration;
/// use coord_bus::TaskScope;
///
/// let scope = TaskScope::new("poller");
/// let stop = scope.token();
/// scope.spawn("poll", async move {
///     // … until the scope is shut down.
///     stop.cancelled().await;
/// });
/// let report = scope.shutdown(Duration::from_secs(5)).await;
/// assert!(report.aborted.is_empty());
/// # });
/// ```
#[derive(Debug)]
pub struct TaskScope {
    shared: Arc<Shared>,
    tracker: TaskTracker,
    token: CancellationToken,
}

#[derive(Debug)]
struct Shared {
    name: Box<str>,
    tasks: Mutex<Tasks>,
    errors: Option<Publisher<ErrorDetected>>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct Tasks {
    next: u64,
    running: HashMap<u64, (Box<str>, Option<AbortHandle>)>,
    panicked: u64,
    closed: bool,
}

/// What [`TaskScope::shutdown`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// The tasks that had not stopped by the deadline, and were aborted; sorted.
    pub aborted: Vec<String>,
    /// Those of them that were still running [a moment](ABORT_GRACE) after that, as they hold their thread
    /// or wait for one that is held, and which end when they next await; sorted.
    pub still_running: Vec<String>,
    /// How many tasks panicked while the scope lived.
    pub panicked: u64,
}

impl ShutdownReport {
    /// Whether every task stopped by itself, in time, and without a panic.
    pub fn is_complete(&self) -> bool {
        self.aborted.is_empty() && self.panicked == 0
    }
}

impl TaskScope {
    /// A scope without a bus to tell of panics; they are only counted.
    pub fn new(name: impl Into<Box<str>>) -> Self {
        Self::with(name.into(), None, Arc::new(SystemClock))
    }

    /// A scope that publishes panics of its tasks to the topic `error-detected` of this bus.
    ///
    /// # Errors
    ///
    /// When the topic cannot be opened.
    pub fn reporting(
        name: impl Into<Box<str>>,
        bus: &(impl Bus + ?Sized),
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BusError> {
        let errors = bus.publisher(&ERROR_DETECTED)?;
        Ok(Self::with(name.into(), Some(errors), clock))
    }

    fn with(
        name: Box<str>,
        errors: Option<Publisher<ErrorDetected>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                name,
                tasks: Mutex::default(),
                errors,
                clock,
            }),
            tracker: TaskTracker::new(),
            token: CancellationToken::new(),
        }
    }

    /// Cancelled when the scope is shut down or dropped. Tasks that do not end by themselves
    /// should watch it.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Runs a task in the background, on the current tokio runtime. After the scope has been shut
    /// down nothing is run.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn spawn(
        &self,
        name: impl Into<Box<str>>,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let name = name.into();
        let mut tasks = self.shared.tasks();
        if tasks.closed {
            return;
        }
        tasks.next += 1;
        let id = tasks.next;
        tasks.running.insert(id, (name.clone(), None));
        drop(tasks);
        // Made before the task is, so that it is struck off also if it never gets to run.
        let entry = Entry {
            shared: Arc::clone(&self.shared),
            id,
        };
        let handle = self.tracker.spawn(async move {
            if let Err(panic) = catch(task).await {
                entry.shared.panicked(&name, &*panic);
            }
            drop(entry);
        });
        let mut tasks = self.shared.tasks();
        if tasks.closed {
            // Shut down meanwhile, perhaps before there was a handle to abort it by.
            drop(tasks);
            handle.abort();
        } else if let Some((_, abort)) = tasks.running.get_mut(&id) {
            *abort = Some(handle.abort_handle());
        }
    }

    /// The names of the tasks that run now, sorted.
    pub fn running(&self) -> Vec<String> {
        self.shared.running()
    }

    /// Asks every task to stop, waits for them at most for `deadline`, and aborts the rest.
    ///
    /// Then it waits for those to be gone, for [a moment](ABORT_GRACE) and no longer: a task is aborted where
    /// it awaits, so one that holds its thread (with a lock, a call that blocks, or a loop) goes on.
    /// It is named as still running. The thread of the runtime that it holds has to be another one than
    /// that of who waits here.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the remaining tasks have been asked to stop and go on.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        self.shared.tasks().closed = true;
        self.tracker.close();
        self.token.cancel();
        let (mut aborted, mut still_running) = (Vec::new(), Vec::new());
        if time::timeout(deadline, self.tracker.wait()).await.is_err() {
            aborted = self.shared.abort();
            if time::timeout(ABORT_GRACE, self.tracker.wait())
                .await
                .is_err()
            {
                still_running = self.running();
            }
        }
        let panicked = self.shared.tasks().panicked;
        ShutdownReport {
            aborted,
            still_running,
            panicked,
        }
    }

    /// Aborts every task, where it awaits. After that nothing is run.
    pub fn abort(&self) {
        self.shared.tasks().closed = true;
        self.token.cancel();
        self.shared.abort();
    }
}

impl Drop for TaskScope {
    fn drop(&mut self) {
        self.abort();
    }
}

impl Shared {
    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> Vec<String> {
        let tasks = self.tasks();
        let mut names: Vec<_> = tasks
            .running
            .values()
            .map(|(name, _)| name.to_string())
            .collect();
        names.sort();
        names
    }

    fn abort(&self) -> Vec<String> {
        let names = self.running();
        // Outside the lock: an aborted task strikes itself off.
        let handles: Vec<_> = self
            .tasks()
            .running
            .values()
            .filter_map(|(_, abort)| abort.clone())
            .collect();
        handles.iter().for_each(AbortHandle::abort);
        names
    }

    fn panicked(&self, task: &str, panic: &(dyn Any + Send)) {
        self.tasks().panicked += 1;
        if let Some(errors) = &self.errors {
            // Nobody may wait here: a full topic loses the event, and the count stays.
            let _ = errors.try_publish(ErrorDetected {
                source: format!("{}/{task}", self.name),
                kind: "panic".to_owned(),
                message: panic_message(panic).to_owned(),
                severity: Severity::Error,
                at: self.clock.now(),
            });
        }
    }
}

/// Strikes a task off when it ends, in whatever way.
struct Entry {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.shared.tasks().running.remove(&self.id);
    }
}

/// Runs a future to its end, or to its panic.
///
/// # Errors
///
/// What the future panicked with.
pub fn catch<F: Future>(future: F) -> impl Future<Output = Result<F::Output, Box<dyn Any + Send>>> {
    Caught { future }
}

pin_project! {
    struct Caught<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let future = self.project().future;
        // The future is dropped after a panic, so nobody sees what it left half done.
        match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

/// Runs what waits for the system, or computes for more than a moment, on a thread that the runtime
/// has for that: so the task that awaits it holds up no other. It belongs to that task, and with it to
/// the task's [`TaskScope`].
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let files = coord_bus::run_blocking(|| std::fs::read_dir(".").map(Iterator::count)).await;
/// assert!(files.unwrap() > 0);
/// # });
/// ```
///
/// # Cancel safety
///
/// Dropped before it is done, the work is not begun, or if it has begun goes on to its end, as no
/// thread can be aborted; what it gives is dropped. Who awaits the end of the task does not wait for
/// that, and who drops the runtime does.
///
/// # Panics
///
/// With what the work panicked with; and outside a tokio runtime.
pub async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match AbortOnDropHandle::new(tokio::task::spawn_blocking(work)).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime is going, and with it whoever awaits this.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Keeps the clock of timers where it is for as long as this lives: see [`hold_time`].
#[derive(Debug)]
pub struct HeldTime {
    /// Dropped, it lets the thread go that waits for it.
    _held: mpsc::Sender<()>,
}

/// For who has something done by a thread that is none of the runtime's, and awaits it. Where a test has paused the
/// clock of timers, that goes on to the next timer as soon as nothing in the runtime has anything to do: so what
/// another thread does in a moment would take until then. Held by who does it until it has answered, this keeps the
/// clock where it is meanwhile.
///
/// `None` where the clock is the machine's: then this costs no more than to look at it.
pub fn hold_time() -> Option<HeldTime> {
    let runtime = Handle::try_current().ok().filter(|_| is_governed())?;
    let (held, until_dropped) = mpsc::channel();
    // What blocks is what tokio holds the clock for.
    runtime.spawn_blocking(move || until_dropped.recv());
    Some(HeldTime { _held: held })
}

/// The message of a panic, as far as it has one.
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    if let Some(message) = panic.downcast_ref::<&str>() {
        message
    } else if let Some(message) = panic.downcast_ref::<String>() {
        message
    } else {
        "it said nothing"
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.aborted[..] {
            [] => return formatter.write_str("every task stopped"),
            aborted => write!(formatter, "did not stop in time: {}", aborted.join(", "))?,
        }
        match &self.still_running[..] {
            [] => Ok(()),
            running => write!(formatter, "; still running: {}", running.join(", ")),
        }
    }
}
