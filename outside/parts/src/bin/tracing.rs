//! Log events for `tracing`. It needs the feature `tracing`.
// without: the item is gated behind the `tracing` feature

use coordination::bus::LogForwarder;

fn main() {
    println!("{}", std::any::type_name::<LogForwarder>());
}
