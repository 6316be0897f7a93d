//! The resources of a workflow file, and what steps take of them.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use coordination::bus::text::nearest;
use coordination::workflow::{Shown, is_name};
use toml::de::DeTable;

use super::fault::FileFault;
use super::walk::Walk;

/// More permits of one resource than this are a slip.
const PERMITS_MAX: u32 = 1_000;

/// How many permits there are of each resource, or are taken.
pub(crate) type Resources = BTreeMap<String, NonZeroU32>;

/// Reads the resources that a file declares.
pub(super) fn declared(walk: &mut Walk<'_>, root: &DeTable<'_>) -> Resources {
    let example = "write it as a table, such as { gpu = 2 }";
    let Some(table) = walk.table(root, "resources", Some(example)) else {
        return Resources::new();
    };
    let mut resources = Resources::new();
    for name in table.keys() {
        let text = name.get_ref().as_ref();
        if !is_name(text) {
            let at = walk.at(&name.span());
            let name = text.to_owned();
            walk.add(FileFault::Name { name, at });
            continue;
        }
        let permits = walk.count(table, text, PERMITS_MAX);
        // One whose number is wrong is there all the same.
        let permits = permits.and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX);
        resources.insert(text.to_owned(), permits);
    }
    resources
}

/// Reads what a step takes of them.
pub(super) fn taken(walk: &mut Walk<'_>, step: &DeTable<'_>, declared: &Resources) -> Resources {
    let example = "write it as a table, such as { gpu = 1 }";
    let Some(table) = walk.table(step, "resources", Some(example)) else {
        return Resources::new();
    };
    let mut resources = Resources::new();
    for (name, value) in table {
        let text = name.get_ref().as_ref();
        let Some(&there) = declared.get(text) else {
            let meant = nearest(text, declared.keys().map(String::as_str));
            let help = match meant {
                Some(meant) => format!("did you mean {}?", Shown(meant)),
                None => format!("declare it under [resources]: {} = 1", text.escape_debug()),
            };
            let at = walk.at(&name.span());
            let name = text.to_owned();
            walk.add(FileFault::UnknownResource { name, at, help });
            continue;
        };
        let Some(asked) = walk
            .count(table, text, PERMITS_MAX)
            .and_then(NonZeroU32::new)
        else {
            continue;
        };
        if asked > there {
            let at = walk.at(&value.span());
            let name = text.to_owned();
            walk.add(FileFault::TooMuchOfResource { name, there, at });
        }
        resources.insert(text.to_owned(), asked);
    }
    resources
}
