//! What a valid file says is what is read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coordination::bus::Backoff;
use coordination::recovery::Restart;
use coordination::workflow::{OnExhausted, OnFailure, Retry};

use super::super::failing::Failing;
use super::super::service::RestartPolicy;
use super::super::{Action, Resources, WorkflowFile, param_variable};
use super::{rendered, valid};

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

fn texts<const N: usize>(texts: [(&str, &str); N]) -> BTreeMap<String, String> {
    texts
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

#[test]
fn what_becomes_of_a_run_when_a_step_fails_is_read() {
    let file = valid(
        "on_failure = 'finish-branches'\n\
         [[step]]\nid = 'a'\nrun = 'make'\nheartbeat_timeout = '30s'\ntotal_timeout = '5m'\n\
         on_exhausted = 'pause'\ncritical = true\n\
         [[step]]\nid = 'b'\nrun = 'make'\non_exhausted = 'fail'\n",
    );
    assert_eq!(file.on_failure, OnFailure::FinishBranches);
    let failing = |unit: usize| file.units[unit].step().map(|step| step.failing);
    let expected = Failing {
        total_timeout: Some(Duration::from_secs(300)),
        heartbeat_timeout: Some(Duration::from_secs(30)),
        on_exhausted: OnExhausted::Pause,
        critical: true,
    };
    assert_eq!(failing(0), Some(expected));
    assert_eq!(failing(1), Some(Failing::default()));
}

#[test]
fn every_key_is_read() {
    let file = valid(
        r#"
        name = "all"
        concurrency = 8
        timeout = "1h30m"
        [params]
        text = "a"
        number = 0x1_0
        flag = true
        [env]
        PORT = 80
        [[step]]
        id = "first"
        command = ["cargo", "build", ""]
        [[step]]
        id = "second"
        run = "make"
        dir = "sub/folder"
        env = { KEY = "value" }
        needs = ["first"]
        when = "params.flag == 'true'"
        retry = { max_attempts = 5, backoff = "linear", initial = "1s", max = "10s", exit_codes = [75, 0x6f] }
        timeout = "500ms"
        optional = true
        undo = "make clean"
        [[service]]
        id = "third"
        run = "serve"
        needs = ["second"]
        ready = { http = "http://localhost:80/", period = "2s", timeout = "3s", start_delay = "4s", success_threshold = 5, failure_threshold = 6 }
        live = { tcp = "localhost:80" }
        restart = { policy = "always", backoff = "constant", initial = "7s", intensity = 8, within = "9s" }
        stop = { signal = "SIGINT", grace = "11s" }
        "#,
    );
    assert_eq!(file.name, "all");
    assert_eq!(file.concurrency.map(usize::from), Some(8));
    assert_eq!(file.timeout, minutes(90));
    assert_eq!(
        file.params,
        texts([("text", "a"), ("number", "16"), ("flag", "true")])
    );
    assert_eq!(file.env, texts([("PORT", "80")]));
    let program = "cargo".to_owned();
    let arguments = vec!["build".to_owned(), String::new()];
    assert_eq!(file.units[0].action, Action::Program { program, arguments });
    let unit = &file.units[1];
    let step = unit.step().expect("it is one");
    assert_eq!(unit.id, "second");
    assert_eq!(unit.action, Action::Shell("make".to_owned()));
    assert_eq!(unit.folder, file.units[0].folder.join("sub/folder"));
    assert_eq!(unit.env, texts([("KEY", "value")]));
    assert_eq!(unit.needs, ["first"]);
    let retry = Retry::linear(Duration::from_secs(1)).max_delay(Duration::from_secs(10));
    assert_eq!(step.retry, Some(retry.max_attempts(5)));
    assert_eq!(step.exit_codes, [75, 111]);
    assert_eq!(step.timeout, Duration::from_millis(500));
    assert!(step.optional);
    assert_eq!(
        step.undo.as_ref().map(|undo| undo.run.as_str()),
        Some("make clean")
    );
    assert_eq!(file.place(unit).to_string(), "15:14");
    let unit = &file.units[2];
    assert_eq!(
        (unit.id.as_str(), &unit.needs[..]),
        ("third", &["second".to_owned()][..])
    );
    let service = unit.service().expect("it is one");
    let ready = &service.ready.as_ref().expect("it has one").probe;
    let seconds = Duration::from_secs;
    assert_eq!(
        (ready.period, ready.timeout, ready.start_delay),
        (seconds(2), seconds(3), seconds(4))
    );
    assert_eq!((ready.success_threshold, ready.failure_threshold), (5, 6));
    assert_eq!(
        service.restart,
        RestartPolicy {
            restart: Restart::Permanent,
            backoff: Backoff::constant(seconds(7)),
            intensity: 8,
            within: seconds(9),
        }
    );
    assert!(service.live.is_some());
    assert_eq!(service.stop_signal.to_string(), "SIGINT");
    assert_eq!(service.grace, seconds(11));
}

#[test]
fn steps_and_services_stand_in_the_order_of_the_file() {
    let unit = |kind: &str, id: &str| format!("[[{kind}]]\nid = '{id}'\nrun = 'x'\n");
    let file = valid(
        &[
            unit("service", "a"),
            unit("step", "b"),
            unit("service", "c"),
            unit("step", "d"),
        ]
        .concat(),
    );
    let ids: Vec<&str> = file.units.iter().map(|unit| unit.id.as_str()).collect();
    assert_eq!(ids, ["a", "b", "c", "d"]);
}

#[test]
fn each_restart_policy_is_that_of_a_supervisor() {
    let policy = |restart: &str| {
        let file = valid(&format!("[[service]]\nid = 'a'\nrun = 'x'\n{restart}"));
        let policy = file.units[0].service().expect("it is one").restart;
        (policy.restart, policy.intensity)
    };
    assert_eq!(policy(""), (Restart::Temporary, 5));
    assert_eq!(policy("restart = 'no'"), (Restart::Temporary, 5));
    assert_eq!(policy("restart = 'on-failure'"), (Restart::Transient, 5));
    assert_eq!(policy("restart = 'always'"), (Restart::Permanent, 5));
    assert_eq!(
        policy("restart = 'exit-on-failure'"),
        (Restart::Transient, 0)
    );
    assert_eq!(
        policy("restart = { policy = 'always', intensity = 2 }"),
        (Restart::Permanent, 2)
    );
}

#[test]
fn what_is_left_out_has_the_documented_default() {
    let file = valid("[[step]]\nid = 'only'\nrun = 'true'\n");
    assert_eq!(file.name, "dev");
    assert_eq!((file.concurrency, file.timeout), (None, Duration::MAX));
    assert!(file.params.is_empty() && file.env.is_empty());
    let unit = &file.units[0];
    let step = unit.step().expect("it is one");
    assert!(unit.folder.is_absolute());
    assert_eq!(step.timeout, Duration::MAX);
    assert_eq!((&step.retry, &step.when, &step.undo), (&None, &None, &None));
    assert!(!step.optional && unit.needs.is_empty() && unit.env.is_empty());
}

#[test]
fn a_file_declares_resources_and_a_step_takes_of_them() {
    let file = valid(
        "[resources]\ngpu = 2\nlicence = 1\n\
         [[step]]\nid = 'a'\nrun = 'x'\nresources = { gpu = 2 }\n\
         [[step]]\nid = 'b'\nrun = 'x'\n",
    );
    let plain = |resources: &Resources| -> Vec<(String, u32)> {
        let resources = resources.iter();
        resources
            .map(|(name, permits)| (name.clone(), permits.get()))
            .collect()
    };
    let declared = [("gpu".to_owned(), 2), ("licence".to_owned(), 1)];
    assert_eq!(plain(&file.resources), declared);
    let taken = |unit: usize| plain(&file.units[unit].step().expect("it is one").resources);
    assert_eq!((taken(0), taken(1)), (vec![("gpu".to_owned(), 2)], vec![]));
}

#[test]
fn an_undo_may_have_its_own_retry_and_timeout() {
    let undo = |undo: &str| {
        let file = valid(&format!("[[step]]\nid = 'a'\nrun = 'x'\nundo = {undo}\n"));
        let step = file.units[0].step().expect("it is one").clone();
        step.undo.expect("it has one")
    };
    let short = undo("'down'");
    assert_eq!(
        (short.run.as_str(), short.retry, short.timeout),
        ("down", None, None)
    );
    assert_eq!(undo("{ run = 'down' }"), short);
    let whole =
        undo("{ run = 'down', retry = { max_attempts = 9, exit_codes = [2] }, timeout = '7s' }");
    assert_eq!(whole.exit_codes, [2]);
    assert_eq!(whole.retry, Some(Retry::exponential().max_attempts(9)));
    assert_eq!(whole.timeout, Some(Duration::from_secs(7)));
}

#[test]
fn an_empty_retry_is_the_usual_one() {
    let file = valid("[[step]]\nid = 'only'\nrun = 'true'\nretry = {}\n");
    let step = file.units[0].step().expect("it is one");
    assert_eq!(step.retry, Some(Retry::default()));
}

#[test]
fn a_file_without_a_name_takes_its_own() {
    let name = |path: &str| {
        let file = WorkflowFile::parse(Path::new(path), b"[[step]]\nid = 'a'\nrun = 'b'\n");
        file.expect("a valid file").name
    };
    assert_eq!(name("ci/build.toml"), "build");
    assert_eq!(name("build & deploy.v2.toml"), "build---deploy.v2");
    assert_eq!(name(".hidden"), "hidden");
    assert_eq!(name("/dev/…"), "workflow");
    assert_eq!(name("日本 語.toml"), "workflow");
    assert_eq!(name(&"x".repeat(100)).len(), 64);
}

#[test]
fn dotted_keys_and_inline_steps_are_the_same_as_tables() {
    let long = valid("[params]\na = 'b'\n[[step]]\nid = 'x'\nrun = 'y'\n[step.env]\nK = 'v'\n");
    let short = valid("params.a = 'b'\nstep = [{ id = 'x', run = 'y', env.K = 'v' }]\n");
    assert_eq!(long.params, short.params);
    assert_eq!(long.units[0].env, short.units[0].env);
}

#[test]
fn a_parameter_reaches_steps_as_a_variable_in_capitals() {
    assert_eq!(param_variable("build-type"), "PARAM_BUILD_TYPE");
}

const PARAMS: &str = "
[params]
target = 'debug'
build-type = 'fast'
deploy = true
";

fn with_condition(condition: &str) -> WorkflowFile {
    valid(&format!(
        "{PARAMS}[[step]]\nid = 'a'\nrun = 'b'\nwhen = \"{condition}\"\n"
    ))
}

#[test]
fn given_parameters_win_over_defaults_and_the_last_one_wins() {
    let file = with_condition("true");
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let given = [
        pair("target", "x"),
        pair("deploy", "false"),
        pair("target", "release"),
    ];
    let params = file.params_with(&given).expect("declared parameters");
    let wanted = [
        ("target", "release"),
        ("deploy", "false"),
        ("build-type", "fast"),
    ];
    assert_eq!(params, texts(wanted));
}

#[test]
fn every_parameter_that_is_not_declared_is_told_with_the_nearest() {
    let file = with_condition("true");
    let pair = |key: &str| (key.to_owned(), String::new());
    let faults = file
        .params_with(&[pair("targt"), pair("x\u{1b}")])
        .expect_err("unknown");
    assert_eq!(
        rendered(&faults),
        "  × dev.toml cannot be run: 2 faults

Error: coord::file::unknown_param

  × there is no parameter \"targt\"
  help: did you mean \"target\"?

Error: coord::file::unknown_param

  × there is no parameter \"x\\u{1b}\"
  help: the file declares \"build-type\", \"deploy\", \"target\"
"
    );
}

#[test]
fn conditions_see_parameters_and_variables() {
    for (condition, holds) in [
        ("params.target == 'debug'", true),
        ("params['build-type'] != 'fast'", false),
        ("params.deploy == 'true' and env.CI == '1'", true),
        ("env.NONE is defined", false),
        ("env.NONE | default('') == ''", true),
        ("env.CI | int > 0", true),
        ("'bug' in params.target", true),
    ] {
        let file = with_condition(condition);
        let runs = file.conditions(&file.params, &texts([("CI", "1")]));
        assert_eq!(runs.expect("a condition"), [holds], "{condition}");
    }
}

#[test]
fn variables_of_the_step_win_over_those_of_the_file_and_of_the_program() {
    let file = valid(
        "env = { A = 'file', B = 'file' }\n\
         [[step]]\nid = 'x'\nrun = 'y'\nenv = { A = 'step' }\n\
         when = \"env.A == 'step' and env.B == 'file' and env.C == 'program'\"\n",
    );
    let program = ["A", "B", "C"].map(|name| (name, "program"));
    let runs = file.conditions(&file.params, &texts(program));
    assert_eq!(runs.expect("a condition"), [true]);
}

#[test]
fn a_condition_that_fails_is_told_with_its_place() {
    let file = with_condition("params.target == 'debug' and env.NONE == '1'");
    let faults = file
        .conditions(&file.params, &BTreeMap::new())
        .expect_err("undefined");
    assert_eq!(
        rendered(&faults),
        r#"  × dev.toml cannot be run: 1 fault

Error: coord::file::condition

  × the condition cannot be evaluated: `env.NONE` is undefined
   ╭─[dev.toml:9:34]
 8 │ run = 'b'
 9 │ when = "params.target == 'debug' and env.NONE == '1'"
   ·                                  ─────────┬─────────
   ·                                           ╰── here
   ╰────
"#
    );
}

#[test]
fn a_condition_that_gives_neither_true_nor_false_and_a_text_that_is_no_number_are_told() {
    for (condition, told_is) in [
        (
            "params.target | first",
            "it gives a string, neither true nor",
        ),
        (
            "params.target | int > 4",
            "a text that is no number cannot become",
        ),
    ] {
        let file = with_condition(condition);
        let faults = file
            .conditions(&file.params, &BTreeMap::new())
            .expect_err("it cannot be decided");
        let told = rendered(&faults);
        assert!(told.contains(told_is), "{condition}: {told}");
    }
}

#[test]
fn numbers_are_values_of_parameters_wherever_these_are_given() {
    let file = valid(
        "[params]\na = { type = 'number', default = 1.5 }\nb = { type = 'integer', choices = [1, 2], default = 1 }\n\
         [profile.p]\nparams = { a = 2.5, b = 2 }\n[[step]]\nid = 'x'\nrun = 'x'\n",
    );
    let file = file.with_profile(Some("p")).expect("there is one");
    assert_eq!((&*file.params["a"], &*file.params["b"]), ("2.5", "2"));
}

#[test]
fn a_file_is_loaded_with_its_folder() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder: PathBuf = std::env::temp_dir().join(format!("coord-file-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("dev.toml");
    std::fs::write(&path, "[[step]]\nid = 'a'\nrun = 'b'\n").expect("a file");
    let file = WorkflowFile::load(&path).map(|file| file.units[0].folder.clone());
    std::fs::remove_dir_all(&folder).expect("the folder is removed");
    assert_eq!(file.expect("a valid file"), folder);
    assert!(WorkflowFile::load(manifest).is_err());
}

#[test]
fn every_shipped_file_is_valid_and_can_be_decided() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let examples = std::fs::read_dir(manifest.join("examples")).expect("there are examples");
    let mut files: Vec<PathBuf> = examples
        .map(|entry| entry.expect("an example").path())
        .collect();
    files.push(manifest.join("../../coord.toml"));
    for path in files {
        let file =
            WorkflowFile::load(&path).unwrap_or_else(|faults| panic!("{}", rendered(&faults)));
        let decided = file.conditions(&file.params, &BTreeMap::new());
        let runs = decided.unwrap_or_else(|faults| panic!("{}", rendered(&faults)));
        assert!(runs.contains(&true) && runs.contains(&false), "{path:?}");
    }
}

#[test]
fn a_step_may_only_wait_and_then_has_no_limit_but_that_of_the_run() {
    let file = valid(
        "[[step]]\nid = 'ask'\nsignal = 'approved'\n[[step]]\nid = 'rest'\nsleep = '10m'\ntimeout = '1h'\n",
    );
    assert_eq!(file.units[0].action, Action::Signal("approved".to_owned()));
    assert_eq!(
        file.units[0].step().map(|step| step.timeout),
        Some(Duration::MAX)
    );
    let (rest, hour) = (Duration::from_secs(600), Duration::from_secs(3600));
    assert_eq!(file.units[1].action, Action::Sleep(rest));
    assert_eq!(file.units[1].step().map(|step| step.timeout), Some(hour));
}
