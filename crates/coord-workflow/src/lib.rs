//! coord-workflow
mod spec;
mod retry;
mod name;
mod validate;
mod builder;
mod registry;
mod plan;
mod context;
mod orchestrator;
mod run;
mod outcome;
mod error;

pub use builder::{
    InputPlace, Inputs, NoInput, NoUndo, Outputs, Step, StepBuilder, Undo, UndoWith,
    WorkflowBuilder,
};
pub use context::StepContext;
pub use error::{AttemptError, StepError, WorkflowError};
pub use name::{NAME_LENGTH_MAX, Shown, is_name, nearest};
pub use orchestrator::{
    DEFAULT_COMPENSATION_TIMEOUT, DEFAULT_GRACE, OrchestratorBuilder, Run, WorkflowOrchestrator,
};
pub use outcome::{Compensation, Outcome, SkipReason, Status, StepReport, StepState};
pub use plan::{DEFAULT_STEP_TIMEOUT, DEFAULT_WORKFLOW_TIMEOUT, Workflow};
pub use registry::{HandlerCall, Registry};
pub use retry::Retry;
pub use run::RunId;
pub use spec::{Call, Spec, StepSpec};
pub use validate::{Fault, Faults, ValidSpec, validate};
