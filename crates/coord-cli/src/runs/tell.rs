//! `coord cancel`, `pause`, `continue` and `signal`: what a run is told, by way of the journal.

use std::io::Write;

use coordination::workflow::{Command, RunState};

use super::{find, with_runs};
use crate::args::OfRun;
use crate::exit_code::ExitCode;
use crate::screen;

/// Tells a run something, and says what comes of it.
pub(crate) fn tell(args: &OfRun, command: Command) -> ExitCode {
    with_runs(&args.of, async |runs| {
        let run = find(runs, &args.run).await?;
        let what = match &command {
            Command::Cancel => "is cancelled".to_owned(),
            Command::Pause => "is paused".to_owned(),
            Command::Continue => "is continued".to_owned(),
            Command::Signal { name, .. } => format!("is sent the signal `{name}`"),
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
