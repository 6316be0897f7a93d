//! From the live screen to a stream of lines and back: in a terminal, with real keys.

use crate::coord::Folder;
use crate::terminal::{Terminal, coord};

/// Two steps that print 400 numbered lines each, the one after the other and in turn; after each hundred they wait for
/// a file that has its number.
fn numbered(folder: &Folder) -> Terminal {
    let step = |id: &str| {
        let wait = "100|200|300) until test -e $i; do sleep 0.01; done";
        let count = format!("echo line $i; case $i in {wait};; esac; sleep 0.004");
        format!("[[step]]\nid = '{id}'\nrun = 'for i in $(seq 400); do {count}; done'\n")
    };
    let text = format!("concurrency = 2\n{}{}", step("one"), step("two"));
    folder.write("coord.toml", &text);
    // So high that all of it is on the screen with the history.
    Terminal::start(coord(folder.path()).args(["run", "--no-journal"]), 1200, 80)
}

/// The numbers of a step's lines, as they stand in a stream.
fn lines_of(screen: &str, step: &str) -> Vec<u32> {
    let line = |line: &str| {
        let (name, text) = line.split_once("| ")?;
        let is_its = name.trim() == step;
        text.strip_prefix("line ").filter(|_| is_its)?.parse().ok()
    };
    screen.lines().filter_map(line).collect()
}

#[test]
fn a_stream_has_each_line_once_however_often_it_is_left_for_the_screen() {
    let folder = Folder::new();
    let mut terminal = numbered(&folder);
    for turn in [50, 150, 250] {
        let wanted = format!("line {turn}\n");
        terminal.until("the screen", |screen| screen.contains(&wanted));
        terminal.keys("o");
        terminal.until_screen("the stream", |screen| !screen.alternate_screen());
        let wanted = format!("| line {}\n", turn + 50);
        terminal.until("more of the stream", |screen| screen.contains(&wanted));
        folder.write(&(turn + 50).to_string(), "");
        if turn < 250 {
            terminal.keys("o");
            terminal.until_screen("the screen", vt100::Screen::alternate_screen);
        }
    }
    let (status, screen) = terminal.end();
    assert_eq!(status.code(), Some(0), "{screen}");
    let all: Vec<u32> = (1..=400).collect();
    assert_eq!(lines_of(&screen, "one"), all, "{screen}");
    assert_eq!(lines_of(&screen, "two"), all, "{screen}");
    // What becomes of a step is told after what it printed, and the summary after all of it.
    let at = |text: &str| {
        screen
            .find(text)
            .unwrap_or_else(|| panic!("no {text}: {screen}"))
    };
    assert!(at("one | line 400") < at("one · done in"), "{screen}");
    assert!(at("two · done in") < at("coord completed in"), "{screen}");
    assert!(terminal.is_restored());
}

#[test]
fn a_stream_says_how_many_lines_are_not_kept_any_more() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'a'\nrun = 'seq 20000; echo all printed; exec sleep 1000'\n",
    );
    let terminal = Terminal::start(coord(folder.path()).args(["run", "--no-journal"]), 24, 80);
    terminal.shows("all printed");
    terminal.keys("o");
    terminal.shows("a | all printed");
    let oldest = terminal.oldest();
    let said = "10001 earlier lines are not kept any more\na | 10002\na | 10003\n";
    assert!(oldest.contains(said), "{oldest}");
}

#[test]
fn a_run_that_is_shown_as_a_stream_is_ended_by_q_and_tells_so() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'a'\nrun = 'echo began; exec sleep 1000'\n",
    );
    let mut terminal = Terminal::start(coord(folder.path()).args(["run", "--no-journal"]), 24, 80);
    terminal.shows("began");
    terminal.keys("o");
    terminal.shows("a | began");
    terminal.keys("q");
    let (status, screen) = terminal.end();
    assert_eq!(status.code(), Some(130), "{screen}");
    assert!(
        screen.contains("ending: what runs has its grace"),
        "{screen}"
    );
    assert!(screen.contains("a · cancelled"), "{screen}");
    assert!(terminal.is_restored());
}

#[test]
fn a_run_that_has_failed_is_shown_as_a_stream_and_on_the_screen_again_until_q() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'a'\nrun = 'echo broken; exit 1'\n",
    );
    let mut terminal = Terminal::start(coord(folder.path()).args(["run", "--no-journal"]), 24, 80);
    terminal.shows("what failed");
    terminal.keys("o");
    terminal.shows_all(["as a stream; o goes back", "a | broken"]);
    terminal.keys("o");
    terminal.shows_all(["what failed", "q leave"]);
    terminal.keys("oq");
    let (status, screen) = terminal.end();
    assert_eq!(status.code(), Some(100), "{screen}");
    assert!(screen.contains("a failed: exit code 1"), "{screen}");
    assert!(terminal.is_restored());
}
