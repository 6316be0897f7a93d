//! The event that is being handled, for what is published meanwhile: it passes on which
//! undertaking that belongs to and what caused it, and lets nobody who handles an event wait for
//! room.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::{Envelope, Meta};

/// The event that something is done about: what it causes belongs to the same undertaking.
///
/// Handlers ([`BusExt::on`](crate::BusExt::on)) do this by themselves; it is here for who receives
/// by hand. See [`Cause::run`].
#[derive(Debug, Clone)]
pub struct Cause(Arc<Ids>);

#[derive(Debug)]
struct Ids {
    correlation: String,
    causation: String,
}

thread_local! {
    static ACTIVE: Cell<bool> = const { Cell::new(false) };
    static CAUSE: RefCell<Option<Cause>> = const { RefCell::new(None) };
}

impl Cause {
    pub(crate) fn of(meta: &Meta<'_>) -> Self {
        let id = meta.id();
        let correlation = meta.correlation_id().unwrap_or(&id).to_owned();
        Self(Arc::new(Ids {
            correlation,
            causation: id.into_owned(),
        }))
    }

    /// Runs what is done about the event. Each event that is published by the future itself, and
    /// does not say otherwise, gets the cause's correlation id (or else its id) and, as its
    /// causation id, the cause's id.
    ///
    /// While it runs, [`publish`](crate::Publisher::publish) does not wait: a full topic refuses
    /// with [`Refusal::Full`](crate::Refusal::Full). Who publishes to the topic that it reads from,
    /// directly or around a ring of topics, would otherwise wait for itself. What the future spawns
    /// runs outside.
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
    pub async fn run<F: Future>(self, future: F) -> F::Output {
        Running {
            cause: self,
            future: Box::pin(future),
        }
        .await
    }
}

/// A future during which a cause is set.
struct Running<F> {
    cause: Cause,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Running<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _outer = Outer::behind(self.cause.clone());
        self.future.as_mut().poll(cx)
    }
}

/// What was set before, and is again when this is dropped: also by a panic.
struct Outer(Option<Cause>);

impl Outer {
    fn behind(cause: Cause) -> Self {
        ACTIVE.set(true);
        Self(CAUSE.replace(Some(cause)))
    }
}

impl Drop for Outer {
    fn drop(&mut self) {
        let outer = self.0.take();
        ACTIVE.set(outer.is_some());
        CAUSE.replace(outer);
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
        let Some(Cause(ids)) = cause else {
            return;
        };
        let details = envelope.details.get_or_insert_default();
        let correlation = &mut details.correlation_id;
        correlation.get_or_insert_with(|| ids.correlation.clone());
        let causation = &mut details.causation_id;
        causation.get_or_insert_with(|| ids.causation.clone());
    });
}
