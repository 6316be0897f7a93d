//! Links between pages lead somewhere: each target exists, and each anchor is a heading there. Of the book's pages
//! it is asked of what they are once what they include has been put in, and their targets have to be in the book.

mod markdown;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::workspace;
use markdown::{anchors, links, with_includes};

const BOOK: &str = "docs";
const SUMMARY: &str = "docs/SUMMARY.md";

/// Pages by their path from the root of the workspace, and what is in them.
type Pages = BTreeMap<PathBuf, String>;

pub(crate) fn check() -> Result<(), String> {
    let mut pages = Pages::new();
    let mut faults = Vec::new();
    for path in workspace::files(&["*.md"])?.into_iter().map(PathBuf::from) {
        let mut text = read(&path)?;
        if path.starts_with(BOOK) {
            let folder = path.parent().unwrap_or(Path::new(""));
            match with_includes(&text, |included| read(&normal(&folder.join(included)))) {
                Ok(whole) => text = whole,
                Err(fault) => faults.push(format!("{}: {fault}", path.display())),
            }
        }
        pages.insert(path, text);
    }
    faults.extend(faults_of(&pages, Path::exists));
    match faults.is_empty() {
        true => Ok(()),
        false => Err(faults.join("\n          ")),
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// A path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

fn faults_of(pages: &Pages, exists: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut faults = Vec::new();
    let summary = pages.get(Path::new(SUMMARY)).map_or("", String::as_str);
    let in_book: Vec<_> = links(summary)
        .map(|(_, target)| Path::new(BOOK).join(target))
        .collect();
    for path in pages.keys().filter(|path| path.starts_with(BOOK)) {
        if path != Path::new(SUMMARY) && !in_book.contains(path) {
            faults.push(format!(
                "{}: {SUMMARY} does not name it, so it is in no book",
                path.display()
            ));
        }
    }
    for (page, text) in pages {
        for (line, target) in links(text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = match target.split_once('#') {
                Some((file, anchor)) => (file, Some(anchor)),
                None => (target, None),
            };
            let folder = page.parent().unwrap_or(Path::new(""));
            let file = match file {
                "" => page.clone(),
                _ => normal(&folder.join(file)),
            };
            let fault = if !exists(&file) {
                Some(format!("there is no {}", file.display()))
            } else if page.starts_with(BOOK) && !file.starts_with(BOOK) {
                Some(format!("{} is not in the book", file.display()))
            } else {
                anchor.and_then(|anchor| {
                    let there = pages
                        .get(&file)
                        .map(|text| anchors(text))
                        .unwrap_or_default();
                    (!there.iter().any(|id| id == anchor))
                        .then(|| format!("{} has no heading `#{anchor}`", file.display()))
                })
            };
            faults.extend(
                fault.map(|fault| format!("{}:{line}: `{target}`: {fault}", page.display())),
            );
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(pages: &[(&str, &str)]) -> Vec<String> {
        let pages: Pages = pages
            .iter()
            .map(|(path, text)| (PathBuf::from(path), text.to_string()))
            .collect();
        faults_of(&pages, |path| pages.contains_key(path))
    }

    #[test]
    fn links_that_lead_somewhere_are_no_fault() {
        let a =
            "# A\n[there](parts/b.md#what-it-is), [here](#a), [the world](https://example.org/x)\n";
        let pages = [
            (SUMMARY, "- [A](a.md)\n  - [B](parts/b.md)\n"),
            ("docs/a.md", a),
            ("docs/parts/b.md", "## What it is\n[back](../a.md)\n"),
        ];
        assert_eq!(faults(&pages), [""; 0]);
    }

    #[test]
    fn a_page_that_is_not_there_and_a_heading_that_is_not_are_named_with_their_line() {
        let pages = [
            (SUMMARY, "- [A](a.md)\n"),
            (
                "docs/a.md",
                "# A\n\n[x](b.md)\n[y](#b)\n[z](../README.md)\n",
            ),
            ("README.md", "[a](docs/a.md#a) [b](docs/a.md#c)"),
        ];
        assert_eq!(
            faults(&pages),
            [
                "README.md:1: `docs/a.md#c`: docs/a.md has no heading `#c`",
                "docs/a.md:3: `b.md`: there is no docs/b.md",
                "docs/a.md:4: `#b`: docs/a.md has no heading `#b`",
                "docs/a.md:5: `../README.md`: README.md is not in the book",
            ]
        );
    }

    #[test]
    fn a_page_that_the_summary_forgets_is_named() {
        let pages = [(SUMMARY, ""), ("docs/a.md", "# A\n")];
        assert_eq!(
            faults(&pages),
            ["docs/a.md: docs/SUMMARY.md does not name it, so it is in no book"]
        );
    }
}
