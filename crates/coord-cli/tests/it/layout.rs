//! How lines of text stand: as they come or by step, with names or without, and those of what failed.

use crate::coord::{Done, Folder, Running, done, limited};
use crate::terminal::{Terminal, coord};

/// Each step prints a line, waits for the other, and prints another one: as they come, lines of both alternate.
/// The second ends when the first is gone.
const TURNS: &str = r#"
concurrency = 2
[[step]]
id = "a"
run = "echo one; echo $$ > x; until test -e y; do sleep 0.01; done; echo three"
[[step]]
id = "b"
run = "until test -s x; do sleep 0.01; done; echo two; touch y; while kill -0 $(cat x) 2> z; do sleep 0.01; done; echo four"
"#;

fn ran<const N: usize>(flags: [&str; N], variables: &[(&str, &str)]) -> Done {
    let folder = Folder::new();
    folder.write("coord.toml", TURNS);
    let mut command = folder.coord(["run"]);
    command.args(flags).envs(variables.iter().copied());
    let done = done(command);
    done.exits(0);
    done
}

/// What the processes have printed, in the order in which it stands there.
fn printed(done: &Done) -> Vec<&str> {
    let words = ["one", "two", "three", "four"];
    let last = |line: &str| line.rsplit(' ').next().map(str::to_owned);
    let lines = done.out.lines();
    lines
        .filter(|line| last(line).is_some_and(|word| words.contains(&&*word)))
        .collect()
}

const BY_STEP: [&str; 4] = ["a | one", "a | three", "b | two", "b | four"];

#[test]
fn the_lines_of_a_step_stand_together_where_they_are_grouped() {
    let grouped = ran(["--log-order=grouped"], &[]);
    assert_eq!(printed(&grouped), BY_STEP);
    let ends = grouped.out.find("a · done").unwrap();
    assert!(grouped.out.find("a | three").unwrap() < ends);
    assert!(ends < grouped.out.find("b | two").unwrap());
}

#[test]
fn the_lines_of_a_hook_stand_with_its_step() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'a'\nrun = 'echo one; exit 1'\nhooks = { failure = 'echo hooked; exit 2' }\n",
    );
    let run = done(folder.coord(["run", "--log-order=grouped"]));
    run.exits(100);
    let places = [
        "a · started",
        "a | one",
        "hook a | hooked",
        "hook a · failed",
        "a · failed",
    ];
    let places = places.map(|line| run.out.find(line));
    assert!(places.is_sorted() && places[0].is_some(), "{}", run.out);
}

#[test]
fn lines_are_grouped_where_ci_is_set_and_come_as_they_come_elsewhere() {
    assert_eq!(printed(&ran([], &[("CI", "true")])), BY_STEP);
    for variables in [&[][..], &[("CI", "false")], &[("CI", "")]] {
        comes_as_it_comes(&[], variables);
    }
    comes_as_it_comes(&["--log-order=stream"], &[("CI", "true")]);
}

/// A line of one step is there before the other goes on: two pipes are read by turns, so which of two lines came
/// first is known of one step only.
fn comes_as_it_comes(flags: &[&str], variables: &[(&str, &str)]) {
    let folder = Folder::new();
    folder.write("coord.toml", TURNS.replace("touch y; ", ""));
    let mut command = folder.coord(["run"]);
    command.args(flags).envs(variables.iter().copied());
    let mut running = Running::start(command);
    running.until("b | two");
    folder.write("y", "");
    let (status, out) = running.end();
    assert_eq!(status.code(), Some(0), "{out}");
    let at = |line| out.find(line).unwrap();
    assert!(at("a | one") < at("a | three"), "{out}");
}

#[test]
fn groups_are_folded_on_github_and_have_no_names_then() {
    let github = [("CI", "true"), ("GITHUB_ACTIONS", "true")];
    let folded = ran([], &github);
    folded.says("::group::a\na · started\none\nthree\n::endgroup::\na · done in ");
    folded.says("::group::b\nb · started\ntwo\nfour\n::endgroup::\nb · done in ");
    let named = ran(["--log-prefix=task"], &github);
    named.says("::group::a\na · started\na | one\na | three\n::endgroup::\n");
    let stream = ran(["--log-order=stream"], &github);
    assert!(!stream.out.contains("::group::"), "{}", stream.out);
    stream.says("a | one\n");
}

/// What stands in no group of its own step, and items, which share one.
const OUTSIDE: &str = r#"
on_failure = "finish-all"
concurrency = 1
[[service]]
id = "s"
run = "echo up; exec sleep 1000"
ready = { log = "up" }
[[step]]
id = "a"
needs = ["s"]
run = "echo x"
undo = "echo undoing"
hooks = { success = "echo hooked" }
[[step]]
id = "each"
needs = ["a"]
for_each = ["one", "two"]
run = "echo of $COORD_ITEM"
[[step]]
id = "fails"
needs = ["each"]
run = "exit 3"
"#;

#[test]
fn on_github_only_what_stands_in_the_group_of_its_step_alone_has_no_name() {
    let folder = Folder::new();
    folder.write("coord.toml", OUTSIDE);
    let github = [("CI", "true"), ("GITHUB_ACTIONS", "true")];
    let folded = |prefix: &str| {
        let mut command = folder.coord(["run", "--no-journal"]);
        command.arg(format!("--log-prefix={prefix}")).envs(github);
        let done = done(command);
        done.exits(100);
        let lines = done.out.lines().map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            words.join(" ")
        });
        lines.collect::<Vec<_>>()
    };
    let auto = folded("auto");
    for line in ["s | up", "x", "hook a | hooked", "undo a | undoing"] {
        assert!(auto.iter().any(|told| told == line), "{line}: {auto:?}");
    }
    for line in ["each:0[one] | of one", "each:1[two] | of two"] {
        assert!(auto.iter().any(|told| told == line), "{line}: {auto:?}");
    }
    let none = folded("none");
    for line in ["up", "x", "hooked", "undoing", "of one", "of two"] {
        assert!(none.iter().any(|told| told == line), "{line}: {none:?}");
    }
}

#[test]
fn lines_have_no_names_where_none_are_wanted() {
    let bare = ran(["--log-prefix=none", "--log-order=grouped"], &[]);
    assert_eq!(printed(&bare), ["one", "three", "two", "four"]);
    bare.says("a · started\n");
}

#[test]
fn a_step_that_prints_more_than_is_held_is_printed_as_it_comes_and_complete() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'much'\nrun = 'seq 1 100000'\n",
    );
    let done = done(folder.coord(["run", "--log-order=grouped"]));
    done.exits(0);
    let note = "much · has printed too much to be held: the rest is as it comes\n";
    assert_eq!(done.out.matches(note).count(), 1);
    let lines = done.out.lines();
    let numbers = lines.filter_map(|line| line.strip_prefix("much | "));
    assert!(numbers.eq((1..=100_000).map(|number| number.to_string())));
}

#[test]
fn what_is_held_of_a_step_is_printed_when_the_run_is_given_up() {
    let with = |limit| {
        let folder = Folder::new();
        let step = "[[step]]\nid = 'a'\nrun = 'echo held; exec sleep 100'\n";
        folder.write("coord.toml", format!("timeout = '{limit:?}'\n{step}"));
        done(folder.coord(["run", "--log-order=grouped"]))
    };
    let (done, _) = limited(with, |done| done.out.contains("held"));
    done.exits(100).says("a | held\n");
}

#[test]
fn the_last_lines_of_what_failed_are_told_when_that_is_wanted() {
    for (flags, at_once, at_the_end) in [
        (None, 0, 1),
        (Some("--failure-output=final"), 0, 1),
        (Some("--failure-output=immediate"), 1, 0),
        (Some("--failure-output=immediate-final"), 1, 1),
        (Some("--failure-output=never"), 0, 0),
    ] {
        let folder = Folder::new();
        folder.write(
            "coord.toml",
            "[[step]]\nid = 'a'\nrun = 'echo boom; exit 3'\n",
        );
        let mut command = folder.coord(["run"]);
        command.args(flags);
        let done = done(command);
        done.exits(100)
            .says("a | boom\n")
            .says("a failed: exit code 3\n");
        let (before, after) = done.out.split_once("\n\n").unwrap();
        let told = |part: &str| part.lines().filter(|line| *line == "  | boom").count();
        assert_eq!(
            (told(before), told(after)),
            (at_once, at_the_end),
            "{flags:?}"
        );
    }
}

#[test]
fn a_part_of_a_file_is_named_by_a_pattern() {
    let folder = Folder::new();
    let step = |id: &str| format!("[[step]]\nid = '{id}'\nrun = 'echo {id} >> done'\n");
    folder.write(
        "coord.toml",
        ["test-a", "test-b", "lint"].map(step).concat(),
    );
    let some = folder.coord(["run", "--concurrency=1", "--only=test-*"]);
    done(some).exits(0);
    assert_eq!(folder.read("done").unwrap(), "test-a\ntest-b\n");
    let none = done(folder.coord(["run", "--only=tset-*"]));
    none.exits(96);
    assert!(none.err.contains("coord::select::no_unit"), "{}", none.err);
}

#[test]
fn how_many_run_at_once_may_be_percent_of_the_processors() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 'a'\nrun = 'true'\n");
    let dry = |concurrency: &str| {
        let mut command = folder.coord(["run", "--dry-run", "--output=json"]);
        command.args(["--concurrency", concurrency]);
        let dry = done(command);
        let told: serde_json::Value = serde_json::from_str(&dry.exits(0).out).unwrap();
        usize::try_from(told["concurrency"].as_u64().unwrap()).unwrap()
    };
    let processors = std::thread::available_parallelism().unwrap().get();
    assert_eq!(dry("100%"), processors);
    assert_eq!(dry("50%"), (processors / 2).max(1));
    assert_eq!(dry("300%"), 3 * processors);
    done(folder.coord(["run", "--concurrency=0%"])).exits(2);
}

/// Whatever a run does that succeeds.
const QUIET: &str = r#"
[[service]]
id = "db"
run = "echo up; exec sleep 1000"
ready = { log = "up" }
[[step]]
id = "flaky"
run = "echo tried; test $COORD_ATTEMPT = 2"
retry = { max_attempts = 2, initial = "1ms" }
needs = ["db"]
undo = "echo undoing"
[[step]]
id = "skipped"
run = "true"
when = "1 == 2"
"#;

#[test]
fn who_wants_it_quiet_is_told_what_fails_with_its_last_lines_and_how_the_run_ended() {
    let folder = Folder::new();
    let quiet = |more: &str, flags: &[&str], code: i32| {
        folder.write("coord.toml", format!("{QUIET}{more}"));
        let mut command = folder.coord(["run", "--id"]);
        let id = format!("r{}{}", more.len(), flags.len());
        command.arg(&id).arg("-q").args(flags);
        let done = done(command);
        done.exits(code);
        let (before, after) = done.out.split_once(" in ").unwrap();
        let (_, after) = after.split_once(": ").unwrap();
        (format!("{before}: {after}"), id)
    };
    let (told, id) = quiet("", &[], 0);
    assert_eq!(
        told,
        format!("coord completed: 1 done, 1 skipped, 1 service\nrun {id}\n")
    );
    let fails = "[[step]]\nid = 'bad'\nneeds = ['flaky']\nrun = 'echo one; echo two >&2; exit 3'\n";
    let failed = |told: &str, id: &str| {
        let (rows, rest) = told.split_once("\n\nbad failed").unwrap();
        let took = rows.split_whitespace().nth(6).unwrap();
        assert!(
            rows.starts_with("bad     · failed: exit code 3\n\nfailed    bad "),
            "{told}"
        );
        assert!(!took.is_empty() && rows.ends_with("exit code 3"), "{told}");
        for line in [
            "  at coord.toml:",
            "  | one\n",
            "  | two\n",
            "  undone: flaky\n",
        ] {
            assert!(rest.contains(line), "{told}");
        }
        assert!(rest.ends_with(&format!("coord retry {id}\n")), "{told}");
    };
    for flags in [
        &[][..],
        &["--failure-output=never"],
        &["--log-order=grouped", "--flows=ascii"],
    ] {
        let (told, id) = quiet(fails, flags, 100);
        failed(&told, &id);
    }
}

#[test]
fn who_wants_it_quiet_sees_what_failed_also_of_what_is_run_elsewhere_or_gone_on_with() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'a'\nrun = 'echo before; until test -e go; do sleep 0.01; done; exit 3'\n",
    );
    let mut driver = Running::start(folder.coord(["run", "--id", "r"]));
    driver.until("before");
    done(folder.coord(["pause", "r"])).exits(0);
    let mut attached = Running::start(folder.coord(["attach", "-q", "r"]));
    attached.until("the run is paused");
    done(folder.coord(["continue", "r"])).exits(0);
    attached.until("the run goes on\n");
    folder.write("go", "");
    let (status, printed) = attached.end();
    assert_eq!(status.code(), Some(100), "{printed}");
    let (told, summary) = printed.split_once("run r of coord: failed").unwrap();
    let (_, told) = told.split_once("the run goes on\n").unwrap();
    assert_eq!(told, "a · failed: exit code 3\n  | before\n");
    assert!(summary.contains("\nfailed     a "), "{summary}");
    driver.end();
    let retried = done(folder.coord(["retry", "r", "--quiet"]));
    retried
        .exits(100)
        .says("a · failed: exit code 3\n\nfailed    a");
    assert!(!retried.out.contains("started"), "{}", retried.out);
}

#[test]
fn who_wants_it_quiet_has_text_also_in_a_terminal() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 'a'\nrun = 'echo said'\n");
    let run = coord(folder.path()).args(["run", "-q", "--id", "r"]);
    let (status, screen) = Terminal::start(run, 24, 80).end();
    assert_eq!(status.code(), Some(0));
    assert!(screen.starts_with("coord completed in "), "{screen}");
    assert!(screen.trim_end().ends_with("\nrun r"), "{screen}");
}
