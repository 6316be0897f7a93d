//! What a step puts out reaches those that take it, also after the run was interrupted.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::Signal;

use crate::coord::{Folder, Running, done, run, until};

const RELEASE: &str = r#"
[[step]]
id = "version"
run = '''
echo 'tag=v1; touch never; $(touch never)' >> "$COORD_OUTPUT"
printf 'notes<<END\none\n\ntwo\nEND\n' >> "$COORD_OUTPUT"
echo ran >> runs
'''
outputs = ["tag", "notes"]
undo = 'echo "undo $OUTPUT_TAG" >> told'
hooks = { success = 'echo "hook $OUTPUT_TAG" >> told' }

[[step]]
id = "publish"
run = 'echo "<$TAG>" && echo "<$NOTES>" && eval "$THEN"'
needs = ["version"]
env = { TAG = { output = "version.tag" }, NOTES = { output = "version.notes" }, THEN = "true" }
undo = 'echo "undo of $TAG" >> told'

[[step]]
id = "announce"
run = "eval ${LAST:-true}"
needs = ["publish"]
"#;

#[test]
fn outputs_reach_a_later_step_its_undo_and_hooks_as_variables_and_nothing_in_them_is_run() {
    let folder = Folder::new();
    folder.write("coord.toml", RELEASE);
    let mut command = folder.coord(["run", "--id", "r"]);
    command.env("LAST", "false");
    done(command)
        .exits(100)
        .says("publish  | <v1; touch never; $(touch never)>\n")
        .says("publish  | <one\npublish  | \npublish  | two>\n");
    assert!(folder.read("never").is_none());
    assert_eq!(
        folder.read("told").unwrap(),
        "hook v1; touch never; $(touch never)\n\
         undo of v1; touch never; $(touch never)\n\
         undo v1; touch never; $(touch never)\n"
    );
    done(folder.coord(["show", "r"]))
        .exits(0)
        .says("notes=one…; tag=v1; touch never; $(touch never)\n");
    done(folder.coord(["show", "r", "--output=json"])).says(r#""notes": "one\n\ntwo","#);
}

/// A run whose step has put a secret out, and sleeps; and the folders that it has for temporary files.
fn with_a_secret(folder: &Folder) -> (Running, std::path::PathBuf) {
    let text = "[secrets]\nKEY = { env = 'KEY' }\n[[step]]\nid = 'a'\noutputs = ['key']\n\
                run = 'echo \"key=$KEY\" >> \"$COORD_OUTPUT\"; echo at=$COORD_OUTPUT; exec sleep 1000'\n";
    folder.write("coord.toml", text);
    let temporary = folder.path().join("temporary");
    std::fs::create_dir_all(&temporary).unwrap();
    let mut command = folder.coord(["run"]);
    command
        .env("TMPDIR", &temporary)
        .env("KEY", "a long secret");
    let mut running = Running::start(command);
    running.until("at=");
    (running, temporary)
}

fn names(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn what_steps_put_out_is_nobody_elses_to_read_and_gone_when_coord_is_killed() {
    let folder = Folder::new();
    let (running, temporary) = with_a_secret(&folder);
    let (_, at) = running.printed.split_once("at=").unwrap();
    let file = std::path::Path::new(at.trim_end()).to_owned();
    assert_eq!(file.parent().unwrap().parent(), Some(&*temporary));
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&file) & 0o777, 0o600);
    assert_eq!(mode(file.parent().unwrap()) & 0o777, 0o700);
    running.signal(Signal::KILL);
    running.end();
    // Its watchdog does that.
    until(|| names(&temporary).is_empty());
}

#[test]
fn what_was_left_is_removed_by_the_next_run_and_what_is_in_use_or_something_else_is_not() {
    let folder = Folder::new();
    let (first, temporary) = with_a_secret(&folder);
    let used = names(&temporary);
    let left = temporary.join("coord-outputs-left");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("coord-output-1"), "key=a long secret").unwrap();
    std::fs::create_dir(temporary.join("others")).unwrap();
    std::os::unix::fs::symlink("others", temporary.join("coord-outputs-link")).unwrap();
    let (second, _) = with_a_secret(&folder);
    assert!(!left.exists());
    assert!(names(&temporary).contains(&used[0]));
    for running in [first, second] {
        running.signal(Signal::INT);
        running.end();
    }
    let mut names = names(&temporary);
    names.sort();
    assert_eq!(names, ["coord-outputs-link", "others"]);
}

#[test]
fn outputs_are_there_when_a_run_is_taken_up() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        RELEASE.replace(
            "THEN = \"true\"",
            "THEN = 'test -e again || { touch again; echo pid=$$; exec sleep 60; }'",
        ),
    );
    let mut running = Running::start(folder.coord(["run", "--id", "r"]));
    running.until("pid=");
    // That a step is done is kept soon after it was.
    let is_kept = || {
        let shown = done(folder.coord(["show", "r", "--output=json"]));
        shown.out.contains("\"phase\": \"completed\"")
    };
    assert!((0..10_000).any(|_| is_kept()));
    running.signal(Signal::KILL);
    running.end();
    done(folder.coord(["resume", "r"]))
        .exits(0)
        .says("publish  | <v1; touch never; $(touch never)>\n");
    assert_eq!(folder.read("runs").as_deref(), Some("ran\n"));
}

#[test]
fn an_attempt_that_puts_out_something_else_has_failed() {
    let step = |line: &str| {
        run(&format!(
            "[[step]]\nid = 'a'\nrun = '''{line}'''\noutputs = ['tag']\n"
        ))
    };
    step("true")
        .exits(100)
        .says("a failed: it did not put out \"tag\": echo \"tag=…\" >> \"$COORD_OUTPUT\"\n");
    step("echo tags=1 > $COORD_OUTPUT").exits(100).says(
        "a failed: it put out \"tags\", which its `outputs` do not name; did you mean \"tag\"?\n",
    );
    step("rm $COORD_OUTPUT")
        .exits(100)
        .says("a failed: what it put out cannot be read: ");
    step("echo tag=1 > $COORD_OUTPUT.new; mv $COORD_OUTPUT.new $COORD_OUTPUT").exits(0);
}

#[test]
fn a_secret_in_an_output_is_masked_and_not_kept() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
        [secrets]
        TOKEN = { env = "SECRET_TOKEN" }
        [[step]]
        id = "login"
        run = 'echo "session=$TOKEN-1" >> $COORD_OUTPUT'
        outputs = ["session"]
        [[step]]
        id = "use"
        run = 'echo "$SESSION" > session'
        needs = ["login"]
        env = { SESSION = { output = "login.session" } }
        "#,
    );
    let mut command = folder.coord(["run", "--id", "r"]);
    command.env("SECRET_TOKEN", "s3cr3t");
    done(command).exits(0);
    assert_eq!(folder.read("session").as_deref(), Some("***-1\n"));
    done(folder.coord(["show", "r"])).says("session=***-1\n");
}

#[test]
fn the_variable_of_an_optional_step_that_failed_is_not_set() {
    run(r#"
        [[step]]
        id = "a"
        run = "false"
        optional = true
        outputs = ["tag"]
        [[step]]
        id = "b"
        run = 'echo "${TAG-unset}"'
        needs = ["a"]
        env = { TAG = { output = "a.tag" } }
        "#)
    .exits(0)
    .says("b | unset\n");
}

#[test]
fn a_dry_run_says_who_puts_out_and_takes_what_and_a_part_of_a_file_has_to_have_both() {
    let folder = Folder::new();
    folder.write("coord.toml", RELEASE);
    done(folder.coord(["run", "--dry-run"]))
        .exits(0)
        .says("puts out tag, notes")
        .says("takes version.notes as NOTES, takes version.tag as TAG, after version\n");
    done(folder.coord(["run", "--dry-run", "--output", "jsonl"]))
        .says(r#""TAG":{"output":"version.tag"},"THEN":"true""#)
        .says(r#""outputs":["tag","notes"]"#);
    let left_out = done(folder.coord(["run", "--from", "publish"]));
    left_out.exits(96);
    assert!(
        left_out.err.contains("coord::file::output_left_out"),
        "{}",
        left_out.err
    );
    done(folder.coord(["run", "--only", "publish"])).exits(0);
    done(folder.coord(["run", "--from", "announce"])).exits(0);
}

#[test]
fn a_value_is_taken_of_a_step_that_is_needed_by_way_of_others() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'version'\noutputs = ['tag']\nrun = 'echo tag=v1 > $COORD_OUTPUT'\n\
         [[step]]\nid = 'build'\nneeds = ['version']\nrun = 'true'\n\
         [[step]]\nid = 'test'\nneeds = ['build']\nrun = 'true'\n\
         [[step]]\nid = 'publish'\nneeds = ['test']\nrun = 'echo of $TAG'\n\
         env = { TAG = { output = 'version.tag' } }\n",
    );
    done(folder.coord(["run", "--id", "r"]))
        .exits(0)
        .says("publish | of v1\n");
    done(folder.coord(["retry", "r", "--from", "publish"]))
        .exits(0)
        .says("publish | of v1\n");
}

#[test]
fn what_is_no_file_any_more_is_not_waited_for() {
    for left in [
        "mkfifo $COORD_OUTPUT",
        "mkfifo p; ln -s $PWD/p $COORD_OUTPUT",
        "mkdir $COORD_OUTPUT",
    ] {
        let folder = Folder::new();
        folder.write(
            "coord.toml",
            format!("[[step]]\nid = 'a'\noutputs = ['x']\nrun = 'rm $COORD_OUTPUT; {left}'\n"),
        );
        let mut running = Running::start(folder.coord(["run", "--no-journal", "--color=never"]));
        running.until("a · failed");
        let (status, printed) = running.end();
        assert_eq!(status.code(), Some(100), "{printed}");
    }
}

#[test]
fn what_is_too_long_for_a_variable_keeps_nothing_from_being_undone_that_does_not_use_it() {
    let done = run(r#"
[[step]]
id = "long"
for_each = ["1", "2", "3"]
run = "printf 'c=%050000d' 0 >> $COORD_OUTPUT"
outputs = ["c"]
undo = "echo undone without ${OUTPUT_D-it}"
hooks = { success = "echo hooked" }

[[step]]
id = "uses"
for_each = ["1", "2", "3"]
run = "printf 'c=%050000d' 0 >> $COORD_OUTPUT"
outputs = ["c"]
undo = "rm -rf ./$OUTPUT_C"

[[step]]
id = "takes"
run = "true"
needs = ["long", "uses"]
env = { TAKEN = { output = "long.c" } }
retry = { max_attempts = 3, initial = "1ms" }
"#);
    done.exits(100)
        .says("| hooked\n")
        .says("| undone without it\n")
        .says(
            "undo long runs without `OUTPUT_C`: that would have 150019 bytes, and a variable has 131071 at most",
        )
        .says("it uses `OUTPUT_C`, which would have 150019 bytes: a variable has 131071 at most")
        .says("the longest is the variable `TAKEN` with 150016 bytes");
    assert!(!done.out.contains("attempt 2"), "{}", done.out);
}

#[test]
fn a_step_sees_nothing_of_the_step_that_its_coord_is_of() {
    let pages = ["coord.md", "workflow-file.md"].map(|page| {
        let page = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../docs")
            .join(page);
        std::fs::read_to_string(page).unwrap()
    });
    let pages = pages.concat();
    let words = pages.split(|letter: char| !(letter.is_ascii_uppercase() || letter == '_'));
    let names: BTreeSet<_> = words.filter(|word| word.starts_with("COORD_")).collect();
    assert!(names.len() > 10, "{names:?}");
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
hooks = { always = "env | sed 's/^/hook /'" }
[[step]]
id = "s"
run = "env"
[[service]]
id = "server"
run = "env; exec sleep 100"
ready = { exec = "env > probed" }
[[step]]
id = "user"
needs = ["server"]
run = "true"
"#,
    );
    let mut command = folder.coord(["run"]);
    command.envs(names.iter().map(|name| (name, "outer")));
    command.env("OWN", "outer");
    let done = done(command);
    done.exits(0)
        .says("s      | OWN=outer")
        .says("hook OWN=outer");
    let seen = done.out.clone() + &folder.read("probed").unwrap();
    let of_others: Vec<_> = seen
        .lines()
        .filter(|line| line.contains("COORD_") && line.ends_with("=outer"))
        .collect();
    assert!(of_others.is_empty(), "{of_others:?}");
}

#[test]
fn what_is_sent_with_a_signal_reaches_later_steps_conditions_and_hooks() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
        [[step]]
        id = "who"
        signal = "who"
        hooks = { success = 'echo "hook $OUTPUT_VALUE"' }
        [[step]]
        id = "which"
        signal = "which"
        [[step]]
        id = "plain"
        signal = "plain"
        [[step]]
        id = "use"
        needs = ["who", "which", "plain"]
        run = 'echo "<$WHO> <$WHICH> <${NONE-none}>"'
        when = "steps.who.outputs.value == 'ada; touch never' and steps.plain.outputs.value is not defined"
        [step.env]
        WHO = { output = "who.value" }
        WHICH = { output = "which.value" }
        NONE = { output = "plain.value" }
        [[step]]
        id = "not"
        needs = ["who"]
        run = "touch never"
        when = "steps.who.outputs.value == 'bob'"
        [[step]]
        id = "each"
        needs = ["which"]
        for_each = { output = "which.value" }
        run = 'echo "item $COORD_ITEM"'
        "#,
    );
    let mut running = Running::start(folder.coord(["run", "--id", "r", "--output", "text"]));
    running.until("waits for the signal `plain`");
    for (name, json) in [
        ("who", Some("\"ada; touch never\"")),
        ("which", Some("[\"x\",2]")),
        ("plain", None),
    ] {
        let mut command = folder.coord(["signal", "r", name]);
        command.args(json);
        done(command).exits(0);
    }
    let (status, said) = running.end();
    assert!(status.success(), "{said}");
    for text in [
        "hook ada; touch never\n",
        "<ada; touch never> <[\"x\",2]> <none>\n",
        "item x\n",
        "item 2\n",
        "not   · skipped",
    ] {
        assert!(said.contains(text), "{text}: {said}");
    }
    assert!(folder.read("never").is_none());
}

#[test]
fn what_a_signal_does_not_put_out_is_told_with_what_it_does() {
    let refused = run("[[step]]\nid = 'ask'\nsignal = 'go'\noutputs = ['who']\n\
         [[step]]\nid = 'b'\nrun = 'true'\nneeds = ['ask']\nenv = { WHO = { output = 'ask.who' } }\n");
    refused.exits(96);
    for text in [
        "what is sent with the signal is \"ask.value\"",
        "put out as \"value\"",
    ] {
        assert!(refused.err.contains(text), "{text}: {}", refused.err);
    }
}

#[test]
fn what_a_process_put_out_that_was_restarted_is_not_of_the_one_that_follows() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
[[step]]
id = "a"
run = '''
if mkdir begun; then printf 'notes<<END\nhalf\n' >> "$COORD_OUTPUT"; touch half; exec sleep 1000; fi
echo 'notes=whole' >> "$COORD_OUTPUT"
'''
outputs = ["notes"]
[[step]]
id = "b"
run = 'echo "<$NOTES>"'
needs = ["a"]
env = { NOTES = { output = "a.notes" } }
"#,
    );
    let running = Running::start(folder.coord(["run", "--id", "r"]));
    until(|| folder.read("half").is_some());
    done(folder.coord(["restart", "r", "a"])).exits(0);
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(0), "{printed}");
    assert!(printed.contains("<whole>"), "{printed}");
}
