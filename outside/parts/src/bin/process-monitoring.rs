//! How processes are monitored. It needs the feature `process-monitoring`.
// without: the item is gated behind the `integration-patterns` feature

use coordination::patterns::monitoring::ProcessMonitoringConfig;

fn main() {
    assert_eq!(ProcessMonitoringConfig::default().name, "process-monitoring");
}
