//! Runs that are left to themselves, and looked at while they go on.

mod doubtful;

use std::fs::read_link;

use rustix::process::{Pid, Signal, kill_process};

use crate::coord::{Folder, Running, done, is_gone, pids, until, until_some};
use crate::terminal::{CONTROL_C, DOWN, Terminal, command, coord};

/// Waits for a file in each step, so that a test says when it goes on.
const WAITS: &str = r#"
name = "waits"
[[service]]
id = "api"
run = "echo listening; exec sleep 1000"
ready = { log = "listening" }
[[step]]
id = "first"
run = "echo session=$(ps -o sid= $$); until test -e go; do sleep 0.01; done; echo first is over"
needs = ["api"]
[[step]]
id = "second"
run = "echo second runs; test ! -e bad"
needs = ["first"]
"#;

/// Leaves a run to itself.
fn detached(folder: &Folder) {
    folder.write("coord.toml", WAITS);
    let left = done(folder.coord(["run", "--detach", "--id", "r"]));
    left.exits(0);
    assert_eq!(left.out, "r\n");
    assert!(left.err.contains("`coord attach r`"), "{}", left.err);
}

fn ends(folder: &Folder, state: &str) {
    until(|| {
        let shown = done(folder.coord(["show", "r"])).out;
        assert!(
            shown.contains(state) || shown.contains("running"),
            "{shown}"
        );
        shown.contains(state)
    });
}

#[test]
#[cfg(target_os = "linux")]
fn when_attach_is_killed_the_terminal_is_given_back_and_says_that_the_run_goes_on() {
    let folder = Folder::new();
    detached(&folder);
    let script = "echo before; \"$0\" attach r; echo killed > killed; read go";
    let shell = command(folder.path(), "sh").args(["-c", script, env!("CARGO_BIN_EXE_coord")]);
    let mut terminal = Terminal::start(shell, 24, 80);
    terminal.until_screen("the screen", |screen| {
        screen.alternate_screen() && screen.contents().contains("session=")
    });
    let shell = terminal.pid().as_raw_pid();
    let children = format!("/proc/{shell}/task/{shell}/children");
    let attached = std::fs::read_to_string(children).unwrap();
    let attached = Pid::from_raw(attached.trim().parse().unwrap()).unwrap();
    kill_process(attached, Signal::KILL).unwrap();
    let screen = terminal.until_screen("the screen before", |screen| {
        !screen.alternate_screen() && !screen.hide_cursor() && screen.contents().contains("goes on")
    });
    let lines: Vec<&str> = screen.lines().collect();
    assert_eq!(lines[0], "before", "{screen}");
    assert!(screen.contains("`coord attach r`"), "{screen}");
    terminal.keys("go\n");
    terminal.end();
    folder.write("go", "");
    ends(&folder, "completed, started");
}

#[test]
fn a_run_that_is_detached_goes_on_and_belongs_to_no_terminal() {
    let folder = Folder::new();
    detached(&folder);
    let mut logs = Running::start(folder.coord(["logs", "r", "first", "-f"]));
    logs.until("session=");
    let session = logs.printed.trim().trim_start_matches("session=").trim();
    // The test's own session is led by something else, or from outside this namespace.
    let leader = read_link(format!("/proc/{session}/exe")).unwrap();
    assert_eq!(leader.file_name().unwrap(), "coord");
    folder.write("go", "");
    ends(&folder, "completed, started");
    logs.until("first is over");
}

#[test]
fn what_cannot_be_run_is_told_before_it_is_left() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'a'\nrun = 'true'\nneeds = ['b']\n",
    );
    let refused = done(folder.coord(["run", "--detach"]));
    refused.exits(96);
    assert!(
        refused.err.contains("coord::file::unknown"),
        "{}",
        refused.err
    );
    assert_eq!(refused.out, "");

    folder.write("coord.toml", "[[step]]\nid = 'a'\nrun = 'true'\n");
    folder.write("state", "where a journal should be, there is a file");
    let refused = done(folder.coord(["run", "-d"]));
    refused.exits(96);
    assert!(
        refused.err.contains("coord::runs::not_kept"),
        "{}",
        refused.err
    );
}

#[test]
fn a_run_that_is_over_at_once_was_detached_all_the_same() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 'a'\nrun = 'exit 3'\n");
    let left = done(folder.coord(["-d", "--id", "r"]));
    left.exits(0);
    ends(&folder, "failed, started");
}

#[test]
fn a_run_is_not_detached_where_another_one_of_its_name_goes_on() {
    let folder = Folder::new();
    detached(&folder);
    folder.write("other.toml", "[[step]]\nid = 'a'\nrun = 'touch never'\n");
    for file in ["other.toml", "coord.toml"] {
        let refused = done(folder.coord(["run", "-d", "--id", "r", file]));
        refused.exits(96);
        assert_eq!(refused.out, "");
        assert!(refused.err.contains("coord::runs::"), "{}", refused.err);
    }
    assert_eq!(folder.read("never"), None);
    folder.write("go", "");
    ends(&folder, "completed, started");
}

#[test]
fn who_looks_on_and_has_nobody_to_tell_says_so_by_its_exit_code() {
    let folder = Folder::new();
    detached(&folder);
    let mut attach = folder.coord(["attach", "r"]);
    attach.stdout(std::process::Stdio::piped());
    let mut attached = attach.spawn().unwrap();
    // Its reader is gone.
    drop(attached.stdout.take());
    assert_eq!(attached.wait().unwrap().code(), Some(110));
    folder.write("go", "");
    ends(&folder, "completed, started");
}

#[test]
fn the_command_that_goes_on_from_a_failure_names_the_journal() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 'a'\nrun = 'exit 3'\n");
    let ran = done(folder.coord(["run", "--journal", "its own", "--id", "r"]));
    ran.exits(100);
    let dir = folder.path().canonicalize().unwrap().join("its own");
    ran.says(&format!("coord retry r --journal '{}'\n", dir.display()));
    done(folder.coord(["run", "--id", "r"])).says("coord retry r\n");
}

#[test]
fn who_attaches_sees_what_happens_and_ends_as_the_run_does() {
    let folder = Folder::new();
    detached(&folder);
    let mut attached = Running::start(folder.coord(["attach", "r"]));
    attached.until("api    · ready");
    folder.write("bad", "");
    folder.write("go", "");
    let (status, printed) = attached.end();
    assert_eq!(status.code(), Some(100), "{printed}");
    let place = |text: &str| {
        printed
            .find(text)
            .unwrap_or_else(|| panic!("no {text:?} in {printed}"))
    };
    let order = [
        "first  | first is over",
        "first  · done in",
        "second · started",
        "second | second runs",
        "second · failed: exit code 1",
        "run r of waits: failed",
    ];
    let places = order.map(place);
    assert!(places.is_sorted(), "{printed}");
}

#[test]
fn who_leaves_ends_nothing() {
    let folder = Folder::new();
    detached(&folder);
    let mut attached = Running::start(folder.coord(["attach"]));
    attached.until("ready");
    attached.signal(Signal::INT);
    let (status, printed) = attached.end();
    assert_eq!(status.code(), Some(130), "{printed}");
    assert!(printed.contains("the run goes on"), "{printed}");
    folder.write("go", "");
    ends(&folder, "completed, started");
}

#[test]
fn a_run_that_does_not_go_on_is_not_attached_to() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 'a'\nrun = 'true'\n");
    done(folder.coord(["run", "--id", "r"])).exits(0);
    let refused = done(folder.coord(["attach", "r"]));
    refused.exits(96);
    assert!(refused.err.contains("it is completed"), "{}", refused.err);
    let refused = done(folder.coord(["attach"]));
    refused.exits(4);
    assert!(
        refused.err.contains("coord::runs::nothing_goes_on"),
        "{}",
        refused.err
    );
}

#[test]
fn a_run_whose_driver_is_killed_lets_go_of_who_looks_on() {
    let folder = Folder::new();
    folder.write("coord.toml", WAITS);
    let mut driver = Running::start(folder.coord(["run", "--id", "r"]));
    driver.until("session=");
    let mut attached = Running::start(folder.coord(["attach", "r"]));
    attached.until("ready");
    driver.signal(Signal::KILL);
    let (status, printed) = attached.end();
    assert_eq!(status.code(), Some(96), "{printed}");
}

#[test]
fn the_screen_of_who_looks_on_has_what_was_there_before_and_pauses_the_run() {
    let folder = Folder::new();
    detached(&folder);
    let pid = |screen: &str| screen.contains("session=");
    let mut terminal = Terminal::start(coord(folder.path()).args(["attach", "r"]), 24, 80);
    terminal.keys("\u{1b}[B");
    terminal.until("the earlier line", pid);
    terminal.shows("first  running");
    terminal.keys("p");
    terminal.shows("paused");
    let listed = done(folder.coord(["list"]));
    listed.says("paused");
    terminal.keys("p");
    terminal.until("the run goes on", |screen| !screen.contains("paused"));
    terminal.keys(CONTROL_C);
    let (status, _) = terminal.end();
    // Who leaves as he is told to has not been ended by anything.
    assert_eq!(status.code(), Some(0));
    folder.write("go", "");
    ends(&folder, "completed, started");
}

#[test]
fn who_looks_on_sends_a_step_the_signal_that_it_waits_for() {
    let folder = Folder::new();
    let waits = "[[step]]\nid = 'approve'\nsignal = 'go'\n";
    folder.write("coord.toml", waits);
    done(folder.coord(["run", "--detach", "--id", "r"])).exits(0);
    let attach = coord(folder.path()).args(["attach", "r", "--journal", "state/coord"]);
    let mut terminal = Terminal::start(attach, 24, 80);
    terminal.shows("waits for the signal `go`");
    terminal.keys("s{\"by\": 1}\r");
    let (status, screen) = terminal.end();
    assert_eq!(status.code(), Some(0), "{screen}");
    ends(&folder, "completed, started");
}

#[test]
fn who_looks_on_needs_no_file_of_variables_and_is_told_how_long_a_service_took() {
    let folder = Folder::new();
    let slow = WAITS.replace("echo listening;", "sleep 0.2; echo listening;");
    folder.write("coord.toml", format!("dotenv = '.env'\n{slow}"));
    folder.write(".env", "A=b\n");
    done(folder.coord(["run", "--detach", "--id", "r"])).exits(0);
    until(|| {
        let shown = done(folder.coord(["show", "r"]));
        shown.out.contains("running    first")
    });
    std::fs::remove_file(folder.path().join(".env")).unwrap();
    let mut attached = Running::start(folder.coord(["attach", "r"]));
    attached.until("ready in ");
    assert!(
        !attached.printed.contains("ready in 0 ms"),
        "{}",
        attached.printed
    );
    folder.write("go", "");
    let (status, printed) = attached.end();
    assert_eq!(status.code(), Some(0), "{printed}");
}

#[test]
fn a_run_that_has_finished_is_not_said_to_go_on_in_the_background() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 'a'\nrun = 'true'\n");
    done(folder.coord(["run", "--id", "r"])).exits(0);
    let again = done(folder.coord(["run", "--detach", "--id", "r"]));
    again.exits(0);
    assert_eq!(again.out, "r\n");
    assert_eq!(
        again.err,
        "nothing is started: it has finished before: completed; `coord show r` tells it, `--again` begins anew\n"
    );
}

#[test]
fn a_run_that_is_taken_back_before_its_id_is_told_does_not_begin() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[secrets]\nKEY = { command = ['sh', '-c', '''echo pid=$PPID > asking; mv asking asked
         until test -e go; do sleep 0.01; done; echo s3cr3t'''] }\n\
         [[step]]\nid = 'a'\nrun = 'touch ran'\n",
    );
    let running = Running::start(folder.coord(["run", "--detach", "--id", "r"]));
    let asked = until_some(|| folder.read("asked"));
    running.signal(Signal::INT);
    running.end();
    folder.write("go", "");
    until(|| pids(&asked).into_iter().all(is_gone));
    assert_eq!(done(folder.coord(["list", "--output=jsonl"])).out, "");
    assert_eq!(folder.read("ran"), None);
}

/// A service that crashes when it is told so, and a step that waits.
const CRASHES: &str = r#"
[[service]]
id = "api"
run = "echo listening; until test -e crash; do sleep 0.01; done; rm crash; exit 3"
ready = { log = "listening" }
restart = { policy = "on-failure", initial = "1ms", max = "2ms" }
[[step]]
id = "work"
run = "echo working; until test -e go; do sleep 0.01; done"
needs = ["api"]
"#;

#[test]
fn who_looks_on_is_told_what_becomes_of_services_that_were_ready() {
    let folder = Folder::new();
    folder.write("coord.toml", CRASHES);
    let mut driver = Running::start(folder.coord(["run", "--id", "r"]));
    driver.until("work | working");
    let mut attached = Running::start(folder.coord(["attach", "r"]));
    attached.until("api  · ready in");
    folder.write("crash", "");
    attached.until("api  · ended: exit code 3");
    attached.until("api  · is started again in 1 ms");
    attached.until("api  | listening");
    attached.until("api  · ready in");
    done(folder.coord(["stop", "r", "api"])).exits(0);
    attached.until("api  · stopped");
    folder.write("go", "");
    let (status, printed) = attached.end();
    assert_eq!(status.code(), Some(0), "{printed}");
    driver.end();
}

/// What the screen has of steps and services, and of what happened: names, states, times of day and ids.
fn known(screen: &str) -> (Vec<String>, String) {
    let (above, events) = screen.split_once("─ events ").unwrap_or((screen, ""));
    // Below are the keys, of which one ends the run, or leaves it.
    let (events, _) = events.rsplit_once('\n').unwrap_or_default();
    let rows = above.lines().skip(2);
    let row = |line: &str| {
        let words = line.split('│').next().unwrap_or_default();
        words
            .split(' ')
            .filter(|word| !word.is_empty())
            .take(3)
            .collect::<Vec<_>>()
            .join(" ")
    };
    (rows.map(row).collect(), events.to_owned())
}

#[test]
fn the_screen_of_who_looks_on_has_what_the_screen_has_where_the_run_is_driven() {
    let folder = Folder::new();
    folder.write("coord.toml", CRASHES);
    let run = coord(folder.path()).args(["run", "--id", "r"]);
    let driver = Terminal::start(run, 24, 80);
    driver.shows_all(["work running", "api  ready", "working"]);
    let attach = || coord(folder.path()).args(["attach", "r"]);
    let mut early = Terminal::start(attach(), 24, 80);
    early.shows_all(["work running", "api  ready", "working"]);
    folder.write("crash", "");
    driver.shows("ready x2");
    done(folder.coord(["restart", "r", "work"])).exits(0);
    driver.until("the second start", |screen| {
        screen.matches("│working").count() == 2
    });
    let both_know = |attached: &Terminal| {
        attached.until("what the driver has", |screen| {
            known(screen) == known(&driver.screen())
        });
    };
    both_know(&early);
    done(folder.coord(["stop", "r", "api"])).exits(0);
    driver.shows("stopped");
    both_know(&early);
    // Who comes late sees what was before.
    let mut late = Terminal::start(attach(), 24, 80);
    both_know(&late);
    for screen in [&early, &late] {
        screen.keys(DOWN);
        screen.shows("working");
    }
    folder.write("go", "");
    for screen in [&mut early, &mut late] {
        let (status, shown) = screen.end();
        assert_eq!(status.code(), Some(0), "{shown}");
    }
}
