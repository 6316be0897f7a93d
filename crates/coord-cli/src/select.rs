//! Which units of a file are meant: some and what they need, or one and all that comes after it.

use std::collections::HashMap;

use coordination::bus::text::nearest;
use coordination::workflow::Shown;
use miette::Diagnostic;

use crate::file::{Unit, WorkflowFile};

/// What of a file is meant, as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selection {
    All,
    /// These, and what they need.
    Only(Vec<String>),
    /// This one, what comes after it, and the services that any of these need.
    From(String),
}

/// What is meant is not in the file.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("there is no step and no service {} in the file", Shown(name))]
#[diagnostic(code(coord::select::no_unit))]
pub(crate) struct NoUnit {
    name: String,
    #[help]
    help: String,
}

impl Selection {
    /// The ids of what is meant; `None`: all.
    ///
    /// # Errors
    ///
    /// Something that is named is not in the file.
    pub(crate) fn ids(&self, file: &WorkflowFile) -> Result<Option<Vec<String>>, NoUnit> {
        let units = &file.units;
        let graph = Graph::of(units);
        let meant = match self {
            Self::All => return Ok(None),
            Self::Only(names) => {
                let named = names.iter().map(|name| graph.named(units, name));
                let named = named.collect::<Result<Vec<_>, _>>()?.concat();
                graph.reached(named, |place| graph.needs[place].clone())
            }
            Self::From(name) => {
                let from = vec![graph.place(units, name)?];
                let after = graph.reached(from, |place| graph.needed_by[place].clone());
                let after = (0..units.len()).filter(|place| after[*place]).collect();
                // What steps before it would have done is taken as done; services are not.
                let services = |place: usize| {
                    let needs = graph.needs[place].iter().copied();
                    needs
                        .filter(|need| units[*need].service().is_some())
                        .collect()
                };
                graph.reached(after, services)
            }
        };
        let ids = units.iter().zip(meant).filter(|(_, meant)| *meant);
        Ok(Some(ids.map(|(unit, _)| unit.id.clone()).collect()))
    }
}

/// Who needs whom, by places in the file.
struct Graph<'f> {
    places: HashMap<&'f str, usize>,
    needs: Vec<Vec<usize>>,
    needed_by: Vec<Vec<usize>>,
}

impl<'f> Graph<'f> {
    fn of(units: &'f [Unit]) -> Self {
        let ids = units.iter().map(|unit| &*unit.id);
        let places: HashMap<_, _> = ids.zip(0..).collect();
        let mut needed_by = vec![Vec::new(); units.len()];
        let needs = units.iter().enumerate().map(|(place, unit)| {
            let needs = unit.waits_for().filter_map(|id| places.get(&**id).copied());
            let needs: Vec<_> = needs.collect();
            needs.iter().for_each(|need| needed_by[*need].push(place));
            needs
        });
        Self {
            needs: needs.collect(),
            places,
            needed_by,
        }
    }

    /// The places that a name stands for: one, or where it has `*` or `?`, all that it fits.
    fn named(&self, units: &[Unit], name: &str) -> Result<Vec<usize>, NoUnit> {
        if !name.contains(['*', '?']) {
            return self.place(units, name).map(|place| vec![place]);
        }
        let fits = (0..units.len()).filter(|place| is_match(name.as_bytes(), &units[*place].id));
        let fits: Vec<_> = fits.collect();
        match fits.is_empty() {
            true => Err(NoUnit {
                name: name.to_owned(),
                help: "`coord graph` shows what there is".to_owned(),
            }),
            false => Ok(fits),
        }
    }

    fn place(&self, units: &[Unit], name: &str) -> Result<usize, NoUnit> {
        self.places.get(name).copied().ok_or_else(|| {
            let ids = units.iter().map(|unit| &*unit.id);
            let help = match nearest(name, ids) {
                Some(meant) => format!("did you mean {}?", Shown(meant)),
                None => "`coord graph` shows what there is".to_owned(),
            };
            let name = name.to_owned();
            NoUnit { name, help }
        })
    }

    /// These and all that is reached from them.
    fn reached(&self, mut from: Vec<usize>, next: impl Fn(usize) -> Vec<usize>) -> Vec<bool> {
        let mut reached = vec![false; self.needs.len()];
        while let Some(place) = from.pop() {
            if !std::mem::replace(&mut reached[place], true) {
                from.extend(next(place));
            }
        }
        reached
    }
}

/// Whether a pattern fits an id: `*` stands for any characters, `?` for one. Ids are ASCII.
fn is_match(pattern: &[u8], id: &str) -> bool {
    let id = id.as_bytes();
    let (mut at, mut from) = (0, 0);
    // Where to go on after the last `*`, which takes one character more each time.
    let mut star: Option<(usize, usize)> = None;
    while from < id.len() {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                star = Some((at + 1, from));
                at += 1;
            }
            (Some(&wanted), _) if wanted == b'?' || wanted == id[from] => {
                at += 1;
                from += 1;
            }
            (_, Some((after, taken))) => {
                star = Some((after, taken + 1));
                at = after;
                from = taken + 1;
            }
            (_, None) => return false,
        }
    }
    pattern[at..].iter().all(|left| *left == b'*')
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const FILE: &str = "
[[step]]
id = 'fetch'
run = 'x'
[[step]]
id = 'build'
run = 'x'
needs = ['fetch']
[[step]]
id = 'seed'
run = 'x'
[[service]]
id = 'database'
run = 'x'
[[service]]
id = 'api'
run = 'x'
needs = ['build', 'database']
[[step]]
id = 'test'
run = 'x'
needs = ['api', 'seed']
[[step]]
id = 'deploy'
run = 'x'
needs_any = ['test', 'seed']
";

    fn ids(selection: &Selection) -> String {
        let file = WorkflowFile::parse(Path::new("a.toml"), FILE.as_bytes()).expect("it is right");
        let ids = selection.ids(&file).expect("they are there");
        ids.map_or_else(|| "all".to_owned(), |ids| ids.join(" "))
    }

    #[test]
    fn only_takes_what_is_named_and_what_that_needs() {
        let only = |names: &[&str]| {
            ids(&Selection::Only(
                names.iter().map(|&name| name.into()).collect(),
            ))
        };
        assert_eq!(only(&["build"]), "fetch build");
        assert_eq!(only(&["api", "seed"]), "fetch build seed database api");
        assert_eq!(
            only(&["deploy"]),
            "fetch build seed database api test deploy"
        );
        assert_eq!(ids(&Selection::All), "all");
    }

    #[test]
    fn only_takes_all_that_a_pattern_fits() {
        let only = |name: &str| ids(&Selection::Only(vec![name.into()]));
        assert_eq!(only("*d"), "fetch build seed");
        assert_eq!(only("?e*d"), "seed");
        assert_eq!(only("f*"), "fetch");
        let file = WorkflowFile::parse(Path::new("a.toml"), FILE.as_bytes()).expect("it is right");
        let none = Selection::Only(vec!["x*".into()]).ids(&file);
        assert!(none.is_err(), "{none:?}");
    }

    #[test]
    fn a_pattern_fits_what_its_stars_and_question_marks_can_stand_for() {
        for (pattern, id, fits) in [
            ("*", "", true),
            ("?", "", false),
            ("a*c", "abbc", true),
            ("a*c", "abcb", false),
            ("*ab*ab", "abab", true),
            ("*ab*ab", "aab", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("**x**", "x", true),
        ] {
            assert_eq!(is_match(pattern.as_bytes(), id), fits, "{pattern} {id}");
        }
    }

    #[test]
    fn from_takes_what_is_named_what_comes_after_it_and_the_services_of_these() {
        let from = |name: &str| ids(&Selection::From(name.into()));
        assert_eq!(from("test"), "database api test deploy");
        assert_eq!(from("deploy"), "deploy");
        assert_eq!(from("build"), "build database api test deploy");
    }

    #[test]
    fn what_is_not_in_the_file_is_answered_with_the_nearest() {
        let file = WorkflowFile::parse(Path::new("a.toml"), FILE.as_bytes()).expect("it is right");
        let wrong = Selection::From("tset".into())
            .ids(&file)
            .expect_err("there is none");
        assert_eq!(wrong.help, "did you mean \"test\"?");
    }
}
