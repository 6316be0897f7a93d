//! Work that goes on where nobody waits for it any more.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use coord_bus::{BoxFuture, TaskScope};
use tokio::runtime::Handle;

use crate::WorkflowError;

/// Is done where it is awaited. Dropped in the middle, as by a time limit around it, it becomes a task of its
/// scope, which sees it through.
pub(crate) struct SeenThrough<T: Send + 'static> {
    /// `None` once it is done, or has panicked.
    pub(crate) work: Option<BoxFuture<'static, Result<T, WorkflowError>>>,
    /// What nobody has ever waited for need not be done.
    pub(crate) has_begun: bool,
    pub(crate) tasks: Arc<TaskScope>,
}

impl<T: Send + 'static> Future for SeenThrough<T> {
    type Output = Result<T, WorkflowError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.has_begun = true;
        let mut work = self.work.take().expect("it is not polled once it is done");
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for SeenThrough<T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take()
            && self.has_begun
            // Where the runtime has gone, so have the runs.
            && Handle::try_current().is_ok()
        {
            self.tasks
                .spawn("a run that nobody waits for begins", async {
                    // An error is for who asked.
                    let _ = work.await;
                });
        }
    }
}
