//! How processes start, and why they do not.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use coord_bus::time::ManualClock;
use coord_bus::vocabulary::{Exit, PROCESS_OUTPUT, ProcessState};
use coord_bus::{Bus, BusExt, LocalBus, Timestamp, Topic};
use coord_patterns::process::{ProcessError, ProcessRunner, ProcessSpec, Stop};
use rustix::process::{Pid, getpgid};

use crate::stage::{Stage, ended, within};

#[tokio::test]
async fn a_program_gets_its_arguments_as_they_are() {
    let mut stage = Stage::new();
    let spec = ProcessSpec::program("print", "printf").args(["%s|", "a b", "$HOME", "*"]);
    let exit = within(stage.runner.run(&spec, &Stop::default())).await;
    assert_eq!(exit.unwrap(), Exit::code(0));
    assert_eq!(stage.printed(), ["a b|$HOME|*|"]);
}

#[tokio::test]
async fn a_process_runs_in_its_directory_with_its_environment_and_its_parents() {
    let mut stage = Stage::new();
    let spec = ProcessSpec::shell("show", "pwd; echo $COLOUR $SIZE ${PATH:+inherited}")
        .dir("/")
        .envs([("COLOUR", "blue"), ("SIZE", "3")])
        .env("COLOUR", "red");
    within(stage.runner.run(&spec, &Stop::default()))
        .await
        .unwrap();
    assert_eq!(stage.printed(), ["/", "red 3 inherited"]);
}

#[tokio::test]
async fn what_is_not_inherited_is_there_only_where_it_is_given() {
    const NAME: &str = "CARGO_MANIFEST_DIR";
    let spec = || ProcessSpec::shell("show", format!("echo ${{{NAME}-none}}"));
    let inherited = std::env::var(NAME).unwrap();
    for (spec, seen) in [
        (spec(), &*inherited),
        (spec().not_inherited([NAME]), "none"),
        (spec().env(NAME, "given").not_inherited([NAME]), "given"),
    ] {
        let mut stage = Stage::new();
        let exit = within(stage.runner.run(&spec, &Stop::default())).await;
        assert_eq!(exit.unwrap(), Exit::code(0));
        assert_eq!(stage.printed(), [seen]);
    }
}

#[tokio::test]
async fn standard_input_is_empty() {
    let script = "cat; [ /dev/stdin -ef /dev/null ]";
    assert_eq!(Stage::new().shell(script).await, (Exit::code(0), vec![]));
}

#[tokio::test]
async fn a_process_leads_a_group_of_its_own() {
    let mut stage = Stage::new();
    let stop = Stop::default();
    let run = stage.start(
        ProcessSpec::shell("lead", "echo $$; exec sleep 1000"),
        &stop,
    );
    let leader = Pid::from_raw(stage.pid().await);
    let pid = leader.unwrap().as_raw_pid().cast_unsigned();
    assert_eq!(stage.state().await, ProcessState::Started { pid });
    assert_eq!(getpgid(leader).ok(), leader);
    stop.graceful.cancel();
    ended(run).await.unwrap();
}

#[tokio::test]
async fn events_carry_the_process_s_name_and_the_clock_s_time() {
    let mut stage = Stage::new();
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let runner = stage.runner.clone().with_clock(Arc::new(clock));
    let spec = ProcessSpec::shell("greet", "echo hello");
    within(runner.run(&spec, &Stop::default())).await.unwrap();
    assert_eq!(stage.output.try_recv().unwrap().process, "greet");
    while let Ok(lifecycle) = stage.lifecycle.try_recv() {
        assert_eq!(lifecycle.process, "greet");
        assert_eq!(lifecycle.at, Timestamp::UNIX_EPOCH);
    }
}

/// Runs what cannot start; the error, which was published as well.
async fn refused(spec: ProcessSpec) -> ProcessError {
    let mut stage = Stage::new();
    let run = stage.start(spec.clone(), &Stop::default());
    let error = ended(run).await.expect_err("it cannot start");
    let ProcessState::NotStarted { error: published } = stage.state().await else {
        panic!("it was published as something else");
    };
    assert!(published.starts_with(&error.to_string()), "{published}");
    assert!(error.to_string().contains(&spec.name), "{error}");
    error
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_named() {
    let error = refused(ProcessSpec::program("build", "carg0")).await;
    assert!(matches!(error, ProcessError::ProgramNotFound { .. }));
    let text = "there is no `carg0` in the directories of PATH";
    assert!(error.to_string().contains(text), "{error}");

    let here = ProcessSpec::program("build", "./carg0").dir("/");
    let error = refused(here).await;
    assert!(matches!(error, ProcessError::ProgramNotFound { .. }));
    assert!(error.to_string().contains("`./carg0` does not exist"));
}

#[tokio::test]
async fn a_directory_that_does_not_exist_is_named() {
    for dir in ["/no/such/directory", "/dev/null"] {
        let error = refused(ProcessSpec::shell("build", "true").dir(dir)).await;
        assert!(matches!(error, ProcessError::DirectoryNotFound { .. }));
        assert!(error.to_string().contains(dir), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_may_not_be_executed_is_named() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let error = refused(ProcessSpec::program("build", file)).await;
    assert!(matches!(error, ProcessError::NotExecutable { .. }));
    assert!(error.to_string().contains(file), "{error}");
}

#[tokio::test]
async fn a_directory_in_the_place_of_a_program_is_told_as_one() {
    let dir = env!("CARGO_MANIFEST_DIR");
    let error = refused(ProcessSpec::program("build", dir))
        .await
        .to_string();
    assert!(
        error.contains(&format!("`{dir}` is a directory")),
        "{error}"
    );
    assert!(!error.contains("chmod"), "{error}");
}

#[tokio::test]
async fn an_argument_that_the_system_cannot_pass_on_is_an_error() {
    let error = refused(ProcessSpec::shell("build", "echo \0")).await;
    assert!(matches!(error, ProcessError::NotStarted { .. }));
}

#[tokio::test]
async fn what_is_too_long_for_the_system_is_named() {
    // More than any system passes on.
    let long = "x".repeat(16 << 20);
    let spec = ProcessSpec::shell("show", "true").envs([("NOTES", &*long), ("TAG", "v1")]);
    let error = refused(spec).await;
    assert!(error.is_permanent());
    assert!(
        error
            .to_string()
            .contains("the longest is the variable `NOTES` with 16777222 bytes"),
        "{error}"
    );
    let error = refused(ProcessSpec::program("show", "true").args(["short", &*long])).await;
    assert!(
        error.to_string().contains("the longest is argument 2"),
        "{error}"
    );
}

#[tokio::test]
async fn after_a_stop_was_requested_nothing_starts() {
    let stops = [Stop::default(), Stop::default()];
    stops[0].graceful.cancel();
    stops[1].immediate.cancel();
    for stop in stops {
        let mut stage = Stage::new();
        let run = stage.start(ProcessSpec::shell("late", "echo begun"), &stop);
        let error = ended(run).await.expect_err("it does not start");
        assert!(matches!(error, ProcessError::Stopped { .. }));
        assert!(matches!(
            stage.state().await,
            ProcessState::NotStarted { .. }
        ));
        assert_eq!(stage.printed(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_topic_that_carries_something_else_is_an_error() {
    let bus = LocalBus::new();
    let other = Topic::<u8>::new("process-output");
    let _numbers = bus.publisher(&other).unwrap();
    let error = ProcessRunner::new(&bus).expect_err("the topic is taken");
    assert!(error.to_string().contains(PROCESS_OUTPUT.name()), "{error}");
}

#[tokio::test]
async fn any_bus_will_do() {
    let bus: Arc<dyn Bus> = Arc::new(LocalBus::new());
    let runner = ProcessRunner::new(&*bus).unwrap();
    let run = async move {
        runner
            .run(&ProcessSpec::shell("any", "exit 5"), &Stop::default())
            .await
    };
    assert_eq!(
        within(tokio::spawn(run)).await.unwrap().unwrap(),
        Exit::code(5)
    );
}

/// How a line ends and what it prints, as one that needs no shell and as one that needs it.
async fn both(line: &str, dir: &Path, environment: &[(&str, &str)]) -> [(Exit, Vec<String>); 2] {
    let run = async |line: &str| {
        let mut stage = Stage::new();
        let spec = ProcessSpec::shell("line", line)
            .dir(dir)
            .envs(environment.iter().copied());
        let exit = within(stage.runner.run(&spec, &Stop::default())).await;
        (exit.expect("it runs"), stage.printed())
    };
    [run(line).await, run(&format!("{{ {line}; }}")).await]
}

#[tokio::test]
async fn a_line_that_names_no_program_ends_as_its_shell_ends() {
    let dir = Path::new("/");
    for (line, code) in [
        ("no-such-program -x", 127),
        ("/no/such/program", 127),
        ("/etc/passwd", 126),
    ] {
        let [without, by_shell] = both(line, dir, &[]).await;
        assert_eq!(without, by_shell);
        assert_eq!(without.0, Exit::code(code), "{line}");
        let program = line.split(' ').next().unwrap();
        assert!(without.1[0].contains(program), "{without:?}");
    }
}

#[tokio::test]
async fn a_script_that_names_no_interpreter_is_the_shells() {
    let house = tempfile::tempdir().unwrap();
    let script = house.path().join("script");
    std::fs::write(&script, "echo $1; exit 7").unwrap();
    std::fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    let [without, by_shell] = both("./script hello", house.path(), &[]).await;
    assert_eq!(without, by_shell);
    assert_eq!(without, (Exit::code(7), vec!["hello".to_owned()]));
}

#[tokio::test]
async fn a_program_sees_the_working_directory_that_a_shell_would_tell_it() {
    let house = tempfile::tempdir().unwrap();
    let real = house.path().canonicalize().unwrap().join("real");
    let link = house.path().join("link");
    std::fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    for (environment, told) in [
        (vec![], text(&real)),
        (vec![("PWD", text(&link))], text(&link)),
        (vec![("PWD", "/".to_owned())], text(&real)),
        (vec![("PWD", "link".to_owned())], text(&real)),
    ] {
        let environment: Vec<_> = environment
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect();
        let [without, by_shell] = both("printenv PWD", &link, &environment).await;
        assert_eq!(without, by_shell);
        assert_eq!(without.1, [told], "{environment:?}");
    }
}
