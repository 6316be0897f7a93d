//! The tour of `coord` is true: its files are written, its commands are run, and they print what it says. And
//! its recipes are files that it takes.
//!
//! Times, dates, ids and numbers of processes are replaced before they are compared. With `UPDATE_GOLDEN`
//! set, what is printed becomes what the page says.

use std::path::{Path, PathBuf};

use regex_lite::Regex;

use crate::coord::Folder;

/// What differs from run to run, and what is compared instead.
const VARIES: [(&str, &str); 7] = [
    (r"\b[0-9a-z]{9}-[0-9a-z]{6}\b", "RUN"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "DATE"),
    (r"\b\d+(\.\d+)? (ms|s)\b", "TIME"),
    // In a graph.
    (r"\(\d+(\.\d+)?m?s\)", "(TIME)"),
    (r"\bprocess \d+", "process ID"),
    (r"\b\d+ other events", "N other events"),
    // Columns are as wide as what is in them.
    (r" +", " "),
];

fn alike(text: &str) -> String {
    let alike = VARIES
        .iter()
        .fold(text.to_owned(), |text, (pattern, word)| {
            let pattern = Regex::new(pattern).unwrap();
            pattern.replace_all(&text, *word).into_owned()
        });
    let lines: Vec<_> = alike.lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// What a command prints, in a shell that finds `coord`.
fn printed(folder: &Folder, line: &str) -> String {
    let coord = Path::new(env!("CARGO_BIN_EXE_coord")).parent().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(coord.to_owned()).chain(std::env::split_paths(&path));
    let output = folder
        .command("sh")
        .args(["-c", &format!("exec 2>&1; {line}")])
        .env("PATH", std::env::join_paths(path).unwrap())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The page, with what its commands print now.
fn anew(page: &str, folder: &Folder) -> String {
    let mut lines = page.lines();
    let mut anew = String::new();
    while let Some(line) = lines.next() {
        anew.push_str(line);
        anew.push('\n');
        let block = line.strip_prefix("```").filter(|kind| !kind.is_empty());
        let Some(kind) = block else { continue };
        let inside: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        match kind {
            "toml" => {
                let name = inside[0].strip_prefix("# ").expect("a file says its name");
                folder.write(name, inside.join("\n") + "\n");
                inside.iter().for_each(|line| anew.extend([line, "\n"]));
            }
            "console" => {
                let commands = inside.iter().filter_map(|line| line.strip_prefix("$ "));
                for command in commands {
                    anew.extend(["$ ", command, "\n", &printed(folder, command)]);
                    if !anew.ends_with('\n') {
                        anew.push('\n');
                    }
                }
            }
            other => panic!("a block of {other} is not compared with anything"),
        }
        anew.push_str("```\n");
    }
    anew
}

fn docs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

#[test]
fn each_recipe_is_a_file_that_can_be_run() {
    let page = std::fs::read_to_string(docs().join("coord-recipes.md")).unwrap();
    let recipes: Vec<_> = page.split("```toml\n").skip(1).collect();
    assert!(recipes.len() > 5);
    for recipe in recipes {
        let (file, _) = recipe.split_once("```").unwrap();
        let folder = Folder::new();
        folder.write("coord.toml", file);
        let validated = printed(&folder, "coord validate || echo it is refused");
        assert!(!validated.contains("it is refused"), "{file}\n{validated}");
    }
}

#[test]
fn what_the_tour_says_is_what_is_printed() {
    let tour = docs().join("coord-tour.md");
    let page = std::fs::read_to_string(&tour).unwrap();
    let anew = anew(&page, &Folder::new());
    if std::env::var_os("UPDATE_GOLDEN").is_some() && alike(&anew) != alike(&page) {
        std::fs::write(&tour, &anew).unwrap();
    }
    let page = std::fs::read_to_string(&tour).unwrap();
    assert_eq!(alike(&anew), alike(&page));
}
