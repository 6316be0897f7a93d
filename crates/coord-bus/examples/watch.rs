//! What is going on in there?
//!
//! A small shop: orders come in, are packed, and the stock goes down; each part has topics and
//! types of its own. Somebody who looks into why an order is late wants to see everything that
//! passes over the bus, as it passes, without a change in any part and without knowing their
//! types; and then to see who talks to whom at all.
//!
//! The watcher subscribes to the pattern `>` before the parts start, so that it gets each topic as
//! it is opened, and prints every event as a line of JSON, which `jq` reads. It drops the oldest
//! events where it falls behind: looking on must never slow the shop.

#![expect(clippy::print_stdout, reason = "it shows a person what it does")]
#![expect(clippy::print_stderr, reason = "what is no event goes elsewhere")]

use std::error::Error;
use std::time::Duration;

use coord_bus::{
    AnyDelivery, Bus, BusExt, LocalBus, Overflow, PatternOptions, SubscribeOptions, Subscriber,
    TaskScope, Topic,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Serialize, Deserialize)]
struct Order {
    number: u64,
    article: String,
    count: u64,
}

const ORDERS: Topic<Order> = Topic::new("shop.orders");
const PACKED: Topic<u64> = Topic::new("shop.orders.packed");
const STOCK: Topic<u64> = Topic::new("stock.screws").retain(1);

/// Packs what is ordered, as long as there is something left.
async fn pack(bus: LocalBus, mut orders: Subscriber<Order>) -> Result<(), Box<dyn Error>> {
    let packed = bus.publisher(&PACKED)?;
    let stock = bus.publisher(&STOCK)?;
    let mut screws: u64 = 100;
    while let Some(order) = orders.recv().await {
        let cause = order.meta().cause();
        if let Some(left) = screws.checked_sub(order.count) {
            screws = left;
            cause.clone().run(stock.publish(screws)).await?;
            cause.run(packed.publish(order.number)).await?;
        }
    }
    Ok(())
}

/// One event as it is printed.
#[derive(Serialize)]
struct Line<'a> {
    topic: &'a str,
    sequence: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    #[serde(skip_serializing_if = "is_zero")]
    missed: u64,
    event: Value,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn line(event: &AnyDelivery) -> Result<String, Box<dyn Error>> {
    let line = Line {
        topic: event.topic(),
        sequence: event.meta().sequence(),
        cause: event.meta().causation_id(),
        missed: event.lag(),
        event: event.decode()?,
    };
    Ok(serde_json::to_string(&line)?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let bus = LocalBus::new();
    let options = PatternOptions::from(Overflow::DropOldest).named("watcher");
    let mut everything = bus.subscribe_pattern(">", options)?;

    let packing = SubscribeOptions::new().named("packing");
    let packing = pack(bus.clone(), bus.subscribe_with(&ORDERS, packing)?);
    let parts = TaskScope::new("shop");
    parts.spawn("packing", async move {
        if let Err(error) = packing.await {
            eprintln!("packing stopped: {error}");
        }
    });
    let orders = bus.publisher(&ORDERS)?;
    for (number, count) in [(1, 40), (2, 80), (3, 25)] {
        let article = "screws".to_owned();
        let order = Order {
            number,
            article,
            count,
        };
        orders.publish(order).await?;
    }

    // Three orders, and of each that can be packed what is left and that it is.
    for _ in 0..7 {
        let Some(event) = everything.recv().await else {
            break;
        };
        match line(&event) {
            Ok(line) => println!("{line}"),
            Err(error) => eprintln!("{}: {error}", event.meta().id()),
        }
    }
    println!("\n{}", bus.describe());
    println!("{}", bus.describe().to_mermaid());

    bus.close();
    parts.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
