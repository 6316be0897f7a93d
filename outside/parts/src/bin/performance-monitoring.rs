//! A threshold. It needs the feature `performance-monitoring`.
// without: the item is gated behind the `performance-monitoring` feature

use coordination::monitor::DEFAULT_INTERVAL;

fn main() {
    assert_eq!(DEFAULT_INTERVAL.as_secs(), 1);
}
