//! The process groups of one runner, which are suspended and resumed together; and the time in
//! which they were not suspended.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use coord_bus::time::{self, Instant};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::select;
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use super::birth::Mark;
use super::{GroupLedger, Watchdog};

/// How many processes are started at once on other threads; others wait for their turn.
const STARTS_MAX: usize = 8;

/// The groups that live.
///
/// Architecture invariant: a group is in here only while its leader is not reaped, and is signalled
/// from here only under the lock under which it leaves. So no signal hits a group whose id was used
/// again. There are as many as there are processes that run.
#[derive(Debug)]
pub(crate) struct Groups {
    state: Mutex<State>,
    suspended: watch::Sender<bool>,
    ledger: OnceLock<Arc<GroupLedger>>,
    /// The places for starts on other threads.
    starts: Semaphore,
}

#[derive(Debug)]
struct State {
    alive: Alive,
    watchdog: Option<Watchdog>,
    /// Whether the watchdog is to be marked.
    is_marked: bool,
    /// How long nothing was suspended, up to `awake_since`.
    awake: Duration,
    /// `None` while all is suspended.
    awake_since: Option<Instant>,
}

/// What lives, and what is about to.
#[derive(Debug, Default)]
pub(super) struct Alive {
    pub(super) groups: HashSet<Pid>,
    /// Processes that are being started.
    pub(super) starts: HashSet<Mark>,
}

impl Groups {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                alive: Alive::default(),
                watchdog: None,
                is_marked: false,
                awake: Duration::ZERO,
                awake_since: Some(Instant::now()),
            }),
            suspended: watch::Sender::new(false),
            ledger: OnceLock::new(),
            starts: Semaphore::new(STARTS_MAX),
        }
    }

    /// A process is about to be started. Noted before it is, as it may be there before anybody knows its id.
    pub(super) fn begin(self: &Arc<Self>, process: &str) -> Birth {
        let mark = Mark::new();
        let ledger = self.ledger.get();
        let note = ledger.map(|ledger| ledger.begin(mark.as_ref(), process));
        if let Some(mark) = &mark {
            let mut state = self.lock();
            state.alive.starts.insert(mark.clone());
            if let Some(watchdog) = &state.watchdog {
                watchdog.starts(mark, &state.alive);
            }
        }
        Birth {
            groups: Arc::clone(self),
            mark,
            note,
        }
    }

    /// Whether no group lives.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().alive.groups.is_empty()
    }

    /// A turn to start a process on another thread. Without one, as no semaphore here is ever closed, one
    /// would start as well.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.starts.acquire().await.ok()
    }

    /// The watchdog of what lives and starts from now on. The first stays until it has ended.
    pub(super) fn guard(&self, watchdog: Watchdog) {
        let mut state = self.lock();
        // One that comes later is dropped, and ends.
        if state.watchdog.is_none() {
            watchdog.begin(&state.alive, state.is_marked);
            state.watchdog = Some(watchdog);
        }
    }

    /// Waits until there is no watchdog.
    pub(super) async fn unguarded(&self) {
        let child = || Some(self.lock().watchdog.as_ref()?.child());
        while let Some(child) = child() {
            // That it cannot be waited for is that it is gone.
            let _ = child.lock().await.wait().await;
            // Another may have its place by now, where others wait, too.
            let is_it = |watchdog: &mut Watchdog| Arc::ptr_eq(&watchdog.child(), &child);
            self.lock().watchdog.take_if(is_it);
        }
    }

    pub(super) fn mark(&self, marked: bool) {
        let mut state = self.lock();
        state.is_marked = marked;
        if let Some(watchdog) = &state.watchdog {
            watchdog.mark(marked, &state.alive);
        }
    }

    /// Where it is noted what starts from now on. The first stays.
    pub(super) fn note_in(&self, ledger: Arc<GroupLedger>) {
        let _ = self.ledger.set(ledger);
    }

    pub(super) fn suspend(&self) {
        let mut state = self.lock();
        if let Some(since) = state.awake_since.take() {
            state.awake += since.elapsed();
        }
        state.signal(Signal::STOP);
        self.suspended.send_replace(true);
    }

    pub(super) fn resume(&self) {
        let mut state = self.lock();
        state.awake_since.get_or_insert_with(Instant::now);
        state.signal(Signal::CONT);
        self.suspended.send_replace(false);
    }

    /// Sleeps for so long of the time in which nothing is suspended.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has done nothing.
    pub(crate) async fn sleep(&self, duration: Duration) {
        let mut suspended = self.suspended.subscribe();
        let end = self.awake().saturating_add(duration);
        loop {
            let is_suspended = *suspended.borrow_and_update();
            let left = end.saturating_sub(self.awake());
            if left.is_zero() {
                return;
            }
            select! {
                // The sender is in `self`, so this is never an error.
                _ = suspended.changed() => {}
                () = time::sleep(left), if !is_suspended => {}
            }
        }
    }

    /// For how long nothing was suspended.
    fn awake(&self) -> Duration {
        let state = self.lock();
        state.awake
            + state
                .awake_since
                .map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn signal(&self, signal: Signal) {
        for group in &self.alive.groups {
            // One that is about to be reaped, or has become another user's, does not hear it.
            let _ = kill_process_group(*group, signal);
        }
    }
}

/// That a process is being started. Dropped, it was not.
#[derive(Debug)]
pub(super) struct Birth {
    groups: Arc<Groups>,
    mark: Option<Mark>,
    /// Where it is noted, if it is.
    note: Option<u64>,
}

impl Birth {
    /// What the process is to have among its variables.
    pub(super) fn mark(&self) -> Option<&Mark> {
        self.mark.as_ref()
    }

    /// It is there, as a group that begins to live.
    pub(super) fn enter(mut self, group: Pid, process: &str) -> Membership {
        let note = self.note.take();
        if let (Some(ledger), Some(note)) = (self.groups.ledger.get(), note) {
            ledger.enter(note, group, process);
        }
        self.is_over(Some(group));
        Membership {
            groups: Arc::clone(&self.groups),
            group,
            note,
        }
    }

    fn is_over(&mut self, group: Option<Pid>) {
        let mark = self.mark.take();
        if mark.is_none() && group.is_none() {
            return;
        }
        let mut state = self.groups.lock();
        state.alive.groups.extend(group);
        if let Some(mark) = &mark {
            state.alive.starts.remove(mark);
        }
        if let Some(watchdog) = &state.watchdog {
            watchdog.started(mark.as_ref(), group, &state.alive);
        }
    }
}

impl Drop for Birth {
    fn drop(&mut self) {
        self.is_over(None);
        if let (Some(ledger), Some(note)) = (self.groups.ledger.get(), self.note) {
            ledger.leave(note);
        }
    }
}

/// That a group lives. To be dropped before its leader is reaped.
#[derive(Debug)]
pub(super) struct Membership {
    groups: Arc<Groups>,
    group: Pid,
    /// Where it is noted, if it is.
    note: Option<u64>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut state = self.groups.lock();
        state.alive.groups.remove(&self.group);
        if let Some(watchdog) = &state.watchdog {
            watchdog.leave(self.group, &state.alive);
        }
        drop(state);
        if let (Some(ledger), Some(note)) = (self.groups.ledger.get(), self.note) {
            ledger.leave(note);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};
    use std::thread;

    use super::*;
    use crate::process::ProcessSpec;
    use crate::process::group::Group;

    // Here, because from outside it would take another group that gets the same id.
    #[tokio::test]
    async fn a_group_that_was_closed_or_dropped_is_signalled_no_more() {
        let groups = Arc::new(Groups::new());
        let spec = ProcessSpec::shell("build", "exit 3");
        let start = || Group::start(&spec, &groups);
        let [(mut closed, _), (dropped, _)] = [start().await.unwrap(), start().await.unwrap()];
        assert_eq!(groups.lock().alive.groups.len(), 2);
        closed.leader_exited().await.unwrap();
        assert_eq!(groups.lock().alive.groups.len(), 2);
        assert_eq!(closed.close().await.unwrap().code, Some(3));
        assert_eq!(groups.lock().alive.groups.len(), 1);
        drop(dropped);
        assert!(groups.lock().alive.groups.is_empty());
    }

    #[tokio::test]
    async fn a_start_that_is_given_up_leaves_no_group_and_holds_up_no_other() {
        let groups = Arc::new(Groups::new());
        let spec = ProcessSpec::shell("server", "sleep 100");
        let first = Group::start(&spec, &groups).await.unwrap();
        for polls in 1..100 {
            let mut start = Box::pin(Group::start(&spec, &groups));
            let mut context = Context::from_waker(Waker::noop());
            for _ in 0..polls {
                if start.as_mut().poll(&mut context).is_ready() {
                    break;
                }
                thread::yield_now();
            }
            drop(start);
            assert_eq!(groups.lock().alive.groups.len(), 1, "{polls}");
        }
        let second = Group::start(&spec, &groups).await.unwrap();
        assert_eq!(groups.lock().alive.groups.len(), 2);
        drop((first, second));
    }
}
