//! Who looks on where something is not as it should be: nobody reads, a program was killed, the clock was set back,
//! or what was kept is none of `coord`.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use rustix::io::ioctl_fionread;
use rustix::process::{Pid, Signal, kill_process};

use super::{detached, ends};
use crate::coord::{Folder, Running, done, pids, until, until_some};
use crate::terminal::{Terminal, coord};

/// Prints more than a pipe holds, once it is told to.
const CHATTY: &str = r#"
[[service]]
id = "api"
run = "echo listening; exec sleep 1000"
ready = { log = "listening" }
[[step]]
id = "first"
needs = ["api"]
run = "until test -e burst; do sleep 0.01; done; seq 100000; until test -e go; do sleep 0.01; done"
"#;

#[test]
fn who_does_not_read_what_attach_prints_can_leave_it_all_the_same() {
    let folder = Folder::new();
    folder.write("coord.toml", CHATTY);
    done(folder.coord(["run", "--detach", "--id", "r"])).exits(0);
    let mut command = folder.coord(["attach", "r"]);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut attached = command.spawn().unwrap();
    let mut out = BufReader::new(attached.stdout.take().unwrap());
    // Lines of before it looks on are none that it shows.
    let mut line = String::new();
    while !line.contains("· ready in") {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0);
    }
    let waiting = || ioctl_fionread(out.get_ref()).unwrap();
    folder.write("burst", "");
    // A pipe holds 64 KiB, though not in every piece.
    until(|| waiting() >= 56 * 1024);
    kill_process(Pid::from_child(&attached), Signal::INT).unwrap();
    let status = until_some(|| attached.try_wait().unwrap());
    assert_eq!(status.code(), Some(130));
    folder.write("go", "");
    ends(&folder, "completed, started");
}

#[test]
fn a_run_is_not_said_to_go_on_whose_program_was_killed_before_it_took_it_up() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[secrets]\nKEY = { command = ['sh', '-c', '''if test -e ask; then echo pid=$PPID > asking
         mv asking asked; until test -e go; do sleep 0.01; done; fi; echo s3cr3t'''] }\n\
         [[step]]\nid = 'a'\nrun = 'echo began; until test -e go; do sleep 0.01; done'\n",
    );
    let mut running = Running::start(folder.coord(["run", "--id", "r"]));
    running.until("began");
    running.signal(Signal::KILL);
    running.end();
    ends(&folder, "interrupted");
    folder.write("ask", "");
    let detaching = Running::start(folder.coord(["run", "--detach", "--id", "r"]));
    let asked = until_some(|| folder.read("asked"));
    for pid in pids(&asked) {
        kill_process(pid, Signal::KILL).unwrap();
    }
    // Until then the secret's program has what `coord` says.
    folder.write("go", "");
    let (status, printed) = detaching.end();
    assert_eq!((status.code(), &*printed), (Some(96), ""));
}

#[test]
fn lines_of_a_time_to_come_as_before_a_clock_was_set_back_are_shown_while_the_run_goes_on() {
    let folder = Folder::new();
    detached(&folder);
    let mut attached = Running::start(folder.coord(["attach", "r"]));
    let mut follower = Running::start(folder.coord(["logs", "r", "-f"]));
    follower.until("session=");
    // Lines of before it looks on are none that it shows.
    attached.until("· ready in");
    let file = folder.path().join("state/coord/output/r/first.1.log");
    let mut file = File::options().append(true).open(file).unwrap();
    file.write_all(b"2999-01-01T00:00:00.000000Z stdout F:1 of a time to come\n")
        .unwrap();
    follower.until("of a time to come");
    attached.until("of a time to come");
    folder.write("go", "");
    assert_eq!(attached.end().0.code(), Some(0));
    assert_eq!(follower.end().0.code(), Some(0));
}

/// What may become of processes and services, as nobody would tell it. `AT` stands for a time, `LONG` for how long.
const EVENTS: [&str; 8] = [
    r#"{"topic":"error-recovery","event":{"source":"api","strategy":"x","at":"AT","progress":"attempting","attempt":4294967295,"wait":LONG}}"#,
    r#"{"topic":"error-recovery","event":{"source":"api","strategy":"x","at":"AT","progress":"gave-up","attempts":4294967295,"reason":"x"}}"#,
    r#"{"topic":"service-lifecycle","event":{"service":"api","at":"AT","state":"ready","duration":LONG}}"#,
    r#"{"topic":"process-lifecycle","event":{"process":"first","at":"AT","state":"started","pid":4294967295}}"#,
    r#"{"topic":"process-lifecycle","event":{"process":"first","at":"AT","state":"stopping","signal":-2147483648}}"#,
    r#"{"topic":"process-lifecycle","event":{"process":"first","at":"AT","state":"exited","code":-2147483648}}"#,
    r#"{"topic":"workflow-events","event":{"workflow":"waits","run":"r","at":"AT","transition":"step-retrying","step":"first","attempt":4294967295,"error":"x","wait":LONG}}"#,
    r#"{"topic":"process-lifecycle","event":{"process":"first","at":"AT","state":"started","pid":7}}"#,
];

#[test]
fn what_somebody_else_has_written_among_what_happened_ends_nothing() {
    let folder = Folder::new();
    detached(&folder);
    let dir = folder.path().join("state/coord/output/r");
    let times = [
        "-009999-01-02T01:59:59Z",
        "2026-03-01T09:30:00Z",
        "9999-12-30T22:00:00Z",
    ];
    let mut text = String::new();
    for at in times {
        for event in EVENTS {
            for long in ["18446744073709549568.0", "1e300", "0.0"] {
                let event = event.replace("AT", at).replace("LONG", long);
                text += &format!("{at} stdout F:1 {event}\n");
            }
        }
    }
    std::fs::write(dir.join("run%20events.2.log"), &text).unwrap();
    let lines: String = times
        .map(|at| format!("{at} stdout F:4294967295 told\n"))
        .concat();
    std::fs::write(dir.join("first.2.log"), lines).unwrap();
    for arguments in [
        &["logs", "r"][..],
        &["logs", "r", "-t"],
        &["show", "r"],
        &["show", "r", "--output=json"],
        &["report", "r"],
        &["why", "r", "first"],
        &["why", "r", "api"],
    ] {
        let mut command = folder.coord([]);
        command.args(arguments);
        done(command).exits(0);
    }
    let mut attached = Running::start(folder.coord(["attach", "r"]));
    let mut terminal = Terminal::start(coord(folder.path()).args(["attach", "r"]), 30, 100);
    terminal.shows("✗ api");
    terminal.keys("q");
    assert_eq!(terminal.end().0.code(), Some(0));
    attached.until("api");
    folder.write("go", "");
    let (status, printed) = attached.end();
    assert_eq!(status.code(), Some(0), "{printed}");
    ends(&folder, "completed, started");
}
