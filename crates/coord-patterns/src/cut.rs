//! Texts that are kept, and must not be long.

/// The beginning of a text, of at most so many bytes, cut between two characters.
pub(crate) fn cut(text: &str, longest: usize) -> &str {
    let mut end = longest.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
