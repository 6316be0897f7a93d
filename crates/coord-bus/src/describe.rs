//! Who publishes what to whom: what a bus has counted, as a text, a picture, or a value.

mod flowchart;
mod table;

use std::fmt;
use std::panic::Location;

pub use flowchart::mermaid_label;
use serde::Serialize;

use crate::{Overflow, TopicStats};

/// A bus at one moment: see [`BusExt::describe`](crate::BusExt::describe).
///
/// [`Display`](fmt::Display) writes a table for a terminal of 100 columns, and
/// [`to_mermaid`](Self::to_mermaid) a picture. Subscribers go by their names, those of patterns by
/// their patterns, and groups as `group` and their name; without one, by the place at which they
/// subscribed. Serialised, it is all that was counted.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use coord_bus::{BusExt, LocalBus, Overflow, SubscribeOptions, Topic};
///
/// const JOBS: Topic<String> = Topic::new("jobs").capacity(256);
///
/// let bus = LocalBus::new();
/// let mut printer = bus.subscribe_with(&JOBS, SubscribeOptions::new().named("printer"))?;
/// let screen = bus.subscribe_pattern(">", Overflow::DropOldest)?;
/// for job in ["a", "b", "c"] {
///     bus.publisher(&JOBS)?.publish(job.to_owned()).await?;
/// }
/// printer.recv().await;
///
/// let text = "
///                 overflow     delivered  in flight
/// jobs: String, 3 published, 3 held of 256
///   to   printer  block                1          2
///   to   >        drop-oldest          0          3
/// ";
/// assert_eq!(bus.describe().to_string().trim(), text.trim());
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Description {
    /// What every topic has counted, by name.
    pub topics: Vec<TopicStats>,
}

impl Description {
    /// The same as a [Mermaid](https://mermaid.js.org) flowchart: publishers, by the place at which
    /// they were opened, to topics, to subscribers. A subscriber of several topics is drawn once.
    /// What is unlike the default stands at the arrow.
    pub fn to_mermaid(&self) -> String {
        flowchart::of(&self.topics)
    }
}

impl fmt::Display for Description {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&table::of(&self.topics))
    }
}

/// A place in as few words as tell it: the file, its folder, and the line.
pub(crate) fn place(place: &Location<'_>) -> String {
    let file = place.file();
    let slashes = file.rmatch_indices(['/', '\\']).nth(1);
    let short = slashes.map_or(file, |(at, _)| &file[at + 1..]);
    format!("{short}:{}", place.line())
}

/// The name of a type without the paths in it: `Vec<String>`.
fn short_type(name: &str) -> String {
    let mut short = String::with_capacity(name.len());
    let mut segment = 0;
    for c in name.chars() {
        short.push(c);
        if short.ends_with("::") {
            short.truncate(segment);
        } else if !(c.is_alphanumeric() || c == '_' || c == ':') {
            segment = short.len();
        }
    }
    short
}

fn overflow_name(overflow: Overflow) -> &'static str {
    match overflow {
        Overflow::Block => "block",
        Overflow::DropOldest => "drop-oldest",
        Overflow::DropNewest => "drop-newest",
        Overflow::Latest => "latest",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_goes_by_its_last_name_and_those_of_its_parameters() {
        for (name, short) in [
            ("u64", "u64"),
            ("alloc::string::String", "String"),
            ("my_app::ui::Update<my_app::Key>", "Update<Key>"),
            (
                "alloc::vec::Vec<(core::option::Option<a::B>, [u8; 4])>",
                "Vec<(Option<B>, [u8; 4])>",
            ),
            (
                "&'static dyn a::T + core::marker::Send",
                "&'static dyn T + Send",
            ),
            ("a::f::{{closure}}", "{{closure}}"),
        ] {
            assert_eq!(short_type(name), short);
        }
    }

    #[test]
    fn a_place_is_a_file_in_its_folder_and_a_line() {
        let here = Location::caller();
        assert_eq!(place(here), format!("src/describe.rs:{}", here.line()));
    }
}
