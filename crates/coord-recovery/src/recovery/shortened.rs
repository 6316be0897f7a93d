//! Names that come from outside: no longer than they may be.

/// How much of a key, or of a source that an event names, is told, in characters.
pub(super) const NAME_MAX: usize = 100;

/// The text, or as many of its characters, with a sign that there were more.
pub(super) fn shortened(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
