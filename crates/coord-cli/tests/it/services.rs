//! Services: there when they are needed, gone when they are not, started again when they fail.

mod again;
mod crashes;
mod failures;
mod kept_up;
mod lives;
mod readiness;
mod stops;
mod told;

use rustix::process::Signal;
use serde_json::Value;

use crate::coord::{Done, Folder, Running, done};

/// A run that is told as JSON lines.
struct Told {
    code: Option<i32>,
    events: Vec<Value>,
}

impl Told {
    /// Runs a workflow to its end.
    fn of(workflow: &str) -> Self {
        let folder = Folder::new();
        folder.write("coord.toml", workflow);
        Self::from(done(folder.coord(["run", "--output", "jsonl"])))
    }

    /// All that was told, a line each: `db starting`, `db | a line`, `test step-started`.
    fn all(&self) -> Vec<String> {
        self.events.iter().map(short).collect()
    }

    /// What was told of one step or service, without its name. What is found wrong and what is done
    /// about it come from others than the service, so they have no place in its story.
    fn story(&self, name: &str) -> Vec<String> {
        let of_service = self.events.iter().filter(|event| {
            ["service-lifecycle", "process-lifecycle", "process-output"]
                .iter()
                .any(|topic| event["topic"] == *topic)
        });
        let lines = of_service.map(short);
        let told = lines.filter_map(|line| {
            let (about, what) = line.split_once(' ')?;
            (about == name).then(|| what.to_owned())
        });
        told.collect()
    }

    /// These were told, each once and in this order.
    #[track_caller]
    fn in_order(&self, expected: &[&str]) -> &Self {
        let all = self.all();
        let places = expected.iter().map(|expected| {
            let mut found = (0..all.len()).filter(|place| all[*place] == *expected);
            match (found.next(), found.next()) {
                (Some(place), None) => place,
                _ => panic!("not one {expected:?} in {all:#?}"),
            }
        });
        assert!(places.is_sorted(), "{expected:?}: not so in {all:#?}");
        self
    }

    #[track_caller]
    fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{:#?}", self.all());
        self
    }
}

impl From<Done> for Told {
    fn from(done: Done) -> Self {
        let lines = done.out.lines();
        Self {
            code: done.code,
            events: lines
                .map(|line| serde_json::from_str(line).unwrap())
                .collect(),
        }
    }
}

/// An event in a few words.
fn short(event: &Value) -> String {
    let topic = event["topic"].as_str().unwrap();
    let event = &event["event"];
    let word = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let (about, what) = match topic {
        "workflow-events" => (word("step"), word("transition")),
        "service-lifecycle" => (word("service"), word("state")),
        "process-lifecycle" => (word("process"), word("state")),
        "process-output" => (word("process"), format!("| {}", word("line"))),
        "process-health" => (word("process"), format!("answers {}", word("answer"))),
        "error-detected" => (word("source"), format!("error {}", word("kind"))),
        "error-recovery" => (word("source"), word("progress")),
        "notification" => return format!("notification: {}", word("message")),
        topic => panic!("what is {topic}?"),
    };
    format!("{about} {what}").trim_start().to_owned()
}

/// A `coord` that is still running, on a workflow in a folder of its own.
fn start<const N: usize>(workflow: &str, arguments: [&str; N]) -> (Folder, Running) {
    let folder = Folder::new();
    folder.write("coord.toml", workflow);
    let mut command = folder.coord(["run"]);
    command.args(arguments);
    let running = Running::start(command);
    (folder, running)
}

/// Sends Ctrl-C, and waits until it has been understood.
#[track_caller]
fn interrupt(running: &mut Running, answer: &str) {
    running.signal(Signal::INT);
    running.until(answer);
}
