//! Settings of a stream. It needs the feature `optimization`.
// without: the item is gated behind the `optimization` feature

use coordination::optimize::{Settings, per_second};

fn main() {
    let settings = Settings::<String>::new().buffer_size(10).rate_limit(per_second(60));
    println!("{settings:?}");
}
