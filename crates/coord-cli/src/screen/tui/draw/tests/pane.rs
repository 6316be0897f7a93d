//! Output that is looked through: searched, filtered, held, selected and copied.

use super::*;
use crate::screen::tui::pane::Copy;
use crate::screen::tui::view::Asked;

/// A stage with a hundred lines, each seventh of which has an error.
async fn searched() -> Stage {
    let mut stage = Stage::midway().await;
    stage.view.follow(&stage.board);
    for line in 0..100 {
        let what = if line % 7 == 0 { "ERROR" } else { "fine" };
        stage.prints(
            "api",
            4712,
            &format!("line {line:03} \u{1b}[1m{what}\u{1b}[0m"),
        );
    }
    stage
}

fn type_in(stage: &mut Stage, keys: &str) {
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            key => KeyCode::Char(key),
        };
        assert_eq!(stage.press(code), None);
        stage.screen(80, 24);
    }
}

fn shown(stage: &mut Stage) -> Vec<String> {
    let screen = stage.screen(80, 24);
    let lines = screen.lines().filter_map(|line| line.split_once("│line "));
    lines.map(|(_, line)| line.to_owned()).collect()
}

fn copied(asked: Option<Asked>) -> Copy {
    match asked {
        Some(Asked::Copy(copy)) => copy,
        other => panic!("nothing is copied: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_pane_with_a_search_and_a_filter() {
    let mut stage = searched().await;
    type_in(&mut stage, "&error\n/01");
    assert_eq!(stage.screen(80, 24), include_str!("../screens/typing.txt"));
    type_in(&mut stage, "4\n");
    assert_eq!(stage.screen(80, 24), include_str!("../screens/search.txt"));
}

#[tokio::test(start_paused = true)]
async fn lines_of_items_hooks_and_undoing_have_the_names_of_their_processes_before_them() {
    let mut stage = Stage::midway().await;
    let labels = &stage.board.labels;
    labels.note("browser-tests:0", "firefox");
    labels.note("browser-tests:11", "a browser that nobody has");
    stage.starts(9, "browser-tests", 2);
    let long = "a line that goes on in the next row of the pane";
    for (process, line) in [
        ("browser-tests:0", "12 pages"),
        ("browser-tests:11", long),
        ("browser-tests:2", "which item it is is not known"),
        ("browser-tests", "the step's own"),
        ("hook browser-tests", "told"),
        ("undo browser-tests", "undone"),
    ] {
        stage.prints(process, 4800, line);
    }
    stage.view.follow(&stage.board);
    assert_eq!(stage.screen(80, 24), include_str!("../screens/items.txt"));
    let copy = copied(stage.press(KeyCode::Char('y')));
    assert!(copy.text.starts_with("12 pages\na line"), "{}", copy.text);
}

#[tokio::test(start_paused = true)]
async fn a_search_goes_to_the_nearest_match_and_n_around_the_ends() {
    let mut stage = searched().await;
    let current = |stage: &Stage| {
        let line = stage.view.pane.current.unwrap();
        stage.board.rows[1].output.line(line).unwrap()[..8].to_owned()
    };
    type_in(&mut stage, "/error\n");
    assert_eq!(current(&stage), "line 098");
    type_in(&mut stage, "N");
    assert_eq!(current(&stage), "line 091");
    type_in(&mut stage, "nn");
    assert_eq!(current(&stage), "line 000");
    assert!(shown(&mut stage).contains(&"000 ERROR".to_owned()));
    type_in(&mut stage, "N");
    assert_eq!(current(&stage), "line 098");
    type_in(&mut stage, "/Error\n");
    let screen = stage.screen(80, 24);
    assert!(screen.contains("no line of api has `Error`"), "{screen}");
}

#[tokio::test(start_paused = true)]
async fn matches_are_marked_and_the_one_gone_to_differently() {
    let mut stage = searched().await;
    type_in(&mut stage, "/error\n");
    let buffer = stage.buffer(80, 24);
    let of = |color| {
        let cells = buffer.content.iter().filter(|cell| cell.bg == color);
        cells.map(ratatui::buffer::Cell::symbol).collect::<String>()
    };
    assert_eq!(of(Color::Yellow), "ERROR", "of 091");
    assert_eq!(of(Color::LightYellow), "ERROR", "of 098");
    stage.press(KeyCode::Esc);
    let buffer = stage.buffer(80, 24);
    assert!(buffer.content.iter().all(|cell| cell.bg == Color::Reset));
}

#[tokio::test(start_paused = true)]
async fn a_filter_shows_what_it_finds_also_of_what_comes_later_and_escape_ends_it() {
    let mut stage = searched().await;
    type_in(&mut stage, "&error\n");
    let errors: Vec<String> = (0..=98)
        .step_by(7)
        .map(|line| format!("{line:03} ERROR"))
        .collect();
    assert_eq!(shown(&mut stage), errors);
    stage.prints("api", 4712, "line 100 Error");
    stage.prints("api", 4712, "line 101 fine");
    assert_eq!(shown(&mut stage).last().unwrap(), "100 Error");
    stage.press(KeyCode::Esc);
    assert_eq!(shown(&mut stage).last().unwrap(), "101 fine");
}

#[tokio::test(start_paused = true)]
async fn who_leaves_what_was_typed_has_what_was_before() {
    let mut stage = searched().await;
    type_in(&mut stage, "&error\n&fine");
    assert!(shown(&mut stage).contains(&"099 fine".to_owned()));
    stage.press(KeyCode::Esc);
    assert_eq!(shown(&mut stage).last().unwrap(), "098 ERROR");
    type_in(&mut stage, "&\n");
    assert_eq!(shown(&mut stage).last().unwrap(), "099 fine");
}

#[tokio::test(start_paused = true)]
async fn scrolling_up_holds_the_output_and_each_of_three_keys_follows_it_again() {
    for key in [KeyCode::End, KeyCode::Char('G'), KeyCode::Char('f')] {
        let mut stage = searched().await;
        shown(&mut stage);
        stage.press(KeyCode::Char('['));
        stage.prints("api", 4712, "line 100 fine");
        assert_eq!(shown(&mut stage).last().unwrap(), "098 ERROR");
        stage.press(key);
        assert_eq!(shown(&mut stage).last().unwrap(), "100 fine");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_shown_selected_or_all_is_copied_without_colours() {
    let mut stage = searched().await;
    shown(&mut stage);
    let copy = copied(stage.press(KeyCode::Char('y')));
    assert_eq!((copy.lines, copy.of), (15, 15));
    assert!(copy.text.ends_with("line 098 ERROR\nline 099 fine"));
    assert!(stage.screen(80, 24).contains("copied 15 lines"));
    type_in(&mut stage, "v[[");
    let copy = copied(stage.press(KeyCode::Char('y')));
    assert_eq!(copy.text, "line 097 fine\nline 098 ERROR\nline 099 fine");
    type_in(&mut stage, "&error\n");
    let copy = copied(stage.press(KeyCode::Char('Y')));
    assert_eq!((copy.lines, copy.of), (15, 15));
    assert!(copy.text.starts_with("line 000 ERROR\nline 007 ERROR"));
}

#[tokio::test(start_paused = true)]
async fn no_more_is_copied_than_a_terminal_takes_and_that_is_said() {
    let mut stage = searched().await;
    for line in 0..5_000 {
        stage.prints("api", 4712, &format!("a line with the number {line}"));
    }
    let copy = copied(stage.press(KeyCode::Char('Y')));
    assert!(copy.text.len() <= 74_994, "{}", copy.text.len());
    assert!(copy.text.ends_with("number 4999"));
    assert!(copy.lines < copy.of);
    let said = format!("copied the last {} lines of {}", copy.lines, copy.of);
    assert!(stage.screen(80, 24).contains(&said));
}

#[tokio::test(start_paused = true)]
async fn output_that_makes_room_takes_what_was_found_with_it() {
    let mut stage = searched().await;
    type_in(&mut stage, "/error\n");
    for line in 0..20_000 {
        stage.prints("api", 4712, &format!("line {line} late"));
    }
    let screen = stage.screen(80, 24);
    assert!(screen.contains("`error` in 0, 9985 lines"), "{screen}");
}

/// A stage with a hundred lines, each of which is three rows of the pane, or four.
async fn wrapped() -> Stage {
    let mut stage = Stage::midway().await;
    stage.view.follow(&stage.board);
    for line in 0..100 {
        stage.prints("api", 4712, &format!("<{line}>{}", "x".repeat(110)));
    }
    stage.screen(80, 24);
    stage
}

/// The numbers of the lines of which the beginning is in view.
fn begun(stage: &mut Stage) -> Vec<u32> {
    let screen = stage.screen(80, 24);
    let lines = screen.lines().filter_map(|line| line.split_once("│<"));
    let lines = lines.filter_map(|(_, line)| line.split_once('>')?.0.parse().ok());
    lines.collect()
}

#[tokio::test(start_paused = true)]
async fn where_lines_wrap_each_is_seen_by_paging_and_the_oldest_has_a_key() {
    let mut stage = wrapped().await;
    let mut seen = std::collections::BTreeSet::from_iter(begun(&mut stage));
    for _ in 0..40 {
        stage.press(KeyCode::PageUp);
        seen.extend(begun(&mut stage));
    }
    assert!(seen.into_iter().eq(0..100));
    let oldest = begun(&mut stage);
    stage.press(KeyCode::End);
    assert_eq!(begun(&mut stage).last(), Some(&99));
    stage.press(KeyCode::Char('g'));
    assert_eq!(begun(&mut stage), oldest);
    // By rows, of which lines have three.
    for further in [1, 0, 0] {
        let last = begun(&mut stage).last().copied();
        stage.press(KeyCode::Char(']'));
        let moved = last.map(|last| last + further);
        assert_eq!(begun(&mut stage).last().copied(), moved);
    }
    stage.press(KeyCode::Char('['));
    stage.press(KeyCode::Char('['));
    stage.press(KeyCode::Char('['));
    assert_eq!(begun(&mut stage), oldest);
    for _ in 0..40 {
        stage.press(KeyCode::PageDown);
    }
    stage.prints("api", 4712, "<100>");
    assert_eq!(begun(&mut stage).last(), Some(&100), "it is followed");
}

#[tokio::test(start_paused = true)]
async fn a_match_is_shown_where_lines_wrap() {
    let mut stage = wrapped().await;
    type_in(&mut stage, "/<0>\n");
    assert_eq!(begun(&mut stage)[0], 0);
    type_in(&mut stage, "/<42>\n");
    assert!(begun(&mut stage).contains(&42));
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_longer_than_the_pane_is_seen_from_its_beginning_to_its_end() {
    let mut stage = wrapped().await;
    let words: Vec<String> = (0..1_000).map(|word| format!("w{word:03}.")).collect();
    stage.prints("api", 4712, &words.concat());
    stage.prints("api", 4712, "after");
    type_in(&mut stage, "/w500\n");
    assert!(stage.screen(80, 24).contains("w500"));
    stage.press(KeyCode::Esc);
    stage.press(KeyCode::End);
    let mut seen = String::new();
    for _ in 0..20 {
        let screen = stage.screen(80, 24);
        let rows = screen.lines().filter_map(|line| line.split_once('│'));
        let page: String = rows.map(|(_, row)| row).collect();
        seen = page + &seen;
        stage.press(KeyCode::PageUp);
    }
    assert!(words.iter().all(|word| seen.contains(word)));
}

#[test]
fn a_text_of_wide_characters_is_cut_to_its_columns() {
    let look = Look {
        unicode: true,
        ..Look::PLAIN
    };
    assert_eq!(cut("日本語", 4, look), "日…");
    assert_eq!(cut("日本語", 6, look), "日本語");
    assert_eq!(cut("cut here", 4, Look::PLAIN), "cut~");
    assert_eq!(cut_name("build-linux", 6, Look::PLAIN), "bui~ux");
    assert_eq!(cut_name("build-linux", 0, Look::PLAIN), "");
}
