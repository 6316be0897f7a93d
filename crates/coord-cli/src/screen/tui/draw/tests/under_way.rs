//! What is under way beside the attempts at steps: undoing, hooks, the items of a list.

use super::*;

/// A run `small` of these steps, with nothing in it yet.
fn stage(text: &str) -> Stage {
    let file = WorkflowFile::parse(Path::new("small.toml"), text.as_bytes()).unwrap();
    let mut stage = Stage::new();
    stage.board = Board::new(&file, Bounds::TAIL, Arc::new(Labels::of(&file)));
    stage
}

fn completes(stage: &mut Stage, second: i64, step: &str) {
    let (step, attempt) = (step.to_owned(), 1);
    let duration = Duration::from_secs(1);
    stage.step(
        second,
        Transition::StepCompleted {
            step,
            attempt,
            duration,
        },
    );
}

/// What `t` says.
fn why(stage: &mut Stage) -> String {
    stage.press(KeyCode::Char('t'));
    let screen = stage.screen(80, 24);
    stage.press(KeyCode::Char('t'));
    screen
}

#[track_caller]
fn says(screen: &str, all: &[&str]) {
    for one in all {
        assert!(screen.contains(one), "no {one:?} in\n{screen}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_being_undone_is_seen_while_it_is_and_after() {
    let mut stage = stage("[[step]]\nid = 'book'\nrun = 'x'\nundo = 'x'\n");
    stage.starts(0, "book", 1);
    completes(&mut stage, 1, "book");
    let undone = |step: &str| step.to_owned();
    let step = undone("book");
    stage.step(2, Transition::CompensationStarted { step });
    stage.process(2, "undo book", ProcessState::Started { pid: 4711 });
    sleep(Duration::from_secs(3)).await;
    says(
        &stage.screen(80, 24),
        &[
            "small undoing 3 s · 1 of 1 over",
            "↶ book undoing",
            "q quit",
        ],
    );
    let said = "book  is being undone for 3.0 s; process 4711";
    says(&why(&mut stage), &[said]);
    assert_eq!(stage.board.report()[1].trim(), said);
    stage.process(5, "undo book", ProcessState::Exited(Exit::code(0)));
    let step = undone("book");
    stage.step(5, Transition::CompensationCompleted { step });
    says(&stage.screen(80, 24), &["↶ book undone"]);
    says(&why(&mut stage), &["nothing runs at this moment"]);
    let outcome = "failed".to_owned();
    let duration = Duration::from_secs(5);
    stage.step(6, Transition::RunFinished { outcome, duration });
    says(&stage.screen(80, 24), &["small failed", "q leave"]);
    says(&why(&mut stage), &["nothing runs any more"]);
}

#[tokio::test(start_paused = true)]
async fn hooks_are_seen_those_of_a_step_and_those_of_the_run() {
    let mut stage = stage("[[step]]\nid = 'book'\nrun = 'x'\n");
    stage.starts(0, "book", 1);
    stage.process(1, "hook book", ProcessState::Started { pid: 4711 });
    sleep(Duration::from_secs(2)).await;
    let said = "book  its hook runs for 2.0 s; process 4711";
    says(&why(&mut stage), &[said]);
    stage.process(3, "hook book", ProcessState::Exited(Exit::code(0)));
    completes(&mut stage, 3, "book");
    stage.process(4, "run hook", ProcessState::Started { pid: 4712 });
    sleep(Duration::from_secs(7)).await;
    says(&stage.screen(80, 24), &["running its hook", "q quit"]);
    let said = "run hook  runs for 7.0 s, as the run has come to its end";
    says(&why(&mut stage), &[said]);
    assert_eq!(stage.board.report()[1].trim(), said);
    stage.process(11, "run hook", ProcessState::Exited(Exit::code(0)));
    assert_eq!(stage.board.report().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn how_far_a_step_with_a_list_is_stands_beside_it() {
    let mut stage = stage("[[step]]\nid = 'resize'\nrun = 'x'\nfor_each = ['a', 'b', 'c', 'd']\n");
    stage.starts(0, "resize", 1);
    says(&stage.screen(80, 24), &["▶ resize 0 of 4"]);
    for item in 0..3 {
        let process = format!("resize:{item}");
        let pid = 4711 + item;
        stage.process(1, &process, ProcessState::Started { pid });
    }
    stage.process(2, "resize:1", ProcessState::Exited(Exit::code(0)));
    let (step, part, of) = ("resize".to_owned(), 1, 4);
    stage.step(2, Transition::PartCompleted { step, part, of });
    says(
        &stage.screen(80, 24),
        &["▶ resize 1 of 4", "resize, 1 of 4 done"],
    );
    let said = "1 of 4 items are done; has printed nothing; 2 processes";
    says(&why(&mut stage), &[said]);
    assert!(stage.board.report()[1].ends_with(said));
    completes(&mut stage, 3, "resize");
    says(&stage.screen(80, 24), &["✓ resize done"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_probe_was_answered_is_not_taken_for_how_a_service_ended() {
    let mut stage = Stage::midway().await;
    let duration = Duration::from_secs(1);
    stage.service(8, ServiceState::Ready { duration });
    stage.board.rows[1].answer = Some("exit code 0".to_owned());
    stage.press(KeyCode::Char('t'));
    let screen = stage.screen(160, 24);
    says(
        &screen,
        &["; its probe was last answered: exit code 0; process"],
    );
    stage.board.is_paused = true;
    says(&stage.screen(160, 24), &["paused (p goes on) 1 min"]);
}
