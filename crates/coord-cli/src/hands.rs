//! What a person at the screen does with a step that runs: stop it, run it again, or skip it.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use coordination::bus::CancellationToken;
use coordination::workflow::{Command, StepAction};
use serde_json::Value;

use crate::process_name::step_of;

/// What a person wants of a step or service, by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    /// That it ends, and is run again; or, where it waits for that, that it waits no longer.
    Restart(String),
    /// That it ends, and is not tried again.
    Stop(String),
    /// That it is tried again, of which every attempt has failed, with all others of which that is so.
    Retry(String),
    /// That it is not run, or not again, and what needs it goes on.
    Skip(String),
    /// That it has the signal for which it waits.
    Signal {
        step: String,
        name: String,
        payload: Value,
    },
}

/// What another `coord` is told to do with a step or service, in the journal.
const RESTART: &str = "restart";
const STOP: &str = "stop";

impl Wish {
    /// As who drives the run is told it, in whichever process that is.
    pub(crate) fn into_command(self) -> Command {
        match self {
            Self::Restart(step) => Command::Act(StepAction::new(step, RESTART)),
            Self::Stop(step) => Command::Act(StepAction::new(step, STOP)),
            Self::Retry(_) => Command::Continue,
            Self::Skip(step) => Command::Skip { step },
            Self::Signal { name, payload, .. } => Command::Signal {
                name,
                payload,
                id: None,
            },
        }
    }

    /// What somebody wants elsewhere. `None`: of a later version.
    pub(crate) fn of_action(action: StepAction) -> Option<Self> {
        match &*action.action {
            RESTART => Some(Self::Restart(action.step)),
            STOP => Some(Self::Stop(action.step)),
            _ => None,
        }
    }
}

/// Why a step ended that a person stopped.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("it was stopped by hand")]
pub(crate) struct StoppedByHand;

/// The processes of steps that run, within reach.
#[derive(Debug, Default)]
pub(crate) struct Hands {
    steps: Mutex<HashMap<String, Grip>>,
    /// Those that were stopped while they waited for another attempt, which is not to be made, or while items were to
    /// follow.
    given_up: Mutex<HashSet<String>>,
}

#[derive(Debug)]
struct Grip {
    token: CancellationToken,
    wish: Option<Wish>,
}

impl Hands {
    /// Brings a process of a step within reach. It is to stop when the token is cancelled, which is
    /// also when its parent is.
    pub(crate) fn hold(&self, process: &str, parent: &CancellationToken) -> CancellationToken {
        let token = parent.child_token();
        let grip = Grip {
            token: token.clone(),
            wish: None,
        };
        self.steps().insert(process.to_owned(), grip);
        token
    }

    /// Takes a step out of reach, and says what was wished meanwhile.
    pub(crate) fn release(&self, process: &str) -> Option<Wish> {
        self.steps().remove(process)?.wish
    }

    /// Ends a step, if it runs, for what is wished.
    pub(crate) fn end(&self, step: &str, wish: &Wish) {
        let mut processes = self.steps();
        let of_step = processes
            .iter_mut()
            .filter(|(process, _)| step_of(process) == step);
        for (_, grip) in of_step {
            grip.token.cancel();
            grip.wish = Some(wish.clone());
        }
    }

    /// A step that waits for another attempt is not to make it, and no further item of one begins.
    pub(crate) fn give_up(&self, step: &str) {
        self.given_up().insert(step.to_owned());
    }

    /// It did not wait for one, and has no items.
    pub(crate) fn take_up(&self, step: &str) {
        self.given_up().remove(step);
    }

    pub(crate) fn is_given_up(&self, step: &str) -> bool {
        self.given_up().contains(step)
    }

    fn given_up(&self) -> MutexGuard<'_, HashSet<String>> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn steps(&self) -> MutexGuard<'_, HashMap<String, Grip>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
