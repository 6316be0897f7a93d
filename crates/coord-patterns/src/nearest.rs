//! The name that was meant.

/// Of these names the one most like what was written, if one is like enough: as clap decides it, by
/// a Jaro similarity above 0.7.
pub(crate) fn nearest<'a>(
    written: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    likely(written, names).into_iter().next()
}

/// Those that are like enough, the likeliest first.
pub(crate) fn likely<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut likely: Vec<(f64, &str)> = names
        .into_iter()
        .map(|name| (strsim::jaro(written, name), name))
        .filter(|(likeness, _)| *likeness > 0.7)
        .collect();
    likely.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    likely
        .into_iter()
        .map(|(_, name)| name.to_owned())
        .collect()
}
