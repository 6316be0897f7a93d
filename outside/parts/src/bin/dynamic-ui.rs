//! How a user interface is kept up to date. It needs the feature `dynamic-ui`.
// beside: integration-patterns
// without: the item is gated behind the `dynamic-ui` feature

use coordination::patterns::ui::DynamicUiConfig;

fn main() {
    println!("{:?}", DynamicUiConfig::default());
}
