//! The course of a run: its steps, the services that they need, what a person and signals want of
//! it, and its end.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use coordination::bus::time::{Clock, Instant, SystemClock, sleep};
use coordination::bus::vocabulary::{
    NOTIFICATION, Notification, Severity, WORKFLOW_EVENTS, WorkflowEvent,
};
use coordination::bus::{BusExt, CancellationToken, Subscriber};
use coordination::recovery::{Child, ChildState, ChildStatus};
use coordination::workflow::{
    Command, Durable, Outcome, Run, RunId, RunState, StepError, StepPhase, Workflow, WorkflowError,
};
use coordination::{CoordinationError, Services};
use tokio::sync::mpsc;

use super::{Begin, SetUpError, keeper};
use crate::definition::Definition;
use crate::hands::{StoppedByHand, Wish};
use crate::job::{FailedService, Job};
use crate::needs::Needs;
use crate::runs::{GONE_LOOK, GONE_WITHIN, RunsFault};

/// How long a run that was abandoned may take to end by itself after all.
const ABANDON_AFTER: Duration = Duration::from_secs(1);
/// How often it is looked whether the run has been paused.
const PAUSE_LOOK: Duration = Duration::from_millis(250);
/// How long all services may take to stop, one after the other: each has its own grace, which the
/// file bounds.
const SERVICES_DEADLINE: Duration = Duration::from_secs(24 * 3600);

/// A run, and what it hangs together with.
pub(super) struct Course<'c> {
    pub(super) job: &'c Job,
    pub(super) workflow: &'c Workflow<Definition, Durable>,
    pub(super) begin: &'c Begin,
    /// Whether services are kept when nobody needs them any more.
    pub(super) keeps: bool,
    /// Cancelled when nobody can see what happens any more.
    pub(super) lost: &'c CancellationToken,
}

/// A run that goes on.
pub(super) struct Begun {
    run: Run,
    /// What happens in it, from its beginning on, if somebody is to listen.
    events: Option<Subscriber<WorkflowEvent>>,
}

/// How it ended.
pub(super) struct End {
    /// What became of the steps; `None`: the run was abandoned.
    pub(super) outcome: Option<Arc<Outcome>>,
    /// The service whose failure ended it.
    pub(super) service: Option<FailedService>,
}

impl Course<'_> {
    /// Begins with the run, or goes on with it.
    pub(super) async fn start(&self, definition: Definition) -> Result<Begun, SetUpError> {
        // Nobody would read them where services are kept, or there are none, and the run would wait for that.
        let has_services = self
            .job
            .file
            .units
            .iter()
            .any(|unit| unit.service().is_some());
        let events = match has_services && !self.keeps {
            true => Some(self.job.module.bus().subscribe(&WORKFLOW_EVENTS)?),
            false => None,
        };
        let orchestrator = self.job.module.orchestrator()?;
        let workflow = self.workflow;
        let waited_until = Instant::now() + GONE_WITHIN;
        loop {
            let started = match self.begin {
                Begin::Unkept => orchestrator.start_workflow(workflow, definition.clone()),
                Begin::New(id) => {
                    let (id, definition) = (id.clone(), definition.clone());
                    orchestrator.start_durable(workflow, id, definition).await
                }
                Begin::Anew(id) => {
                    let (id, definition) = (id.clone(), definition.clone());
                    let started = orchestrator.start_durable_anew(workflow, id, definition);
                    started.await
                }
                Begin::Resumed(id) => orchestrator.resume_run(workflow, id).await,
                Begin::Retried(id, from) => {
                    let from = from.as_deref();
                    orchestrator.retry_run(workflow, id, from).await
                }
            };
            match started {
                // Perhaps by one that was killed, and whose processes its watchdog is ending.
                Err(WorkflowError::DrivenElsewhere { .. }) if Instant::now() < waited_until => {
                    sleep(GONE_LOOK).await;
                }
                Err(error @ (WorkflowError::Journal { .. } | WorkflowError::Lease(_)))
                    if matches!(self.begin, Begin::New(_) | Begin::Anew(_)) =>
                {
                    return Err(RunsFault::not_kept(&error).into());
                }
                started => {
                    let run = started.map_err(RunsFault::from)?;
                    return Ok(Begun { run, events });
                }
            }
        }
    }

    /// Runs to the end: until all steps are over and no service runs.
    pub(super) async fn run(
        &self,
        begun: Begun,
        mut needs: Needs,
        mut wishes: mpsc::Receiver<Wish>,
    ) -> Result<End, SetUpError> {
        let services = self.job.module.services()?;
        let Begun { run, events } = begun;
        let standing = self.take_up(&run, &mut needs);
        let abandoned = async {
            self.job.interrupts.abandon.cancelled().await;
            sleep(ABANDON_AFTER).await;
        };
        let keeping = async {
            if let Some(events) = events {
                keeper::keep(self.job, needs, events).await?;
            }
            pending::<Result<Infallible, CoordinationError>>().await
        };
        let over = CancellationToken::new();
        let (again, mut to_start) = mpsc::channel(self.job.file.units.len());
        let killing = async {
            self.job.interrupts.kill.cancelled().await;
            // What is undone may need services.
            tokio::select! {
                () = over.cancelled() => {}
                () = self.job.interrupts.abandon.cancelled() => {}
            }
            services.kill();
            pending::<Infallible>().await
        };
        let granting = async {
            loop {
                let wish = tokio::select! {
                    Some(wish) = wishes.recv() => Some(wish),
                    Some(action) = run.next_action() => Wish::of_action(action),
                    else => break,
                };
                if let Some(wish) = wish {
                    self.grant(&run, services, &again, wish).await;
                }
            }
            pending::<Infallible>().await
        };
        // What one needs is waited for, and wishes are granted meanwhile.
        let starting = async {
            while let Some((place, before)) = to_start.recv().await {
                if let Err(error) = self.job.start_again(place, before, run.id()).await {
                    let id = &self.job.file.units[place].id;
                    self.notify(id, format!("not started again: {error}")).await;
                }
            }
            pending::<Infallible>().await
        };
        let pausing = self.pause(&run);
        let outcome = tokio::select! {
            outcome = self.to_the_end(&run, &standing, &over) => Some(outcome?),
            () = abandoned => None,
            never = keeping => match never? {},
            never = killing => match never {},
            never = granting => match never {},
            never = starting => match never {},
            never = pausing => match never {},
        };
        Ok(End {
            outcome,
            service: self.job.failed_service().cloned(),
        })
    }

    /// Notes what is over already in a run that goes on. Which services were ready, and are to be
    /// there again for their own sake; others are when a step needs them.
    fn take_up(&self, run: &Run, needs: &mut Needs) -> Vec<usize> {
        let view = run.view();
        let steps = view.filter(|view| !matches!(view.state, RunState::Finished(_)));
        let steps = steps.map(|view| view.steps).unwrap_or_default();
        let mut standing = Vec::new();
        for (place, (unit, step)) in self.job.file.units.iter().zip(steps).enumerate() {
            match unit.step() {
                None if step.phase == StepPhase::Completed
                    && (self.keeps || needs.stands(place)) =>
                {
                    standing.push(place);
                }
                // What undoes it may need them.
                Some(own) if step.phase == StepPhase::Completed && own.undo.is_some() => {}
                Some(_) if step.phase.is_over() => drop(needs.over(place)),
                _ => {}
            }
        }
        standing
    }

    /// Starts services again. The first that does not come up, and why.
    async fn stand(&self, run: &RunId, standing: &[usize]) -> Result<(), FailedService> {
        for place in standing {
            let up = self.job.up(*place, run, &self.job.interrupts.end).await;
            up.map_err(|error| FailedService::not_up(&self.job.file.units[*place].id, &error))?;
        }
        Ok(())
    }

    /// The steps, then the services that stay for as long as they are wanted, then their end. `over`
    /// is cancelled when nothing of the steps is left to be done or undone.
    async fn to_the_end(
        &self,
        run: &Run,
        standing: &[usize],
        over: &CancellationToken,
    ) -> Result<Arc<Outcome>, SetUpError> {
        let services = self.job.module.services()?;
        let stay = &self.job.stay;
        let mut up = Some(Box::pin(self.stand(run.id(), standing)));
        let mut is_to_end = false;
        let outcome = loop {
            tokio::select! {
                outcome = run.outcome() => break outcome,
                () = stay.begun.cancelled() => {
                    over.cancel();
                    let staying = async {
                        match is_to_end {
                            true => None,
                            false => self.stay(services, up.take()).await,
                        }
                    };
                    tokio::select! {
                        biased;
                        failed = staying => {
                            if let Some(service) = &failed {
                                self.fail(run, service);
                            }
                        }
                        // It is left as it is, and nobody here would write down what becomes of its services.
                        left = run.outcome() => break left,
                    }
                    // The run is up for as long as they are.
                    let _ = services.shutdown(SERVICES_DEADLINE).await;
                    stay.over.cancel();
                    break run.outcome().await;
                }
                service = self.failure(services), if !is_to_end => self.fail(run, &service),
                // What is undone may need those that are still to come up.
                Some(stood) = async { Some(up.as_mut()?.await) } => {
                    up = None;
                    match stood {
                        Err(service) if !is_to_end => self.fail(run, &service),
                        _ => continue,
                    }
                }
                () = self.unwanted(), if !is_to_end => run.cancel(),
            }
            is_to_end = true;
        };
        let outcome = outcome.map_err(|error| RunsFault::interrupted(run.id(), &error))?;
        over.cancel();
        let _ = services.shutdown(SERVICES_DEADLINE).await;
        Ok(outcome)
    }

    /// A service has failed, and the run with it.
    fn fail(&self, run: &Run, failed: &FailedService) {
        self.job.note_failed_service(failed);
        run.fail(&failed.of_run());
    }

    /// Stays until all services have ended, one has failed, or somebody wants an end; once those that
    /// are still to come up again have.
    async fn stay<'u>(
        &self,
        services: &Services,
        up: Option<impl Future<Output = Result<(), FailedService>> + 'u>,
    ) -> Option<FailedService> {
        let standing = async {
            if let Some(up) = up {
                up.await?;
            }
            self.job.interrupts.standing.cancel();
            tokio::select! {
                () = all_ended(services) => {}
                () = self.unwanted() => {}
            }
            Ok(())
        };
        tokio::select! {
            // The last service to end may have failed.
            biased;
            service = self.failure(services) => Some(service),
            stood = standing => stood.err(),
        }
    }

    /// Resolves when somebody wants an end, or nobody can see what happens.
    async fn unwanted(&self) {
        tokio::select! {
            () = self.job.interrupts.end.cancelled() => {}
            () = self.lost.cancelled() => {}
            () = self.job.stay.unwanted.cancelled() => {}
        }
    }

    /// The next service whose failure is that of the run: it was given up, and had been ready. One
    /// that never was fails the step that started it.
    async fn failure(&self, services: &Services) -> FailedService {
        loop {
            let gave_up = services.gave_up().await;
            if self.job.was_ready(&gave_up.child) {
                return FailedService::given_up(gave_up);
            }
        }
    }

    /// Looks whether the run is paused, which it may be by another process, and pauses or continues
    /// it where a person here wants that.
    async fn pause(&self, run: &Run) -> Infallible {
        let interrupts = &self.job.interrupts;
        loop {
            let view = run.view();
            let is_paused = view.as_ref().is_some_and(|view| view.is_paused);
            interrupts.paused.send_if_modified(|was_paused| {
                std::mem::replace(was_paused, is_paused) != is_paused
            });
            if view.is_none_or(|view| view.state != RunState::Running) {
                return pending().await;
            }
            tokio::select! {
                () = sleep(PAUSE_LOOK) => {}
                () = interrupts.pause.notified() => {
                    let command = match is_paused {
                        true => Command::Continue,
                        false => Command::Pause,
                    };
                    // Where the journal fails, the run ends, and says why.
                    let _ = run.tell(command).await;
                }
            }
        }
    }

    /// Does what a person wants of a step or service, and does not wait until it is done.
    async fn grant(
        &self,
        run: &Run,
        services: &Services,
        again: &mpsc::Sender<(usize, Option<Child>)>,
        wish: Wish,
    ) {
        let hands = &self.job.hands;
        let (step, told) = match wish {
            Wish::Restart(ref id) => {
                let service = services.service(id);
                if service.as_ref().is_some_and(Child::restart) {
                    return;
                }
                let place = self.job.place(id);
                match place.filter(|place| self.job.file.units[*place].service().is_some()) {
                    // As many as there are may wait.
                    Some(place) => drop(again.try_send((place, service))),
                    // One that was stopped, and of which items are still ending, has failed for good.
                    None if hands.is_given_up(id) => {}
                    None => {
                        hands.end(id, &wish);
                        run.try_now(id);
                    }
                }
                return;
            }
            Wish::Stop(ref id) => {
                match services.service(id) {
                    Some(service) => service.ask_to_stop(),
                    None => {
                        hands.give_up(id);
                        hands.end(id, &wish);
                        let stopped = StepError::from(StoppedByHand).permanent();
                        if !run.begin_no_more(id, stopped) && !run.try_now(id) {
                            hands.take_up(id);
                        }
                    }
                }
                return;
            }
            Wish::Retry(ref step) | Wish::Skip(ref step) | Wish::Signal { ref step, .. } => {
                (step.clone(), run.tell(wish.into_command()).await)
            }
        };
        if let Err(error) = told {
            self.notify(&step, error.to_string()).await;
        }
    }

    /// Tells who looks what was not done.
    async fn notify(&self, step: &str, message: String) {
        let said = Notification {
            at: SystemClock.now(),
            severity: Severity::Warning,
            title: step.to_owned(),
            message,
        };
        if let Ok(notifications) = self.job.module.bus().publisher(&NOTIFICATION) {
            // A closed bus has nobody left to tell.
            let _ = notifications.publish(said).await;
        }
    }
}

/// Resolves when no service runs any more: one that has ended may have been started again.
async fn all_ended(services: &Services) {
    let runs = |status: &ChildStatus| !matches!(status.state, ChildState::Ended(_));
    while let Some(status) = services.list().into_iter().find(runs) {
        if let Some(service) = services.service(&status.name) {
            service.ended().await;
        }
    }
}
