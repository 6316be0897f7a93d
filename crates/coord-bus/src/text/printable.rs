//! Texts from outside, as they may be shown.

use std::fmt::{self, Display, Formatter, Write};

/// Whether a terminal shows this character and does nothing else: neither does it obey it, as it does control
/// characters, nor does the character break the line or turn the direction of what is read.
///
/// This is the rule for texts from outside, such as names, messages and files, wherever they are told. What
/// processes print has one of its own, as colours, tabs and marks of direction stay there.
pub fn is_printable(character: char) -> bool {
    !character.is_control()
        && !matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// Displays a text in one line, in which each character that is not [printable](is_printable) is an escape.
///
/// ```
/// assert_eq!(coord_bus::text::Printable("\u{1b}[2Jé\n").to_string(), r"\u{1b}[2Jé\n");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Printable<'t>(pub &'t str);

impl Display for Printable<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match is_printable(c) {
            true => formatter.write_char(c),
            false => c.escape_default().fmt(formatter),
        })
    }
}
