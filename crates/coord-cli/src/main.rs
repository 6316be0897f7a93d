//! `coord`: runs real processes as workflows in a terminal.
//!
//! It is built from the public API of the facade and nothing else. The way of a run: `args` says
//! what is wanted, `file` reads the workflow file, `validate` checks it, `graph` draws it, `needs` knows who
//! needs which service, `job` makes a workflow of processes and services, `run` runs that and watches
//! the signals, `board` keeps what is known of it, `screen` is a subscriber of the bus that shows it.
//! Beside it, `journal` looks after journals.

mod args;
mod file;
mod validate;
mod graph;
mod journal;
mod needs;
mod job;
mod hands;
mod undo;
mod run;
mod signals;
mod board;
mod screen;
mod spoken;
mod ended;
mod exit_code;

use clap::Parser;
use coordination::patterns::process::Watchdog;

use args::{Args, Command};
use exit_code::ExitCode;

fn main() -> std::process::ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are answers, and go to standard output.
            let code = if error.use_stderr() {
                ExitCode::Usage
            } else {
                ExitCode::Done
            };
            return match error.print() {
                Ok(()) => code.into(),
                Err(_) => ExitCode::OutputLost.into(),
            };
        }
    };
    match args.command() {
        Command::Run(args) => run::run(&args).into(),
        Command::Validate(args) => validate::validate(&args).into(),
        Command::Graph(args) => graph::graph(&args).into(),
        Command::Journal { of } => journal::journal(&of).into(),
        Command::Watchdog => match Watchdog::serve() {
            Ok(()) => ExitCode::Done.into(),
            Err(_) => ExitCode::SetUp.into(),
        },
    }
}
