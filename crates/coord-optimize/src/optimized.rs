//! A stream under an operator: [`Optimized`], the one driver of them all.

use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use pin_project_lite::pin_project;

use crate::intake::Intake;
use crate::ledger::{Books, Ledger, LedgerHandle};
use crate::timer::Timer;

/// What an operator says to an item: `Continue` for more, `Break` with what comes out, or with
/// nothing where no more may be taken before something has come out.
pub(crate) type Taken<Out> = ControlFlow<Option<Out>>;

/// What makes one operator differ from another: plain data that is handed items.
///
/// All of it is called in one poll, in this order; no poll is interrupted, so whatever an operator
/// holds between two calls is safe from being cancelled.
pub trait Operator<T> {
    /// What comes out.
    type Out;

    /// What was due before this poll and does not wait for items that are ready by now.
    #[doc(hidden)]
    fn late(&mut self, _desk: &mut Desk) -> Option<Self::Out> {
        None
    }

    /// Whether there is room for an item.
    #[doc(hidden)]
    fn wants(&self) -> bool {
        true
    }

    /// An item came.
    #[doc(hidden)]
    fn take(&mut self, item: T, desk: &mut Desk) -> ControlFlow<Option<Self::Out>>;

    /// There is nothing to take, now or (if the source has `ended`) ever. Ready with what comes out,
    /// or with `None` if nothing is held; pending if what is held waits for the timer.
    #[doc(hidden)]
    fn give(
        &mut self,
        desk: &mut Desk,
        cx: &mut Context<'_>,
        ended: bool,
    ) -> Poll<Option<Self::Out>>;

    /// Whether nothing more comes out, also if the source has more.
    #[doc(hidden)]
    fn over(&self) -> bool {
        false
    }

    /// How many items are held.
    #[doc(hidden)]
    fn held(&self) -> usize;

    /// How many more can come out, if so many items can come.
    #[doc(hidden)]
    fn hint(&self, source: (usize, Option<usize>)) -> (usize, Option<usize>) {
        let most = source.1.and_then(|most| most.checked_add(self.held()));
        (0, most)
    }
}

/// What an operator has at hand: its one timer, and its ledger.
#[derive(Debug, Default)]
pub struct Desk {
    pub(crate) timer: Timer,
    pub(crate) books: Books,
}

impl Desk {
    /// That of one of the streams of a topic, with the sum of their ledgers.
    pub(crate) fn of(account: LedgerHandle) -> Self {
        Self {
            timer: Timer::default(),
            books: Books::of(account),
        }
    }

    pub(crate) fn ledger(&mut self) -> &mut Ledger {
        &mut self.books.ledger
    }

    /// Counts an item that comes out.
    pub(crate) fn out<T>(&mut self, item: T) -> Option<T> {
        self.books.ledger.given_out += 1;
        Some(item)
    }
}

pin_project! {
    /// A stream under an operator of [`OptimizeExt`](crate::OptimizeExt), and the ledger of that.
    ///
    /// `O` is the operator: its page says what comes out and when, and has its settings as methods
    /// of this type.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use coord_optimize::OptimizeExt;
    /// use tokio_stream::{StreamExt, iter};
    ///
    /// let mut changes = iter([1, 1, 2, 2, 2]).distinct_until_changed();
    /// let watched = changes.ledger_handle();
    /// // Anywhere, also while somebody else holds the stream.
    /// let elsewhere = std::thread::spawn(move || watched.ledger().received);
    /// assert_eq!(elsewhere.join().unwrap(), 0);
    ///
    /// while changes.next().await.is_some() {}
    /// let ledger = changes.ledger();
    /// assert_eq!((ledger.given_out, ledger.dropped.repeated), (2, 3));
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future of a `next()` loses nothing: what was taken stays in the stream.
    #[must_use = "a stream does nothing unless it is polled"]
    pub struct Optimized<S, O> {
        #[pin]
        pub(crate) source: Intake<S>,
        pub(crate) operator: O,
        pub(crate) desk: Desk,
    }
}

impl<S: Stream, O> Optimized<S, O> {
    pub(crate) fn new(source: S, operator: O) -> Self {
        Self::at(source, operator, Desk::default())
    }

    pub(crate) fn at(source: S, operator: O, desk: Desk) -> Self {
        Self {
            source: Intake::new(source),
            operator,
            desk,
        }
    }

    /// What became of the items so far.
    pub fn ledger(&self) -> Ledger {
        self.desk.books.ledger
    }

    /// To read the ledger from elsewhere, also while the stream runs, and after it is gone. It costs
    /// the stream some ten nanoseconds a poll; without one, counting costs next to nothing.
    pub fn ledger_handle(&mut self) -> LedgerHandle {
        self.desk.books.handle()
    }

    /// The operator, to change its settings while it runs.
    pub(crate) fn operator_mut(self: Pin<&mut Self>) -> &mut O {
        self.project().operator
    }
}

impl<S: Stream, O: Operator<S::Item>> Stream for Optimized<S, O> {
    type Item = O::Out;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<O::Out>> {
        let this = self.project();
        let sitting = Sitting {
            operator: this.operator,
            desk: this.desk,
            items: PhantomData,
        };
        let (operator, desk) = (&mut *sitting.operator, &mut *sitting.desk);
        let polled = match operator.late(desk) {
            Some(out) => Poll::Ready(Some(out)),
            None => poll(this.source, operator, desk, cx),
        };
        sitting.end();
        polled
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.operator.hint(self.source.size_hint())
    }
}

/// One poll. If a closure of the user's panics in it, the books are closed still.
struct Sitting<'a, T, O: Operator<T>> {
    operator: &'a mut O,
    desk: &'a mut Desk,
    items: PhantomData<fn(T)>,
}

impl<T, O: Operator<T>> Sitting<'_, T, O> {
    fn end(self) {
        self.desk.books.close(self.operator.held());
        mem::forget(self);
    }
}

impl<T, O: Operator<T>> Drop for Sitting<'_, T, O> {
    fn drop(&mut self) {
        self.desk.books.close_after_panic(self.operator.held());
    }
}

fn poll<S: Stream, O: Operator<S::Item>>(
    source: Pin<&mut Intake<S>>,
    operator: &mut O,
    desk: &mut Desk,
    cx: &mut Context<'_>,
) -> Poll<Option<O::Out>> {
    let mut ended = false;
    if operator.wants() {
        let taken = source.poll_each(cx, |item| {
            desk.books.ledger.received += 1;
            operator.take(item, desk)
        });
        match taken {
            Poll::Ready(Some(Some(out))) => return Poll::Ready(Some(out)),
            Poll::Ready(None) => ended = true,
            Poll::Ready(Some(None)) | Poll::Pending => {}
        }
    }
    match operator.give(desk, cx, ended) {
        Poll::Ready(None) if !ended && !operator.over() => Poll::Pending,
        given => given,
    }
}

impl<S, O> fmt::Debug for Optimized<S, O> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Optimized")
            .field("ledger", &self.desk.books.ledger)
            .finish_non_exhaustive()
    }
}
