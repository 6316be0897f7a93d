//! What is looked for in output: a text, in any case unless it has a capital letter.

use std::borrow::Cow;
use std::ops::Range;

use anstream::adapter::strip_str;

/// A text that is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    text: String,
    is_exact: bool,
}

impl Pattern {
    /// Nothing can be looked for with no text.
    pub(super) fn new(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self {
            text: text.to_owned(),
            is_exact: text.chars().any(char::is_uppercase),
        })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is in what is to be seen of a line, whatever its colours.
    pub(super) fn is_in(&self, line: &str) -> bool {
        let line = plain(line);
        match self.is_exact {
            true => line.contains(&self.text),
            false => self.next_in(&line).is_some(),
        }
    }

    /// Where it is in a text without colours.
    pub(super) fn ranges(&self, text: &str) -> Vec<Range<usize>> {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        let mut from = 0;
        while let Some(range) = self.next_in(&text[from..]) {
            ranges.push(from + range.start..from + range.end);
            from += range.end;
        }
        ranges
    }

    fn next_in(&self, text: &str) -> Option<Range<usize>> {
        text.char_indices().find_map(|(start, _)| {
            let length = self.begins(&text[start..])?;
            Some(start..start + length)
        })
    }

    /// How long it is at the beginning of a text, if it is there: in another case, characters may
    /// have other lengths.
    fn begins(&self, text: &str) -> Option<usize> {
        let mut rest = text.chars();
        for wanted in self.text.chars() {
            let there = rest.next()?;
            let is_same = there == wanted
                || !self.is_exact && there.to_lowercase().eq(std::iter::once(wanted));
            if !is_same {
                return None;
            }
        }
        Some(text.len() - rest.as_str().len())
    }
}

/// A line without its colours.
pub(super) fn plain(line: &str) -> Cow<'_, str> {
    if line.contains('\u{1b}') {
        Cow::Owned(strip_str(line).to_string())
    } else {
        Cow::Borrowed(line)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).expect("it is not empty")
    }

    #[test]
    fn small_letters_stand_for_capitals_and_capitals_for_themselves() {
        assert!(pattern("error").is_in("an ERROR"));
        assert!(pattern("ärger").is_in("ÄRGER"));
        assert!(!pattern("Error").is_in("an ERROR"));
        assert!(pattern("Error").is_in("an Error"));
        assert_eq!(Pattern::new(""), None);
    }

    #[test]
    fn colours_do_not_hide_what_is_to_be_seen() {
        assert!(pattern("redder").is_in("\u{1b}[31mred\u{1b}[0mder"));
        assert!(!pattern("31m").is_in("\u{1b}[31mred\u{1b}[0m"));
    }

    #[test]
    fn each_place_is_found_once() {
        assert_eq!(pattern("aa").ranges("aaaaa b aA"), [0..2, 2..4, 8..10]);
        assert!(pattern("b").ranges("aaa").is_empty());
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_was_looked_for(text in "[aAbBäÄ日İ]{0,12}", wanted in "[abä日]{1,3}") {
            let found = pattern(&wanted).ranges(&text);
            for range in &found {
                prop_assert_eq!(text[range.clone()].to_lowercase(), wanted.clone());
            }
            prop_assert_eq!(found.is_empty(), !pattern(&wanted).is_in(&text));
        }
    }
}
