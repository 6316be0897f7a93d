//! The beginning of a text, for where there is not room for all of it.

use unicode_width::UnicodeWidthChar;

use crate::file::printable;

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

/// As much of the first line of a text from outside, with a mark also where more lines follow.
pub(crate) fn first_line(text: &str, columns: usize) -> String {
    let text = text.trim();
    let line = text.lines().next().unwrap_or_default();
    let shown = shortened(&printable(line).replace('\t', " "), columns);
    match line.len() < text.len() && !shown.ends_with('…') {
        true => shown + "…",
        false => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_text_the_first_line_is_shown_and_a_mark_where_there_is_more() {
        for (text, shown) in [
            ("v1", "v1"),
            ("v1\n", "v1"),
            ("v1\nv2", "v1…"),
            ("two\twords", "two w…"),
            ("日本語日本語", "日本…"),
        ] {
            assert_eq!(first_line(text, 6), shown, "{text}");
        }
    }
}
