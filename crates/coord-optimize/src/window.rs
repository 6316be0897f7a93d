//! Items in windows, which may overlap: [`WindowCount`] and [`WindowTime`].

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use coord_bus::time::Instant;

use crate::optimized::{Desk, Operator, Taken};
use crate::timer::after;

/// What no time of windows is shorter than: what timers can tell apart. As coord-flow's.
const STEP_MIN: Duration = Duration::from_millis(1);

/// The most windows of time that an item is in, and so the most that come out of one item. As
/// coord-flow's.
const OVERLAP_MAX: u32 = 1024;

/// The operator of [`OptimizeExt::window_count`](crate::OptimizeExt::window_count): so many items
/// at once, and a window begins every so many items.
///
/// When the source ends, each window that has begun comes out with what it has, as in RxJS.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use coord_optimize::OptimizeExt;
/// use tokio_stream::{StreamExt, iter};
///
/// let pairs = iter([1, 2, 3]).window_count(2, 1);
/// assert_eq!(pairs.collect::<Vec<_>>().await, [vec![1, 2], vec![2, 3], vec![3]]);
/// # }
/// ```
#[derive(Debug)]
pub struct WindowCount<T> {
    size: usize,
    every: usize,
    held: VecDeque<T>,
}

impl<T: Clone> WindowCount<T> {
    pub(crate) fn new(size: usize, every: usize) -> Self {
        Self {
            size,
            every: every.min(size),
            held: VecDeque::new(),
        }
    }

    fn close(&mut self, desk: &mut Desk) -> Option<Vec<T>> {
        leave(&mut self.held, self.every, desk)
    }
}

impl<T: Clone> Operator<T> for WindowCount<T> {
    type Out = Vec<T>;

    fn take(&mut self, item: T, desk: &mut Desk) -> Taken<Vec<T>> {
        self.held.push_back(item);
        if self.held.len() == self.size {
            return ControlFlow::Break(self.close(desk));
        }
        ControlFlow::Continue(())
    }

    fn give(&mut self, desk: &mut Desk, _: &mut Context<'_>, ended: bool) -> Poll<Option<Vec<T>>> {
        if !ended || self.held.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Ready(self.close(desk))
    }

    fn held(&self) -> usize {
        self.held.len()
    }
}

/// The operator of [`OptimizeExt::window_time`](crate::OptimizeExt::window_time): what came within a
/// span, and a window begins every so often.
///
/// Windows begin at equal distances from the first poll. Each is (begin, end], the first one
/// [begin, end]: what comes in the moment in which a time ends belongs to what ends, as with all
/// operators here, since of one moment RxJS's virtual time gives items before it looks at timers.
/// (The windows of a flow, of `coord-flow`, begin with their first item, and are `[begin, end)`.)
/// Windows in which nothing came are left out (RxJS gives empty ones). One that is full, with as many items as `at_most`, comes out
/// at once, and its items are in no later one; the times of the others stay as they are (RxJS begins
/// them anew where windows tumble, and gives the items to later ones where they slide). When the source ends, each window that has begun
/// comes out with what it has. An item comes when it is polled for: see [what a busy consumer
/// does](crate::OptimizeExt#what-a-busy-consumer-does-to-time).
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use std::time::Duration;
/// use coord_optimize::OptimizeExt;
/// use tokio_stream::{StreamExt, iter, pending};
///
/// let second = Duration::from_secs(1);
/// // The last three seconds, every second.
/// let mut windows = iter([1, 2]).chain(pending()).window_time(3 * second, second, 1000);
/// assert_eq!(windows.next().await, Some(vec![1, 2]));
/// # }
/// ```
#[derive(Debug)]
pub struct WindowTime<T> {
    span: Duration,
    every: Duration,
    at_most: usize,
    /// When the oldest window began that has not come out.
    begin: Option<Instant>,
    held: VecDeque<(Instant, T)>,
}

impl<T: Clone> WindowTime<T> {
    pub(crate) fn new(span: Duration, every: Duration, at_most: usize) -> Self {
        let span = span.max(STEP_MIN);
        let least = STEP_MIN.max(span / OVERLAP_MAX);
        Self {
            span,
            every: every.clamp(least, span),
            at_most,
            begin: None,
            held: VecDeque::new(),
        }
    }

    fn begin(&mut self) -> Instant {
        *self.begin.get_or_insert_with(Instant::now)
    }

    /// Waits for the end of the oldest window in which there is anything.
    fn wait(&mut self, desk: &mut Desk) {
        let Some((first, _)) = self.held.front() else {
            desk.timer.stop();
            return;
        };
        let (first, begin) = (*first, self.begin());
        let end = after(begin, self.span);
        if first > end {
            // Whole steps that bring the end to the item, or to just after it.
            let steps = first.duration_since(end).as_nanos();
            let steps = steps.div_ceil(self.every.as_nanos());
            let wait = steps.saturating_mul(self.every.as_nanos());
            let wait = u64::try_from(wait).map_or(Duration::MAX, Duration::from_nanos);
            self.begin = Some(after(begin, wait));
        }
        let begin = self.begin();
        desk.timer.start_until(after(begin, self.span));
    }

    /// The oldest window comes out, with what came by its end.
    fn close(&mut self, desk: &mut Desk) -> Option<Vec<T>> {
        let end = after(self.begin(), self.span);
        let next = after(self.begin(), self.every);
        let leaving = self.held.iter().take_while(|(at, _)| *at <= next).count();
        let leaving = self.held.drain(..leaving).map(|(_, item)| item);
        let mut items: Vec<_> = leaving.collect();
        let left = items.len() as u64;
        self.begin = Some(next);
        self.wait(desk);
        // Last, as a clone may panic.
        let within = self.held.iter().take_while(|(at, _)| *at <= end);
        items.extend(within.map(|(_, item)| item.clone()));
        desk.ledger().given_out += left;
        Some(items)
    }
}

impl<T: Clone> Operator<T> for WindowTime<T> {
    type Out = Vec<T>;

    fn late(&mut self, desk: &mut Desk) -> Option<Vec<T>> {
        self.begin();
        if !desk.timer.has_passed() {
            return None;
        }
        self.close(desk)
    }

    fn take(&mut self, item: T, desk: &mut Desk) -> Taken<Vec<T>> {
        self.held.push_back((Instant::now(), item));
        if self.held.len() == self.at_most {
            let every = self.held.len();
            let mut items = self.held.drain(..).map(|(_, item)| item).collect();
            desk.timer.stop();
            return ControlFlow::Break(leave(&mut items, every, desk));
        }
        if self.held.len() == 1 {
            self.wait(desk);
        }
        ControlFlow::Continue(())
    }

    fn give(&mut self, desk: &mut Desk, cx: &mut Context<'_>, ended: bool) -> Poll<Option<Vec<T>>> {
        if self.held.is_empty() {
            return Poll::Ready(None);
        }
        if !ended {
            ready!(desk.timer.poll(cx));
        }
        Poll::Ready(self.close(desk))
    }

    fn held(&self) -> usize {
        self.held.len()
    }
}

/// A window of all that is held comes out, after which the `every` oldest are in no other.
fn leave<T: Clone>(held: &mut VecDeque<T>, every: usize, desk: &mut Desk) -> Option<Vec<T>> {
    let every = every.min(held.len());
    let mut items: Vec<_> = held.drain(..every).collect();
    items.extend(held.iter().cloned());
    desk.ledger().given_out += every as u64;
    Some(items)
}
