//! Every reading counts, and a display that cannot keep up.
//!
//! Four meters report what they measure, together some hundred thousand times a second. Two parts
//! of the program listen. The bill must count every reading: if it falls behind, the meters have
//! to wait for it. The display shows a person how things stand, a few times a second: it must
//! never make anybody wait, may miss what it likes, but should say how much that was.
//!
//! On one topic, each of them says what it needs when it subscribes. Neither knows of the other,
//! and the meters know of neither.

#![expect(clippy::print_stdout, reason = "it shows a person what it does")]

use std::error::Error;
use std::time::Duration;

use coord_bus::{
    Bus, BusExt, LocalBus, Overflow, Publisher, Subscriber, TaskScope, Topic, TryReceiveError, time,
};

struct Reading {
    meter: u64,
    watts: u64,
}

const READINGS: Topic<Reading> = Topic::in_process("meter.readings").capacity(256);

const METERS: u64 = 4;
const ROUNDS: u64 = 200;
const READINGS_A_ROUND: u64 = 100;

async fn measure(meter: u64, publisher: Publisher<Reading>) {
    let mut rounds = time::interval(Duration::from_millis(1));
    for round in 0..ROUNDS {
        rounds.tick().await;
        for reading in 0..READINGS_A_ROUND {
            let watts = 100 * meter + (round + reading) % 100;
            // Refused only once the bus is closed: then there is nobody left to measure for.
            if publisher.publish(Reading { meter, watts }).await.is_err() {
                return;
            }
        }
    }
}

/// How many readings there were, and their sum.
async fn bill(mut readings: Subscriber<Reading>) -> (u64, u64) {
    let (mut count, mut sum) = (0, 0);
    while let Some(reading) = readings.recv().await {
        count += 1;
        sum += reading.watts;
    }
    (count, sum)
}

/// How many readings it saw, and how many it missed.
async fn display(mut readings: Subscriber<Reading>) -> (u64, u64) {
    let (mut seen, mut missed) = (0, 0);
    let mut glances = time::interval(Duration::from_millis(50));
    loop {
        glances.tick().await;
        let mut latest = None;
        loop {
            match readings.try_recv() {
                Ok(reading) => {
                    seen += 1;
                    missed += reading.lag();
                    latest = Some((reading.meter, reading.watts));
                }
                Err(TryReceiveError::Empty) => break,
                Err(TryReceiveError::Closed) => return (seen, missed),
            }
        }
        if let Some((meter, watts)) = latest {
            println!("meter {meter}: {watts} W (seen {seen}, missed {missed})");
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let bus = LocalBus::new();
    let bill = tokio::spawn(bill(bus.subscribe(&READINGS)?));
    let display = tokio::spawn(display(
        bus.subscribe_with(&READINGS, Overflow::DropOldest)?,
    ));

    let meters = TaskScope::new("meters");
    for meter in 1..=METERS {
        meters.spawn(
            format!("meter-{meter}"),
            measure(meter, bus.publisher(&READINGS)?),
        );
    }
    let report = meters.shutdown(Duration::from_secs(30)).await;
    println!("the meters are off: {report}");
    bus.close();

    let published = METERS * ROUNDS * READINGS_A_ROUND;
    let (count, sum) = bill.await?;
    println!(
        "the bill has {count} of {published} readings, {} W on average",
        sum / count
    );
    let (seen, missed) = display.await?;
    println!(
        "the display saw {seen} and missed {missed}, {} in all",
        seen + missed
    );
    Ok(())
}
