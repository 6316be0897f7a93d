//! Booking a trip takes three bookings with three companies. The flight and the hotel can be
//! booked at once; the car waits for both. When the car cannot be had, nobody wants to keep the
//! rest: what was booked is to be cancelled again, the last first.
//!
//! Run it with `cargo run -p coord-workflow --example trip`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::LocalBus;
use coord_bus::time::sleep;
use coord_workflow::{Retry, StepError, StepState, Workflow, WorkflowOrchestrator};

struct Booking {
    what: &'static str,
    number: u32,
}

async fn book(what: &'static str, number: u32, takes: u64) -> Result<Booking, StepError> {
    sleep(Duration::from_millis(takes)).await;
    println!("booked {what} #{number}");
    Ok(Booking { what, number })
}

async fn cancel(booking: Arc<Booking>) -> Result<(), StepError> {
    println!("cancelled {} #{}", booking.what, booking.number);
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut workflow = Workflow::builder("trip");
    let flight = workflow
        .step("flight")
        .compensate(cancel)
        .run(|| book("flight", 17, 20));
    let hotel = workflow
        .step("hotel")
        .compensate(cancel)
        .run(|| book("hotel", 4, 40));
    workflow
        .step("car")
        .input((flight, hotel))
        .retry(Retry::constant(Duration::from_millis(50)).max_attempts(2))
        .run(|(flight, hotel): (Arc<Booking>, Arc<Booking>)| async move {
            println!(
                "asking for a car, for #{} and #{}",
                flight.number, hotel.number
            );
            Err::<Booking, _>(StepError::message("no car is left"))
        });
    let workflow = workflow.build()?;

    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new())?;
    let outcome = orchestrator.execute_workflow(&workflow, ()).await?;
    println!("\n{} {}", outcome.workflow, outcome.status);
    for step in outcome.steps() {
        let state = match step.state {
            StepState::Failed(error) => format!("failed after {} attempts: {error}", step.attempts),
            state => format!("{state:?}, then {:?}", step.compensation),
        };
        println!("  {:6} {state}", step.id);
    }
    Ok(())
}
