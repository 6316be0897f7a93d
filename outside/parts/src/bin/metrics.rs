//! Whether what is monitored is exported. It needs the feature `metrics`.
// without: no field `performance_export` on type `CoordinationConfig`

use coordination::CoordinationConfig;

fn main() {
    assert!(CoordinationConfig::default().performance_export);
}
