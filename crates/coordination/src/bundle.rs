//! A pattern with what it needs of other parts: flows, and settings of streams.

use std::sync::Weak;
use std::time::Duration;

use coord_bus::{BoxFuture, Failure};
use coord_flow::{EventChoreographer, EventFlow};
use coord_patterns::pattern::{Claim, Pattern, PatternContext};

/// What holds settings until it is dropped.
pub(crate) type Settings = Box<dyn std::any::Any + Send>;

/// A pattern, and what is there for as long as it is enabled. It has the pattern's own name, and one
/// handle for all of it.
pub(crate) struct Bundle<P> {
    pub(crate) pattern: P,
    /// The choreographer belongs to the module, and ends with it.
    pub(crate) choreographer: Weak<EventChoreographer>,
    /// Made anew each time.
    pub(crate) flows: Box<dyn Fn() -> Vec<EventFlow> + Send + Sync>,
    /// Sets streams until what it gives is dropped.
    pub(crate) streams: Box<dyn Fn() -> Result<Settings, Failure> + Send + Sync>,
}

/// The flows of a bundle that have been added: when it is dropped they are aborted, unless they have
/// been removed.
struct Flows {
    choreographer: Weak<EventChoreographer>,
    names: Vec<String>,
}

impl Flows {
    fn add(&mut self, flows: Vec<EventFlow>) -> Result<(), Failure> {
        for flow in flows {
            let choreographer = self.choreographer.upgrade();
            let choreographer =
                choreographer.ok_or_else(|| Failure::message("its module is dropped"))?;
            let name = flow.name().to_owned();
            choreographer.add_event_flow(flow)?;
            self.names.push(name);
        }
        Ok(())
    }

    /// Lets them handle what has been published. How long that may take is for who waits for it.
    async fn remove(mut self) {
        while let Some(name) = self.names.last() {
            if let Some(choreographer) = self.choreographer.upgrade() {
                // One that was removed by hand is gone as it should be.
                let _ = choreographer.remove_event_flow(name, Duration::MAX).await;
            }
            self.names.pop();
        }
    }
}

impl Drop for Flows {
    fn drop(&mut self) {
        let Some(choreographer) = self.choreographer.upgrade() else {
            return;
        };
        for name in &self.names {
            let _ = choreographer.abort_event_flow(name);
        }
    }
}

impl<P: Pattern> Pattern for Bundle<P> {
    fn name(&self) -> &str {
        self.pattern.name()
    }

    fn claims(&self) -> Vec<Claim> {
        let flows = (self.flows)();
        let flows = flows.iter().map(|flow| Claim::new("flow", flow.name()));
        self.pattern.claims().into_iter().chain(flows).collect()
    }

    fn start(&self, context: PatternContext) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            let mut flows = Flows {
                choreographer: Weak::clone(&self.choreographer),
                names: Vec::new(),
            };
            // First, so that they miss nothing of what the pattern tells.
            flows.add((self.flows)())?;
            let streams = (self.streams)()?;
            self.pattern.start(context.clone()).await?;
            // Last, so that they miss nothing of its end either.
            context.spawn_last("flows", async move {
                flows.remove().await;
                drop(streams);
            });
            Ok(())
        })
    }
}
