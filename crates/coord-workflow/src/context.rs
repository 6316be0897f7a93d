//! What a step's work is told: which attempt it is, and when to stop.

use std::cell::OnceCell;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use coord_bus::CancellationToken;
use coord_bus::time::Instant;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::ser::Error;

use crate::RunId;
use crate::heartbeat::Heart;
use crate::plan::Plan;
use crate::run::{Lock, Shared};
use crate::signals::Signals;
use crate::waits::Events;

/// Given to a step's function. Cheap to clone.
#[derive(Clone)]
pub struct StepContext {
    inner: Arc<Inner>,
}

struct Inner {
    workflow: Arc<Plan>,
    run: RunId,
    /// What tells this run from another one of its id.
    mark: Option<u64>,
    fence: u64,
    step: usize,
    attempt: u32,
    round: u32,
    /// Whether it undoes the step, and is told apart from it.
    undoes: bool,
    /// Which part of the step this is about.
    part: Option<usize>,
    /// The context of the whole, where parts end together.
    whole: Option<StepContext>,
    parent: CancellationToken,
    /// Made when it is first asked for: most steps never do.
    token: OnceLock<CancellationToken>,
    /// Whether the work has asked for it.
    is_watched: AtomicBool,
    heart: Heart,
    /// What came with the last sign of life of an earlier attempt.
    last_heartbeat: Option<Arc<str>>,
    /// How many bytes what comes with one may take.
    kept_max: usize,
}

impl StepContext {
    /// The workflow's name.
    pub fn workflow(&self) -> &str {
        &self.inner.workflow.name
    }

    /// The run.
    pub fn run(&self) -> &RunId {
        &self.inner.run
    }

    /// The step's id.
    pub fn step(&self) -> &str {
        &self.inner.workflow.steps[self.inner.step].id
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.inner.attempt
    }

    /// The same in every attempt at this step of this run, also after the process was killed, and
    /// another in any other: what a service needs to know that it has been asked before.
    ///
    /// It is the run's id, in a durable run a dash and ten letters and digits, a slash, and the step's id:
    /// `order-1042-7f3a09k2xd/charge`. The ten are drawn as the run is started, and kept with it, so they are the
    /// same for all who drive it, and others where its id is used once more: in a run that is started
    /// [anew](crate::WorkflowOrchestrator::start_durable_anew), or once the one before was forgotten. (A run that an
    /// earlier version has started has none.) For an item of a list, or a round, a colon and its
    /// [place](Self::part) follow: `order-1042-7f3a09k2xd/mail:3`. What
    /// [undoes](crate::StepBuilder::compensate_with) a step of a typed workflow has another key, the step's and
    /// `/undo`; a [handler](crate::StepSpec::undo) that undoes one has the step's own.
    ///
    /// Where a service is to know again what is not of one run, such as an order that is paid once whichever run asks
    /// for that, give it what that has, the number of the order, instead.
    ///
    /// # Where a run is retried
    ///
    /// A step that is done again has the same key where it asks for the same: it failed or was stopped, and perhaps
    /// had done it all the same; or it was done, and is done again only because a step before it is. It has another,
    /// a slash and a number follow, where
    ///
    /// - it is given something else than when it last began: a step whose output it takes has put out another JSON
    ///   this time, and a service may refuse one key with two requests (a [handler](crate::HandlerCall) is given the
    ///   outputs of all the steps that it needs, in whatever order JSON has their keys);
    /// - it was done, and somebody named it or a step before it in the retry;
    /// - it was undone, or that was tried;
    /// - it was done or partly done, has items or rounds, and is done from its beginning, as its list may be another.
    ///
    /// So nothing is asked for twice by one key, and what was asked for with another input is not taken back by
    /// that: where it has to be, give the step something that undoes it. The key is decided once, when the step
    /// begins: it is the same in each attempt, and after a crash.
    pub fn idempotency_key(&self) -> String {
        let mut key = self.inner.run.marked(self.inner.mark);
        let _ = write!(key, "/{}", self.step());
        if self.inner.round > 0 {
            let _ = write!(key, "/{}", self.inner.round);
        }
        if let Some(part) = self.part() {
            let _ = write!(key, ":{part}");
        }
        if self.inner.undoes {
            key.push_str("/undo");
        }
        key
    }

    /// A number that is larger each time that somebody takes the run up: what a step shows with what it writes
    /// elsewhere, to a database, say, so that the write of one who has lost the run is refused.
    ///
    /// Whoever drives a durable run may stand still for longer than its [lease](crate::DEFAULT_LEASE_TTL) lasts, as
    /// when its machine sleeps, or have a request on its way for as long. Meanwhile another process takes the run up,
    /// and does the step again; and then the first goes on, and its write arrives late. Nothing that it could ask
    /// before it writes would help, as it may stand still after that, too. So what is written to has to remember the
    /// largest token that it has seen, and refuse a smaller one, in one go with the write: that is what a
    /// [`Fence`](coord_bus::Fence) does, or in SQL `UPDATE … WHERE key = … AND token <= …`.
    ///
    /// It is the same for all steps of a run, in all their attempts, for as long as the same orchestrator drives it,
    /// also where that has lost its lease and got it back before anybody else took the run up. It is 1 as long as
    /// nobody has taken the run up, so always of a run in memory, which nobody can. Tokens of two runs say nothing
    /// about each other, be one within the other, or their ids the same, as where one is started
    /// [anew](crate::WorkflowOrchestrator::start_durable_anew): so keep a fence for each
    /// run, under what its [idempotency keys](Self::idempotency_key) have before their slash, which no other run has. What
    /// several runs write to needs a [lease](coord_bus::Lease) of its own, whose grants have such tokens, too.
    ///
    /// It does not tell what is asked twice: that is what the idempotency key is for.
    ///
    /// ```
    /// # use std::collections::HashMap;
    /// # use std::sync::Mutex;
    /// use coord_bus::{Fence, Fenced};
    /// # use coord_workflow::{StepContext, StepError};
    ///
    /// /// A store of invoices, one for each run.
    /// #[derive(Default)]
    /// struct Store(Mutex<HashMap<String, (Fence, String)>>);
    ///
    /// impl Store {
    ///     fn put(&self, run: &str, token: u64, invoice: &str) -> Result<(), Fenced> {
    ///         // Asked and written under one lock: nobody comes in between.
    ///         let mut store = self.0.lock().unwrap();
    ///         let (fence, kept) = store.entry(run.to_owned()).or_default();
    ///         fence.admit(token)?;
    ///         *kept = invoice.to_owned();
    ///         Ok(())
    ///     }
    /// }
    ///
    /// async fn invoice(context: StepContext, store: &Store) -> Result<(), StepError> {
    ///     let key = context.idempotency_key();
    ///     let run = key.split('/').next().unwrap_or_default();
    ///     Ok(store.put(run, context.fencing_token(), "20 €")?)
    /// }
    /// ```
    pub fn fencing_token(&self) -> u64 {
        self.inner.fence
    }

    /// Which item of its list this is, from 0, in a step that does the same
    /// [for each](crate::StepBuilder::for_each); or which round, from 0, in one that
    /// [repeats](crate::StepBuilder::repeat).
    pub fn part(&self) -> Option<usize> {
        self.inner.part
    }

    /// The context of a part of the step that this is of.
    pub(crate) fn of_part(&self, part: usize) -> Self {
        let whole = &*self.inner;
        Self {
            inner: Arc::new(Inner {
                workflow: Arc::clone(&whole.workflow),
                run: whole.run.clone(),
                mark: whole.mark,
                fence: whole.fence,
                step: whole.step,
                attempt: whole.attempt,
                round: whole.round,
                undoes: whole.undoes,
                part: Some(part),
                whole: Some(self.clone()),
                parent: whole.parent.clone(),
                token: OnceLock::new(),
                is_watched: AtomicBool::new(false),
                // Signs of life are those of the whole.
                heart: Heart::new(Instant::now()),
                last_heartbeat: whole.last_heartbeat.clone(),
                kept_max: whole.kept_max,
            }),
        }
    }

    /// Cancelled when the attempt is to stop: its time is up, or the run is cancelled or has
    /// failed elsewhere.
    ///
    /// A step that has asked for this is given the orchestrator's grace to come to an end; one
    /// that has not is dropped at once, wherever it awaits.
    pub fn token(&self) -> CancellationToken {
        if let Some(whole) = &self.inner.whole {
            return whole.token();
        }
        self.inner.is_watched.store(true, Ordering::Relaxed);
        self.own_token()
    }

    /// The same, of who needs no grace.
    pub(crate) fn own_token(&self) -> CancellationToken {
        let made = || self.inner.parent.child_token();
        self.inner.token.get_or_init(made).clone()
    }

    /// Says that the attempt is alive, where its step has a
    /// [heartbeat timeout](crate::StepBuilder::heartbeat_timeout). It reads the clock and stores that,
    /// so a loop may call it each time around.
    ///
    /// ```
    /// # use coord_workflow::{StepContext, StepError};
    /// async fn import(context: StepContext, rows: Vec<u64>) -> Result<u64, StepError> {
    ///     // Where an earlier attempt had come to, if there was one and it said so.
    ///     let mut done = context.last_heartbeat::<usize>()?.unwrap_or(0);
    ///     while done < rows.len() {
    ///         // …
    ///         done += 1;
    ///         context.heartbeat_with(&done)?;
    ///     }
    ///     Ok(rows.iter().sum())
    /// }
    /// ```
    #[inline]
    pub fn heartbeat(&self) {
        self.heart().beat();
    }

    /// The same, and says how far the attempt has come: should it fail, the next is
    /// [told](Self::last_heartbeat).
    ///
    /// # Errors
    ///
    /// When that cannot be written as JSON, or, in a durable run, is larger than what the journal takes. Then it is
    /// as if this had not been called.
    pub fn heartbeat_with(&self, details: &impl Serialize) -> Result<(), serde_json::Error> {
        let details = serde_json::to_string(details)?;
        let (bytes, limit) = (details.len(), self.inner.kept_max);
        if bytes > limit {
            return Err(serde_json::Error::custom(format_args!(
                "what comes with a sign of life takes {bytes} bytes as JSON, and {limit} are the most that the \
                 journal takes: keep it in a file, and say where that is"
            )));
        }
        self.heart().beat_with(details);
        Ok(())
    }

    /// What the last [`heartbeat_with`](Self::heartbeat_with) of an earlier attempt said; `None`, if
    /// there was none.
    ///
    /// It is kept when an attempt fails, in a durable run in the journal. Of an attempt that was cut
    /// off, because its process was killed or its orchestrator shut down, nothing is known: then it is
    /// what was known before that attempt. Where a run is
    /// [retried](crate::WorkflowOrchestrator::retry_run) there is none.
    ///
    /// # Errors
    ///
    /// When it is not a `T`.
    pub fn last_heartbeat<T: DeserializeOwned>(&self) -> Result<Option<T>, serde_json::Error> {
        let last = self.inner.last_heartbeat.as_deref();
        last.map(serde_json::from_str).transpose()
    }

    #[inline]
    pub(crate) fn heart(&self) -> &Heart {
        match &self.inner.whole {
            Some(whole) => &whole.inner.heart,
            None => &self.inner.heart,
        }
    }

    /// The token, if the work asked for it.
    pub(crate) fn watched(&self) -> Option<&CancellationToken> {
        let token = self.inner.token.get();
        token.filter(|_| self.inner.is_watched.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for StepContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StepContext")
            .field("workflow", &self.workflow())
            .field("run", &self.inner.run)
            .field("step", &self.step())
            .field("attempt", &self.inner.attempt)
            .finish_non_exhaustive()
    }
}

/// The start of an attempt: what the step's function may ask for. What it does not ask for is not
/// made.
pub(crate) struct Start<'r> {
    /// The run, for what has parts.
    pub(crate) shared: &'r Arc<Shared>,
    pub(crate) plan: &'r Arc<Plan>,
    pub(crate) run: &'r RunId,
    /// Under which the outputs of the others are.
    pub(crate) lock: Lock<'r>,
    pub(crate) signals: &'r Arc<Signals>,
    pub(crate) events: &'r Arc<Events>,
    /// How often the step is done again after it had been done.
    pub(crate) round: u32,
    pub(crate) step: usize,
    pub(crate) attempt: u32,
    /// Which round of the attempt, if it has some.
    pub(crate) part: Option<usize>,
    /// Before it began: from when its signs of life are counted.
    pub(crate) since: Instant,
    /// What came with the last sign of life of an earlier attempt.
    pub(crate) last_heartbeat: Option<Arc<str>>,
    /// Whose cancellation cancels the attempt.
    pub(crate) parent: &'r CancellationToken,
    pub(crate) context: OnceCell<StepContext>,
}

impl Start<'_> {
    pub(crate) fn context(&self) -> StepContext {
        self.context_that(false)
    }

    /// That of an attempt at undoing the step, whose idempotency key is another.
    pub(crate) fn context_of_undo(&self) -> StepContext {
        self.context_that(true)
    }

    fn context_that(&self, undoes: bool) -> StepContext {
        let context = self.context.get_or_init(|| StepContext {
            inner: Arc::new(Inner {
                workflow: Arc::clone(self.plan),
                run: self.run.clone(),
                mark: self.shared.mark,
                fence: self.shared.fence,
                step: self.step,
                attempt: self.attempt,
                round: self.round,
                undoes,
                part: self.part,
                whole: None,
                parent: self.parent.clone(),
                token: OnceLock::new(),
                is_watched: AtomicBool::new(false),
                heart: Heart::new(self.since),
                last_heartbeat: self.last_heartbeat.clone(),
                kept_max: self.shared.kept_max,
            }),
        });
        context.clone()
    }
}
