//! What can go wrong with a flow.

use coord_bus::BusError;

use crate::MAX_FLOWS;

/// A flow was not added, or not found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// It would feed itself.
    #[error(
        "flow `{name}` was not added: it would close the loop {}, and wait for itself for ever \
         once that is full; end the loop at one of these topics", path.join(" → ")
    )]
    Loop {
        /// The flow.
        name: String,
        /// The topics of the loop in the order of the arrows; the first is also the last.
        path: Vec<String>,
    },
    /// There is a flow of that name.
    #[error(
        "flow `{name}` was not added: there is one of that name, from `{from}` to `{to}`; give it \
         another with `named`, or remove that one first"
    )]
    DuplicateName {
        /// The name.
        name: String,
        /// Where that flow takes events from.
        from: String,
        /// Where that flow publishes to.
        to: String,
    },
    /// There are as many flows as there may be.
    #[error("flow `{name}` was not added: there are {MAX_FLOWS} flows already, the limit")]
    TooManyFlows {
        /// The flow.
        name: String,
    },
    /// There is no flow of that name.
    #[error("there is no flow `{name}`; `event_flows` lists those that there are")]
    UnknownFlow {
        /// The name.
        name: String,
    },
    /// The choreographer was shut down.
    #[error("flow `{name}` was not added: its choreographer was shut down")]
    ShutDown {
        /// The flow.
        name: String,
    },
    /// The bus did not open a topic.
    #[error(transparent)]
    Bus(#[from] BusError),
}
