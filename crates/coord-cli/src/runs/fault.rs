//! Why nothing came of what was asked of the runs in a journal. The codes are stable.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use coordination::bus::{Causes, WithCauses};
use coordination::journal::JournalError;
use coordination::workflow::{RunId, WorkflowError};
use miette::Diagnostic;

use crate::exit_code::ExitCode;
use crate::file::printable;

#[derive(Debug, thiserror::Error, Diagnostic)]
pub(crate) enum RunsFault {
    #[error(
        "there is no place for the journal of runs: neither XDG_STATE_HOME nor HOME says where"
    )]
    #[diagnostic(
        code(coord::runs::no_place),
        help("`--journal DIR` says where; `coord run --no-journal` keeps none")
    )]
    NoPlace,

    #[error("the run was not started, for it cannot be kept: {message}")]
    #[diagnostic(
        code(coord::runs::not_kept),
        help(
            "`--journal DIR` keeps it elsewhere; `--no-journal` runs it without a journal: killed, it \
             is lost"
        )
    )]
    NotKept { message: String },

    #[error("{message}")]
    #[diagnostic(
        code(coord::runs::no_journal),
        help("`coord run` keeps its runs there; `--journal DIR` names another place")
    )]
    NoJournal { message: String },

    #[error("{message}")]
    #[diagnostic(code(coord::runs::failed))]
    Failed { message: String },

    #[error("{message}")]
    #[diagnostic(code(coord::runs::id))]
    Id { message: String },

    #[error(
        "run `{run}` was started by a `coord` that makes other steps of its file: {differences}"
    )]
    #[diagnostic(
        code(coord::runs::changed),
        help(
            "go on with it by the version of `coord` that started it, or end it as it is: \
             `coord cancel --no-undo {run}`"
        )
    )]
    Changed { run: String, differences: String },

    #[error("run `{run}` is left as it is: {folder}, the folder of its file, {why}")]
    #[diagnostic(
        code(coord::runs::no_folder),
        help(
            "once it is there, mounted if it is a disk, `{command}` goes on; nothing has been started or undone"
        )
    )]
    NoFolder {
        run: String,
        folder: String,
        why: String,
        command: String,
    },

    #[error("run `{run}` is driven by {driver}")]
    #[diagnostic(
        code(coord::runs::driven),
        help("`coord attach {run}` shows it; `coord cancel {run}` ends it")
    )]
    Driven { run: String, driver: String },

    #[error("nobody drives run `{run}`, so nothing of it runs")]
    #[diagnostic(
        code(coord::runs::not_driven),
        help("`coord resume {run}` goes on with it, and begins again what ran")
    )]
    NotDriven { run: String },

    #[error("run `{run}` has finished: there is nobody to tell it")]
    #[diagnostic(
        code(coord::runs::finished),
        help("`coord show {run}` tells how; `coord retry {run}` does again what failed")
    )]
    Finished { run: String },

    #[error("{message}")]
    #[diagnostic(
        code(coord::runs::ending),
        help(
            "`coord show {run}` says where it is; `coord retry {run}` does it again once it has ended"
        )
    )]
    Ending { run: String, message: String },

    #[error("run `{run}` has not finished, so it is not to be retried")]
    #[diagnostic(
        code(coord::runs::not_finished),
        help(
            "`coord resume {run}` goes on with it, if it was interrupted; `coord show {run}` says where it is"
        )
    )]
    NotFinished { run: String },

    #[error("the latest run is `{run}`, and is not to be retried: {why}")]
    #[diagnostic(code(coord::runs::not_retried))]
    NotRetried {
        run: String,
        why: String,
        #[help]
        help: String,
    },

    #[error("there is nothing to do again in run `{run}`: {why}")]
    #[diagnostic(
        code(coord::runs::nothing_to_retry),
        help(
            "`coord retry {run} --from {step}` does that step again, and all that comes after it"
        )
    )]
    NothingToRetry {
        run: String,
        why: String,
        step: String,
    },

    #[error("step `{step}` of run `{run}` is not skipped: {why}")]
    #[diagnostic(
        code(coord::runs::not_skipped),
        help("`coord retry {run} --from {step}` does it again, once the run has finished")
    )]
    NotSkipped {
        step: String,
        run: String,
        why: String,
    },

    #[error("there is nothing to {does}: `{step}` of run `{run}` {why}")]
    #[diagnostic(code(coord::runs::not_under_way))]
    NotUnderWay {
        step: String,
        run: String,
        does: String,
        why: String,
        #[help]
        help: String,
    },

    #[error("{message}")]
    #[diagnostic(
        code(coord::runs::too_many_signals),
        help("`coord show {run}` shows for which its steps wait, and which of them have begun")
    )]
    TooManySignals { run: String, message: String },

    #[error("run `{run}` was sent another signal `{signal}` with the id `{id}` before")]
    #[diagnostic(
        code(coord::runs::other_signal),
        help("what is another message has another id: nothing was sent")
    )]
    OtherSignal {
        run: String,
        signal: String,
        id: String,
    },

    #[error("{message}")]
    #[diagnostic(
        code(coord::runs::record),
        help(
            "`coord journal check` says whether the journal is whole; a later `coord` may have written it"
        )
    )]
    Record { message: String },

    #[error("{message}")]
    #[diagnostic(
        code(coord::runs::journal),
        help("a disk that is full, or a directory that may not be written to, is the usual cause")
    )]
    Journal { message: String },

    #[error("{message}")]
    #[diagnostic(
        code(coord::runs::interrupted),
        help(
            "what ran was killed; `coord resume {run}` goes on with the run, and does nothing again that is done"
        )
    )]
    Interrupted { run: String, message: String },

    #[error("there is no run `{run}` in the journal")]
    #[diagnostic(code(coord::runs::no_run))]
    NoRun {
        run: String,
        #[help]
        help: String,
    },

    #[error("`{run}` can be any of {count} runs")]
    #[diagnostic(code(coord::runs::ambiguous))]
    Ambiguous {
        run: String,
        count: usize,
        #[help]
        help: String,
    },

    #[error("there is no step `{step}` in run `{run}`")]
    #[diagnostic(code(coord::runs::no_step))]
    NoStep {
        step: String,
        run: String,
        #[help]
        help: String,
    },

    #[error("`{service}` in run `{run}` is a service, and is not skipped")]
    #[diagnostic(
        code(coord::runs::skipped_service),
        help("what needs it starts it: skip the steps that do")
    )]
    SkippedService { service: String, run: String },

    #[error("no step of run `{run}` waits for the signal `{signal}`")]
    #[diagnostic(code(coord::runs::no_signal))]
    NoSignal {
        signal: String,
        run: String,
        #[help]
        help: String,
    },

    #[error("there is a run `{run}` of another file, or with other parameters")]
    #[diagnostic(
        code(coord::runs::other_file),
        help("{}; another `--id` starts a new run", match is_finished {
            true => format!("that one has finished: `coord show {run}` tells how, `--again` forgets it and begins anew"),
            false => format!("`coord resume {run}` goes on with that one"),
        })
    )]
    OtherFile { run: String, is_finished: bool },

    #[error("step `{step}` waits for the signal `{signal}`, which nobody could send")]
    #[diagnostic(
        code(coord::runs::untold),
        help("signals come by way of the journal: leave out `--no-journal`")
    )]
    Untold { step: String, signal: String },

    #[error("step `{step}` pauses the run when it has failed, and nobody could continue it")]
    #[diagnostic(
        code(coord::runs::unpaused),
        help(
            "`coord continue` goes by way of the journal: leave out `--no-journal`, or `on_exhausted`"
        )
    )]
    Unpaused { step: String },

    #[error("no run was interrupted")]
    #[diagnostic(
        code(coord::runs::nothing_to_resume),
        help("`coord list` shows the runs; `coord retry RUN` does again what failed in one")
    )]
    NothingToResume,

    #[error("there is no run")]
    #[diagnostic(code(coord::runs::none), help("`coord run` begins one"))]
    None,

    #[error("no run goes on")]
    #[diagnostic(
        code(coord::runs::nothing_goes_on),
        help("`coord list` shows the runs; `coord resume` goes on with one that was interrupted")
    )]
    NothingGoesOn,

    #[error("run `{run}` does not go on: it is {state}")]
    #[diagnostic(code(coord::runs::not_going_on))]
    NotGoingOn {
        run: String,
        state: String,
        #[help]
        help: String,
    },

    #[error("`{flag}` says something of a file, and this is a run")]
    #[diagnostic(
        code(coord::runs::flag_of_file),
        help("without it, all steps of the run are drawn, with where each is")
    )]
    FlagOfFile { flag: &'static str },

    #[error("the run could not be left to itself: {message}")]
    #[diagnostic(
        code(coord::runs::not_detached),
        help("without `--detach` it runs here")
    )]
    NotDetached { message: String },

    #[error("the page cannot be written to {}", printable(&path.display().to_string()))]
    #[diagnostic(code(coord::runs::report))]
    Report { path: PathBuf, source: io::Error },

    #[error("what was asked for cannot be written")]
    #[diagnostic(code(coord::runs::output))]
    Output(#[from] io::Error),
}

impl RunsFault {
    pub(crate) fn not_kept(error: &(dyn Error + 'static)) -> Self {
        Self::NotKept {
            message: printable(&WithCauses(error).to_string()),
        }
    }

    /// A run came to no end.
    pub(crate) fn interrupted(run: &RunId, error: &WorkflowError) -> Self {
        Self::Interrupted {
            run: run.to_string(),
            message: printable(&error.with_causes()),
        }
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::NothingToResume | Self::NothingGoesOn | Self::None => ExitCode::NothingSelected,
            Self::Report { .. } | Self::Output(_) => ExitCode::OutputLost,
            _ => ExitCode::SetUp,
        }
    }
}

impl From<WorkflowError> for RunsFault {
    fn from(error: WorkflowError) -> Self {
        let message = printable(&error.with_causes());
        match error {
            WorkflowError::InvalidRunId { .. } => Self::Id { message },
            WorkflowError::NoSuchRun { run } => Self::NoRun {
                run,
                help: "`coord list` shows the runs".to_owned(),
            },
            WorkflowError::OtherWorkflow { run, .. } | WorkflowError::OtherInput { run } => {
                let is_finished = false;
                Self::OtherFile { run, is_finished }
            }
            WorkflowError::Changed {
                run, differences, ..
            } => Self::Changed {
                run,
                differences: printable(&differences.join(", ")),
            },
            WorkflowError::DrivenElsewhere { run, holder } => Self::Driven {
                run,
                driver: printable(&holder),
            },
            WorkflowError::NotDriven { run } => Self::NotDriven { run },
            WorkflowError::RunFinished { run } => Self::Finished { run },
            WorkflowError::Ending { run, .. } => Self::Ending { run, message },
            WorkflowError::NotFinished { run } => Self::NotFinished { run },
            WorkflowError::NothingToRetry { run } => Self::NothingToRetry {
                run,
                why: "every step is done".to_owned(),
                step: "STEP".to_owned(),
            },
            WorkflowError::NoSuchSignal {
                run,
                signal,
                nearest,
                awaited,
            } => Self::NoSignal {
                signal: printable(&signal),
                run,
                help: match nearest {
                    Some(meant) => format!("did you mean `{}`?", printable(&meant)),
                    None if awaited.is_empty() => "none of its steps waits for a signal".to_owned(),
                    None => format!("its steps wait for {}", printable(&awaited.join(", "))),
                },
            },
            WorkflowError::NoSuchStep { run, step, nearest } => Self::NoStep {
                help: match nearest {
                    Some(meant) => format!("did you mean `{}`?", printable(&meant)),
                    None => format!("`coord show {run}` shows its steps"),
                },
                step: printable(&step),
                run,
            },
            WorkflowError::NotSkipped { run, step, why } => Self::NotSkipped {
                step,
                run,
                why: printable(&why.to_string()),
            },
            WorkflowError::OtherSignal { run, signal, id } => Self::OtherSignal {
                run,
                signal: printable(&signal),
                id: printable(&id),
            },
            WorkflowError::TooManySignals { run } => Self::TooManySignals { run, message },
            WorkflowError::Record { .. } => Self::Record { message },
            WorkflowError::Journal { .. } | WorkflowError::Lease(_) => Self::Journal { message },
            _ => Self::Failed { message },
        }
    }
}

impl From<JournalError> for RunsFault {
    fn from(error: JournalError) -> Self {
        let message = printable(&error.with_causes());
        match error {
            JournalError::NotThere { .. } => Self::NoJournal { message },
            _ => Self::Journal { message },
        }
    }
}
