//! What marks unfinished work: in code as a macro, in comments as a word.

use proc_macro2::Delimiter;

use super::Finding;
use super::source::{Kind, Source, Token};

const MACROS: [&str; 2] = ["todo", "unimplemented"];
const WORDS: [&str; 3] = ["TODO", "FIXME", "XXX"];

pub(super) fn in_code(source: &Source) -> Vec<Finding> {
    let opens = |index| {
        [Delimiter::Parenthesis, Delimiter::Bracket, Delimiter::Brace]
            .into_iter()
            .any(|delimiter| source.is(index, &Kind::Open(delimiter)))
    };
    let finding = |(index, token): (usize, &Token)| {
        let word = source.word(index)?;
        let unfinished =
            MACROS.contains(&word) && source.is_sign(index + 1, '!') && opens(index + 2);
        unfinished.then(|| {
            Finding::new(
                token.line,
                format!("`{word}!` is unfinished work; finish it or leave it out"),
            )
        })
    };
    source
        .tokens
        .iter()
        .enumerate()
        .filter_map(finding)
        .collect()
}

pub(super) fn in_comments(source: &Source) -> Vec<Finding> {
    let finding = |(line, comment): (usize, &str)| {
        let word = comment
            .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
            .find(|word| WORDS.contains(word))?;
        let text = format!("`{word}` marks unfinished work; do it, or say what holds now");
        Some(Finding::new(line, text))
    };
    source.comments().into_iter().filter_map(finding).collect()
}

#[cfg(test)]
mod tests {
    use crate::tidy::tests::printed;

    const PATH: &str = "xtask/src/a.rs";

    #[test]
    fn unfinished_macros_are_found() {
        let printed = printed(
            PATH,
            "//! A.\nfn a() { todo!() }\nfn b() { unimplemented! { } }\n",
        );
        assert_eq!(printed.len(), 2, "{printed:?}");
        assert!(
            printed[0].starts_with("2: `todo!` is unfinished work;"),
            "{printed:?}"
        );
        assert!(
            printed[1].starts_with("3: `unimplemented!` is"),
            "{printed:?}"
        );
    }

    #[test]
    fn marks_are_found_in_each_kind_of_comment() {
        for comment in ["// TODO: later", "/// FIXME", "/* a\n XXX */", "//! (TODO)"] {
            let printed = printed(PATH, &format!("//! A.\n{comment}\nfn a() {{}}\n"));
            assert!(
                printed[0].contains("marks unfinished work; do it, or"),
                "{printed:?}"
            );
        }
    }

    #[test]
    fn strings_and_other_words_are_no_marks() {
        let text = "//! A todo list in mktemp.XXXXXX, and TODO_FILE.\n\
                    fn a(todo: bool) -> bool { let _ = \"TODO todo!()\"; todo != true }\n";
        assert_eq!(printed(PATH, text), Vec::<String>::new());
    }
}
