//! A run of which every step is over, and that stays for something; and one that somebody says has failed.

use std::sync::Arc;

use coord_bus::vocabulary::Transition;

use super::attempt::Caught;
use super::{End, Shared, hooks};
use crate::course::Fact;
use crate::outcome::Status;
use crate::reason::Reason;

/// Calls what the run stays for, and is done when that is. How the run ends.
pub(super) async fn as_long_as_wanted(run: &Arc<Shared>) -> Result<Status, End> {
    let Some(stay) = &run.plan.stay else {
        return Ok(run.end_of_done());
    };
    run.must_happen(Fact::Up, || Transition::RunUp).await;
    let mut call = hooks::call(stay, run, Status::Completed);
    call.token = run.token.clone();
    let handler = Arc::clone(&stay.handler);
    let work = Caught::new(Box::pin(async move { handler(call).await }));
    let work = async {
        run.until_ours().await;
        work.await
    };
    let ended = tokio::select! {
        ended = work => ended,
        () = run.suspend.cancelled(), if run.is_durable => {
            run.queue().suspend();
            return Err(run.left().await);
        }
    };
    if let Err(error) = ended {
        run.fail(&Reason::from(error).words);
    }
    Ok(run.end_of_done())
}

impl Shared {
    /// Ends the run as [failed](crate::Run::fail).
    pub(crate) fn fail(&self, why: &str) {
        self.end_as(Status::Failed, why);
    }

    /// Cancels the run, for a reason if there is one.
    pub(crate) fn cancel(&self, why: Option<&str>) {
        match why {
            Some(why) => self.end_as(Status::Cancelled, why),
            None => self.token.cancel(),
        }
    }

    fn end_as(&self, status: Status, why: &str) {
        let wanted = (status, why.into());
        self.queue().wanted.get_or_insert(wanted);
        // Who is woken by that takes the lock.
        self.token.cancel();
    }

    /// How the run ends of which all is done.
    fn end_of_done(&self) -> Status {
        match self.queue().wanted_as(Status::Failed) {
            Some(_) => Status::Failed,
            None => Status::Completed,
        }
    }

    /// Leaves the run as it is.
    pub(super) async fn left(&self) -> End {
        if let Err(end) = self.settled().await {
            return end;
        }
        self.leave_in_order().await;
        self.why_left()
    }
}
