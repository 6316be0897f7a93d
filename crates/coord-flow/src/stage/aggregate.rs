//! Several items that become one: those of a window.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use coord_bus::time::{self, Instant, Sleep};

use super::{Label, Part, Pulled, Stage, Way};
use crate::course::add;
use crate::origin::Origin;
use crate::window::{Kind, Window};

/// A stage that makes one item of those of a window.
pub(crate) struct Aggregate<S, N, F, A> {
    inner: S,
    label: Label,
    kind: Kind,
    new: N,
    fold: F,
    windows: VecDeque<Open<A>>,
    /// Items that came so far, of windows by number.
    items: u64,
    /// When the first window began, and which begins next.
    first: Option<Instant>,
    next: u64,
    timer: Option<Pin<Box<Sleep>>>,
}

/// A window that has not come out.
struct Open<A> {
    result: A,
    /// After which item it comes out, …
    until: u64,
    /// … or when.
    end: Option<Instant>,
    origin: Origin,
    /// The items of which it is the last window.
    ended: u64,
}

impl<S, N, F, A> Aggregate<S, N, F, A> {
    pub(crate) fn new(inner: S, label: Label, window: Window, new: N, fold: F) -> Self {
        Self {
            inner,
            label,
            kind: window.kind,
            new,
            fold,
            windows: VecDeque::new(),
            items: 0,
            first: None,
            next: 0,
            timer: None,
        }
    }
}

impl<S, N, F, A> Aggregate<S, N, F, A>
where
    S: Stage,
    N: FnMut() -> A + Send + 'static,
    F: FnMut(&mut A, &S::Out) + Send + 'static,
    A: Send + 'static,
{
    /// Opens the windows that have begun with this item, or since the one before.
    fn open(&mut self, origin: &Origin, now: Option<Instant>) {
        let mut open = |result: A, until, end| {
            self.windows.push_back(Open {
                result,
                until,
                end,
                origin: origin.clone(),
                ended: 0,
            });
        };
        let (size, step) = match self.kind {
            Kind::Count { size, step } => {
                if self.items.is_multiple_of(step) {
                    open((self.new)(), self.items + size, None);
                }
                self.items += 1;
                return;
            }
            Kind::Time { size, step } => (size, step),
        };
        let Some(now) = now else {
            return;
        };
        let first = *self.first.get_or_insert(now);
        let nanos = |time: Duration| time.as_nanos() as u64;
        let newest = nanos(now - first) / nanos(step);
        // Of those in which nothing came, none is opened.
        let gone = nanos((now - first).saturating_sub(size)) / nanos(step);
        self.next = self.next.max(gone);
        while self.next <= newest {
            let end = first + Duration::from_nanos(nanos(step) * self.next) + size;
            if end > now {
                open((self.new)(), u64::MAX, Some(end));
            }
            self.next += 1;
        }
    }

    fn take(&mut self, item: &S::Out, origin: &Origin, way: &Way) {
        let now = matches!(self.kind, Kind::Time { .. }).then(Instant::now);
        self.open(origin, now);
        // One that has just come to its end, and was not looked at since, is without it.
        let is_open = |window: &Open<A>| window.end.is_none_or(|end| Some(end) > now);
        for window in self.windows.iter_mut().filter(|window| is_open(window)) {
            (self.fold)(&mut window.result, item);
            window.origin = origin.clone();
        }
        match self.windows.back_mut().filter(|window| is_open(window)) {
            Some(window) => window.ended += 1,
            None => add(&way.course.counts.filtered, 1),
        }
    }

    /// The oldest window, if it is over, or all are.
    fn close(&mut self, all: bool, way: &Way) -> Option<Pulled<A>> {
        let window = self.windows.front()?;
        let is_over = match window.end {
            Some(end) => end <= Instant::now(),
            None => self.items >= window.until,
        };
        if !is_over && !all {
            return None;
        }
        let window = self.windows.pop_front()?;
        add(&way.course.counts.added, 1);
        add(&way.course.counts.merged, window.ended);
        Some(Pulled::Item(window.result, window.origin))
    }

    /// Whether the oldest window's time has come; if not, it is looked at again when it has.
    fn is_time(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(end) = self.windows.front().and_then(|window| window.end) else {
            return false;
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(time::sleep_until(end)));
        if timer.deadline() != end {
            timer.as_mut().reset(end);
        }
        timer.as_mut().poll(cx).is_ready()
    }
}

impl<S, N, F, A> Stage for Aggregate<S, N, F, A>
where
    S: Stage,
    N: FnMut() -> A + Send + 'static,
    F: FnMut(&mut A, &S::Out) + Send + 'static,
    A: Send + 'static,
{
    type Out = A;
    const HOLDS: bool = true;

    fn poll_next(&mut self, cx: &mut Context<'_>, way: &Way) -> Poll<Pulled<A>> {
        loop {
            if let Some(closed) = self.close(false, way) {
                return Poll::Ready(closed);
            }
            match self.inner.poll_next(cx, way) {
                Poll::Ready(Pulled::Item(item, origin)) => {
                    let label = Some(self.label);
                    way.watch(label, Some(&origin), || self.take(&item, &origin, way));
                }
                Poll::Ready(Pulled::Failed(failed)) => return Poll::Ready(Pulled::Failed(failed)),
                Poll::Ready(Pulled::End) => {
                    let last = self.close(true, way);
                    if self.windows.is_empty() {
                        // What comes if the end is called off begins a window.
                        self.items = 0;
                        (self.first, self.next) = (None, 0);
                    }
                    return Poll::Ready(last.unwrap_or(Pulled::End));
                }
                Poll::Pending if self.is_time(cx) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll_progress(&mut self, cx: &mut Context<'_>, way: &Way) {
        self.inner.poll_progress(cx, way);
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn visit(&mut self, visitor: &mut dyn FnMut(Part<'_>)) {
        self.inner.visit(visitor);
    }
}
