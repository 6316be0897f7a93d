//! A step that repeats: round after round, each from what the one before left, until one is the last. A round is the
//! call of a function, or a [`ChildRun`](super::ChildRun).
//!
//! What a round leaves is kept before the next begins, so a loop that is taken up goes on after its last
//! kept round. The wait before a round counts from then, by the clock of the run.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::CancellationToken;
use coord_bus::time::Instant;

use super::attempt::{Attempt, first, supervise};
use super::further::Gate;
use super::item_runs::end_of_parts;
use super::{Shared, between};
use crate::context::Start;
use crate::error::AttemptError;
use crate::part_error::PartError;
use crate::plan::{Output, StepFuture};
use crate::repeat::Repeat;
use crate::{StepContext, StepError};

/// What a round comes to: the output of the step, or what the next round is given.
pub(crate) type RoundEnd = ControlFlow<Output, Output>;

/// The rounds of a step, in one attempt.
pub(crate) struct Rounds {
    run: Arc<Shared>,
    step: usize,
    attempt: u32,
    repeat: Repeat,
    /// Cancelled when the attempt is to end.
    token: CancellationToken,
    gate: Gate,
}

/// Where a loop is.
#[derive(Default)]
struct SoFar {
    done: usize,
    /// What the last round left.
    left: Option<Output>,
    /// When that was.
    at: u64,
}

impl Rounds {
    pub(crate) fn of(start: &Start<'_>, repeat: Repeat) -> Self {
        Self {
            run: Arc::clone(start.shared),
            step: start.step,
            attempt: start.attempt,
            repeat,
            token: StepContext::token(&start.context()),
            gate: Gate::of(start.shared, start.step),
        }
    }

    /// Round after round, of which each is begun with what the one before left.
    pub(crate) async fn until_done(
        &self,
        begin: impl Fn(&Start<'_>, Option<Output>) -> Option<StepFuture<RoundEnd>>,
    ) -> Result<Output, StepError> {
        let (run, limit) = (&self.run, self.repeat.limit.get());
        loop {
            let SoFar { done, left, at } = self.so_far();
            if done >= limit as usize {
                self.end_left().await?;
                return Err(StepError::from(PartError::RoundsExhausted { limit }).permanent());
            }
            let mut told = self.wait(done, at).await;
            if told.is_ok() {
                told = self.gate.opens(&self.token).await;
            }
            if let Err(told) = told {
                self.end_left().await?;
                return Err(told);
            }
            let first = {
                let mut start = run.start(self.step, self.attempt, &self.token);
                start.part = Some(done);
                start.since = Instant::now();
                start.last_heartbeat = run.queue().course.last_heartbeat(self.step);
                first(&start, |start| begin(start, left))
            };
            let bounds = run.bounds_of_round(self.step);
            match supervise(run, first, bounds, &self.token).await {
                Attempt::Done(Ok(ControlFlow::Break(output))) => return Ok(output),
                Attempt::Done(Ok(ControlFlow::Continue(left))) => {
                    run.part_completed(self.step, done, limit as usize, left)
                        .await?;
                }
                Attempt::Done(Err(error)) => return Err(error),
                Attempt::Cancelled => return Err(AttemptError::Cancelled.into()),
            }
            run.settled_or_stopped().await;
            // Rounds that never wait leave others on this thread their turn.
            tokio::task::coop::consume_budget().await;
        }
    }

    /// Ends the run of a round that is not come to here, if there is one: it has begun in a process that is gone, by
    /// which there were more rounds, or shorter waits between them.
    async fn end_left(&self) -> Result<(), StepError> {
        let run = &self.run;
        let Some(child) = &run.plan.steps[self.step].child else {
            return Ok(());
        };
        if run.suspend.is_cancelled() {
            return Ok(());
        }
        // In a box, as it is large, and rare.
        let ended = Box::pin(end_of_parts(run, child, self.step, self.attempt));
        let Err(end) = ended.await else {
            return Ok(());
        };
        run.leave(end).await;
        self.token.cancelled().await;
        Err(AttemptError::Cancelled.into())
    }

    fn so_far(&self) -> SoFar {
        let queue = self.run.queue();
        let Some(parts) = queue.course.parts(self.step) else {
            return SoFar::default();
        };
        SoFar {
            done: parts.done,
            left: parts.outputs.values().next_back().cloned(),
            at: parts.at,
        }
    }

    /// Until the next round is to begin.
    async fn wait(&self, done: usize, at: u64) -> Result<(), StepError> {
        let wait = match u32::try_from(done) {
            Ok(done) if done > 0 => self.repeat.backoff.delay(done),
            _ => Duration::ZERO,
        };
        let left = || wait.saturating_sub(between(at, self.run.elapsed()));
        tokio::select! {
            biased;
            () = self.token.cancelled() => Err(AttemptError::Cancelled.into()),
            () = self.run.wait_while(left) => Ok(()),
        }
    }
}
