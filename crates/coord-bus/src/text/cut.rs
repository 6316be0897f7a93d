//! The beginnings of texts that must not be long.

use std::borrow::Cow;

/// The beginning of a text, of at most so many bytes, cut between two characters.
///
/// ```
/// assert_eq!(coord_bus::text::cut("häuser", 2), "h");
/// ```
pub fn cut(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The text, or so many of its characters and a sign that there were more.
///
/// ```
/// assert_eq!(coord_bus::text::shortened("häuser", 6), "häuser");
/// assert_eq!(coord_bus::text::shortened("häuser", 2), "hä…");
/// ```
pub fn shortened(text: &str, characters: usize) -> Cow<'_, str> {
    match text.char_indices().nth(characters) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// The text in so many characters, without its middle where it has more: names that belong together differ at
/// their ends.
///
/// ```
/// assert_eq!(coord_bus::text::without_middle("build-linux", 6), "bui…ux");
/// ```
pub fn without_middle(text: &str, characters: usize) -> Cow<'_, str> {
    let length = text.chars().count();
    if length <= characters {
        return Cow::Borrowed(text);
    }
    let kept = characters.saturating_sub(1);
    let begin = text.chars().take(kept.div_ceil(2)).chain(['…']);
    let short = begin.chain(text.chars().skip(length - kept / 2));
    Cow::Owned(short.take(characters).collect())
}
