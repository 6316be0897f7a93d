//! The live screen: in a terminal, with real keys.

use std::fs::read_to_string;
use std::io::Read;

use pty_process::Size;
use pty_process::blocking::{Command, open};
use rustix::process::{Pid, Signal, kill_process};

use crate::coord::{Folder, done, is_gone, pids, until};
use crate::terminal::{CONTROL_C, DOWN, END, ENTER, PAGE_UP, Terminal, command, coord, timeless};

/// A service that is ready and a step that needs it, both of which stay.
pub(crate) const STAYS: &str = r#"
name = "stays"
concurrency = 2
[[service]]
id = "api"
run = "echo pid=$$; echo listening; exec sleep 1000"
ready = { log = "listening" }
[[step]]
id = "test"
run = "echo pid=$$; echo testing; exec sleep 1000"
needs = ["api"]
[[step]]
id = "publish"
run = "true"
needs = ["test"]
"#;

pub(crate) fn start(folder: &Folder, workflow: &str) -> Terminal {
    folder.write("coord.toml", workflow);
    Terminal::start(coord(folder.path()), 24, 80)
}

fn run_in(command: fn(Command) -> Command, workflow: &str) -> (Folder, Terminal) {
    let folder = Folder::new();
    folder.write("coord.toml", workflow);
    let terminal = Terminal::start(command(coord(folder.path())), 24, 80);
    (folder, terminal)
}

#[test]
fn a_run_that_completes_leaves_its_summary_in_the_terminal_and_the_terminal_as_it_was() {
    let folder = Folder::new();
    let mut terminal = start(&folder, "[[step]]\nid = 'a'\nrun = 'echo hello'\n");
    let (status, screen) = terminal.end();
    assert_eq!(status.code(), Some(0), "{screen}");
    assert!(screen.contains("coord completed in "), "{screen}");
    assert!(!screen.contains("steps and services"), "{screen}");
    assert!(terminal.is_restored());
}

#[test]
#[cfg(target_os = "linux")]
fn when_it_is_killed_the_terminal_is_given_back_and_says_how_to_go_on() {
    let folder = Folder::new();
    folder.write("coord.toml", STAYS);
    let script =
        "echo before; \"$0\" run --id r --journal j; echo killed > killed; read go; echo over";
    let shell = command(folder.path(), "sh").args(["-c", script, env!("CARGO_BIN_EXE_coord")]);
    let mut terminal = Terminal::start(shell, 24, 80);
    terminal.until_screen("the screen", |screen| {
        screen.alternate_screen() && screen.contents().contains("testing")
    });
    let shell = terminal.pid().as_raw_pid();
    let coord = read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
    let coord = Pid::from_raw(coord.trim().parse().unwrap()).unwrap();
    kill_process(coord, Signal::KILL).unwrap();
    let screen = terminal.until_screen("the screen before", |screen| {
        !screen.alternate_screen() && !screen.hide_cursor() && screen.contents().contains("goes on")
    });
    let lines: Vec<&str> = screen.lines().collect();
    assert_eq!(lines[0], "before", "{screen}");
    let said = lines
        .iter()
        .find(|line| line.starts_with("coord was killed"));
    assert!(
        said.unwrap().contains("`coord resume r --journal "),
        "{screen}"
    );
    until(|| folder.read("killed").is_some());
    terminal.keys("go\n");
    let (status, _) = terminal.end();
    assert_eq!(status.code(), Some(0));
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_that_has_its_history_is_left_as_it_is_when_it_is_killed() {
    let folder = Folder::new();
    folder.write("coord.toml", STAYS);
    let script = "\"$0\" run; echo killed > killed; read go; echo over";
    let shell = command(folder.path(), "sh").args(["-c", script, env!("CARGO_BIN_EXE_coord")]);
    let mut terminal = Terminal::start(shell, 24, 80);
    terminal.shows("testing");
    terminal.keys("o");
    terminal.until_screen("the stream", |screen| !screen.alternate_screen());
    let shell = terminal.pid().as_raw_pid();
    let coord = read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
    let coord = Pid::from_raw(coord.trim().parse().unwrap()).unwrap();
    let steps = pids(&terminal.shows("test    | pid="));
    kill_process(coord, Signal::KILL).unwrap();
    until(|| folder.read("killed").is_some());
    // By then the watchdog has done.
    until(|| steps.iter().all(|step| is_gone(*step)));
    terminal.keys("go\n");
    let (_, screen) = terminal.end();
    assert!(!screen.contains("coord was killed"), "{screen}");
}

#[test]
fn what_runs_is_shown_with_its_output_at_80_by_24_and_at_200_by_50() {
    let folder = Folder::new();
    let terminal = start(&folder, STAYS);
    terminal.shows("testing");
    let events = |screen: &str| screen.contains("test: started as process");
    let screen = terminal.until("the start of the step", events);
    assert_eq!(timeless(&screen), include_str!("screens/80x24.txt"));
    terminal.resize(50, 200);
    let is_wide = |screen: &str| screen.lines().nth(1).unwrap().chars().count() == 200;
    let measured = |screen: &str| screen.lines().nth(2).unwrap().contains("│cpu ");
    let screen = terminal.until("a wide screen", |screen| {
        is_wide(screen) && events(screen) && measured(screen)
    });
    assert_eq!(screen.lines().count(), 50);
    assert_eq!(timeless(&screen), include_str!("screens/200x50.txt"));
}

#[test]
fn keys_select_explain_and_help() {
    let folder = Folder::new();
    let terminal = start(&folder, STAYS);
    terminal.shows("testing");
    terminal.keys("t");
    terminal.shows_all([
        "what runs, and why",
        "needed by test",
        "waits for test (running)",
    ]);
    terminal.keys("t");
    terminal.until("the events", |screen| screen.contains("─ events ─"));
    terminal.keys("?");
    terminal.shows("suspend coord and what it runs");
    // Any other key closes what lies over the screen, and does no more.
    terminal.keys("K");
    terminal.until("the events", |screen| screen.contains("─ events ─"));
    terminal.keys(&["\u{1b}[A"; 9].concat());
    terminal.shows("listening");
    terminal.keys(DOWN);
    terminal.shows("testing");
}

#[test]
fn a_step_that_waits_for_a_resource_says_who_has_it() {
    let folder = Folder::new();
    let user = |id: &str| {
        format!("[[step]]\nid = '{id}'\nrun = 'exec sleep 1000'\nresources = {{ port = 1 }}\n")
    };
    let text = format!(
        "concurrency = 4\n[resources]\nport = 1\n{}{}",
        user("one"),
        user("two")
    );
    let terminal = start(&folder, &text);
    terminal.keys("t");
    terminal.shows("waits for port: 1 of 1 are taken, by one");
}

#[test]
fn output_is_scrolled_and_shown_alone_with_its_colours() {
    let folder = Folder::new();
    let print = r#"printf '\033[31mred\033[0m\n'; seq 1 100; printf '\033[32mgreen\033[0m\n'"#;
    let workflow = format!("[[step]]\nid = 'a'\nrun = '''{print}; exec sleep 1000'''\n");
    let terminal = start(&folder, &workflow);
    let color_of = |screen: &vt100::Screen, text: &str| {
        let (rows, columns) = screen.size();
        (0..rows.get()).find_map(|row| {
            let line = screen.rows(0, columns.get()).nth(row.into())?;
            let at = line.find(text)?;
            let column = u16::try_from(line[..at].chars().count()).ok()?;
            Some(screen.cell(row, column)?.fgcolor())
        })
    };
    let green = Some(vt100::Color::Idx(2));
    terminal.until_screen("green text", |screen| color_of(screen, "green") == green);
    for _ in 0..20 {
        terminal.keys(PAGE_UP);
    }
    let red = Some(vt100::Color::Idx(1));
    terminal.until_screen("red text", |screen| color_of(screen, "red") == red);
    terminal.shows("lines below");
    terminal.keys(END);
    terminal.shows("green");
    terminal.keys(ENTER);
    let alone = terminal.until("output alone", |screen| !screen.contains("steps and"));
    assert!(alone.lines().any(|line| line == "green"), "{alone}");
    assert!(alone.lines().any(|line| line == "100"), "{alone}");
    terminal.keys(ENTER);
    terminal.shows("steps and services");
}

#[test]
fn a_capital_k_stops_a_step_which_has_failed_and_the_failure_stays_in_view_until_q() {
    let folder = Folder::new();
    let mut terminal = start(&folder, STAYS);
    let running = terminal.shows("testing");
    terminal.keys("K");
    let by_hand = "it was stopped by hand";
    terminal.shows_all(["q leave", "stays failed", by_hand, "testing"]);
    let pids = pids(&running);
    assert!(pids.into_iter().all(is_gone), "{running}");
    terminal.keys("q");
    let (status, screen) = terminal.end();
    assert_eq!(status.code(), Some(100), "{screen}");
    assert!(
        screen.contains("test failed: it was stopped by hand"),
        "{screen}"
    );
    assert!(screen.contains("stays failed in "), "{screen}");
    assert!(terminal.is_restored());
}

#[test]
fn r_restarts_a_service_and_a_step_without_a_failure() {
    let folder = Folder::new();
    let terminal = start(&folder, STAYS);
    let before = pids(&terminal.shows("testing"));
    terminal.keys("r");
    terminal.until("the step's second output", |screen| {
        screen.matches("testing").count() == 2
    });
    terminal.keys(&["\u{1b}[A"; 9].concat());
    terminal.shows("listening");
    terminal.keys("r");
    let after = terminal.until("the service's second process", |screen| {
        screen.contains("ready x2") && screen.matches("pid=").count() == 2
    });
    let after = pids(&after);
    assert!(before.into_iter().all(is_gone));
    assert!(after.iter().any(|pid| !is_gone(*pid)));
}

#[test]
fn a_failure_leaves_the_output_of_the_failed_step_in_view() {
    let folder = Folder::new();
    let mut terminal = start(
        &folder,
        "[[step]]\nid = 'first'\nrun = 'echo fine'\n\
         [[step]]\nid = 'broken'\nneeds = ['first']\nrun = 'echo it is broken; exit 3'\n\
         [[step]]\nid = 'last'\nneeds = ['broken']\nrun = 'true'\n",
    );
    terminal.shows_all(["q leave", "it is broken", "exit code 3", "not run"]);
    terminal.shows_all([
        "─ what failed ─",
        "broken: exit code 3; coord.toml:5:6",
        "coord retry ",
    ]);
    terminal.keys(CONTROL_C);
    let (status, screen) = terminal.end();
    assert_eq!(status.code(), Some(100), "{screen}");
    assert!(screen.contains("  | it is broken"), "{screen}");
    assert!(terminal.is_restored());
}

#[test]
fn the_first_q_ends_the_run_and_the_second_kills_what_is_stubborn() {
    let folder = Folder::new();
    let mut terminal = start(
        &folder,
        "[[step]]\nid = 'a'\nrun = '''\ntrap '' TERM INT\nsleep 1000 & echo pid=$!\n\
         echo pid=$$\nwhile true; do sleep 1000; done\n'''\n",
    );
    let running = terminal.until("both", |screen| screen.matches("pid=").count() == 2);
    terminal.keys("q");
    terminal.shows("ending: what runs has its grace to stop");
    terminal.keys("q");
    let (status, screen) = terminal.end();
    assert_eq!(status.code(), Some(130), "{screen}");
    assert!(pids(&running).into_iter().all(is_gone));
    assert!(terminal.is_restored());
}

#[test]
fn a_polite_request_to_end_gives_the_terminal_back() {
    let folder = Folder::new();
    let mut terminal = start(&folder, STAYS);
    let running = pids(&terminal.shows("testing"));
    terminal.signal(Signal::TERM);
    let (status, screen) = terminal.end();
    assert_eq!(status.code(), Some(130), "{screen}");
    assert!(running.into_iter().all(is_gone));
    assert!(terminal.is_restored());
    assert!(screen.contains("stays cancelled in"), "{screen}");
}

#[test]
fn a_step_that_is_killed_from_outside_has_failed_and_the_screen_goes_on() {
    let folder = Folder::new();
    let terminal = start(&folder, STAYS);
    let step = pids(&terminal.shows("testing"))[0];
    rustix::process::kill_process(step, Signal::KILL).unwrap();
    terminal.shows_all(["q leave", "killed by SIGKILL"]);
    terminal.keys("?");
    terminal.shows("this help");
}

#[test]
fn without_colours_and_unicode_there_are_none() {
    let plain = |command: Command| command.env("NO_COLOR", "1").env("LC_ALL", "C");
    let (_folder, terminal) = run_in(plain, STAYS);
    let screen = terminal.shows("testing");
    assert!(screen.is_ascii(), "{screen}");
    let parser = terminal.parser();
    let (rows, columns) = parser.screen().size();
    for row in 0..rows.get() {
        for column in 0..columns.get() {
            let cell = parser.screen().cell(row, column).unwrap();
            assert_eq!(cell.fgcolor(), vt100::Color::Default);
        }
    }
}

#[test]
fn a_dumb_terminal_gets_text_and_so_does_who_asks_for_it() {
    let dumb = |command: Command| command.env("TERM", "dumb");
    let text = |command: Command| command.args(["run", "--output", "text"]);
    for command in [dumb as fn(Command) -> Command, text] {
        let (_folder, mut terminal) = run_in(command, "[[step]]\nid = 'a'\nrun = 'echo hello'\n");
        let (status, screen) = terminal.end();
        assert_eq!(status.code(), Some(0), "{screen}");
        assert!(screen.contains("a | hello"), "{screen}");
    }
}

#[test]
fn a_flood_of_output_leaves_the_screen_alive_and_memory_flat() {
    let folder = Folder::new();
    let terminal = start(
        &folder,
        "[[step]]\nid = 'flood'\nrun = \"exec yes 'a line of usual length, which is printed often'\"\n\
         [[step]]\nid = 'calm'\nrun = 'echo calm; exec sleep 1000'\n",
    );
    terminal.shows("lines/s");
    let mut held = 0;
    for round in 0..20 {
        terminal.keys("t");
        terminal.shows("what runs, and why");
        terminal.keys("t");
        terminal.until("the events", |screen| screen.contains("─ events ─"));
        let status = format!("/proc/{}/status", terminal.pid().as_raw_nonzero());
        let status = read_to_string(status).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak: u64 = peak
            .unwrap()
            .split_whitespace()
            .next()
            .unwrap()
            .parse()
            .unwrap();
        assert!(peak < 100_000, "{peak} kB in round {round}");
        held = held.max(peak);
    }
    assert!(held > 0);
    terminal.keys(&["\u{1b}[A"; 9].concat());
    terminal.keys(DOWN);
    terminal.shows("calm");
    terminal.keys("q");
    terminal.until_screen("what was before", |screen| !screen.alternate_screen());
}

#[test]
fn sigusr1_shows_what_runs_and_why_on_the_screen_and_in_the_stream() {
    let folder = Folder::new();
    let terminal = start(&folder, STAYS);
    terminal.shows_all(["testing", "ready"]);
    terminal.signal(Signal::USR1);
    terminal.shows_all(["what runs, and why", "publish  waits for test (running)"]);
    terminal.keys("t");
    terminal.until("the screen", |screen| !screen.contains("what runs"));
    terminal.keys("o");
    terminal.shows("as a stream");
    terminal.signal(Signal::USR1);
    terminal.shows("  publish  waits for test (running)");
}

#[test]
fn a_terminal_that_goes_away_ends_the_run_however_much_is_printed() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'flood'\nrun = 'echo $$ > pid; exec yes flood'\n",
    );
    let (mut pty, pts) = open().unwrap();
    pty.resize(Size::new(24, 80)).unwrap();
    let mut child = coord(folder.path()).spawn(pts).unwrap();
    let mut shown = Vec::new();
    let mut bytes = [0; 4096];
    while !shown.windows(5).any(|window| window == b"flood") {
        let read = pty.read(&mut bytes).unwrap();
        shown.extend_from_slice(&bytes[..read]);
    }
    drop(pty);
    assert_eq!(child.wait().unwrap().code(), Some(110));
    let pid: i32 = folder.read("pid").unwrap().trim().parse().unwrap();
    assert!(is_gone(Pid::from_raw(pid).unwrap()));
}

/// A step that runs until there is a file, and one that comes after it.
const PAUSABLE: &str = "[[step]]\nid = 'one'\nrun = 'echo began; until test -e go; do sleep 0.01; done'\n\
     [[step]]\nid = 'two'\nneeds = ['one']\nrun = 'echo second; exec sleep 1000'\n";

#[test]
fn a_run_that_is_paused_from_another_process_says_so_and_why_nothing_begins() {
    let folder = Folder::new();
    folder.write("coord.toml", PAUSABLE);
    let journal = ["run", "--id", "r", "--journal", "state/coord"];
    let terminal = Terminal::start(coord(folder.path()).args(journal), 24, 80);
    terminal.shows("began");
    done(folder.coord(["pause", "r"])).exits(0);
    terminal.shows("paused (p goes on)");
    folder.write("go", "");
    terminal.keys("t");
    terminal.shows("waits until the run is continued");
    terminal.keys("t");
    done(folder.coord(["continue", "r"])).exits(0);
    let goes_on = |screen: &str| screen.contains("second") && !screen.contains("paused");
    terminal.until("the second step", goes_on);
    terminal.keys("qq");
}

#[test]
fn a_key_pauses_the_run_and_lets_it_go_on() {
    let folder = Folder::new();
    folder.write("coord.toml", PAUSABLE);
    let terminal = Terminal::start(coord(folder.path()).args(["run", "--no-journal"]), 24, 80);
    terminal.shows("began");
    terminal.keys("?");
    terminal.shows("pause the run: no step begins; again: go on");
    terminal.keys("?p");
    terminal.shows("paused (p goes on)");
    folder.write("go", "");
    terminal.shows("1 of 2 over");
    terminal.keys("p");
    let goes_on = |screen: &str| screen.contains("second") && !screen.contains("paused");
    terminal.until("the second step", goes_on);
    terminal.keys("qq");
}

#[test]
fn a_run_in_which_no_process_runs_uses_no_processor_time() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 'waits'\nsleep = '1000s'\n");
    let terminal = Terminal::start(coord(folder.path()).args(["run", "--no-journal"]), 24, 80);
    terminal.shows("cpu 0 % · 0 kB");
    terminal.keys("qq");
}

#[test]
fn a_screen_on_which_nothing_happens_costs_next_to_nothing() {
    const WINDOWS: u32 = 3;
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'waits'\nrun = 'exec sleep 1000'\n",
    );
    let terminal = Terminal::start(coord(folder.path()).args(["run", "--no-journal"]), 40, 120);
    // In hundredths of a second, in the program and for it in the system.
    let used = || {
        let stat = read_to_string(format!("/proc/{}/stat", terminal.pid().as_raw_nonzero()));
        let stat = stat.unwrap();
        let fields = stat.rsplit_once(") ").unwrap().1.split(' ').skip(11);
        let times = fields.take(2).map(|time| time.parse::<u32>().unwrap());
        times.sum::<u32>()
    };
    let seconds = |screen: &str| {
        let told = screen.split("running ").skip(1);
        let told = told.filter_map(|rest| rest.split_once(" s")?.0.parse::<u32>().ok());
        told.max().unwrap_or_default()
    };
    // On a busy machine a second may be left out.
    let shown = |least| seconds(&terminal.until("the time", |screen| seconds(screen) >= least));
    let (mut from, mut costs) = (shown(2), Vec::new());
    // It takes a look at the loads each second, here without optimisation. Where others use the processors, too, it
    // costs more, and never less.
    let is_cheap = (0..WINDOWS).any(|_| {
        let (began, before) = (from, used());
        from = shown(began + 3);
        let (took, used) = (from - began, used() - before);
        costs.push((used, took));
        used <= 5 * took
    });
    assert!(is_cheap, "hundredths of a second in seconds: {costs:?}");
}

#[test]
fn a_screen_that_grows_and_shrinks_is_drawn_anew_at_each_size() {
    let folder = Folder::new();
    let terminal = start(&folder, STAYS);
    terminal.shows("testing");
    for (rows, columns) in [(100, 300), (24, 80), (40, 120), (10, 40), (100, 300)] {
        terminal.resize(rows, columns);
        let is_drawn = |screen: &str| {
            let lines: Vec<&str> = screen.lines().collect();
            let last = lines.get(usize::from(rows) - 1);
            last.is_some_and(|keys| keys.contains("select"))
                && lines[1].chars().count() == usize::from(columns)
        };
        let screen = terminal.until("all of the screen", is_drawn);
        assert_eq!(screen.lines().count(), usize::from(rows));
    }
}

#[test]
fn what_is_pasted_does_nothing_and_a_terminal_is_told_to_paste_as_before() {
    let folder = Folder::new();
    let mut terminal = start(&folder, STAYS);
    terminal.shows("testing");
    terminal.until_screen("pastes as a whole", vt100::Screen::bracketed_paste);
    terminal.keys("\u{1b}[200~pleaSe Kill qq\r\u{1b}[201~");
    terminal.shows_all(["what is pasted is no key", "testing"]);
    terminal.keys("qq");
    let (status, screen) = terminal.end();
    assert_eq!(status.code(), Some(130), "{screen}");
    terminal.until_screen("pastes as before", |screen| !screen.bracketed_paste());
}

#[test]
fn control_l_draws_everything_anew() {
    let folder = Folder::new();
    let terminal = start(&folder, STAYS);
    terminal.shows("testing");
    terminal.spoil("\u{1b}[12;20Hwritten by another\u{1b}[13;20Hprogram");
    terminal.shows("written by another");
    terminal.keys("\u{c}");
    terminal.until("a screen drawn anew", |screen| {
        screen.contains("testing") && !screen.contains("another") && !screen.contains("program")
    });
    terminal.shows("steps and services");
}

#[test]
fn of_characters_that_the_terminal_takes_for_wider_nothing_is_left() {
    let folder = Folder::new();
    // Four columns for this terminal, and two by the book.
    let workflow = "[[step]]\nid = 'a'\nrun = '''printf '👩‍🔬\\n%s\\n' under
        until test -e go; do sleep 0.01; done
        seq 40; echo last; exec sleep 1000'''\n";
    let terminal = start(&folder, workflow);
    terminal.shows_all(["👩", "under"]);
    folder.write("go", "");
    terminal.until("what was printed since, and nothing else", |screen| {
        screen.contains("last") && !screen.contains('👩') && !screen.contains('🔬')
    });
}
