//! Steps that hang, that pause their run, and branches that finish.

use std::time::Duration;

use crate::coord::{Done, Folder, Running, done, limited, run, unmarked};

#[test]
fn a_step_that_prints_nothing_for_its_heartbeat_timeout_is_stopped_and_tried_again() {
    // What it prints keeps it alive for longer than that; then it hangs, and does not again.
    let with = |limit: Duration| {
        let pause = limit.as_secs_f64() / 2.0;
        run(&format!(
            "[[step]]\nid = 'hangs'\nheartbeat_timeout = '{limit:?}'\n\
             retry = {{ max_attempts = 2, initial = '1ms' }}\n\
             run = 'for i in 1 2 3; do echo said $i; sleep {pause}; done; \
             if test $COORD_ATTEMPT = 1; then exec sleep 60; fi'\n"
        ))
    };
    let speaks = |done: &Done| done.out.matches("said 3").count() == 2 && done.code == Some(0);
    let (done, limit) = limited(with, speaks);
    let failed = format!(
        "attempt 1 of 2 failed: it gave no sign of life for {limit:?}, its heartbeat timeout"
    );
    done.exits(0).says(&failed).says("attempt 2 of 2");
    assert!(speaks(&done), "{}", done.out);
}

#[test]
fn a_step_has_so_much_time_for_all_its_attempts_and_the_waits_between_them() {
    let file = |limit: Duration, run: &str| {
        let wait = limit / 2;
        format!(
            "[[step]]\nid = 'a'\ntotal_timeout = '{limit:?}'\n\
             retry = {{ max_attempts = 9, initial = '{wait:?}', backoff = 'constant' }}\nrun = '{run}'\n"
        )
    };
    let again = "test $COORD_ATTEMPT -gt 1 && exec sleep 60; exit 1";
    let (stopped, limit) = limited(
        |limit| run(&file(limit, again)),
        |done| done.out.contains("attempt 1 of 9") && done.out.contains("it was not done"),
    );
    stopped.exits(100).says("attempt 1 of 9 failed: ");
    stopped.says(&format!(
        "it was not done after {limit:?}, its total timeout"
    ));
    let (given_up, limit) = limited(
        |limit| run(&file(limit, "exit 1")),
        |done| done.out.contains("no other attempt begins"),
    );
    given_up.exits(100).says("attempt 1 of 9 failed: ");
    given_up.says(&format!(
        "no other attempt begins within {limit:?}, its total timeout"
    ));
    let folder = Folder::new();
    folder.write("coord.toml", file(Duration::from_secs(1), "exit 1"));
    let planned = done(folder.coord(["--dry-run"]));
    planned.exits(0).says("all attempts at most 1.0 s");
}

#[test]
fn what_exits_with_0_when_it_is_told_to_stop_is_not_done() {
    // Its time is up, that of its undoing, and it is stopped for another that fails.
    let polite = "trap 'echo bye; exit 0' TERM; sleep 60 & wait";
    let was_polite = |done: &Done| done.out.contains("| bye");
    for key in ["timeout", "heartbeat_timeout"] {
        let step = format!("[[step]]\nid = 's'\nrun = \"{polite}\"\n{key}");
        let with = |limit| run(&format!("{step} = '{limit:?}'\n"));
        let (done, limit) = limited(with, was_polite);
        done.exits(100).says("| bye").says(&format!("{limit:?}"));
        assert!(!done.out.contains("1 done"), "{}", done.out);
    }
    let undone = |limit| {
        run(&format!(
            "[[step]]\nid = 's'\nrun = 'true'\nundo = {{ run = \"{polite}\", timeout = '{limit:?}' }}\n\
             [[step]]\nid = 'fails'\nneeds = ['s']\nrun = 'false'\n"
        ))
    };
    let (done, _) = limited(undone, was_polite);
    done.exits(100).says("| bye").says("was not undone");
}

#[test]
fn a_retry_does_again_what_was_stopped_half_way_however_it_exited() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'build'\n\
         run = 'trap \"exit 0\" TERM; touch up; test -e well || { sleep 60 & wait; }; touch built'\n\
         [[step]]\nid = 'lint'\nrun = 'until test -e up; do sleep 0.01; done; test -e well'\n\
         [[step]]\nid = 'publish'\nneeds = ['build', 'lint']\nrun = 'test -e built'\n",
    );
    done(folder.coord(["run", "--id", "a"])).exits(100);
    folder.write("well", "");
    done(folder.coord(["retry", "a"])).exits(0).says("3 done");
}

#[test]
fn a_run_is_paused_for_a_step_and_goes_on_when_it_is_continued() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'deploy'\nrun = 'echo $COORD_IDEMPOTENCY_KEY >> keys; test -e well'\n\
         on_exhausted = 'pause'\n\
         [[step]]\nid = 'tell'\nneeds = ['deploy']\nrun = 'true'\n",
    );
    let mut running = Running::start(folder.coord(["run", "--id", "release"]));
    running.until("the run is paused, until `coord continue`");
    // It is told at once, and in the journal a moment later.
    let is_listed = |_| done(folder.coord(["list"])).out.contains("paused");
    assert!((0..1_000).any(is_listed));
    let shown = done(folder.coord(["show", "release"]));
    shown
        .exits(0)
        .says("exhausted")
        .says("coord continue release");
    let why = done(folder.coord(["why", "release", "deploy"]));
    why.exits(0)
        .says("deploy: the run is paused for it, as every attempt has failed");
    assert_eq!(why.out.matches("exit").count(), 1, "{}", why.out);
    folder.write("well", "");
    done(folder.coord(["continue", "release"])).exits(0);
    running.until("2 done");
    let keys = folder.read("keys").unwrap();
    assert_eq!(unmarked(&keys), "release/deploy\nrelease/deploy\n");
}

#[test]
fn a_step_that_is_given_something_else_in_a_retry_has_another_key_and_else_the_same() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[service]]\nid = 'bank'\nrun = 'exec sleep 1000'\n\
         [[step]]\nid = 'price'\nneeds = ['bank']\nrun = 'cat price >> $COORD_OUTPUT'\n\
         outputs = ['price']\n\
         [[step]]\nid = 'charge'\nneeds = ['price', 'bank']\n\
         env = { PRICE = { output = 'price.price' } }\n\
         run = 'echo $PRICE by $COORD_IDEMPOTENCY_KEY >> asked; test -e well'\n",
    );
    folder.write("price", "price=7\n");
    let asked = || unmarked(&folder.read("asked").unwrap());
    done(folder.coord(["run", "--id", "r"])).exits(100);
    done(folder.coord(["retry", "r", "--from", "price"])).exits(100);
    assert_eq!(asked(), "7 by r/charge\n7 by r/charge\n");
    folder.write("price", "price=8\n");
    done(folder.coord(["retry", "r", "--from", "price"])).exits(100);
    folder.write("well", "");
    done(folder.coord(["retry", "r"])).exits(0);
    let asked = asked();
    let (_, since) = asked.split_at("7 by r/charge\n".len() * 2);
    assert_eq!(since, "8 by r/charge/1\n8 by r/charge/1\n");
}

#[test]
fn a_step_that_could_not_be_undone_is_done_again_and_what_was_tried_is_told() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'charge'\nrun = 'echo $COORD_IDEMPOTENCY_KEY >> asked'\n\
         undo = { run = 'exit 4', retry = { max_attempts = 1 } }\n\
         [[step]]\nid = 'ship'\nneeds = ['charge']\nrun = 'test -e well'\n",
    );
    done(folder.coord(["run", "--id", "r"])).exits(100);
    folder.write("well", "");
    let retried = done(folder.coord(["retry", "r"]));
    retried
        .exits(0)
        .says("run r: 0 of 2 steps are done already\n")
        .says("charge is done again, as it could not be undone: exit code 4\n");
    let asked = unmarked(&folder.read("asked").unwrap());
    assert_eq!(asked, "r/charge\nr/charge/1\n");
    let shown = done(folder.coord(["show", "r"]));
    shown.says("it could not be undone before a retry: exit code 4\n");
}

#[test]
fn a_run_begun_anew_has_other_keys_than_the_one_before_it() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'charge'\nrun = 'echo $COORD_IDEMPOTENCY_KEY >> keys'\n",
    );
    for _ in 0..2 {
        done(folder.coord(["run", "--id", "nightly", "--again"])).exits(0);
    }
    let keys = folder.read("keys").unwrap();
    assert_eq!(unmarked(&keys), "nightly/charge\nnightly/charge\n");
    let (first, second) = keys.split_once('\n').unwrap();
    assert_ne!(first, second.trim_end());
}

#[test]
fn a_step_is_tried_again_only_after_the_exit_codes_that_the_file_names() {
    // 75, then 1; and a kill, which is no exit code.
    let file = "[[step]]\nid = 's'\noptional = true\n\
                retry = { max_attempts = 5, initial = '1ms', exit_codes = [75, 111] }\n\
                run = 'echo attempt $COORD_ATTEMPT; test $COORD_ATTEMPT = 2 || exit 75'\n\
                [[step]]\nid = 't'\noptional = true\n\
                retry = { max_attempts = 5, initial = '1ms', exit_codes = [75] }\n\
                run = 'echo try $COORD_ATTEMPT; test $COORD_ATTEMPT = 1 && exit 75; exit 1'\n\
                [[step]]\nid = 'u'\n\
                retry = { max_attempts = 3, initial = '1ms', exit_codes = [75] }\n\
                run = 'echo life $COORD_ATTEMPT; test $COORD_ATTEMPT = 3 || kill -9 $$'\n";
    let ran = run(file);
    ran.exits(0);
    let times = |text: &str| ran.out.matches(text).count();
    assert_eq!(
        (times("| attempt 2"), times("| attempt 3")),
        (1, 0),
        "{}",
        ran.out
    );
    assert_eq!((times("| try 2"), times("| try 3")), (1, 0), "{}", ran.out);
    assert_eq!(times("| life 3"), 1, "{}", ran.out);
}

#[test]
fn branches_finish_where_the_file_says_so_and_no_step_is_critical() {
    let file = |critical: bool| {
        format!(
            "on_failure = 'finish-branches'\n\
             [[step]]\nid = 'lint'\nrun = 'exit 3'\ncritical = {critical}\n\
             [[step]]\nid = 'test'\nrun = 'sleep {}; echo tested'\n\
             [[step]]\nid = 'after'\nneeds = ['lint']\nrun = 'echo never'\n",
            // Until it is stopped, where it is to be.
            if critical { "1000" } else { "0.3" }
        )
    };
    let finished = run(&file(false));
    finished.exits(100).says("tested").says("1 failed");
    assert!(!finished.out.contains("never"));
    let stopped = run(&file(true));
    stopped.exits(100);
    assert!(!stopped.out.contains("tested"), "{}", stopped.out);
}

#[test]
fn a_program_that_is_not_there_is_not_tried_again_unless_its_exit_code_is_named() {
    let folder = Folder::new();
    let retry = |codes: &str| {
        format!(
            "[[step]]\nid = 'a'\nrun = 'echo tried; no-such-program-at-all'\n\
             retry = {{ max_attempts = 2, initial = '1ms'{codes} }}\n"
        )
    };
    folder.write("coord.toml", retry(""));
    let once = done(folder.coord(["run"]));
    once.exits(100).says("failed: exit code 127");
    assert_eq!(once.out.matches("a | tried").count(), 1, "{}", once.out);
    folder.write("coord.toml", retry(", exit_codes = [127]"));
    let twice = done(folder.coord(["run"]));
    assert_eq!(twice.out.matches("a | tried").count(), 2, "{}", twice.out);
}

#[test]
fn a_run_that_nobody_could_continue_does_not_begin() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'a'\nrun = 'touch ran'\non_exhausted = 'pause'\n",
    );
    let refused = done(folder.coord(["run", "--no-journal"]));
    refused.exits(96);
    assert!(
        refused.err.contains("coord::runs::unpaused"),
        "{}",
        refused.err
    );
    assert_eq!(folder.read("ran"), None);
}
