//! Hooks run when a step, or the run, has come to its end.

use crate::coord::{Folder, Running, done, limited};
use rustix::process::Signal;

const TELLS: &str = r#"
[hooks]
success = "echo success >> told"
failure = "echo \"failure $COORD_STATUS of $COORD_FAILED_STEPS: $COORD_ERROR\" >> told"
always = "echo \"always $COORD_HOOK $COORD_STATUS $COORD_WORKFLOW ${COORD_STEP-none}\" >> told"

[[step]]
id = "first"
run = "true"
undo = "echo undone >> told"
hooks = { success = "echo \"$COORD_STEP $COORD_STATUS\" >> told", failure = "touch never" }

[[step]]
id = "second"
run = "exit ${CODE:-0}"
needs = ["first"]
retry = { max_attempts = 2, initial = "10ms" }

[step.hooks]
success = "touch good"
failure = "echo \"$COORD_STEP $COORD_STATUS $COORD_ATTEMPT $COORD_EXIT_CODE: $COORD_ERROR\" >> told"
always = "echo whatever >> told"
"#;

#[test]
fn hooks_of_a_run_that_fails_are_told_what_failed_before_and_after_it_is_undone() {
    let folder = Folder::new();
    folder.write("coord.toml", TELLS);
    let mut command = folder.coord(["run"]);
    command.env("CODE", "7");
    done(command).exits(100);
    assert_eq!(
        folder.read("told").unwrap().lines().collect::<Vec<_>>(),
        [
            "first completed",
            "second failed 2 7: exit code 7",
            "whatever",
            "undone",
            "failure failed of second: exit code 7",
            "always always failed coord none",
        ]
    );
    assert!(folder.read("never").is_none() && folder.read("good").is_none());
}

#[test]
fn hooks_of_a_run_that_succeeds_run_and_those_for_failures_do_not() {
    let folder = Folder::new();
    folder.write("coord.toml", TELLS);
    done(folder.coord(["run"])).exits(0);
    assert_eq!(
        folder.read("told").unwrap().lines().collect::<Vec<_>>(),
        [
            "first completed",
            "whatever",
            "success",
            "always always completed coord none",
        ]
    );
    assert!(folder.read("good").is_some());
}

#[test]
fn a_hook_that_fails_is_told_changes_nothing_and_makes_the_exit_code_100() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
        [hooks]
        always = "echo late; exit 5"
        [[step]]
        id = "first"
        run = "true"
        hooks = { success = "echo torn; exit 3", always = "echo well; touch always" }
        [[step]]
        id = "second"
        run = "true"
        needs = ["first"]
        "#,
    );
    let done = done(folder.coord(["run", "--id", "r"]));
    done.exits(100)
        .says("hook first | torn\n")
        .says("hook first · failed: `success`: exit code 3\n")
        .says("first hook failed: `success`: exit code 3\n  at coord.toml:5:14\n  | torn\n")
        .says("coord hook failed: `always`: exit code 5\n  | late\n")
        .says("coord completed in ")
        .says(": 2 done\n");
    assert!(folder.read("always").is_some());
    let logs = crate::coord::done(folder.coord(["logs", "r", "first"]));
    logs.exits(0).says("torn");
}

#[test]
fn a_run_that_was_cancelled_has_only_the_hooks_run_that_always_do() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
        [hooks]
        success = "touch never"
        failure = "touch never"
        always = "echo run $COORD_STATUS >> told"
        [[step]]
        id = "long"
        run = "echo pid=$$; exec sleep 60"
        hooks = { failure = "touch never", always = "echo long $COORD_STATUS >> told" }
        [[step]]
        id = "waits"
        run = "true"
        needs = ["long"]
        hooks = { always = "touch never" }
        "#,
    );
    let mut running = Running::start(folder.coord(["run"]));
    running.until("pid=");
    running.signal(Signal::INT);
    let (status, _) = running.end();
    assert_eq!(status.code(), Some(130));
    let told = folder.read("told");
    assert_eq!(told.as_deref(), Some("long cancelled\nrun cancelled\n"));
    assert!(folder.read("never").is_none());
}

#[test]
fn a_hook_that_takes_too_long_is_stopped_and_told() {
    let hooks = "success = 'exec sleep 60', always = 'touch always'";
    let step = format!("[[step]]\nid = 'first'\nrun = 'true'\nhooks = {{ {hooks}");
    let with = |limit| {
        let folder = Folder::new();
        folder.write("coord.toml", format!("{step}, timeout = '{limit:?}' }}\n"));
        (done(folder.coord(["run"])), folder.read("always"))
    };
    let ((done, always), limit) = limited(with, |(_, always)| always.is_some());
    let told =
        format!("hook first · failed: `success`: it was not done after {limit:?}, its timeout\n");
    done.exits(100).says(&told);
    assert!(always.is_some());
}

#[test]
fn hooks_that_were_interrupted_run_again_and_those_that_are_done_do_not() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
        [hooks]
        always = "echo run >> told; if test ! -e again; then touch again; echo pid=$$; exec sleep 60; fi"
        [[step]]
        id = "first"
        run = "true"
        hooks = { success = "echo first >> told" }
        "#,
    );
    let mut running = Running::start(folder.coord(["run", "--id", "r"]));
    running.until("pid=");
    running.signal(Signal::KILL);
    running.end();
    done(folder.coord(["resume", "r"])).exits(0);
    done(folder.coord(["run", "--id", "r"])).exits(0);
    let told = folder.read("told");
    assert_eq!(told.as_deref(), Some("first\nrun\nrun\n"));
}

#[test]
fn a_dry_run_says_the_hooks() {
    let folder = Folder::new();
    folder.write("coord.toml", TELLS);
    done(folder.coord(["run", "--dry-run"]))
        .exits(0)
        .says("success: `touch good`, ")
        .says("at the end, success: echo success >> told\n");
    let lines = done(folder.coord(["run", "--dry-run", "--output", "jsonl"]));
    lines
        .says(r#""hooks":{"success":"touch good","failure":"#)
        .says(r#""on_failure":"fail-fast","hooks":{"success":"echo success >> told","#);
}

#[test]
fn a_run_that_ends_for_a_service_has_its_hooks_for_failures_run() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
        [hooks]
        failure = 'echo "$COORD_STATUS $COORD_FAILED_STEPS: $COORD_ERROR" >> told'
        [[service]]
        id = "api"
        run = "until test -e begun; do sleep 0.01; done; exit 3"
        restart = "exit-on-failure"
        [[step]]
        id = "long"
        run = "touch begun; exec sleep 60"
        needs = ["api"]
        hooks = { always = 'echo "$COORD_STATUS" >> told' }
        "#,
    );
    done(folder.coord(["run"])).exits(100);
    let told = folder.read("told");
    assert_eq!(
        told.as_deref(),
        Some("cancelled\nfailed api: exit code 3\n")
    );
}

#[test]
fn the_hook_of_a_run_is_told_the_exit_code_of_the_service_that_was_given_up() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
        [hooks]
        failure = 'echo "$COORD_FAILED_STEPS $COORD_EXIT_CODE" >> told'
        [[service]]
        id = "api"
        run = "until test -e begun; do sleep 0.01; done; exit 3"
        restart = "exit-on-failure"
        [[step]]
        id = "long"
        run = "touch begun; exec sleep 60"
        needs = ["api"]
        "#,
    );
    done(folder.coord(["run"])).exits(100);
    assert_eq!(folder.read("told").as_deref(), Some("api 3\n"));
}

#[test]
fn the_hook_of_a_run_is_told_the_exit_code_of_a_service_that_never_was_ready() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
        [hooks]
        failure = 'echo "$COORD_FAILED_STEPS $COORD_EXIT_CODE" >> told'
        [[service]]
        id = "api"
        run = "exit 4"
        ready = { log = "listening" }
        [[step]]
        id = "test"
        run = "true"
        needs = ["api"]
        "#,
    );
    done(folder.coord(["run"])).exits(100);
    assert_eq!(folder.read("told").as_deref(), Some("api 4\n"));
}

#[test]
fn hooks_are_told_the_exit_code_of_a_service_that_did_not_come_up_again() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
        [hooks]
        failure = 'echo "$COORD_FAILED_STEPS $COORD_EXIT_CODE" >> told'
        [[service]]
        id = "api"
        run = "test ! -e begun || exit 6; echo listening; exec sleep 60"
        ready = { log = "listening" }
        [[step]]
        id = "long"
        run = "touch begun; echo pid=$$; exec sleep 60"
        needs = ["api"]
        hooks = { failure = 'echo "$COORD_STEP $COORD_EXIT_CODE" >> told' }
        "#,
    );
    let mut running = Running::start(folder.coord(["run", "--id", "r"]));
    running.until("pid=");
    running.signal(Signal::KILL);
    running.end();
    done(folder.coord(["resume", "r"])).exits(100);
    assert_eq!(folder.read("told").as_deref(), Some("long 6\nlong 6\n"));
}

#[test]
fn the_hook_of_a_run_that_was_interrupted_is_told_again_which_service_failed() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
        [hooks]
        failure = 'echo "$COORD_STATUS $COORD_FAILED_STEPS: $COORD_ERROR" >> told; if test ! -e again; then touch again; echo pid=$$; exec sleep 60; fi'
        [[service]]
        id = "api"
        run = "until test -e begun; do sleep 0.01; done; exit 3"
        restart = "exit-on-failure"
        [[step]]
        id = "long"
        run = "touch begun; exec sleep 60"
        needs = ["api"]
        "#,
    );
    let mut running = Running::start(folder.coord(["run", "--id", "r"]));
    running.until("pid=");
    running.signal(Signal::KILL);
    running.end();
    done(folder.coord(["resume", "r"]))
        .exits(100)
        .says("api failed: exit code 3\n")
        .says("1 service failed\n");
    let told = "failed api: exit code 3\n".repeat(2);
    assert_eq!(folder.read("told"), Some(told));
}

#[test]
fn a_step_that_began_and_is_skipped_or_cancelled_while_the_run_is_paused_has_its_hooks_run() {
    let folder = Folder::new();
    let step = |id: &str, run: &str| {
        let always = r#"echo "$COORD_STEP $COORD_STATUS" >> told"#;
        format!(
            "[[step]]\nid = '{id}'\nrun = '{run}'\non_exhausted = 'pause'\n\
             hooks = {{ failure = 'touch never', always = '{always}' }}\n"
        )
    };
    let works = "echo works; until test -e go; do sleep 0.01; done; exit 1";
    let text = [
        step("works", works),
        step("skipped", "exit 1"),
        step("ended", "exit 1"),
    ];
    folder.write("coord.toml", text.concat());
    let mut running = Running::start(folder.coord(["run", "--id", "r", "--output", "text"]));
    running.until("the run is paused,");
    running.until("the run is paused,");
    done(folder.coord(["skip", "r", "skipped"])).exits(0);
    running.until("· skipped");
    done(folder.coord(["skip", "r", "works"])).exits(0);
    folder.write("go", "");
    running.until("· skipped");
    done(folder.coord(["cancel", "r"])).exits(0);
    let (_, said) = running.end();
    assert!(!said.contains("again in"), "{said}");
    assert_eq!(
        folder.read("told").as_deref(),
        Some("skipped cancelled\nworks cancelled\nended cancelled\n")
    );
    assert!(folder.read("never").is_none());
}
