//! The log of coord-bus in every order in which its threads may run, and see each other's writes:
//! `cargo xtask loom`. Empty unless it is built for that.
#![cfg(coord_loom)]

mod closing;
mod overflow;
mod publishing;
mod room;
mod sieve;

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use coord_bus::{Log, Overflow, SubscribeOptions, Subscriber, TryReceiveError};
use loom::model::Builder;

/// How often a thread may lose its turn where it did not ask for that, unless
/// `LOOM_MAX_PREEMPTIONS` says otherwise. With two, nearly every fault of such code shows itself.
const PREEMPTIONS: usize = 3;

/// Tries what a model does in every order.
fn model(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound.get_or_insert(PREEMPTIONS);
    builder.check(model);
}

const OVERFLOWS: [Overflow; 4] = [
    Overflow::Block,
    Overflow::DropOldest,
    Overflow::DropNewest,
    Overflow::Latest,
];

/// Each kind of subscriber to whole numbers; a filter lets the even pass, a key is what is left
/// of one half.
fn kinds() -> Vec<SubscribeOptions<u64>> {
    let mut kinds: Vec<_> = OVERFLOWS.map(SubscribeOptions::from).into();
    kinds.push(SubscribeOptions::new().filter(|number: &u64| number.is_multiple_of(2)));
    kinds.push(SubscribeOptions::new().latest_by(2, |number| number % 2));
    kinds
}

fn publish(log: &Log<u64>, number: u64) {
    assert!(log.try_append(number.into()).is_ok(), "there is room");
}

fn poll<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// The next event, asleep until there is one.
fn receive(subscriber: &mut Subscriber<u64>) -> Option<u64> {
    loom::future::block_on(async { subscriber.recv().await.map(|number| *number) })
}

/// What is there, and whether there will never be more.
fn drain(subscriber: &mut Subscriber<u64>) -> (Vec<u64>, bool) {
    let mut numbers = Vec::new();
    loop {
        match subscriber.try_recv() {
            Ok(number) => numbers.push(*number),
            Err(nothing) => return (numbers, nothing == TryReceiveError::Closed),
        }
    }
}
