//! Values that processes are given and that are kept out of what they print.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, Input, MatchKind};

use super::ProcessError;
use super::lines::{Line, Lines, MAX_LINE, plain, whole_until};

/// What is printed in place of a secret.
const MASK: &str = "***";
/// The shortest secret, in bytes: to keep less than this out of the output would leave little of it.
/// Of a secret with several lines, lines that are shorter are not kept out.
const LENGTH_MIN: usize = 4;

/// Variables whose values are kept out of what a process prints: `***` stands there instead.
/// Cheap to clone.
///
/// They are looked for in lines as they are published, so also where a process prints them piece by
/// piece, where a long line comes in parts, and where some of it is coloured. Each line of a value with
/// several is looked for. Where secrets overlap, one `***` stands for all of them. Not found is what a
/// process has changed: encoded, quoted or broken into lines.
///
/// ```
/// use coord_patterns::process::{ProcessSpec, Secrets};
///
/// let secrets = Secrets::new([("TOKEN", "s3cr3t-value")])?;
/// let call = ProcessSpec::shell("call", "curl -H \"Authorization: $TOKEN\" localhost")
///     .secrets(secrets);
/// assert!(!format!("{call:?}").contains("s3cr3t"));
/// # Ok::<(), coord_patterns::process::ProcessError>(())
/// ```
#[derive(Clone, Default)]
pub struct Secrets(Option<Arc<Inner>>);

struct Inner {
    variables: Vec<(OsString, OsString)>,
    finder: AhoCorasick,
    /// The length of the longest line that is looked for.
    longest: usize,
}

impl Secrets {
    /// These variables.
    ///
    /// # Errors
    ///
    /// [`ProcessError::Secret`], when a value has fewer than 4 bytes, or none that is ever printed.
    pub fn new<N: Into<OsString>, V: Into<String>>(
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, ProcessError> {
        let (mut names_and_values, mut looked_for) = (Vec::new(), Vec::new());
        for (name, value) in variables {
            let (name, value) = (name.into(), value.into());
            let lines = shown(&value);
            if lines.is_empty() {
                let name = name.display().to_string();
                return Err(ProcessError::Secret { name });
            }
            looked_for.extend(lines);
            names_and_values.push((name, value.into()));
        }
        if names_and_values.is_empty() {
            return Ok(Self(None));
        }
        let longest = looked_for.iter().map(String::len).max().unwrap_or_default();
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(looked_for);
        let finder = finder.map_err(|_| ProcessError::Secret {
            name: "of all together".to_owned(),
        })?;
        Ok(Self(Some(Arc::new(Inner {
            variables: names_and_values,
            finder,
            longest,
        }))))
    }

    /// The text with `***` in place of each secret.
    pub fn masked(&self, text: &str) -> String {
        match &self.0 {
            Some(inner) => {
                let text = Uncoloured::of(text);
                text.masked(&inner.found(&text, 0), 0, text.coloured.len())
            }
            None => text.to_owned(),
        }
    }

    pub(super) fn variables(&self) -> &[(OsString, OsString)] {
        let inner = self.0.as_ref();
        inner.map(|inner| &*inner.variables).unwrap_or_default()
    }
}

/// The lines of a value, as they are shown where it is printed.
fn shown(value: &str) -> Vec<String> {
    let (mut lines, mut rest) = (Lines::default(), value.as_bytes());
    let mut shown = Vec::new();
    // A part of a line that is too long is kept out as well as the whole.
    shown.extend(std::iter::from_fn(|| lines.next(&mut rest)));
    shown.extend(std::iter::from_fn(|| lines.finish()));
    let shown = shown
        .into_iter()
        .map(|line| plain(&line.text).trim().to_owned());
    shown.filter(|line| line.len() >= LENGTH_MIN).collect()
}

impl Inner {
    /// Where secrets are in a text without its colours, of which so many bytes at the beginning belong to one. Those
    /// that overlap are one: of neither of them a part is to be seen.
    fn found(&self, text: &Uncoloured<'_>, covered: usize) -> Vec<Range<usize>> {
        let begun = (covered > 0).then_some(0..covered);
        let mut all: Vec<_> = begun.into_iter().collect();
        // The longest from each byte on. To look for all at once, also those in others, would be four times slower for
        // lines that have none.
        let mut from = 0;
        while let Some(found) = self.finder.find(Input::new(&*text.text).range(from..)) {
            from = found.start() + 1;
            match all.last_mut().filter(|last| found.start() < last.end) {
                Some(last) => last.end = last.end.max(found.end()),
                None => all.push(found.range()),
            }
        }
        all
    }

    /// Up to where a text that goes on can be shown: a secret that may begin behind that is not
    /// whole yet, and one that began before is.
    fn certain(&self, text: &Uncoloured<'_>) -> usize {
        let text = &*text.text;
        whole_until(text, text.len().saturating_sub(self.longest - 1))
    }
}

/// A text without its colours, and where these were.
struct Uncoloured<'t> {
    coloured: &'t str,
    text: Cow<'t, str>,
    /// For each colour where it was, and how many bytes it and those before it have.
    colours: Vec<(usize, usize)>,
}

impl<'t> Uncoloured<'t> {
    fn of(text: &'t str) -> Self {
        let coloured = text;
        if !text.contains('\x1b') {
            let (text, colours) = (text.into(), Vec::new());
            return Self {
                coloured,
                text,
                colours,
            };
        }
        let (mut uncoloured, mut places) = (String::with_capacity(text.len()), Vec::new());
        let (mut from, mut skipped) = (0, 0);
        for colour in colours(text) {
            uncoloured.push_str(&text[from..colour.start]);
            skipped += colour.len();
            places.push((uncoloured.len(), skipped));
            from = colour.end;
        }
        uncoloured.push_str(&text[from..]);
        let text = uncoloured.into();
        Self {
            coloured,
            text,
            colours: places,
        }
    }

    /// Where in the text with colours a byte is.
    fn place(&self, at: usize) -> usize {
        let before = self.colours.partition_point(|(place, _)| *place <= at);
        let skipped = before.checked_sub(1).map_or(0, |last| self.colours[last].1);
        at + skipped
    }

    /// The text up to a place in it, with a mask for each that was found, but for one of which the beginning, so many
    /// bytes, was masked before.
    fn masked(&self, found: &[Range<usize>], covered: usize, until: usize) -> String {
        let (text, mut masked, mut from) = (self.coloured, String::new(), 0);
        for found in found {
            let start = self.place(found.start);
            let end = self.place(found.end - 1) + 1;
            masked.push_str(&text[from..start]);
            if found.start >= covered {
                masked.push_str(MASK);
            }
            // Colours that begin or end in it do so behind it.
            let coloured = &text[start..end];
            masked.extend(colours(coloured).map(|colour| &coloured[colour]));
            from = end;
        }
        masked.push_str(&text[from..until]);
        masked
    }
}

/// Where the colours of a text are. Whatever else begins with an escape is text: secrets are looked for in it.
fn colours(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices("\x1b[").filter_map(|(start, escape)| {
        let sequence = &text[start + escape.len()..];
        let length = sequence.find(|byte: char| !matches!(byte, '0'..='9' | ';' | ':'))?;
        let end = start + escape.len() + length + 1;
        sequence[length..].starts_with('m').then_some(start..end)
    })
}

/// Lines from which secrets are taken.
#[derive(Default)]
pub(super) struct Masking {
    secrets: Secrets,
    /// The end of a part of a line, in which a secret may have begun.
    held: String,
    /// How many bytes of its beginning, without colours, belong to a secret for which a mask was shown.
    covered: usize,
}

impl Masking {
    pub(super) fn new(secrets: &Secrets) -> Self {
        Self {
            secrets: secrets.clone(),
            held: String::new(),
            covered: 0,
        }
    }

    pub(super) fn mask(&mut self, line: Line) -> Line {
        let Some(inner) = &self.secrets.0 else {
            return line;
        };
        let Line { text, continues } = line;
        let text = match self.held.is_empty() {
            true => text,
            false => std::mem::take(&mut self.held) + &text,
        };
        let covered = std::mem::take(&mut self.covered);
        let uncoloured = Uncoloured::of(&text);
        let mut found = inner.found(&uncoloured, covered);
        if !continues {
            if found.is_empty() {
                drop(uncoloured);
                return Line { text, continues };
            }
            let text = uncoloured.masked(&found, covered, text.len());
            return Line { text, continues };
        }
        let end = inner.certain(&uncoloured);
        if let Some(across) = found.iter().position(|found| found.end > end) {
            let last = found[across].clone();
            found.truncate(across);
            // Its mask is shown as soon as it is certain that it has begun, and nothing for what is still to come.
            if last.start < end {
                found.push(last.start..end);
            }
            if last.start < end.max(covered) {
                self.covered = last.end - end;
            }
        }
        let until = uncoloured.place(end);
        self.held = text[until..].to_owned();
        let text = uncoloured.masked(&found, covered, until);
        // Of colours there may be any number in it.
        if self.held.len() > MAX_LINE {
            self.held = plain(&self.held);
        }
        Line { text, continues }
    }
}

impl PartialEq for Secrets {
    fn eq(&self, other: &Self) -> bool {
        self.variables() == other.variables()
    }
}

impl Eq for Secrets {}

/// The names, and no value.
impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.variables().iter().map(|(name, _)| name);
        formatter.debug_set().entries(names).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secrets(values: &[&str]) -> Secrets {
        Secrets::new(values.iter().map(|value| ("S", *value))).expect("they are long enough")
    }

    fn whole(text: &str) -> Line {
        Line {
            text: text.to_owned(),
            continues: false,
        }
    }

    #[test]
    fn each_line_of_a_secret_is_masked_wherever_it_stands() {
        let secrets = secrets(&["first line\nsecond line\r\n-\n", "other"]);
        assert_eq!(secrets.masked("a first line b"), "a *** b");
        assert_eq!(secrets.masked("second line-another"), "***-an***");
        assert_eq!(secrets.masked("first"), "first");
    }

    #[test]
    fn of_secrets_that_begin_alike_the_longest_is_masked() {
        let secrets = secrets(&["pass", "password"]);
        assert_eq!(secrets.masked("password pass"), "*** ***");
    }

    #[test]
    fn of_secrets_that_overlap_nothing_is_shown() {
        let secrets = secrets(&["abcdef", "defghi", "abab"]);
        assert_eq!(secrets.masked("-abcdefghi-"), "-***-");
        assert_eq!(secrets.masked("abababab-ababcdef"), "***-***");
        // Those that only touch are two.
        assert_eq!(secrets.masked("abababcdefabab"), "******");
    }

    #[test]
    fn a_secret_is_masked_where_some_of_it_is_coloured() {
        let secrets = secrets(&["tok-secret"]);
        let line = "a \x1b[1mtok-\x1b[31msec\x1b[0mret\x1b[2m b";
        let masked = "a \x1b[1m***\x1b[31m\x1b[0m\x1b[2m b";
        assert_eq!(secrets.masked(line), masked);
        // A title, which a line does not have, but a value may.
        assert_eq!(secrets.masked("\x1b]0;tok-secret m"), "\x1b]0;*** m");
        assert_eq!(secrets.masked("\x1b[tok-secret"), "\x1b[***");
    }

    #[test]
    fn a_line_of_colours_in_a_secret_is_not_held_without_bound() {
        let mut masking = Masking::new(&secrets(&["secret"]));
        let mut came = String::new();
        for part in ["sec"].into_iter().chain([&*"\x1b[1m".repeat(16_000); 5]) {
            let part = Line {
                text: part.to_owned(),
                continues: true,
            };
            came += &masking.mask(part).text;
            assert!(masking.held.len() <= MAX_LINE);
        }
        came += &masking.mask(whole("ret")).text;
        assert_eq!(plain(&came), "***");
    }

    #[test]
    fn what_is_too_short_is_refused_by_name_and_nothing_tells_its_value() {
        let refused = Secrets::new([("PIN", "123")]).expect_err("it is too short");
        assert!(refused.to_string().contains("PIN"), "{refused}");
        assert!(!refused.to_string().contains("123"), "{refused}");
        assert_eq!(format!("{:?}", secrets(&["abcdef"])), "{\"S\"}");
    }

    #[test]
    fn nothing_is_changed_where_there_is_no_secret() {
        let none = Secrets::default();
        assert_eq!(none.masked("a"), "a");
        let mut masking = Masking::new(&none);
        assert_eq!(masking.mask(whole("a")), whole("a"));
    }

    #[test]
    fn a_line_of_one_secret_upon_another_is_not_held_without_bound() {
        let mut masking = Masking::new(&secrets(&["abab"]));
        let mut came = String::new();
        for _ in 0..5 {
            let part = Line {
                text: "ab".repeat(16_000),
                continues: true,
            };
            came += &masking.mask(part).text;
            assert!(masking.held.len() < "abab".len());
        }
        came += &masking.mask(whole("-")).text;
        assert_eq!(came, "***-");
    }

    /// What a line is to look like, found byte by byte.
    fn modelled(text: &str, values: &[String]) -> String {
        let mut covered = vec![false; text.len()];
        // Whether a secret goes on from the byte before.
        let mut goes_on = vec![false; text.len()];
        for start in 0..text.len() {
            for value in values {
                if text.as_bytes()[start..].starts_with(value.as_bytes()) {
                    covered[start..start + value.len()].fill(true);
                    goes_on[start + 1..start + value.len()].fill(true);
                }
            }
        }
        let mut shown = String::new();
        for (at, character) in text.char_indices() {
            match (covered[at], goes_on[at]) {
                (false, _) => shown.push(character),
                (true, false) => shown.push_str(MASK),
                (true, true) => {}
            }
        }
        shown
    }

    proptest! {
        /// Whatever the secrets are, and however a line comes in parts, no byte of any of them is shown.
        #[test]
        fn no_byte_of_a_secret_is_shown(
            values in prop::collection::vec("[abé]{4,9}", 1..5),
            pieces in prop::collection::vec((any::<prop::sample::Index>(), 0usize..9, "[abé-]{0,3}"), 1..12),
            cuts in prop::collection::btree_set(0usize..90, 0..8),
        ) {
            // Of beginnings of secrets, so that they are upon one another.
            let mut text = String::new();
            for (which, length, between) in pieces {
                text.extend(which.get(&values).chars().take(length));
                text += &between;
            }
            let secrets = secrets(&values.iter().map(String::as_str).collect::<Vec<_>>());
            let expected = modelled(&text, &values);
            prop_assert_eq!(secrets.masked(&text), &*expected);
            let mut masking = Masking::new(&secrets);
            let (mut came, mut from) = (String::new(), 0);
            for cut in cuts.into_iter().filter(|cut| text.is_char_boundary(*cut)) {
                let part = Line { text: text[from..cut].to_owned(), continues: true };
                came += &masking.mask(part).text;
                from = cut;
            }
            came += &masking.mask(whole(&text[from..])).text;
            prop_assert_eq!(came, expected);
        }

        /// However a line is cut into parts, what comes is the line with its secrets masked.
        #[test]
        fn parts_of_a_line_are_masked_as_the_line_is(
            pieces in prop::collection::vec("(abab|ba|abba|[ab]|é|\x1b\\[[0-9]{0,2}m)", 1..20),
            cuts in prop::collection::btree_set(0usize..60, 0..6),
        ) {
            let secrets = secrets(&["abab", "abbab", "baéab"]);
            let text = pieces.concat();
            let cuts = cuts.into_iter().filter(|cut| *cut < text.len() && whole_until(&text, *cut) == *cut);
            let mut masking = Masking::new(&secrets);
            let (mut came, mut from) = (String::new(), 0);
            for cut in cuts {
                let part = Line { text: text[from..cut].to_owned(), continues: true };
                let line = masking.mask(part);
                prop_assert!(line.continues);
                came += &line.text;
                from = cut;
            }
            let line = masking.mask(whole(&text[from..]));
            prop_assert!(!line.continues);
            came += &line.text;
            prop_assert_eq!(&came, &secrets.masked(&text));
            // Colours are left, and change nothing.
            prop_assert_eq!(plain(&came), secrets.masked(&plain(&text)));
        }
    }
}
