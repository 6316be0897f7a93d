//! How processes are monitored. It needs the feature `process-monitoring`.
// beside: integration-patterns
// without: the item is gated behind the `process-monitoring` feature

use coordination::patterns::monitoring::ProcessMonitoringConfig;

fn main() {
    assert_eq!(ProcessMonitoringConfig::default().name, "process-monitoring");
}
