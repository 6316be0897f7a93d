//! The event that is being handled, for what is published meanwhile: it passes on which
//! undertaking that belongs to and what caused it, and lets nobody who handles an event wait for
//! itself.

mod patience;

use std::borrow::BorrowMut;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::{Details, Envelope, Meta};
pub(crate) use patience::{Awaited, PATIENCE, Patience};

/// The event that something is done about: what it causes belongs to the same undertaking.
///
/// Handlers ([`BusExt::on`](crate::BusExt::on)) do this by themselves; it is here for who receives
/// by hand. See [`Cause::run`].
#[derive(Debug, Clone)]
pub struct Cause {
    topic: Arc<str>,
    sequence: u64,
    /// Those that it says of itself; most events say nothing.
    id: Option<String>,
    correlation: Option<String>,
}

thread_local! {
    static ACTIVE: Cell<bool> = const { Cell::new(false) };
    static CAUSE: RefCell<Option<Cause>> = const { RefCell::new(None) };
}

impl Cause {
    pub(crate) fn of(meta: &Meta<'_>) -> Self {
        let details = meta.details();
        Self {
            topic: Arc::clone(meta.topic),
            sequence: meta.sequence,
            id: details.and_then(|details| details.id.clone()),
            correlation: meta.correlation_id().map(str::to_owned),
        }
    }

    /// Of no request yet: see [`is_request`](Self::is_request).
    pub(crate) fn at(endpoint: &Arc<str>) -> Self {
        Self {
            topic: Arc::clone(endpoint),
            sequence: 0,
            id: None,
            correlation: None,
        }
    }

    /// From now on it is this request of its endpoint.
    #[inline]
    pub(crate) fn is_request(&mut self, sequence: u64, details: Option<&Details>) {
        self.sequence = sequence;
        self.correlation = details.and_then(|details| details.correlation_id.clone());
    }

    /// From now on it is this request, which came over a link.
    pub(crate) fn is_remote_request(&mut self, id: String, details: Option<&Details>) {
        self.id = Some(id);
        self.correlation = details.and_then(|details| details.correlation_id.clone());
    }

    fn id(&self) -> String {
        match &self.id {
            Some(id) => id.clone(),
            None => format!("{}#{}", self.topic, self.sequence),
        }
    }

    /// Says in the envelope that this is its cause, where it does not say so itself.
    pub fn mark<E>(&self, envelope: &mut Envelope<E>) {
        let details = envelope.details.get_or_insert_default();
        let correlation = || self.correlation.clone().unwrap_or_else(|| self.id());
        details.correlation_id.get_or_insert_with(correlation);
        details.causation_id.get_or_insert_with(|| self.id());
    }

    /// Runs what is done about the event. Each event that is published by the future itself, and
    /// does not say otherwise, gets the cause's correlation id (or else its id) and, as its
    /// causation id, the cause's id.
    ///
    /// While it runs, [`publish`](crate::Publisher::publish) waits for room as it does elsewhere, but
    /// not for itself: to the topic of the cause, directly or around a ring of topics whose handlers
    /// wait already, a full topic refuses at once with [`Refusal::Ring`](crate::Refusal::Ring). Where
    /// that cannot be seen, as a task is one of the ring that is no handler, it refuses with
    /// [`Refusal::StillFull`](crate::Refusal::StillFull) once the slowest subscriber has received nothing for
    /// 30 s. What the future spawns runs outside.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use coord_bus::{BusExt, LocalBus, Topic};
    ///
    /// const ORDERS: Topic<u64> = Topic::new("orders");
    /// const INVOICES: Topic<u64> = Topic::new("invoices");
    ///
    /// let bus = LocalBus::new();
    /// let (mut orders, mut invoices) = (bus.subscribe(&ORDERS)?, bus.subscribe(&INVOICES)?);
    /// bus.publisher(&ORDERS)?.publish(17).await?;
    ///
    /// let order = orders.recv().await.unwrap();
    /// let publisher = bus.publisher(&INVOICES)?;
    /// order.meta().cause().run(publisher.publish(*order)).await?;
    /// let invoice = invoices.recv().await.unwrap();
    /// assert_eq!(invoice.meta().causation_id(), Some("orders#1"));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Panics
    ///
    /// When a publish has to wait in a tokio runtime that has no timers. Outside a runtime it does
    /// not wait: a full topic refuses.
    pub fn run<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        run(Some(self), future)
    }
}

/// [`Cause::run`], with a cause that may be lent. It is there again whenever the future is not being
/// polled.
pub(crate) fn run<F: Future>(
    cause: impl BorrowMut<Option<Cause>>,
    future: F,
) -> impl Future<Output = F::Output> {
    Running { cause, future }
}

pin_project! {
    /// A future during which a cause is set.
    struct Running<C, F> {
        // Lent to the thread while it is polled.
        cause: C,
        #[pin]
        future: F,
    }
}

impl<C: BorrowMut<Option<Cause>>, F: Future> Future for Running<C, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _swapped = Swapped::new(this.cause.borrow_mut());
        this.future.poll(cx)
    }
}

/// The thread has the cause, and `outer` what it had before; until this is dropped, also by a
/// panic.
struct Swapped<'a> {
    outer: &'a mut Option<Cause>,
}

impl<'a> Swapped<'a> {
    fn new(cause: &'a mut Option<Cause>) -> Self {
        let swapped = Self { outer: cause };
        CAUSE.with_borrow_mut(|current| std::mem::swap(current, &mut *swapped.outer));
        ACTIVE.set(true);
        swapped
    }
}

impl Drop for Swapped<'_> {
    fn drop(&mut self) {
        CAUSE.with_borrow_mut(|current| {
            std::mem::swap(current, self.outer);
            ACTIVE.set(current.is_some());
        });
    }
}

/// Whether an event is being handled on this thread now.
#[inline]
pub(crate) fn is_active() -> bool {
    ACTIVE.get()
}

/// Says in the envelope what it follows from, where it does not say so itself.
#[cold]
pub(crate) fn mark<E>(envelope: &mut Envelope<E>) {
    CAUSE.with_borrow(|cause| {
        if let Some(cause) = cause {
            cause.mark(envelope);
        }
    });
}
