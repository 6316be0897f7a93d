//! Settings from a file. It needs the feature `config-file`.
// without: the item is gated behind the `config-file` feature

use coordination::CoordinationConfig;
use coordination::ConfigFaults;

fn main() {
    let faults: Option<ConfigFaults> = None;
    assert!(faults.is_none());
    let config = CoordinationConfig::default().with_toml("empty.toml", "");
    assert!(config.is_ok());
}
