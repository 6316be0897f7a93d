//! Asks a service whether it is ready, and then whether it is well, for as long as it runs.

use std::future::pending;
use std::time::Duration;

use coord_bus::Backoff;
use coord_bus::time::{Clock, Instant};
use coord_bus::vocabulary::{ProbeKind, ProcessHealth, ServiceLifecycle, ServiceState};
use tokio::select;
use tokio::task::unconstrained;

use super::answer::Answer;
use super::check::{Kind, Question};
use super::news::News;
use super::sight::Sight;
use super::{Probe, ServiceError, ServiceSpec};
use crate::process::ProcessRunner;

/// How soon a service that is not ready is asked again, at first: a server that starts in no time
/// is noticed in no time, and twenty questions a second cost little.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// What it takes to look after a service.
#[derive(Debug)]
pub(super) struct Care<'a> {
    pub(super) spec: &'a ServiceSpec,
    pub(super) processes: &'a ProcessRunner,
    pub(super) clock: &'a dyn Clock,
    pub(super) sight: &'a Sight<'a>,
    pub(super) news: &'a News,
}

/// Why a service is to be stopped.
#[derive(Debug)]
pub(super) enum Verdict {
    NotReady { after: Duration, answer: String },
    Unhealthy { failures: u32, answer: String },
}

impl Care<'_> {
    /// Looks after a service until it has to be stopped. Dropped, it leaves no question behind.
    pub(super) async fn take(&self, on_ready: &mut Option<impl FnOnce()>) -> Verdict {
        let pid = self.sight.started().await;
        let begun = Instant::now();
        if let Some(probe) = &self.spec.ready
            && let Err(answer) = self.until_ready(probe, pid).await
        {
            let after = probe.limit();
            return Verdict::NotReady { after, answer };
        }
        if let Some(on_ready) = on_ready.take() {
            self.ready(begun.elapsed(), on_ready);
        }
        match &self.spec.live {
            Some(probe) => self.until_unhealthy(probe, pid).await,
            None => pending().await,
        }
    }

    /// It has ended by itself, perhaps before anybody came to look whether it was ready. Where it is by what its
    /// process does, and not by an answer, it was.
    pub(super) fn look_back(&self, began: Instant, on_ready: Option<impl FnOnce()>) {
        let (Some(on_ready), Some((pid, line))) = (on_ready, self.sight.glance()) else {
            return;
        };
        if self.spec.ready.is_some() {
            let Some(answer) = line else { return };
            self.report(ProbeKind::Readiness, pid, &answer);
        }
        self.ready(began.elapsed(), on_ready);
    }

    fn ready(&self, duration: Duration, on_ready: impl FnOnce()) {
        self.tell(ServiceState::Ready { duration });
        on_ready();
    }

    /// Whether it became ready in time; if not, the last answer.
    async fn until_ready(&self, probe: &Probe, pid: u32) -> Result<(), String> {
        let groups = self.processes.groups();
        let mut last = String::from("no answer");
        let asking = async {
            let question = match &probe.check.0 {
                Kind::Question(question) => question,
                Kind::Log(pattern) => {
                    last = format!("no line matched `{pattern}`");
                    let answer = self.sight.found().await;
                    return self.report(ProbeKind::Readiness, pid, &answer);
                }
            };
            groups.sleep(probe.start_delay).await;
            let pauses = Backoff::exponential(FIRST_PAUSE).max(probe.pace());
            let (mut asked, mut good) = (0, 0);
            loop {
                let answer = self.ask(question, probe).await;
                self.report(ProbeKind::Readiness, pid, &answer);
                good = if answer.healthy { good + 1 } else { 0 };
                if good >= probe.success_threshold.max(1) {
                    return;
                }
                last = answer.text;
                asked += 1;
                groups.sleep(pauses.delay(asked)).await;
            }
        };
        select! {
            biased;
            () = asking => {}
            // What is asked may use up what tokio lets a task do in one go.
            () = unconstrained(groups.sleep(probe.limit())) => return Err(last),
        }
        if matches!(probe.check.0, Kind::Log(_)) {
            // Who is told that it is ready can read why.
            self.sight.published().await;
        }
        Ok(())
    }

    async fn until_unhealthy(&self, probe: &Probe, pid: u32) -> Verdict {
        // Such a service is not run.
        let Kind::Question(question) = &probe.check.0 else {
            return pending().await;
        };
        let groups = self.processes.groups();
        groups.sleep(probe.start_delay).await;
        let mut failures = 0;
        loop {
            let begun = Instant::now();
            let answer = self.ask(question, probe).await;
            self.report(ProbeKind::Liveness, pid, &answer);
            failures = if answer.healthy { 0 } else { failures + 1 };
            if failures >= probe.failure_threshold.max(1) {
                let answer = answer.text;
                return Verdict::Unhealthy { failures, answer };
            }
            groups
                .sleep(probe.pace().saturating_sub(begun.elapsed()))
                .await;
        }
    }

    async fn ask(&self, question: &Question, probe: &Probe) -> Answer {
        select! {
            biased;
            answer = question.ask(&self.spec.process, self.processes) => answer,
            () = unconstrained(self.processes.groups().sleep(probe.timeout)) => Answer::none_within(probe.timeout),
        }
    }

    fn report(&self, probe: ProbeKind, pid: u32, answer: &Answer) {
        self.news.health(ProcessHealth {
            process: self.spec.process.name.clone(),
            pid,
            at: self.clock.now(),
            probe,
            healthy: answer.healthy,
            answer: answer.text.clone(),
        });
    }

    /// Tells of a new state.
    pub(super) fn tell(&self, state: ServiceState) {
        self.news.state(ServiceLifecycle {
            service: self.spec.process.name.clone(),
            at: self.clock.now(),
            state,
        });
    }
}

impl Verdict {
    pub(super) fn state(&self) -> ServiceState {
        match self {
            Self::NotReady { answer, .. } => ServiceState::NotReady {
                answer: answer.clone(),
            },
            Self::Unhealthy { answer, .. } => ServiceState::Unhealthy {
                answer: answer.clone(),
            },
        }
    }

    pub(super) fn error(self, service: &str) -> ServiceError {
        let service = service.to_owned();
        match self {
            Self::NotReady { after, answer } => ServiceError::NotReady {
                service,
                after,
                answer,
            },
            Self::Unhealthy { failures, answer } => ServiceError::Unhealthy {
                service,
                failures,
                answer,
            },
        }
    }
}
