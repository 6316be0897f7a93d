//! Keeps one child: its incarnations one after the other, until there is no other.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::{self, Instant};
use coord_bus::vocabulary::{Recovery, Severity};
use coord_bus::{CancellationToken, Panicked, catch};
use tokio::select;
use tokio::task::unconstrained;

use super::child::{Orders, Outage, Shared};
use super::group::{Group, HeldSiblings};
use super::restarts::Restarts;
use super::{
    ChildContext, ChildEnd, ChildError, ChildFailure, ChildSpec, ChildState, Closing, GaveUp,
    GiveUpReason, Restart,
};

pub(super) struct Keeper {
    spec: ChildSpec,
    child: Ending,
    /// The one that begins before it.
    after: Option<Arc<Shared>>,
    group: Arc<Group>,
    /// Its own, or those of all children.
    restarts: Restarts,
    incarnation: u32,
    /// In a row, for the backoff.
    failures: u32,
    /// Before the last of them.
    waited: Duration,
    /// Until an incarnation is ready.
    outage: Option<Outage>,
}

/// How an incarnation ended.
enum Ended {
    ByItself(Result<(), ChildError>),
    /// It was asked to, and in time.
    Asked,
    /// It was asked to, and had to be aborted.
    Aborted,
}

impl Keeper {
    pub(super) fn new(
        spec: ChildSpec,
        child: &Arc<Shared>,
        after: Option<Arc<Shared>>,
        group: Arc<Group>,
    ) -> Self {
        Self {
            child: Ending(Arc::clone(child)),
            after,
            restarts: match group.restarts() {
                Some(together) => together.clone(),
                None => Restarts::new(spec.max_restarts, spec.within),
            },
            group,
            spec,
            incarnation: 1,
            failures: 0,
            waited: Duration::ZERO,
            outage: None,
        }
    }

    /// Runs the child to its end.
    pub(super) async fn keep<F, Run>(mut self, mut run: F)
    where
        F: FnMut(ChildContext) -> Run,
        Run: Future<Output = Result<(), ChildError>>,
    {
        let child = Arc::clone(&self.child.0);
        if let Some(before) = self.after.take() {
            select! {
                biased;
                () = child.to_end(self.incarnation) => {}
                () = before.has_once_begun() => {}
            }
        }
        let mut siblings = HeldSiblings::default();
        loop {
            let began = Instant::now();
            let ended = select! {
                biased;
                ended = self.incarnate(&mut run) => ended,
                never = siblings.release_those_after(&child) => match never {},
            };
            // Also one that has panicked.
            child.has_begun(self.incarnation);
            let ran_long = began.elapsed() > self.spec.within;
            if ran_long {
                self.forget_failures();
            }
            if ran_long || child.is_ready() {
                self.outage = None;
            }
            let mut over = match self.judge(ended) {
                Next::AtOnce => None,
                Next::After(error) => self.wait_after(error, &mut siblings).await.err(),
                Next::Never(end) => Some(end),
            };
            if over.is_none() {
                over = self.wait_to_begin(&mut siblings).await.err();
            }
            if let Some(end) = over {
                self.end(end).await;
                siblings.release().await;
                return;
            }
            self.incarnation = self.incarnation.saturating_add(1);
            child.begin(self.incarnation);
        }
    }

    /// Waits until those for which this one is held let it go on, and those have begun that were started
    /// before it and are held for it.
    async fn wait_to_begin(&self, siblings: &mut HeldSiblings) -> Result<(), ChildEnd> {
        let child = &self.child.0;
        loop {
            if child.orders().holders > 0 {
                *siblings = HeldSiblings::default();
                // As in OTP, it is gone with those that are restarted, and does not come back.
                if self.spec.restart == Restart::Temporary {
                    return Err(ChildEnd::Stopped);
                }
                child.set(ChildState::Held);
                if child.released().await.stop.is_some() {
                    return Err(ChildEnd::Stopped);
                }
            }
            select! {
                biased;
                // One of them has failed again already, and takes this one with it.
                () = child.claimed() => {}
                () = siblings.release_those_before() => {
                    // What is stopped one after the other must not begin anew meanwhile.
                    let is_closed = self.group.children().closed;
                    return if is_closed { Err(ChildEnd::Stopped) } else { Ok(()) };
                }
            }
        }
    }

    /// Ends the child, and with it all others if that is what the supervisor's rules say.
    async fn end(&self, end: ChildEnd) {
        let child = &self.child.0;
        let name = || child.name().to_owned();
        // One that is given up has failed in the end, and is not coming back either.
        let is_by_itself = matches!(
            end,
            ChildEnd::Completed | ChildEnd::Failed { .. } | ChildEnd::GaveUp(_)
        );
        let is_too_often = matches!(
            &end,
            ChildEnd::GaveUp(GaveUp {
                reason: GiveUpReason::TooManyRestarts { .. },
                ..
            })
        );
        self.group.ended(child, end);
        if is_too_often && self.group.restarts().is_some() {
            let child_name = name();
            let closing = Closing::TooManyRestarts { child: child_name };
            self.group.close(child, closing).await;
        } else if is_by_itself && self.spec.significant && self.group.significant_ended() {
            let closing = Closing::SignificantEnded { child: name() };
            self.group.close(child, closing).await;
        }
    }

    /// Runs one incarnation, until it ends or has been stopped.
    async fn incarnate<F, Run>(&self, run: &mut F) -> Ended
    where
        F: FnMut(ChildContext) -> Run,
        Run: Future<Output = Result<(), ChildError>>,
    {
        let child = &self.child.0;
        let token = CancellationToken::new();
        // Also when this is dropped half-way.
        let _over = token.clone().drop_guard();
        let context = ChildContext::new(child, self.incarnation, &token, self.outage);
        let mut incarnation = Box::pin(catch(async {
            let mut running = pin!(run(context));
            let mut is_first = true;
            let polled = poll_fn(|cx| {
                let polled = running.as_mut().poll(cx);
                if std::mem::take(&mut is_first) {
                    child.has_begun(self.incarnation);
                }
                polled
            });
            polled.await
        }));
        select! {
            biased;
            () = child.to_end(self.incarnation) => {}
            ended = &mut incarnation => {
                let ended = ended.unwrap_or_else(|panic| Err(ChildError::panicked(&*panic)));
                return Ended::ByItself(ended);
            }
        }
        token.cancel();
        select! {
            biased;
            ended = &mut incarnation => {
                if let Err(panic) = ended {
                    self.tell_failure(&ChildError::panicked(&*panic));
                }
                return Ended::Asked;
            }
            // It may have used up what tokio lets a task do in one go.
            () = unconstrained(child.to_abort()) => {}
            () = unconstrained(time::sleep(child.shutdown())) => {}
        }
        // What it holds may panic when it is dropped, which is no reason to keep the child no more.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(incarnation))) {
            self.tell_failure(&ChildError::panicked(&*panic));
        }
        Ended::Aborted
    }

    /// What follows from the end of an incarnation.
    fn judge(&mut self, ended: Ended) -> Next {
        let error = match ended {
            Ended::Asked | Ended::Aborted
                if self.child.0.orders().only_failed(self.incarnation) =>
            {
                return Next::After(ChildFailure::Reported.into());
            }
            Ended::Asked | Ended::Aborted if self.child.0.orders().stop.is_none() => {
                self.forget_failures();
                return Next::AtOnce;
            }
            Ended::Asked => return Next::Never(ChildEnd::Stopped),
            Ended::Aborted => return Next::Never(ChildEnd::Aborted),
            Ended::ByItself(Ok(())) if self.spec.restart != Restart::Permanent => {
                return Next::Never(ChildEnd::Completed);
            }
            Ended::ByItself(Ok(())) => ChildFailure::Ended.into(),
            Ended::ByItself(Err(error)) => error,
        };
        self.tell_failure(&error);
        match self.spec.restart {
            Restart::Temporary => Next::Never(ChildEnd::Failed { error }),
            _ => Next::After(error),
        }
    }

    /// Waits until the child is to be restarted, unless it is given up or stopped meanwhile.
    ///
    /// Those that are restarted with it are held from then on, in the place of those that were held.
    async fn wait_after(
        &mut self,
        error: ChildError,
        siblings: &mut HeldSiblings,
    ) -> Result<(), ChildEnd> {
        let now = Instant::now();
        if error.is_permanent() {
            return Err(self.give_up(GiveUpReason::Permanent, error));
        }
        let child = Arc::clone(&self.child.0);
        let held = (self.group).hold_siblings(&child, self.incarnation, &self.restarts);
        // Until this is over, its time does not count towards the intensity.
        let (held, _waiting) = match held {
            Ok(Some(held)) => held,
            // Another one is restarted, and this one with it: that is one restart.
            Ok(None) => return self.obey(child.orders()),
            Err((restarts, within)) => {
                let reason = GiveUpReason::TooManyRestarts { restarts, within };
                return Err(self.give_up(reason, error));
            }
        };
        // Who has not begun since it was held before is held all along.
        *siblings = held;
        self.failures = self.failures.saturating_add(1);
        let attempt = self.failures;
        let backoff = || self.spec.backoff.delay_after(attempt, self.waited);
        let wait = error.retry_delay().unwrap_or_else(backoff);
        self.waited = wait;
        let sleep = time::sleep(wait);
        if !is_reported(&error) {
            let since = self.outage.map_or(now, |outage| outage.since);
            self.outage = Some(Outage { since, attempt });
            child.tell_recovery(Recovery::Attempting { attempt, wait });
        }
        child.set(ChildState::Waiting {
            failures: attempt,
            until: sleep.deadline(),
        });
        let waiting = async {
            siblings.stop().await;
            sleep.await;
        };
        let orders = select! {
            biased;
            orders = child.ordered(self.incarnation) => orders,
            () = waiting => return Ok(()),
        };
        self.obey(orders)
    }

    /// What orders make of a child that waits to be restarted: it does not wait any longer.
    fn obey(&mut self, orders: Orders) -> Result<(), ChildEnd> {
        if orders.stop.is_some() {
            return Err(ChildEnd::Stopped);
        }
        self.forget_failures();
        Ok(())
    }

    /// The next failure is the first.
    fn forget_failures(&mut self) {
        self.failures = 0;
        self.waited = Duration::ZERO;
    }

    fn give_up(&self, reason: GiveUpReason, error: ChildError) -> ChildEnd {
        let child = &self.child.0;
        if !is_reported(&error) {
            child.tell_recovery(Recovery::GaveUp {
                attempts: self.failures,
                reason: reason.to_string(),
            });
        }
        ChildEnd::GaveUp(GaveUp {
            child: child.name().to_owned(),
            reason,
            error,
        })
    }

    fn tell_failure(&self, error: &ChildError) {
        let (kind, severity) = match error.downcast_ref() {
            Some(ChildFailure::Ended) => ("child-ended", Severity::Warning),
            _ if error.downcast_ref::<Panicked>().is_some() => ("panic", Severity::Error),
            _ => ("child-failed", Severity::Error),
        };
        let child = &self.child.0;
        let teller = child.teller();
        teller.detected(child.name(), kind, error.to_string(), severity);
    }
}

/// Whether whoever reported the failure tells what becomes of it.
fn is_reported(error: &ChildError) -> bool {
    matches!(error.downcast_ref(), Some(ChildFailure::Reported))
}

/// When there is another incarnation.
enum Next {
    AtOnce,
    /// After this failure's backoff, if it is restarted at all.
    After(ChildError),
    Never(ChildEnd),
}

/// A child that is over when this goes, in whatever way its task has ended.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end_unless_ended();
    }
}
