//! What keys do, and what they do not.

use super::*;
use crate::hands::Wish;
use crate::screen::tui::view::Asked;

fn with(letter: char, modifiers: KeyModifiers) -> KeyEvent {
    KeyEvent::new(KeyCode::Char(letter), modifiers)
}

#[tokio::test(start_paused = true)]
async fn j_and_k_select_and_only_a_capital_stops() {
    let mut stage = Stage::midway().await;
    assert_eq!(stage.press(KeyCode::Char('j')), None);
    assert_eq!(stage.view.selected, 1);
    assert_eq!(stage.press(KeyCode::Char('k')), None);
    assert_eq!(stage.view.selected, 0);
    stage.press(KeyCode::Down);
    let shifted = with('K', KeyModifiers::SHIFT);
    let asked = stage.view.key(shifted, &stage.board);
    assert_eq!(asked, Some(Asked::Wish(Wish::Stop("api".to_owned()))));
}

#[tokio::test(start_paused = true)]
async fn a_letter_with_control_or_alt_is_not_that_letter() {
    let mut stage = Stage::midway().await;
    stage.press(KeyCode::Down);
    let before = stage.screen(80, 24);
    for modifiers in [KeyModifiers::CONTROL, KeyModifiers::ALT] {
        for letter in "?hjklmoprstxKqfgGnvyY/&[]".chars() {
            let asked = stage.view.key(with(letter, modifiers), &stage.board);
            let redraws = letter == 'l' && modifiers == KeyModifiers::CONTROL;
            assert_eq!(asked, redraws.then_some(Asked::Redraw), "{letter}");
            assert_eq!(stage.screen(80, 24), before, "{letter}");
            if letter != 'l' {
                let asked = View::stream_key(with(letter, modifiers), &stage.board);
                assert_eq!(asked, None, "{letter}");
            }
        }
    }
    let quit = stage
        .view
        .key(with('c', KeyModifiers::CONTROL), &stage.board);
    assert_eq!(quit, Some(Asked::Quit));
}

#[tokio::test(start_paused = true)]
async fn what_lies_over_a_small_screen_is_scrolled_and_nothing_of_it_is_cut_off() {
    let mut stage = Stage::midway().await;
    stage.press(KeyCode::Char('?'));
    let first = stage.screen(40, 10);
    assert!(first.contains("more below"), "{first}");
    // Lines that are too long go on in the next.
    assert!(first.contains("select a step or service"), "{first}");
    stage.press(KeyCode::Down);
    assert!(stage.screen(40, 10).contains("1 more above"));
    stage.press(KeyCode::PageDown);
    stage.press(KeyCode::Char('k'));
    assert!(!stage.screen(40, 10).contains("up, down"));
    stage.press(KeyCode::Char('G'));
    let last = stage.screen(40, 10);
    assert!(last.contains("this help"), "{last}");
    assert!(
        last.contains("more above") && !last.contains("below"),
        "{last}"
    );
    // As far as it goes, and no further.
    stage.press(KeyCode::PageDown);
    stage.press(KeyCode::Home);
    assert_eq!(stage.screen(40, 10), first);
    assert_eq!(stage.view.selected, 0);
    stage.press(KeyCode::Char('x'));
    assert!(!stage.screen(40, 10).contains("this help"));
}

#[tokio::test(start_paused = true)]
async fn what_is_pasted_is_typed_where_something_is_asked_for_and_no_key_elsewhere() {
    let mut stage = Stage::midway().await;
    let selected = stage.view.selected;
    stage.view.paste("pleaSe Kill jjj\rq", &stage.board);
    assert_eq!(stage.view.selected, selected);
    assert!(stage.screen(80, 24).contains("what is pasted is no key"));
    stage.press(KeyCode::Char('/'));
    stage.view.paste("two\r\nlines", &stage.board);
    stage.press(KeyCode::Char('!'));
    assert!(stage.screen(80, 24).contains("/twolines!"));
}

#[tokio::test(start_paused = true)]
async fn tab_goes_to_what_runs_or_has_failed_and_there_and_back_to_the_ends() {
    let mut stage = Stage::midway().await;
    // Of six, the second runs, and the fourth has failed.
    for (key, selected) in [
        (KeyCode::Tab, 1),
        (KeyCode::Tab, 2),
        (KeyCode::Tab, 3),
        (KeyCode::Tab, 1),
        (KeyCode::BackTab, 3),
        (KeyCode::Char('>'), 5),
        (KeyCode::Char('<'), 0),
    ] {
        stage.press(key);
        assert_eq!(stage.view.selected, selected, "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn tab_goes_to_a_step_for_which_the_run_is_paused() {
    let mut stage = Stage::midway().await;
    stage.step(8, exhausted("browser-tests"));
    for place in [1, 2, 3, 1] {
        stage.press(KeyCode::Tab);
        assert_eq!(stage.view.selected, place);
    }
}
