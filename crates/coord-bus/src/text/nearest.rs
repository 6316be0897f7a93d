//! The names that were meant where one is wrong.

/// How alike two names are before one is offered for the other: Jaro-Winkler, 1 being equal.
/// Below it what is offered surprises (`lint` for `print`) more often than it helps.
const ALIKE_MIN: f64 = 0.8;

/// The shortest name for which one within one slip of it is offered, however unlike: of a name of
/// three letters, two that changed places (`rnu` for `run`) are most, so that alikeness misses it;
/// and one of two letters is a slip away from half of all names as short.
const SLIP_LENGTH_MIN: usize = 3;

/// The longest name, in bytes, that is compared with others: comparing costs length times length,
/// and what is twice as long as a name may be is no slip of the pen.
const LENGTH_COMPARED_MAX: usize = 128;

/// The one of `right` that `wrong` was probably meant to be, if any is near; the first of equals.
///
/// ```
/// let steps = ["fetch", "build", "deploy"];
/// assert_eq!(coord_bus::text::nearest("biuld", steps), Some("build"));
/// assert_eq!(coord_bus::text::nearest("lint", steps), None);
/// assert_eq!(coord_bus::text::nearest("rnu", ["id", "run"]), Some("run"));
/// ```
pub fn nearest<'a>(wrong: &str, right: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    all_near(wrong, right).into_iter().next()
}

/// Those of `right` that `wrong` may have been meant to be, the [nearest] first.
pub fn all_near<'a>(wrong: &str, right: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    if wrong.len() > LENGTH_COMPARED_MAX {
        return Vec::new();
    }
    let right = right.into_iter();
    let right = right.filter(|name| name.len() <= LENGTH_COMPARED_MAX);
    let mut near: Vec<_> = right
        .map(|name| (strsim::jaro_winkler(wrong, name), name))
        .filter(|(alike, name)| *alike > ALIKE_MIN || is_slip(wrong, name))
        .collect();
    near.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    near.into_iter().map(|(_, name)| name).collect()
}

/// Whether they differ in one letter, or in two neighbours that changed places.
fn is_slip(wrong: &str, right: &str) -> bool {
    right.len() >= SLIP_LENGTH_MIN
        && wrong.len().abs_diff(right.len()) <= char::MAX.len_utf8()
        && strsim::osa_distance(wrong, right) == 1
}
