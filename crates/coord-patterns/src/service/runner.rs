//! Runs services, and publishes how they get on.

use std::pin::pin;
use std::sync::Arc;

use coord_bus::time::{Clock, Instant};
use coord_bus::vocabulary::{
    Exit, PROCESS_HEALTH, ProcessHealth, SERVICE_LIFECYCLE, ServiceLifecycle, ServiceState,
};
use coord_bus::{Bus, BusExt, Publisher};
use tokio::task::yield_now;
use tokio::{join, select};

use super::care::{Care, Verdict};
use super::check::Kind;
use super::news::{News, news};
use super::sight::Sight;
use super::{Probe, ServiceError, ServiceSpec};
use crate::process::{ProcessError, ProcessRunner, Stop};

/// Runs services. Cheap to clone; one serves any number of services at once.
#[derive(Debug, Clone)]
pub struct ServiceRunner {
    processes: ProcessRunner,
    lifecycle: Publisher<ServiceLifecycle>,
    health: Publisher<ProcessHealth>,
    clock: Arc<dyn Clock>,
}

/// What happens to a service first.
enum Turn {
    /// Its process has ended, and everything was told.
    Over(Result<Exit, ProcessError>),
    /// Its process has ended.
    Ended,
    /// It is asked to stop.
    Stopped,
    /// It is not well.
    Failed(Verdict),
}

/// How the process of a service came to its end.
struct End {
    exit: Result<Exit, ProcessError>,
    /// Whether it was asked to by the service's stop.
    asked: bool,
    /// Or because it was not well.
    verdict: Option<Verdict>,
}

impl ServiceRunner {
    /// A runner that publishes to the topics [`SERVICE_LIFECYCLE`] and [`PROCESS_HEALTH`] of this
    /// bus. Its processes, and those of its probes, run through `processes`, so that they are
    /// suspended with that; its clock is that one's too.
    ///
    /// # Errors
    ///
    /// When a topic cannot be opened: [`ServiceError::Bus`].
    pub fn new(bus: &(impl Bus + ?Sized), processes: ProcessRunner) -> Result<Self, ServiceError> {
        Ok(Self {
            lifecycle: bus.publisher(&SERVICE_LIFECYCLE)?,
            health: bus.publisher(&PROCESS_HEALTH)?,
            clock: Arc::clone(processes.clock()),
            processes,
        })
    }

    /// With this clock for the times in its events.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Runs a service once, to the end of its process, and says how that ended. `on_ready` is
    /// called when the service is ready, if it ever is.
    ///
    /// When this returns, nothing of the process's group is left, and all events of the service
    /// have been published. A bus that is full holds up that, and neither a probe nor a stop.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the groups of the process and of a probe's command are killed
    /// with SIGKILL, at once, and nothing more is published.
    ///
    /// # Errors
    ///
    /// When the service does not become ready, or is well no more: it is stopped first, with its
    /// grace. And when its process does not start or is lost, or the bus is closed. See
    /// [`ServiceError`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime that has its I/O and its time enabled.
    pub async fn run(
        &self,
        spec: &ServiceSpec,
        stop: &Stop,
        on_ready: impl FnOnce(),
    ) -> Result<Exit, ServiceError> {
        let name = &spec.process.name;
        if pattern(spec.live.as_ref()).is_some() {
            return Err(ServiceError::LiveByLog {
                service: name.clone(),
            });
        }
        // Stopped with the service's stop, and when it is not well.
        let own = Stop {
            graceful: stop.graceful.child_token(),
            immediate: stop.immediate.child_token(),
        };
        let (news, untold) = news();
        let keeping = self.keep(spec, (stop, &own), news, on_ready);
        let telling = async {
            let told = untold.tell(&self.lifecycle, &self.health).await;
            // Nobody would ever learn of what it does from now on.
            if told.is_err() {
                own.immediate.cancel();
            }
            told
        };
        // News are told in the turn in which they come, and so before what others make of them.
        let (end, told) = join!(biased; keeping, telling);
        let state = ServiceState::Ended {
            exit: end.exit.as_ref().ok().copied(),
            asked: end.asked,
        };
        let end_told = self.lifecycle.publish(ServiceLifecycle {
            service: name.clone(),
            at: self.clock.now(),
            state,
        });
        let end_told = end_told.await;
        // What became of the process matters more than that nobody could be told.
        let exit = end.exit?;
        if let Some(verdict) = end.verdict {
            return Err(verdict.error(name));
        }
        told?;
        end_told.map_err(|refused| ServiceError::unpublished(name, refused))?;
        Ok(exit)
    }

    /// Keeps a service running until it ends, is asked to, or is not well.
    async fn keep(
        &self,
        spec: &ServiceSpec,
        (stop, own): (&Stop, &Stop),
        news: News,
        on_ready: impl FnOnce(),
    ) -> End {
        let sight = Sight::new(pattern(spec.ready.as_ref()));
        let care = Care {
            spec,
            processes: &self.processes,
            clock: &*self.clock,
            sight: &sight,
            news: &news,
        };
        care.tell(ServiceState::Starting);
        // A turn for the telling: that it starts is told before its process has.
        yield_now().await;
        let (began, mut on_ready) = (Instant::now(), Some(on_ready));
        let mut process = pin!(self.processes.run_watched(&spec.process, own, &sight));
        let turn = select! {
            biased;
            exit = &mut process => Turn::Over(exit),
            () = sight.ended() => Turn::Ended,
            () = own.graceful.cancelled() => Turn::Stopped,
            () = own.immediate.cancelled() => Turn::Stopped,
            verdict = care.take(&mut on_ready) => Turn::Failed(verdict),
        };
        // From here on, nobody asks it anything any more.
        let (mut asked, mut verdict) = (false, None);
        let exit = match turn {
            Turn::Over(exit) => {
                asked = matches!(exit, Err(ProcessError::Stopped { .. }));
                exit
            }
            Turn::Ended => process.await,
            Turn::Stopped => {
                asked = stop.is_requested();
                process.await
            }
            Turn::Failed(failed) => {
                own.graceful.cancel();
                care.tell(failed.state());
                verdict = Some(failed);
                process.await
            }
        };
        if !own.is_requested() {
            care.look_back(began, on_ready);
        }
        End {
            exit,
            asked,
            verdict,
        }
    }
}

/// What a probe looks for in the log.
fn pattern(probe: Option<&Probe>) -> Option<&regex_lite::Regex> {
    match &probe?.check.0 {
        Kind::Log(pattern) => Some(pattern),
        Kind::Question(_) => None,
    }
}
