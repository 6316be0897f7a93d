//! A flow that runs: what it has done, how far it is, and how it ends.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use coord_bus::time::Instant;
use coord_bus::{Bus, CancellationToken, TopicStats};

use crate::latency::Latencies;
use crate::options::FlowOptions;
use crate::report::{FlowReport, FlowState, FlowStats};
use crate::run::Run;

/// What the task of a flow and its choreographer share.
pub(crate) struct Course {
    pub(crate) name: Arc<str>,
    bus: Arc<dyn Bus>,
    pub(crate) counts: Counts,
    pub(crate) latencies: Latencies,
    since: Instant,
    state: Mutex<State>,
    /// Counts how often some flow of its choreographer came, went, or changed from where to where it
    /// goes: after it has.
    changes: Arc<AtomicU64>,
    /// Counts what is asked of the flow, so that its task sees that something was.
    asked: AtomicU64,
    sleeper: Mutex<Option<Waker>>,
    /// To be dropped where it waits.
    pub(crate) abort: CancellationToken,
    /// Its task is gone.
    pub(crate) gone: CancellationToken,
}

struct State {
    flow: FlowState,
    paused: bool,
    shape: Arc<Shape>,
    replacement: Option<Replacement>,
}

/// From where to where a flow goes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shape {
    pub(crate) from: Vec<String>,
    pub(crate) to: Vec<String>,
    /// Where dead letters go, if they do.
    pub(crate) dead_letters: Vec<String>,
    /// Where it tells of what fails.
    pub(crate) faults: Vec<String>,
    /// Whether it may close a loop, as it never waits for itself.
    pub(crate) may_loop: bool,
    pub(crate) sources: Vec<Arc<SourceControl>>,
}

impl Shape {
    /// Everywhere that it publishes to.
    pub(crate) fn all_to(&self) -> impl Iterator<Item = &str> {
        let to = self.to.iter().chain(&self.dead_letters);
        to.chain(&self.faults).map(String::as_str)
    }

    /// Everywhere that it takes from or publishes to.
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        self.from.iter().map(String::as_str).chain(self.all_to())
    }

    /// From each of its sources to everywhere that it publishes to.
    pub(crate) fn arrows(&self) -> impl Iterator<Item = (&str, &str)> {
        let from = self.from.iter();
        from.flat_map(|from| self.all_to().map(move |to| (from.as_str(), to)))
    }
}

/// Another definition that a flow is to go on with.
pub(crate) struct Replacement {
    pub(crate) run: Box<dyn Run>,
    pub(crate) options: FlowOptions,
    pub(crate) shape: Arc<Shape>,
    pub(crate) verdict: Arc<Verdict>,
}

/// What has become of a replacement, and which one it is.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Cancelled when the flow has gone on with it.
    pub(crate) done: CancellationToken,
    /// Cancelled when it will not.
    pub(crate) off: CancellationToken,
}

/// What a flow does that has come to the end of what it was to take.
pub(crate) enum AtEnd {
    /// It was called off.
    GoOn,
    Over(FlowState),
    Switch(Replacement),
}

/// Counted by the flow's own task alone.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) received: AtomicU64,
    pub(crate) added: AtomicU64,
    pub(crate) published: AtomicU64,
    pub(crate) filtered: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) merged: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) dead: AtomicU64,
}

/// Adds to a count that only one task writes: without a locked instruction.
#[inline]
pub(crate) fn add(count: &AtomicU64, more: u64) {
    count.store(count.load(Ordering::Relaxed) + more, Ordering::Release);
}

/// Takes back what was added too early.
pub(crate) fn take_back(count: &AtomicU64, less: u64) {
    count.store(count.load(Ordering::Relaxed) - less, Ordering::Release);
}

/// How far a flow is with one of its sources, and how far it may go.
#[derive(Debug)]
pub(crate) struct SourceControl {
    topic: String,
    /// The sequence of the last event that had been published before it subscribed.
    before: u64,
    /// The sequence of the last event that was taken, or of one before the first.
    taken: AtomicU64,
    /// The sequence of the last event to be taken for now.
    limit: AtomicU64,
    /// The sequence of the last event to be taken at all.
    last: AtomicU64,
    /// Events that did not come, as far as that is counted.
    lost: AtomicU64,
    /// The topic is closed and everything was taken.
    closed: AtomicBool,
}

impl SourceControl {
    /// Of a source that has not subscribed yet.
    pub(crate) fn of(topic: &str, bus: &dyn Bus) -> Self {
        let before = published(&bus.stats(), topic);
        Self {
            topic: topic.to_owned(),
            before,
            taken: AtomicU64::new(before),
            limit: AtomicU64::new(u64::MAX),
            last: AtomicU64::new(u64::MAX),
            lost: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        }
    }

    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    #[inline]
    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn take(&self, sequence: u64) {
        self.taken.store(sequence, Ordering::Release);
    }

    /// There is nothing more up to this limit, or at all. Whatever else was counted there was not
    /// for this subscriber.
    pub(crate) fn exhaust(&self, limit: u64, closed: bool) {
        self.closed.store(closed, Ordering::Release);
        if limit != u64::MAX {
            self.take(limit.max(self.taken()));
        }
    }

    /// So many events did not come.
    pub(crate) fn lose(&self, lag: u64) {
        add(&self.lost, lag);
    }

    /// Of so many that it lost in all, those that were the last up to this limit: no event came after
    /// them that would have told.
    pub(crate) fn lost_last(&self, lost: u64, limit: u64) -> u64 {
        let not_counted = lost.saturating_sub(self.lost.load(Ordering::Relaxed));
        not_counted.min(limit.saturating_sub(self.taken()))
    }

    /// Whether an event was published before it subscribed: one that the topic retains.
    pub(crate) fn is_retained(&self, sequence: u64) -> bool {
        sequence <= self.before
    }

    /// Whether the topic is closed and everything was taken.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether everything was taken that is to be, for now.
    pub(crate) fn is_drained(&self) -> bool {
        self.is_closed() || self.taken() >= self.limit()
    }

    /// Takes what it likes, or nothing for now.
    fn hold(&self, holds: bool) {
        let limit = if holds { 0 } else { u64::MAX };
        self.limit.store(limit, Ordering::Release);
    }

    /// Takes what was published by now, and then nothing.
    fn stop(&self, topics: &[TopicStats]) {
        let last = published(topics, &self.topic);
        self.last.store(last, Ordering::Release);
        self.limit.store(last, Ordering::Release);
    }

    fn go_on(&self, paused: bool) {
        self.last.store(u64::MAX, Ordering::Release);
        self.hold(paused);
    }

    fn left(&self, topics: &[TopicStats]) -> u64 {
        if self.is_closed() {
            return 0;
        }
        // Read before what was taken is: so none seems to have taken more than there was.
        let last = self.last.load(Ordering::Acquire);
        let last = last.min(published(topics, &self.topic));
        last.saturating_sub(self.taken.load(Ordering::Acquire))
    }
}

impl Course {
    pub(crate) fn new(
        name: &str,
        bus: Arc<dyn Bus>,
        shape: Shape,
        changes: Arc<AtomicU64>,
    ) -> Self {
        Self {
            name: name.into(),
            bus,
            counts: Counts::default(),
            latencies: Latencies::default(),
            since: Instant::now(),
            state: Mutex::new(State {
                flow: FlowState::Running,
                paused: false,
                shape: Arc::new(shape),
                replacement: None,
            }),
            changes,
            asked: AtomicU64::new(0),
            sleeper: Mutex::default(),
            abort: CancellationToken::new(),
            gone: CancellationToken::new(),
        }
    }

    pub(crate) fn bus(&self) -> &dyn Bus {
        &*self.bus
    }

    pub(crate) fn shape(&self) -> Arc<Shape> {
        Arc::clone(&self.state().shape)
    }

    /// From where to where it goes, and will go if it is to go on as another.
    pub(crate) fn shapes(&self) -> impl Iterator<Item = Arc<Shape>> + use<> {
        let state = self.state();
        let next = state.replacement.as_ref();
        let next = next.map(|replacement| Arc::clone(&replacement.shape));
        [Arc::clone(&state.shape)].into_iter().chain(next)
    }

    /// How often something was asked of it.
    #[inline]
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Acquire)
    }

    /// The task sleeps until something is asked of it, whatever else it sleeps for.
    pub(crate) fn sleep(&self, waker: &Waker) {
        let mut sleeper = self.sleeper.lock().unwrap_or_else(PoisonError::into_inner);
        match &*sleeper {
            Some(sleeper) if sleeper.will_wake(waker) => {}
            _ => *sleeper = Some(waker.clone()),
        }
    }

    fn wake(&self) {
        self.asked.fetch_add(1, Ordering::AcqRel);
        let sleeper = self.sleeper.lock();
        let sleeper = sleeper.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
    }

    /// Whether a source that takes nothing will take more later.
    pub(crate) fn is_paused(&self) -> bool {
        let state = self.state();
        state.flow == FlowState::Running && state.paused && state.replacement.is_none()
    }

    /// Whether it is to come to an end, or another is to take its place.
    pub(crate) fn is_ending(&self) -> bool {
        let state = self.state();
        state.flow != FlowState::Running || state.replacement.is_some()
    }

    /// Takes nothing from now on, or goes on. Whether it runs.
    pub(crate) fn pause(&self, paused: bool) -> bool {
        let mut state = self.state();
        let runs = state.flow == FlowState::Running;
        if runs {
            state.paused = paused;
            if state.replacement.is_none() {
                let sources = state.shape.sources.iter();
                sources.for_each(|source| source.hold(paused));
            }
        }
        drop(state);
        self.wake();
        runs
    }

    /// Asks it to stop when it has handled what has been published by now. Without effect where it
    /// has been asked before, or has ended.
    pub(crate) fn stop(&self) {
        let mut state = self.state();
        let mut replacement = None;
        if state.flow == FlowState::Running {
            state.flow = FlowState::Draining;
            replacement = state.replacement.take();
            self.stop_sources(&state.shape);
        }
        drop(state);
        self.refuse(replacement);
        self.wake();
    }

    /// Ends it where it waits.
    pub(crate) fn abort(&self) {
        self.stop();
        self.abort.cancel();
    }

    /// Whether it has been asked to stop, or has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.state().flow != FlowState::Running
    }

    /// Asks it to go on with another definition once it has brought to an end what it has in hand:
    /// one that is opened with the sources of the flow as it is. What is shared with that it takes no
    /// more of; of its other sources it takes what has been published by now. Whether that can be
    /// done: whether the flow runs.
    pub(crate) fn replace<X>(
        &self,
        mut replacement: Replacement,
        open: impl FnOnce(&mut Replacement, Vec<Arc<SourceControl>>) -> Result<(), X>,
    ) -> Result<bool, X> {
        let mut state = self.state();
        if state.flow != FlowState::Running {
            return Ok(false);
        }
        // Under the lock: the flow must not go on as yet another meanwhile, which has other sources.
        open(&mut replacement, state.shape.sources.clone())?;
        let topics = self.bus.stats();
        for source in &state.shape.sources {
            let goes_on = |other: &Arc<SourceControl>| Arc::ptr_eq(other, source);
            match replacement.shape.sources.iter().any(goes_on) {
                // One that is to be replaced already may have been about to stop at some event.
                true => source.go_on(true),
                false => source.stop(&topics),
            }
        }
        let before = state.replacement.replace(replacement);
        drop(state);
        self.refuse(before);
        self.changed();
        self.wake();
        Ok(true)
    }

    /// Goes on as it is, if it has not gone on with this other definition yet, nor has been asked to
    /// with a third.
    pub(crate) fn call_off(&self, verdict: &Arc<Verdict>) {
        let mut state = self.state();
        let is_meant = |other: &mut Replacement| Arc::ptr_eq(&other.verdict, verdict);
        let Some(replacement) = state.replacement.take_if(is_meant) else {
            return;
        };
        let paused = state.paused;
        let sources = state.shape.sources.iter();
        sources.for_each(|source| source.go_on(paused));
        drop(state);
        self.refuse(Some(replacement));
        self.wake();
    }

    /// All sources have come to their ends, and nothing is held; for good where those that it needs
    /// are closed.
    pub(crate) fn at_end(&self, is_closed: bool) -> AtEnd {
        let mut state = self.state();
        if let Some(replacement) = state.replacement.take() {
            state.shape = Arc::clone(&replacement.shape);
            let paused = state.paused;
            let sources = state.shape.sources.iter();
            sources.for_each(|source| source.go_on(paused));
            self.changed();
            replacement.verdict.done.cancel();
            return AtEnd::Switch(replacement);
        }
        // What ended for a replacement that a stop has taken away has more.
        let is_drained = || state.shape.sources.iter().all(|source| source.is_drained());
        match state.flow {
            FlowState::Draining if is_closed || is_drained() => AtEnd::Over(FlowState::Drained),
            FlowState::Running if is_closed => AtEnd::Over(FlowState::SourceClosed),
            _ => AtEnd::GoOn,
        }
    }

    /// It has ended, in this way unless in another before.
    pub(crate) fn end(&self, how: FlowState) {
        let mut state = self.state();
        match state.flow {
            FlowState::Running => self.stop_sources(&state.shape),
            FlowState::Draining => {}
            _ => return,
        }
        state.flow = how;
        let replacement = state.replacement.take();
        drop(state);
        self.refuse(replacement);
    }

    /// Says that it will not go on with this. Outside its lock: it has subscribers.
    fn refuse(&self, replacement: Option<Replacement>) {
        if let Some(replacement) = replacement {
            self.changed();
            replacement.verdict.off.cancel();
        }
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }

    fn stop_sources(&self, shape: &Shape) {
        let topics = self.bus.stats();
        shape.sources.iter().for_each(|source| source.stop(&topics));
    }

    /// What it has done, and what is left by what the topics of its bus have counted.
    pub(crate) fn report(&self, topics: &[TopicStats]) -> FlowReport {
        let (state, shape) = {
            let state = self.state();
            let flow = match state.flow {
                FlowState::Running if state.paused => FlowState::Paused,
                flow => flow,
            };
            (flow, Arc::clone(&state.shape))
        };
        let left: u64 = shape.sources.iter().map(|source| source.left(topics)).sum();
        let stats = self.counts.read();
        FlowReport {
            name: self.name.to_string(),
            from: shape.from.clone(),
            to: shape.to.clone(),
            dead_letters: shape.dead_letters.clone(),
            state,
            stats,
            left: left + stats.held,
            age: self.since.elapsed(),
            latency: self.latencies.summary(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    pub(crate) fn read(&self) -> FlowStats {
        // Received is counted before whatever becomes of it, so it is read after that.
        let count = |count: &AtomicU64| count.load(Ordering::Acquire);
        let mut stats = FlowStats {
            published: count(&self.published),
            filtered: count(&self.filtered),
            failed: count(&self.failed),
            merged: count(&self.merged),
            lost: count(&self.lost),
            retried: count(&self.retried),
            dead: count(&self.dead),
            added: count(&self.added),
            received: count(&self.received),
            held: 0,
        };
        let over = stats.published + stats.filtered + stats.failed + stats.merged;
        stats.held = (stats.received + stats.added).saturating_sub(over);
        stats
    }
}

/// The sequence of the last event that a topic has accepted.
fn published(topics: &[TopicStats], topic: &str) -> u64 {
    let stats = topics.iter().find(|stats| stats.topic == topic);
    stats.map_or(0, |stats| stats.published)
}

impl fmt::Debug for Course {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Course")
            .field("name", &self.name)
            .field("state", &self.state().flow)
            .finish_non_exhaustive()
    }
}

/// Kept by the task of a flow. When the task goes, in whatever way, this says so.
pub(crate) struct Going(pub(crate) Arc<Course>);

impl Drop for Going {
    fn drop(&mut self) {
        self.0.end(FlowState::Aborted);
        self.0.gone.cancel();
    }
}
