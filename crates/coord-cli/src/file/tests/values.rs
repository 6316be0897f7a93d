//! What a valid file says is what is read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coordination::workflow::Retry;

use super::super::{Action, WorkflowFile, param_variable};
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
        retry = { max_attempts = 5, backoff = "linear", initial = "1s", max = "10s" }
        timeout = "500ms"
        optional = true
        undo = "make clean"
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
    assert_eq!(file.steps[0].action, Action::Program { program, arguments });
    let step = &file.steps[1];
    assert_eq!(step.id, "second");
    assert_eq!(step.action, Action::Shell("make".to_owned()));
    assert_eq!(step.folder, file.steps[0].folder.join("sub/folder"));
    assert_eq!(step.env, texts([("KEY", "value")]));
    assert_eq!(step.needs, ["first"]);
    let retry = Retry::linear(Duration::from_secs(1)).max_delay(Duration::from_secs(10));
    assert_eq!(step.retry, Some(retry.max_attempts(5)));
    assert_eq!(step.timeout, Duration::from_millis(500));
    assert!(step.optional);
    assert_eq!(step.undo.as_deref(), Some("make clean"));
    assert_eq!(file.place(step).to_string(), "15:14");
}

#[test]
fn what_is_left_out_has_the_documented_default() {
    let file = valid("[[step]]\nid = 'only'\nrun = 'true'\n");
    assert_eq!(file.name, "dev");
    assert_eq!((file.concurrency, file.timeout), (None, minutes(30)));
    assert!(file.params.is_empty() && file.env.is_empty());
    let step = &file.steps[0];
    assert!(step.folder.is_absolute());
    assert_eq!(step.timeout, minutes(5));
    assert_eq!((&step.retry, &step.when, &step.undo), (&None, &None, &None));
    assert!(!step.optional && step.needs.is_empty() && step.env.is_empty());
}

#[test]
fn an_empty_retry_is_the_usual_one() {
    let file = valid("[[step]]\nid = 'only'\nrun = 'true'\nretry = {}\n");
    assert_eq!(file.steps[0].retry, Some(Retry::default()));
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
    assert_eq!(name(&"x".repeat(100)).len(), 64);
}

#[test]
fn dotted_keys_and_inline_steps_are_the_same_as_tables() {
    let long = valid("[params]\na = 'b'\n[[step]]\nid = 'x'\nrun = 'y'\n[step.env]\nK = 'v'\n");
    let short = valid("params.a = 'b'\nstep = [{ id = 'x', run = 'y', env.K = 'v' }]\n");
    assert_eq!(long.params, short.params);
    assert_eq!(long.steps[0].env, short.steps[0].env);
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
fn a_condition_that_is_neither_true_nor_false_is_a_fault() {
    let file = with_condition("params.deploy");
    let faults = file
        .conditions(&file.params, &BTreeMap::new())
        .expect_err("text");
    let told = rendered(&faults);
    assert!(
        told.contains("it gives a string, neither true nor"),
        "{told}"
    );
}

#[test]
fn a_file_is_loaded_with_its_folder() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder: PathBuf = std::env::temp_dir().join(format!("coord-file-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("dev.toml");
    std::fs::write(&path, "[[step]]\nid = 'a'\nrun = 'b'\n").expect("a file");
    let file = WorkflowFile::load(&path).map(|file| file.steps[0].folder.clone());
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
