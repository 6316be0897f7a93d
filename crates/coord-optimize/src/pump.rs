//! From a topic's batches into another topic: the task of
//! [`EventStreamOptimizer::optimize_into`](crate::EventStreamOptimizer::optimize_into).

use std::future::poll_fn;
use std::pin::{Pin, pin};

use coord_bus::{Event, Publisher};
use futures_core::Stream;

use crate::Batches;
use crate::routes::Route;

pub(crate) async fn pump<E: Event + Clone>(
    mut batches: Batches<E>,
    sink: Publisher<E>,
    stopped: impl Future<Output = ()>,
    _route: Route,
) {
    let mut stopped = pin!(stopped);
    let mut stopping = false;
    loop {
        let batch = poll_fn(|cx| {
            if !stopping && stopped.as_mut().poll(cx).is_ready() {
                stopping = true;
                batches.close();
            }
            Pin::new(&mut batches).poll_next(cx)
        });
        let Some(batch) = batch.await else {
            return;
        };
        for event in batch {
            // Refused only where the topic is closed: then nobody is there to be told.
            if sink.publish(E::clone(&event)).await.is_err() {
                return;
            }
        }
    }
}
