//! The task that writes what happens in a run into its stream, and reads there what others say to it.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::timeout;
use coord_bus::{AppendTo, Backoff, EventLog, EventLogError, ExpectedVersion};

use super::recorder::Batch;
use super::{End, Shared};
use crate::records;
use crate::so_far::Standing;

/// How long a journal that is busy is left alone before the same is appended again.
pub(super) const BUSY: Backoff =
    Backoff::exponential(Duration::from_millis(100)).max(Duration::from_secs(5));

/// How many records of others are read at once.
const PAGE: usize = 100;

/// Writes what happens in a run into its stream, of which this is known, until the run has
/// finished.
pub(super) async fn write(run: Arc<Shared>, log: Arc<dyn EventLog>, from: Standing) {
    let stream = records::stream(run.id.as_str());
    let mut writer = Writer {
        run: &run,
        log: &*log,
        stream,
        at: from,
    };
    while let Some(batch) = run.next_to_write().await {
        let closes = batch.closes;
        if let Err(end) = writer.write(batch).await {
            return run.end_recording(end);
        }
        if closes {
            return;
        }
    }
}

struct Writer<'w> {
    run: &'w Arc<Shared>,
    log: &'w dyn EventLog,
    stream: String,
    /// Where the stream is, as far as it is known here.
    at: Standing,
}

impl Writer<'_> {
    async fn write(&mut self, batch: Batch) -> Result<(), End> {
        if batch.has_news {
            self.catch_up().await?;
        }
        if batch.records.is_empty() {
            return Ok(());
        }
        let mut refused = 0;
        loop {
            let mut records = batch.records.clone();
            let after = self.at.after(&records);
            if !batch.closes {
                batch.so_far.clone().say(&mut records, self.at, self.log);
            }
            let mut append = AppendTo::stream(&self.stream)
                .expecting(ExpectedVersion::Exactly(self.at.version))
                .records(records)
                .durably(batch.durability);
            if batch.closes {
                append = append.closing();
            }
            if batch.is_alone {
                append = append.alone();
            }
            match self.log.append(append).await {
                Ok(_) => {
                    self.at = after;
                    self.run.kept(batch.until);
                    return Ok(());
                }
                // The run was told something meanwhile, or is not ours any more.
                Err(EventLogError::WrongVersion { actual, .. }) if actual > self.at.version => {
                    self.catch_up().await?;
                }
                Err(error) => self.wait_for(error, &mut refused).await?,
            }
        }
    }

    /// Where the journal is busy, waits until it is to be asked once more. Nothing was written, so nothing is lost, as
    /// long as the run is ours.
    async fn wait_for(&self, refusal: EventLogError, refused: &mut u32) -> Result<(), End> {
        let EventLogError::Busy { .. } = refusal else {
            return Err(End::unrecorded(refusal));
        };
        if self.run.suspend.is_cancelled() {
            return Err(End::unrecorded(refusal));
        }
        *refused += 1;
        let wait = timeout(BUSY.delay(*refused), self.run.suspend.cancelled());
        let _ = wait.await;
        Ok(())
    }

    /// Reads what others have appended: commands, or that somebody has claimed the run.
    async fn catch_up(&mut self) -> Result<(), End> {
        let mut refused = 0;
        loop {
            let page = self.log.read(&self.stream, self.at.version + 1, PAGE).await;
            let page = match page {
                Ok(page) => page,
                Err(error) => {
                    self.wait_for(error, &mut refused).await?;
                    continue;
                }
            };
            let is_last = page.len() < PAGE;
            for stored in page {
                if stored.record.kind != records::COMMAND {
                    return Err(End::TakenOver);
                }
                self.at.version = stored.version;
                // One that is not understood is of a later version, and meant for that.
                if let Ok(command) = records::command(&stored.record.payload) {
                    self.at.hear(Some(&command));
                    self.run.follow(command);
                }
            }
            if is_last {
                return Ok(());
            }
        }
    }
}
