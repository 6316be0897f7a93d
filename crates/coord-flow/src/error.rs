//! What can go wrong with a flow.

use std::time::Duration;

use coord_bus::BusError;

use crate::MAX_FLOWS;

/// A flow was not added, or not found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// It would feed itself.
    #[error(
        "flow `{name}` was refused: it would close the loop {}, and feed itself for ever, or \
         wait for itself once that is full; end the loop at one of these topics, or let the flow `allow_loop`", path.join(" → ")
    )]
    Loop {
        /// The flow.
        name: String,
        /// The topics of the loop in the order of the arrows; the first is also the last.
        path: Vec<String>,
    },
    /// There is a flow of that name.
    #[error(
        "flow `{name}` was not added: there is one of that name, from `{}` to `{}`; give it \
         another with `named`, or remove that one first", from.join("` and `"), to.join("` and `")
    )]
    DuplicateName {
        /// The name.
        name: String,
        /// Where that flow takes events from.
        from: Vec<String>,
        /// Where that flow publishes to.
        to: Vec<String>,
    },
    /// There are as many flows as there may be.
    #[error(
        "flow `{name}` was not added: there are {MAX_FLOWS} flows already, the limit; \
         remove those that have ended, or that nobody needs, with `remove_event_flow`"
    )]
    TooManyFlows {
        /// The flow.
        name: String,
    },
    /// There is no flow of that name, or none that runs.
    #[error("there is no flow `{name}`; `event_flows` lists those that there are")]
    UnknownFlow {
        /// The name.
        name: String,
    },
    /// A flow had not brought to an end what it had in hand.
    #[error(
        "flow `{name}` was not replaced: it still has something in hand after {deadline:?}, and \
         goes on as it was; perhaps nobody reads what it publishes"
    )]
    NotReplaced {
        /// The flow.
        name: String,
        /// The deadline.
        deadline: Duration,
    },
    /// A flow was asked to go on as another before it had come to this one.
    #[error(
        "flow `{name}` was not replaced: it was asked to go on as yet another definition before it \
         came to this one"
    )]
    Superseded {
        /// The flow.
        name: String,
    },
    /// The choreographer was shut down.
    #[error(
        "flow `{name}` was not added, nor takes another's place: its choreographer was shut down"
    )]
    ShutDown {
        /// The flow.
        name: String,
    },
    /// The bus did not open a topic.
    #[error(transparent)]
    Bus(#[from] BusError),
}
