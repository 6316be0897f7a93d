//! Stops services that nobody needs any more, while the run goes on.

use coordination::CoordinationError;
use coordination::bus::Subscriber;
use coordination::bus::vocabulary::{Transition, WorkflowEvent};
use tokio::sync::mpsc;

use crate::job::Job;
use crate::needs::Needs;

/// Watches steps come to their ends, and stops the services that only they needed: the last one
/// started first, one after the other.
///
/// A step that can be undone needs its services until all steps are over, for its undoing may.
pub(super) async fn keep(
    job: &Job,
    mut needs: Needs,
    mut events: Subscriber<WorkflowEvent>,
) -> Result<(), CoordinationError> {
    let services = job.module.services()?;
    // Each is stopped once.
    let (free, mut freed) = mpsc::channel::<usize>(job.file.units.len());
    let watching = async move {
        while let Some(event) = events.recv().await {
            let over = match event.transition {
                Transition::RunUp => Some(needs.all_over()),
                ref transition => step_over(job, transition).map(|step| needs.over(step)),
            };
            // Those that were started later stand later in the list of services.
            let started = services.list();
            let mut over = over.unwrap_or_default();
            over.sort_by_key(|place| {
                let id = &job.file.units[*place].id;
                let at = started.iter().position(|service| service.name == *id);
                std::cmp::Reverse(at)
            });
            for service in over {
                job.note_unneeded(service);
                let _ = free.try_send(service);
            }
        }
    };
    let stopping = async {
        while let Some(place) = freed.recv().await {
            if let Some(service) = services.service(&job.file.units[place].id) {
                service.stop().await;
            }
        }
    };
    tokio::join!(watching, stopping);
    Ok(())
}

/// The step that a transition brings to its end, if nothing of it may need services any more.
fn step_over(job: &Job, transition: &Transition) -> Option<usize> {
    let id = transition.step()?;
    let place = job.place(id)?;
    let step = job.file.units[place].step()?;
    let is_over = match transition {
        Transition::StepCompleted { .. } => step.undo.is_none(),
        Transition::StepFailed { .. }
        | Transition::StepSkipped { .. }
        | Transition::StepCancelled { .. } => true,
        _ => false,
    };
    is_over.then_some(place)
}
