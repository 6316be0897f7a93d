//! A process. It needs the feature `integration-patterns`.
// without: the item is gated behind the `integration-patterns` feature

use coordination::patterns::process::ProcessSpec;

fn main() {
    println!("{:?}", ProcessSpec::shell("hello", "echo hello"));
}
