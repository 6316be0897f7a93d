//! Runs that are over: what went wrong in them, and how to go on.

use super::*;

/// A run of so many steps with long names, of which all but the first failed, and that was undone.
fn failed(steps: usize, error: &str) -> Stage {
    let id = |step: usize| format!("a-step-with-quite-a-long-name-{step}");
    let mut text = String::new();
    for step in 0..steps {
        text += &format!("[[step]]\nid = '{}'\nrun = 'x'\n", id(step));
    }
    let file = WorkflowFile::parse(Path::new("many.toml"), text.as_bytes()).unwrap();
    let mut stage = Stage::new();
    stage.board = Board::new(&file, Bounds::TAIL, Arc::default());
    let duration = Duration::from_secs(1);
    for step in 0..steps {
        stage.starts(1, &id(step), 1);
        stage.process(1, &id(step), ProcessState::Started { pid: 4711 });
        stage.prints(&id(step), 4711, "torn");
        let (step, attempt) = (id(step), 1);
        let is_first = step == id(0);
        stage.step(
            2,
            match is_first {
                true => Transition::StepCompleted {
                    step,
                    attempt,
                    duration,
                },
                false => Transition::StepFailed {
                    step,
                    attempt,
                    error: error.to_owned(),
                    duration,
                    optional: false,
                },
            },
        );
    }
    stage.step(3, Transition::CompensationCompleted { step: id(0) });
    let outcome = "failed".to_owned();
    stage.step(4, Transition::RunFinished { outcome, duration });
    stage.load.cpu_percent = 99.0;
    stage.kept =
        " --journal '/a/folder/whose name is so long/that it has no room in a line of 80 columns'";
    stage.view.follow(&stage.board);
    stage
}

#[tokio::test(start_paused = true)]
async fn what_failed_and_the_whole_command_are_there_at_80_by_24_however_many_steps_there_are() {
    let mut stage = failed(1_000, "exit code 1");
    assert_eq!(stage.screen(80, 24), include_str!("../screens/failed.txt"));
}

#[tokio::test(start_paused = true)]
async fn why_a_single_step_failed_is_told_whole() {
    let why = "it did not put out \"notes\": echo \"notes=…\" >> \"$COORD_OUTPUT\", and more is to be said of it";
    let screen = failed(2, why).screen(80, 24);
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words(&screen).contains(why), "{screen}");
    assert!(
        words(&screen).contains("no room in a line of 80 columns'"),
        "{screen}"
    );
}

#[tokio::test(start_paused = true)]
async fn names_have_the_width_that_there_is_and_what_is_over_has_no_load() {
    let screen = failed(3, "exit code 1").screen(160, 24);
    assert!(
        screen.contains("a-step-with-quite-a-long-name-2 failed"),
        "{screen}"
    );
    assert!(!screen.contains("cpu"), "{screen}");
    let mut stage = failed(3, "exit code 1");
    stage.press(KeyCode::Char('l'));
    stage.press(KeyCode::Char('l'));
    let screen = stage.screen(160, 24);
    assert!(
        screen.contains("a-step-with-quite-a-long-name-2"),
        "{screen}"
    );
}

/// At 40 by 10 no row has room for either.
const LONG_ID: &str = "the-nightly-release-of-all-that-there-is-to-release";
const LONG_JOURNAL: &str =
    " --journal /var/lib/continuous-integration/of-the-whole-company/journals/of-releases";

#[tokio::test(start_paused = true)]
async fn a_run_that_failed_is_drawn_in_every_size() {
    for (steps, run) in [(2, "r1"), (9, LONG_ID)] {
        let mut stage = failed(steps, "exit code 1");
        stage.board.run = run.to_owned();
        stage.kept = LONG_JOURNAL;
        for form in 0..4 {
            for width in (0..100).step_by(10) {
                for height in 0..20 {
                    for over in [None, Some(Over::Help), Some(Over::Why)] {
                        stage.view.over = over;
                        stage.screen(width, height);
                    }
                }
            }
            stage.view.over = None;
            assert_eq!(stage.press(KeyCode::Char('l')), None, "{form}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_command_that_goes_on_is_whole_in_a_low_terminal_too() {
    for (run, journal, width, height) in [
        ("r1", "", 30, 6),
        ("release-7f3a09k2xd", "", 40, 6),
        (LONG_ID, LONG_JOURNAL, 40, 10),
        (LONG_ID, LONG_JOURNAL, 80, 6),
    ] {
        let mut stage = failed(30, "exit code 1");
        stage.board.run = run.to_owned();
        stage.kept = journal;
        let screen = stage.screen(width, height);
        let close = |text: &str| text.split_whitespace().collect::<String>();
        let command = close(&format!("coord retry {run}{journal}"));
        assert!(close(&screen).contains(&command), "{screen}");
    }
}
