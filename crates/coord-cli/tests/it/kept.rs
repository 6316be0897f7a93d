//! Runs that are kept: killed, taken up, done again, and talked of from other processes.

mod all;
mod anew;
mod damaged;
mod disk;
mod folders;
mod latest;
mod left;
mod pasted;
mod reported;
mod starting;
mod told;
mod variables;

use std::process::{Command, Stdio};
use std::time::Duration;

use coordination::bus::time::Instant;
use rustix::process::Signal;
use serde_json::Value;

use crate::coord::{
    Done, Folder, Running, done, is_gone, limited, pids, unmarked, until, until_some,
};

/// What each step writes when it begins: its key, which stays, and its attempt.
const NOTE: &str = "echo $COORD_STEP $COORD_IDEMPOTENCY_KEY >> effects";

/// Steps `first`, then `one` and `two` side by side, then `last`. `one` and `two` wait until there is
/// a file `go`.
fn diamond() -> String {
    let waits = format!("{NOTE}; echo began; until test -e go; do sleep 0.01; done");
    format!(
        "[[step]]\nid = 'first'\nrun = '{NOTE}'\n\
         [[step]]\nid = 'one'\nneeds = ['first']\nrun = '{waits}'\n\
         [[step]]\nid = 'two'\nneeds = ['first']\nrun = '{waits}'\n\
         [[step]]\nid = 'last'\nneeds = ['one', 'two']\nrun = '{NOTE}'\n"
    )
}

/// A run of this file, of which something has been printed so often.
fn started(file: &str, text: &str, times: usize) -> (Folder, Running) {
    let folder = Folder::new();
    folder.write("coord.toml", file);
    let running = on(&folder, ["run", "--concurrency", "4"], text, times);
    (folder, running)
}

fn on<const N: usize>(folder: &Folder, arguments: [&str; N], text: &str, times: usize) -> Running {
    let mut running = Running::start(folder.coord(arguments));
    for _ in 0..times {
        running.until(text);
    }
    running
}

/// Kills it as a loss of memory would.
fn kill(running: Running) {
    running.signal(Signal::KILL);
    running.end();
}

/// The runs, as `coord list` has them for programs, once the latest of them is in this state.
#[track_caller]
pub(crate) fn list(folder: &Folder, state: &str) -> Vec<Value> {
    until_some(|| {
        let runs = listed(folder);
        if runs[0]["state"] == state {
            return Some(runs);
        }
        // Its watchdog may not have done yet. Nothing else is expected.
        assert_eq!(runs[0]["state"], "running", "{runs:?}");
        None
    })
}

#[track_caller]
fn listed(folder: &Folder) -> Vec<Value> {
    let listed = done(folder.coord(["list", "--output=jsonl"]));
    listed.exits(0);
    let lines = listed.out.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Kills what runs as soon as its step has begun; whether its time limit had left it the time for that.
fn is_interrupted<const N: usize>(folder: &Folder, arguments: [&str; N]) -> bool {
    let mut command = folder.coord(arguments);
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    until(|| folder.read("began").is_some() || child.try_wait().unwrap().is_some());
    child.kill().unwrap();
    child.wait().unwrap();
    let state = until_some(|| {
        let state = listed(folder).swap_remove(0)["state"].take();
        (state != "running").then_some(state)
    });
    state == "interrupted"
}

fn id(run: &Value) -> &str {
    run["run"].as_str().unwrap()
}

fn effects(folder: &Folder) -> Vec<String> {
    let effects = unmarked(&folder.read("effects").unwrap_or_default());
    let mut effects: Vec<_> = effects.lines().map(str::to_owned).collect();
    effects.sort();
    effects
}

/// What miette wraps and frames, as one line.
fn said(done: &Done) -> String {
    let words = done.err.split_whitespace();
    words
        .filter(|word| *word != "│")
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn a_run_that_was_killed_goes_on_where_it_was_and_keeps_its_keys() {
    let (folder, running) = started(&diamond(), "began", 2);
    kill(running);
    let runs = list(&folder, "interrupted");
    assert_eq!(
        (&runs[0]["done"], &runs[0]["steps"]),
        (&1.into(), &4.into())
    );
    folder.write("go", "");
    let resumed = done(folder.coord(["resume"]));
    resumed
        .exits(0)
        .says("1 of 4 steps are done")
        .says("4 done");
    let of = |step: &str| format!("{step} {}/{step}", id(&runs[0]));
    let expected = ["first", "last", "one", "one", "two", "two"].map(of);
    assert_eq!(effects(&folder), expected);
    assert_eq!(list(&folder, "completed")[0]["done"], 4);
    // There is nothing left to be resumed, and what has finished is as it was.
    let nothing = done(folder.coord(["resume"]));
    nothing.exits(4);
    assert!(
        said(&nothing).contains("no run was interrupted"),
        "{nothing:?}"
    );
    done(folder.coord(["resume", id(&runs[0])])).exits(0);
    assert_eq!(effects(&folder), expected);
}

#[test]
fn the_name_of_a_run_that_has_finished_is_used_again_if_that_is_wanted() {
    let folder = Folder::new();
    let step = |run: &str| {
        format!("[[step]]\nid = 'a'\nrun = 'echo {run} >> ran; echo {run}; test -e go'\n")
    };
    folder.write("coord.toml", step("one"));
    let run = ["run", "--id", "dev"];
    done(folder.coord(run)).exits(100);
    let again = done(folder.coord(run));
    again.exits(100);
    let told = "nothing is started: run dev has finished before: failed; `coord logs dev` has what it printed, \
                `coord run --id dev --again` begins anew\n";
    assert_eq!(again.err, told);
    assert!(!again.out.contains(" in 0 ms"), "{}", again.out);
    // Also of another file.
    folder.write("coord.toml", step("two"));
    let refused = done(folder.coord(run));
    refused.exits(96);
    assert!(
        said(&refused).contains("`--again` forgets it and begins anew"),
        "{refused:?}"
    );
    folder.write("go", "");
    done(folder.coord(["run", "--id", "dev", "--again"]))
        .exits(0)
        .says("a | two\n");
    assert_eq!(done(folder.coord(["logs", "dev"])).out, "a | two\n");
    let detached = done(folder.coord(["run", "-d", "--again", "--id", "dev"]));
    detached.exits(0);
    assert!(
        detached.err.contains("`coord attach dev` shows it"),
        "{}",
        detached.err
    );
    // It begins once, however soon it ends; and one that goes on is let be.
    list(&folder, "completed");
    assert_eq!(folder.read("ran").as_deref(), Some("one\ntwo\ntwo\n"));
    folder.write(
        "coord.toml",
        "[[service]]\nid = 's'\nrun = 'exec sleep 1000'\n",
    );
    let again = ["run", "-d", "--id", "dev", "--again"];
    done(folder.coord(again)).exits(0);
    let refused = done(folder.coord(again));
    refused.exits(96);
    assert!(said(&refused).contains("is driven by"), "{refused:?}");
    done(folder.coord(["cancel", "dev"])).exits(0);
    list(&folder, "completed");
}

/// As long as that is open, its runs are not anybody's: see the tests of the journal and of the
/// watchdog.
#[test]
#[cfg(target_os = "linux")]
fn the_watchdog_keeps_a_run_from_being_taken_up_until_it_has_done() {
    let (folder, running) = started(
        "[[step]]\nid = 's'\nrun = 'echo pid=$$; sleep 1000'\n",
        "pid=",
        1,
    );
    let step = pids(&running.printed)[0].as_raw_pid().to_string();
    let children = format!("/proc/{0}/task/{0}/children", running.id());
    let children = std::fs::read_to_string(children).unwrap();
    let mut others = children.split_whitespace().filter(|pid| *pid != step);
    let watchdog = others.next().unwrap();
    let held = std::fs::read_link(format!("/proc/{watchdog}/fd/1")).unwrap();
    let holders = folder.path().join("state/coord/holders");
    assert!(held.starts_with(&holders), "{}", held.display());
    kill(running);
    list(&folder, "interrupted");
}

#[test]
fn services_that_steps_still_need_are_started_again() {
    let file = format!(
        "[[service]]\nid = 'base'\nrun = 'echo base >> up; echo up; exec sleep 1000'\n\
         ready = {{ log = 'up' }}\n\
         [[service]]\nid = 'db'\nneeds = ['base']\nrun = 'echo db >> up; echo up; exec sleep 1000'\n\
         ready = {{ log = 'up' }}\n\
         [[service]]\nid = 'early'\nrun = 'echo early >> up; echo up; exec sleep 1000'\n\
         ready = {{ log = 'up' }}\n\
         [[step]]\nid = 'first'\nneeds = ['early']\nrun = 'true'\n\
         [[step]]\nid = 'one'\nneeds = ['db', 'first']\n\
         run = '{NOTE}; echo began; until test -e go; do sleep 0.01; done'\n\
         [[step]]\nid = 'last'\nneeds = ['one', 'db']\nrun = '{NOTE}'\n"
    );
    let (folder, running) = started(&file, "began", 1);
    kill(running);
    folder.write("up", "");
    folder.write("go", "");
    let resumed = done(folder.coord(["resume"]));
    resumed
        .exits(0)
        .says("db    · stopped\n")
        .says("3 done, 3 services");
    // Each after what it needs, and not the one that nobody needs any more.
    assert_eq!(folder.read("up").as_deref(), Some("base\ndb\n"));
}

#[test]
fn a_service_that_begins_after_the_kill_has_what_it_needs() {
    let file = "[[service]]\nid = 'db'\nrun = 'echo db >> up; echo up; exec sleep 1000'\n\
         ready = { log = 'up' }\n\
         [[step]]\nid = 'early'\nneeds = ['db']\nrun = 'true'\n\
         [[step]]\nid = 'one'\nneeds = ['early']\n\
         run = 'echo began; until test -e go; do sleep 0.01; done'\n\
         [[service]]\nid = 'api'\nneeds = ['one']\nneeds_any = ['db']\n\
         run = 'echo api >> up; echo up; exec sleep 1000'\nready = { log = 'up' }\n\
         [[step]]\nid = 'last'\nneeds = ['api']\nrun = 'cat up'\n";
    let (folder, running) = started(file, "began", 1);
    kill(running);
    folder.write("up", "");
    folder.write("go", "");
    done(folder.coord(["resume"]))
        .exits(0)
        .says("3 done, 2 services");
    assert_eq!(folder.read("up").as_deref(), Some("db\napi\n"));
}

#[test]
fn a_service_that_is_there_for_itself_is_up_again_as_long_as_the_run() {
    let file = "[[service]]\nid = 'web'\nrun = 'echo web >> up; echo up; exec sleep 1000'\n\
         ready = { log = 'up' }\n\
         [[step]]\nid = 'one'\n\
         run = 'until test -e up; do sleep 0.01; done; echo began; until test -e go; do sleep 0.01; done'\n";
    let (folder, running) = started(file, "began", 1);
    kill(running);
    folder.write("go", "");
    let mut resumed = on(&folder, ["resume"], "the services run on", 1);
    assert!(
        resumed.printed.contains("web · ready"),
        "{}",
        resumed.printed
    );
    assert_eq!(folder.read("up").as_deref(), Some("web\nweb\n"));
    resumed.signal(Signal::INT);
    resumed.until("web · stopped");
    assert_eq!(resumed.end().0.code(), Some(0));
}

#[test]
fn of_two_who_resume_a_run_at_once_one_drives_it() {
    let (folder, running) = started(&diamond(), "began", 2);
    kill(running);
    let run = list(&folder, "interrupted");
    let resume = || Running::start(folder.coord(["resume", id(&run[0]), "--color", "never"]));
    let both = [resume(), resume()];
    // The one that drives it waits for this file, and the other for the one.
    folder.write("go", "");
    let codes = both.map(|resumed| resumed.end().0.code());
    assert!(codes.contains(&Some(0)), "{codes:?}");
    let effects = effects(&folder);
    let count = |step: &str| effects.iter().filter(|line| line.starts_with(step)).count();
    assert_eq!(["first", "one", "two", "last"].map(count), [1, 2, 2, 1]);
}

#[test]
fn a_run_goes_on_with_the_file_that_it_was_started_with() {
    let (folder, running) = started(&diamond(), "began", 2);
    kill(running);
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'other'\nrun = 'touch other'\n",
    );
    folder.write("go", "");
    let resumed = done(folder.coord(["resume"]));
    resumed.exits(0).says("4 done");
    assert!(
        said(&resumed).contains("coord.toml has changed"),
        "{resumed:?}"
    );
    // On a busy machine it may also say that it has ended what the watchdog had not.
    let of_the_file = resumed
        .err
        .lines()
        .filter(|line| line.contains("coord.toml"));
    assert_eq!(of_the_file.count(), 1);
    assert_eq!(folder.read("other"), None);
    // So it does when the file is gone.
    let (folder, running) = started(&diamond(), "began", 2);
    kill(running);
    std::fs::remove_file(folder.path().join("coord.toml")).unwrap();
    folder.write("go", "");
    let resumed = done(folder.coord(["resume"]));
    resumed.exits(0).says("4 done");
    assert!(
        said(&resumed).contains("cannot be read any more"),
        "{resumed:?}"
    );
}

#[test]
fn conditions_and_parameters_stay_as_they_were() {
    let file = "[params]\nword = 'no'\n\
         [[step]]\nid = 'one'\nrun = 'echo began; until test -e go; do sleep 0.01; done'\n\
         [[step]]\nid = 'two'\nneeds = ['one']\nrun = 'echo $PARAM_WORD >> effects'\n\
         when = \"env.MODE == 'on'\"\n\
         [[step]]\nid = 'three'\nrun = 'echo never >> effects'\nwhen = \"env.MODE == 'off'\"\n";
    let folder = Folder::new();
    folder.write("coord.toml", file);
    let mut run = folder.coord(["run", "--param", "word=yes"]);
    run.env("MODE", "on");
    let mut running = Running::start(run);
    running.until("began");
    kill(running);
    folder.write("go", "");
    let mut resume = folder.coord(["resume"]);
    resume.env("MODE", "off");
    done(resume).exits(0);
    assert_eq!(effects(&folder), ["yes"]);
}

#[test]
fn the_time_limit_of_a_run_does_not_count_while_it_is_interrupted() {
    let step = "[[step]]\nid = 'one'\nrun = 'touch began; until test -e go; do sleep 0.01; done'\n";
    let with = |limit: Duration| {
        let folder = Folder::new();
        folder.write("coord.toml", format!("timeout = '{limit:?}'\n{step}"));
        let began = Instant::now();
        let is_interrupted = is_interrupted(&folder, ["run"]);
        until(|| began.elapsed() > limit);
        folder.write("go", "");
        is_interrupted.then(|| done(folder.coord(["resume"])))
    };
    let is_in_time = |resumed: &Option<Done>| resumed.as_ref().is_some_and(|it| it.code == Some(0));
    let (resumed, _) = limited(with, is_in_time);
    resumed.unwrap().exits(0).says("completed");
}

#[test]
fn a_run_that_was_done_again_and_interrupted_has_its_time_limit_and_no_more() {
    let step =
        "[[step]]\nid = 'one'\nrun = 'test -e again || exit 1; touch began; exec sleep 1000'\n";
    let with = |limit: Duration| {
        let folder = Folder::new();
        folder.write("coord.toml", format!("timeout = '{limit:?}'\n{step}"));
        done(folder.coord(["run", "--id", "r"])).exits(100);
        let failed = Instant::now();
        until(|| failed.elapsed() > 5 * limit);
        folder.write("again", "");
        let is_interrupted = is_interrupted(&folder, ["retry", "r"]);
        let resumed = Instant::now();
        let ended = is_interrupted.then(|| done(folder.coord(["resume"])));
        // Less than it would take if the time in which it had failed were the run's, too.
        (ended, resumed.elapsed() < 5 * limit)
    };
    let ((ended, is_soon), limit) = limited(with, |(ended, is_soon)| ended.is_some() && *is_soon);
    ended.unwrap().exits(100).says("took longer than ");
    assert!(is_soon, "it had more time than {limit:?}");
}

#[test]
fn without_a_journal_nothing_is_written() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        format!("[[step]]\nid = 'one'\nrun = '{NOTE}'\n"),
    );
    let ran = done(folder.coord(["run", "--no-journal"]));
    ran.exits(0);
    assert!(!ran.out.contains("run "), "{ran:?}");
    let mut files: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    files.sort();
    assert_eq!(files, ["coord.toml", "effects"]);
    // Nor do commands that look for runs make anything.
    let listed = done(folder.coord(["list"]));
    listed.exits(96);
    assert!(
        said(&listed).contains("there is no journal in"),
        "{listed:?}"
    );
    done(folder.coord(["validate"])).exits(0);
    done(folder.coord(["graph"])).exits(0);
    assert!(!folder.path().join("state").exists());
}

#[test]
fn a_run_that_cannot_be_kept_is_not_started_and_the_way_out_is_named() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 'one'\nrun = 'touch ran'\n");
    // Nobody may write there, not even root.
    let refused = done(folder.coord(["run", "--journal", "/proc/self/journal"]));
    refused.exits(96);
    assert!(said(&refused).contains("`--no-journal`"), "{refused:?}");
    assert!(said(&refused).contains("/proc/self/journal"), "{refused:?}");
    let mut homeless = folder.coord(["run"]);
    homeless.env_remove("XDG_STATE_HOME").env_remove("HOME");
    let refused = done(homeless);
    refused.exits(96);
    assert!(said(&refused).contains("--no-journal"), "{refused:?}");
    assert_eq!(folder.read("ran"), None);
}

#[test]
fn a_run_with_a_name_is_done_once() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        format!("[[step]]\nid = 'one'\nrun = '{NOTE}'\n"),
    );
    for _ in 0..2 {
        done(folder.coord(["run", "--id", "nightly"]))
            .exits(0)
            .says("1 done");
    }
    assert_eq!(effects(&folder), ["one nightly/one"]);
    // Without one, each is a run of its own.
    for _ in 0..2 {
        done(folder.coord(["run"])).exits(0);
    }
    assert_eq!(effects(&folder).len(), 3);
    assert_eq!(list(&folder, "completed").len(), 3);
    // Another file is another run.
    folder.write("coord.toml", "[[step]]\nid = 'one'\nrun = 'touch other'\n");
    let refused = done(folder.coord(["run", "--id", "nightly"]));
    refused.exits(96);
    assert!(
        said(&refused).contains("that one has finished: `coord show nightly`"),
        "{refused:?}"
    );
    assert_eq!(folder.read("other"), None);
    let refused = done(folder.coord(["run", "--id", "no/name"]));
    refused.exits(96);
    assert!(
        said(&refused).contains("cannot be a run's id"),
        "{refused:?}"
    );
}

#[test]
fn what_failed_is_done_again_and_what_was_done_is_not() {
    let file = format!(
        "[[step]]\nid = 'first'\nrun = '{NOTE}'\n\
         [[step]]\nid = 'flaky'\nneeds = ['first']\nrun = '{NOTE}; test -e fixed'\n\
         [[step]]\nid = 'last'\nneeds = ['flaky']\nrun = '{NOTE}'\n"
    );
    let folder = Folder::new();
    folder.write("coord.toml", &file);
    done(folder.coord(["run", "--id", "r"]))
        .exits(100)
        .says("coord retry r");
    folder.write("fixed", "");
    done(folder.coord(["retry", "r"])).exits(0).says("3 done");
    let key = |step: &str| format!("{step} r/{step}");
    let [first, flaky, last] = ["first", "flaky", "last"].map(key);
    assert_eq!(effects(&folder), [&*first, &flaky, &flaky, &last]);
    let nothing = done(folder.coord(["retry", "r"]));
    nothing.exits(96);
    assert!(
        said(&nothing).contains("nothing to do again"),
        "{nothing:?}"
    );
    done(folder.coord(["retry", "r", "--from", "flaky"])).exits(0);
    assert_eq!(effects(&folder).len(), 6);
    let wrong = done(folder.coord(["retry", "r", "--from", "flakey"]));
    wrong.exits(96);
    assert!(said(&wrong).contains("did you mean `flaky`?"), "{wrong:?}");
}

#[test]
fn an_undoing_that_was_killed_is_done_again() {
    let file = "[[step]]\nid = 'done'\nrun = 'true'\n\
         undo = 'echo $COORD_IDEMPOTENCY_KEY >> effects; echo undoing; until test -e go; do sleep 0.01; done'\n\
         [[step]]\nid = 'fails'\nneeds = ['done']\nrun = 'false'\n";
    let (folder, running) = started(file, "undoing", 1);
    kill(running);
    let run = list(&folder, "interrupted");
    folder.write("go", "");
    done(folder.coord(["resume"])).exits(100).says("undone");
    let key = format!("{}/done", id(&run[0]));
    assert_eq!(effects(&folder), [&*key, &key]);
}

#[test]
fn a_name_that_kills_the_program_does_not_kill_its_watchdog() {
    let (_folder, running) = started(
        "[[step]]\nid = 's'\nrun = 'echo pid=$$; sleep 1000'\n",
        "pid=",
        1,
    );
    let step = pids(&running.printed)[0];
    let pgrep = |by: &str| {
        let mut pgrep = Command::new("pgrep");
        let found = pgrep
            .args(["-P", &running.id().to_string(), by])
            .output()
            .unwrap();
        String::from_utf8(found.stdout).unwrap().lines().count()
    };
    assert_eq!((pgrep("coord"), pgrep("watchdog")), (0, 1));
    kill(running);
    until(|| is_gone(step));
}
