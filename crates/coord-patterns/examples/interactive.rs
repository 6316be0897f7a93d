//! What an interactive command line has to say of lines as they are typed, and how a long command
//! tells how far it is.
//!
//! ```console
//! $ cargo run --example interactive --features interactive-cli
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use clap::{Arg, Command};
use coord_bus::vocabulary::{UI_UPDATE, UiChange};
use coord_bus::{BusExt, Failure, LocalBus, time};
use coord_patterns::cli::InteractiveCliConfig;
use coord_patterns::pattern::IntegrationPatterns;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let target = Arg::new("target").help("Where to").required(true);
    let command = Command::new("shop")
        .subcommand(
            Command::new("deploy")
                .about("Brings it out")
                .arg(target.value_parser(["staging", "production"])),
        )
        .subcommand(Command::new("status").about("Says how it does"));

    let bus = Arc::new(LocalBus::new());
    let patterns = IntegrationPatterns::new(bus.clone());
    let cli = patterns.create_interactive_cli_pattern(command, InteractiveCliConfig::default())?;
    patterns.enable("interactive-cli").await?;

    for line in ["d", "deploy ", "deploy pro"] {
        let candidates = cli.complete(line, line.len()).candidates;
        let texts: Vec<_> = candidates.into_iter().map(|one| one.text).collect();
        println!("{line:<12} Tab: {}", texts.join("  "));
    }
    println!(
        "{:<12} help: {:?}",
        "deploy ",
        cli.help("deploy ", 7).argument
    );
    if let Err(error) = cli.parse("deplyo staging") {
        println!("{error}");
    }

    let mut updates = bus.subscribe(&UI_UPDATE)?;
    let deploying = cli.run("deploy staging", async |command| {
        for file in 1..=20 {
            command.progress.set(file, Some(20), "copying");
            time::timeout(Duration::from_millis(50), command.cancelled.cancelled())
                .await
                .err();
        }
        Ok::<_, Failure>(())
    });
    let showing = async {
        while let Some(update) = updates.recv().await {
            if let UiChange::Progress {
                done,
                total: Some(total),
                message,
                ..
            } = &update.change
            {
                println!("{message} {done}/{total}");
            }
        }
    };
    tokio::select! {
        done = deploying => done?,
        () = showing => {}
    }
    println!("predicted for `dep`: {:?}", cli.predict("dep"));
    Ok(())
}
