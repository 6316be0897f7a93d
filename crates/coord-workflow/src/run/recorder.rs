//! What a durable run does is written down before it takes effect.
//!
//! A fact is applied at once, and its record goes to the end of what is [pending](Recorder), both
//! under the run's lock: so the records are in the order of the facts. What may begin because of a
//! fact is held until its record is kept. One task a run [writes](super::writer) whatever is pending, as one
//! append: facts that come while it writes are in the next, and what nothing waits for lingers for others.
//!
//! How much is pending has a bound: the steps that are under way, and those that were ready, say a
//! few words each, and nothing else begins meanwhile.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use coord_bus::time::timeout;
use coord_bus::{CancellationToken, Durability, EventLogError, Record, Timestamp};

use super::Shared;
use crate::course::{Course, Fact};
use crate::ownership::{Held, Known};
use crate::plan::Plan;
use crate::records::{self, OWNER_RENEWED};
use crate::run::End;
use crate::so_far::SoFar;
use crate::{Command, MAX_SIGNALS, RecordFault, WorkflowError};

/// How long what nothing waits for is left for others to join: that an attempt began, and that a step is
/// done which lets none begin. So an attempt that ends at once costs one append with its start, one that takes
/// its time is seen, and independent steps that end one after the other share a sync.
const LINGER: Duration = Duration::from_millis(5);

/// What is to be written, and what waits for it. Plain data, a part of the queue.
pub(super) struct Recorder {
    /// When the run began.
    started_at: Timestamp,
    pending: Vec<Record>,
    /// How many records there are, …
    told: u64,
    /// … and how many of them are kept.
    kept: u64,
    /// Whether something waits for what is pending.
    is_urgent: bool,
    /// Whether it has to be on the disk.
    durability: Durability,
    /// Whether the last record of all is among what was told.
    is_finished: bool,
    /// What the run was told in this process and is to do once that many records are kept.
    commands: VecDeque<(u64, Command)>,
    /// Steps that may begin once that many records are kept.
    held: VecDeque<(u64, usize)>,
    /// Whether somebody else has appended to the stream.
    has_news: bool,
    /// Who writes, while there is nothing to write, or nothing urgent.
    writer: Option<Waker>,
    /// Whether it knows that something is pending, and waits for what is urgent.
    lingers: bool,
    /// Those who wait until all is kept.
    waiting: Vec<Waker>,
    /// Why nothing more is written, once that is so.
    end: Option<End>,
    /// Why the run is left as it is, where that is not because its orchestrator is shut down.
    leaving: Option<End>,
    /// Until when the lease holds under which the run is kept.
    known: Arc<Known>,
    /// The same of the one under which it is once that many records are kept.
    anew: Option<(u64, Arc<Known>)>,
    /// Cancelled once the run may be somebody else's.
    lost: CancellationToken,
}

/// Some records, to be appended together.
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    /// How far the run has come with them.
    pub(super) so_far: SoFar,
    /// How many have been told by then.
    pub(super) until: u64,
    pub(super) durability: Durability,
    /// Whether they end the run.
    pub(super) closes: bool,
    /// Whether there is something to read.
    pub(super) has_news: bool,
    /// Whether nothing in the run can be done before it is kept.
    pub(super) is_alone: bool,
}

impl Recorder {
    pub(super) fn new(started_at: Timestamp, known: Arc<Known>) -> Self {
        Self {
            started_at,
            pending: Vec::new(),
            told: 0,
            kept: 0,
            is_urgent: false,
            durability: Durability::Process,
            is_finished: false,
            commands: VecDeque::new(),
            held: VecDeque::new(),
            has_news: false,
            writer: None,
            lingers: false,
            waiting: Vec::new(),
            end: None,
            leaving: None,
            known,
            anew: None,
            lost: CancellationToken::new(),
        }
    }

    /// Something happens in a run that has come this far.
    pub(super) fn push(&mut self, plan: &Plan, fact: &Fact, course: &Course) {
        match records::write(plan, fact, course, self.started_at) {
            Ok(record) => self.pending.push(record),
            Err(fault) => self.cannot_write(fault),
        }
        self.told += 1;
        match fact {
            // That an attempt began, or is made again, makes nothing begin that was not to anyway.
            Fact::Started { .. } | Fact::AttemptFailed { .. } | Fact::UndoAttemptFailed { .. } => {}
            // As urgent as what it lets begin, which an item of a list never does.
            Fact::Completed { .. } | Fact::PartCompleted { .. } => {
                self.durability = Durability::Disk;
            }
            _ => self.hurry(),
        }
        self.is_finished |= matches!(fact, Fact::Finished { .. });
    }

    /// The run is told something in this process: that is written like what happens, and followed in the
    /// order of the records.
    fn push_command(&mut self, record: Record, command: Command) {
        self.pending.push(record);
        self.told += 1;
        self.commands.push_back((self.told, command));
        self.hurry();
    }

    /// Who drives the run does so under another grant of its lease from now on.
    fn push_owner(&mut self, held: &Held) {
        match records::record(OWNER_RENEWED, &held.owner) {
            Ok(record) => self.pending.push(record),
            Err(fault) => self.cannot_write(fault),
        }
        self.told += 1;
        self.anew = Some((self.told, Arc::clone(&held.known)));
        self.hurry();
    }

    /// Until when the lease holds under which the run is kept, as far as is known.
    #[inline]
    pub(super) fn known(&self) -> &Arc<Known> {
        &self.known
    }

    /// What is pending is to be on the disk, at once.
    fn hurry(&mut self) {
        self.durability = Durability::Disk;
        self.is_urgent = true;
    }

    fn cannot_write(&mut self, fault: RecordFault) {
        let source = Box::new(fault);
        let end = End::unrecorded(EventLogError::Failed { source });
        self.end.get_or_insert(end);
    }

    /// What the run was told by the records up to this one.
    fn told_until(&mut self, until: u64) -> Vec<Command> {
        let told = self
            .commands
            .partition_point(|(record, _)| *record <= until);
        let told = self.commands.drain(..told);
        told.map(|(_, command)| command).collect()
    }

    /// A step may begin once everything so far is kept.
    pub(super) fn hold(&mut self, step: usize) {
        self.held.push_back((self.told, step));
        self.is_urgent = true;
    }

    /// Whether a step may begin once something is kept.
    pub(super) fn holds(&self, step: usize) -> bool {
        self.held.iter().any(|(_, held)| *held == step)
    }

    /// It is not to begin any more.
    pub(super) fn let_go(&mut self, step: usize) {
        self.held.retain(|(_, held)| *held != step);
    }

    pub(super) fn kept(&mut self, until: u64, mut ready: impl FnMut(usize)) {
        self.kept = until;
        if let Some((_, known)) = self.anew.take_if(|(needs, _)| *needs <= until) {
            self.known = known;
        }
        while let Some(&(needs, step)) = self.held.front()
            && needs <= until
        {
            self.held.pop_front();
            ready(step);
        }
    }

    /// Who is to be woken, to write: where something is urgent, or else if there is time for it.
    pub(super) fn call_writer(&mut self, has_time: bool) -> Option<Waker> {
        let has_time = has_time || self.durability == Durability::Disk;
        let has_some = !self.lingers && has_time && !self.pending.is_empty();
        let is_called = self.is_urgent || self.has_news || has_some;
        self.writer.take_if(|_| is_called)
    }

    /// Nothing is written any more, for this reason, if there was none before: whoever waits is to hear of
    /// it.
    pub(super) fn end(&mut self, end: End) -> Vec<Waker> {
        self.end.get_or_insert(end);
        let mut wakers = std::mem::take(&mut self.waiting);
        wakers.extend(self.writer.take());
        wakers
    }

    fn next(&mut self, so_far: SoFar, is_alone: bool) -> Batch {
        self.is_urgent = false;
        Batch {
            records: std::mem::take(&mut self.pending),
            so_far,
            until: self.told,
            durability: std::mem::replace(&mut self.durability, Durability::Process),
            closes: self.is_finished,
            has_news: std::mem::take(&mut self.has_news),
            is_alone,
        }
    }

    /// Whether nobody needs a writer any more.
    fn is_over(&self) -> bool {
        self.end.is_some()
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
            recorder.is_urgent |= !recorder.pending.is_empty();
            let writer = recorder.call_writer(true);
            drop(queue);
            writer.into_iter().for_each(Waker::wake);
            Poll::Pending
        })
        .await
    }

    /// How many records are told and not kept yet.
    pub(super) fn unkept(&self) -> u64 {
        let queue = self.queue();
        let recorder = queue.recorder.as_ref();
        recorder.map_or(0, |recorder| recorder.told - recorder.kept)
    }

    /// What has happened is to be written.
    pub(super) fn call_writer(&self) {
        let mut queue = self.queue();
        let recorder = queue.recorder.as_mut();
        let writer = recorder.and_then(|recorder| recorder.call_writer(true));
        drop(queue);
        writer.into_iter().for_each(Waker::wake);
    }

    /// That a run that is suspended was, is kept: what was stopped for that has not ended the process.
    /// Where it cannot be kept, the run is as if the process had been killed.
    pub(super) async fn leave_in_order(&self) {
        let is_kept = {
            let mut queue = self.queue();
            let recorder = queue.recorder.as_ref();
            let is_kept = recorder.is_some_and(|recorder| !recorder.is_over());
            if is_kept {
                queue.apply(&self.plan, Fact::Suspended);
            }
            is_kept
        };
        if is_kept {
            let _ = self.settled().await;
        }
    }

    /// Why a run that is suspended is.
    pub(super) fn why_left(&self) -> End {
        let queue = self.queue();
        let recorder = queue.recorder.as_ref();
        let end = recorder.and_then(|recorder| recorder.end.as_ref().or(recorder.leaving.as_ref()));
        end.cloned().unwrap_or(End::Suspended)
    }

    /// Cancelled once the run may be somebody else's, so that nothing is to be done for it here any more.
    pub(super) fn lost(&self) -> CancellationToken {
        let queue = self.queue();
        let recorder = queue.recorder.as_ref();
        recorder.map_or_else(CancellationToken::new, |recorder| recorder.lost.clone())
    }

    /// Its orchestrator drives it under another grant of its lease by now. Where somebody has claimed the run
    /// since the last one ended, that cannot be kept, and the run hears of it.
    pub(crate) fn renew_owner(&self, held: &Held) {
        let mut queue = self.queue();
        let recorder = queue.recorder.as_mut();
        let recorder = recorder.filter(|recorder| !recorder.is_over() && !recorder.is_finished);
        let writer = recorder.and_then(|recorder| {
            recorder.push_owner(held);
            recorder.call_writer(true)
        });
        drop(queue);
        writer.into_iter().for_each(Waker::wake);
    }

    /// Its orchestrator has no lease any more under which it drives it. What is to suspend the run is
    /// cancelled by who says so.
    pub(crate) fn lease_lost(&self) {
        let lost = {
            let mut queue = self.queue();
            let Some(recorder) = &mut queue.recorder else {
                return;
            };
            recorder.leaving.get_or_insert(End::LeaseLost);
            recorder.lost.clone()
        };
        lost.cancel();
    }

    /// Somebody else has appended to the run's stream.
    pub(crate) fn has_news(&self) {
        let mut queue = self.queue();
        let writer = queue.recorder.as_mut().and_then(|recorder| {
            recorder.has_news = true;
            recorder.call_writer(true)
        });
        drop(queue);
        writer.into_iter().for_each(Waker::wake);
    }

    /// A command is going to be written, and followed once it is: not once the run has finished.
    fn push_command(&self, record: Record, command: Command) -> Result<(), WorkflowError> {
        let run = || self.id.to_string();
        let mut queue = self.queue();
        let is_finished = queue.has_finished();
        let Some(recorder) = queue.recorder.as_mut().filter(|_| !is_finished) else {
            return Err(WorkflowError::RunFinished { run: run() });
        };
        if let Some(end) = &recorder.end {
            return Err(end.clone().into_error(&self.id));
        }
        if let Some(name) = command.signal() {
            let coming = recorder.commands.iter();
            if let Some(signal) = command.identified() {
                for other in coming.clone().filter_map(|(_, other)| other.identified()) {
                    if signal.is_again(other, &self.id)? {
                        return Ok(());
                    }
                }
            }
            let coming = coming.filter(|(_, command)| command.signal() == Some(name));
            if !self.signals.has_room(name, coming.count()) {
                return Err(WorkflowError::TooManySignals { run: run() });
            }
        }
        recorder.push_command(record, command);
        Ok(())
    }

    /// Whether as many commands are being written as may be.
    fn has_many_commands(&self) -> bool {
        let queue = self.queue();
        let recorder = queue.recorder.as_ref();
        recorder.is_some_and(|recorder| recorder.commands.len() >= MAX_SIGNALS)
    }

    /// Does what the run is told in this process, and keeps that it was told, if the run is kept.
    pub(crate) async fn tell_run(self: &Arc<Self>, command: Command) -> Result<(), WorkflowError> {
        let run = || self.id.to_string();
        if command.is_checked() {
            self.view().check(&command)?;
        }
        if self.signals.is_again(&command, &self.id)? {
            return Ok(());
        }
        if self.queue().is_done {
            return Err(WorkflowError::RunFinished { run: run() });
        }
        if let Some(name) = command.signal() {
            self.plan.check_signal(&self.id, name)?;
            if !self.signals.has_room(name, 0) {
                return Err(WorkflowError::TooManySignals { run: run() });
            }
        }
        if self.is_durable {
            let record = records::record(records::COMMAND, &command).map_err(|source| {
                let (run, record) = (run(), 0);
                WorkflowError::Record {
                    run,
                    record,
                    source,
                }
            })?;
            if let Some(keeping) = &self.settings.keeping {
                records::check(&*keeping.journal.log, &self.id, &record)?;
            }
            let unkept = |end: End| end.into_error(&self.id);
            // Signals have a limit of their own.
            while command.signal().is_none() && self.has_many_commands() {
                self.settled().await.map_err(unkept)?;
            }
            self.push_command(record, command)?;
            // Who writes follows it, also if nobody waits here any more.
            return self.settled().await.map_err(unkept);
        }
        self.follow(command);
        Ok(())
    }

    /// The run cannot be written any more: it is left as it is.
    pub(crate) fn end_recording(&self, end: End) {
        let mut queue = self.queue();
        let Some(recorder) = &mut queue.recorder else {
            return;
        };
        let wakers = recorder.end(end);
        let lost = recorder.lost.clone();
        drop(queue);
        wakers.into_iter().for_each(Waker::wake);
        self.suspend.cancel();
        lost.cancel();
    }

    /// Records up to this one are kept: what the run was told by them it does, and what waits for that
    /// goes on.
    pub(super) fn kept(self: &Arc<Self>, until: u64) {
        let mut queue = self.queue();
        let recorder = queue.recorder.as_mut();
        let told = recorder.map(|recorder| recorder.told_until(until));
        drop(queue);
        for command in told.into_iter().flatten() {
            self.follow(command);
        }
        let mut queue = self.queue();
        let (mut wakers, mut changed) = (Vec::new(), None);
        if let Some(recorder) = &mut queue.recorder {
            wakers = std::mem::take(&mut recorder.waiting);
            let anew = recorder.anew.as_ref();
            changed = anew.map(|(_, known)| Arc::clone(known.changed()));
        }
        queue.kept(until);
        if queue.has_next() {
            wakers.extend(queue.idle.pop());
        }
        drop(queue);
        wakers.into_iter().for_each(Waker::wake);
        if let Some(changed) = changed {
            changed.notify_waiters();
        }
    }

    /// Until there is something to write, and somebody waits for it; `None` once there never will
    /// be.
    pub(super) async fn next_to_write(&self) -> Option<Batch> {
        let urgent = |cx: &Context<'_>, lingers: bool| {
            let mut queue = self.queue();
            let Some(recorder) = &mut queue.recorder else {
                return Poll::Ready(None);
            };
            if recorder.is_over() {
                return Poll::Ready(None);
            }
            let has_some = !lingers && !recorder.pending.is_empty();
            if recorder.is_urgent || recorder.has_news || has_some {
                return Poll::Ready(Some(()));
            }
            recorder.lingers = lingers;
            let before = recorder.writer.replace(cx.waker().clone());
            drop(queue);
            drop(before);
            Poll::Pending
        };
        poll_fn(|cx| urgent(cx, false)).await?;
        if let Ok(over) = timeout(LINGER, poll_fn(|cx| urgent(cx, true))).await {
            over?;
        }
        let mut queue = self.queue();
        let is_alone = queue.waits_for_records();
        let so_far = SoFar::of(&queue.course);
        let recorder = queue.recorder.as_mut();
        recorder.map(|recorder| recorder.next(so_far, is_alone))
    }
}
