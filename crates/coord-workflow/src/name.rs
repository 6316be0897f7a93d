//! Names in workflows: what one may be, how one is shown, and the right one nearest to a wrong one.

use std::fmt::{self, Display, Formatter};

/// The longest name of a workflow or a step, in characters.
pub const NAME_LENGTH_MAX: usize = 64;

/// How alike two names are before one is offered for the other: Jaro-Winkler, 1 being equal.
/// Below it what is offered surprises (`lint` for `print`) more often than it helps.
const ALIKE_MIN: f64 = 0.8;

/// The shortest name for which one within one slip of it is offered, however unlike: of a name of
/// three letters, two that changed places (`rnu` for `run`) are most, so that alikeness misses it;
/// and one of two letters is a slip away from half of all names as short.
const SLIP_LENGTH_MIN: usize = 3;

/// The longest name, in bytes, that is compared with others: comparing costs length times length,
/// and what is twice too long is no slip of the pen.
const LENGTH_COMPARED_MAX: usize = 2 * NAME_LENGTH_MAX;

/// Whether this can be the name of a workflow or the id of a step: 1 to [`NAME_LENGTH_MAX`] of
/// `A-Z`, `a-z`, `0-9`, `_`, `.` and `-`, the first of them a letter or a digit.
///
/// So a name is the same in a file name, a topic, a command line and a log.
pub fn is_name(text: &str) -> bool {
    is_name_up_to(text, NAME_LENGTH_MAX)
}

/// The same, of so many characters at most.
pub(crate) fn is_name_up_to(text: &str, length_max: usize) -> bool {
    text.len() <= length_max
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// The one of `right` that `wrong` was probably meant to be, if any is near; the first of equals.
///
/// ```
/// let steps = ["fetch", "build", "deploy"];
/// assert_eq!(coord_workflow::nearest("biuld", steps), Some("build"));
/// assert_eq!(coord_workflow::nearest("lint", steps), None);
/// assert_eq!(coord_workflow::nearest("rnu", ["id", "run"]), Some("run"));
/// ```
pub fn nearest<'a>(wrong: &str, right: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if wrong.len() > LENGTH_COMPARED_MAX {
        return None;
    }
    let mut best = None;
    let mut best_score = ALIKE_MIN;
    let mut slip = None;
    for name in right
        .into_iter()
        .filter(|name| name.len() <= LENGTH_COMPARED_MAX)
    {
        let score = strsim::jaro_winkler(wrong, name);
        if score > best_score {
            best = Some(name);
            best_score = score;
        }
        if slip.is_none() && is_slip(wrong, name) {
            slip = Some(name);
        }
    }
    best.or(slip)
}

/// Whether they differ in one letter, or in two neighbours that changed places.
fn is_slip(wrong: &str, right: &str) -> bool {
    right.len() >= SLIP_LENGTH_MIN
        && wrong.len().abs_diff(right.len()) <= char::MAX.len_utf8()
        && strsim::osa_distance(wrong, right) == 1
}

/// A name as messages show it: between quotes, cut after [`NAME_LENGTH_MAX`] characters, and with
/// everything that a terminal would not print as itself escaped.
///
/// ```
/// use coord_workflow::Shown;
/// assert_eq!(Shown("a\u{1b}[31m").to_string(), r#""a\u{1b}[31m""#);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a>(pub &'a str);

impl Display for Shown<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{}\"", Bare(self.0))
    }
}

/// [`Shown`] without the quotes.
pub(crate) struct Bare<'a>(pub(crate) &'a str);

impl Display for Bare<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let cut = self.0.char_indices().nth(NAME_LENGTH_MAX);
        let end = cut.map_or(self.0.len(), |(offset, _)| offset);
        write!(formatter, "{}", self.0[..end].escape_debug())?;
        formatter.write_str(if cut.is_some() { "…" } else { "" })
    }
}
