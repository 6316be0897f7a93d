//! Taking from a source: portion by portion, and no more once it has ended.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use pin_project_lite::pin_project;
use tokio::task::coop;

/// The most items that one poll takes: as many as the bus hands over at once, and few enough that
/// a task's neighbours do not notice.
const TAKEN_AT_ONCE_MAX: usize = 128;

pin_project! {
    /// A source, and whether it has ended.
    #[derive(Debug)]
    pub(crate) struct Intake<S> {
        #[pin]
        source: S,
        ended: bool,
    }
}

impl<S: Stream> Intake<S> {
    pub(crate) fn new(source: S) -> Self {
        let ended = false;
        Self { source, ended }
    }

    /// Hands each item that is ready to `take`, until that breaks with a result, which is
    /// returned. `None` once the source has ended. Spends one unit of the task's budget if there
    /// was anything.
    pub(crate) fn poll_each<B>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut take: impl FnMut(S::Item) -> ControlFlow<B>,
    ) -> Poll<Option<B>> {
        let mut this = self.project();
        if *this.ended {
            return Poll::Ready(None);
        }
        let budget = ready!(coop::poll_proceed(cx));
        for _ in 0..TAKEN_AT_ONCE_MAX {
            let Some(item) = ready!(this.source.as_mut().poll_next(cx)) else {
                *this.ended = true;
                return Poll::Ready(None);
            };
            budget.made_progress();
            if let ControlFlow::Break(result) = take(item) {
                return Poll::Ready(Some(result));
            }
        }
        // There may be more, of which nobody else tells.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    pub(crate) fn source_mut(&mut self) -> &mut S {
        &mut self.source
    }

    pub(crate) fn size_hint(&self) -> (usize, Option<usize>) {
        if self.ended {
            return (0, Some(0));
        }
        self.source.size_hint()
    }
}
