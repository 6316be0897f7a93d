//! A flow. It needs the feature `event-flows`.
// without: the item is gated behind the `event-flows` feature

use coordination::bus::Topic;
use coordination::flow::EventFlow;

const NUMBERS: Topic<u32> = Topic::new("numbers");
const DOUBLED: Topic<u32> = Topic::new("doubled");

fn main() {
    let flow = EventFlow::from(&NUMBERS).map(|number| number * 2).to(&DOUBLED);
    assert_eq!(flow.name(), "numbers → doubled");
}
