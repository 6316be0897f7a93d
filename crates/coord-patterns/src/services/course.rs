//! The course of one service, from waiting for what it needs to its end.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::{self, Instant};
use coord_bus::vocabulary::{ServiceLifecycle, ServiceState};
use coord_bus::{BoxFuture, CancellationToken, Failure, Publisher, catch};
use tokio::select;
use tokio::sync::watch;
use tokio::task::unconstrained;

use super::managed::Said;
use super::set::Member;
use super::{ServiceContext, ServicesConfig};
use crate::pattern::{Counter, PatternContext};

/// How long telling of a state may wait for room.
const TELLING: Duration = Duration::from_secs(1);

/// How long one that was told to stop may take where the whole is not enabled after all. When it is being
/// disabled, it has what is left of that deadline.
const STOPPING: Duration = Duration::from_secs(5);

/// Where each service of a set is.
pub(super) type Table = BTreeMap<Arc<str>, Stage>;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stage {
    Waiting,
    Starting,
    Ready,
    /// It runs, and is not well.
    Unwell(String),
    /// It ends, as it was asked to.
    Draining,
    /// It has ended, and why.
    Over(String),
}

impl Stage {
    /// Why it is over, if it is.
    pub(super) fn over(&self) -> Option<&str> {
        match self {
            Self::Over(reason) => Some(reason),
            _ => None,
        }
    }

    /// Whether it runs and has been ready.
    pub(super) fn has_started(&self) -> bool {
        matches!(self, Self::Ready | Self::Unwell(_))
    }

    /// Why who needs it has lost it, if that is so.
    fn lost(&self) -> Option<&str> {
        match self {
            Self::Unwell(reason) | Self::Over(reason) => Some(reason),
            _ => None,
        }
    }
}

pub(super) struct Course {
    pub(super) member: Member,
    pub(super) dependents: Vec<Arc<str>>,
    pub(super) config: Arc<ServicesConfig>,
    pub(super) table: Arc<watch::Sender<Table>>,
    pub(super) closing: CancellationToken,
    pub(super) states: Publisher<ServiceLifecycle>,
    pub(super) untold: Counter,
    pub(super) context: PatternContext,
}

impl Course {
    pub(super) async fn run(self) {
        let needs_ready = select! {
            biased;
            () = self.closing.cancelled() => Err("not started".to_owned()),
            ready = self.needs_ready() => ready,
        };
        if let Err(reason) = needs_ready {
            return self.set(Stage::Over(reason));
        }
        self.set(Stage::Starting);
        self.say(ServiceState::Starting).await;
        let (said, lost) = (watch::Sender::new(Said::Nothing), watch::Sender::default());
        let context = ServiceContext {
            said: Arc::new(said),
            drain: CancellationToken::new(),
            stop: CancellationToken::new(),
            lost: lost.subscribe(),
        };
        let (drain, stop) = (context.drain.clone(), context.stop.clone());
        let mut said = context.said.subscribe();
        let mut running: BoxFuture<'_, _> = Box::pin(caught(self.member.service.run(context)));
        // Why it is to be stopped, unless it was asked to.
        let (mut asked, mut fault) = (true, None);
        let ended = select! {
            biased;
            ended = &mut running => Some(ended),
            // The service may use up what tokio lets a task do in one go.
            () = unconstrained(self.all_dependents_over()) => None,
            why = self.attend(&mut said) => {
                (asked, fault) = (false, Some(why));
                None
            }
            () = self.tell_losses(&lost) => None,
        };
        let result = match ended {
            Some(result) => {
                asked = self.closing.is_cancelled();
                result
            }
            None => {
                self.set(Stage::Draining);
                if fault.is_none() {
                    self.say_anyway(ServiceState::Draining).await;
                }
                drain.cancel();
                let within = match self.member.service.keeps_itself() {
                    true => Duration::MAX,
                    false => self.config.drain_within,
                };
                match time::timeout(within, &mut running).await {
                    Ok(result) => result,
                    Err(_) => {
                        stop.cancel();
                        select! {
                            result = &mut running => result,
                            error = unconstrained(self.given_up()) => Err(error),
                        }
                    }
                }
            }
        };
        self.finish(asked, fault, result).await;
    }

    /// Waits until all that it needs is ready. What has been and is not well has as long to be so again as
    /// it may take to become ready.
    async fn needs_ready(&self) -> Result<(), String> {
        let needs = &self.member.needs;
        self.all(needs, Stage::has_started).await;
        let limit = self.config.ready_within;
        let ready = self.all(needs, |stage| *stage == Stage::Ready);
        if time::timeout(limit, ready).await.is_ok() {
            return Ok(());
        }
        let table = self.table.borrow();
        let lost = needs.iter().find_map(|need| {
            let reason = table.get(need.as_str())?.lost()?;
            Some(format!("`{need}`, which it needs, is {reason}"))
        });
        let lost = lost.unwrap_or_else(|| "what it needs was not ready at one time".to_owned());
        Err(format!(
            "not started within {} s: {lost}",
            limit.as_secs_f64()
        ))
    }

    /// Waits until one that was told to stop has had the time for it, unless it has a deadline.
    async fn given_up(&self) -> Failure {
        let token = self.context.token();
        select! {
            biased;
            () = token.cancelled() => pending().await,
            () = time::sleep(STOPPING) => {}
        }
        let stopping = STOPPING.as_secs();
        Failure::message(format!(
            "aborted, as it went on for {stopping} s after it was told to stop"
        ))
    }

    async fn finish(&self, asked: bool, fault: Option<String>, result: Result<(), Failure>) {
        let reason = match (fault, result) {
            (Some(fault), _) => fault,
            (None, Err(error)) => error.to_string(),
            (None, Ok(())) if asked => "stopped".to_owned(),
            (None, Ok(())) => "ended, and nobody had asked".to_owned(),
        };
        if reason != "stopped" {
            self.context
                .degraded(format!("service `{}`: {reason}", self.member.name));
            let error = reason.clone();
            self.say(ServiceState::Failed { error }).await;
        }
        self.say(ServiceState::Ended { exit: None, asked }).await;
        self.set(Stage::Over(reason));
    }

    /// Sees it become ready, and from then on whether it is well: why it has to be stopped.
    async fn attend(&self, said: &mut watch::Receiver<Said>) -> String {
        let begun = Instant::now();
        let keeps_itself = self.member.service.keeps_itself();
        let limit = self.config.ready_within;
        let ready = async { said.wait_for(|said| *said == Said::Ready).await.is_ok() };
        let became_ready = match keeps_itself {
            true => ready.await,
            false => time::timeout(limit, ready).await.unwrap_or(false),
        };
        if !became_ready {
            let answer = format!("not ready within {} s", limit.as_secs_f64());
            let told = answer.clone();
            self.say(ServiceState::NotReady { answer }).await;
            return told;
        }
        self.well(begun.elapsed()).await;
        loop {
            let reason = select! {
                reason = says_not_ready(said) => reason,
                reason = self.check(), if !keeps_itself => match reason {}
            };
            let since = Instant::now();
            self.unwell(reason).await;
            if said.wait_for(|said| *said == Said::Ready).await.is_err() {
                // Nobody will say so any more; its end is what comes next.
                pending::<()>().await;
            }
            self.well(since.elapsed()).await;
        }
    }

    /// Checks it for as long as it runs.
    async fn check(&self) -> Infallible {
        let (mut failures, mut unwell_since) = (0, None);
        loop {
            time::sleep(self.config.check_every).await;
            let check = caught(self.member.service.check());
            let answer = match time::timeout(self.config.check_within, check).await {
                Ok(answer) => answer,
                Err(_) => Err(Failure::message("no answer")),
            };
            match answer {
                Ok(()) => {
                    failures = 0;
                    if let Some(since) = unwell_since.take() {
                        let since: Instant = since;
                        self.well(since.elapsed()).await;
                    }
                }
                Err(error) => {
                    failures += 1;
                    let is_new = unwell_since.is_none();
                    if is_new && failures >= self.config.failure_threshold.max(1) {
                        unwell_since = Some(Instant::now());
                        self.unwell(error.to_string()).await;
                    }
                }
            }
        }
    }

    async fn well(&self, duration: Duration) {
        self.say(ServiceState::Ready { duration }).await;
        self.set(Stage::Ready);
        let all_well = |table: &Table| table.values().all(|stage| stage.lost().is_none());
        if all_well(&self.table.borrow()) {
            self.context.recovered();
        }
    }

    async fn unwell(&self, answer: String) {
        let reason = format!("unhealthy: {answer}");
        self.context
            .degraded(format!("service `{}`: {reason}", self.member.name));
        self.say(ServiceState::Unhealthy { answer }).await;
        self.set(Stage::Unwell(reason));
    }

    /// Tells it what it needs and has lost, and what has come back, for as long as it runs.
    async fn tell_losses(&self, lost: &watch::Sender<BTreeMap<String, String>>) {
        let mut seen = self.table.subscribe();
        loop {
            let now: BTreeMap<String, String> = {
                let table = seen.borrow_and_update();
                let needs = self.member.needs.iter().filter_map(|need| {
                    let reason = table.get(need.as_str())?.lost()?;
                    Some((need.clone(), reason.to_owned()))
                });
                needs.collect()
            };
            let before = lost.borrow().clone();
            if before != now {
                lost.send_replace(now.clone());
            }
            for (dependency, reason) in now.iter().filter(|(need, _)| !before.contains_key(*need)) {
                self.say_anyway(ServiceState::DependencyLost {
                    dependency: dependency.clone(),
                    reason: reason.clone(),
                })
                .await;
            }
            for dependency in before.into_keys().filter(|need| !now.contains_key(need)) {
                self.say_anyway(ServiceState::DependencyBack { dependency })
                    .await;
            }
            // The sender is in `self`.
            let _ = seen.changed().await;
        }
    }

    /// Waits until it is to end: the whole does, and all that need it have.
    async fn all_dependents_over(&self) {
        self.closing.cancelled().await;
        self.all(&self.dependents, |stage| stage.over().is_some())
            .await;
    }

    /// Waits until all of these are at such a stage.
    async fn all<N: AsRef<str>>(&self, names: &[N], is: impl Fn(&Stage) -> bool) {
        let mut seen = self.table.subscribe();
        let all = |table: &Table| {
            let mut names = names.iter();
            names.all(|name| table.get(name.as_ref()).is_none_or(&is))
        };
        // The sender is in `self`.
        let _ = seen.wait_for(all).await;
    }

    fn set(&self, stage: Stage) {
        self.table.send_modify(|table| {
            table.insert(Arc::clone(&self.member.name), stage);
        });
    }

    async fn say(&self, state: ServiceState) {
        if !self.member.service.keeps_itself() {
            self.say_anyway(state).await;
        }
    }

    async fn say_anyway(&self, state: ServiceState) {
        let event = ServiceLifecycle {
            service: self.member.name.to_string(),
            at: self.context.now(),
            state,
        };
        let told = time::timeout(TELLING, self.states.publish(event)).await;
        if !matches!(told, Ok(Ok(()))) {
            self.untold.add(1);
        }
    }
}

/// Waits until it says that it cannot do its work: why.
async fn says_not_ready(said: &mut watch::Receiver<Said>) -> String {
    loop {
        if let Said::NotReady(reason) = &*said.borrow_and_update() {
            return reason.clone();
        }
        if said.changed().await.is_err() {
            // Nobody will say so any more.
            pending::<()>().await;
        }
    }
}

/// What a service's own code comes to; a panic is a failure of it.
async fn caught(code: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    match catch(code).await {
        Ok(result) => result,
        Err(panic) => Err(Failure::panicked(&*panic)),
    }
}
