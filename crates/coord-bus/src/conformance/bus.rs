//! What every bus must do, whether it keeps events in this process or sends them away.
//!
//! Each behaviour gets a bus of its own, without topics.

mod delivery;
mod room;
mod overflow;
mod pattern;
mod closing;
mod opening;
mod retain;
mod groups;
mod requests;
mod responders;

pub use closing::*;
pub use delivery::*;
pub use groups::*;
pub use opening::*;
pub use overflow::*;
pub use pattern::*;
pub use requests::*;
pub use responders::*;
pub use retain::*;
pub use room::*;

use crate::{Publisher, Subscriber, Topic};

/// Numbers, so that every loss and every double shows.
const NUMBERS: Topic<u64> = Topic::new("conformance.numbers");

/// Small enough that every topic is soon full.
const CAPACITY: usize = 4;

/// No bus may keep more than this of a topic of [`CAPACITY`].
const FAR_TOO_MANY: u64 = 1000;

async fn publish_all(publisher: &Publisher<u64>, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        let published = super::in_time(publisher.publish(number)).await;
        published.expect("the topic is open");
    }
}

async fn next(subscriber: &mut Subscriber<u64>) -> Option<u64> {
    super::in_time(subscriber.recv())
        .await
        .map(|number| *number)
}

/// Receives this many numbers.
async fn receive(subscriber: &mut Subscriber<u64>, count: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let number = next(subscriber).await;
        numbers.push(number.expect("the topic is open"));
    }
    numbers
}

/// Receives until the topic is closed.
async fn receive_rest(subscriber: &mut Subscriber<u64>) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some(number) = next(subscriber).await {
        numbers.push(number);
    }
    numbers
}
