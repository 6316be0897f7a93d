//! Specs: every fault is found at once, and what is valid is ordered.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use coord_workflow::{Call, Fault, Retry, Spec, StepSpec, validate};
use proptest::prelude::*;
use serde_json::json;

fn step(id: &str, needs: &[&str]) -> StepSpec {
    StepSpec::new(id, "work").needs(needs.iter().copied())
}

fn spec(steps: impl IntoIterator<Item = StepSpec>) -> Spec {
    steps.into_iter().fold(Spec::new("example"), Spec::step)
}

fn faults(spec: Spec) -> Vec<Fault> {
    validate(spec, ["work"]).expect_err("the spec has faults").0
}

fn messages(spec: Spec) -> Vec<String> {
    faults(spec).iter().map(ToString::to_string).collect()
}

#[test]
fn steps_are_ordered_after_what_they_need_and_otherwise_as_they_were_written() {
    let valid = validate(
        spec([
            step("deploy", &["test", "build", "test"]),
            step("lint", &[]),
            step("build", &["fetch"]),
            step("fetch", &[]),
            step("test", &["build"]),
        ]),
        ["work"],
    )
    .expect("no faults");
    assert_eq!(valid.order(), [1, 3, 2, 4, 0]);
    assert_eq!(valid.needs()[0], [2, 4], "each need once");
    assert_eq!(valid.into_spec().steps.len(), 5);
}

#[test]
fn a_workflow_without_steps_is_a_fault() {
    assert_eq!(faults(spec([])), [Fault::NoSteps]);
}

#[test]
fn every_fault_is_reported_at_once() {
    let mut wrong = spec([
        step("fetch", &["fetsh"]),
        step("fetch", &[]),
        step("-x", &[]),
        StepSpec::new("run", "wrok"),
        step("loop", &["loop"]),
    ]);
    wrong.name = "build & deploy".to_owned();
    assert_eq!(
        messages(wrong),
        [
            "the workflow's name \"build & deploy\" is not allowed: use 1 to 64 of the letters \
             a-z and A-Z, digits, `_`, `.` and `-`, and begin with a letter or digit",
            "steps 1 and 2 have the same id \"fetch\": rename one",
            "the id \"-x\" of step 3 is not allowed: use 1 to 64 of the letters a-z and A-Z, \
             digits, `_`, `.` and `-`, and begin with a letter or digit",
            "step \"run\" names the handler \"wrok\", which is not registered; did you mean \
             \"work\"?",
            "step \"fetch\" needs \"fetsh\", which is no step",
            "these steps wait for each other, so none can start: loop → loop",
        ]
    );
}

#[test]
fn a_cycle_is_reported_with_its_path_from_its_earliest_step() {
    let cycle = faults(spec([
        step("a", &[]),
        step("b", &["d", "a"]),
        step("c", &["b"]),
        step("d", &["c"]),
        step("after", &["d"]),
    ]));
    let ids = ["b", "d", "c"].map(str::to_owned).to_vec();
    let path = vec![1, 3, 2];
    assert_eq!(cycle, [Fault::Cycle { path, ids }]);
    assert!(cycle[0].to_string().ends_with("b → d → c → b"));
}

#[test]
fn of_two_ways_round_the_shorter_is_reported() {
    let cycle = messages(spec([
        step("a", &["b", "d"]),
        step("b", &["c"]),
        step("c", &["a"]),
        step("d", &["a"]),
    ]));
    assert_eq!(cycle.len(), 1);
    assert!(cycle[0].ends_with("a → d → a"), "{}", cycle[0]);
}

#[test]
fn separate_cycles_are_reported_separately() {
    let cycles = messages(spec([
        step("a", &["b"]),
        step("b", &["a"]),
        step("c", &["d", "a"]),
        step("d", &["c"]),
    ]));
    assert_eq!(cycles.len(), 2);
    assert!(cycles[0].ends_with("a → b → a"), "{}", cycles[0]);
    assert!(cycles[1].ends_with("c → d → c"), "{}", cycles[1]);
}

#[test]
fn the_middle_of_a_long_cycle_is_left_out_of_the_message() {
    let ring = (0..100).map(|i| step(&format!("s{i}"), &[&format!("s{}", (i + 1) % 100)]));
    let message = &messages(spec(ring))[0];
    assert!(
        message.ends_with("s4 → s5 → (88 more) → s94 → s95 → s96 → s97 → s98 → s99 → s0"),
        "{message}"
    );
}

#[test]
fn an_unknown_need_comes_with_the_nearest_step() {
    let unknown = faults(spec([
        step("build", &[]),
        step("test", &["build", "biuld"]),
    ]));
    assert_eq!(
        unknown,
        [Fault::UnknownNeed {
            step: 1,
            need: 1,
            any: false,
            id: "test".to_owned(),
            name: "biuld".to_owned(),
            nearest: Some("build".to_owned()),
        }]
    );
}

#[test]
fn a_step_does_one_thing_and_what_only_waits_has_no_handler() {
    let waits = StepSpec::signal("waits", "go");
    let both = StepSpec {
        sleep: Some(std::time::Duration::from_secs(1)),
        ..StepSpec::signal("both", "go")
    };
    let works = StepSpec {
        signal: Some("go".to_owned()),
        ..StepSpec::new("works", "work")
    };
    let nothing = StepSpec::new("nothing", "");
    let spec = [waits, both, works, nothing]
        .into_iter()
        .fold(Spec::new("w"), Spec::step);
    let faults = validate(spec, ["work"]).unwrap_err().0;
    assert!(matches!(&faults[0], Fault::TwoWorks { step: 1, .. }));
    assert!(matches!(&faults[1], Fault::TwoWorks { step: 2, .. }));
    assert!(matches!(&faults[2], Fault::UnknownHandler { step: 3, .. }));
    assert_eq!(faults.len(), 3);
}

#[test]
fn the_handlers_of_conditions_and_undos_are_checked_too() {
    let unknown = faults(spec([step("a", &[])
        .when(Call::new("cond", json!(1)))
        .undo(Call::new("back", json!(null)))]));
    let handlers: Vec<String> = unknown.iter().map(ToString::to_string).collect();
    assert!(handlers[0].contains("\"cond\"") && handlers[1].contains("\"back\""));
}

#[test]
fn faults_beyond_a_hundred_are_counted_not_told() {
    let faults = faults(spec((0..150).map(|_| step("same", &[]))));
    assert_eq!(faults.len(), 101);
    assert_eq!(faults[100], Fault::More { count: 49 });
}

#[test]
fn names_in_messages_are_cut_and_escaped() {
    let id = format!("\u{1b}[2J\u{202e}{}", "x".repeat(1_000_000));
    for message in messages(spec([step(&id, &[&id, "\u{7}"])])) {
        assert!(message.len() < 400, "{} bytes", message.len());
        assert!(
            !message.contains(['\u{1b}', '\u{202e}', '\u{7}']),
            "{message}"
        );
    }
}

#[test]
fn what_it_takes_to_check_steps_grows_with_their_number_and_no_more() {
    let id = |step: usize| format!("step-number-{step:05}");
    let check = |steps: usize| {
        let layered = spec((0..steps).map(|i| {
            let earlier = (i.saturating_sub(20)..i).map(id);
            StepSpec::new(id(i), "work").needs(earlier)
        }));
        let ring = spec((0..steps).map(|i| step(&id(i), &[&id((i + 1) % steps)])));
        let unknown = spec((0..steps / 5).map(|i| step(&id(i), &["setp-number-0001x"])));
        let began = Instant::now();
        assert!(validate(layered, ["work"]).is_ok());
        assert_eq!(faults(ring).len(), 1);
        assert_eq!(faults(unknown).len(), 101);
        began.elapsed()
    };
    // Ten times as many take as long as the few ten times, and would take ten times as long as that if each were
    // compared with each. In more turns than one only where the machine has other things to do.
    let grows_as_it_should = |_| {
        let few: Duration = (0..10).map(|_| check(600)).sum();
        check(6_000) < few * 4
    };
    assert!((0..5).any(grows_as_it_should));
}

#[test]
fn a_spec_is_read_from_json_with_the_names_of_the_original() {
    let read: Spec = serde_json::from_value(json!({
        "name": "example",
        "steps": [
            { "id": "a", "handler": "work", "input": { "n": 1 } },
            { "id": "b", "handler": "work", "depends_on": ["a"], "optional": true },
        ],
    }))
    .expect("a spec");
    let written = spec([
        StepSpec::new("a", "work").input(json!({ "n": 1 })),
        step("b", &["a"]).optional(),
    ]);
    assert_eq!(read, written);
    let again = serde_json::to_value(&read).and_then(serde_json::from_value::<Spec>);
    assert_eq!(again.expect("what was written can be read"), read);
}

#[test]
fn an_unknown_key_or_a_retry_without_an_attempt_is_refused() {
    let unknown = json!({ "id": "a", "handler": "work", "dependsOn": [] });
    assert!(serde_json::from_value::<StepSpec>(unknown).is_err());
    let mut none = serde_json::to_value(Retry::default()).expect("json");
    none["max_attempts"] = json!(0);
    assert!(serde_json::from_value::<Retry>(none).is_err());
}

#[test]
fn what_a_retry_does_not_say_is_as_by_default() {
    let read: Retry = serde_json::from_value(json!({ "max_attempts": 5 })).expect("a retry");
    assert_eq!(read, Retry::default().max_attempts(5));
}

#[test]
fn a_retry_says_how_often_and_how_long() {
    let delays = |retry: Retry| [1, 2, 3].map(|failures| retry.backoff.delay(failures).as_millis());
    let second = Duration::from_secs(1);
    assert_eq!(delays(Retry::default()), [500, 1000, 2000]);
    assert_eq!(delays(Retry::constant(second)), [1000; 3]);
    assert_eq!(
        delays(Retry::constant(second).initial(2 * second)),
        [2000; 3]
    );
    assert_eq!(delays(Retry::linear(second)), [1000, 2000, 3000]);
    let bounded = Retry::exponential().initial(second).max_delay(2 * second);
    assert_eq!(delays(bounded), [1000, 2000, 2000]);
    assert_eq!(Retry::default().max_attempts.get(), 3);
    assert_eq!(Retry::default().max_attempts(0), Retry::none());
}

/// Whether what a fault says is so.
fn is_true(fault: &Fault, spec: &Spec) -> bool {
    let steps = &spec.steps;
    match fault {
        Fault::NoSteps => steps.is_empty(),
        Fault::InvalidId { step, id } => {
            let wrong = id.is_empty() || id.starts_with('-') || id.contains('\u{1b}');
            wrong && *id == steps[*step].id
        }
        Fault::DuplicateId { first, second, id } => {
            first < second && *id == steps[*first].id && *id == steps[*second].id
        }
        Fault::UnknownNeed {
            step, need, name, ..
        } => *name == steps[*step].needs[*need] && steps.iter().all(|step| step.id != *name),
        Fault::Cycle { path, .. } => {
            let mut round = path.iter().zip(path.iter().cycle().skip(1));
            path.iter().min() == path.first()
                && round.all(|(step, need)| steps[*step].needs.contains(&steps[*need].id))
        }
        _ => false,
    }
}

proptest! {
    #[test]
    fn whatever_the_spec_every_fault_is_true_or_the_order_respects_every_need(
        steps in prop::collection::vec(
            ("[a-f\u{1b}-]{0,2}", prop::collection::vec("[a-f]{1,2}", 0..4)),
            0..12,
        )
    ) {
        let wanted = spec(steps.iter().map(|(id, needs)| StepSpec::new(id, "work").needs(needs)));
        match validate(wanted.clone(), ["work"]) {
            Ok(valid) => {
                let mut done = BTreeSet::new();
                for &index in valid.order() {
                    assert!(valid.needs()[index].iter().all(|need| done.contains(need)));
                    done.insert(index);
                }
                assert_eq!(done.len(), wanted.steps.len());
            }
            Err(faults) => {
                assert!(!faults.0.is_empty());
                assert!(faults.0.iter().all(|fault| is_true(fault, &wanted)), "{faults:?}");
                assert!(!faults.to_string().contains('\u{1b}'));
            }
        }
    }
}
