//! A source file as tokens, its comments kept apart.

use std::ops::Range;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::Finding;

pub(super) struct Source<'a> {
    /// From the root of the workspace, with `/`.
    pub(super) path: &'a str,
    pub(super) lines: Vec<&'a str>,
    /// Groups are flat: an opening, what is in it, a closing. Doc comments are no tokens here.
    pub(super) tokens: Vec<Token>,
    text: &'a str,
}

pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) line: usize,
    bytes: Range<usize>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    Word(String),
    Sign(char),
    Literal,
    Open(Delimiter),
    Close(Delimiter),
}

impl<'a> Source<'a> {
    pub(super) fn read(path: &'a str, text: &'a str) -> Result<Self, Finding> {
        let stream: TokenStream = text.parse().map_err(|error: proc_macro2::LexError| {
            let line = error.span().start().line;
            Finding::new(
                line,
                "this is no Rust; build the crate to see what is wrong",
            )
        })?;
        let mut tokens = Vec::new();
        flatten(stream, text, &mut tokens);
        Ok(Self {
            path,
            lines: text.lines().collect(),
            tokens,
            text,
        })
    }

    pub(super) fn word(&self, index: usize) -> Option<&str> {
        match &self.tokens.get(index)?.kind {
            Kind::Word(word) => Some(word),
            _ => None,
        }
    }

    pub(super) fn is(&self, index: usize, kind: &Kind) -> bool {
        self.tokens
            .get(index)
            .is_some_and(|token| token.kind == *kind)
    }

    pub(super) fn is_sign(&self, index: usize, sign: char) -> bool {
        self.is(index, &Kind::Sign(sign))
    }

    /// Each line of each comment with its number: all that stands between the tokens.
    pub(super) fn comments(&self) -> Vec<(usize, &'a str)> {
        let mut comments = Vec::new();
        let mut begin = 0;
        let mut line = 1;
        let end = self.text.len()..self.text.len();
        for bytes in self.tokens.iter().map(|token| &token.bytes).chain([&end]) {
            let gap = &self.text[begin..bytes.start];
            let numbered = gap
                .split('\n')
                .enumerate()
                .map(|(index, text)| (line + index, text));
            comments.extend(numbered.filter(|(_, text)| !text.trim().is_empty()));
            line += self.text[begin..bytes.end].matches('\n').count();
            begin = bytes.end;
        }
        comments
    }

    /// Whether a line is, or ends with, `// tidy: {word}, because` and a reason.
    pub(super) fn excuses(line: &str, word: &str) -> bool {
        let excuse = format!("// tidy: {word}, because ");
        line.split_once(&excuse)
            .is_some_and(|(_, reason)| reason.contains(char::is_alphabetic))
    }
}

fn flatten(stream: TokenStream, text: &str, tokens: &mut Vec<Token>) {
    for tree in stream {
        let span = tree.span();
        let bytes = span.byte_range();
        // A doc comment is read as an attribute that spans the comment.
        if text[bytes.clone()].starts_with("//") || text[bytes.clone()].starts_with("/*") {
            continue;
        }
        let kind = match tree {
            TokenTree::Ident(word) => Kind::Word(word.to_string()),
            TokenTree::Punct(sign) => Kind::Sign(sign.as_char()),
            TokenTree::Literal(_) => Kind::Literal,
            TokenTree::Group(group) => {
                let delimiter = group.delimiter();
                let (open, close) = (group.span_open(), group.span_close());
                tokens.push(Token {
                    kind: Kind::Open(delimiter),
                    line: open.start().line,
                    bytes: open.byte_range(),
                });
                flatten(group.stream(), text, tokens);
                tokens.push(Token {
                    kind: Kind::Close(delimiter),
                    line: close.start().line,
                    bytes: close.byte_range(),
                });
                continue;
            }
        };
        tokens.push(Token {
            kind,
            line: span.start().line,
            bytes,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_what_stands_between_the_tokens() {
        let text = "//! é one\nfn a() { // two\n    /* three\n    four */ \"// five\"; }\n/// six\nfn b() {}";
        let source = Source::read("a.rs", text).ok().expect("it is Rust");
        let comments: Vec<_> = source
            .comments()
            .into_iter()
            .map(|(line, text)| (line, text.trim()))
            .collect();
        let expected = [
            (1, "//! é one"),
            (2, "// two"),
            (3, "/* three"),
            (4, "four */"),
            (5, "/// six"),
        ];
        assert_eq!(comments, expected);
    }

    #[test]
    fn an_excuse_needs_a_reason() {
        assert!(Source::excuses(
            "    // tidy: long, because it is one table",
            "long"
        ));
        assert!(!Source::excuses("    // tidy: long, because …", "long"));
        assert!(!Source::excuses("    // tidy: long", "long"));
        assert!(!Source::excuses(
            "    // tidy: long, because it is one table",
            "sleep"
        ));
    }
}
