//! A child that is a supervisor itself, and the tree that comes of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::ABORT_GRACE;
use tokio::select;

use super::child::Shared;
use super::group::Group;
use super::{Child, ChildContext, ChildError, Closing, Supervisor};

/// How deep a tree is printed: deeper than one is meant to be, and an end to one that is its own child.
const DEPTH_MAX: usize = 16;

/// What is seen of a supervisor from above.
#[derive(Clone)]
pub(super) struct Nested {
    pub(super) name: Arc<str>,
    pub(super) group: Arc<Group>,
}

/// As long as it is there, the tree shows what is below the child.
struct Shown<'c>(&'c Shared);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        *self.0.below() = None;
    }
}

impl ChildContext {
    /// Is this supervisor until the end: a supervisor as a child of another one, as in OTP. Its children
    /// are shown below this one where the tree is printed.
    ///
    /// When this incarnation is to stop, it stops all of them, one after the other, and is done. It fails
    /// when one of them is given up, or there were too many restarts, after it has stopped the others:
    /// so the supervisor above decides what follows. When its significant children have ended, and none
    /// was given up, it ends well. Who asks the supervisor for those that were
    /// [given up](Supervisor::gave_up) beside this may take one from it. It stops them for as long as they have themselves, or
    /// for this child's [`shutdown`](super::ChildSpec::shutdown) time where that is said. Once it has stopped them the
    /// supervisor takes no others: each incarnation makes one of its own, as here.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::Arc;
    /// use coord_bus::{LocalBus, time::SystemClock};
    /// use coord_recovery::{ChildContext, ChildSpec, Supervisor};
    ///
    /// let bus = LocalBus::new();
    /// let above = Supervisor::new("program", &bus, Arc::new(SystemClock))?;
    /// let child = above.start(ChildSpec::new("workers"), move |context: ChildContext| {
    ///     let bus = bus.clone();
    ///     async move {
    ///         let workers = Supervisor::new("workers", &bus, Arc::new(SystemClock))?;
    ///         workers.start(ChildSpec::new("one"), |it: ChildContext| async move {
    ///             it.ready();
    ///             it.token().cancelled().await;
    ///             Ok(())
    ///         })?;
    ///         context.ready();
    ///         context.supervise(&workers).await
    ///     }
    /// })?;
    /// child.ready().await?;
    /// # tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    /// assert_eq!(
    ///     above.to_string(),
    ///     "program, one-for-one\n\
    ///      └─ workers: ready, one-for-one\n\
    ///      \u{20}  └─ one: ready\n"
    /// );
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Why it can no longer do its work; or that it was shut down before.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, nothing is stopped by that; a supervisor that is dropped with it aborts
    /// its children.
    pub async fn supervise(&self, supervisor: &Supervisor) -> Result<(), ChildError> {
        if supervisor.group.children().closed && supervisor.group.closing.borrow().is_none() {
            return Err(ChildError::message(format!(
                "supervisor `{}` was shut down before, with an incarnation that had it, say: make one for each",
                supervisor.name
            )));
        }
        *self.shared().below() = Some(supervisor.seen_from_above());
        let _shown = Shown(self.shared());
        let token = self.token();
        let end = select! {
            biased;
            () = token.cancelled() => Ok(()),
            closing = supervisor.closed() => match closing {
                // Also where it has closed because that one was significant.
                Closing::SignificantEnded { .. } => match supervisor.group.lost() {
                    Some(gave_up) => Err(ChildError::message(gave_up.to_string())),
                    None => Ok(()),
                },
                Closing::TooManyRestarts { child } => Err(ChildError::message(format!(
                    "supervisor `{}` has restarted too often, `{child}` last",
                    supervisor.name
                ))),
            },
            gave_up = supervisor.gave_up() => Err(ChildError::message(gave_up.to_string())),
        };
        // One that holds its thread ends with none of this, and must not hold up those above for ever.
        let longest = supervisor.group.longest_stop(&mut Vec::new());
        let _ = supervisor.shutdown(longest).await;
        end
    }
}

impl Group {
    /// How long all children may take to stop, one after the other; nothing where that is counted already.
    pub(super) fn longest_stop(self: &Arc<Self>, counted: &mut Vec<Arc<Self>>) -> Duration {
        if counted.iter().any(|group| Arc::ptr_eq(group, self)) {
            return Duration::ZERO;
        }
        counted.push(Arc::clone(self));
        // Not under the lock of its children: what is below one has children of its own.
        let children = self.children().list.clone();
        let each = children.iter().map(|child| {
            let longest = child.shared().shutdown_beside(counted);
            longest.saturating_add(ABORT_GRACE)
        });
        each.fold(Duration::ZERO, Duration::saturating_add)
    }
}

/// Writes a line for each child, and what is below it.
pub(super) fn write_tree(
    children: &[Child],
    depth: usize,
    indent: &str,
    formatter: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    for (place, child) in children.iter().enumerate() {
        let (branch, below) = match place + 1 == children.len() {
            true => ("└─", "   "),
            false => ("├─", "│  "),
        };
        let nested = child.shared().below().clone();
        write!(formatter, "{indent}{branch} {}", child.status())?;
        let Some(Nested { name, group }) = nested.filter(|_| depth < DEPTH_MAX) else {
            writeln!(formatter)?;
            continue;
        };
        let strategy = group.rules.strategy;
        match *name == *child.name() {
            true => writeln!(formatter, ", {strategy}")?,
            false => writeln!(formatter, ", {name}, {strategy}")?,
        }
        // Not under the lock of its children: what they print may take theirs.
        let children = group.children().list.clone();
        write_tree(&children, depth + 1, &format!("{indent}{below}"), formatter)?;
    }
    Ok(())
}
