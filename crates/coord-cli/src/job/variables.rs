//! The variables that processes are given, each of those that are of it, and no others.

use coordination::patterns::process::ProcessSpec;
use coordination::workflow::{RunId, StepContext};

use super::{GRACE, Job, outputs};
use crate::file::{Unit, param_variable};

/// The variable that says which attempt a process is, or which incarnation of a service.
pub(super) const ATTEMPT: &str = "COORD_ATTEMPT";

/// The variable that says which run a process is of.
pub(crate) const RUN_ID: &str = "COORD_RUN_ID";

/// The variables that only those processes have that they are of: where `coord` is itself a step of another
/// `coord`, those of that step are none of its processes' business.
const OF_OTHERS: [&str; 15] = [
    ATTEMPT,
    RUN_ID,
    outputs::FILE,
    "COORD_ERROR",
    "COORD_EXIT_CODE",
    "COORD_FAILED_ITEMS",
    "COORD_FAILED_STEPS",
    "COORD_FENCING_TOKEN",
    "COORD_HOOK",
    "COORD_IDEMPOTENCY_KEY",
    "COORD_ITEM",
    "COORD_ITEM_INDEX",
    "COORD_STATUS",
    "COORD_STEP",
    "COORD_WORKFLOW",
];

impl Job {
    /// A process of an attempt at a step, or at undoing it.
    pub(super) fn attempt(
        &self,
        unit: &Unit,
        process: ProcessSpec,
        context: &StepContext,
    ) -> ProcessSpec {
        self.process(unit, process, context.run())
            .env(ATTEMPT, context.attempt().to_string())
            .env("COORD_IDEMPOTENCY_KEY", context.idempotency_key())
            .env("COORD_FENCING_TOKEN", context.fencing_token().to_string())
            .attempt(context.attempt())
            .grace(GRACE)
    }

    /// A process with the folder and the variables of its unit, all but those of an attempt.
    pub(super) fn process(&self, unit: &Unit, process: ProcessSpec, run: &RunId) -> ProcessSpec {
        let process = self.with_those_of_file(process.dir(&unit.folder));
        self.of_run(process.envs(&unit.env), run)
            .env("COORD_STEP", &unit.id)
    }

    /// A process with the variables that all have.
    pub(super) fn process_of_run(&self, process: ProcessSpec, run: &RunId) -> ProcessSpec {
        self.of_run(self.with_those_of_file(process), run)
    }

    /// Which run it is of: behind what the file says, so that what is left of the run is found.
    fn of_run(&self, process: ProcessSpec, run: &RunId) -> ProcessSpec {
        let process = process.env("COORD_WORKFLOW", &self.file.name);
        process.env(RUN_ID, run.as_str())
    }

    fn with_those_of_file(&self, process: ProcessSpec) -> ProcessSpec {
        let params = self.params.iter();
        process
            .not_inherited(OF_OTHERS)
            .envs(params.map(|(name, value)| (param_variable(name), value)))
            .secrets(self.secrets.clone())
            .envs(&self.file.dotenv)
            .envs(&self.file.env)
    }
}
