//! Output is data: what processes print is shown, and does nothing else.

use std::process::Stdio;

use crate::coord::{Folder, Running, done, is_gone, pids, run};

#[test]
fn escape_sequences_but_colours_do_not_reach_the_screen() {
    let folder = Folder::new();
    let line = r"printf '\033[31mred\033[0m \033]0;title\007\033[2J\033[1Aup\r\nbad \377 utf8\n'";
    folder.write(
        "coord.toml",
        format!("[[step]]\nid = 'a'\nrun = '''{line}'''\n"),
    );
    let plain = done(folder.coord(["run"]));
    plain
        .exits(0)
        .says("a | red up\n")
        .says("a | bad \u{fffd} utf8\n");
    assert!(
        !plain.out.contains('\u{1b}'),
        "{}",
        plain.out.escape_debug()
    );

    let colored = done(folder.coord(["run", "--color", "always"]));
    colored.exits(0).says("\u{1b}[31mred\u{1b}[0m up");
    for sequence in ["\u{1b}]", "\u{1b}[2J", "\u{1b}[1A"] {
        assert!(
            !colored.out.contains(sequence),
            "{}",
            colored.out.escape_debug()
        );
    }
}

#[test]
fn colours_are_off_where_nobody_sees_them_and_on_where_asked_for() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 'a'\nrun = 'echo b'\n");
    let colored = |arguments: [&str; 2], no_color: bool| {
        let mut command = folder.coord(["run"]);
        command.args(arguments);
        if no_color {
            command.env("NO_COLOR", "1");
        }
        done(command).out.contains('\u{1b}')
    };
    assert!(!colored(["--color", "auto"], false));
    assert!(!colored(["--color", "never"], false));
    assert!(colored(["--color", "always"], false));
    assert!(
        colored(["--color", "always"], true),
        "asked for is asked for"
    );
}

#[test]
fn many_lines_and_long_ones_are_complete_and_memory_stays_flat() {
    let done = run(r#"
        [[step]]
        id = "many"
        run = "seq 1 400000"
        [[step]]
        id = "long"
        run = "head -c 20000000 /dev/zero | tr '\\0' x"
        [[step]]
        id = "memory"
        needs = ["many", "long"]
        run = "grep VmHWM /proc/$PPID/status"
        "#);
    done.exits(0);
    let many = done
        .out
        .lines()
        .filter_map(|line| line.strip_prefix("many   | "));
    let expected = (1..=400_000).map(|number| number.to_string());
    assert!(many.eq(expected), "a line is missing, or in another place");
    let long = done
        .out
        .lines()
        .filter_map(|line| line.strip_prefix("long   | "));
    assert_eq!(long.map(str::len).sum::<usize>(), 20_000_000);
    let peak = done
        .out
        .lines()
        .find(|line| line.contains("VmHWM"))
        .unwrap();
    let peak = peak
        .split_whitespace()
        .find_map(|word| word.parse::<u64>().ok());
    assert!(peak.unwrap() < 100_000, "{peak:?} kB");
}

#[test]
fn a_reader_that_goes_away_ends_the_run() {
    let folder = Folder::new();
    let endless = "echo pid=$$; while true; do echo line; done";
    folder.write(
        "coord.toml",
        format!("[[step]]\nid = 'a'\nrun = \"{endless}\"\n"),
    );
    let mut command = folder.coord(["run"]);
    command.stderr(Stdio::null());
    let mut running = Running::start(command);
    running.until("pid=");
    let printed = running.printed.clone();
    let mut child = running.deaf();
    assert_eq!(child.wait().unwrap().code(), Some(110));
    assert!(pids(&printed).into_iter().all(is_gone));
}
