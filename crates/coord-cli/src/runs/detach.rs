//! Runs that go on in the background: `coord run --detach` starts itself anew, in a session of its own,
//! and leaves once the run has begun.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use coordination::bus::Timestamp;
use coordination::bus::time::sleep;
use coordination::workflow::{RunId, RunJournal, RunState, RunView, Status};
use rustix::process::{Pid, getppid};

use super::find::{finished, is_there};
use super::hint::hint;
use super::place::flag_of_place;
use super::{RunsFault, open_there, refuse, there};
use crate::args::{Color, JournalPlace, RunArgs};
use crate::exit_code::ExitCode;
use crate::own_program::own_program;
use crate::run::on_runtime;
use crate::screen;
use crate::spare_thread::SpareThread;

/// How often it is looked whether the run has begun.
const LOOK: Duration = Duration::from_millis(20);

/// The program that waits until this one's run has begun.
static STARTED_BY: OnceLock<Option<Pid>> = OnceLock::new();

/// What came of it.
enum Left {
    Begun,
    /// There was nothing to do: the run has finished before.
    Finished(Status),
    /// It came to no run.
    Ended(ExitStatus),
}

/// What there is of its id, before it begins.
#[derive(Clone, Copy)]
enum Before {
    None,
    /// A run that is gone on with, or only shown.
    GoesOn,
    /// One that began then, and is replaced.
    Replaced(Timestamp),
}

async fn before(runs: &RunJournal, run: &RunId, again: bool) -> Result<Before, RunsFault> {
    if !is_there(runs, run).await? {
        return Ok(Before::None);
    }
    let replaced = match again {
        true => finished(runs, run).await?,
        false => None,
    };
    Ok(replaced.map_or(Before::GoesOn, Before::Replaced))
}

/// Belongs to no terminal from now on: that one is closed, or sees a Ctrl-C, is nothing to it.
pub(crate) fn begin_in_background() {
    let _ = STARTED_BY.set(getppid());
    // Who leads a group of processes cannot, and is not told of the terminal's signals either.
    let _ = rustix::process::setsid();
}

/// Whether who asked for a run in the background has taken that back: by Ctrl-C, for example, while a secret is
/// fetched, so nobody was told the id of the run.
pub(crate) fn is_taken_back() -> bool {
    let started_by = STARTED_BY.get();
    started_by.is_some_and(|started_by| *started_by != getppid())
}

/// Starts the run that this program was asked for, and prints its id once it has begun. `source`: what was read
/// of standard input.
pub(crate) fn detach(args: &RunArgs, color: Color, source: Option<&str>) -> ExitCode {
    let (journal, id) = (&args.journal, args.id.as_deref());
    let done = on_runtime(async |_| {
        let run = match id {
            Some(id) => RunId::named(id).map_err(RunsFault::from)?,
            None => RunId::unique(),
        };
        let not_detached = |error: io::Error| RunsFault::NotDetached {
            message: error.to_string(),
        };
        let before = match open_there(journal) {
            Ok(journal) => before(&RunJournal::of(Arc::clone(&journal)), &run, args.again).await?,
            Err(_) => Before::None,
        };
        let reader = SpareThread::new("detached").map_err(not_detached)?;
        let mut child = spawn(&run, id.is_none(), source.is_some()).map_err(not_detached)?;
        if let (Some(mut stdin), Some(source)) = (child.stdin.take(), source) {
            // One that has ended says why.
            let _ = stdin.write_all(source.as_bytes());
        }
        let said = child.stderr.take().map(|mut stderr| {
            reader.run(move || {
                let mut said = Vec::new();
                stderr.read_to_end(&mut said).map(|_| said)
            })
        });
        let left = has_begun(journal, &run, before, &mut child).await;
        let left = left.map_err(not_detached)?;
        if let Left::Ended(status) = left {
            let said = match said {
                Some(said) => said.await.ok().and_then(Result::ok),
                None => None,
            };
            return match said.filter(|said| !said.is_empty()) {
                // That is all that there is to say.
                Some(said) => {
                    let _ = io::stderr().write_all(&said);
                    Ok(ExitCode::of(status))
                }
                None => Err(not_detached(io::Error::other(status.to_string())).into()),
            };
        }
        let mut out = screen::out(color.into());
        let written = writeln!(out, "{run}").and_then(|()| out.flush());
        let what = match left {
            Left::Finished(status) => {
                format!(
                    "nothing is started: it has finished before: {status}; `coord show {run}` tells it, `--again` begins \
                     anew"
                )
            }
            _ => format!("`coord attach {run}` shows it, `coord cancel {run}` ends it"),
        };
        // Also where its id was lost.
        screen::say(color, &hint(&what, &flag_of_place(journal)));
        written.map_err(RunsFault::Output)?;
        Ok(ExitCode::Done)
    });
    match done {
        Ok(code) => code,
        Err(report) => refuse(color, journal, &report),
    }
}

/// This program, with what it was given, but for what leaves the run to itself.
fn spawn(run: &RunId, is_unnamed: bool, reads: bool) -> io::Result<Child> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    // Behind it, nothing is a flag.
    let end = arguments.iter().position(|argument| argument == "--");
    let (flags, files) = arguments.split_at(end.unwrap_or(arguments.len()));
    let mut command = own_program()?;
    command.args(flags.iter().filter_map(staying));
    command.args(["--in-background", "--output", "text"]);
    if is_unnamed {
        command.args(["--id", run.as_str()]);
    }
    command.args(files);
    command
        .stdin(if reads { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command.spawn()
}

/// What is left of an argument without what leaves the run to itself, if anything is: short options may stand
/// together.
fn staying(argument: &OsString) -> Option<OsString> {
    let Some(options) = argument.to_str().and_then(|text| text.strip_prefix('-')) else {
        return Some(argument.clone());
    };
    let are_short = !options.is_empty() && options.chars().all(char::is_alphabetic);
    match are_short {
        true => {
            let left = options.replace('d', "");
            (!left.is_empty()).then(|| format!("-{left}").into())
        }
        false => (options != "-detach").then(|| argument.clone()),
    }
}

/// Whether it is this program that drives the run, or has, and not another, which has a run of this name
/// already.
fn is_of(child: &Child, before: Before, view: &RunView) -> bool {
    let driver = format!("process {}", child.id());
    match view.state {
        RunState::Running => view.driven_by.as_ref() == Some(&driver),
        // Its program may still have to stop services.
        RunState::Finished(_) => !matches!(before, Before::GoesOn),
        _ => false,
    }
}

/// Whether a program that has ended has come to the end of its run. One that was killed, or has left the run to who
/// takes it up, has nothing that goes on.
fn is_its_end(status: ExitStatus, view: &RunView) -> bool {
    matches!(view.state, RunState::Finished(_)) && status.code() != Some(96)
}

/// Waits until the run has begun, or its program has ended without one.
async fn has_begun(
    journal: &JournalPlace,
    run: &RunId,
    before: Before,
    child: &mut Child,
) -> io::Result<Left> {
    loop {
        // Looked at first: a run that is over by now has begun.
        let ended = child.try_wait()?;
        if let Some(runs) = there(journal)
            && let Ok(view) = runs.view(run).await
            && !matches!(before, Before::Replaced(at) if at == view.started_at)
            && match ended {
                None => is_of(child, before, &view),
                Some(status) => is_its_end(status, &view),
            }
        {
            return Ok(match view.state {
                RunState::Finished(status) if matches!(before, Before::GoesOn) => {
                    Left::Finished(status)
                }
                _ => Left::Begun,
            });
        }
        if let Some(status) = ended {
            return Ok(Left::Ended(status));
        }
        sleep(LOOK).await;
    }
}
