//! Sizes and times have to be above zero: [`above_zero`].

/// What was given, unless it is zero. As with futures' `chunks` and tokio's `interval`, that is a
/// fault of the program, and told at the line that it is in.
#[track_caller]
pub(crate) fn above_zero<N: Default + PartialEq>(setting: &str, given: N) -> N {
    assert!(
        given != N::default(),
        "{setting} cannot be zero: give it one that is above"
    );
    given
}
