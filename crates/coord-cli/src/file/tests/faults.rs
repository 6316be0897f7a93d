//! Everything that is wrong with a file is told at once, each with its place.

use std::path::Path;

use proptest::prelude::*;

use super::super::{FileFaults, WorkflowFile};
use super::{found, read, rendered, told};

fn step(keys: &str) -> String {
    format!("[[step]]\nid = 'a'\nrun = 'b'\n{keys}\n")
}

#[test]
fn every_fault_of_a_file_is_told_at_once() {
    let text = r#"name = "build & deploy"
concurrency = 0
timeout = 30
colour = "red"
[params]
build-type = 1
build_type = 2
"9x" = true
list = [1]
[env]
"A=B" = "x"
[[step]]
id = "fetch"
run = " "
needs = ["deploy", "fetsh", "two words"]
timeuot = "5m"
[[step]]
id = "fetch"
run = "a"
command = ["b"]
timeout = "5 parsecs"
when = "params.targt == 'release' and target"
dir = 3
[[step]]
run = "x\u0000"
retry = { max_attempts = 1001, backoff = "expo", initial = "2m", max = "1m", foo = 1 }
needs = "fetch"
[[step]]
id = "deploy"
needs = ["fetch"]
when = "params.list =="
retry = { backoff = "constant", max = "3s" }
[[step]]
id = "two words"
command = []
timeout = "0s"
retry = 3
optional = "yes"
undo = ""
[[step]]
id = "undone"
run = "a"
undo = { retry = 1, timout = "1s" }
[[step]]
id = "9 lives"
run = "a"
undo = 3
"#;
    let wanted = [
        ("name", 1),
        ("out_of_range", 2),
        ("wrong_type", 3),
        ("unknown_key", 4),
        ("param_collision", 6),
        ("param_name", 8),
        ("wrong_type", 9),
        ("variable_name", 11),
        ("duplicate_id", 13),
        ("empty", 14),
        ("cycle", 15),
        ("unknown_need", 15),
        ("unknown_key", 16),
        ("two_actions", 19),
        ("duration", 21),
        ("unknown_param", 22),
        ("condition", 22),
        ("wrong_type", 23),
        ("no_id", 24),
        ("nul", 25),
        ("out_of_range", 26),
        ("backoff", 26),
        ("waits", 26),
        ("unknown_key", 26),
        ("wrong_type", 27),
        ("no_action", 28),
        ("condition", 31),
        ("useless_key", 32),
        ("name", 34),
        ("empty", 35),
        ("duration", 36),
        ("wrong_type", 37),
        ("wrong_type", 38),
        ("empty", 39),
        ("no_undo", 43),
        ("wrong_type", 43),
        ("unknown_key", 43),
        ("name", 45),
        ("wrong_type", 47),
    ];
    assert_eq!(
        found(text),
        wanted.map(|(code, line)| (code.to_owned(), line))
    );
}

#[test]
fn a_duplicate_id_shows_both_places() {
    let text = "[[step]]\nid = 'a'\nrun = 'b'\n\n\n[[step]]\nrun = 'c'\nid = 'a'\n";
    assert_eq!(
        told(text),
        r#"  × dev.toml cannot be run: 1 fault

Error: coord::file::duplicate_id

  × two steps or services have the same id "a"
   ╭─[dev.toml:2:6]
 1 │ [[step]]
 2 │ id = 'a'
   ·      ─┬─
   ·       ╰── first here
 3 │ run = 'b'
   ╰────
   ╭─[dev.toml:8:6]
 7 │ run = 'c'
 8 │ id = 'a'
   ·      ─┬─
   ·       ╰── and again here
   ╰────
  help: rename one
"#
    );
}

#[test]
fn a_condition_points_into_its_text_whatever_stands_before_it() {
    let text = step("env = { 'Ä' = 'ö' }\nwhen = \"'ü' == params.x\"")
        .replace("run = 'b'", "command = ['é']");
    let told = told(&format!("params = {{ y = 'x' }}\n{text}"));
    assert!(told.contains("[dev.toml:6:16]"), "{told}");
    assert!(told.contains("·                ────┬───\n"), "{told}");
}

#[test]
fn a_file_without_steps_says_how_to_add_one() {
    for text in ["", "\n# nothing\n", "name = 'x'\n", "step = []", "\u{feff}"] {
        assert_eq!(found(text), [("no_steps".to_owned(), 1)], "{text:?}");
    }
}

#[test]
fn a_misspelt_or_single_step_table_is_told_as_such() {
    let steps = told("[[steps]]\nid = 'a'\nrun = 'b'\n");
    assert!(
        steps.contains("did you mean `step`?") && steps.contains("1 fault\n"),
        "{steps}"
    );
    let single = told("[step]\nid = 'a'\nrun = 'b'\n");
    assert!(single.contains("begin each step with [[step]]"), "{single}");
}

#[test]
fn names_from_other_programs_are_understood_in_the_advice() {
    let told = told(&step("depends_on = ['b']"));
    assert!(told.contains("did you mean `needs`?"), "{told}");
}

#[test]
fn durations_without_unit_zero_negative_or_endless_are_refused() {
    for (duration, why) in [
        ("5", "it has no unit"),
        ("0s", "it is zero"),
        ("-5m", "it is negative"),
        ("8761h", "it is longer than a year"),
        ("999999999999999999999h", "only days"),
        ("1w", "only days"),
        ("", "only days"),
    ] {
        let told = told(&step(&format!("timeout = '{duration}'")));
        assert!(told.contains(why), "{duration}: {told}");
    }
}

#[test]
fn exit_codes_are_a_list_of_those_that_a_process_may_fail_with() {
    for (codes, code) in [
        ("[]", "wrong_type"),
        ("75", "wrong_type"),
        ("['75']", "wrong_type"),
        ("[0]", "out_of_range"),
        ("[75, 256]", "out_of_range"),
    ] {
        let text = step(&format!("retry = {{ exit_codes = {codes} }}"));
        let found = found(&text);
        assert_eq!(found.len(), 1, "{codes}");
        assert_eq!(found[0].0, code, "{codes}");
    }
    let told = told(&step("retry = { exit_status = [75] }"));
    assert!(told.contains("did you mean `exit_codes`?"), "{told}");
}

#[test]
fn a_wait_longer_than_the_default_longest_is_told() {
    assert_eq!(
        found(&step("retry.initial = '2m'")),
        [("waits".to_owned(), 4)]
    );
    assert!(read(&step("retry = { backoff = 'constant', initial = '2m' }")).is_ok());
}

#[test]
fn what_is_to_become_of_a_run_is_one_of_the_words_and_does_not_contradict_itself() {
    let faults = |text: &str| found(&step(text));
    let at = |code: &str| vec![(code.to_owned(), 4)];
    assert_eq!(faults("on_exhausted = 'paus'"), at("word"));
    assert_eq!(
        faults("critical = true\noptional = true"),
        at("optional_and_critical")
    );
    assert_eq!(faults("heartbeat_timeout = 30"), at("wrong_type"));
    let waits = "[[step]]\nid = 'a'\nsignal = 'go'\nheartbeat_timeout = '30s'";
    assert_eq!(found(waits), at("useless_key"));
    for key in ["success_threshold = 3", "timeout = '1s'"] {
        let log = format!("[[service]]\nid = 'a'\nrun = 'x'\nready = {{ log = 'up', {key} }}");
        assert_eq!(found(&log), at("useless_key"));
    }
    let top = format!("on_failure = 'finish'\n{}", step(""));
    assert_eq!(found(&top), [("word".to_owned(), 1)]);
}

#[test]
fn syntax_faults_are_told_one_a_line_with_what_else_is_certain() {
    let text = "[[step]]\nid = \"a\"\nrun = cargo build\nretry = { initial = 5 }\nx = [1, 2\n";
    let wanted = [("syntax", 3), ("wrong_type", 4), ("syntax", 5)];
    assert_eq!(
        found(text),
        wanted.map(|(code, line)| (code.to_owned(), line))
    );
}

#[test]
fn a_broken_heading_is_not_followed_by_faults_that_it_caused() {
    let broken = "[[step]]\nid = 'a'\nrun = 'b'\n[[step]\nid = 'c'\nrun = 'd'\nneeds = ['a']\n";
    assert_eq!(found(broken), [("syntax".to_owned(), 4)]);
    let unclosed = "[[step]]\nid = 'a'\nrun = '''b\n[[step]]\nid = 'c'\nneeds = ['a']\n";
    assert_eq!(found(unclosed), [("syntax".to_owned(), 7)]);
}

#[test]
fn a_file_that_is_not_text_shows_the_first_bad_byte() {
    let bytes = b"name = 'a'\n# \xc3\xa4 \xff\xfe\n";
    let faults = WorkflowFile::parse(Path::new("dev.toml"), bytes).expect_err("not text");
    assert_eq!(
        rendered(&faults),
        "  × dev.toml cannot be run: 1 fault

Error: coord::file::not_text

  × the file is not UTF-8 text
   ╭─[dev.toml:2:5]
 1 │ name = 'a'
 2 │ # ä ??
   ·     ┬
   ·     ╰── byte 0xff cannot stand here
   ╰────
  help: save it as UTF-8
"
    );
}

#[test]
fn what_would_move_the_cursor_or_turn_the_text_around_is_replaced() {
    let text = "\"\u{9b}2J\\u001b[31m\" = 1\n[[step]]\nid = \"\u{202e}x\"\nrun = 'x' # \u{2067}\n";
    let path = Path::new("dev\u{1b}[2J.toml");
    let faults = WorkflowFile::parse(path, text.as_bytes()).expect_err("faults");
    let told = rendered(&faults);
    assert!(is_printable(&told), "{told:?}");
    assert!(
        told.contains(r#"has no key "\u{9b}2J\u{1b}[31m""#),
        "{told}"
    );
    assert!(told.contains("[dev?[2J.toml:1:1]"), "{told}");
}

fn is_printable(told: &str) -> bool {
    let hidden = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
    !told.contains(hidden)
}

#[test]
fn at_most_fifty_faults_are_shown_and_the_rest_is_counted() {
    let text = step(&(0..73).fold(String::new(), |keys, key| format!("{keys}key{key} = 1\n")));
    let told = told(&text);
    assert!(
        told.contains("dev.toml cannot be run: 73 faults; 50 of them are shown"),
        "{told}"
    );
    assert_eq!(told.matches("Error: ").count(), 50);
}

#[test]
fn a_file_beyond_a_mebibyte_is_not_read() {
    let folder = std::env::temp_dir().join(format!("coord-large-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("large.toml");
    let mut text = step("").into_bytes();
    text.resize(1024 * 1024, b'\n');
    std::fs::write(&path, &text).expect("a file");
    let just = WorkflowFile::load(&path);
    text.push(b'\n');
    std::fs::write(&path, &text).expect("a file");
    let beyond = WorkflowFile::load(&path);
    let near = WorkflowFile::load(&folder.join("lareg.toml"));
    let directory = WorkflowFile::load(&folder);
    std::fs::remove_dir_all(&folder).expect("the folder is removed");
    assert!(just.is_ok());
    let told = |file: Result<WorkflowFile, FileFaults>| rendered(&file.expect_err("a fault"));
    assert!(told(beyond).contains("coord::file::too_large"));
    assert!(told(directory).contains("coord::file::directory"));
    let near = told(near);
    assert!(
        near.contains("coord::file::unreadable") && near.contains("large.toml?"),
        "{near}"
    );
}

/// The worst that fits into a file: read, answered in little text, and soon.
#[test]
fn a_hostile_file_is_answered_in_little_time_and_space() {
    let fill = |part: &str| part.repeat(1_000_000 / part.len());
    let texts = [
        format!("step = [{}]", fill("{ when = '(' },")),
        format!(
            "step = [{}]",
            fill("{ id = 'a', when = 'params.abcdefgh' },")
        ),
        format!(
            "step = [{}]",
            fill("{ id = 'aaaaaaaa', needs = ['aaaaaaab'] },")
        ),
        format!("x = '{}'", fill("x")),
        format!("{} = 1", fill("x")),
        format!("when = {}", fill("[")),
        fill("a."),
        fill("= \n"),
        fill("\u{1b}"),
        step(&format!("when = '{}'", fill("1+"))),
        step(&format!("needs = [{}]", fill("'aaaaaaab',"))),
        format!(
            "[params]\n{}",
            (0..40_000).fold(String::new(), |all, i| all + &format!("p{i}-a = 1\n"))
        ),
    ];
    for text in texts {
        let told = told(&text);
        let start: String = text.chars().take(40).collect();
        assert!(told.len() < 200_000, "{start}: {} bytes", told.len());
        assert!(is_printable(&told), "{start}");
    }
}

#[test]
fn deep_conditions_are_refused_not_followed_to_the_end_of_the_stack() {
    for part in [
        "(",
        "not ",
        "1+",
        "-",
        "a.",
        "a|b|",
        "[",
        "{'a':",
        "x if ",
        "f(",
        "a is b and ",
    ] {
        let condition = part.repeat(1_000 / part.len());
        for end in ["", "1"] {
            let told = told(&step(&format!("when = \"{condition}{end}\"")));
            assert!(told.contains("coord::file::condition"), "{part}: {told}");
        }
    }
}

const FILE: &str = include_str!("../../../../../docs/workflow-file.md");

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Err(faults) = WorkflowFile::parse(Path::new("dev.toml"), &bytes) {
            assert!(is_printable(&rendered(&faults)));
        }
    }

    #[test]
    fn no_change_of_a_file_makes_the_reader_panic(
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), 0_usize..30, "\\PC{0,4}|[\\[\\]{}='\",.\\n#\\\\]{0,4}|\u{1b}"),
            1..6,
        ),
        crlf in any::<bool>(),
    ) {
        let mut text = FILE.split("```").nth(1).expect("an example").replacen("toml", "", 1);
        for (at, removed, added) in &changes {
            let mut characters: Vec<char> = text.chars().collect();
            let start = at.index(characters.len() + 1).min(characters.len());
            let end = (start + removed).min(characters.len());
            characters.splice(start..end, added.chars());
            text = characters.into_iter().collect();
        }
        if crlf {
            text = text.replace('\n', "\r\n");
        }
        if let Err(faults) = read(&text) {
            let rendered = rendered(&faults);
            assert!(is_printable(&rendered), "{}", rendered.escape_debug());
        }
    }
}

#[test]
fn what_a_probe_cannot_ask_is_told_without_what_it_hides() {
    let probes = [
        "http = \"http://a\\u001b[2Jb\\n\\t\"",
        "tcp = \"\\u202ea\\n:\"",
        "log = \"\\u001b(\"",
    ];
    for probe in probes {
        let text = format!("[[service]]\nid = 'a'\nrun = 'x'\nready = {{ {probe} }}\n");
        let told = told(&text);
        assert!(told.contains("coord::file::check"), "{told}");
        assert!(is_printable(&told), "{}", told.escape_debug());
    }
}

#[test]
fn everything_that_is_wrong_with_a_service_is_told() {
    let text = r#"
[[service]]
id = "api"
run = "serve"
depends_on = []
ready = { period = "1s" }
live = { log = "up" }
restart = "sometimes"
stop = { signal = "SIGWINCH" }
[[service]]
id = "api"
run = "serve"
ready = { tcp = "localhost", htttp = "http://localhost" }
live = { http = "https://localhost", exec = "true", timeout = 1 }
restart = { initial = "1s" }
[[service]]
ready = { log = "(" }
restart = 3
stop = "SIGTERM"
"#;
    let wanted = [
        ("duplicate_id", 3),
        ("unknown_key", 5),
        ("no_check", 6),
        ("live_log", 7),
        ("restart", 8),
        ("stop_signal", 9),
        ("check", 13),
        ("unknown_key", 13),
        ("check", 14),
        ("wrong_type", 14),
        ("useless_restart", 15),
        ("no_id", 16),
        ("no_action", 16),
        ("check", 17),
        ("wrong_type", 18),
        ("wrong_type", 19),
    ];
    assert_eq!(
        found(text),
        wanted.map(|(code, line)| (code.to_owned(), line))
    );
}

#[test]
fn a_step_and_a_service_that_wait_for_each_other_are_a_cycle() {
    let text = "[[step]]\nid = 'a'\nrun = 'x'\nneeds = ['b']\n\
                [[service]]\nid = 'b'\nrun = 'x'\nneeds = ['a']\n";
    assert_eq!(found(text), [("cycle".to_owned(), 4)]);
}

#[test]
fn a_step_that_waits_does_nothing_else_and_a_service_does_not_wait() {
    let both = told("[[step]]\nid = 'a'\nsignal = 's'\nrun = 'x'\n");
    assert!(both.contains("has both `run` and `signal`"), "{both}");
    let both = told("[[step]]\nid = 'a'\nsignal = 's'\nsleep = '1s'\n");
    assert!(both.contains("has both `signal` and `sleep`"), "{both}");
    let service = told("[[service]]\nid = 'a'\nsignal = 's'\n");
    assert!(service.contains("coord::file::unknown_key"), "{service}");
}

#[test]
fn a_misspelt_key_is_answered_with_the_one_that_was_meant_and_with_nothing_else() {
    let slips = [
        ("[[step]]\nid = 'a'\nrnu = 'x'\n", "rnu", "run"),
        ("[[step]]\nid = 'a'\ncomand = ['x']\n", "comand", "command"),
        ("[[step]]\nid = 'a'\nscript = 'x'\n", "script", "run"),
        ("[[step]]\nname = 'a'\nrun = 'x'\n", "name", "id"),
        ("[[service]]\nid = 'a'\nrn = 'x'\n", "rn", "run"),
    ];
    for (text, wrong, meant) in slips {
        let told = told(text);
        assert!(told.contains("cannot be run: 1 fault"), "{told}");
        assert!(told.contains(&format!("has no key \"{wrong}\"")), "{told}");
        assert!(told.contains(&format!("did you mean `{meant}`?")), "{told}");
    }
}
