//! A journal. It needs the feature `journal`.
// without: the item is gated behind the `journal` feature

use coordination::journal::JournalOptions;

fn main() {
    println!("{:?}", JournalOptions::new());
}
