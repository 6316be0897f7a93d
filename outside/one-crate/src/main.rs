//! A flow, by a program that has no more of this project than flows.

use std::error::Error;
use std::sync::Arc;

use coord_bus::{BusExt, LocalBus, Topic};
use coord_flow::{EventChoreographer, EventFlow};

const NUMBERS: Topic<u32> = Topic::new("numbers");
const WORDS: Topic<String> = Topic::new("words");

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(async {
        let bus = Arc::new(LocalBus::new());
        let choreographer = EventChoreographer::new(bus.clone())?;
        choreographer.add_event_flow(EventFlow::from(&NUMBERS).map(u32::to_string).to(&WORDS))?;
        let mut words = bus.subscribe(&WORDS)?;
        bus.publisher(&NUMBERS)?.publish(7).await?;
        let word = words.recv().await.ok_or("the bus is closed")?;
        assert_eq!(*word, "7");
        Ok(())
    })
}
