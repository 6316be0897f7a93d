//! As much of Markdown, and of what mdBook makes of it, as links need.

use std::collections::BTreeMap;

/// The text with what it includes in the place of each `{{#include FILE}}`, which may go on with `:ANCHOR` or with
/// `:FROM:TO`, lines from 1.
pub(super) fn with_includes(
    text: &str,
    read: impl Fn(&str) -> Result<String, String>,
) -> Result<String, String> {
    let mut whole = String::new();
    for line in text.split_inclusive('\n') {
        let include = line.trim().strip_prefix("{{#include ");
        let Some(include) = include.and_then(|include| include.strip_suffix("}}")) else {
            whole.push_str(line);
            continue;
        };
        let (file, part) = include
            .trim()
            .split_once(':')
            .unwrap_or((include.trim(), ""));
        let included = read(file)?;
        whole.push_str(&part_of(&included, part).ok_or_else(|| {
            format!("`{{{{#include {include}}}}}`: {file} has no `ANCHOR: {part}`")
        })?);
        whole.push('\n');
    }
    Ok(whole)
}

fn part_of(text: &str, part: &str) -> Option<String> {
    let (from, to) = part.split_once(':').unwrap_or((part, part));
    let lines: Vec<_> = text.lines().collect();
    let is_lines = [from, to]
        .iter()
        .all(|line| line.bytes().all(|byte| byte.is_ascii_digit()));
    let part = if is_lines {
        let from = from.parse().unwrap_or(1_usize).saturating_sub(1);
        let to = to.parse().unwrap_or(lines.len());
        lines.get(from..to.min(lines.len()))?
    } else {
        let line = |mark: &str| lines.iter().position(|line| line.contains(mark));
        let begin = line(&format!("ANCHOR: {part} "))?;
        lines.get(begin + 1..line(&format!("ANCHOR_END: {part} "))?)?
    };
    Some(part.join("\n"))
}

/// The lines that are prose, with their numbers from 1: none of a block of code.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence: Option<&str> = None;
    text.lines().enumerate().filter_map(move |(number, line)| {
        let begin = line.trim_start();
        let marks = begin.len() - begin.trim_start_matches('`').len();
        match fence {
            None if marks >= 3 => {
                fence = Some(&begin[..marks]);
                None
            }
            Some(open) if marks >= open.len() && begin.trim().len() == marks => {
                fence = None;
                None
            }
            Some(_) => None,
            None => Some((number + 1, line)),
        }
    })
}

/// Where the links of a text lead, with the numbers of their lines: `[…](target)` and `[…]: target`.
pub(super) fn links(text: &str) -> impl Iterator<Item = (usize, &str)> {
    prose(text).flat_map(|(number, line)| {
        let mut found = Vec::new();
        // What stands between backticks is code: every second piece.
        let mut rest = 0;
        for (piece, text) in line.split('`').enumerate() {
            let begin = rest;
            rest += text.len() + 1;
            if piece % 2 == 1 {
                continue;
            }
            for (at, _) in text.match_indices("](") {
                // The target itself may have a backtick in it, the line has it whole.
                let target = &line[begin + at + 2..];
                let end = target.find([')', ' ']).unwrap_or(target.len());
                found.push((number, &target[..end]));
            }
        }
        if let Some((name, target)) = line.split_once("]: ")
            && name.starts_with('[')
            && !name.starts_with("[^")
        {
            found.push((number, target.trim()));
        }
        found
    })
}

/// The anchors of a text's headings, as mdBook names them: a second one of a name has a number.
pub(super) fn anchors(text: &str) -> Vec<String> {
    let mut seen = BTreeMap::<String, usize>::new();
    let headings = prose(text).filter_map(|(_, line)| {
        let heading = line.trim_start_matches('#');
        let depth = line.len() - heading.len();
        (1..=6)
            .contains(&depth)
            .then_some(heading)?
            .strip_prefix(' ')
    });
    headings
        .map(|heading| {
            let id = anchor(heading.trim());
            let count = seen.entry(id.clone()).or_default();
            *count += 1;
            match *count {
                1 => id,
                count => format!("{id}-{}", count - 1),
            }
        })
        .collect()
}

fn anchor(heading: &str) -> String {
    let letters = heading.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        letter if letter.is_alphanumeric() || "_-".contains(letter) => Some(letter),
        _ => None,
    });
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(text: &str) -> Vec<(usize, &str)> {
        links(text).collect()
    }

    #[test]
    fn links_are_found_in_prose_and_not_in_code() {
        let text = "[`a`](a.md) and `[b](b.md)`\n```rust\nlet c = [d](e);\n```\n![f](f.svg \"g\")\n[h]: h.md\n";
        assert_eq!(targets(text), [(1, "a.md"), (5, "f.svg"), (6, "h.md")]);
    }

    #[test]
    fn a_fence_of_four_holds_one_of_three() {
        let text = "````md\n```\n[a](a.md)\n```\n````\n[b](b.md)\n";
        assert_eq!(targets(text), [(6, "b.md")]);
    }

    #[test]
    fn headings_have_the_anchors_of_a_book() {
        let text = "# Durable: what survives `kill -9`\n## Why\n```\n# no\n```\n## Why\n#not\n";
        assert_eq!(
            anchors(text),
            ["durable-what-survives-kill--9", "why", "why-1"]
        );
    }

    #[test]
    fn what_is_included_stands_in_its_place() {
        let read = |file: &str| match file {
            "a.md" => Ok("1\n<!-- ANCHOR: x -->\n2\n<!-- ANCHOR_END: x -->\n3\n".to_owned()),
            _ => Err(format!("no {file}")),
        };
        let with = |text: &str| with_includes(text, read);
        assert_eq!(with("{{#include a.md:x}}\nb\n"), Ok("2\nb\n".to_owned()));
        assert_eq!(with("{{#include a.md:5:}}\n"), Ok("3\n".to_owned()));
        assert_eq!(
            with("{{#include a.md:y}}"),
            Err("`{{#include a.md:y}}`: a.md has no `ANCHOR: y`".to_owned())
        );
        assert_eq!(with("{{#include b.md}}"), Err("no b.md".to_owned()));
    }
}
