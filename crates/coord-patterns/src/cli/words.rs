//! A line in words, as a shell parts it.

/// A word, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The words of a line. A quote that is not closed goes to the end.
pub(super) fn split(line: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut quote = None;
    let mut characters = line.char_indices();
    while let Some((at, character)) = characters.next() {
        if quote.is_none() && character.is_whitespace() {
            if let Some(mut word) = word.take() {
                word.end = at;
                words.push(word);
            }
            continue;
        }
        let word = word.get_or_insert_with(|| Word {
            text: String::new(),
            start: at,
            end: line.len(),
        });
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '\'' | '"') => quote = Some(character),
            (None, '\\') => {
                word.text
                    .extend(characters.next().map(|(_, escaped)| escaped));
            }
            (Some('"'), '\\') => match characters.clone().next() {
                Some((_, escaped @ ('$' | '`' | '"' | '\\'))) => {
                    characters.next();
                    word.text.push(escaped);
                }
                // Before anything else it stands for itself.
                _ => word.text.push('\\'),
            },
            _ => word.text.push(character),
        }
    }
    words.extend(word);
    words
}

/// The words before a place in a line, and the one that is being typed there: empty, after white
/// space.
pub(super) fn until(line: &str, cursor: usize) -> (Vec<Word>, Word) {
    let mut cursor = cursor.min(line.len());
    while !line.is_char_boundary(cursor) {
        cursor -= 1;
    }
    let mut words = split(&line[..cursor]);
    // The last one is being typed, unless it has ended before.
    let typed = words.pop_if(|word| word.end == cursor);
    let typed = typed.unwrap_or(Word {
        text: String::new(),
        start: cursor,
        end: cursor,
    });
    (words, typed)
}

/// A text as one word of a line.
pub(super) fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./=:,@%+~^".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(line: &str) -> Vec<String> {
        split(line).into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn words_are_parted_as_a_shell_does_it() {
        let line = r#" a  'b c' d"e f"g\ h '' "i\"j" 'k"#;
        assert_eq!(texts(line), ["a", "b c", "de fg h", "", "i\"j", "k"]);
        let line = r#""\d+" "a\\b" "\$x \`y\` \"z\"" \d '\d' "\"#;
        let words = [r"\d+", r"a\b", r#"$x `y` "z""#, "d", r"\d", r"\"];
        assert_eq!(texts(line), words);
        let (words, typed) = until("deploy sta", 10);
        assert_eq!((words.len(), &*typed.text, typed.start), (1, "sta", 7));
        let (words, typed) = until("deploy sta", 7);
        assert_eq!((words.len(), &*typed.text, typed.start), (1, "", 7));
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_one_word_again(text in any::<String>()) {
            prop_assert_eq!(texts(&quoted(&text)), [text]);
        }

        #[test]
        fn any_line_can_be_parted_at_any_place(line in any::<String>(), cursor in 0_usize..40) {
            let (words, typed) = until(&line, cursor);
            for word in words.iter().chain([&typed]) {
                prop_assert!(line.get(word.start..word.end).is_some());
            }
        }
    }
}
