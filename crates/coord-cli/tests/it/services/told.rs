//! What is told of services as JSON lines, and that all of it is.

use super::Told;
use crate::coord::run;

#[test]
fn what_becomes_of_a_service_is_told_in_the_order_in_which_it_happened() {
    let service = |id: u32| {
        format!(
            "[[service]]\nid = 's{id}'\nready = {{ log = '^50$' }}\n\
             run = '''seq 1 50; echo x >> s{id}; test $(wc -l < s{id}) = 2 && \
             {{ touch over{id}; exec sleep 1000; }}; exit 3'''\n\
             restart = {{ policy = 'on-failure', initial = '1ms', max = '1ms' }}\n\
             [[step]]\nid = 't{id}'\nneeds = ['s{id}']\n\
             run = 'while ! test -f over{id}; do sleep 0.01; done'\n"
        )
    };
    let workflow: String = (0..8).map(service).collect();
    let told = Told::of(&workflow);
    told.exits(0);
    let lines = (1..=50).map(|line| format!("| {line}"));
    for id in 0..8 {
        // A process that ends as soon as it has said that it is ready may not be believed.
        let mut story = told.story(&format!("s{id}"));
        let ready = story.iter().filter(|what| *what == "ready").count();
        assert!((1..=2).contains(&ready), "{story:?}");
        let last = story.iter().rposition(|what| what == "ready").unwrap();
        assert!(last > story.iter().rposition(|what| what == "| 50").unwrap());
        story.retain(|what| what != "ready");
        let mut expected = Vec::new();
        for end in [&["exited"][..], &["stopping", "exited"]] {
            expected.extend(["starting", "started"].map(str::to_owned));
            expected.extend(lines.clone());
            expected.extend(end.iter().copied().chain(["ended"]).map(str::to_owned));
        }
        assert_eq!(story, expected);
    }
}

#[test]
fn a_crash_is_told_with_its_error_its_notification_and_what_is_done_about_it() {
    let told = Told::of(
        r#"
        [[service]]
        id = "db"
        run = "test -f was && { echo up; exec sleep 1000; }; touch was; echo down; exit 3"
        ready = { exec = "test -f was && test -f asked || { touch asked; exit 1; }" }
        restart = { policy = "on-failure", initial = "1ms", max = "1ms" }
        [[step]]
        id = "test"
        run = "true"
        needs = ["db"]
        "#,
    );
    told.exits(0);
    let all = told.all();
    let of = |what: &str| all.iter().position(|line| line == what);
    let place = |what: &str| of(what).unwrap_or_else(|| panic!("no {what:?} in {all:#?}"));
    // The first of each.
    assert!(place("db started") < place("db | down"), "{all:#?}");
    assert!(
        place("db ended") < place("db error child-failed"),
        "{all:#?}"
    );
    assert!(
        place("db error child-failed") < place("db attempting"),
        "{all:#?}"
    );
    assert!(place("db attempting") < place("db recovered"), "{all:#?}");
    assert!(place("db ready") < place("db recovered"), "{all:#?}");
    assert!(
        place("db exited") < place("notification: exit code 3"),
        "{all:#?}"
    );
    let starts: Vec<usize> = (0..all.len())
        .filter(|place| all[*place] == "db starting")
        .collect();
    assert_eq!(starts.len(), 2, "{all:#?}");
    assert!(place("db attempting") < starts[1], "{all:#?}");
    let is_answer = |line: &String| line.starts_with("db answers");
    assert!(all.iter().any(is_answer), "{all:#?}");
}

#[test]
fn a_service_that_prints_a_lot_beside_a_step_is_complete_and_memory_stays_flat() {
    let done = run(r#"
        [[service]]
        id = "many"
        run = "echo up; seq 1 400000; touch over; exec sleep 1000"
        ready = { log = "up" }
        [[step]]
        id = "beside"
        run = "while ! test -f over; do echo here; sleep 0.01; done"
        needs = ["many"]
        [[step]]
        id = "memory"
        needs = ["beside"]
        run = "grep VmHWM /proc/$PPID/status"
        "#);
    done.exits(0);
    let many = done
        .out
        .lines()
        .filter_map(|line| line.strip_prefix("many   | "));
    let expected = (1..=400_000).map(|number| number.to_string());
    let expected = std::iter::once("up".to_owned()).chain(expected);
    assert!(many.eq(expected), "a line is missing, or in another place");
    let peak = done
        .out
        .lines()
        .find(|line| line.contains("VmHWM"))
        .unwrap();
    let mut words = peak.split_whitespace();
    let peak = words.find_map(|word| word.parse::<u64>().ok());
    assert!(peak.unwrap() < 100_000, "{peak:?} kB");
}
