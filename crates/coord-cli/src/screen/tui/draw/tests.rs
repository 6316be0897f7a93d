//! Whole screens, as text.

mod ended;
mod forms;
mod keys;
mod pane;
mod under_way;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coordination::bus::Timestamp;
use coordination::bus::time::sleep;
use coordination::bus::vocabulary::{
    ErrorRecovery, Exit, OutputStream, ProbeKind, ProcessHealth, ProcessLifecycle, ProcessOutput,
    ProcessState, Recovery, ServiceLifecycle, ServiceState, Transition, WorkflowEvent,
};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;

use super::*;
use crate::board::Bounds;
use crate::file::WorkflowFile;
use crate::labels::Labels;

const FILE: &str = r#"
name = "release"
concurrency = 2
[[step]]
id = "compile"
run = "x"
[[service]]
id = "api"
run = "x"
needs = ["compile"]
restart = "on-failure"
[[step]]
id = "browser-tests"
run = "x"
needs = ["api"]
retry = { max_attempts = 3 }
[[step]]
id = "spelling"
run = "x"
optional = true
[[step]]
id = "publish"
run = "x"
needs = ["browser-tests"]
[[step]]
id = "a-step-with-a-name-longer-than-its-column"
run = "x"
needs = ["publish"]
"#;

/// A run at a moment in its middle, without a time that passes.
struct Stage {
    board: Board,
    view: View,
    load: Load,
    history: History,
    events: Vec<LogEvent>,
    look: Look,
    kept: &'static str,
    look_on: bool,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

impl Stage {
    fn new() -> Self {
        let file = WorkflowFile::parse(Path::new("release.toml"), FILE.as_bytes()).unwrap();
        Self {
            board: Board::new(
                &file,
                Bounds::of_screen(file.units.len()),
                Arc::new(Labels::of(&file)),
            ),
            view: View::new(),
            load: Load::default(),
            history: History::default(),
            events: Vec::new(),
            look: Look {
                color: true,
                unicode: true,
            },
            kept: "",
            look_on: false,
        }
    }

    fn step(&mut self, second: i64, transition: Transition) {
        self.board.workflow(&WorkflowEvent {
            workflow: "release".to_owned(),
            run: "r1".to_owned(),
            at: at(second),
            transition,
        });
    }

    fn starts(&mut self, second: i64, step: &str, attempt: u32) {
        let step = step.to_owned();
        self.step(second, Transition::StepStarted { step, attempt });
    }

    fn service(&mut self, second: i64, state: ServiceState) {
        self.board.service(&ServiceLifecycle {
            service: "api".to_owned(),
            at: at(second),
            state,
        });
    }

    fn process(&mut self, second: i64, process: &str, state: ProcessState) {
        self.board.lifecycle(&ProcessLifecycle {
            process: process.to_owned(),
            at: at(second),
            state,
        });
    }

    fn prints(&mut self, process: &str, pid: u32, line: &str) {
        self.board.output(&ProcessOutput {
            process: process.to_owned(),
            pid,
            attempt: 1,
            stream: OutputStream::Stdout,
            line: line.to_owned(),
            continues: false,
        });
    }

    /// Something of everything.
    async fn midway() -> Self {
        let mut stage = Self::new();
        let seconds = Duration::from_secs;
        stage.step(0, Transition::RunStarted { steps: 6 });
        stage.starts(0, "compile", 1);
        stage.starts(0, "spelling", 1);
        stage.step(
            1,
            Transition::StepFailed {
                step: "spelling".to_owned(),
                attempt: 1,
                error: "exit code 2".to_owned(),
                duration: seconds(1),
                optional: true,
            },
        );
        stage.step(
            2,
            Transition::StepCompleted {
                step: "compile".to_owned(),
                attempt: 1,
                duration: seconds(2),
            },
        );
        sleep(seconds(2)).await;
        stage.starts(2, "api", 1);
        stage.service(3, ServiceState::Starting);
        stage.process(3, "api", ProcessState::Started { pid: 4711 });
        stage.prints("api", 4711, "listening on 8080");
        stage.service(
            4,
            ServiceState::Ready {
                duration: seconds(1),
            },
        );
        stage.starts(4, "browser-tests", 1);
        sleep(seconds(61)).await;
        stage.process(5, "api", ProcessState::Exited(Exit::code(1)));
        stage.service(
            5,
            ServiceState::Ended {
                exit: Some(Exit::code(1)),
                asked: false,
            },
        );
        stage.board.recovery(&ErrorRecovery {
            source: "api".to_owned(),
            strategy: "restart".to_owned(),
            at: at(6),
            progress: Recovery::Attempting {
                attempt: 1,
                wait: seconds(1),
            },
        });
        stage.service(7, ServiceState::Starting);
        stage.process(7, "api", ProcessState::Started { pid: 4712 });
        stage.board.health(&ProcessHealth {
            process: "api".to_owned(),
            pid: 4712,
            at: at(7),
            probe: ProbeKind::Readiness,
            healthy: false,
            answer: "connection refused".to_owned(),
        });
        stage.prints("api", 4712, "\u{1b}[32mlistening\u{1b}[0m on 8080, once more, with a line that is longer than its half of the screen");
        stage.prints("api", 4712, "GET / 200");
        sleep(Duration::from_millis(1500)).await;
        stage.load = Load {
            cpu_percent: 12.4,
            memory_bytes: 45_600_000,
            lines_per_second: 1204.0,
            processes: vec![("api".to_owned(), 3.0, 12_000_000)],
        };
        for (level, message) in [
            (LogLevel::Info, "started as process 4711"),
            (
                LogLevel::Error,
                "ended with exit code 1, and nobody asked it to",
            ),
        ] {
            stage.events.push(LogEvent {
                at: at(5),
                level,
                source: "api".to_owned(),
                message: message.to_owned(),
            });
        }
        stage
    }

    fn press(&mut self, code: KeyCode) -> Option<crate::screen::tui::view::Asked> {
        self.view
            .key(KeyEvent::new(code, KeyModifiers::NONE), &self.board)
    }

    fn buffer(&mut self, width: u16, height: u16) -> Buffer {
        let area = Rect::new(0, 0, width, height);
        let mut buffer = Buffer::empty(area);
        let scene = Scene {
            board: &self.board,
            load: &self.load,
            history: &self.history,
            events: &self.events,
            ending: None,
            look_on: self.look_on,
            kept: Some(self.kept),
            look: self.look,
        };
        draw(&scene, &mut self.view, area, &mut buffer);
        buffer
    }

    fn screen(&mut self, width: u16, height: u16) -> String {
        let buffer = self.buffer(width, height);
        let rows = (0..height).map(|y| {
            let mut row = String::new();
            let mut x = 0;
            while x < width {
                let symbol = buffer[(x, y)].symbol();
                row.push_str(symbol);
                x += u16::try_from(unicode_width::UnicodeWidthStr::width(symbol))
                    .unwrap()
                    .max(1);
            }
            row.trim_end().to_owned() + "\n"
        });
        rows.collect()
    }
}

#[tokio::test(start_paused = true)]
async fn the_screen_at_80_by_24() {
    let mut stage = Stage::midway().await;
    stage.view.follow(&stage.board);
    assert_eq!(stage.screen(80, 24), include_str!("screens/80x24.txt"));
}

#[tokio::test(start_paused = true)]
async fn the_screen_at_200_by_50() {
    let mut stage = Stage::midway().await;
    stage.view.follow(&stage.board);
    assert_eq!(stage.screen(200, 50), include_str!("screens/200x50.txt"));
}

#[tokio::test(start_paused = true)]
async fn the_screen_without_unicode_and_colours() {
    let mut stage = Stage::midway().await;
    stage.look = Look {
        color: false,
        unicode: false,
    };
    stage.view.follow(&stage.board);
    let screen = stage.screen(80, 24);
    assert!(screen.is_ascii(), "{screen}");
    assert_eq!(screen, include_str!("screens/ascii.txt"));
    let buffer = stage.buffer(80, 24);
    let is_plain =
        |cell: &ratatui::buffer::Cell| cell.fg == Color::Reset && cell.bg == Color::Reset;
    assert!(buffer.content.iter().all(is_plain));
}

#[tokio::test(start_paused = true)]
async fn t_says_what_runs_and_why() {
    let mut stage = Stage::midway().await;
    stage.press(KeyCode::Char('t'));
    assert_eq!(stage.screen(80, 24), include_str!("screens/why.txt"));
    stage.press(KeyCode::Esc);
    assert!(!stage.screen(80, 24).contains("what runs, and why"));
}

#[tokio::test(start_paused = true)]
async fn the_keys_are_told() {
    let mut stage = Stage::midway().await;
    stage.press(KeyCode::Char('?'));
    let screen = stage.screen(80, 24);
    for key in [
        "Enter",
        "Ctrl-Z",
        "PgUp",
        "restart what runs",
        "stop it",
        "this help",
    ] {
        assert!(screen.contains(key), "{screen}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_line_has_the_keys_for_the_selected_row_and_the_help_those_for_who_looks_on() {
    let mut stage = Stage::midway().await;
    let last = |stage: &mut Stage| {
        let screen = stage.screen(80, 24);
        screen.lines().next_back().unwrap_or_default().to_owned()
    };
    assert!(
        last(&mut stage).contains("l tree  t why"),
        "compile is done"
    );
    stage.press(KeyCode::Down);
    assert!(last(&mut stage).ends_with("r restart  K stop  t why  ? help  q quit"));
    stage.press(KeyCode::Down);
    stage.step(
        8,
        Transition::StepRetrying {
            step: "browser-tests".to_owned(),
            attempt: 1,
            error: "exit code 1".to_owned(),
            wait: Duration::from_secs(1),
        },
    );
    assert!(last(&mut stage).contains("r try now  K give up"));
    stage.board.rows[2].waits = Some("waits for the signal `go`".to_owned());
    stage.board.rows[2].signal = Some("go".to_owned());
    stage.starts(9, "browser-tests", 2);
    assert!(last(&mut stage).contains("s signal  x skip"));
    stage.step(10, Transition::RunUp);
    assert!(last(&mut stage).ends_with("q end"));
    stage.look_on = true;
    stage.press(KeyCode::Up);
    assert!(last(&mut stage).ends_with("r restart  K stop  t why  ? help  q leave"));
    stage.press(KeyCode::Char('?'));
    let help = stage.screen(80, 40);
    assert!(help.contains("leave: the run goes on"), "{help}");
    assert!(
        !help.contains("end the run") && !help.contains("suspend"),
        "{help}"
    );
}

#[tokio::test(start_paused = true)]
async fn who_does_something_with_a_row_has_chosen_it() {
    for key in ['K', 'r', 'x', 's'] {
        let mut stage = Stage::midway().await;
        stage.view.follow(&stage.board);
        assert_eq!(stage.view.selected, 1);
        stage.press(KeyCode::Char(key));
        stage.starts(20, "publish", 1);
        stage.view.follow(&stage.board);
        assert_eq!(stage.view.selected, 1, "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_size_can_be_drawn() {
    let mut stage = Stage::midway().await;
    for width in (0..100).step_by(7) {
        for height in 0..30 {
            for over in [None, Some(Over::Help), Some(Over::Why)] {
                stage.view.over = over;
                stage.screen(width, height);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn output_is_scrolled_and_stays_where_it_is_when_more_comes() {
    let mut stage = Stage::midway().await;
    stage.view.follow(&stage.board);
    for line in 0..100 {
        stage.prints("api", 4712, &format!("line {line}"));
    }
    assert!(stage.screen(80, 24).contains("line 99"));
    stage.press(KeyCode::PageUp);
    let scrolled = stage.screen(80, 24);
    assert!(!scrolled.contains("line 99"), "{scrolled}");
    assert!(scrolled.contains("lines below"), "{scrolled}");
    stage.prints("api", 4712, "line 100");
    let shown = |screen: &str| {
        let lines = screen.lines().filter(|line| line.contains("│line "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(shown(&stage.screen(80, 24)), shown(&scrolled));
    stage.press(KeyCode::End);
    assert!(stage.screen(80, 24).contains("line 100"));
}

#[tokio::test(start_paused = true)]
async fn output_alone_has_the_whole_screen() {
    let mut stage = Stage::midway().await;
    stage.view.follow(&stage.board);
    stage.press(KeyCode::Enter);
    let screen = stage.screen(80, 24);
    let lines: Vec<&str> = screen.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines[0], "listening on 8080");
    assert_eq!(lines.last(), Some(&"GET / 200"));
    stage.press(KeyCode::Enter);
    assert!(stage.screen(80, 24).contains("steps and services"));
}

#[tokio::test(start_paused = true)]
async fn who_has_chosen_a_row_keeps_it() {
    let mut stage = Stage::midway().await;
    stage.press(KeyCode::Down);
    stage.view.follow(&stage.board);
    assert_eq!(stage.view.selected, 1);
    stage.press(KeyCode::Up);
    stage.view.follow(&stage.board);
    assert_eq!(stage.view.selected, 0);
}

#[tokio::test(start_paused = true)]
async fn the_screen_goes_to_an_optional_step_that_fails_and_on_to_what_starts_after_it() {
    let mut stage = Stage::new();
    stage.starts(0, "spelling", 1);
    stage.starts(1, "compile", 1);
    stage.view.follow(&stage.board);
    assert_eq!(stage.board.rows[stage.view.selected].id, "compile");
    let failed = |step: &str, optional| Transition::StepFailed {
        step: step.to_owned(),
        attempt: 1,
        error: "exit code 2".to_owned(),
        duration: Duration::from_secs(2),
        optional,
    };
    stage.step(2, failed("spelling", true));
    stage.view.follow(&stage.board);
    assert_eq!(stage.board.rows[stage.view.selected].id, "spelling");
    stage.starts(3, "publish", 1);
    stage.view.follow(&stage.board);
    assert_eq!(stage.board.rows[stage.view.selected].id, "publish");
    // What failed for good is not left.
    stage.step(4, failed("compile", false));
    stage.starts(5, "browser-tests", 1);
    stage.view.follow(&stage.board);
    assert_eq!(stage.board.rows[stage.view.selected].id, "compile");
}

fn exhausted(step: &str) -> Transition {
    Transition::StepExhausted {
        step: step.to_owned(),
        attempt: 3,
        error: "exit code 1".to_owned(),
        duration: Duration::from_secs(1),
    }
}

#[tokio::test(start_paused = true)]
async fn the_screen_goes_to_a_step_for_which_the_run_is_paused_and_r_tries_that_one_again() {
    let mut stage = Stage::midway().await;
    stage.step(8, exhausted("browser-tests"));
    // Something healthy begins after it.
    stage.starts(9, "publish", 1);
    stage.view.follow(&stage.board);
    assert_eq!(stage.screen(80, 24), include_str!("screens/paused.txt"));
    let wish = crate::hands::Wish::Retry("browser-tests".to_owned());
    let asked = stage.press(KeyCode::Char('r'));
    assert_eq!(asked, Some(crate::screen::tui::view::Asked::Wish(wish)));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_stopped_is_said() {
    let mut stage = Stage::midway().await;
    assert_eq!(stage.press(KeyCode::Char('K')), None);
    let screen = stage.screen(80, 24);
    assert!(
        screen.contains("compile is done: there is nothing to stop"),
        "{screen}"
    );
    stage.press(KeyCode::Down);
    let wish = crate::hands::Wish::Stop("api".to_owned());
    let asked = stage.press(KeyCode::Char('K'));
    assert_eq!(asked, Some(crate::screen::tui::view::Asked::Wish(wish)));
}

#[tokio::test(start_paused = true)]
async fn more_rows_than_fit_scroll_with_what_is_selected() {
    let mut text = String::new();
    for step in 0..40 {
        text += &format!("[[step]]\nid = 'step-{step}'\nrun = 'x'\n");
    }
    let file = WorkflowFile::parse(Path::new("many.toml"), text.as_bytes()).unwrap();
    let mut stage = Stage::new();
    stage.board = Board::new(&file, Bounds::TAIL, Arc::default());
    for _ in 0..30 {
        stage.press(KeyCode::Down);
    }
    let screen = stage.screen(80, 24);
    assert!(
        screen.contains("step-30") && !screen.contains("step-2 "),
        "{screen}"
    );
}

#[test]
fn memory_and_counts_are_said_in_units_that_fit() {
    assert_eq!(bytes(0), "0 kB");
    assert_eq!(bytes(512_300), "512 kB");
    assert_eq!(bytes(4_210_000), "4.2 MB");
    assert_eq!(bytes(96_000_000), "96 MB");
    assert_eq!(bytes(2_500_000_000), "2.5 GB");
    assert_eq!(count(-0.0 + 0.0), "0");
    assert_eq!(count(9_999.4), "9999");
    assert_eq!(count(123_456.0), "123 k");
    assert_eq!(count(2_705_631.0), "2.7 M");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_restarted_runs_again() {
    let mut stage = Stage::midway().await;
    let step = "browser-tests";
    stage.starts(9, step, 1);
    stage.process(9, step, ProcessState::Started { pid: 5 });
    stage.process(10, step, ProcessState::Stopping { signal: 15 });
    assert_eq!(stage.board.rows[2].state, State::Stopping);
    stage.process(11, step, ProcessState::Started { pid: 6 });
    assert_eq!(stage.board.rows[2].state, State::Running);
}

#[tokio::test(start_paused = true)]
async fn a_state_and_a_time_never_run_into_each_other() {
    for (attempt, wait) in [(2, 65), (13, 65), (13, 99), (100, 3_700)] {
        let mut stage = Stage::midway().await;
        stage.board.rows[2].attempts_max = 50;
        stage.starts(8, "browser-tests", attempt);
        stage.step(
            8,
            Transition::StepRetrying {
                step: "browser-tests".to_owned(),
                attempt,
                error: "exit code 1".to_owned(),
                wait: Duration::from_secs(wait),
            },
        );
        sleep(Duration::from_secs(wait)).await;
        let screen = stage.screen(80, 24);
        let row = screen.lines().find(|line| line.contains("browser-tests"));
        let row = row.unwrap_or_else(|| panic!("{screen}"));
        let unit = if wait > 3_600 { " h " } else { " min " };
        let (before, _) = row.split_once(unit).unwrap_or_else(|| panic!("{row}"));
        let number = before
            .rsplit(' ')
            .next()
            .and_then(|it| it.parse::<u32>().ok());
        assert!(number.is_some() && row.contains("retry "), "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_of_an_item_names_it() {
    let mut stage = Stage::midway().await;
    stage.board.labels.note("browser-tests:1", "firefox");
    for (source, said) in [
        ("browser-tests:1", "started as process 7"),
        ("browser-tests:1 crashed", "exit code 1"),
    ] {
        stage.events.push(LogEvent {
            at: at(9),
            level: LogLevel::Info,
            source: source.to_owned(),
            message: said.to_owned(),
        });
    }
    let screen = stage.screen(80, 24);
    let named = "browser-tests:1[firefox]";
    assert!(screen.contains(&format!("{named}: started as")), "{screen}");
    assert!(
        screen.contains(&format!("{named} crashed: exit")),
        "{screen}"
    );
}
