//! The bell of an orchestrator: the stream in which those who told its runs something say which runs.
//!
//! Who rings leaves it open, so that nothing in it is forgotten before it is heard; who has heard all closes it,
//! so that it may be forgotten like any stream that is over. Then it begins anew, and a tail does not say so: it
//! waits for more than the stream had. So it is looked now and then whether that is still the one that is
//! followed.
//!
//! One that was rung and not heard, as its orchestrator was killed in that moment, stays open until another
//! orchestrator begins: that closes those of whom nobody holds the lease any more.

use std::convert::Infallible;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use coord_bus::time::{Instant, timeout, timeout_at};
use coord_bus::{
    AppendTo, Durability, EventLog, EventLogError, ExpectedVersion, Lease, Record, StoredRecord,
    StreamOrder, StreamQuery, Tail, Timestamp,
};

use crate::live_runs::LiveRuns;
use crate::streams::{before, find};
use crate::{RunId, records};

/// For how long nothing is heard at most where the bell has begun anew, or could not be followed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// That a run was told something: its id.
const NEWS: &str = "news";
/// That all before was heard.
const HEARD: &str = "heard";

/// Lets the orchestrator that has this lease know that one of its runs was told something.
pub(crate) async fn ring(
    log: &dyn EventLog,
    lease: &str,
    run: &RunId,
) -> Result<(), EventLogError> {
    let ring = AppendTo::stream(records::bell(lease))
        .record(Record::new(NEWS, run.as_str()))
        .durably(Durability::Process);
    log.append(ring).await.map(drop)
}

/// Closes the bells of those who are gone: nobody is going to hear them.
///
/// One whose lease has only run out, as its process stood still, hears what is in its runs when it acquires it anew.
pub(crate) async fn close_left(log: &dyn EventLog, leases: &dyn Lease) {
    let mut query = StreamQuery::by_name().open();
    query.order = StreamOrder::Name {
        after: Some(before(records::BELLS)),
    };
    // Where the journal has failed, the runs hear of that when they write.
    while let Ok(page) = log.streams(&query).await {
        let Some(last) = page.last() else { return };
        query = query.after(last);
        for bell in &page {
            let Some(lease) = bell.name.strip_prefix(records::BELLS) else {
                return;
            };
            if let Ok(None) = leases.current(lease).await {
                close(log, &bell.name, bell.version).await;
            }
        }
    }
}

/// Closes a bell, if it was not rung since this version. If it is not closed, it is after the next.
async fn close(log: &dyn EventLog, bell: &str, heard: u64) {
    let close = AppendTo::stream(bell)
        .expecting(ExpectedVersion::Exactly(heard))
        .record(Record::new(HEARD, ""))
        .closing()
        .durably(Durability::Process);
    let _ = log.append(close).await;
}

/// Hears of runs that were told something by others.
pub(crate) async fn listen(log: &dyn EventLog, lease: &str, runs: &LiveRuns) -> Infallible {
    let mut listener = Listener {
        log,
        bell: records::bell(lease),
        runs,
        tail: None,
        followed: None,
        heard: None,
    };
    loop {
        listener.look().await;
        let until = Instant::now() + LOOK_EVERY;
        while let Ok(heard) = timeout_at(until, listener.next()).await {
            match heard {
                Some(stored) => listener.hear(&stored),
                None => listener.close().await,
            }
        }
    }
}

/// Which one of those that had the name one after another: by its number and by when it was rung first, as the number
/// of one that was forgotten may come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bell {
    number: u64,
    since: Timestamp,
}

struct Listener<'l> {
    log: &'l dyn EventLog,
    bell: String,
    runs: &'l LiveRuns,
    /// `None`: it cannot be followed.
    tail: Option<Tail>,
    /// Which stream is followed, if there was one.
    followed: Option<Bell>,
    /// The version up to which it was heard and not closed.
    heard: Option<u64>,
}

impl Listener<'_> {
    /// Sees to it that it is followed. Where the journal has failed, the runs hear of that when they write.
    async fn look(&mut self) {
        let Ok(Ok(found)) = timeout(LOOK_EVERY, self.found()).await else {
            return;
        };
        if found != self.followed || self.tail.is_none() {
            self.followed = found;
            // What is heard twice does no harm.
            self.tail = self.log.tail(&self.bell, 1).ok();
            self.heard = None;
        }
    }

    async fn found(&mut self) -> Result<Option<Bell>, EventLogError> {
        let Some(found) = find(self.log, &self.bell).await? else {
            return Ok(None);
        };
        let first = self.log.read(&self.bell, 1, 1).await?.into_iter().next();
        Ok(first.map(|first| Bell {
            number: found.number,
            since: first.at,
        }))
    }

    /// The next of what is said. `None`: all that has been said is heard.
    async fn next(&mut self) -> Option<StoredRecord> {
        poll_fn(|cx| {
            let Some(tail) = &mut self.tail else {
                return Poll::Pending;
            };
            match tail.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(stored))) => Poll::Ready(Some(stored)),
                Poll::Ready(_) => {
                    self.tail = None;
                    Poll::Pending
                }
                Poll::Pending if self.heard.is_some() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    fn hear(&mut self, stored: &StoredRecord) {
        if stored.record.kind == HEARD {
            self.heard = None;
            return;
        }
        self.heard = Some(stored.version);
        let run = str::from_utf8(&stored.record.payload).unwrap_or_default();
        if let Ok(run) = RunId::named(run) {
            self.runs.has_news(&run);
        }
    }

    /// It may be forgotten, unless it was rung again.
    async fn close(&mut self) {
        if let Some(heard) = self.heard.take() {
            close(self.log, &self.bell, heard).await;
        }
    }
}
