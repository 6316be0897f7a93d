//! `coord explain`: what a code means, and what to do about it.

use std::io::{self, Write};

use coordination::bus::text::nearest;

use crate::args::{Color, ExplainArgs};
use crate::exit_code::ExitCode;
use crate::screen::{self, QUIET};

/// All that is told of codes, a heading each.
const CODES: &str = include_str!("../codes.md");

/// A code, and what is told of it.
#[derive(Clone, Copy)]
struct Explained {
    code: &'static str,
    text: &'static str,
}

impl Explained {
    fn all() -> impl Iterator<Item = Self> {
        let sections = CODES.split("\n## ").skip(1);
        sections.filter_map(|section| {
            let (code, text) = section.split_once('\n')?;
            let text = text.trim_end();
            Some(Self { code, text })
        })
    }

    /// What is meant: a code, or the last part of one, or parts.
    fn find(name: &str) -> Vec<Self> {
        let meant = |explained: &Self| {
            let before = explained.code.strip_suffix(name);
            before.is_some_and(|before| before.is_empty() || before.ends_with("::"))
        };
        Self::all().filter(meant).collect()
    }

    fn word(self) -> &'static str {
        self.code.rsplit("::").next().unwrap_or(self.code)
    }

    fn first_line(self) -> &'static str {
        self.text.lines().next().unwrap_or_default()
    }
}

/// The codes that begin so, or whose last parts do, and what each is in a line.
pub(crate) fn beginning(text: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let begins = move |explained: &Explained| {
        explained.code.starts_with(text) || explained.word().starts_with(text)
    };
    let found = Explained::all().filter(begins);
    found.map(|explained| (explained.code, explained.first_line()))
}

/// Explains a code, or lists them all.
pub(crate) fn explain(args: &ExplainArgs) -> ExitCode {
    let mut out = screen::out(args.color.into());
    let Some(name) = &args.code else {
        return written(&list(&mut out).and_then(|()| out.flush()));
    };
    let found = Explained::find(name);
    if found.is_empty() {
        return unknown(args.color, name);
    }
    let told = found.iter().enumerate().try_for_each(|(index, explained)| {
        if index > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}\n\n{}", explained.code, explained.text)
    });
    written(&told.and_then(|()| out.flush()))
}

fn list(out: &mut impl Write) -> io::Result<()> {
    Explained::all().try_for_each(|explained| {
        let (code, line) = (explained.code, explained.first_line());
        writeln!(out, "{code}\n    {QUIET}{line}{QUIET:#}")
    })
}

fn unknown(color: Color, name: &str) -> ExitCode {
    let codes: Vec<_> = Explained::all().map(|explained| explained.code).collect();
    let words = Explained::all().map(Explained::word);
    let meant = nearest(name, codes.iter().copied().chain(words));
    let help = match meant {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "`coord explain` lists all codes".to_owned(),
    };
    let report = miette::miette!(help = help, "there is no code `{}`", name.escape_debug());
    match screen::print_report(color, report.as_ref()) {
        Ok(()) => ExitCode::Usage,
        Err(_) => ExitCode::OutputLost,
    }
}

fn written(result: &io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::Done,
        Err(_) => ExitCode::OutputLost,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Every code that stands in the sources.
    fn in_sources(folder: &Path, codes: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                in_sources(&path, codes);
            } else if let Ok(source) = std::fs::read_to_string(&path) {
                let found = source.split("code(coord::").skip(1);
                let found = found.filter_map(|code| Some(code.split_once(')')?.0));
                // Not where tests speak of this.
                let found = found.filter(|code| {
                    code.chars()
                        .all(|it| it == '_' || it == ':' || it.is_ascii_lowercase())
                });
                codes.extend(found.map(|code| format!("coord::{code}")));
            }
        }
    }

    #[test]
    fn every_code_is_explained_and_nothing_else() {
        let mut codes = BTreeSet::new();
        in_sources(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut codes,
        );
        let explained: BTreeSet<_> = Explained::all().map(|it| it.code.to_owned()).collect();
        assert!(codes.len() > 50);
        assert_eq!(codes, explained);
        assert!(Explained::all().all(|it| it.text.len() > 40));
    }

    #[test]
    fn the_last_part_of_a_code_is_enough_and_may_mean_several() {
        assert_eq!(Explained::find("cycle")[0].code, "coord::file::cycle");
        assert_eq!(Explained::find("coord::file::cycle").len(), 1);
        assert_eq!(Explained::find("file::cycle").len(), 1);
        assert!(Explained::find("ycle").is_empty() && Explained::find("").is_empty());
        assert_eq!(Explained::find("failed").len(), 3);
        assert!(Explained::find("cycl").is_empty());
    }
}
