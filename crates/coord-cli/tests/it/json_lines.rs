//! One event a line: complete, and for each process in the order in which things happened.

use serde_json::Value;

use crate::coord::{Folder, done};

fn events(workflow: &str) -> Vec<Value> {
    let folder = Folder::new();
    folder.write("coord.toml", workflow);
    let done = done(folder.coord(["run", "--output", "jsonl"]));
    let lines = done.out.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What is said of one process, in short.
fn story(events: &[Value], process: &str) -> Vec<String> {
    let about = |event: &Value| {
        let event = &event["event"];
        let word = |key: &str| event[key].as_str().map(str::to_owned);
        let name = word("process").or_else(|| word("step"))?;
        let what = word("transition")
            .or_else(|| word("state"))
            .or_else(|| word("line"))?;
        (name == process).then_some(what)
    };
    events.iter().filter_map(about).collect()
}

#[test]
fn what_happens_to_a_process_is_told_in_the_order_in_which_it_happened() {
    let step = |id: u32| {
        let print = "seq 1 50; test $COORD_ATTEMPT = 2";
        let retry = "{ max_attempts = 2, initial = '1ms' }";
        format!("[[step]]\nid = 's{id}'\nrun = '{print}'\nretry = {retry}\n")
    };
    let workflow: String = (0..20).map(step).collect();
    let events = events(&workflow);
    let lines = (1..=50).map(|line| line.to_string());
    let mut expected = Vec::new();
    for end in ["step-retrying", "step-completed"] {
        expected.extend(["step-started", "started"].map(str::to_owned));
        expected.extend(lines.clone());
        expected.extend(["exited", end].map(str::to_owned));
    }
    for id in 0..20 {
        assert_eq!(story(&events, &format!("s{id}")), expected);
    }
    assert_eq!(events[0]["event"]["transition"], "run-started");
    let last = events.last().unwrap();
    assert_eq!(last["topic"], "workflow-events");
    assert_eq!(last["event"]["transition"], "run-finished");
    assert_eq!(last["event"]["outcome"], "completed");
}

#[test]
fn undoing_is_told_too() {
    let events = events(
        "[[step]]\nid = 'a'\nrun = 'true'\nundo = 'echo back'\n\
         [[step]]\nid = 'b'\nneeds = ['a']\nrun = 'exit 3'\n",
    );
    assert_eq!(story(&events, "undo a"), ["started", "back", "exited"]);
    let exit = events
        .iter()
        .find(|event| event["event"]["process"] == "b" && event["event"]["state"] == "exited");
    assert_eq!(exit.unwrap()["event"]["code"], 3);
    let undone = story(&events, "a");
    assert_eq!(
        undone[undone.len() - 2..],
        ["compensation-started", "compensation-completed"]
    );
}
