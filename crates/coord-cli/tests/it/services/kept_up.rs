//! Services that run on when all steps are over, as the commands about runs see them: the run is up until
//! none of them runs any more.

use rustix::process::Signal;

use super::{interrupt, start};
use crate::coord::{Folder, Running, done, is_gone, pids, until};

const SERVICE: &str = "[[service]]\nid = 'web'\nready = { log = 'pid' }\n\
                       run = 'echo pid=$$; exec sleep 1000'\n";

/// Asks again until a run is said to be in this state, for as long as it is in one of those before.
#[track_caller]
fn is_shown(folder: &Folder, state: &str, before: &[&str]) {
    until(|| {
        let shown = done(folder.coord(["show", "dev"])).out;
        let is_in = |state: &&str| shown.contains(&format!(": {state}, started"));
        assert!(is_in(&state) || before.iter().any(is_in), "{shown}");
        is_in(&state)
    });
}

#[test]
fn a_detached_run_of_services_alone_is_up_until_it_is_cancelled() {
    let folder = Folder::new();
    folder.write("coord.toml", SERVICE);
    let left = done(folder.coord(["run", "-d", "--id", "dev"]));
    left.exits(0);
    is_shown(&folder, "up", &["running"]);
    let listed = done(folder.coord(["list", "--unfinished"]));
    listed.says("up  ").says("1/1");
    done(folder.coord(["list", "--output=jsonl"])).says("\"is_up\":true");

    let mut attached = Running::start(folder.coord(["attach"]));
    attached.until("all steps are over");
    let logged = done(folder.coord(["logs", "dev"])).out;
    let up = pids(&logged);
    assert!(!is_gone(up[0]), "{logged}");
    done(folder.coord(["cancel", "dev"])).exits(0);
    let (status, printed) = attached.end();
    assert_eq!(status.code(), Some(0), "{printed}");
    done(folder.coord(["show", "dev"])).says(": completed, started");
    assert!(is_gone(up[0]));
}

#[test]
fn a_detached_run_that_keeps_its_services_is_up_when_its_steps_are_over() {
    let folder = Folder::new();
    let step = "[[step]]\nid = 'test'\nrun = 'true'\nneeds = ['web']\nundo = 'touch undone'\n";
    folder.write("coord.toml", format!("{SERVICE}{step}"));
    let left = done(folder.coord(["-d", "--keep-services", "--id", "dev"]));
    left.exits(0);
    is_shown(&folder, "up", &["running"]);
    done(folder.coord(["cancel", "dev"])).exits(0);
    is_shown(&folder, "completed", &["up"]);
    // What was done is what the services ran on for.
    assert_eq!(folder.read("undone"), None);
}

#[test]
fn a_run_is_detached_whose_service_ends_at_once() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[service]]\nid = 'web'\nrun = 'true'\n");
    done(folder.coord(["run", "-d", "--id", "dev"])).exits(0);
    is_shown(&folder, "completed", &["running", "up"]);
}

#[test]
fn a_file_behind_two_dashes_is_detached_like_any_other() {
    let folder = Folder::new();
    folder.write("-d", "[[step]]\nid = 'a'\nrun = 'touch ran'\n");
    done(folder.coord(["run", "-d", "--id", "dev", "--", "-d"])).exits(0);
    is_shown(&folder, "completed", &["running", "up"]);
    assert!(folder.read("ran").is_some());
}

#[test]
fn a_run_has_failed_when_a_service_that_ran_on_is_given_up_and_is_retried_from_there() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[service]]\nid = 'web'\nready = { log = 'up' }\n\
         run = 'echo up; test -e mended && exec sleep 1000; sleep 0.1; exit 3'\n\
         restart = { policy = 'on-failure', intensity = 1, initial = '1ms' }\n\
         [[step]]\nid = 'build'\nrun = 'echo built >> built'\n",
    );
    let ran = done(folder.coord(["run", "--id", "dev"]));
    ran.exits(100).says("web failed: exit code 3");
    done(folder.coord(["list"])).says("failed");
    let shown = done(folder.coord(["show", "dev"]));
    shown.says(": failed, started").says("\nweb: exit code 3");

    folder.write("mended", "");
    let mut again = Running::start(folder.coord(["retry", "dev"]));
    again.until("all steps are over");
    interrupt(&mut again, "ending");
    let (status, printed) = again.end();
    assert_eq!(status.code(), Some(0), "{printed}");
    assert_eq!(folder.read("built").unwrap(), "built\n");
}

#[test]
fn a_run_has_failed_when_a_service_is_given_up_that_a_step_still_needs() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[service]]\nid = 'db'\nready = { log = 'up' }\nrestart = 'exit-on-failure'\n\
         run = 'echo up; until test -e go; do sleep 0.01; done; exit 3'\n\
         [[step]]\nid = 'test'\nrun = 'touch go; sleep 1000'\nneeds = ['db']\n",
    );
    done(folder.coord(["run", "--id", "dev"])).exits(100);
    let shown = done(folder.coord(["show", "dev"]));
    shown.says(": failed, started").says("\ndb: exit code 3");
}

#[test]
fn a_run_of_services_whose_coord_was_killed_is_resumed_and_runs_on() {
    for keeps in [false, true] {
        let step = "[[step]]\nid = 'test'\nrun = 'true'\nneeds = ['web']\n";
        let (workflow, arguments) = match keeps {
            false => (SERVICE.to_owned(), ["--id", "dev", "--color", "never"]),
            true => (
                format!("{SERVICE}{step}"),
                ["--id", "dev", "--keep-services", "--color=never"],
            ),
        };
        let (folder, mut running) = start(&workflow, arguments);
        running.until("all steps are over");
        running.signal(Signal::KILL);
        let (_, printed) = running.end();
        done(folder.coord(["show", "dev"])).says(": interrupted, started");

        let mut resumed = Running::start(folder.coord(["resume"]));
        resumed.until("all steps are over");
        let up = pids(&resumed.printed);
        assert_eq!(up.len(), 1, "{}", resumed.printed);
        assert!(pids(&printed).into_iter().all(is_gone), "{printed}");
        // It runs on, and is told so.
        is_shown(&folder, "up", &["running"]);
        assert!(!is_gone(up[0]));
        interrupt(&mut resumed, "ending");
        let (status, printed) = resumed.end();
        assert_eq!(status.code(), Some(0), "{printed}");
        assert!(is_gone(up[0]));
        done(folder.coord(["show", "dev"])).says(": completed, started");
    }
}
