//! How a file is named, how it opens, and how long it and its functions are.

use std::path::Path;

use proc_macro2::Delimiter;

use super::Finding;
use super::source::{Kind, Source};

const NAMES_REFUSED: [&str; 5] = ["common", "helpers", "manager", "mod", "utils"];
/// Past these a reader no longer has the whole in view.
const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 100;
/// The examples of the facade show how little is needed: with no excuse.
const EXAMPLES: &str = "crates/coordination/examples/";
const EXAMPLE_LINES_MAX: usize = 119;

pub(super) fn name(source: &Source) -> Option<Finding> {
    let name = Path::new(source.path).file_stem()?.to_str()?;
    NAMES_REFUSED.contains(&name).then(|| {
        let what_to_do = match name {
            "mod" => "make it the file `folder.rs` beside its folder",
            _ => "name it after what is in it",
        };
        Finding::new(
            1,
            format!("`{name}.rs` says nothing of its subject; {what_to_do}"),
        )
    })
}

pub(super) fn opening(source: &Source) -> Option<Finding> {
    let subject = source
        .lines
        .first()
        .and_then(|line| line.strip_prefix("//!"));
    let missing = subject.is_none_or(|subject| subject.trim().is_empty());
    missing.then(|| {
        Finding::new(
            1,
            "no subject; open the file with a `//!` line that says it",
        )
    })
}

pub(super) fn length(source: &Source) -> Option<Finding> {
    let lines = source.lines.len();
    let opens = |line: &&&str| line.is_empty() || line.starts_with("//");
    let excused = source
        .lines
        .iter()
        .take_while(opens)
        .any(|line| Source::excuses(line, "long"));
    (lines > FILE_LINES_MAX && !excused).then(|| {
        Finding::new(
            1,
            format!(
                "{lines} lines, over {FILE_LINES_MAX}; split it by subject, or write \
                 `// tidy: long, because …` among the comments that open it"
            ),
        )
    })
}

pub(super) fn example_length(source: &Source) -> Option<Finding> {
    let lines = source.lines.len();
    let is_long = source.path.starts_with(EXAMPLES) && lines > EXAMPLE_LINES_MAX;
    is_long.then(|| {
        Finding::new(
            1,
            format!(
                "{lines} lines, and an example of the facade has {EXAMPLE_LINES_MAX} at most; show \
                 less, or show it as two"
            ),
        )
    })
}

pub(super) fn function_lengths(source: &Source) -> Vec<Finding> {
    let finding = |index: usize| {
        let name = source
            .word(index + 1)
            .filter(|_| source.word(index) == Some("fn"))?;
        let begin = source.tokens[index].line;
        let lines = body_end(source, index)? + 1 - begin;
        (lines > FUNCTION_LINES_MAX && !is_excused(source, begin)).then(|| {
            Finding::new(
                begin,
                format!(
                    "`fn {name}` has {lines} lines, over {FUNCTION_LINES_MAX}; split it, or write \
                     `// tidy: long, because …` directly above it"
                ),
            )
        })
    };
    (0..source.tokens.len()).filter_map(finding).collect()
}

/// The line on which the function that begins at this token ends, if it has a body.
fn body_end(source: &Source, begin: usize) -> Option<usize> {
    let mut depth = 0;
    let mut in_body = false;
    for token in &source.tokens[begin..] {
        match token.kind {
            Kind::Sign(';') if depth == 0 => return None,
            Kind::Open(delimiter) => {
                in_body |= depth == 0 && delimiter == Delimiter::Brace;
                depth += 1;
            }
            Kind::Close(_) if depth == 0 => return None,
            Kind::Close(_) => {
                depth -= 1;
                if in_body && depth == 0 {
                    return Some(token.line);
                }
            }
            _ => {}
        }
    }
    None
}

/// Whether a reason stands among the comments and attributes directly above a line.
fn is_excused(source: &Source, line: usize) -> bool {
    let above = source.lines[..line - 1].iter().rev();
    above
        .map(|line| line.trim_start())
        .take_while(|line| line.starts_with("//") || line.starts_with("#["))
        .any(|line| Source::excuses(line, "long"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::printed;

    const PATH: &str = "xtask/src/a.rs";

    #[test]
    fn a_name_that_says_nothing_is_refused() {
        for name in NAMES_REFUSED {
            let printed = printed(&format!("crates/coord-bus/src/{name}.rs"), "//! A.\n");
            assert!(
                printed[0].contains(&format!("`{name}.rs` says nothing")),
                "{printed:?}"
            );
        }
    }

    #[test]
    fn a_file_opens_with_its_subject() {
        for text in ["", "fn a() {}\n", "// A.\n", "\n//! A.\n", "//!\n"] {
            let printed = printed(PATH, text);
            assert!(
                printed[0].starts_with("1: no subject;"),
                "{text:?} {printed:?}"
            );
        }
    }

    #[test]
    fn a_long_file_needs_a_reason() {
        let at_most = format!("//! A.\n{}", "\n".repeat(FILE_LINES_MAX - 1));
        assert_eq!(printed(PATH, &at_most), Vec::<String>::new());
        let printed_of_more = printed(PATH, &format!("{at_most}\n"));
        assert!(
            printed_of_more[0].starts_with("1: 601 lines, over 600;"),
            "{printed_of_more:?}"
        );
        let with_reason = format!("//! A.\n// tidy: long, because it is one table\n{at_most}");
        assert_eq!(printed(PATH, &with_reason), Vec::<String>::new());
    }

    #[test]
    fn an_example_of_the_facade_has_under_120_lines_whatever_its_reasons() {
        let example = "crates/coordination/examples/a.rs";
        let at_most = format!("//! A.\n// tidy: long, because it is\n{}", "\n".repeat(117));
        assert_eq!(printed(example, &at_most), Vec::<String>::new());
        let more = format!("{at_most}\n");
        let printed_of_more = printed(example, &more);
        assert!(
            printed_of_more[0].starts_with("1: 120 lines, and an example"),
            "{printed_of_more:?}"
        );
        assert_eq!(
            printed("crates/coord-bus/examples/a.rs", &more),
            Vec::<String>::new()
        );
    }

    fn function(lines: usize) -> String {
        format!(
            "fn long<T: Fn(u8)>(a: [u8; 3])\nwhere\n    T: Sized,\n{{{}}}\n",
            "\n".repeat(lines - 4)
        )
    }

    #[test]
    fn a_long_function_needs_a_reason() {
        let at_most = format!("//! A.\n{}", function(FUNCTION_LINES_MAX));
        assert_eq!(printed(PATH, &at_most), Vec::<String>::new());
        let more = function(FUNCTION_LINES_MAX + 1);
        let printed_of_more = printed(PATH, &format!("//! A.\n{more}"));
        assert!(
            printed_of_more[0].starts_with("2: `fn long` has 101 lines, over 100;"),
            "{printed_of_more:?}"
        );
        let excuse = "// tidy: long, because it is one table\n#[inline]\n";
        assert_eq!(
            printed(PATH, &format!("//! A.\n\n{excuse}{more}")),
            Vec::<String>::new()
        );
    }

    #[test]
    fn what_has_no_body_is_no_long_function() {
        let text = format!(
            "//! A.\ntrait A {{ fn a(&self); }}\nstruct B {{ c: fn(u8) }}\nconst D: u8 = {{{} 1 }};\n",
            "\n".repeat(FUNCTION_LINES_MAX)
        );
        assert_eq!(printed(PATH, &text), Vec::<String>::new());
    }
}
