//! The beginning of a text, for where there is not room for all of it.

use unicode_width::UnicodeWidthChar;

/// As much of a text as so many columns have room for, with a mark where it was cut.
pub(crate) fn shortened(text: &str, columns: usize) -> String {
    let mut shortened = String::new();
    let mut width = 0;
    for character in text.chars() {
        width += character.width().unwrap_or(0);
        if width > columns {
            shortened.pop();
            return shortened + "…";
        }
        shortened.push(character);
    }
    shortened
}
