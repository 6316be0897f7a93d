//! Goods are reserved, a card is charged, a parcel is sent. When it cannot be sent, the money goes back;
//! and when the machine dies between the bank's yes and our note of it, nobody pays twice.
//!
//! Start it, kill it with `kill -9` whenever you like, and start it again: what was done is not done
//! again, and what was under way is asked again with the same key, which the bank knows.
//!
//! Run it with `cargo run -p coordination --example payment_saga -- [ORDER [DIRECTORY]]`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::fs::{OpenOptions, read_to_string};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coordination::bus::LocalBus;
use coordination::bus::time::sleep;
use coordination::journal::Journal;
use coordination::workflow::{
    Durable, Retry, RunId, RunJournal, StepContext, StepError, Workflow, WorkflowOrchestrator,
};

/// A bank, as banks are: what has a key that it has seen is the payment that it has made.
#[derive(Clone)]
struct Bank(PathBuf);

impl Bank {
    fn book(&self, key: &str, what: &str) -> std::io::Result<bool> {
        let books = read_to_string(&self.0).unwrap_or_default();
        if books
            .lines()
            .any(|line| line.split(' ').next() == Some(key))
        {
            return Ok(false);
        }
        let mut books = OpenOptions::new().create(true).append(true).open(&self.0)?;
        writeln!(books, "{key} {what}")?;
        Ok(true)
    }
}

/// Says what it does, and takes its time, so that there is time to kill it.
async fn takes_time(what: &str) -> Result<(), StepError> {
    println!("{what}");
    sleep(Duration::from_millis(400)).await;
    Ok(())
}

async fn charge(bank: Bank, key: String) -> Result<String, StepError> {
    match bank.book(&key, "the customer pays 20")? {
        true => takes_time("charge: the bank has booked it").await?,
        false => println!("charge: the bank knows this payment"),
    }
    Ok(key)
}

fn order(bank: &Bank) -> Result<Workflow<(), Durable>, Box<dyn Error>> {
    let mut workflow = Workflow::durable("order");
    let reserve = workflow
        .step("reserve")
        .compensate(|_| takes_time("reserve: the goods are free again"))
        .run(|| takes_time("reserve: the goods are put aside"));
    let (payer, payee) = (bank.clone(), bank.clone());
    let charge = workflow
        .step("charge")
        .after(&reserve)
        .compensate(move |payment: Arc<String>| {
            let bank = payee.clone();
            async move {
                bank.book(&format!("{payment}-back"), "the customer gets 20 back")?;
                println!("charge: the money is back");
                Ok::<_, StepError>(())
            }
        })
        .run_with(move |context: StepContext| charge(payer.clone(), context.idempotency_key()));
    workflow
        .step("ship")
        .input(charge)
        .retry(Retry::constant(Duration::from_millis(10)).max_attempts(2))
        .run(async |_| {
            takes_time("ship: looking for a parcel service").await?;
            Err::<(), _>(StepError::message("no parcel service goes there"))
        });
    Ok(workflow.build()?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let order_number = arguments.next().unwrap_or_else(|| "order-17".to_owned());
    let directory = arguments.next().map_or_else(
        || std::env::temp_dir().join("coordination-payment-saga"),
        PathBuf::from,
    );
    run(RunId::named(order_number)?, &directory).await
}

async fn run(id: RunId, directory: &Path) -> Result<(), Box<dyn Error>> {
    let journal = RunJournal::of(Arc::new(Journal::open(directory)?));
    let orchestrator = WorkflowOrchestrator::builder(&LocalBus::new())
        .journal(journal)
        .build()?;
    let workflow = order(&Bank(directory.join("bank.txt")))?;

    // To start what has begun is to go on with it.
    let outcome = orchestrator
        .start_durable(&workflow, id, ())
        .await?
        .outcome()
        .await?;
    println!("{} has {}", outcome.run, outcome.status);
    print!("{}", read_to_string(directory.join("bank.txt"))?);
    orchestrator.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
