//! What shells are told when somebody presses tab: asked as their scripts ask, and in real shells.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use rustix::process::Signal;

use crate::coord::{Done, Folder, Running, done};
use crate::terminal::{self, Terminal};

/// What empties the line.
const CLEAR: &str = "\u{15}";

const RELEASE: &str = r#"
name = "release"

[params]
mode = { choices = ["debug", "release"], default = "debug", description = "How to build" }
target = "x86"
fast = { type = "boolean", default = false }

[profile.nightly.params]
mode = "release"

[[step]]
id = "fetch"
run = "true"

[[step]]
id = "build"
run = "true"
needs = ["fetch"]

[[step]]
id = "bundle"
run = "true"
needs = ["build"]

[[service]]
id = "database"
run = "exec sleep 1000"
"#;

/// A folder with a workflow file, and nothing that has run.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("coord.toml", RELEASE);
    folder
}

/// What a shell is told that asks as `fish` and most others do: with the words, of which the last is completed.
fn asked(folder: &Folder, shell: &str, words: &[&str]) -> Done {
    let mut command = folder.coord([]);
    command.env("COORD_COMPLETE", shell).arg("--").args(words);
    command.env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string());
    command.env("_CLAP_IFS", "\n");
    let told = done(command);
    assert_eq!(told.err, "", "{words:?}");
    told
}

/// What is offered for the last of these words, each with its help.
fn told(folder: &Folder, words: &[&str]) -> Vec<(String, String)> {
    let told = asked(folder, "fish", words);
    let lines = told.out.lines();
    let told = lines.map(|line| line.split_once('\t').unwrap_or((line, "")));
    told.map(|(value, help)| (value.to_owned(), help.to_owned()))
        .collect()
}

fn offered(folder: &Folder, words: &[&str]) -> Vec<String> {
    told(folder, words)
        .into_iter()
        .map(|(value, _)| value)
        .collect()
}

/// How often it is asked at most: on a busy machine a look at runs takes longer than a shell waits for it.
const ASKED_MAX: usize = 100;

/// What is offered for the last of these words, where runs are looked at.
#[track_caller]
fn offers(folder: &Folder, words: &[&str], expected: &[&str]) {
    let is_expected = (0..ASKED_MAX).any(|_| offered(folder, words) == expected);
    assert!(is_expected, "{words:?}: {:?}", offered(folder, words));
}

/// What Bash is told, of which the word is what follows the last `=` or `:`.
fn told_bash(folder: &Folder, before: &str, after: &str) -> String {
    let word = before.rsplit([' ', '=', ':']).next().unwrap();
    let mut command = folder.coord([]);
    command.env("COORD_COMPLETE", "bash");
    command.args(["--", before, after, word, "9", "80"]);
    let told = done(command);
    assert_eq!(told.err, "", "{before}");
    told.out
}

/// All files of a folder but those that processes share as memory, and when they were changed.
fn files(folder: &Path) -> BTreeMap<String, (SystemTime, Vec<u8>)> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        let changed = fs::metadata(&path).unwrap().modified().unwrap();
        if path.is_dir() {
            files.extend(self::files(&path));
        }
        if !name.ends_with("-shm") {
            files.insert(name, (changed, fs::read(&path).unwrap_or_default()));
        }
    }
    files
}

#[test]
fn commands_and_flags_are_offered_and_what_is_hidden_never() {
    let folder = folder();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let begun = match shell {
            "bash" => told_bash(&folder, "coord ", ""),
            _ => asked(&folder, shell, &["coord", ""]).out,
        };
        let has = |word| begun.lines().any(|line| line.starts_with(word));
        assert!(has("resume") && has("coord.toml"), "{shell}: {begun}");
        assert!(!has("watchdog") && !has("-"), "{shell}: {begun}");
        let flags = match shell {
            "bash" => told_bash(&folder, "coord run --", ""),
            _ => asked(&folder, shell, &["coord", "run", "--"]).out,
        };
        assert!(flags.contains("--only"), "{shell}: {flags}");
        assert!(!flags.contains("--in-background"), "{shell}: {flags}");
    }
    for hidden in [&["coord", "watch"][..], &["coord", "run", "--in-b"]] {
        assert_eq!(offered(&folder, hidden), [""; 0], "{hidden:?}");
    }
    assert_eq!(
        offered(&folder, &["coord", "help", "res"]),
        ["resume", "restart"]
    );
    let after_a_file = offered(&folder, &["coord", "coord.toml", "res"]);
    assert_eq!(after_a_file, [""; 0]);
}

#[test]
fn runs_are_offered_the_newest_first_to_the_commands_that_are_for_them() {
    let folder = Folder::new();
    folder.write("good.toml", "[[step]]\nid = 'a'\nrun = 'true'\n");
    folder.write("bad.toml", "[[step]]\nid = 'b'\nrun = 'false'\n");
    done(folder.coord(["run", "good.toml", "--id", "good-one"])).exits(0);
    done(folder.coord(["run", "bad.toml", "--id", "bad-one"])).exits(100);
    let is_told = |told: &[(String, String)]| match told {
        [(bad, of_bad), (good, of_good)] => {
            let ids = (&**bad, &**good) == ("bad-one", "good-one");
            ids && of_bad.starts_with("bad, failed, 2") && of_good.starts_with("good, completed, 2")
        }
        _ => false,
    };
    let runs = || told(&folder, &["coord", "show", ""]);
    assert!((0..ASKED_MAX).any(|_| is_told(&runs())), "{:?}", runs());
    let offers = |words: &[&str], expected: &[&str]| offers(&folder, words, expected);
    offers(&["coord", "report", "g"], &["good-one"]);
    offers(&["coord", "report", "d-one"], &["bad-one", "good-one"]);
    offers(
        &["coord", "graph", ""],
        &["bad.toml", "good.toml", "state/", "bad-one", "good-one"],
    );
    offers(&["coord", "retry", "good"], &["good-one"]);
    for command in ["attach", "cancel", "resume", "stop"] {
        offers(&["coord", command, "good"], &[]);
    }
    offers(&["coord", "logs", "bad", ""], &["b"]);
    offers(&["coord", "why", "good-one", ""], &["a"]);
    offers(&["coord", "retry", "bad-one", "--from", ""], &["b"]);
    offers(&["coord", "retry", "--from", ""], &["b"]);
    // Without a run they are of the latest.
    offers(&["coord", "why", ""], &["bad-one", "good-one", "b"]);
}

#[test]
fn a_run_that_goes_on_is_offered_with_what_it_waits_for_and_after_a_kill_to_be_resumed() {
    let folder = Folder::new();
    let waits = "[[step]]\nid = 'a'\nrun = 'true'\n\
                 [[step]]\nid = 'approval'\nsignal = 'approved'\nneeds = ['a']\n";
    folder.write("coord.toml", waits);
    let mut running = Running::start(folder.coord(["run", "--id", "live", "--output", "jsonl"]));
    running.until("\"approval\"");
    let offers = |words: &[&str], expected: &[&str]| offers(&folder, words, expected);
    for command in ["attach", "cancel", "pause", "signal", "skip", "show"] {
        offers(&["coord", command, ""], &["live"]);
    }
    for command in ["continue", "resume", "retry"] {
        offers(&["coord", command, "l"], &[]);
    }
    offers(&["coord", "signal", "live", ""], &["approved"]);
    offers(&["coord", "skip", "live", ""], &["approval"]);
    done(folder.coord(["pause", "live"])).exits(0);
    offers(&["coord", "continue", ""], &["live"]);
    running.signal(Signal::KILL);
    running.end();
    crate::kept::list(&folder, "interrupted");
    let before = files(folder.path());
    offers(&["coord", "resume", ""], &["live"]);
    assert!(before == files(folder.path()), "the look left something");
}

#[test]
fn what_is_in_the_file_on_the_line_is_offered() {
    let folder = folder();
    folder.write("other one.toml", "[[step]]\nid = 'other'\nrun = 'true'\n");
    let of = |words: &[&str]| offered(&folder, words);
    let units = ["fetch", "build", "bundle", "database"];
    assert_eq!(of(&["coord", "run", "--only", ""]), units);
    assert_eq!(of(&["coord", "--from", "bu"]), ["build", "bundle"]);
    assert_eq!(
        of(&["coord", "run", "--only=fetch,d"]),
        ["--only=fetch,database"]
    );
    let other = ["coord", "graph", "other one.toml", "--only", ""];
    assert_eq!(of(&other), ["other"]);
    let in_quotes = ["coord", "run", "'other one.toml'", "--only", ""];
    assert_eq!(of(&in_quotes), ["other"]);
    assert_eq!(of(&["coord", "validate", "--profile", ""]), ["nightly"]);
    assert_eq!(
        told(&folder, &["coord", "run", "--param", "m"]),
        [(
            "mode=".to_owned(),
            "How to build; by default debug".to_owned()
        )]
    );
    assert_eq!(
        of(&["coord", "run", "--param", "mode="]),
        ["mode=debug", "mode=release"]
    );
    assert_eq!(
        of(&["coord", "run", "--param=fast=t"]),
        ["--param=fast=true"]
    );
    assert_eq!(of(&["coord", "run", ""]), ["coord.toml", "other one.toml"]);
    // Flags do not end what is known of the others.
    let flags = [
        "coord",
        "run",
        "other one.toml",
        "-q",
        "--id",
        "x",
        "--from",
        "",
    ];
    assert_eq!(of(&flags), ["other"]);
}

#[test]
fn where_there_is_nothing_to_offer_nothing_is_said_and_nothing_is_made() {
    let folder = Folder::apart();
    folder.write("bad.toml", "[[step]]\nid = ");
    let before = files(folder.path());
    let of = |words: &[&str]| offered(&folder, words);
    for words in [
        &["coord", "show", "a"][..],
        &["coord", "show", "--journal", "nowhere", "a"],
        &["coord", "run", "bad.toml", "--only", ""],
        &["coord", "run", "nowhere.toml", "--profile", ""],
        &["coord", "run", "/dev/zero", "--param", ""],
        &["coord", "run", "-", "--only", ""],
        &["coord", "why", "a", "b"],
        &["coord", "--nowhere", "--only", ""],
        &["coord", "nothing", "at", "all"],
    ] {
        assert_eq!(of(words), [""; 0], "{words:?}");
    }
    let of_no_word = asked(&folder, "nushell", &["coord", ""]);
    assert_eq!((of_no_word.code, &*of_no_word.out), (Some(2), ""));
    assert!(before == files(folder.path()));
}

#[test]
fn the_journal_on_the_line_is_looked_into_and_left_as_it_is() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 'a'\nrun = 'true'\n");
    done(folder.coord(["run", "--id", "here", "--journal", "my journal"])).exits(0);
    let before = files(folder.path());
    let of = |words: &[&str]| offered(&folder, words);
    for words in [
        &["coord", "show", "--journal", "my journal", ""][..],
        &["coord", "show", "--journal=my journal", ""],
    ] {
        offers(&folder, words, &["here"]);
    }
    assert_eq!(of(&["coord", "show", "h"]), [""; 0]);
    let behind = || told_bash(&folder, "coord show h", " --journal 'my journal'");
    let is_told = (0..ASKED_MAX).any(|_| behind() == "here\n");
    assert!(is_told, "{}", behind());
    let named = ["coord", "list", "--journal", "m"];
    assert_eq!(of(&named), ["my journal/"]);
    assert!(before == files(folder.path()));
    assert!(!folder.path().join("state").exists());
}

#[test]
fn no_more_than_fifty_runs_are_offered() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 'a'\nrun = 'true'\n");
    let all = "for i in $(seq 10 62); do \"$COORD\" run -q --id run-$i || exit; done";
    let mut shell = folder.command("sh");
    shell
        .args(["-c", all])
        .env("COORD", env!("CARGO_BIN_EXE_coord"));
    done(shell).exits(0);
    let runs = || offered(&folder, &["coord", "show", ""]);
    let is_told = |runs: &[String]| runs.len() == 50 && runs[0] == "run-62";
    assert!((0..ASKED_MAX).any(|_| is_told(&runs())), "{:?}", runs());
    offers(&folder, &["coord", "show", "run-10"], &["run-10"]);
}

#[test]
fn codes_are_offered_by_any_of_their_parts() {
    let folder = Folder::new();
    let of = |word| offered(&folder, &["coord", "explain", word]);
    assert_eq!(of("coord::file::cyc"), ["coord::file::cycle"]);
    assert_eq!(of("cyc"), ["coord::file::cycle"]);
    assert!(of("").len() > 50);
    let told = told_bash(&folder, "coord explain coord::file::cyc", "");
    assert_eq!(told, "cycle\n");
}

#[test]
fn bash_replaces_what_it_takes_for_the_word_and_shows_help_beside_several() {
    let folder = folder();
    let of = |before| told_bash(&folder, before, "");
    assert_eq!(of("coord run --param mode=r"), "release\n");
    assert_eq!(of("coord run --param=mode="), "debug\nrelease\n");
    assert_eq!(
        of("coord run --only b"),
        "build   (after fetch)\nbundle  (after build)\n"
    );
    assert_eq!(of("coord run --only bui"), "build\n");
    fs::create_dir(folder.path().join("a b")).unwrap();
    folder.write("a b/c d.toml", RELEASE);
    let mut command = folder.coord([]);
    command.env("COORD_COMPLETE", "bash");
    command.args(["--", r"coord run a\ b/", "", r"a\ b/", "9", "80"]);
    assert_eq!(done(command).out, "a\\ b/c\\ d.toml\n");
    let mut command = folder.coord([]);
    command.env("COORD_COMPLETE", "bash");
    command.args(["--", "coord run 'a b/", "", "a b/", "9", "80"]);
    assert_eq!(done(command).out, "a b/c d.toml\n");
}

/// A shell in a terminal, which has read its script.
struct Shell(Terminal);

impl Shell {
    fn start(command: pty_process::blocking::Command) -> Self {
        let shell = Self(Terminal::start(command, 24, 100));
        shell.0.shows("ready>");
        shell
    }
}

impl Drop for Shell {
    /// A shell that a person sits at does not end on what ends other programs.
    fn drop(&mut self) {
        self.0.keys(CLEAR);
        self.0.keys("exit\r");
        self.0.signal(Signal::HUP);
    }
}

/// That the words are completed in a shell as a person has it.
fn completes(Shell(shell): &Shell) {
    for (typed, whole) in [
        ("coord sho\tla\t", "coord show latest"),
        (
            "coord explain coord::file::cyc\t",
            "coord explain coord::file::cycle",
        ),
        ("coord run --param m\tr\t", "coord run --param mode=release"),
        (
            "coord run --only fetch,d\t",
            "coord run --only fetch,database",
        ),
        ("coord why latest bun\t", "coord why latest bundle"),
    ] {
        shell.keys(typed);
        shell.until(whole, |screen| {
            screen.lines().any(|line| line.trim_end().ends_with(whole))
        });
        shell.keys(CLEAR);
    }
}

/// A folder with one run, called `latest`.
fn with_a_run() -> Folder {
    let folder = folder();
    let only = ["run", "--id", "latest", "--only", "bundle"];
    done(folder.coord(only)).exits(0);
    folder
}

/// Whether there is such a shell here.
#[expect(
    clippy::print_stderr,
    reason = "a test that proves nothing here says so"
)]
fn is_there(shell: &str) -> bool {
    let is_there = Command::new(shell).arg("--version").output().is_ok();
    if !is_there {
        eprintln!("skipped: there is no {shell} here");
    }
    is_there
}

#[test]
fn a_person_completes_in_bash() {
    let folder = with_a_run();
    folder.write(
        "rc",
        "PS1='ready> '\nbind 'set bell-style none'\nsource <(\"$COORD\" completions bash)\n",
    );
    let command = terminal::command(folder.path(), "bash");
    let command = command.args(["--noprofile", "--rcfile", "rc", "-i"]);
    let shell = Shell::start(command.env("COORD", env!("CARGO_BIN_EXE_coord")));
    completes(&shell);
}

#[test]
fn a_person_completes_in_zsh() {
    if !is_there("zsh") {
        return;
    }
    let folder = with_a_run();
    folder.write(
        ".zshrc",
        "PS1='ready> '\nunsetopt beep\nautoload -Uz compinit\ncompinit -u -D\n\
         source <(\"$COORD\" completions zsh)\n",
    );
    let command = terminal::command(folder.path(), "zsh").arg("-i");
    let command = command.env("ZDOTDIR", folder.path());
    let shell = Shell::start(command.env("COORD", env!("CARGO_BIN_EXE_coord")));
    completes(&shell);
}

#[test]
fn a_person_completes_in_fish() {
    if !is_there("fish") {
        return;
    }
    let folder = with_a_run();
    let ask = "$COORD completions fish | source; complete -C 'coord show '; \
               complete -C 'coord explain coord::file::cyc'; complete -C 'coord run --param mode=r'";
    let mut fish = folder.command("fish");
    fish.args(["--no-config", "-c", ask]);
    fish.env("COORD", env!("CARGO_BIN_EXE_coord"));
    fish.env("HOME", folder.path());
    let told = done(fish);
    told.exits(0).says("latest\trelease, completed");
    told.says("coord::file::cycle\t").says("mode=release");
}
