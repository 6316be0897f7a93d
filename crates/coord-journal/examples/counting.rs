//! A long piece of work has to go on where it was, however it was ended: by Ctrl-C, by `kill -9`, or
//! by a loss of power. Here it is counting to thirty, one every 200 ms.
//!
//! Run it, kill it in the middle, and run it again; or run it twice at the same time: the second one
//! waits, and goes on where the first was killed.
#![expect(clippy::print_stdout, reason = "a program whose output is its point")]

use std::error::Error;
use std::time::Duration;

use coord_bus::{AppendTo, EventLog, ExpectedVersion, Lease, LeaseExt, Record, time};
use coord_journal::{Journal, Retention};

const TTL: Duration = Duration::from_secs(2);
const GOAL: u64 = 30;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args_os().nth(1).map_or_else(
        || std::env::temp_dir().join("coord-counting"),
        std::path::PathBuf::from,
    );
    let journal = Journal::open(&dir)?;
    let holder = format!("process {}", std::process::id());
    if let Some(held) = journal.current("counting").await? {
        println!(
            "{} counts, or was killed less than 2 s ago: waiting",
            held.by
        );
    }
    let grant = journal.acquire_when_free("counting", &holder, TTL).await?;
    // Renewed while it counts. Were it lost all the same, the fence would refuse what is appended.
    let counting = journal.hold(grant.clone(), TTL, async {
        let counted = journal.read("count", 1, usize::MAX).await?.len() as u64;
        println!("counting in {} from {}", dir.display(), counted + 1);
        for number in counted + 1..=GOAL {
            time::sleep(Duration::from_millis(200)).await;
            let mut append = AppendTo::stream("count")
                .expecting(ExpectedVersion::Exactly(number - 1))
                .fenced_by(&grant)
                .record(Record::new("counted", number.to_string()));
            append.closes = number == GOAL;
            journal.append(append).await?;
            println!("{number}");
        }
        Ok::<_, Box<dyn Error + Send + Sync>>(())
    });
    counting.await?.map_err(|error| error as Box<dyn Error>)?;
    println!("done; the next run begins anew");
    journal.retain(Retention::all().keep_newest(0)).await?;
    Ok(())
}
