//! How a user interface is kept up to date. It needs the feature `dynamic-ui`.
// without: the item is gated behind the `integration-patterns` feature

use coordination::patterns::ui::DynamicUiConfig;

fn main() {
    println!("{:?}", DynamicUiConfig::default());
}
