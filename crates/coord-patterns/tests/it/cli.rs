//! The interactive command line: what is completed, checked, explained, predicted, and told.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, Command, ValueHint};
use coord_bus::time::{ManualClock, sleep};
use coord_bus::vocabulary::{CLI_COMMAND, CLI_PARSE, CliState, UI_UPDATE, UiChange};
use coord_bus::{BusExt, Failure, LocalBus, Timestamp};
use coord_patterns::cli::{CandidateKind, CliError, InteractiveCli, InteractiveCliConfig};
use coord_patterns::pattern::IntegrationPatterns;

const SOON: Duration = Duration::from_secs(5);

fn command() -> Command {
    let target = Arg::new("target")
        .value_parser(["staging", "production"])
        .required(true);
    let file = Arg::new("config")
        .long("config")
        .short('c')
        .value_hint(ValueHint::FilePath);
    let deploy = Command::new("deploy")
        .about("Brings it out")
        .visible_alias("ship")
        .arg(target.help("Where to"))
        .arg(file)
        .arg(
            Arg::new("force")
                .long("force")
                .short('f')
                .action(ArgAction::SetTrue),
        )
        .arg(
            Arg::new("color")
                .long("color")
                .visible_alias("hue")
                .alias("tint")
                .short('k')
                .visible_short_alias('u')
                .value_parser(["always", "never"]),
        );
    let add = Command::new("add").arg(Arg::new("name").required(true));
    let remote = Command::new("remote")
        .subcommand_required(true)
        .subcommand(add);
    let open = Command::new("open").arg(
        Arg::new("files")
            .num_args(1..)
            .value_parser(ValueParser::path_buf()),
    );
    Command::new("shop")
        .arg(
            Arg::new("verbose")
                .long("verbose")
                .global(true)
                .action(ArgAction::SetTrue),
        )
        .subcommand_required(true)
        .subcommands([deploy, remote, open])
}

fn cli() -> InteractiveCli {
    InteractiveCli::new(command(), InteractiveCliConfig::default()).expect("it has no file")
}

fn texts(cli: &InteractiveCli, line: &str) -> Vec<String> {
    let completions = cli.complete(line, line.len());
    completions
        .candidates
        .into_iter()
        .map(|one| one.text)
        .collect()
}

#[test]
fn what_fits_where_somebody_types_is_offered() {
    let cli = cli();
    for (line, wanted) in [
        ("", &["deploy", "remote", "open"][..]),
        ("re", &["remote"]),
        ("remote ", &["add"]),
        ("deploy s", &["staging"]),
        ("ship --verbose ", &["staging", "production"]),
        ("deploy --co", &["--config", "--color"]),
        ("deploy --color ", &["always", "never"]),
        ("deploy --color=n", &["--color=never"]),
        ("deploy -f --verb", &["--verbose"]),
        ("deploy staging -- --", &[]),
        // Aliases, where it is them that are typed.
        ("sh", &["ship"]),
        ("deploy --hu", &["--hue"]),
        ("deploy --hue ", &["always", "never"]),
        ("deploy --t", &[]),
        // Short options, also with their values.
        (
            "deploy -",
            &[
                "--config",
                "-c",
                "--force",
                "-f",
                "--color",
                "-k",
                "--verbose",
                "--help",
                "-h",
            ],
        ),
        ("deploy -f", &["-f"]),
        ("deploy -k ", &["always", "never"]),
        ("deploy -kn", &["-knever"]),
        ("deploy -k=a", &["-k=always"]),
        ("deploy -fua", &["-fualways"]),
        ("deploy -fx", &[]),
        ("remote add x", &[]),
        ("nonsense dep", &["deploy"]),
    ] {
        let offered = texts(&cli, line);
        let offered: Vec<_> = offered.iter().filter(|one| *one != "help").collect();
        assert_eq!(offered, wanted, "{line:?}");
    }
    let wrong = cli.typed("deploy -knver staging ");
    assert_eq!(wrong[0].suggestions, ["-knever"]);
    let completions = cli.complete("deploy sta --force", 10);
    assert_eq!(completions.replace, 7..10);
    let completions = cli.complete("dep", 3);
    assert_eq!(
        completions.candidates[0].help.as_deref(),
        Some("Brings it out")
    );
}

#[test]
fn paths_are_offered_where_a_path_is_expected() {
    let house = tempfile::tempdir().unwrap();
    for name in ["shop.toml", "shop with space.toml", ".hidden", "other"] {
        std::fs::write(house.path().join(name), "").unwrap();
    }
    std::fs::create_dir(house.path().join("shelf")).unwrap();
    std::fs::write(house.path().join("shelf/box"), "").unwrap();
    let mut config = InteractiveCliConfig::default();
    config.directory = Some(house.path().to_owned());
    let cli = InteractiveCli::new(command(), config).unwrap();
    let offered = cli.complete("deploy -c sh", 12).candidates;
    let kinds: Vec<_> = offered.iter().map(|one| (&*one.text, one.kind)).collect();
    let wanted = [
        ("'shop with space.toml'", CandidateKind::File),
        ("shelf/", CandidateKind::Directory),
        ("shop.toml", CandidateKind::File),
    ];
    assert_eq!(kinds, wanted);
    assert_eq!(texts(&cli, "open other shelf/"), ["shelf/box"]);
    assert_eq!(texts(&cli, "deploy --config=.h"), ["--config=.hidden"]);
    assert_eq!(texts(&cli, "open no/such/"), Vec::<String>::new());
}

#[test]
fn what_is_wrong_is_said_while_it_is_typed_and_not_before_it_must_be() {
    let cli = cli();
    for right in [
        "",
        "dep",
        "deploy",
        "deploy stag",
        "deploy --for",
        "deploy -cx staging",
        "ship ",
    ] {
        assert_eq!(cli.typed(right), [], "{right:?}");
    }
    for (line, place, message, suggestion) in [
        (
            "deplyo ",
            0..6,
            "there is no command `deplyo`",
            Some("deploy"),
        ),
        (
            "deplo staging",
            0..5,
            "there is no command `deplo`",
            Some("deploy"),
        ),
        (
            "deploy xyz",
            7..10,
            "`xyz` is none of staging, production",
            None,
        ),
        (
            "deploy --colour=never",
            7..21,
            "there is no option `--colour=never` of `deploy`",
            Some("--color"),
        ),
        (
            "deploy --color=nevr staging",
            7..19,
            "`--color=nevr` is none of --color=always, --color=never",
            Some("--color=never"),
        ),
        (
            "deploy staging more",
            15..19,
            "`more` is one argument too many of `deploy`",
            None,
        ),
    ] {
        let faults = cli.typed(line);
        let [fault] = &faults[..] else {
            panic!("{line:?}: {faults:?}");
        };
        assert_eq!(
            (fault.start..fault.end, &*fault.message),
            (place, message),
            "{line:?}"
        );
        assert_eq!(
            fault.suggestions.first().map(String::as_str),
            suggestion,
            "{line:?}"
        );
    }
}

#[test]
fn a_line_that_cannot_be_run_is_answered_with_its_place_and_what_was_meant() {
    let cli = cli();
    let error = cli.parse("deploy stagin").unwrap_err().to_string();
    let wanted = "`stagin` is none of staging, production\n  deploy stagin\n         ^^^^^^\n  did you mean `staging`?";
    assert_eq!(error, wanted);
    let error = cli.parse("deploy").unwrap_err().to_string();
    assert!(
        error.starts_with("the following required arguments were not provided: <target>"),
        "{error}"
    );
    let matches = cli.parse("ship 'production' -f").unwrap();
    let (name, matches) = matches.subcommand().unwrap();
    assert_eq!((name, matches.get_flag("force")), ("deploy", true));
}

#[test]
fn help_is_that_of_the_place() {
    let cli = cli();
    let help = cli.help("deploy ", 7);
    assert_eq!(
        (&*help.command, help.about.as_deref()),
        ("deploy", Some("Brings it out"))
    );
    assert!(help.usage.contains("deploy"), "{}", help.usage);
    assert_eq!(
        help.argument,
        Some(("<target>".to_owned(), Some("Where to".to_owned())))
    );
    let help = cli.help("deploy --color ", 15);
    assert_eq!(help.argument.unwrap().0, "--color <color>");
    assert_eq!(cli.help("remote add ", 11).command, "remote add");
}

async fn enabled(
    config: InteractiveCliConfig,
) -> (Arc<LocalBus>, IntegrationPatterns, InteractiveCli) {
    let bus = Arc::new(LocalBus::new());
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let patterns = IntegrationPatterns::with_clock(bus.clone(), clock);
    let cli = patterns.create_interactive_cli_pattern(command(), config);
    let cli = cli.expect("it is the first");
    patterns.enable("interactive-cli").await.expect("it starts");
    (bus, patterns, cli)
}

#[tokio::test(start_paused = true)]
async fn a_long_command_says_how_far_it_is_and_a_short_one_only_that_it_is_done() {
    let (bus, _patterns, cli) = enabled(InteractiveCliConfig::default()).await;
    let mut commands = bus.subscribe(&CLI_COMMAND).unwrap();
    let mut updates = bus.subscribe(&UI_UPDATE).unwrap();
    cli.run("remote add x", async |_| Ok::<_, Failure>(()))
        .await
        .unwrap();
    assert!(updates.try_recv().is_err());
    let long = cli.run("deploy staging", async |command| {
        for done in 1..=4000 {
            command.progress.set(done, Some(4000), "copying");
            sleep(Duration::from_millis(1)).await;
        }
        Ok::<_, Failure>(())
    });
    long.await.unwrap();
    let mut told = Vec::new();
    while let Ok(update) = updates.try_recv() {
        assert_eq!(update.component, "command.deploy");
        let UiChange::Progress { done, elapsed, .. } = update.change else {
            panic!("{update:?}");
        };
        told.push((done, elapsed));
    }
    assert!((30..=40).contains(&told.len()), "{}", told.len());
    assert_eq!(told.last().unwrap().0, 4000);
    let mut states = Vec::new();
    while let Ok(event) = commands.try_recv() {
        states.push((event.command.clone(), event.run, event.state.clone()));
    }
    assert!(
        matches!(&states[..], [
        (first, 1, CliState::Started), (_, 1, CliState::Completed { .. }),
        (second, 2, CliState::Started), (_, 2, CliState::Completed { duration }),
    ] if first == "remote add" && second == "deploy" && *duration >= Duration::from_secs(4)),
        "{states:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_command_is_cancelled_dropped_or_fails_and_each_is_told() {
    let (bus, patterns, cli) = enabled(InteractiveCliConfig::default()).await;
    let mut commands = bus.subscribe(&CLI_COMMAND).unwrap();
    let mut state = || {
        assert_eq!(commands.try_recv().unwrap().state, CliState::Started);
        commands.try_recv().unwrap().state.clone()
    };
    let cancel = async {
        sleep(SOON).await;
        cli.cancel();
    };
    // One that hears it, one that does not.
    for deaf in [false, true] {
        let run = cli.run("deploy staging", async |command| {
            match deaf {
                true => std::future::pending().await,
                false => command.cancelled.cancelled().await,
            }
            Err::<(), _>(Failure::message("cancelled"))
        });
        let (result, ()) = tokio::join!(run, async {
            sleep(SOON).await;
            cli.cancel();
        });
        assert!(matches!(result, Err(CliError::Cancelled { .. })));
        assert!(matches!(state(), CliState::Cancelled { .. }));
    }
    drop(cancel);
    let failing = cli.run("deploy staging", async |_| {
        Err::<(), _>(Failure::message("no disk"))
    });
    let error = failing.await.unwrap_err();
    assert_eq!(error.to_string(), "`deploy staging` failed: no disk");
    assert!(matches!(state(), CliState::Failed { error, .. } if error == "no disk"));
    let panicking = cli.run("deploy staging", async |_| {
        if true {
            panic!("oh");
        }
        Ok::<_, Failure>(())
    });
    assert!(
        panicking
            .await
            .unwrap_err()
            .to_string()
            .contains("it panicked: oh")
    );
    assert!(matches!(state(), CliState::Failed { .. }));
    let hanging = cli.run("deploy staging", async |_| {
        std::future::pending::<()>().await;
        Ok::<_, Failure>(())
    });
    assert!(tokio::time::timeout(SOON, hanging).await.is_err());
    assert!(matches!(state(), CliState::Cancelled { .. }));
    let statistics = patterns.handle("interactive-cli").unwrap().statistics();
    assert_eq!(
        (
            statistics["commands"],
            statistics["cancelled"],
            statistics["failed"]
        ),
        (5, 3, 2)
    );
    let _ = patterns.disable("interactive-cli", SOON).await.unwrap();
    let late = cli
        .run("deploy staging", async |_| Ok::<_, Failure>(()))
        .await;
    assert!(matches!(late, Err(CliError::NotEnabled { .. })));
}

#[tokio::test]
async fn what_is_typed_is_told_when_the_answer_changes() {
    let (bus, _patterns, cli) = enabled(InteractiveCliConfig::default()).await;
    let mut parses = bus.subscribe(&CLI_PARSE).unwrap();
    for line in ["d", "de", "deploy", "deploy s", "deploy x", "deploy xy"] {
        cli.typed(line);
    }
    let mut told = Vec::new();
    while let Ok(parse) = parses.try_recv() {
        told.push((
            parse.line.clone(),
            parse.command.clone(),
            parse.faults.len(),
        ));
    }
    let line = |line: &str, command: &str, faults| (line.to_owned(), command.to_owned(), faults);
    let wanted = [
        line("d", "", 0),
        line("deploy", "deploy", 0),
        line("deploy x", "deploy", 1),
        line("deploy xy", "deploy", 1),
    ];
    assert_eq!(told, wanted);
}

#[tokio::test]
async fn a_history_is_kept_in_a_file_for_its_owner_alone_unless_it_is_not_wanted() {
    let house = tempfile::tempdir().unwrap();
    let file = house.path().join("history");
    let config = |remember| {
        let mut config = InteractiveCliConfig::default();
        config.history_file = Some(file.clone());
        config.remember = remember;
        config
    };
    let run = async |remember, line: &str| {
        let (_bus, patterns, cli) = enabled(config(remember)).await;
        cli.run(line, async |_| Ok::<_, Failure>(())).await.unwrap();
        let _ = patterns.shutdown(SOON).await;
    };
    run(false, "deploy staging").await;
    assert!(!file.exists());
    run(true, "deploy staging").await;
    run(true, "deploy production").await;
    run(true, "deploy production").await;
    run(true, " remote add secret").await;
    let mode = file.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!std::fs::read_to_string(&file).unwrap().contains("secret"));
    let (_bus, _patterns, cli) = enabled(config(true)).await;
    assert_eq!(cli.predict("dep").as_deref(), Some("deploy production"));
    assert_eq!(cli.predict("deploy s").as_deref(), Some("deploy staging"));
    assert_eq!(std::fs::read_dir(house.path()).unwrap().count(), 1);

    let mut unreadable = InteractiveCliConfig::default();
    unreadable.history_file = Some(Path::new("/proc/self/mem/x").to_owned());
    let error = InteractiveCli::new(command(), unreadable).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("/proc/self/mem/x cannot be read"),
        "{error}"
    );
}

#[tokio::test]
async fn a_command_that_panics_before_it_awaits_anything_is_a_failure_too() {
    let (_bus, patterns, cli) = enabled(InteractiveCliConfig::default()).await;
    let ready = |command: coord_patterns::cli::RunningCommand| {
        assert!(command.matches.subcommand_name().is_none(), "oh");
        std::future::ready(Ok::<_, Failure>(()))
    };
    let error = cli.run("deploy staging", ready).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "`deploy staging` failed: it panicked: oh"
    );
    let statistics = patterns.handle("interactive-cli").unwrap().statistics();
    assert_eq!((statistics["failed"], statistics["cancelled"]), (1, 0));
}

#[tokio::test]
async fn a_history_that_cannot_be_written_is_told_until_it_can() {
    let house = tempfile::tempdir().unwrap();
    let directory = house.path().join("state");
    let mut config = InteractiveCliConfig::default();
    config.history_file = Some(directory.join("history"));
    let (_bus, patterns, cli) = enabled(config.clone()).await;
    let run = async |line| cli.run(line, async |_| Ok::<_, Failure>(())).await.unwrap();
    std::fs::write(&directory, "no directory").unwrap();
    run("deploy staging").await;
    run("deploy production").await;
    let handle = patterns.handle("interactive-cli").unwrap();
    let state = handle.state().to_string();
    assert!(state.starts_with("degraded: the history in "), "{state}");
    assert_eq!(handle.statistics()["history_errors"], 2);
    std::fs::remove_file(&directory).unwrap();
    run("deploy production").await;
    assert_eq!(handle.state().to_string(), "running");
    let again = InteractiveCli::new(command(), config).unwrap();
    assert_eq!(again.predict("dep").as_deref(), Some("deploy production"));
    assert_eq!(again.predict("deploy s").as_deref(), Some("deploy staging"));
}
