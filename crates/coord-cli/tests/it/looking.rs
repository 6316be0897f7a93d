//! Looking through output on the live screen: in a terminal, with real keys.

use crate::coord::Folder;
use crate::terminal::{Terminal, coord};

const ESCAPE: &str = "\u{1b}";

/// A step that prints the numbers up to 2,000, and stays.
fn numbers(folder: &Folder) -> Terminal {
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'a'\nrun = 'seq 2000; echo Done; exec sleep 1000'\n",
    );
    let terminal = Terminal::start(coord(folder.path()).args(["run", "--no-journal"]), 24, 80);
    terminal.shows("Done");
    terminal
}

/// The output's lines: what is right of the list.
fn output(screen: &str) -> Vec<&str> {
    let lines = screen.lines().filter_map(|line| line.split_once('│'));
    lines.map(|(_, line)| line).collect()
}

#[test]
fn a_text_is_searched_with_n_and_the_output_is_held_until_it_is_followed_again() {
    let folder = Folder::new();
    let terminal = numbers(&folder);
    terminal.keys("/777\r");
    let screen = terminal.shows("`777` 2 of 2");
    assert!(output(&screen).contains(&"1777"), "{screen}");
    terminal.keys("n");
    let screen = terminal.shows("`777` 1 of 2");
    assert!(output(&screen).contains(&"777"), "{screen}");
    assert!(!output(&screen).contains(&"Done"), "{screen}");
    terminal.keys("G");
    let follows = |screen: &str| output(screen).last() == Some(&"Done");
    terminal.until("the newest line", follows);
    terminal.keys("/nowhere\r");
    terminal.shows("no line of a has `nowhere`");
}

#[test]
fn a_filter_leaves_what_was_looked_for_and_what_is_left_is_copied() {
    let folder = Folder::new();
    let terminal = numbers(&folder);
    terminal.keys("&199");
    terminal.shows(" &199");
    terminal.keys("\r");
    let screen = terminal.shows("12 with `199`");
    let all = ["199", "1199", "1990", "1991", "1992", "1993", "1994"];
    assert!(
        output(&screen).windows(7).any(|lines| lines == all),
        "{screen}"
    );
    terminal.keys("&DONE\r&done\rY");
    terminal.shows("copied 1 line");
    // What base64 makes of `Done`.
    assert_eq!(terminal.clipboard().as_deref(), Some("RG9uZQ=="));
    terminal.keys(ESCAPE);
    terminal.until("all lines", |screen| output(screen).contains(&"1999"));
}

#[test]
fn lines_are_selected_and_copied() {
    let folder = Folder::new();
    let terminal = numbers(&folder);
    terminal.keys("v[y");
    terminal.shows("copied 2 lines");
    assert_eq!(terminal.clipboard().as_deref(), Some("MjAwMApEb25l"));
}
