//! What a person types by mistake is answered with what was probably meant.

use std::fs::File;
use std::io::Read;
use std::process::Stdio;

use crate::coord::{Done, Folder, done, until};

#[track_caller]
fn is_answered(folder: &Folder, arguments: &[&str], code: i32, answer: &str) {
    let mut command = folder.coord([]);
    command.args(arguments);
    let Done { code: is, err, .. } = done(command);
    assert_eq!(is, Some(code), "{err}");
    // Where it was broken into lines is not looked at.
    let said: Vec<_> = err.split_whitespace().collect();
    assert!(said.join(" ").contains(answer), "no {answer:?} in {err}");
}

#[test]
fn a_word_that_is_no_command_is_answered_with_the_one_that_is_meant() {
    let folder = Folder::new();
    for (word, meant) in [
        ("runn", "run"),
        ("ls", "list"),
        ("status", "show"),
        ("kill", "cancel"),
        ("lgos", "logs"),
    ] {
        let answer = format!("did you mean `coord {meant}`?");
        is_answered(&folder, &[word], 96, &answer);
        is_answered(&folder, &[word, "dev"], 2, &answer);
    }
    let help = "`coord help` lists the commands";
    is_answered(&folder, &["supercalifragilistic"], 96, help);
}

#[test]
fn who_has_no_file_yet_is_told_what_to_do() {
    let folder = Folder::apart();
    is_answered(
        &folder,
        &[],
        96,
        "write one, or name another: `coord run FILE`",
    );
    folder.write("cord.toml", "");
    is_answered(&folder, &[], 96, "did you mean cord.toml?");
}

#[test]
fn a_signal_for_which_no_step_waits_is_refused_with_the_one_that_is_meant() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'approval'\nsignal = 'approved'\n",
    );
    done(folder.coord(["run", "-d", "--id", "r"])).exits(0);
    let wrong = ["signal", "r", "aproved"];
    is_answered(&folder, &wrong, 96, "did you mean `approved`?");
    let other = ["signal", "r", "something-else"];
    is_answered(&folder, &other, 96, "its steps wait for approved");
    done(folder.coord(["signal", "r", "approved"])).exits(0);
    let mut attached = folder.coord(["attach", "r"]);
    attached.stdout(Stdio::null()).stderr(Stdio::null());
    attached.status().unwrap();
    done(folder.coord(["show", "r"])).says(": completed, started");
}

#[test]
fn the_latest_run_is_meant_where_logs_names_none() {
    let folder = Folder::new();
    is_answered(&folder, &["logs"], 96, "coord::runs::no_journal");
    for word in ["earlier", "later"] {
        let file = format!("[[step]]\nid = 'a'\nrun = 'echo {word}'\n");
        folder.write("coord.toml", file);
        done(folder.coord(["run"])).exits(0);
    }
    let logged = done(folder.coord(["logs", "--color=never"]));
    assert_eq!(logged.exits(0).out, "a | later\n");
}

#[test]
fn who_reads_only_the_beginning_is_told_nothing_and_what_a_full_disk_swallows_is_said_once() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 'a'\nrun = 'seq 100000'\n");
    let full = || File::options().write(true).open("/dev/full").unwrap();
    for arguments in [
        ["run", "coord.toml"],
        ["validate", "coord.toml"],
        ["list", "--output=jsonl"],
        ["run", "--output=jsonl"],
        ["help", "run"],
        ["completions", "bash"],
        ["schema", "--"],
        ["man", "--"],
    ] {
        let mut command = folder.coord(arguments);
        command.stdout(full()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(110), "{said}");
        assert_eq!(
            said,
            "the output cannot be written: No space left on device (os error 28)\n"
        );
    }
    done(folder.coord(["run", "--id", "r"])).exits(0);
    let mut command = folder.coord(["logs", "r"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut some = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(
        (child.wait().unwrap().code(), said.as_str()),
        (Some(110), "")
    );
}

#[test]
fn a_run_in_the_background_whose_id_cannot_be_printed_is_named_on_standard_error() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 'a'\nrun = 'true'\n");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut command = folder.coord(["run", "--detach", "--id", "r"]);
    command.stdout(full).stderr(Stdio::piped());
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(110), "{said}");
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[0].contains("No space left"), "{said}");
    assert!(lines[1].contains("`coord attach r`"), "{said}");
    until(|| done(folder.coord(["show", "r"])).out.contains("completed"));
}

#[test]
fn a_run_of_many_steps_is_listed_in_line_with_the_others() {
    let folder = Folder::new();
    // Those that only wait start no process.
    let step = |id: u32| format!("[[step]]\nid = 's{id}'\nsleep = '1ms'\n");
    let steps = |many: u32| (0..many).map(step).collect::<String>();
    folder.write("few.toml", steps(1));
    folder.write("many.toml", steps(1_000));
    for file in ["few.toml", "many.toml"] {
        done(folder.coord(["run", file])).exits(0);
    }
    let listed = done(folder.coord(["list", "--color=never"]));
    let lines: Vec<_> = listed.out.lines().collect();
    let ends = lines.iter().skip(1).map(|line| {
        let steps = line.split_whitespace().find(|word| word.contains('/'));
        let steps = steps.unwrap();
        line.find(steps).unwrap() + steps.len()
    });
    let heading = lines[0].find("STEPS").unwrap() + "STEPS".len();
    assert!(ends.into_iter().all(|end| end == heading), "{}", listed.out);
    listed.says("1000/1000");
}

#[test]
fn a_flag_that_nothing_would_read_is_refused() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[params]\np = '1'\n[[step]]\nid = 'a'\nrun = 'true'\n[[step]]\nid = 'b'\nrun = 'true'\n",
    );
    done(folder.coord(["run", "--id", "once"])).exits(0);
    let said = "`--only` says something of a file, and this is a run";
    is_answered(&folder, &["graph", "once", "--only", "a"], 96, said);
    for flag in ["--from=b", "--param=p=2", "--profile=nope"] {
        let code = "coord::runs::flag_of_file";
        is_answered(&folder, &["graph", "once", flag], 96, code);
    }
    done(folder.coord(["graph", "once"])).exits(0);
    let said = "cannot be used with '--id <ID>'";
    is_answered(&folder, &["--dry-run", "--id", "once"], 2, said);
}

#[test]
fn what_a_step_has_no_process_for_has_no_output_and_an_item_is_found_as_it_is_called() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'a'\nrun = 'true'\n\
         [[step]]\nid = 'each'\nrun = 'echo of $COORD_ITEM'\nfor_each = { items = ['x', 'y'] }\n",
    );
    done(folder.coord(["run", "--id", "r"])).exits(0);
    for named in ["a:0", "each:2", "each:2[z]", "undo a", "hook a"] {
        let said = format!("there is no step `{named}` in run `r`");
        is_answered(&folder, &["logs", "r", named], 96, &said);
    }
    for named in ["each:1", "each:1[y]"] {
        assert_eq!(done(folder.coord(["logs", "r", named])).out, "of y\n");
    }
}

#[test]
fn a_step_where_a_file_stands_is_understood_and_alone_it_is_one_of_the_latest_run() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 'build'\nrun = 'echo built'\n");
    let said = "`coord run --only build` runs that of coord.toml";
    is_answered(&folder, &["build"], 96, said);
    is_answered(&folder, &["run", "build"], 96, said);
    done(folder.coord(["run", "--id", "r"])).exits(0);
    assert_eq!(done(folder.coord(["logs", "build"])).out, "built\n");
    let said = "nor is it a step of the latest, `r`: did you mean `build`?";
    is_answered(&folder, &["logs", "biuld"], 96, said);
    is_answered(
        &folder,
        &["logs", "other"],
        96,
        "`coord list` shows the runs",
    );
}
