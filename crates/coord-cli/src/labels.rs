//! What the items of lists are called where a person reads of them: `resize:3[cat.png]`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::file::{Items, WorkflowFile, item_text};
use crate::process_name::{is_item, item_name};
use crate::shortened::first_line;

/// The columns that the text of an item has at most.
const ITEM_WIDTH_MAX: usize = 16;

/// The labels of items, by the names of their processes: as many as there are items, of which the file
/// bounds how many a list has.
#[derive(Debug, Default)]
pub(crate) struct Labels(Mutex<HashMap<String, Arc<str>>>);

impl Labels {
    /// Those of the items that the file names.
    pub(crate) fn of(file: &WorkflowFile) -> Self {
        let labels = Self::default();
        for unit in &file.units {
            if let Some(Items::Listed(items)) = unit.each().map(|each| &each.items) {
                for (place, item) in items.iter().enumerate() {
                    labels.note(&item_name(&unit.id, place), &item_text(item));
                }
            }
        }
        labels
    }

    /// What a process does something for.
    pub(crate) fn note(&self, process: &str, item: &str) {
        let label = format!("{process}[{}]", first_line(item, ITEM_WIDTH_MAX));
        self.labels().insert(process.to_owned(), label.into());
    }

    /// What a process is called, if it does something for an item that is known.
    pub(crate) fn label(&self, process: &str) -> Option<Arc<str>> {
        if !is_item(process) {
            return None;
        }
        self.labels().get(process).map(Arc::clone)
    }

    /// A text that begins with the name of a process, with what that is called instead.
    pub(crate) fn called(&self, text: &str) -> String {
        let process = text.split(' ').next().unwrap_or_default();
        match self.label(process) {
            Some(label) => text.replacen(process, &label, 1),
            None => text.to_owned(),
        }
    }

    fn labels(&self) -> MutexGuard<'_, HashMap<String, Arc<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_called_by_its_place_and_the_beginning_of_its_text() {
        let labels = Labels::default();
        for (item, called) in [
            ("cat.png", "it:0[cat.png]"),
            ("sixteen columns.", "it:0[sixteen columns.]"),
            ("seventeen columns", "it:0[seventeen colum…]"),
            ("two\nlines", "it:0[two…]"),
            ("\u{1b}[1mbold", "it:0[?[1mbold]"),
            ("日本語日本語日本語", "it:0[日本語日本語日…]"),
        ] {
            labels.note("it:0", item);
            assert_eq!(labels.label("it:0").as_deref(), Some(called));
        }
        assert_eq!(labels.label("it:1"), None);
        assert_eq!(labels.label("it"), None);
    }
}
