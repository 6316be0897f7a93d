//! The paths that a file names, each as what its imports make of it.

use proc_macro2::Delimiter;

use super::source::{Kind, Source};

/// A path as a file imports it, and the name that it has from there on.
pub(super) struct Import {
    pub(super) path: Vec<String>,
    pub(super) line: usize,
    name: String,
}

/// A path as the code names it.
pub(super) struct Mention {
    pub(super) path: Vec<String>,
    pub(super) line: usize,
    pub(super) is_called: bool,
}

impl Mention {
    /// The imports that its first word may stand for, and the whole path that each makes of it.
    pub(super) fn through<'a>(
        &self,
        imports: &'a [Import],
    ) -> impl Iterator<Item = (&'a Import, Vec<String>)> {
        imports
            .iter()
            .filter(|import| import.name == self.path[0])
            .map(|import| (import, [&import.path, &self.path[1..]].concat()))
    }
}

/// Everything that the file imports, and everything else that it names.
pub(super) fn read(source: &Source) -> (Vec<Import>, Vec<Mention>) {
    let mut imports = Vec::new();
    let mut mentions = Vec::new();
    let mut at = 0;
    while at < source.tokens.len() {
        // What follows a dot is a field or a method; `use<'a>` captures, and imports nothing.
        let is_member = at > 0 && source.is_sign(at - 1, '.');
        if source.word(at) == Some("use") && !source.is_sign(at + 1, '<') {
            at += 1;
            read_tree(source, &mut at, &[], &mut imports);
        } else if source.word(at).is_some() && !is_member {
            mentions.push(read_path(source, &mut at));
        } else {
            at += 1;
        }
    }
    (imports, mentions)
}

/// Reads `a::b::c`, and ends behind it.
fn read_path(source: &Source, at: &mut usize) -> Mention {
    let line = source.tokens[*at].line;
    let mut path = Vec::new();
    while let Some(word) = source.word(*at) {
        path.push(word.to_owned());
        *at += 1;
        if !is_separator(source, *at) || source.word(*at + 2).is_none() {
            break;
        }
        *at += 2;
    }
    let is_called = source.is(*at, &Kind::Open(Delimiter::Parenthesis));
    Mention {
        path,
        line,
        is_called,
    }
}

/// Reads `a::{b, c::*, d as e}` below a prefix, and ends behind it.
fn read_tree(source: &Source, at: &mut usize, prefix: &[String], imports: &mut Vec<Import>) {
    let mut path = prefix.to_vec();
    let mut line = source.tokens.get(*at).map_or(0, |token| token.line);
    loop {
        if let Some(word) = source.word(*at) {
            line = source.tokens[*at].line;
            if word != "self" || prefix.is_empty() {
                path.push(word.to_owned());
            }
            *at += 1;
        } else if source.is_sign(*at, '*') {
            path.push("*".to_owned());
            *at += 1;
        } else if source.is(*at, &Kind::Open(Delimiter::Brace)) {
            *at += 1;
            while *at < source.tokens.len() && !source.is(*at, &Kind::Close(Delimiter::Brace)) {
                let begin = *at;
                read_tree(source, at, &path, imports);
                // A comma, or what only a macro has here.
                *at += usize::from(source.is_sign(*at, ',') || *at == begin);
            }
            *at += 1;
            return;
        }
        if is_separator(source, *at) {
            *at += 2;
        } else {
            break;
        }
    }
    let mut name = path.last().cloned().unwrap_or_default();
    if source.word(*at) == Some("as") {
        name = source.word(*at + 1).unwrap_or_default().to_owned();
        *at += 2;
    }
    imports.push(Import { path, line, name });
}

fn is_separator(source: &Source, at: usize) -> bool {
    source.is_sign(at, ':') && source.is_sign(at + 1, ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports_of(text: &str) -> Vec<String> {
        let source = Source::read("a.rs", text).ok().expect("it is Rust");
        let (imports, _) = read(&source);
        let line = |import: &Import| format!("{} = {}", import.name, import.path.join("::"));
        imports.iter().map(line).collect()
    }

    /// Each path as it is written, and as each import makes it.
    fn mentions_of(text: &str) -> Vec<String> {
        let source = Source::read("a.rs", text).ok().expect("it is Rust");
        let (imports, mentions) = read(&source);
        let paths = |mention: &Mention| {
            let through = mention.through(&imports).map(|(_, path)| path.join("::"));
            [mention.path.join("::")]
                .into_iter()
                .chain(through)
                .collect::<Vec<_>>()
        };
        mentions.iter().flat_map(paths).collect()
    }

    #[test]
    fn an_import_is_read_to_its_leaves() {
        assert_eq!(
            imports_of("pub use ::a::{self, b::{c, d as e,}, f::*}; use g; use self::h;"),
            [
                "a = a",
                "c = a::b::c",
                "e = a::b::d",
                "* = a::f::*",
                "g = g",
                "h = self::h"
            ]
        );
    }

    #[test]
    fn an_import_in_a_macro_ends() {
        assert_eq!(
            imports_of("macro_rules! a { () => { use b::{$($c),*}; use d::e; } }")
                .last()
                .unwrap(),
            "e = d::e"
        );
    }

    #[test]
    fn a_capture_is_no_import() {
        assert_eq!(
            imports_of("fn a<'b>(c: &'b u8) -> impl Sized + use<'b> { c }"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_path_is_also_what_its_import_makes_of_it() {
        let mentions = mentions_of(
            "use tokio::{task, time as clock}; const A: B = (task::spawn::<C>, clock::now());",
        );
        for path in [
            "task::spawn",
            "tokio::task::spawn",
            "clock::now",
            "tokio::time::now",
        ] {
            assert!(mentions.contains(&path.to_owned()), "{path} {mentions:?}");
        }
    }

    #[test]
    fn fields_and_methods_are_no_paths() {
        assert_eq!(
            mentions_of("const A: B = c.time.sleep();"),
            ["const", "A", "B", "c"]
        );
    }
}
