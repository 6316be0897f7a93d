//! `coord cancel`, `pause`, `continue`, `signal` and `skip`: what a run is told, by way of the journal.

use std::io::Write;

use coordination::workflow::{Command, RunId, RunJournal, RunState, nearest};

use super::show::step_of;
use super::take_up::definition;
use super::{RunsFault, find, with_runs};
use crate::args::OfRun;
use crate::exit_code::ExitCode;
use crate::file::printable;
use crate::screen;

/// Tells a run something, and says what comes of it.
pub(crate) fn tell(args: &OfRun, command: Command) -> ExitCode {
    with_runs(&args.of, async |runs| {
        let run = find(runs, &args.run).await?;
        let what = match &command {
            Command::Cancel => "is cancelled".to_owned(),
            Command::Pause => "is paused".to_owned(),
            Command::Continue => "is continued".to_owned(),
            Command::Signal { name, .. } => {
                check_signal(runs, &run, name).await?;
                format!("is sent the signal `{name}`")
            }
            Command::Skip { step } => {
                let view = runs.view(&run).await?;
                let step = step_of(&view, step)?;
                if is_service(runs, &run, &step.id).await? {
                    let (service, run) = (step.id.clone(), run.to_string());
                    return Err(RunsFault::SkippedService { service, run });
                }
                format!("skips the step `{}`", step.id)
            }
            _ => "is told".to_owned(),
        };
        runs.tell(&run, command).await?;
        let when = match runs.view(&run).await?.state {
            RunState::Interrupted => format!(", once it goes on: `coord resume {run}`"),
            _ => String::new(),
        };
        let mut out = screen::out(args.of.color.into());
        writeln!(out, "run {run} {what}{when}")?;
        Ok(out.flush()?)
    })
}

/// A signal for which no step of the run waits is a slip. Where the file cannot be read any more, it is not
/// known.
async fn check_signal(runs: &RunJournal, run: &RunId, name: &str) -> Result<(), RunsFault> {
    let Ok(checked) = definition(runs, run).await?.checked() else {
        return Ok(());
    };
    let units = checked.file.units.iter();
    let known: Vec<_> = units.filter_map(|unit| unit.signal()).collect();
    if known.contains(&name) {
        let view = runs.view(run).await?;
        let units = checked.file.units.iter();
        let waiting = units.filter(|unit| unit.signal() == Some(name));
        let steps: Vec<_> = waiting.filter_map(|unit| view.step(&unit.id)).collect();
        if steps.iter().any(|step| !step.phase.is_over())
            || matches!(view.state, RunState::Finished(_))
        {
            return Ok(());
        }
        let over: Vec<_> = steps.iter().map(|step| &*step.id).collect();
        return Err(RunsFault::NoSignal {
            signal: printable(name),
            run: run.to_string(),
            help: format!("what waited for it is over: {}", over.join(", ")),
        });
    }
    Err(RunsFault::NoSignal {
        signal: printable(name),
        run: run.to_string(),
        help: match (nearest(name, known.iter().copied()), known.is_empty()) {
            (Some(meant), _) => format!("did you mean `{}`?", printable(meant)),
            (None, true) => "none of its steps waits for a signal".to_owned(),
            (None, false) => format!("its steps wait for {}", printable(&known.join(", "))),
        },
    })
}

/// Whether that is a service: what needs one starts it, whatever became of the step that is to. One of a
/// file that cannot be read any more is taken for a step.
async fn is_service(runs: &RunJournal, run: &RunId, id: &str) -> Result<bool, RunsFault> {
    let checked = definition(runs, run).await?.checked();
    Ok(checked.is_ok_and(|checked| {
        let mut units = checked.file.units.iter();
        units.any(|unit| unit.id == id && unit.service().is_some())
    }))
}
