//! Orders that have to be shipped, and customers who want to hear of it.
//!
//! A shop publishes its orders. The warehouse wants what is paid for, as parcels; the mailer wants
//! a line for every customer; and each order that waits for a payment must not be forgotten. None
//! of them should know the others, and none may lose an order: if the printer of labels is slow,
//! the shop has to take its orders more slowly.
//!
//! Three flows say who is told what. When the shop closes, they are drained before anybody goes
//! home, and say what they have done. One order is broken, and costs nobody else anything.

#![expect(clippy::print_stdout, reason = "it shows a person what it does")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::vocabulary::ERROR_DETECTED;
use coord_bus::{Bus, BusExt, Envelope, LocalBus, Subscriber, TaskScope, Topic, time};
use coord_flow::{EventChoreographer, EventFlow};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    number: u64,
    customer: String,
    items: Vec<String>,
    paid: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Parcel {
    order: u64,
    label: String,
}

const ORDERS: Topic<Order> = Topic::new("orders").capacity(8);
const PARCELS: Topic<Parcel> = Topic::new("shipping.parcels").capacity(2);
const MAILS: Topic<String> = Topic::new("mail.outgoing");
const REMINDERS: Topic<u64> = Topic::new("accounting.reminders");

fn flows() -> [EventFlow; 3] {
    [
        EventFlow::from(&ORDERS)
            .filter(|order| order.paid)
            .map(|order| Parcel {
                order: order.number,
                label: format!("{} for {}", order.items[0], order.customer),
            })
            .to(&PARCELS)
            .named("ship"),
        EventFlow::from(&ORDERS)
            .map(|order| {
                format!(
                    "Dear {}, thank you for order {}.",
                    order.customer, order.number
                )
            })
            .to(&MAILS)
            .named("thank"),
        EventFlow::from(&ORDERS)
            .filter_map(|order| (!order.paid).then_some(order.number))
            .to(&REMINDERS)
            .named("remind"),
    ]
}

/// Prints what comes through a topic, at its own pace.
async fn show<E: std::fmt::Debug>(mut events: Subscriber<E>, pace: Duration) {
    while let Some(event) = events.recv().await {
        let order = event.meta().correlation_id().unwrap_or("?").to_owned();
        println!(
            "{:<22} {order:<8} {:?}",
            event.meta().topic(),
            event.event()
        );
        time::sleep(pace).await;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let bus = Arc::new(LocalBus::new());
    let choreographer = EventChoreographer::new(bus.clone())?;
    for flow in flows() {
        choreographer.add_event_flow(flow)?;
    }
    let desks = TaskScope::new("desks");
    let slow = Duration::from_millis(20);
    desks.spawn("warehouse", show(bus.subscribe(&PARCELS)?, slow));
    desks.spawn("mailer", show(bus.subscribe(&MAILS)?, Duration::ZERO));
    desks.spawn(
        "accounting",
        show(bus.subscribe(&REMINDERS)?, Duration::ZERO),
    );
    let mut errors = bus.subscribe(&ERROR_DETECTED)?;

    let orders = bus.publisher(&ORDERS)?;
    for (number, customer) in (1..).zip(["Ada", "Grace", "Edsger", "Barbara", "Tony"]) {
        let order = Order {
            number,
            customer: customer.to_owned(),
            // Grace ordered nothing, which nobody has thought of.
            items: vec!["book".to_owned(); usize::from(number != 2)],
            paid: number % 3 != 0,
        };
        let envelope = Envelope::new(order).correlation_id(format!("order-{number}"));
        orders.publish_with(envelope).await?;
    }

    let report = choreographer.shutdown(Duration::from_secs(5)).await;
    let _ = bus.drain(Duration::from_secs(5)).await;
    let _ = desks.shutdown(Duration::from_secs(5)).await;
    while let Some(error) = errors.recv().await {
        println!("{}: {}: {}", error.source, error.kind, error.message);
    }
    for flow in &report.flows {
        println!("{:<7} {:?}", flow.name, flow.stats);
    }
    println!("{report}");
    Ok(())
}
