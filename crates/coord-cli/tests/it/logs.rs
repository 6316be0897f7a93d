//! What processes print is kept with the run, and printed again.

mod lost;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use coordination::bus::{AppendTo, Durability, EventLog, Record, Timestamp};
use coordination::journal::Journal;
use rustix::process::Signal;
use serde_json::Value;

use crate::coord::{Done, Folder, Running, done, limited};

/// Steps that print in each way, fail and are undone.
const FILE: &str = "[[step]]\nid = 'a'\nundo = 'echo undoing'\n\
     run = 'printf \"one\\n\\033[31mred\\033[0m\\033[2J\\n\"; echo wrong >&2'\n\
     [[step]]\nid = 'silent'\nneeds = ['a']\nrun = 'true'\n\
     [[step]]\nid = 'b'\nneeds = ['silent']\nrun = 'echo attempt $COORD_ATTEMPT; exit 3'\n\
     retry = { max_attempts = 2, initial = '1ms' }\n";

fn ran(file: &str) -> Folder {
    let folder = Folder::new();
    folder.write("coord.toml", file);
    done(folder.coord(["run", "--id", "r"]));
    folder
}

/// What is printed, on both streams.
#[track_caller]
fn logs<const N: usize>(folder: &Folder, arguments: [&str; N]) -> Done {
    let mut command = folder.coord(["logs", "r"]);
    command.args(arguments);
    let done = done(command);
    done.exits(0);
    done
}

/// Where the output of the run is.
fn kept(folder: &Folder) -> std::path::PathBuf {
    folder.path().join("state/coord/output/r")
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn what_each_step_printed_is_printed_again_in_order() {
    let folder = ran(FILE);
    let lines = "a      | one\na      | red\na      | wrong\n\
         b      | attempt 1\nb      · attempt 1 failed: exit code 3; attempt 2\n\
         b      | attempt 2\nundo a | undoing\n";
    let all = logs(&folder, []);
    assert_eq!((&*all.out, &*all.err), (lines, ""));
    assert_eq!(
        logs(&folder, ["a"]).out,
        "one\nred\nwrong\nundoing\n",
        "a step's own, with what undoes it"
    );
    assert_eq!(logs(&folder, ["silent"]).out, "");
}

#[test]
fn no_more_is_printed_than_is_asked_for() {
    let folder = ran(FILE);
    assert_eq!(logs(&folder, ["a", "--stream", "stderr"]).out, "wrong\n");
    assert_eq!(logs(&folder, ["b", "--attempt", "2"]).out, "attempt 2\n");
    assert_eq!(logs(&folder, ["a", "--tail", "2"]).out, "wrong\nundoing\n");
    assert_eq!(logs(&folder, ["a", "-n", "0"]).out, "");
    assert_eq!(logs(&folder, ["b", "-n", "0"]).out, "");
    let marked = "attempt 1\n· attempt 1 failed: exit code 3; attempt 2\nattempt 2\n";
    assert_eq!(logs(&folder, ["b", "-n", "2"]).out, marked);
    assert_eq!(logs(&folder, ["b", "--since", "1h"]).out, marked);
    assert_eq!(logs(&folder, ["b", "-n", "1"]).out, "attempt 2\n");
    let found = logs(&folder, ["b", "-g", "attempt"]).out;
    assert_eq!(found, "attempt 1\nattempt 2\n");
    assert_eq!(logs(&folder, ["b", "--since", "2999-01-01"]).out, "");
    let timed = logs(&folder, ["b", "-t", "-n1"]).out;
    let (at, text) = timed.split_once(' ').unwrap();
    assert_eq!(text, "attempt 2\n");
    let since = logs(&folder, ["b", "--since", at]).out;
    assert_eq!(since, "attempt 2\n");
    let wrong = done(folder.coord(["logs", "r", "--since", "soon"]));
    wrong.exits(2);
    assert!(wrong.err.contains("is given as 10m"), "{wrong:?}");
}

#[test]
fn for_programs_each_line_is_an_object() {
    let folder = ran(FILE);
    let lines = logs(&folder, ["--output=jsonl"]).out;
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[1]["line"], "\u{1b}[31mred\u{1b}[0m");
    let of =
        |line: &Value| ["process", "stream", "attempt", "line"].map(|key| line[key].to_string());
    assert_eq!(of(&lines[2]), ["\"a\"", "\"stderr\"", "1", "\"wrong\""]);
    assert_eq!(of(&lines[4]), ["\"b\"", "\"stdout\"", "2", "\"attempt 2\""]);
    assert_eq!(lines[5]["process"], "undo a");
    let time = |line: &Value| line["at"].as_str().unwrap().parse::<Timestamp>().unwrap();
    let times: Vec<_> = lines.iter().map(time).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn colours_reach_a_terminal_and_nothing_else_does() {
    let folder = ran(FILE);
    let coloured = logs(&folder, ["a", "--color", "always"]).out;
    assert!(coloured.starts_with("one\n\u{1b}[31mred\u{1b}[0m\u{1b}[0m\nwrong\n"));
    // Somebody has written into a file.
    let file = kept(&folder).join("b.1.log");
    let line = "2026-03-01T09:30:00Z stdout F:1 \u{1b}]52;c;eA==\u{7}\u{1b}[2J\u{9b}6n!\nno line\n";
    std::fs::write(file, line).unwrap();
    let safe = logs(&folder, ["b", "--color", "always"]);
    assert_eq!(
        safe.out,
        "\u{fffd}]52;c;eA==\u{fffd}[2J6n!\n\u{1b}[2m· attempt 1 failed: exit code 3; attempt 2\u{1b}[0m\n"
    );
    assert!(safe.err.contains("1 lines in "), "{}", safe.err);
}

#[test]
fn the_files_are_the_owners_and_only_of_what_was_printed() {
    let folder = ran(FILE);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let kept = kept(&folder);
    assert_eq!(mode(&kept), 0o700);
    assert_eq!(mode(kept.parent().unwrap()), 0o700);
    let files = names(&kept);
    assert_eq!(
        files,
        [
            "a.1.log",
            "b.1.log",
            "missing",
            "run%20events.1.log",
            "undo%20a.1.log"
        ]
    );
    for file in files {
        assert_eq!(mode(&kept.join(&file)), 0o600, "{file}");
    }
    let text = std::fs::read_to_string(kept.join("b.1.log")).unwrap();
    let words: Vec<_> = text.lines().next().unwrap().splitn(4, ' ').collect();
    assert_eq!(words[1..], ["stdout", "F:1", "attempt 1"]);
    let shown = done(folder.coord(["show", "r"])).out;
    assert!(shown.contains("output: 2"), "{shown}");
    assert!(shown.contains(" B in "), "{shown}");
    assert!(shown.contains("/state/coord/output/r"), "{shown}");
}

#[test]
fn without_a_journal_no_output_is_kept() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 's'\nrun = 'echo said'\n");
    done(folder.coord(["run", "--no-journal"]))
        .exits(0)
        .says("said");
    assert!(!folder.path().join("state").exists());
}

#[test]
fn the_output_of_a_run_in_another_process_is_followed_to_its_end() {
    let folder = Folder::new();
    let file = "[[service]]\nid = 'web'\nrun = 'echo up; exec sleep 1000'\nready = { log = 'up' }\n\
         [[step]]\nid = 's'\nneeds = ['web']\n\
         run = 'echo began; until test -e go; do sleep 0.01; done; echo last'\n";
    folder.write("coord.toml", file);
    let mut running = Running::start(folder.coord(["run", "--id", "r"]));
    running.until("began");
    let mut follower = Running::start(folder.coord(["logs", "r", "--follow", "-n", "1"]));
    follower.until("s   | began");
    folder.write("go", "");
    assert_eq!(running.end().0.code(), Some(0));
    let (status, printed) = follower.end();
    assert_eq!(status.code(), Some(0));
    assert_eq!(printed, "s   | began\ns   | last\n");
    assert_eq!(logs(&folder, ["web", "-f"]).out, "up\n");
}

#[test]
fn what_was_printed_before_a_kill_is_there_and_what_comes_after_it_follows() {
    let folder = Folder::new();
    let file = "[[step]]\nid = 's'\nrun = 'echo $COORD_ATTEMPT pid=$$; until test -e go; do sleep 0.01; done; \
         echo last'\n";
    folder.write("coord.toml", file);
    let mut running = Running::start(folder.coord(["run", "--id", "r"]));
    running.until("pid=");
    let mut follower = Running::start(folder.coord(["logs", "r", "s", "-f"]));
    follower.until("pid=");
    running.signal(Signal::KILL);
    running.end();
    // It has ended: there is nobody who could print more.
    assert_eq!(follower.end().0.code(), Some(0));
    // As if the kill had come in the middle of a line.
    let path = kept(&folder).join("s.1.log");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}2026-03-01T09:3")).unwrap();
    folder.write("go", "");
    done(folder.coord(["resume", "r"])).exits(0);
    let kept = logs(&folder, ["s"]);
    let lines: Vec<_> = kept.out.lines().collect();
    assert_eq!(lines.len(), 4, "{kept:?}");
    assert!(lines[0].starts_with("1 pid="), "{kept:?}");
    assert_eq!(lines[1], "· the run was interrupted; started again");
    assert_eq!(lines[3], "last");
    assert!(kept.err.contains("1 lines in "), "{kept:?}");
}

#[test]
fn a_step_that_prints_for_ever_keeps_its_newest() {
    let line = "x".repeat(1000);
    let file = format!(
        "[[step]]\nid = 's'\nrun = 'yes {line} | head -n 18000; echo last'\n\
         [[step]]\nid = 'other'\nrun = 'echo mine'\n"
    );
    let folder = ran(&file);
    let mut files = names(&kept(&folder));
    // Of a run that takes long there is what was measured, too.
    files.retain(|file| file != "measured.json");
    assert_eq!(
        files,
        [
            "missing",
            "other.1.log",
            "run%20events.1.log",
            "s.2.log",
            "s.3.log"
        ]
    );
    let sizes =
        ["s.2.log", "s.3.log"].map(|file| kept(&folder).join(file).metadata().unwrap().len());
    assert!(sizes.iter().all(|size| *size <= 8 << 20), "{sizes:?}");
    let kept = logs(&folder, ["s"]);
    assert!(kept.out.ends_with(&format!("{line}\nlast\n")));
    let lines = kept.out.lines().count();
    assert!((8_000..16_200).contains(&lines), "{lines}");
    assert!(
        kept.err.contains("the oldest output of s is not kept"),
        "{}",
        kept.err
    );
    assert_eq!(logs(&folder, ["s", "--tail", "1"]).err, "");
    assert_eq!(logs(&folder, ["other"]).out, "mine\n");
}

#[test]
fn lines_that_are_too_long_and_bytes_that_are_no_text_are_kept_as_they_were_shown() {
    let folder = ran(
        "[[step]]\nid = 's'\nrun = 'head -c 70000 /dev/zero | tr \"\\0\" x; printf \"\\n\\377\\n\\nend\"'\n",
    );
    let lines = logs(&folder, ["s", "--output=jsonl"]).out;
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let lengths: Vec<_> = lines
        .iter()
        .map(|line| line["line"].as_str().unwrap().len())
        .collect();
    assert_eq!(lengths, [65_536, 4_464, 3, 0, 3]);
    assert_eq!(lines[0]["continues"], true);
    assert_eq!(lines[2]["line"], "\u{fffd}");
}

#[test]
fn a_step_that_is_not_there_is_answered_with_the_nearest() {
    let folder = ran(FILE);
    let wrong = done(folder.coord(["logs", "r", "silnt"]));
    wrong.exits(96);
    assert!(wrong.err.contains("did you mean `silent`?"), "{wrong:?}");
    done(folder.coord(["logs", "../r"])).exits(96);
}

/// Puts so many runs into the journal that have finished.
#[tokio::main(flavor = "current_thread")]
async fn finish_others(journal: &Path, runs: usize) {
    let journal = Journal::open(journal).unwrap();
    for run in 0..runs {
        let stream = format!("run.other-{run}");
        let appended = AppendTo::stream(&stream)
            .record(Record::new("something", "{}"))
            .closing()
            .durably(Durability::Process);
        journal.append(appended).await.unwrap();
    }
}

/// A run that goes on in another process, and those that others remember, keep what they printed.
#[test]
fn what_was_printed_goes_with_its_run() {
    let folder = Folder::new();
    let file = "[[step]]\nid = 's'\nrun = 'echo said'\n";
    folder.write("coord.toml", file);
    folder.write(
        "waits.toml",
        "[[step]]\nid = 's'\nrun = 'echo began; exec sleep 1000'\n",
    );
    let mut running = Running::start(folder.coord(["run", "waits.toml", "--id", "live"]));
    running.until("began");
    let output = folder.path().join("state/coord/output");
    // Of a run that is not in the journal, as one that was forgotten elsewhere.
    std::fs::create_dir(output.join("gone")).unwrap();
    done(folder.coord(["run", "--id", "oldest"])).exits(0);
    finish_others(&folder.path().join("state/coord"), 1000);
    done(folder.coord(["run", "--id", "newest"])).exits(0);
    let left = names(&output);
    assert_eq!(left, ["live", "newest"]);
    running.signal(Signal::INT);
    assert_eq!(running.end().0.code(), Some(130));
    let mut kept = names(&output.join("live"));
    // Where there was time for that.
    kept.retain(|name| name != "measured.json");
    assert_eq!(kept, ["missing", "run%20events.1.log", "s.1.log"]);
}

#[test]
fn what_is_followed_is_only_what_matches_on_one_stream_or_of_one_step() {
    let folder = Folder::new();
    let file = "[[step]]\nid = 's'\nrun = 'echo good one; echo bad one; echo good two >&2; \
         until test -e go; do sleep 0.01; done; echo bad two; echo good three; echo good four >&2'\n\
         [[step]]\nid = 'other'\nrun = 'echo good other'\n";
    folder.write("coord.toml", file);
    let mut running = Running::start(folder.coord(["run", "--id", "r"]));
    running.until("bad one");
    let follow = |arguments: [&str; 5]| {
        let [step, grep, text, stream, which] = arguments;
        let logs = ["logs", "r", step, "-f", grep, text, stream, which];
        Running::start(folder.coord(logs))
    };
    let mut on_stdout = follow(["s", "--grep", "good", "--stream", "stdout"]);
    on_stdout.until("good one");
    let mut inverted = follow(["s", "-vg", "good", "--attempt", "1"]);
    inverted.until("bad one");
    folder.write("go", "");
    running.end();
    assert_eq!(on_stdout.end().1, "good one\ngood three\n");
    assert_eq!(inverted.end().1, "bad one\nbad two\n");
}

#[test]
fn only_what_was_printed_since_a_time_is_told_and_with_what_is_looked_for_in_it() {
    let folder = Folder::new();
    let file = "[[step]]\nid = 's'\nrun = 'echo old good; until test -e go; do sleep 0.01; done; \
         echo new good; echo new bad'\n";
    folder.write("coord.toml", file);
    let mut running = Running::start(folder.coord(["run", "--id", "r"]));
    running.until("old good");
    // Its time is known before the others are printed.
    Running::start(folder.coord(["logs", "r", "-f"])).until("old good");
    folder.write("go", "");
    running.end();
    let lines = logs(&folder, ["--output=jsonl"]).out;
    let at = |text: &str| -> String {
        let line = lines.lines().find(|line| line.contains(text)).unwrap();
        let line: Value = serde_json::from_str(line).unwrap();
        line["at"].as_str().unwrap().to_owned()
    };
    let since = at("new good");
    assert_eq!(
        logs(&folder, ["s", "--since", &since]).out,
        "new good\nnew bad\n"
    );
    assert_eq!(
        logs(&folder, ["s", "--since", &since, "-g", "good"]).out,
        "new good\n"
    );
    assert_eq!(
        logs(&folder, ["s", "--since", &since, "-g", "good", "-f"]).out,
        "new good\n"
    );
    assert_eq!(
        logs(&folder, ["s", "--since", "1h", "-g", "good"]).out,
        "old good\nnew good\n"
    );
    assert_eq!(logs(&folder, ["s", "--since", "0s"]).out, "");
}

#[test]
fn lines_are_found_by_a_regular_expression_in_what_is_to_be_seen_of_them() {
    let folder = ran(FILE);
    assert_eq!(
        logs(&folder, ["a", "--grep", "^(one|red)$"]).out,
        "one\nred\n"
    );
    assert_eq!(logs(&folder, ["a", "-g", "RED", "-i"]).out, "red\n");
    assert_eq!(logs(&folder, ["a", "-g", "RED"]).out, "");
    assert_eq!(
        logs(&folder, ["a", "-g", "^o", "-v"]).out,
        "red\nwrong\nundoing\n"
    );
    // Before the last lines are counted.
    let last = logs(&folder, ["-g", "attempt", "-n", "1"]);
    assert_eq!(last.out, "b      | attempt 2\n");
    let bad = done(folder.coord(["logs", "r", "--grep", "("]));
    bad.exits(2);
    assert!(bad.err.contains("no regular expression"), "{}", bad.err);
}

#[test]
fn where_an_attempt_ended_and_the_next_began_is_marked_with_its_reason() {
    let before = "[[service]]\nid = 'db'\nready = { log = 'up' }\n\
         run = 'echo x >> starts; echo up; test $(wc -l < starts) -gt 1 || exit 3; exec sleep 1000'\n\
         restart = { policy = 'on-failure', initial = '1ms', max = '2ms' }\n\
         [[step]]\nid = 'slow'\nrun = 'echo $COORD_ATTEMPT; test $COORD_ATTEMPT = 2 || exec sleep 1000'\n\
         retry = { initial = '1ms', max = '2ms' }\n";
    let after = "[[step]]\nid = 'mute'\nrun = 'test $COORD_ATTEMPT = 3 && echo said'\n\
         retry = { initial = '1ms', max = '2ms' }\n\
         [[step]]\nid = 'each'\nfor_each = ['a', 'b']\nretry = { initial = '1ms', max = '2ms' }\n\
         run = 'echo $COORD_ITEM; test $COORD_ITEM = a || test $COORD_ATTEMPT = 2'\n\
         [[step]]\nid = 'last'\nneeds = ['db', 'slow', 'mute', 'each']\n\
         run = 'until test $(wc -l < starts) = 2; do sleep 0.01; done'\n";
    let (folder, limit) = limited(
        |limit| ran(&format!("{before}timeout = '{limit:?}'\n{after}")),
        |folder| logs(folder, ["slow"]).out.ends_with("attempt 2\n2\n"),
    );
    let of = |step: &str| logs(&folder, [step]).out;
    assert_eq!(of("db"), "up\n· ended: exit code 3; started again\nup\n");
    assert_eq!(
        of("slow"),
        format!(
            "1\n· attempt 1 failed: it was not done after {limit:?}, its timeout; attempt 2\n2\n"
        )
    );
    assert_eq!(
        of("mute"),
        "· attempt 1 failed: exit code 1; attempt 2\n\
         · attempt 2 failed: exit code 1; attempt 3\nsaid\n"
    );
    assert_eq!(of("each:1"), "b\n· ended: exit code 1; started again\nb\n");
    assert_eq!(of("each:0"), "a\n");
    let timed = logs(&folder, ["db", "-t"]).out;
    assert!(timed.lines().all(|line| line.starts_with("20")), "{timed}");
}

#[test]
fn hooks_are_not_marked_as_attempts_and_what_a_retry_does_again_says_so() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "name = 'marks'\nhooks = { always = 'echo over' }\n\
         [[step]]\nid = 'a'\nrun = 'echo did a'\nundo = 'true'\n\
         [[step]]\nid = 'b'\nneeds = ['a']\nrun = 'echo tried; test -e mended'\n\
         hooks = { failure = 'echo sorry', always = 'echo anyway' }\n",
    );
    done(folder.coord(["run", "--id", "m"])).exits(100);
    let logs = |of: &str| done(folder.coord(["logs", "m", of])).out;
    assert_eq!(logs("hook b"), "sorry\nanyway\n");
    assert_eq!(logs("run hook"), "over\n");
    folder.write("mended", "");
    done(folder.coord(["retry", "m"])).exits(0);
    let again = "started again, as the run was retried";
    assert_eq!(
        logs("a"),
        format!("did a\n· ended: exit code 0; {again}\ndid a\n")
    );
    let tried = format!("tried\n· ended: exit code 1; {again}\ntried\n");
    let without_hooks = logs("b").replace("sorry\n", "").replace("anyway\n", "");
    assert_eq!(without_hooks, tried);
}
