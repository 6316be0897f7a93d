//! What is wrong with a line. It needs the feature `interactive-cli`.
// beside: integration-patterns
// without: the item is gated behind the `interactive-cli` feature

use coordination::patterns::cli::{Command, InteractiveCli, InteractiveCliConfig};

fn main() {
    let command = Command::new("app").subcommand(Command::new("build"));
    let cli = InteractiveCli::new(command, InteractiveCliConfig::default());
    assert!(cli.is_ok_and(|cli| cli.parse("biuld").is_err()));
}
