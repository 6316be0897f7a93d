//! A stage that waits: for an answer, a file, a look-up, several of them at once.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use coord_bus::{BoxFuture, Failure, catch, time};
use futures_util::stream::{FuturesOrdered, FuturesUnordered, StreamExt};

use super::{Failed, Label, Part, Pulled, Stage, Way};
use crate::course::{Course, add};
use crate::options::RetryOptions;
use crate::origin::Origin;

/// A stage that waits for a future for each item.
pub struct Enrich<S, F, U> {
    inner: S,
    label: Label,
    enrich: Arc<F>,
    concurrency: usize,
    flights: Flights<U>,
    /// Over, and not given out yet; counted among those under way.
    landed: VecDeque<Landed<U>>,
}

type Landed<U> = Result<(U, Origin), Box<Failed>>;

/// Those under way.
enum Flights<U> {
    Ordered(FuturesOrdered<BoxFuture<'static, Landed<U>>>),
    Unordered(FuturesUnordered<BoxFuture<'static, Landed<U>>>),
}

impl<U> Flights<U> {
    fn len(&self) -> usize {
        match self {
            Self::Ordered(flights) => flights.len(),
            Self::Unordered(flights) => flights.len(),
        }
    }

    fn push(&mut self, flight: BoxFuture<'static, Landed<U>>) {
        match self {
            Self::Ordered(flights) => flights.push_back(flight),
            Self::Unordered(flights) => flights.push(flight),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Landed<U>>> {
        match self {
            Self::Ordered(flights) => flights.poll_next_unpin(cx),
            Self::Unordered(flights) => flights.poll_next_unpin(cx),
        }
    }
}

impl<S, F, U> Enrich<S, F, U> {
    pub(crate) fn new(inner: S, label: Label, concurrency: usize, enrich: F) -> Self {
        Self {
            inner,
            label,
            enrich: Arc::new(enrich),
            concurrency,
            flights: Flights::Ordered(FuturesOrdered::new()),
            landed: VecDeque::new(),
        }
    }

    pub(crate) fn unordered(self) -> Self {
        Self {
            flights: Flights::Unordered(FuturesUnordered::new()),
            ..self
        }
    }

    fn land(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(landed)) = self.flights.poll(cx) {
            self.landed.push_back(landed);
        }
    }
}

/// Sees one item through.
async fn fly<T, U, F, Fut, X>(
    enrich: Arc<F>,
    item: T,
    origin: Origin,
    (label, retry): (Label, RetryOptions),
    course: Arc<Course>,
) -> Landed<U>
where
    T: Clone,
    F: Fn(T) -> Fut,
    Fut: Future<Output = Result<U, X>>,
    X: Into<Failure>,
{
    let mut failures = 0;
    loop {
        // All that may panic is called within, so that a panic is one of this item too.
        let enriched = match catch_unwind(AssertUnwindSafe(|| item.clone())) {
            Ok(item) => {
                let enriched = async { enrich(item).await.map_err(X::into) };
                match &origin.kept {
                    Some(kept) => catch(kept.meta().cause().run(enriched)).await,
                    None => catch(enriched).await,
                }
            }
            Err(panic) => Err(panic),
        };
        let failure = match enriched {
            Ok(Ok(enriched)) => return Ok((enriched, origin)),
            Ok(Err(failure)) => failure,
            Err(panic) => Failure::panicked(&*panic),
        };
        failures += 1;
        let Some(wait) = retry.wait(failures, &failure) else {
            return Err(Failed::of(label, origin, failure, failures));
        };
        // All of a flow is one task, this too.
        add(&course.counts.retried, 1);
        time::sleep(wait).await;
    }
}

impl<S, F, Fut, U, X> Stage for Enrich<S, F, U>
where
    S: Stage,
    S::Out: Clone,
    F: Fn(S::Out) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<U, X>> + Send + 'static,
    U: Send + 'static,
    X: Into<Failure> + Send + 'static,
{
    type Out = U;
    const HOLDS: bool = true;

    fn poll_next(&mut self, cx: &mut Context<'_>, way: &Way) -> Poll<Pulled<U>> {
        let mut is_over = false;
        while self.flights.len() + self.landed.len() < self.concurrency {
            match self.inner.poll_next(cx, way) {
                Poll::Ready(Pulled::Item(item, origin)) => {
                    let enrich = Arc::clone(&self.enrich);
                    let course = Arc::clone(&way.course);
                    let how = (self.label, way.retry);
                    self.flights
                        .push(Box::pin(fly(enrich, item, origin, how, course)));
                }
                Poll::Ready(Pulled::Failed(failed)) => return Poll::Ready(Pulled::Failed(failed)),
                Poll::Ready(Pulled::End) => {
                    is_over = true;
                    break;
                }
                Poll::Pending => break,
            }
        }
        if self.landed.is_empty() {
            self.land(cx);
        }
        match self.landed.pop_front() {
            Some(Ok((item, origin))) => Poll::Ready(Pulled::Item(item, origin)),
            Some(Err(failed)) => Poll::Ready(Pulled::Failed(failed)),
            None if is_over && self.flights.len() == 0 => Poll::Ready(Pulled::End),
            None => {
                if self.flights.len() == self.concurrency {
                    // Nothing more is taken, and what is before it goes on.
                    self.inner.poll_progress(cx, way);
                }
                Poll::Pending
            }
        }
    }

    fn poll_progress(&mut self, cx: &mut Context<'_>, way: &Way) {
        self.inner.poll_progress(cx, way);
        self.land(cx);
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn visit(&mut self, visitor: &mut dyn FnMut(Part<'_>)) {
        self.inner.visit(visitor);
    }
}
