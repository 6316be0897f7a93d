//! The outputs of steps that a condition names: `steps.build.outputs.changed`, or with brackets, for names with
//! `-` or `.`.

use std::ops::Range;

/// What a condition says of steps, at a place in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) at: Range<usize>,
    /// The step, and what it calls the output; none, where something else is said.
    pub(super) output: Option<(String, String)>,
}

/// All that an expression says of steps, in its order.
pub(super) fn named(expression: &str) -> Vec<Named> {
    let mut named = Vec::new();
    let (mut at, mut is_part) = (0, false);
    while let Some(character) = expression[at..].chars().next() {
        if matches!(character, '\'' | '"') {
            at = literal(expression, at).map_or(expression.len(), |(end, _)| end);
            is_part = false;
        } else if is_in_name(character) {
            let end = end_of_name(expression, at);
            let is_steps = !is_part && &expression[at..end] == "steps";
            if is_steps {
                named.push(output(expression, at, end));
            }
            at = end;
            is_part = false;
        } else {
            // What stands behind a dot is a part of something else.
            is_part = character == '.' || is_part && character.is_whitespace();
            at += character.len_utf8();
        }
    }
    named
}

/// What is said of steps where they are named, which ends there.
fn output(expression: &str, start: usize, mut end: usize) -> Named {
    let mut parts = Vec::new();
    while parts.len() < 3
        && let Some((next, part)) = part(expression, end)
    {
        parts.push(part);
        end = next;
    }
    let output = match &parts[..] {
        [step, outputs, name] if outputs == "outputs" => Some((step.clone(), name.clone())),
        _ => None,
    };
    Named {
        at: start..end,
        output,
    }
}

/// The part that begins there, and where it ends: `.name`, or `['name']`.
fn part(expression: &str, at: usize) -> Option<(usize, String)> {
    let rest = &expression[at..];
    if let Some(name) = rest.strip_prefix('.') {
        let start = at + rest.len() - name.trim_start().len();
        let end = end_of_name(expression, start);
        return (end > start).then(|| (end, expression[start..end].to_owned()));
    }
    let inner = rest.strip_prefix('[')?.trim_start();
    let start = expression.len() - inner.len();
    let (end, text) = literal(expression, start)?;
    let after = expression[end..].trim_start().strip_prefix(']')?;
    Some((expression.len() - after.len(), text))
}

/// Where the literal ends that begins there, and its text. `None`: there is none that ends.
fn literal(expression: &str, at: usize) -> Option<(usize, String)> {
    let mut characters = expression[at..].char_indices();
    let (_, quote) = characters.next()?;
    if !matches!(quote, '\'' | '"') {
        return None;
    }
    let mut text = String::new();
    while let Some((offset, character)) = characters.next() {
        match character {
            // In names nothing stands behind one.
            '\\' => text.extend(characters.next().map(|(_, escaped)| escaped)),
            _ if character == quote => return Some((at + offset + 1, text)),
            _ => text.push(character),
        }
    }
    None
}

fn end_of_name(expression: &str, at: usize) -> usize {
    let rest = &expression[at..];
    at + rest.find(|part| !is_in_name(part)).unwrap_or(rest.len())
}

fn is_in_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outputs(expression: &str) -> Vec<(&str, Option<(String, String)>)> {
        let named = named(expression).into_iter();
        named
            .map(|named| (&expression[named.at], named.output))
            .collect()
    }

    #[test]
    fn outputs_are_found_however_they_are_written() {
        let output = |step: &str, name: &str| Some((step.to_owned(), name.to_owned()));
        assert_eq!(
            outputs("steps.a.outputs.b == 'true' and steps['a.b'].outputs[ \"c-d\" ] | int > 4"),
            [
                ("steps.a.outputs.b", output("a", "b")),
                ("steps['a.b'].outputs[ \"c-d\" ]", output("a.b", "c-d")),
            ]
        );
        assert_eq!(
            outputs("not steps.a.changed or steps"),
            [("steps.a.changed", None), ("steps", None)]
        );
        assert_eq!(
            outputs("steps.a-b.outputs.c or steps[params.x].outputs.c"),
            [("steps.a", None), ("steps", None)]
        );
        assert_eq!(
            outputs("params.steps == 'steps.a.outputs.b' or env. steps or mysteps.a"),
            []
        );
    }

    proptest! {
        #[test]
        fn any_text_is_gone_through(expression in "(steps|\\.|\\[|\\]|'|\"|outputs|a|\\\\| |ä|\\PC){0,30}") {
            for named in named(&expression) {
                prop_assert!(expression[named.at].starts_with("steps"));
            }
        }
    }
}
