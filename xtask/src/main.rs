//! `cargo xtask`: what the project does to itself, in the order in which it is used.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program of the terminal"
)]

mod bench;
mod bits;
mod brought;
mod ci;
mod command;
mod docs;
mod edges;
mod features;
mod instructions;
mod links;
mod loom;
mod map;
mod miri;
mod outside;
mod picture;
mod test;
mod tidy;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

/// What the project does to itself.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Run every test of the workspace
    Test {
        /// The cargo profile to build the tests with
        #[arg(long, default_value = "dev")]
        profile: String,
        /// Passed on to the test runner, such as the name of a test
        #[arg(last = true)]
        runner: Vec<OsString>,
    },
    /// Run every check that a change has to pass
    Ci {
        /// Leave the tests out
        #[arg(long)]
        no_test: bool,
    },
    /// Check what needs no build: the format, who depends on whom, the shape of the sources
    Tidy,
    /// Try the log's threads in every order
    Loom,
    /// Run the log's tests under Miri
    Miri,
    /// Flip every bit of a small journal, and see that it is found
    Bits,
    /// Measure this project beside its peers
    Bench {
        /// A benchmark and its arguments; none lists the benchmarks
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        benchmark: Vec<OsString>,
    },
    /// Compare the instructions that the hot paths take with those that the repository remembers
    Instructions {
        /// Remember what is counted now
        #[arg(long)]
        accept: bool,
    },
    /// Build the documentation: of the API, and the guide as a book
    Docs,
    /// Build packages outside the workspace from what `cargo package` makes of its crates
    Outside {
        /// Measure instead what these features of the facade add, or each: crates, and time to compile
        #[arg(long, num_args = 0.., value_name = "FEATURE")]
        costs: Option<Vec<String>>,
    },
    /// Draw the pictures of the README and of the tour of coord from real runs
    Picture,
}

fn main() -> ExitCode {
    let outcome = command::enter_workspace().and_then(|()| match Task::parse() {
        Task::Test { profile, runner } => test::run(&profile, &runner),
        Task::Ci { no_test } => ci::run(!no_test),
        Task::Tidy => ci::without_a_build(),
        Task::Loom => loom::run(),
        Task::Miri => miri::run(),
        Task::Bits => bits::run(),
        Task::Bench { benchmark } => bench::run(&benchmark),
        Task::Instructions { accept } => instructions::run(accept),
        Task::Docs => docs::build(),
        Task::Outside { costs: None } => outside::check(),
        Task::Outside { costs: Some(of) } => outside::table(&of),
        Task::Picture => picture::draw(),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
