//! The live screen of `coord run`: how soon a key is answered, alone and beside a flood of output,
//! and what the program costs meanwhile.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};

use crate::beside;

const KEYS: usize = 100;
/// Long enough for the processor time of an idle program to be seen at all.
const WATCHED: Duration = Duration::from_secs(10);
/// What the screen shows after the key `t`.
const ANSWER: &[u8] = b"what runs, and why";

const CASES: [(&str, &str); 3] = [
    ("idle", "echo up; exec sleep 1000"),
    (
        "200,000 lines a second",
        "while true; do seq 1 20000; sleep 0.1; done",
    ),
    (
        "as many lines as can be",
        "exec yes 'a line of usual length, printed often'",
    ),
];

pub(crate) fn run() {
    let folder = std::env::temp_dir().join(format!("coord-screen-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    println!(
        "screen: ms from a key to its answer, p50 / p99 / max of {KEYS}; processor time and the \
         peak of memory of coord"
    );
    for (name, command) in CASES {
        let file = format!("[[step]]\nid = \"a\"\nrun = \"{command}\"\n");
        std::fs::write(folder.join("coord.toml"), file).expect("a file can be written");
        case(name, &folder);
    }
    let _ = std::fs::remove_dir_all(&folder);
}

fn case(name: &str, folder: &Path) {
    let (pty, pts) = open().expect("a terminal");
    pty.resize(Size::new(24, 80)).expect("a size");
    let command = Command::new(beside("coord", "coord-cli"))
        .args(["run", "--no-journal"])
        .current_dir(folder);
    let command = command
        .env("TERM", "xterm-256color")
        .env("LC_ALL", "C.UTF-8");
    let mut child = command.spawn(pts).expect("it starts");
    let pty = std::sync::Arc::new(pty);
    let answers = answers(std::sync::Arc::clone(&pty));
    let press = |key: &[u8]| (&*pty).write_all(key).expect("a key is pressed");
    // Until the screen is there.
    press(b"t");
    answers.recv().expect("the screen comes");
    press(b"t");
    let before = processor_time(child.id());
    std::thread::sleep(WATCHED);
    let busy = processor_time(child.id()) - before;
    let mut waits = Vec::with_capacity(KEYS);
    for _ in 0..KEYS {
        std::thread::sleep(Duration::from_millis(20));
        let pressed = Instant::now();
        press(b"t");
        let answered = answers.recv().expect("the key is answered");
        waits.push((answered - pressed).as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_millis(20));
        press(b"t");
    }
    waits.sort_by(f64::total_cmp);
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
    let status = status.unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    println!(
        "{name:26} {:6.1} / {:.1} / {:.1} ms   {:5.1} % of a processor   {}",
        waits[KEYS / 2],
        waits[KEYS * 99 / 100],
        waits[KEYS - 1],
        busy / WATCHED.as_secs_f64() * 100.0,
        peak.unwrap_or("?").trim(),
    );
    for _ in 0..3 {
        press(b"q");
    }
    child.wait().expect("it ends");
}

/// When each answer came.
fn answers(pty: std::sync::Arc<Pty>) -> Receiver<Instant> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = vec![0; 64 * 1024];
        let mut seen: Vec<u8> = Vec::new();
        while let Ok(read @ 1..) = (&*pty).read(&mut bytes) {
            seen.extend_from_slice(&bytes[..read]);
            // Spaces may be drawn as moves of the cursor: the first word is enough.
            if let Some(at) = find(&seen, ANSWER).or_else(|| find(&seen, b" what runs")) {
                seen.drain(..at + 1);
                if sender.send(Instant::now()).is_err() {
                    return;
                }
            }
            let keep = seen.len().saturating_sub(ANSWER.len());
            seen.drain(..keep);
        }
    });
    receiver
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// In seconds.
fn processor_time(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<f64>().ok());
    // Of the user and of the system, in hundredths of a second.
    (ticks(11).unwrap_or_default() + ticks(12).unwrap_or_default()) / 100.0
}
