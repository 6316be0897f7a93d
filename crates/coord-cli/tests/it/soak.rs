//! A thousand steps beside fifty services that crash again and again: everything is done once, nothing is
//! left, and memory does not grow.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs::{DirEntry, read, read_dir, read_to_string};

use crate::coord::{Folder, Running, until};

const STEPS: usize = 1_000;
const SERVICES: usize = 50;
/// How much larger the program may be at the end than when a quarter was done, in KiB: a thousand steps
/// have outcomes, and events their places. If only each line, or each restart, were kept, it would be more.
const GROWTH_MAX: u64 = 6 * 1024;

/// Numbers that are the same each time, and look like none: xorshift.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Steps in the order of a random graph, each of which prints and says in a file that it was done; services
/// that some of them need, each of which crashes after some tenths of a second.
fn file(numbers: &mut Numbers) -> String {
    let mut file = "concurrency = 8\ntimeout = '10m'\n".to_owned();
    for service in 0..SERVICES {
        let lives = 2 + numbers.below(12);
        let (whole, tenth) = (lives / 10, lives % 10);
        write!(
            file,
            "[[service]]\nid = 's{service}'\nready = {{ log = 'up' }}\n\
             restart = {{ policy = 'on-failure', initial = '50ms', max = '500ms', intensity = 1000 }}\n\
             run = 'echo up; sleep {whole}.{tenth}; echo falls; exit 1'\n"
        )
        .unwrap();
    }
    for step in 0..STEPS {
        let mut needs = vec![format!("'s{}'", numbers.below(SERVICES as u64))];
        for _ in 0..numbers.below(3) {
            let near = numbers.below(step.min(40) as u64 + 1) as usize;
            if near > 0 {
                needs.push(format!("'t{}'", step - near));
            }
        }
        let needs = needs.join(", ");
        write!(
            file,
            "[[step]]\nid = 't{step}'\nneeds = [{needs}]\n\
             run = 'echo step {step}; echo {step} >> done; sleep 0.02'\n"
        )
        .unwrap();
    }
    file
}

/// What the system gives a process of memory, in KiB.
fn resident(pid: u32) -> u64 {
    let status = read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.unwrap().trim().trim_end_matches(" kB");
    number.parse().unwrap()
}

/// The processes that have this in their environment, which those that they start get from them. One that is
/// dead and waits for its parent to notice has none.
fn marked(marker: &str) -> Vec<String> {
    let processes = read_dir("/proc").unwrap().flatten();
    let is_marked = |process: &DirEntry| {
        let variables = read(process.path().join("environ")).unwrap_or_default();
        let mut variables = variables.split(|byte| *byte == 0);
        variables.any(|variable| variable == marker.as_bytes())
    };
    let marked = processes.filter(is_marked);
    marked
        .map(|process| read_to_string(process.path().join("comm")).unwrap_or_default())
        .collect()
}

#[test]
fn a_thousand_steps_beside_fifty_services_that_crash_leave_nothing_and_take_no_more_memory() {
    let folder = Folder::new();
    folder.write("coord.toml", file(&mut Numbers(0x5eed_1234_5678_9abc)));
    let marker = format!("SOAK={}", std::process::id());
    let mut command = folder.coord(["run", "--id", "r"]);
    command.env("SOAK", std::process::id().to_string());
    // How many of its threads have memory of their own at the allocator's, where it is glibc's, is chance: that alone
    // grows by up to 10 MiB.
    command.env("MALLOC_ARENA_MAX", "1");
    let mut coord = Running::start(command);
    assert!(!marked(&marker).is_empty(), "it is marked itself");
    let mut sizes = Vec::new();
    let mut crashes = 0;
    for part in 1..=4 {
        let until = STEPS / 4 * part;
        loop {
            let from = coord.printed.len();
            coord.until("");
            let line = &coord.printed[from..];
            crashes += usize::from(line.contains("| falls"));
            let is_there = read_to_string(folder.path().join("done"))
                .is_ok_and(|done| done.lines().count() >= until);
            if is_there {
                break;
            }
        }
        sizes.push(resident(coord.id()));
    }
    let (status, printed) = coord.end();
    assert_eq!(status.code(), Some(0), "{printed}");
    assert!(crashes > SERVICES, "{crashes} crashes are none");

    // Its watchdog ends a moment after it.
    until(|| marked(&marker).is_empty());
    let done = folder.read("done").unwrap();
    let each: BTreeSet<_> = done.lines().collect();
    assert_eq!((each.len(), done.lines().count()), (STEPS, STEPS));
    let growth = sizes[3].saturating_sub(sizes[0]);
    assert!(growth <= GROWTH_MAX, "it grew by {growth} KiB: {sizes:?}");
}
