//! What a module takes before it does anything: time, counted generously, and memory, counted by the
//! allocator.

use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use coordination::bus::LocalBus;
use coordination::bus::time::Instant;
use coordination::{CoordinationConfig, CoordinationModule};

const MEMORY_MAX: u64 = 10 * 1024 * 1024;
const TIME_MAX: Duration = Duration::from_millis(10);

fn module() -> CoordinationModule {
    CoordinationModule::start(Arc::new(LocalBus::new()), CoordinationConfig::default())
        .expect("the topics are free")
}

#[test]
fn a_module_with_all_parts_starts_in_10_ms_and_10_mb() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().expect("it starts");
    let _entered = runtime.enter();
    let (mut times, mut peak) = (Vec::new(), 0);
    // The first start of a program reads what it knows of the machine; a machine that is busy is no
    // fault of the module: so the best of some.
    for _ in 0..20 {
        let mut module_of_this_round = None;
        let begun = Instant::now();
        let memory = measure(|| module_of_this_round = Some(module()));
        times.push(begun.elapsed());
        peak = peak.max(memory.bytes_max);
        assert!(memory.bytes_max < MEMORY_MAX, "{memory:?}");
        assert!(module_of_this_round.is_some());
    }
    let first = times[0];
    times.sort_unstable();
    let (best, median) = (times[0], times[times.len() / 2]);
    println!(
        "started in {best:?}, {median:?} in the middle, {first:?} the first time; with {peak} bytes at most"
    );
    assert!(best < TIME_MAX, "{best:?}");
}
