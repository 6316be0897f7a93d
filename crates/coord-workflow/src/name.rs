//! Names in workflows: what one may be, and how one is shown.

use std::fmt::{self, Display, Formatter};

use coord_bus::text::shortened;

/// The longest name of a workflow or a step, in characters.
pub const NAME_LENGTH_MAX: usize = 64;

/// Whether this can be the name of a workflow or the id of a step: 1 to [`NAME_LENGTH_MAX`] of
/// `A-Z`, `a-z`, `0-9`, `_`, `.` and `-`, the first of them a letter or a digit.
///
/// So a name is the same in a file name, a topic, a command line and a log.
pub fn is_name(text: &str) -> bool {
    is_name_up_to(text, NAME_LENGTH_MAX)
}

/// The same, of so many characters at most.
pub(crate) fn is_name_up_to(text: &str, length_max: usize) -> bool {
    text.len() <= length_max
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// A name as messages show it: between quotes, cut after [`NAME_LENGTH_MAX`] characters, and with
/// everything that a terminal would not print as itself escaped.
///
/// ```
/// use coord_workflow::Shown;
/// assert_eq!(Shown("a\u{1b}[31m").to_string(), r#""a\u{1b}[31m""#);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a>(pub &'a str);

impl Display for Shown<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{}\"", Bare(self.0))
    }
}

/// [`Shown`] without the quotes.
pub(crate) struct Bare<'a>(pub(crate) &'a str);

impl Display for Bare<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let shown = shortened(self.0, NAME_LENGTH_MAX);
        shown.escape_debug().fmt(formatter)
    }
}
