//! How runs end, and what is said of it.

use std::path::Path;

use crate::coord::{Folder, done, limited, run, unmarked};

#[test]
fn the_shipped_workflow_shows_what_it_promises() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap();
    let folder = Folder::new();
    let shipped = std::fs::read(root.join("coord.toml")).unwrap();
    folder.write("coord.toml", shipped);
    let done = done(folder.coord([]));
    done.exits(0)
        .says("fetch         | 12 packages are up to date\n")
        .says("browser-tests · attempt 1 of 3 failed: exit code 1; again in 200 ms\n")
        .says("browser-tests · attempt 2 of 3 failed: exit code 1; again in 400 ms\n")
        .says("browser-tests | 14 pages: ok\n")
        .says("spelling      · failed: exit code 2; it is optional\n")
        .says("publish       · skipped: its condition is false\n")
        .says("3 attempts\n")
        .says(": 5 done, 1 failed, 1 skipped, 1 service\n");
    assert_eq!(done.err, "");
}

#[test]
fn a_failure_is_told_with_its_last_lines_its_code_and_its_place() {
    let done = run(r#"
        [[step]]
        id = "build"
        run = "for i in $(seq 1 30); do echo line $i; done; echo broken; exit 7"

        [[step]]
        id = "deploy"
        needs = ["build"]
        run = "touch deployed"
        "#);
    let tail: String = (22..=30).map(|line| format!("  | line {line}\n")).collect();
    done.exits(100)
        .says(&format!(
            "\nbuild failed: exit code 7\n  at coord.toml:3:14\n{tail}  | broken\n"
        ))
        .says("not run   deploy\n")
        .says(": 1 failed, 1 not run\n");
}

#[test]
fn of_a_step_that_was_tried_again_only_the_last_attempt_and_nothing_of_its_hooks_is_shown() {
    let done = run(r#"
        [[step]]
        id = "build"
        run = "echo attempt $COORD_ATTEMPT; exit 1"
        retry = { max_attempts = 3, initial = "10ms" }
        hooks = { failure = "echo told" }
        "#);
    done.exits(100)
        .says("build failed: exit code 1\n  at coord.toml:3:14\n  | attempt 3\n\n");
}

#[test]
fn the_end_names_what_failed_and_was_undone_and_the_command_on_the_last_screen_of_many_steps() {
    let folder = Folder::new();
    let mut file = String::from("on_failure = 'finish-all'\nconcurrency = 1\n");
    for step in 0..9 {
        file += &format!("[[step]]\nid = 'good-{step}'\nrun = 'true'\nundo = 'true'\n");
    }
    for step in 0..40 {
        let run = "seq 20; exit 3";
        file += &format!("[[step]]\nid = 'bad-{step}'\nrun = '{run}'\n");
    }
    folder.write("coord.toml", file);
    let done = done(folder.coord(["run", "--id", "r"]));
    done.exits(100);
    let last: Vec<&str> = done.out.lines().rev().take(23).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    let from = last
        .iter()
        .position(|line| line.starts_with("coord failed in "))
        .unwrap();
    assert!(last[from].ends_with(": 9 done, 40 failed"), "{last:?}");
    let bad = |step: usize| {
        format!(
            "  bad-{step} failed: exit code 3; at coord.toml:{}:6",
            40 + 3 * step
        )
    };
    let named: Vec<String> = (0..5).map(bad).collect();
    assert_eq!(last[from + 1..from + 6], named);
    assert_eq!(last[from + 6], "  and 35 more");
    assert_eq!(
        last[from + 7],
        "  undone: good-0, good-1, good-2, good-3, good-4 and 4 more"
    );
    assert_eq!(
        last[from + 8],
        "run r; to do again what is not done: coord retry r"
    );
}

#[test]
fn a_failure_undoes_what_was_done_in_reverse_order_of_completion() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
        [[step]]
        id = "first"
        run = "true"
        undo = "echo first >> undone"
        [[step]]
        id = "second"
        needs = ["first"]
        run = "true"
        undo = "echo second >> undone"
        [[step]]
        id = "third"
        needs = ["second"]
        run = "false"
        undo = "echo third >> undone"
        "#,
    );
    done(folder.coord(["run"]))
        .exits(100)
        .says("undo second · done\n");
    assert_eq!(folder.read("undone").as_deref(), Some("second\nfirst\n"));
}

#[test]
fn an_undo_that_fails_is_tried_again_and_then_told() {
    let done = run(r#"
        [[step]]
        id = "first"
        run = "true"
        undo = "echo it is locked; exit 3"
        [[step]]
        id = "second"
        needs = ["first"]
        run = "false"
        "#);
    done.exits(100)
        .says("first was not undone: exit code 3\n  at coord.toml:3:14\n  | it is locked\n");
}

#[test]
fn a_step_that_needs_any_begins_after_the_first_success_and_is_skipped_without_one() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
        concurrency = 4
        [[step]]
        id = "fails"
        run = "false"
        optional = true
        [[step]]
        id = "works"
        run = "true"
        [[step]]
        id = "waits"
        run = "until test -e begun; do sleep 0.01; done"
        timeout = "30s"
        [[step]]
        id = "begins"
        run = "touch begun"
        needs_any = ["fails", "works", "waits"]
        [[step]]
        id = "skipped"
        run = "touch never"
        needs_any = ["fails"]
        "#,
    );
    done(folder.coord(["run"]))
        .exits(0)
        .says("skipped: none of the steps that it needs any of has completed");
    assert_eq!(folder.read("never"), None);
    done(folder.coord(["graph"])).says("begins            after any of fails, works, waits\n");
}

#[test]
fn steps_that_take_the_same_resource_run_one_after_the_other_and_others_beside_them() {
    let folder = Folder::new();
    let user = |id: &str| {
        let run = "mkdir held && until test -e beside; do sleep 0.01; done && rmdir held";
        format!("[[step]]\nid = '{id}'\nrun = '{run}'\nresources = {{ port = 1 }}\n")
    };
    let users = ["a", "b", "c"].map(user).concat();
    let beside = "[[step]]\nid = 'beside'\nrun = 'touch beside'\n";
    let text = format!("concurrency = 2\n[resources]\nport = 1\n{users}{beside}");
    folder.write("coord.toml", &text);
    done(folder.coord(["run"])).exits(0);
}

#[test]
fn an_undo_is_tried_as_often_as_it_says_and_for_as_long_as_it_says() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
        [[step]]
        id = "often"
        run = "true"
        undo = { run = "echo tried >> often; false", retry = { max_attempts = 5, initial = "1ms" } }
        [[step]]
        id = "long"
        run = "true"
        undo = { run = "sleep 1000", retry = { max_attempts = 1 }, timeout = "100ms" }
        [[step]]
        id = "fails"
        needs = ["often", "long"]
        run = "false"
        "#,
    );
    done(folder.coord(["run"]))
        .exits(100)
        .says("often was not undone: exit code 1\n")
        .says("long was not undone: it was not done after 100ms, its timeout\n");
    assert_eq!(
        folder.read("often").as_deref(),
        Some("tried\n".repeat(5).as_str())
    );
}

#[test]
fn a_step_that_takes_too_long_is_ended_and_fails() {
    let step = "id = 'slow'\nrun = \"trap 'echo told; exit 1' TERM; sleep 1000 & wait\"";
    let (done, limit) = limited(
        |limit| run(&format!("[[step]]\n{step}\ntimeout = '{limit:?}'\n")),
        |done| done.out.contains("told"),
    );
    done.exits(100).says("slow | told\n").says(&format!(
        "slow failed: it was not done after {limit:?}, its timeout"
    ));
}

#[test]
fn a_run_that_takes_too_long_is_ended() {
    let done = run(r#"
        timeout = "200ms"
        [[step]]
        id = "slow"
        run = "exec sleep 1000"
        "#);
    done.exits(100)
        .says("cancelled slow")
        .says("coord took longer than 200 ms");
}

#[test]
fn a_program_that_is_missing_is_told_once_and_not_tried_again() {
    let done = run(r#"
        [[step]]
        id = "lint"
        command = ["no-such-program"]
        retry = { max_attempts = 5, initial = "10m", max = "10m" }
        "#);
    done.exits(100)
        .says("lint failed: process `lint` was not started: there is no `no-such-program`");
    assert!(!done.out.contains("attempt"), "{}", done.out);
}

#[test]
fn steps_see_their_parameters_and_variables_in_the_order_of_the_manual() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
        name = "env"
        [params]
        build-type = "fast"
        [env]
        SHARED = "file"
        PARAM_BUILD_TYPE = "$(touch injected)"
        [[step]]
        id = "one"
        run = 'echo "$COORD_WORKFLOW/$COORD_STEP/$COORD_ATTEMPT:$SHARED:$OWN:$INHERITED"; echo "$PARAM_BUILD_TYPE"'
        env = { OWN = "step" }
        "#,
    );
    let mut command = folder.coord(["run", "--param", "build-type=slow; touch injected"]);
    command.env("SHARED", "outside").env("INHERITED", "outside");
    done(command)
        .exits(0)
        .says("one | env/one/1:file:step:outside\n")
        .says("one | $(touch injected)\n");
    assert_eq!(folder.read("injected"), None);
}

#[test]
fn what_coord_tells_a_process_no_variable_of_the_file_replaces() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
        name = "env"
        [env]
        COORD_WORKFLOW = "other"
        COORD_RUN_ID = "other"
        COORD_IDEMPOTENCY_KEY = "other"
        [[service]]
        id = "up"
        run = 'echo "$COORD_RUN_ID/$COORD_STEP/$COORD_ATTEMPT"; exec sleep 1000'
        ready = { log = "up" }
        env = { COORD_ATTEMPT = "7" }
        [[step]]
        id = "one"
        needs = ["up"]
        run = 'echo "$COORD_WORKFLOW $COORD_STEP $COORD_ATTEMPT $COORD_IDEMPOTENCY_KEY"'
        env = { COORD_STEP = "other", COORD_ATTEMPT = "7", COORD_HOOK = "other" }
        hooks = { success = 'echo "$COORD_HOOK $COORD_STEP $COORD_ATTEMPT" > hook' }
        "#,
    );
    let ran = done(folder.coord(["run", "--id", "r"]));
    ran.exits(0).says("up  | r/up/1\n");
    let said = unmarked(&ran.out);
    assert!(said.contains("one | env one 1 r/one\n"), "{said}");
    assert_eq!(folder.read("hook").as_deref(), Some("success one 1\n"));
}

#[test]
fn a_parameter_decides_a_condition() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[params]\ndeploy = false\n[[step]]\nid = 'deploy'\nrun = 'echo deployed'\nwhen = \"params.deploy == 'true'\"\n",
    );
    done(folder.coord(["run"])).exits(4).says("nothing to do");
    let asked = folder.coord(["run", "--param", "deploy=true"]);
    done(asked).exits(0).says("deploy | deployed\n");
}

#[test]
fn only_as_many_steps_run_at_once_as_was_asked_for() {
    let folder = Folder::new();
    let step = |id| {
        // Each sees whether another is in the room, and gives it time to come in.
        let look = "mkdir room || { echo crowded; exit 1; }; sleep 0.05; rmdir room";
        format!("[[step]]\nid = '{id}'\nrun = '{look}'\n")
    };
    let steps: String = ["a", "b", "c", "d"].map(step).concat();
    folder.write("coord.toml", steps);
    done(folder.coord(["run", "--concurrency", "1"])).exits(0);
    assert!(!folder.path().join("room").exists());
}

#[test]
fn steps_run_in_the_folder_of_their_file() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    folder.write(
        "sub/flow.toml",
        "[[step]]\nid = 'here'\nrun = 'echo x > made'\n",
    );
    done(folder.coord(["run", "sub/flow.toml"])).exits(0);
    assert_eq!(folder.read("sub/made").as_deref(), Some("x\n"));
}
