//! `coord`: runs real processes as workflows in a terminal.
//!
//! It is built from the public API of the facade and nothing else. The way of a run: `args` says
//! what is wanted, `file` reads the workflow file, `validate` checks it, `graph` draws it, `needs` knows who
//! needs which service, `job` makes a workflow of processes and services, `run` runs that and watches
//! the signals, `board` keeps what is known of it, `screen` is a subscriber of the bus that shows it.
//! Runs are kept in a journal: `definition` is what is kept of a file, `kept_output` keeps what processes
//! print, `runs` are the commands about runs that are there. Beside it, `journal` looks after journals,
//! and `audit` after audit trails in them.

mod args;
mod file;
mod validate;
mod select;
mod plan;
mod process_name;
mod labels;
mod latency;
mod explain;
mod schema;
mod reference;
mod complete;
mod graph;
mod journal;
mod audit;
mod runs;
mod definition;
mod kept_output;
mod measured;
mod needs;
mod job;
mod hands;
mod output_folder;
mod own_program;
mod spare_thread;

mod secrets;
mod run;
mod signals;
mod job_control;
mod happenings;
mod lines;
mod board;
mod screen;
mod flows;
mod shortened;
mod spoken;
mod ended;
mod exit_code;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use clap::Parser;
use coordination::patterns::process::Watchdog;
use signal_hook::consts::SIGXFSZ;

use args::{Args, Command, OfStep, SignalArgs};
use coordination::workflow::Command as Tell;
use exit_code::ExitCode;
use hands::Wish;

fn main() -> std::process::ExitCode {
    if let Some(code) = complete::answer() {
        return code.into();
    }
    // A file that would become longer than it may is a write that fails, and not the end of the program. What
    // handles it here is nothing to the processes that are started.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are answers, and go to standard output.
            let code = if error.use_stderr() {
                ExitCode::Usage
            } else {
                ExitCode::Done
            };
            let written = match error.use_stderr() {
                true => error.print(),
                false => {
                    let mut out = screen::out(args::Color::Auto.into());
                    write!(out, "{}", error.render().ansi()).and_then(|()| out.flush())
                }
            };
            if code == ExitCode::Usage
                && let Some(word) = std::env::args_os().nth(1)
                && let Some(meant) = args::meant_by(&word)
            {
                screen::say(args::Color::Auto, &meant);
            }
            return match written {
                Ok(()) => code.into(),
                Err(_) => ExitCode::OutputLost.into(),
            };
        }
    };
    match args.command() {
        Command::Run(args) => run::run(&args).into(),
        Command::Validate(args) => validate::validate(&args).into(),
        Command::Graph(args) => graph::graph(&args).into(),
        Command::Flows(args) => flows::flows(&args).into(),
        Command::Resume(args) => runs::resume(&args).into(),
        Command::Retry(args) => runs::retry(&args).into(),
        Command::Attach(args) => runs::attach(&args).into(),
        Command::List(args) => runs::list(&args).into(),
        Command::Show(args) => runs::show(&args).into(),
        Command::Report(args) => runs::report(&args).into(),
        Command::Why(args) => runs::why(&args).into(),
        Command::Logs(args) => runs::logs(&args).into(),
        Command::Cancel {
            of,
            no_undo: true,
            reason,
        } => runs::terminate(&of, reason.as_deref()).into(),
        Command::Cancel { of, reason, .. } => runs::tell(&of, Tell::Cancel { reason }).into(),
        Command::Pause(args) => runs::tell(&args, Tell::Pause).into(),
        Command::Continue(args) => runs::tell(&args, Tell::Continue).into(),
        Command::Signal(args) => {
            let SignalArgs {
                of,
                name,
                payload,
                id,
            } = args;
            runs::tell(&of, Tell::Signal { name, payload, id }).into()
        }
        Command::Skip(args) => {
            let OfStep { of, step } = args;
            runs::tell(&of, Tell::Skip { step }).into()
        }
        Command::Restart(args) => runs::act(&args, Wish::Restart).into(),
        Command::Stop(args) => runs::act(&args, Wish::Stop).into(),
        Command::Journal { of } => journal::journal(&of).into(),
        Command::Audit { of } => audit::audit(&of).into(),
        Command::Explain(args) => explain::explain(&args).into(),
        Command::Schema => schema::schema().into(),
        Command::Completions(args) => reference::completions(&args).into(),
        Command::Man(args) => reference::man(&args).into(),
        Command::Watchdog { outputs, says } => {
            match watchdog(outputs.as_deref(), says.as_deref()) {
                Ok(()) => ExitCode::Done.into(),
                Err(_) => ExitCode::SetUp.into(),
            }
        }
    }
}

/// Watches, under a name of its own: `pkill -9 coord` kills the program, and not what then ends its
/// processes.
fn watchdog(outputs: Option<&Path>, says: Option<&str>) -> std::io::Result<()> {
    // Where a process has no such file, it keeps its name.
    let _ = std::fs::write("/proc/self/comm", "watchdog");
    let served = Watchdog::serve_marked();
    if let Ok(true) = served {
        // There may be no terminal any more.
        let _ = screen::give_back_after(says.unwrap_or_default());
    }
    if let Some(outputs) = outputs {
        output_folder::remove_after_its_end(outputs);
    }
    served.map(drop)
}
