//! Services that are started again by hand once they have ended, in a run that goes on.

use coordination::recovery::{Child, ChildState};
use coordination::workflow::{RunId, StepError};

use super::Job;
use super::service_end::{FailedService, NeverReady, NotUp};

impl Job {
    /// Starts a service again once what there was of it has ended; those first that it needs and that have. It is not
    /// waited for that it is ready.
    pub(crate) async fn start_again(
        &self,
        place: usize,
        before: Option<Child>,
        run: &RunId,
    ) -> Result<(), StepError> {
        if let Some(before) = before {
            before.ended().await;
        }
        for needed in self.services_of(&self.file.units[place], |needed| self.has_ended(needed)) {
            let up = match self.another_life(needed, run).await {
                Ok(None) => Ok(()),
                Ok(Some(child)) => child
                    .ready()
                    .await
                    .map_err(|end| NeverReady::of(&end).into()),
                Err(error) => Err(error),
            };
            let id = &self.file.units[needed].id;
            up.map_err(|error| NotUp(FailedService::not_up(id, &error)))?;
        }
        self.another_life(place, run).await?;
        Ok(())
    }

    /// Whether nothing of a service runs any more that was ready.
    fn has_ended(&self, place: usize) -> bool {
        match self.child(place) {
            Some(child) => matches!(child.state(), ChildState::Ended(_)),
            None => self.was_up[place],
        }
    }

    /// That of a service, if it was started in this process.
    pub(super) fn child(&self, place: usize) -> Option<Child> {
        let services = self.module.services().ok()?;
        services.service(&self.file.units[place].id)
    }

    /// `None`: it is up, or has been started again meanwhile.
    async fn another_life(&self, place: usize, run: &RunId) -> Result<Option<Child>, StepError> {
        if !self.has_ended(place) {
            return Ok(None);
        }
        match (self.up[place].initialized(), self.was_up[place]) {
            (true, _) => {}
            // Steps that need it are to find it, too.
            (false, true) => {
                self.up(place, run, &self.interrupts.end).await?;
                return Ok(None);
            }
            (false, false) => return Err(NeverReady::unwanted("it has never been ready").into()),
        }
        Ok(Some(self.start(place, run)?))
    }
}
