//! Events from publishers to subscribers as fast as they can: the bus beside its peers.

use super::event::{Sample, Small, Update};
use super::peers::{PROTOTYPE, each_peer};
use super::traffic::{Contender, Load, contender};
use crate::report::{Report, Row};

const DELIVERIES: u64 = 2_000_000;
const ROUNDS: usize = 9;

/// An event of 256 bytes.
type Large = Update<28>;

/// A row of the table: who takes part, from how many to how many, and how many times as fast as
/// the best peer coord-bus is meant to be.
struct Case {
    name: &'static str,
    contenders: [Contender; 6],
    publishers: u64,
    subscribers: u64,
    aim: f64,
}

impl Case {
    fn new<E: Sample>(name: &'static str, publishers: u64, subscribers: u64, aim: f64) -> Self {
        Self {
            name,
            contenders: each_peer!(P => contender::<P, E>()),
            publishers,
            subscribers,
            aim,
        }
    }

    fn load(&self) -> Load {
        Load {
            publishers: self.publishers,
            subscribers: self.subscribers,
            events: DELIVERIES / self.subscribers,
        }
    }
}

pub(crate) fn run() {
    let cases = [
        Case::new::<Small>("1 subscriber", 1, 1, 1.2),
        Case::new::<Large>("1 subscriber, 256 bytes", 1, 1, 1.2),
        Case::new::<Small>("4 subscribers", 1, 4, 2.5),
        Case::new::<Small>("16 subscribers", 1, 16, 5.0),
        Case::new::<Small>("64 subscribers", 1, 64, 8.0),
        Case::new::<Small>("4 publishers, 4 subscribers", 4, 4, 2.5),
    ];
    let report = Report::new(
        "bus throughput",
        "ns per delivery, lossless, 1 publisher, 32-byte events, capacity 1024; in brackets × coord-bus",
        cases[0].contenders.iter().map(|contender| contender.name),
    );
    let mut aims = Vec::new();
    for (workers, threads) in [(1, "current thread"), (2, "two workers")] {
        for case in &cases {
            let row = Row::rounds(
                format!("{}, {threads}", case.name),
                case.contenders.len(),
                ROUNDS,
                |contender| case.contenders[contender].measure(case.load(), workers),
            );
            report.row(&row);
            aims.push(aim(case, &row));
        }
    }
    println!("\nBeside the best peer, and beside the prototype:\n");
    println!("{}", aims.join("\n"));
}

/// How the row compares with what it was meant to be.
fn aim(case: &Case, row: &Row) -> String {
    let ratios = row.ratios();
    let named = || case.contenders.iter().zip(&ratios);
    let is_peer = |name| name != PROTOTYPE && name != case.contenders[0].name;
    let best = named().filter(|(contender, _)| is_peer(contender.name));
    let (best, ratio) = best
        .min_by(|(_, a), (_, b)| a.total_cmp(b))
        .expect("there are peers");
    let floor = named().find(|(contender, _)| contender.name == PROTOTYPE);
    let (_, floor) = floor.expect("the prototype takes part");
    let verdict = if *ratio >= case.aim { "met" } else { "short" };
    format!(
        "- {}: {ratio:.2}× {}, aim {}× {verdict}; {floor:.2}× the prototype",
        row.name(),
        best.name,
        case.aim
    )
}
