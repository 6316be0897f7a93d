//! Ctrl-C and SIGTERM: the run ends, what was done is undone, and nothing of any process is left.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::process::Stdio;

use rustix::io::{ioctl_fionbio, ioctl_fionread};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};

use crate::coord::{Folder, Running, done, heard, is_gone, pids, until, until_some};

fn start(workflow: &str) -> (Folder, Running) {
    let folder = Folder::new();
    folder.write("coord.toml", workflow);
    let running = Running::start(folder.coord(["run"]));
    (folder, running)
}

#[test]
fn the_first_interrupt_lets_steps_stop_and_undoes_what_was_done() {
    for signal in heard([Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT]) {
        let (folder, mut running) = start(
            r#"
            [[step]]
            id = "done"
            run = "true"
            undo = "echo undone >> undone"
            [[step]]
            id = "polite"
            needs = ["done"]
            run = "trap 'echo saved; exit 0' TERM; echo pid=$$; sleep 1000 & echo pid=$!; wait"
            [[step]]
            id = "never"
            needs = ["polite"]
            run = "touch never"
            "#,
        );
        running.until("pid=");
        running.until("pid=");
        running.signal(signal);
        let (status, printed) = running.end();
        assert_eq!(status.code(), Some(130), "{printed}");
        assert!(printed.contains("polite | saved\n"), "{printed}");
        assert!(printed.contains("undo done · done\n"), "{printed}");
        assert_eq!(folder.read("undone").as_deref(), Some("undone\n"));
        assert_eq!(folder.read("never"), None);
        assert!(pids(&printed).into_iter().all(is_gone), "{printed}");
    }
}

#[test]
fn however_often_it_is_told_that_its_terminal_was_closed_steps_have_their_grace() {
    if heard([Signal::HUP]).next().is_none() {
        return;
    }
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
        [[step]]
        id = "polite"
        run = "trap 'while ! test -e go; do sleep 0.01; done; echo saved; exit 0' TERM; echo begun; sleep 1000 & wait"
        "#,
    );
    let mut command = folder.coord(["run"]);
    command.stderr(File::create(folder.path().join("told")).unwrap());
    let mut running = Running::start(command);
    running.until("polite | begun");
    running.signal(Signal::HUP);
    running.until("ending");
    running.signal(Signal::HUP);
    // Asked after it what runs, it answers after it.
    running.signal(Signal::USR1);
    until(|| folder.read("told").unwrap().contains(" runs for "));
    folder.write("go", "");
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(130), "{printed}");
    assert!(printed.contains("polite | saved\n"), "{printed}");
}

#[test]
fn a_run_that_was_started_by_nohup_outlives_its_terminal() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'a'\nrun = 'echo begun; while ! test -e go; do sleep 0.01; done'\n",
    );
    let mut command = folder.command("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" run"]);
    command.arg(env!("CARGO_BIN_EXE_coord"));
    let mut running = Running::start(command);
    running.until("a | begun");
    running.signal(Signal::HUP);
    folder.write("go", "");
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(0), "{printed}");
}

#[test]
fn the_second_interrupt_kills_what_ignores_the_first_with_all_it_has_forked() {
    let (folder, mut running) = start(
        r#"
        [[step]]
        id = "done"
        run = "true"
        undo = "echo undone >> undone"
        [[step]]
        id = "stubborn"
        needs = ["done"]
        run = '''
        trap '' TERM INT
        sleep 1000 & echo pid=$!
        (trap '' TERM; while true; do sleep 1000; done) & echo pid=$!
        echo pid=$$
        while true; do sleep 1000; done
        '''
        "#,
    );
    for _ in 0..3 {
        running.until("pid=");
    }
    running.signal(Signal::INT);
    running.until("ending");
    running.signal(Signal::INT);
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(130), "{printed}");
    assert_eq!(folder.read("undone").as_deref(), Some("undone\n"));
    let pids = pids(&printed);
    assert_eq!(pids.len(), 3);
    assert!(pids.into_iter().all(is_gone), "{printed}");
}

#[test]
fn the_third_interrupt_leaves_at_once() {
    let (_folder, mut running) = start(
        r#"
        [[step]]
        id = "done"
        run = "true"
        undo = "trap '' TERM; echo pid=$$; while true; do sleep 1000; done"
        [[step]]
        id = "waits"
        needs = ["done"]
        run = "echo pid=$$; sleep 1000"
        "#,
    );
    running.until("pid=");
    running.signal(Signal::INT);
    running.until("undo done | pid=");
    running.signal(Signal::INT);
    running.until("killed");
    running.signal(Signal::INT);
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(130), "{printed}");
    assert!(pids(&printed).into_iter().all(is_gone), "{printed}");
}

#[test]
fn a_run_that_was_left_at_the_third_interrupt_goes_on_to_be_undone() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'first'\nrun = 'true'\nundo = 'echo first >> undone'\n\
         [[step]]\nid = 'second'\nneeds = ['first']\nrun = 'true'\n\
         undo = 'echo undoing; test -e well || sleep 1000; echo second >> undone'\n\
         [[step]]\nid = 'waits'\nneeds = ['second']\nrun = 'echo up; exec sleep 1000'\n",
    );
    let mut running = Running::start(folder.coord(["run", "--id", "a"]));
    running.until("waits  | up");
    running.signal(Signal::INT);
    running.until("| undoing");
    running.signal(Signal::INT);
    running.until("killed");
    running.signal(Signal::INT);
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(130), "{printed}");
    assert_eq!(folder.read("undone"), None);
    done(folder.coord(["list"])).says("interrupted");
    folder.write("well", "");
    done(folder.coord(["resume", "a"])).exits(130);
    assert_eq!(folder.read("undone").as_deref(), Some("second\nfirst\n"));
    done(folder.coord(["list"])).says("cancelled");
}

#[test]
fn a_reader_that_does_not_read_does_not_keep_a_run_from_being_ended() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'a'\nrun = \"echo pid=$$; trap '' TERM; while true; do echo line; done\"\n",
    );
    let mut running = Running::start(folder.coord(["run"]));
    running.until("pid=");
    let pids = pids(&running.printed);
    // From here on nobody reads: the pipe fills up, and then the topic.
    for _ in 0..3 {
        running.signal(Signal::INT);
        // Signals of one kind that come at once are one.
        std::thread::yield_now();
    }
    let gone = pids[0];
    until(|| {
        running.signal(Signal::INT);
        is_gone(gone)
    });
    let (status, _) = running.end();
    assert_eq!(status.code(), Some(130));
}

#[test]
fn the_third_interrupt_leaves_within_two_seconds_also_where_nobody_reads() {
    let folder = Folder::new();
    // Ends at the first interrupt; what it has printed has no room where nobody reads.
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'a'\nrun = 'yes | head -c 3000000'\n",
    );
    let leaves_soon = |output| {
        let mut running = Running::start(folder.coord(["run", "--output", output]));
        running.until("y");
        let coord = Pid::from_raw(running.id().cast_signed()).unwrap();
        running.signal(Signal::INT);
        running.signal(Signal::TERM);
        // Only one of each kind is pending.
        running.signal(Signal::QUIT);
        let third = coordination::bus::time::Instant::now();
        until(|| is_gone(coord));
        let is_soon = third.elapsed() < std::time::Duration::from_secs(2);
        let (status, _) = running.end();
        assert_eq!(status.code(), Some(130));
        is_soon
    };
    for output in ["text", "jsonl"] {
        // More than once only where the machine has other things to do.
        assert!((0..5).any(|_| leaves_soon(output)), "{output}");
    }
}

#[test]
fn sigusr1_says_on_standard_error_what_runs_and_what_waits_and_the_run_goes_on() {
    let mut file = String::from(
        "name = 'release'\n[[step]]\nid = 'signal'\nsignal = 'go'\n\
         [[step]]\nid = 'long'\nrun = 'echo pid=$$; exec sleep 1000'\n",
    );
    for step in 0..60 {
        file += &format!("[[step]]\nid = 'after-{step}'\nneeds = ['long']\nrun = 'true'\n");
    }
    for output in ["text", "jsonl"] {
        let folder = Folder::new();
        folder.write("coord.toml", &file);
        let mut command = folder.coord(["run", "--output", output]);
        command.stderr(File::create(folder.path().join("told")).unwrap());
        let mut running = Running::start(command);
        running.until(if output == "text" {
            "long     | pid="
        } else {
            "pid="
        });
        running.signal(Signal::USR1);
        let told = until_some(|| folder.read("told").filter(|told| told.contains("more\n")));
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), 52, "{told}");
        assert!(lines[0].starts_with("release runs for "), "{told}");
        assert!(lines[0].ends_with(": 0 of 62 over"), "{told}");
        assert!(
            lines[1].starts_with("  signal    waits for the signal `go`, for "),
            "{told}"
        );
        assert!(lines[2].starts_with("  long      runs for "), "{told}");
        assert!(lines[2].contains("; process "), "{told}");
        assert_eq!(lines[3], "  after-0   waits for long (running)");
        assert_eq!(lines[51], "  and 12 more");
        running.signal(Signal::INT);
        let (status, _) = running.end();
        assert_eq!(status.code(), Some(130));
    }
}

#[test]
fn a_summary_that_nobody_reads_is_ended_by_a_signal() {
    let folder = Folder::new();
    // It fills a pipe, which holds 64 KiB, almost; what is told of it at the end has no room.
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'a'\nrun = 'for i in $(seq 13); do printf %04500d\\\\n $i; done; exit 1'\n",
    );
    for (signal, id) in [(Signal::INT, "one"), (Signal::TERM, "two")] {
        let mut command = folder.coord(["run", "--id", id]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let out = child.stdout.take().unwrap();
        until(|| {
            assert!(child.try_wait().unwrap().is_none());
            ioctl_fionread(&out).unwrap() >= 13 * 4_506 + 100
        });
        let status = until_some(|| {
            kill_process(Pid::from_child(&child), signal).unwrap();
            child.try_wait().unwrap()
        });
        assert_eq!(status.code(), Some(130), "{status}");
        let shown = done(folder.coord(["show", id]));
        shown.says("failed");
    }
}

/// A pipe in the folder that is at its end once every process has ended that has it open.
fn lifeline(folder: &Folder) -> std::path::PathBuf {
    let path = folder.path().join("lifeline");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    path
}

#[test]
fn when_it_is_killed_nothing_of_what_it_runs_lives_on() {
    let folder = Folder::new();
    let lifeline = lifeline(&folder);
    folder.write(
        "coord.toml",
        r#"
        [[service]]
        id = "db"
        run = "exec 3>lifeline; trap '' TERM; sleep 1000 & echo pid=$!; wait"
        ready = { log = "pid=" }
        [[step]]
        id = "gone"
        run = "true"
        [[step]]
        id = "under-way"
        needs = ["db", "gone"]
        run = "exec 3>lifeline; (sleep 1000 & echo pid=$!; wait) & echo pid=$!; wait"
        "#,
    );
    let mut running = Running::start(folder.coord(["run"]));
    // Opens once somebody has it open for writing.
    let lifeline = File::open(lifeline).unwrap();
    for _ in 0..3 {
        running.until("pid=");
    }
    running.signal(Signal::KILL);
    // At its end: nobody has it open any more.
    ends(lifeline);
}

/// Waits until nobody holds the other side of a lifeline any more.
#[track_caller]
fn ends(mut lifeline: File) {
    ioctl_fionbio(&lifeline, true).unwrap();
    until(|| match lifeline.read(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            false
        }
    });
}

/// Whether a process has taken a signal over, which would end it before.
fn hears(pid: Pid, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_pid())).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
    caught >> (signal.as_raw() - 1) & 1 == 1
}

/// The watchdog of a `coord` that runs nothing but what has printed its number.
fn watchdog(running: &Running) -> Option<Pid> {
    let children = format!("/proc/{0}/task/{0}/children", running.id());
    let children = std::fs::read_to_string(children).unwrap();
    let steps = pids(&running.printed);
    let children = children.split_whitespace().map(|id| id.parse().unwrap());
    let mut watchdogs = children
        .filter_map(Pid::from_raw)
        .filter(|pid| !steps.contains(pid) && !is_gone(*pid));
    let watchdog = watchdogs.next();
    assert_eq!(watchdogs.next(), None);
    watchdog
}

/// A run of a step that ignores what asks it to stop, and its lifeline, which ends with the step.
fn run_with_a_lifeline() -> (Folder, Running, File) {
    let folder = Folder::new();
    let lifeline = lifeline(&folder);
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'a'\nrun = 'exec 3>lifeline; echo pid=$$; trap \"\" TERM; sleep 1000'\n",
    );
    let mut running = Running::start(folder.coord(["run"]));
    let lifeline = File::open(lifeline).unwrap();
    running.until("pid=");
    (folder, running, lifeline)
}

#[test]
fn a_watchdog_that_is_killed_is_replaced_and_the_next_one_ends_what_ran_before() {
    let (_folder, mut running, lifeline) = run_with_a_lifeline();
    for _ in 0..2 {
        let watchdog = watchdog(&running).expect("it has one");
        kill_process(watchdog, Signal::KILL).unwrap();
        running.until("the watchdog was killed, and another one has its place");
        assert!(!is_gone(pids(&running.printed)[0]));
    }
    running.signal(Signal::KILL);
    ends(lifeline);
}

#[test]
fn a_watchdog_is_replaced_also_where_the_program_was_and_once_it_is_told_where_none_can_be() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'a'\nrun = 'echo pid=$$; while true; do echo on; sleep 0.1; done'\n",
    );
    let program = folder.path().join("program");
    std::fs::copy(env!("CARGO_BIN_EXE_coord"), &program).unwrap();
    let mut command = folder.command(program.to_str().unwrap());
    command.arg("run");
    let mut running = Running::start(command);
    running.until("pid=");
    folder.write("next", "another version");
    std::fs::rename(folder.path().join("next"), &program).unwrap();
    let kill = |running: &Running| {
        let watchdog = watchdog(running).expect("it has one");
        kill_process(watchdog, Signal::KILL).unwrap();
    };
    kill(&running);
    running.until("the watchdog was killed, and another one has its place");
    // Nor can any be while no file can be opened.
    let this = Pid::from_raw(running.id().cast_signed());
    let none = Rlimit {
        current: Some(4),
        ..getrlimit(Resource::Nofile)
    };
    let before = prlimit(this, Resource::Nofile, none).unwrap();
    kill(&running);
    running.until("the watchdog was killed, and no other can be started");
    let told = running.printed.lines().last();
    assert!(told.unwrap().contains("Too many open files"), "{told:?}");
    for _ in 0..30 {
        running.until("on\n");
    }
    prlimit(this, Resource::Nofile, before).unwrap();
    running.until("the watchdog was killed, and another one has its place");
    assert_eq!(
        running.printed.matches("no other can be started").count(),
        1
    );
    running.signal(Signal::INT);
    assert_eq!(running.end().0.code(), Some(130));
}

#[test]
fn a_signal_that_is_meant_for_it_does_not_end_its_watchdog() {
    let (_folder, running, lifeline) = run_with_a_lifeline();
    let watchdog = watchdog(&running).expect("it has one");
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        // It may have only just been started.
        until(|| hears(watchdog, signal));
        kill_process(watchdog, signal).unwrap();
    }
    running.signal(Signal::KILL);
    ends(lifeline);
}
