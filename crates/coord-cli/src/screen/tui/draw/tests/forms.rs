//! The steps and services in their forms, and what processes use.

use super::*;
use crate::screen::tui::form::Form;

/// A run that is over.
async fn over() -> Stage {
    let mut stage = Stage::midway().await;
    let seconds = Duration::from_secs;
    stage.service(
        70,
        ServiceState::Ready {
            duration: seconds(2),
        },
    );
    for (at, step, took) in [(80, "browser-tests", 78), (90, "publish", 10)] {
        if step == "publish" {
            stage.starts(at - 10, step, 1);
        }
        sleep(seconds(10)).await;
        let step = step.to_owned();
        let duration = seconds(took);
        stage.step(
            at,
            Transition::StepCompleted {
                step,
                attempt: 1,
                duration,
            },
        );
    }
    let step = "a-step-with-a-name-longer-than-its-column".to_owned();
    stage.step(
        90,
        Transition::StepSkipped {
            step,
            reason: "its condition is false".to_owned(),
        },
    );
    stage.service(
        91,
        ServiceState::Ended {
            exit: None,
            asked: true,
        },
    );
    let outcome = "completed".to_owned();
    stage.step(
        91,
        Transition::RunFinished {
            outcome,
            duration: seconds(91),
        },
    );
    stage
}

#[tokio::test(start_paused = true)]
async fn l_shows_a_tree_a_graph_and_bars_and_then_the_list_again() {
    let mut stage = Stage::midway().await;
    stage.view.follow(&stage.board);
    let list = stage.screen(80, 24);
    let golden = [
        include_str!("../screens/tree.txt"),
        include_str!("../screens/graph.txt"),
        include_str!("../screens/time.txt"),
    ];
    for golden in golden {
        assert_eq!(stage.press(KeyCode::Char('l')), None);
        assert_eq!(stage.screen(100, 24), golden);
    }
    stage.press(KeyCode::Char('l'));
    assert_eq!(stage.screen(80, 24), list);
}

#[tokio::test(start_paused = true)]
async fn the_bars_of_a_run_that_is_over_show_its_critical_path() {
    let mut stage = over().await;
    assert_eq!(stage.board.critical_path(), [4, 2, 1, 0]);
    stage.view.form = Form::Time;
    assert_eq!(
        stage.screen(100, 24),
        include_str!("../screens/critical.txt")
    );
    let done = stage.screen(100, 24);
    sleep(Duration::from_secs(100)).await;
    assert_eq!(stage.screen(100, 24), done, "nothing grows any more");
}

#[tokio::test(start_paused = true)]
async fn what_failed_is_not_on_the_critical_path_of_what_needed_any() {
    let text = "[[step]]\nid = 'bad'\nrun = 'x'\noptional = true\n\
                [[step]]\nid = 'ok'\nrun = 'x'\n\
                [[step]]\nid = 'any'\nrun = 'x'\nneeds_any = ['bad', 'ok']\n";
    let file = WorkflowFile::parse(Path::new("any.toml"), text.as_bytes()).unwrap();
    let mut stage = Stage::new();
    stage.board = Board::new(&file, Bounds::TAIL, Arc::default());
    let second = Duration::from_secs(1);
    let done = |step: &str| Transition::StepCompleted {
        step: step.to_owned(),
        attempt: 1,
        duration: second,
    };
    stage.starts(0, "bad", 1);
    stage.starts(0, "ok", 1);
    sleep(second).await;
    stage.step(
        1,
        Transition::StepFailed {
            step: "bad".to_owned(),
            attempt: 1,
            error: "exit code 1".to_owned(),
            duration: second,
            optional: true,
        },
    );
    sleep(second).await;
    stage.step(2, done("ok"));
    stage.starts(2, "any", 1);
    sleep(second).await;
    stage.step(3, done("any"));
    let outcome = "completed".to_owned();
    stage.step(
        3,
        Transition::RunFinished {
            outcome,
            duration: second * 3,
        },
    );
    assert_eq!(stage.board.critical_path(), [2, 1]);
}

#[tokio::test(start_paused = true)]
async fn the_bar_of_what_runs_grows_and_the_others_make_room() {
    let mut stage = Stage::new();
    stage.view.form = Form::Time;
    stage.starts(0, "compile", 1);
    sleep(Duration::from_secs(10)).await;
    let step = "compile".to_owned();
    let duration = Duration::from_secs(10);
    stage.step(
        10,
        Transition::StepCompleted {
            step,
            attempt: 1,
            duration,
        },
    );
    stage.starts(10, "browser-tests", 1);
    let mut bars = Vec::new();
    for seconds in [10, 20] {
        sleep(Duration::from_secs(seconds)).await;
        let screen = stage.screen(100, 24);
        let bar = |id| {
            let line = screen
                .lines()
                .find(|line| line.contains(&format!("{id} ")))
                .unwrap();
            line.matches('▒').count()
        };
        bars.push((bar("✓ compile"), bar("▶ browser-tests")));
    }
    // Of 24 columns.
    assert_eq!(bars, [(12, 12), (6, 18)]);
}

#[tokio::test(start_paused = true)]
async fn up_and_down_go_through_the_rows_as_they_are_shown() {
    let mut stage = Stage::midway().await;
    stage.view.form = Form::Graph;
    let mut order = vec![stage.view.selected];
    for _ in 0..6 {
        stage.press(KeyCode::Down);
        order.push(stage.view.selected);
    }
    // The optional step is in the first stage.
    assert_eq!(order, [0, 3, 1, 2, 4, 5, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_long_chain_is_a_tree_that_stays_narrow() {
    let mut text = String::from("[[step]]\nid = 's0'\nrun = 'x'\n");
    for step in 1..2_000 {
        let before = step - 1;
        text += &format!("[[step]]\nid = 's{step}'\nrun = 'x'\nneeds = ['s{before}']\n");
    }
    let file = WorkflowFile::parse(Path::new("many.toml"), text.as_bytes()).unwrap();
    let board = Board::new(&file, Bounds::TAIL, Arc::default());
    let entries = Form::Tree.entries(&board, Look::PLAIN);
    assert_eq!(entries.len(), 2_000);
    let widths = entries.iter().map(|entry| entry.text.chars().count());
    assert_eq!(widths.max(), Some(16));
}

#[tokio::test(start_paused = true)]
async fn what_a_process_uses_is_shown_where_there_is_room_or_m_says_so() {
    let mut stage = Stage::midway().await;
    stage.view.follow(&stage.board);
    for second in 0..30_u32 {
        stage.load.processes = vec![("api".to_owned(), f64::from(second * 4), 12_000_000)];
        (0..second % 10).for_each(|_| stage.prints("api", 4712, "a line"));
        stage.history.read(&stage.board, &stage.load);
    }
    assert!(!stage.screen(80, 24).contains("mem "));
    stage.press(KeyCode::Char('m'));
    assert_eq!(
        stage.screen(100, 24),
        include_str!("../screens/measures.txt")
    );
    stage.look = Look::PLAIN;
    let plain = stage.screen(80, 24);
    assert!(plain.is_ascii() && plain.contains("out "), "{plain}");
    stage.press(KeyCode::Char('m'));
    assert!(!stage.screen(200, 50).contains("mem "));
    stage.view.measures = None;
    assert!(stage.screen(200, 50).contains("mem "));
    // Of what does not run any more there is nothing to show.
    stage.process(8, "api", ProcessState::Exited(Exit::code(1)));
    stage.load.processes.clear();
    stage.history.read(&stage.board, &stage.load);
    assert!(!stage.screen(200, 50).contains("mem "));
}

#[tokio::test(start_paused = true)]
async fn names_that_differ_at_their_ends_are_told_apart_and_a_long_one_leaves_room_for_the_rest() {
    let shard = |number: u32| format!("browser-tests-chromium-linux-shard-{number:02}");
    let steps = (1..=3).map(|number| format!("[[step]]\nid = '{}'\nrun = 'x'\n", shard(number)));
    let text = format!("name = '{}'\n{}", "n".repeat(64), steps.collect::<String>());
    let file = WorkflowFile::parse(Path::new("w.toml"), text.as_bytes()).unwrap();
    let mut stage = Stage::new();
    stage.board = Board::new(&file, Bounds::TAIL, Arc::default());
    for form in ["list", "tree", "graph", "time"] {
        let screen = stage.screen(80, 24);
        assert!(screen.contains("0 of 3 over"), "{screen}");
        if form != "graph" {
            for number in 1..=3 {
                assert!(
                    screen.contains(&format!("hard-0{number} ")),
                    "{form}: {screen}"
                );
            }
        }
        stage.press(KeyCode::Char('l'));
    }
}
