//! What a durable run does is written down before it takes effect.
//!
//! A fact is applied at once, and its record goes to the end of what is [pending](Recorder), both
//! under the run's lock: so the records are in the order of the facts. What may begin because of a
//! fact is held until its record is kept. One task a run [writes](write) whatever is pending, as one
//! append: facts that come while it writes are in the next.
//!
//! How much is pending has a bound: the steps that are under way, and those that were ready, say a
//! few words each, and nothing else begins meanwhile.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use coord_bus::time::timeout;
use coord_bus::{AppendTo, Durability, EventLog, EventLogError, ExpectedVersion, Record};

use super::Shared;
use crate::course::Fact;
use crate::outcome::Status;
use crate::plan::Plan;
use crate::records;
use crate::run::End;

/// How long what is only worth knowing waits for something that has to be on the disk. So an
/// attempt that ends at once costs one append with its start, and one that takes its time is seen.
const LINGER: Duration = Duration::from_millis(5);

/// What is to be written, and what waits for it. Plain data, a part of the queue.
pub(super) struct Recorder {
    pending: Vec<Record>,
    /// How many records there are, …
    told: u64,
    /// … and how many of them are kept.
    kept: u64,
    /// Whether something waits for what is pending.
    is_urgent: bool,
    /// Whether the last record of all is among what was told.
    is_finished: bool,
    /// Steps that may begin once that many records are kept.
    held: VecDeque<(u64, usize)>,
    /// Who writes, while there is nothing to write, or nothing urgent.
    writer: Option<Waker>,
    /// Those who wait until all is kept.
    waiting: Vec<Waker>,
    /// Why nothing more is written, once that is so.
    end: Option<End>,
    is_abandoned: bool,
}

/// Some records, to be appended together.
struct Batch {
    records: Vec<Record>,
    until: u64,
    durability: Durability,
    closes: bool,
}

impl Recorder {
    pub(super) fn new() -> Self {
        Self {
            pending: Vec::new(),
            told: 0,
            kept: 0,
            is_urgent: false,
            is_finished: false,
            held: VecDeque::new(),
            writer: None,
            waiting: Vec::new(),
            end: None,
            is_abandoned: false,
        }
    }

    /// Something happens. `status` is how the run ends, as far as that is known.
    pub(super) fn push(&mut self, plan: &Plan, fact: &Fact, status: Status) {
        match records::write(plan, fact, status) {
            Ok(record) => self.pending.push(record),
            Err(fault) => {
                let source = Box::new(fault);
                let end = End::unrecorded(EventLogError::Failed { source });
                self.end.get_or_insert(end);
            }
        }
        self.told += 1;
        // That an attempt began, or is made again, makes nothing begin that was not to anyway.
        let is_only_said = matches!(fact, Fact::Started { .. } | Fact::AttemptFailed { .. });
        self.is_urgent |= !is_only_said;
        self.is_finished |= matches!(fact, Fact::Finished { .. });
    }

    /// A step may begin once everything so far is kept.
    pub(super) fn hold(&mut self, step: usize) {
        self.held.push_back((self.told, step));
    }

    pub(super) fn kept(&mut self, until: u64, mut ready: impl FnMut(usize)) {
        self.kept = until;
        while let Some(&(needs, step)) = self.held.front()
            && needs <= until
        {
            self.held.pop_front();
            ready(step);
        }
    }

    /// Who is to be woken, to write: where something is urgent, or else if there is time for it.
    pub(super) fn call_writer(&mut self, has_time: bool) -> Option<Waker> {
        let is_called = self.is_urgent || (has_time && !self.pending.is_empty());
        self.writer.take_if(|_| is_called)
    }

    /// Nothing is written any more.
    pub(super) fn abandon(&mut self) -> Option<Waker> {
        self.is_abandoned = true;
        self.writer.take()
    }

    fn next(&mut self) -> Batch {
        Batch {
            records: std::mem::take(&mut self.pending),
            until: self.told,
            durability: match std::mem::take(&mut self.is_urgent) {
                true => Durability::Disk,
                false => Durability::Process,
            },
            closes: self.is_finished,
        }
    }

    /// Whether nobody needs a writer any more.
    fn is_over(&self) -> bool {
        self.is_abandoned || self.end.is_some()
    }
}

impl Shared {
    /// Waits until all that has happened so far is kept.
    ///
    /// # Errors
    ///
    /// Why it never will be.
    pub(super) async fn settled(&self) -> Result<(), End> {
        let mut until = None;
        poll_fn(|cx| {
            let mut queue = self.queue();
            let Some(recorder) = &mut queue.recorder else {
                return Poll::Ready(Ok(()));
            };
            let until = *until.get_or_insert(recorder.told);
            if recorder.kept >= until {
                return Poll::Ready(Ok(()));
            }
            if let Some(end) = &recorder.end {
                return Poll::Ready(Err(end.clone()));
            }
            recorder.waiting.push(cx.waker().clone());
            let writer = recorder.call_writer(true);
            drop(queue);
            writer.into_iter().for_each(Waker::wake);
            Poll::Pending
        })
        .await
    }

    /// The run cannot be written any more: it is left as it is.
    pub(crate) fn end_recording(&self, end: End) {
        let mut queue = self.queue();
        let Some(recorder) = &mut queue.recorder else {
            return;
        };
        recorder.end.get_or_insert(end);
        let mut wakers = std::mem::take(&mut recorder.waiting);
        wakers.extend(recorder.writer.take());
        drop(queue);
        wakers.into_iter().for_each(Waker::wake);
        self.suspend.cancel();
    }

    /// Records up to this one are kept: what waits for that goes on.
    fn kept(&self, until: u64) {
        let mut queue = self.queue();
        queue.kept(until);
        let mut wakers = Vec::new();
        if let Some(recorder) = &mut queue.recorder {
            wakers = std::mem::take(&mut recorder.waiting);
        }
        if queue.has_next() {
            wakers.extend(queue.idle.pop());
        }
        drop(queue);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Until there is something to write, and somebody waits for it; `None` once there never will
    /// be.
    async fn next_to_write(&self) -> Option<Batch> {
        let urgent = |cx: &Context<'_>, or_any: bool| {
            let mut queue = self.queue();
            let Some(recorder) = &mut queue.recorder else {
                return Poll::Ready(None);
            };
            if recorder.is_over() {
                return Poll::Ready(None);
            }
            if recorder.is_urgent || (or_any && !recorder.pending.is_empty()) {
                return Poll::Ready(Some(()));
            }
            let before = recorder.writer.replace(cx.waker().clone());
            drop(queue);
            drop(before);
            Poll::Pending
        };
        poll_fn(|cx| urgent(cx, true)).await?;
        if let Ok(over) = timeout(LINGER, poll_fn(|cx| urgent(cx, false))).await {
            over?;
        }
        let mut queue = self.queue();
        queue.recorder.as_mut().map(|recorder| recorder.next())
    }
}

/// Writes what happens in a run into its stream, which is at this version, until the run has
/// finished.
pub(super) async fn write(run: Arc<Shared>, log: Arc<dyn EventLog>, mut version: u64) {
    let stream = records::stream(run.id.as_str());
    while let Some(batch) = run.next_to_write().await {
        let mut append = AppendTo::stream(&stream)
            .expecting(ExpectedVersion::Exactly(version))
            .records(batch.records)
            .durably(batch.durability);
        if batch.closes {
            append = append.closing();
        }
        match log.append(append).await {
            Ok(appended) => {
                version = appended.version;
                run.kept(batch.until);
            }
            Err(EventLogError::WrongVersion { .. }) => return run.end_recording(End::TakenOver),
            Err(error) => return run.end_recording(End::unrecorded(error)),
        }
        if batch.closes {
            return;
        }
    }
}
