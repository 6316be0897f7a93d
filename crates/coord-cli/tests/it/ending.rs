//! Runs that come to their end: how that is seen while they do, and what they can be told then.

use rustix::process::Signal;

use crate::coord::{Done, Folder, Running, done, until};
use crate::terminal::{Terminal, coord};

/// Fails, and waits for a file before it undoes what it did.
const UNDOES: &str = r#"
[[step]]
id = "book"
run = "true"
undo = "echo taking back; until test -e go; do sleep 0.01; done"
[[step]]
id = "pay"
needs = ["book"]
run = "exit 3"
[[step]]
id = "ship"
needs = ["pay"]
run = "true"
"#;

/// Completes, and then waits for a file in a hook.
const HOOKED: &str = r#"
[hooks]
always = "echo telling; until test -e go; do sleep 0.01; done"
[[step]]
id = "book"
run = "true"
"#;

fn started(workflow: &str) -> (Folder, Terminal) {
    let folder = Folder::new();
    folder.write("coord.toml", workflow);
    let terminal = Terminal::start(coord(folder.path()).args(["run", "--id", "r"]), 24, 80);
    (folder, terminal)
}

#[track_caller]
fn refused(done: &Done, because: &str) {
    done.exits(96);
    assert!(done.err.contains(because), "{}", done.err);
}

#[test]
fn undoing_is_on_the_screen_where_a_run_is_driven_and_where_it_is_looked_at() {
    let (folder, mut terminal) = started(UNDOES);
    terminal.shows_all(["coord undoing", "book undoing"]);
    terminal.keys("t");
    terminal.shows("book  is being undone for");
    let attached = Terminal::start(coord(folder.path()).args(["attach", "r"]), 24, 80);
    attached.shows_all(["coord undoing", "book undoing"]);
    attached.keys("t");
    attached.shows("book  is being undone for");
    let cancel = done(folder.coord(["cancel", "r"]));
    cancel
        .exits(0)
        .says("run r has failed already, and comes to its end");
    folder.write("go", "");
    attached.shows("book undone");
    terminal.keys(" ");
    terminal.shows_all(["coord failed", "book undone"]);
    terminal.keys("q");
    let (status, _) = terminal.end();
    assert_eq!(status.code(), Some(100));
    // Shown again, it is only told how it ended.
    let mut again = Terminal::start(coord(folder.path()).args(["run", "--id", "r"]), 24, 80);
    let (status, screen) = again.end();
    assert_eq!(status.code(), Some(100), "{screen}");
    assert!(screen.contains("coord failed in"), "{screen}");
    done(folder.coord(["why", "ship"]))
        .says("ship: it did not run: `pay` failed before it began\n");
}

#[test]
fn where_undoing_goes_on_after_a_kill_no_step_is_said_to_wait_that_does_not() {
    let (folder, terminal) = started(UNDOES);
    terminal.shows_all(["coord undoing", "book undoing"]);
    terminal.signal(Signal::KILL);
    until(|| done(folder.coord(["list"])).out.contains(" interrupted "));
    let resumed = Terminal::start(coord(folder.path()).args(["resume", "r"]), 24, 80);
    resumed.shows_all([
        "coord undoing",
        "3 of 3 over",
        "pay  failed",
        "ship not run",
    ]);
    resumed.keys("t");
    let why = resumed.shows("book  is being undone for");
    assert!(!why.contains("waits for"), "{why}");
    folder.write("go", "");
    resumed.shows("coord failed");
}

#[test]
fn a_hook_of_the_run_is_on_the_screen_and_cancelling_then_says_that_it_changes_nothing() {
    let (folder, mut terminal) = started(HOOKED);
    terminal.shows("coord running its hook");
    terminal.keys("t");
    terminal.shows("run hook  runs for");
    folder.write("other.toml", "[[step]]\nid = 'a'\nrun = 'true'\n");
    let other = done(folder.coord(["run", "other.toml", "--id", "r"]));
    refused(&other, "`coord resume r` goes on with that one");
    let cancel = done(folder.coord(["cancel", "r"]));
    cancel
        .exits(0)
        .says("run r has done all its steps already, and comes to its end");
    folder.write("go", "");
    let (status, screen) = terminal.end();
    assert_eq!(status.code(), Some(0), "{screen}");
    let other = done(folder.coord(["run", "other.toml", "--id", "r"]));
    refused(
        &other,
        "that one has finished: `coord show r` tells how, `--again`",
    );
    assert!(!other.err.contains("coord resume"), "{}", other.err);
}

#[test]
fn who_cancels_a_run_that_is_up_hears_that_it_completes_and_that_the_reason_is_not_kept() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[service]]\nid = 'api'\nrun = 'exec sleep 1000'\n",
    );
    let running = Running::start(folder.coord(["run", "--id", "r"]));
    until(|| done(folder.coord(["list"])).out.contains(" up "));
    let cancel = done(folder.coord(["cancel", "r", "--reason", "the night"]));
    cancel
        .exits(0)
        .says("run r is up: its services are stopped, and it completes; the reason is not kept");
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(0), "{printed}");
}

#[test]
fn an_optional_step_that_failed_is_no_reason_for_a_retry_and_that_is_said() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'build'\nrun = 'true'\n\
         [[step]]\nid = 'lint'\nrun = 'test -e fixed'\noptional = true\n",
    );
    done(folder.coord(["run", "--id", "r"])).exits(0);
    let because = "only `lint` has failed, which is optional";
    let help = "`coord retry r --from lint` does that step again";
    for named in [&["retry"][..], &["retry", "r"]] {
        let mut command = folder.coord([]);
        command.args(named);
        let retry = done(command);
        let words: Vec<&str> = retry.err.split_whitespace().collect();
        let said = words.join(" ").replace("│ ", "");
        assert!(
            said.contains(because) && said.contains(help),
            "{}",
            retry.err
        );
        retry.exits(96);
    }
    folder.write("fixed", "");
    done(folder.coord(["retry", "r", "--from", "lint"]))
        .exits(0)
        .says("2 done");
    refused(&done(folder.coord(["retry", "r"])), "every step is done");
}
