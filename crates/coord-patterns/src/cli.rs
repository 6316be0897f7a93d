//! An interactive command line: what a person types is completed, checked and explained while it
//! is typed, predicted from what was typed before, and what is run gives feedback.
//!
//! All of it comes from a [`clap::Command`], the one that the program parses with.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use clap::{Arg, Command};
//! use coord_bus::{BusExt, Failure, LocalBus, vocabulary::CLI_COMMAND};
//! use coord_patterns::cli::InteractiveCliConfig;
//! use coord_patterns::pattern::IntegrationPatterns;
//!
//! let target = Arg::new("target").value_parser(["staging", "production"]).required(true);
//! let command = Command::new("shop")
//!     .subcommand(Command::new("deploy").about("Brings it out").arg(target))
//!     .subcommand(Command::new("status"));
//!
//! let bus = Arc::new(LocalBus::new());
//! let mut commands = bus.subscribe(&CLI_COMMAND)?;
//! let patterns = IntegrationPatterns::new(bus);
//! let cli = patterns.create_interactive_cli_pattern(command, InteractiveCliConfig::default())?;
//! patterns.enable("interactive-cli").await?;
//!
//! let texts = |line: &str| -> Vec<String> {
//!     cli.complete(line, line.len()).candidates.into_iter().map(|one| one.text).collect()
//! };
//! assert_eq!(texts("dep"), ["deploy"]);
//! assert_eq!(texts("deploy "), ["staging", "production"]);
//! assert_eq!(cli.typed("deplyo staging")[0].suggestions, ["deploy"]);
//!
//! let matches = cli.run("deploy staging", async |command| {
//!     command.progress.set(1, Some(2), "copying");
//!     Ok::<_, Failure>(command.matches.subcommand_name().map(str::to_owned))
//! });
//! assert_eq!(matches.await?.as_deref(), Some("deploy"));
//! assert_eq!(commands.recv().await.unwrap().command, "deploy");
//! assert_eq!(cli.predict("dep").as_deref(), Some("deploy staging"));
//! # Ok(())
//! # }
//! ```
//!
//! # Words
//!
//! A line is parted into words as a shell does it: by white space, with `'…'`, `"…"` and `\`.
//! Nothing is expanded.
//!
//! # Prediction
//!
//! A line is predicted by its *frecency*, as zoxide reckons it: how often it was run, times 4 if
//! the last time was within an hour, 2 within a day, ½ within a week, ¼ before that. When all counts
//! together exceed 10,000 they are scaled down to 9,000, and what falls below 1 is forgotten; so are,
//! beyond [`InteractiveCliConfig::history_limit`] lines, those of the least score. What begins with
//! a space, or is longer than 1 KiB, is not remembered, and nothing is with
//! [`remember`](InteractiveCliConfig::remember) off.
//!
//! With a file, the history is read and written anew at each run, into a file that only its owner
//! can read (0600) and that takes the old one's place at once. Of two programs that write at the
//! same moment one's line may be lost, and no more.
//!
//! # Feedback
//!
//! A command that runs publishes to `cli-command` that it begins and how it ends, and to
//! `ui-update`, while it takes longer than half a second, how far it is, at most ten times a
//! second. No command waits for somebody to read that.

mod config;
mod words;
mod position;
mod complete;
mod check;
mod history;
mod run;
mod pattern;
mod error;

pub use clap::Command;
pub use complete::{Candidate, CandidateKind, Completions};
pub use config::InteractiveCliConfig;
pub use error::CliError;
pub use pattern::{CliHelp, InteractiveCli};
pub use run::{Progress, RunningCommand};
