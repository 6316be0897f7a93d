//! A shop that asks an unreliable price service, through one policy.
//!
//! What is slow is cut off, what fails is tried again, and when most of it fails the circuit opens: the
//! service is left alone, and customers see the last known price. After a while a few calls find out
//! that it is well again. The policy prints its own order, and what it does is told as it happens.
//!
//! ```console
//! $ cargo run -p coord-recovery --example policy
//! ```

#![expect(clippy::print_stdout, reason = "it shows a person what it does")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use coord_bus::Failure;
use coord_bus::time::{Instant, sleep};
use coord_recovery::policy::{
    BreakerEvent, Bulkhead, CircuitBreaker, Policy, Retry, SlidingWindow,
};

/// What customers see where there is no price.
const LAST_KNOWN: u32 = 999;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let breaker = CircuitBreaker::builder("prices")
        .sliding_window(SlidingWindow::Count(6))
        .wait_duration_in_open_state(Duration::from_millis(500))
        .permitted_number_of_calls_in_half_open_state(2)
        .build()?;
    let began = Instant::now();
    breaker.listen(move |event| {
        if let BreakerEvent::Transition { from, to } = event {
            println!(
                "{:5.2} s  the circuit goes from {from} to {to}",
                began.elapsed().as_secs_f64()
            );
        }
    });

    // The first is the outermost: each attempt asks the breaker, and has its own time.
    let policy: Policy<u32, Failure> = Policy::builder("price")
        .fallback_value(LAST_KNOWN)
        .retry(Retry::constant(Duration::from_millis(20)).max_attempts(2))
        .circuit_breaker(breaker)
        .timeout(Duration::from_millis(50))
        .bulkhead(Bulkhead::new(4)?)
        .build()?;
    println!("{policy}\n");

    let service = Prices::default();
    for call in 1..=24 {
        let price = policy.run(|| service.ask()).await;
        let price = price.map_err(|error| error.to_string())?;
        let note = if price == LAST_KNOWN {
            ", the last known one"
        } else {
            ""
        };
        println!(
            "{:5.2} s  call {call:2}: {price}{note}",
            began.elapsed().as_secs_f64()
        );
        sleep(Duration::from_millis(60)).await;
    }
    Ok(())
}

/// It is slow for a while, then fails for a while, and then is well again.
#[derive(Default)]
struct Prices {
    asked: AtomicU32,
}

impl Prices {
    async fn ask(&self) -> Result<u32, Failure> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        match asked {
            3 | 4 => sleep(Duration::from_secs(1)).await,
            5..=8 => return Err(Failure::message("503")),
            _ => sleep(Duration::from_millis(5)).await,
        }
        Ok(1000 + asked)
    }
}
