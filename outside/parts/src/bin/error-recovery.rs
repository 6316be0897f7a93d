//! A pattern of errors. It needs the feature `error-recovery`.
// without: the item is gated behind the `error-recovery` feature

use coordination::recovery::ErrorPattern;

fn main() {
    assert_eq!(ErrorPattern::failing_steps().name(), "failing-steps");
}
